package ecs

import (
	"testing"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/ecs/awstest"
	"github.com/weir-gateway/weir/internal/host/hosttest"
)

// TestConformance runs the suite of every host against moto's control plane; tasks are simulated (see awstest).
func TestConformance(t *testing.T) {
	for _, kind := range []struct {
		name string
		set  func(*Options)
	}{
		{"ec2_shared_by_path", func(*Options) {}},
		{"fargate_own_balancer", func(o *Options) { o.Fargate, o.LoadBalancerARN, o.OwnScaling = true, "", true }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			if awstest.Start(t) == "" {
				return
			}
			clouds := map[string]*cloud{}
			of := func(t *testing.T) *cloud {
				if clouds[t.Name()] == nil {
					c := newCloud(t)
					kind.set(&c.o)
					clouds[t.Name()] = c
				}
				return clouds[t.Name()]
			}
			one := func(id, image string) fleet.Spec {
				s := spec(id, image)
				if kind.name == "fargate_own_balancer" {
					cpu := "m5.large"
					s.InstanceType = &cpu
				}
				return s
			}
			hosttest.Run(t, hosttest.Setup{
				New:     func(t *testing.T) fleet.Host { return of(t).open(t, nil) },
				Spec:    func(id string) fleet.Spec { return one(id, "vllm/vllm-openai:latest") },
				Broken:  func(id string) fleet.Spec { return one(id, "broken") },
				Words:   "CannotPullContainerError: pull access denied",
				Settle:  func(t *testing.T) { of(t).Step() },
				Running: func(t *testing.T, id string) int { return of(t).Running(of(t).host.nameOf(id)) },
				Left:    func(t *testing.T, id string) []string { return of(t).left(t, id) },
				Kill:    func(t *testing.T, id string) { of(t).Kill(of(t).host.nameOf(id)) },
				Said:    "the model is loaded",
			})
		})
	}
}
