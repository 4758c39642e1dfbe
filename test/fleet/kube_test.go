package fleet

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/mock"
	"github.com/weir-gateway/weir/test/gwtest"
	"github.com/weir-gateway/weir/test/kubetest"
)

const kubeNamespace = "weir-models"

// onKube is a cluster with a node whose pods are made-up models, and the configuration of a gateway that uses it.
func onKube(t *testing.T) (c *kubetest.Cluster, node *kubetest.Node, yaml string) {
	c = kubetest.Start(t)
	node = (&kubetest.Node{Labels: map[string]string{"node.kubernetes.io/instance-type": "g5.xlarge"}, Handler: mock.New(mock.Options{}, nil)}).Run(t, c)
	return c, node, fmt.Sprintf("fleet:\n  host: kube\n  kube: {namespace: %s, kubeconfig: %q, every: 0s}\n", kubeNamespace, c.Kubeconfig)
}

// TestKill_kube is the same on Kubernetes: a real API server and its controllers, which go on with whatever was asked of them when the gateway dies.
func TestKill_kube(t *testing.T) {
	c, node, yaml := onKube(t)
	kill(t, place{config: yaml, model: definition("m", "vllm", ""), moves: 1500 * time.Millisecond, alive: func() int { return len(node.Running(kubeNamespace)) },
		left: func(string) []string { return c.Labelled(t, kubeNamespace, "weir/model", "weir-m-62c66a7a") }})
}

// TestKube: a model of the cluster answers through the gateway, and the metrics that an autoscaler follows name it.
func TestKube(t *testing.T) {
	_, _, yaml := onKube(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	p := gwtest.StartProgram(t, gwtest.Build(t), file, filepath.Join(dir, "data"))
	must := func(method, path, body, want string) {
		t.Helper()
		if status, answer := send(t, p, method, path, body); status != http.StatusOK || !strings.Contains(string(answer), want) {
			t.Fatalf("%s %s: %d %s, want %s", method, path, status, answer, want)
		}
	}
	must(http.MethodPost, "/api/models", definition("m", "vllm", ""), "Creating")
	settles(t, p, "InService")
	must(http.MethodPost, "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hello"}]}`, `"choices"`)
	must(http.MethodGet, "/metrics", "", `weir_model_requests_in_flight{model="m"} 0`)
	must(http.MethodDelete, "/api/models/m", "", "")
	settles(t, p, "")
	p.Stop(t, syscall.SIGTERM)
}
