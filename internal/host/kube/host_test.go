package kube

import (
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/hosttest"
	"github.com/weir-gateway/weir/test/kubetest"
)

// spec is a model of one server with an image.
func spec(id, image string) fleet.Spec {
	container, instance := "vllm", "g5.xlarge"
	return fleet.Spec{Generation: 1, Replicas: 1, Health: "/health", Definition: fleet.Definition{
		ModelID: id, ModelName: "mistral/7b", Type: "textgen", Container: &container, InstanceType: &instance,
		ContainerConfig: &fleet.ContainerConfig{Image: fleet.Image{Base: image, Type: "asset"}, SharedMemorySize: 2048, Environment: map[string]string{"VLLM_MAX_MODEL_LEN": "8192"},
			HealthCheck: fleet.ContainerHealth{Command: []any{"CMD-SHELL", "curl -f localhost:8080/health"}, Interval: 10, StartPeriod: 30, Timeout: 5, Retries: 3}},
		AutoScaling:  &fleet.AutoScaling{MinCapacity: 1, MaxCapacity: 4, Cooldown: 60, Metric: fleet.Metric{Name: "RequestCountPerTarget", TargetValue: 4, EstimatedInstanceWarmup: 60}},
		LoadBalancer: &fleet.LoadBalancer{Health: fleet.LoadBalancerHealth{Path: "/health", Interval: 10, Timeout: 5, HealthyCount: 2, UnhealthyCount: 3}},
	}}
}

// setting is a cluster with a node, and hosts that have the rights of docs/hosted-models.md.
type setting struct {
	*kubetest.Cluster
	node *kubetest.Node
	as   string // kubeconfig of the user who has them
}

func set(t *testing.T) *setting {
	c := kubetest.Start(t)
	return &setting{Cluster: c, as: c.As(t, "weir"), node: (&kubetest.Node{Labels: map[string]string{"node.kubernetes.io/instance-type": "g5.xlarge"}, GPUs: 8, Said: "the model is loaded"}).Run(t, c)}
}

// namespace is a test's own.
func namespace(t testing.TB) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(t.Name()))
	return fmt.Sprintf("models-%08x", h.Sum32())
}

var manifest = regexp.MustCompile("(?s)```yaml\n(apiVersion: v1\nkind: Namespace\n.*?)```")

// open gives a host that works in the test's namespace, with the rights that the documentation asks for.
func (s *setting) open(t *testing.T, set ...func(*Options)) *Host {
	t.Helper()
	page, err := os.ReadFile("../../../docs/hosted-models.md")
	if err != nil {
		t.Fatal(err)
	}
	found := manifest.FindSubmatch(page)
	if found == nil {
		t.Fatal("docs/hosted-models.md has no manifest of the rights")
	}
	rights := strings.ReplaceAll(string(found[1]), "weir-models", namespace(t))
	rights = strings.ReplaceAll(rights, "kind: ServiceAccount, name: weir, namespace: weir}", "kind: User, name: weir, apiGroup: rbac.authorization.k8s.io}")
	s.Apply(t, rights)
	o := Options{Kubeconfig: s.as, Namespace: namespace(t), Patience: time.Second, Deadline: 3 * time.Second, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	for _, f := range set {
		f(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	kubetest.Until(t, "the rights are known to the API server", func() bool {
		for _, k := range []kind{services, deployments, pods} {
			if _, err := h.list(t.Context(), k, ""); err != nil {
				return false
			}
		}
		return true
	})
	return h
}

// left names what the cluster has of a model.
func (s *setting) left(t *testing.T, id string) []string {
	return s.Labelled(t, namespace(t), labelModel, (&Host{o: Options{NamePrefix: "weir"}}).nameOf(id))
}

// running counts the servers of a model that the node runs.
func (s *setting) running(t *testing.T, id string) int {
	n := 0
	for _, p := range s.node.Running(namespace(t)) {
		if p.GetAnnotations()[annotationModel] == id {
			n++
		}
	}
	return n
}

var client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func answers(url string) bool {
	resp, err := client.Get(url + "/health")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// TestConformance runs the suite of every host against a real API server with its controllers; the node is played.
func TestConformance(t *testing.T) {
	s := set(t)
	hosttest.Run(t, hosttest.Setup{
		New:     func(t *testing.T) fleet.Host { return s.open(t) },
		Spec:    func(id string) fleet.Spec { return spec(id, "vllm/vllm-openai:latest") },
		Broken:  func(id string) fleet.Spec { return spec(id, "broken") },
		Words:   "pull access denied, repository does not exist",
		Settle:  func(*testing.T) { <-time.After(20 * time.Millisecond) },
		Running: s.running,
		Left:    s.left,
		Answers: func(_ *testing.T, url string) bool { return answers(url) },
		Kill: func(t *testing.T, id string) {
			for _, p := range s.node.Running(namespace(t)) {
				if p.GetAnnotations()[annotationModel] == id {
					s.node.Kill(t.Context(), p)
					return
				}
			}
		},
		Said:   "the model is loaded",
		Within: time.Minute,
	})
}
