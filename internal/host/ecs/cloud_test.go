package ecs

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/ecs/awstest"
)

func timeZero() time.Time { return time.Unix(0, 0) }

// cloud is an account of AWS and how hosts are opened on it.
type cloud struct {
	*awstest.Cloud
	o    Options
	host *Host // by which the test itself looks, past all faults
}

// newCloud makes an empty account. It gives nil where moto is not installed.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	a := awstest.New(t)
	if a == nil {
		return nil
	}
	c := &cloud{Cloud: a, o: Options{Region: awstest.Region, EndpointURL: a.URL, Cluster: awstest.Cluster, Subnets: a.Subnets, SecurityGroups: a.SecurityGroups,
		LoadBalancerARN: a.LoadBalancerARN, ModelsBucket: "weights", ExecutionRoleARN: "arn:aws:iam::123456789012:role/exec", TaskRoleARN: "arn:aws:iam::123456789012:role/task",
		InstanceProfileARN: "arn:aws:iam::123456789012:instance-profile/ecs", AMI: "ami-12345678",
		HTTP: &http.Client{Transport: a}, Now: time.Now, Log: slog.New(slog.DiscardHandler), Credentials: awstest.Keys}}
	c.host = c.open(t, nil)
	return c
}

// open gives a host on the account, through faults if there are any.
func (c *cloud) open(t *testing.T, faults func(http.RoundTripper) http.RoundTripper) *Host {
	t.Helper()
	o := c.o
	if faults != nil {
		o.HTTP = &http.Client{Transport: faults(c.Cloud)}
	}
	h, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// left names everything that the account holds of a model.
func (c *cloud) left(t *testing.T, id string) []string {
	t.Helper()
	return c.Left(t, c.host.nameOf(id))
}

// spec is one server of the first generation.
func spec(id, image string) fleet.Spec {
	kind, instance := "vllm", "g5.xlarge"
	return fleet.Spec{Generation: 1, Replicas: 1, Health: "/health", Definition: fleet.Definition{ModelID: id, ModelName: "mistral/7b", Container: &kind, InstanceType: &instance,
		AutoScaling: &fleet.AutoScaling{MinCapacity: 1, MaxCapacity: 3, Cooldown: 60, DefaultInstanceWarmup: 60,
			Metric: fleet.Metric{Name: "RequestCountPerTarget", TargetValue: 30, Duration: 60, EstimatedInstanceWarmup: 120}},
		ContainerConfig: &fleet.ContainerConfig{Image: fleet.Image{Base: image, Type: "asset"}, SharedMemorySize: 2048, Environment: map[string]string{"VLLM_MAX_MODEL_LEN": "8192"},
			HealthCheck: fleet.ContainerHealth{Command: "curl -f localhost:8080/health", Interval: 10, StartPeriod: 30, Timeout: 5, Retries: 3}},
		LoadBalancer: &fleet.LoadBalancer{Health: fleet.LoadBalancerHealth{Path: "/health", Interval: 30, Timeout: 10, HealthyCount: 2, UnhealthyCount: 5}},
	}}
}
