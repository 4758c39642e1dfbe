package fleet

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/host/ecs/awstest"
	"github.com/weir-gateway/weir/internal/mock"
	"github.com/weir-gateway/weir/test/gwtest"
)

// place is where a model's servers run, and how the test sees them past the gateway.
type place struct {
	config string
	env    []string      // of the gateway
	model  string        // its definition
	moves  time.Duration // about how long a wish takes to come about: the gateway is killed at any moment of it
	alive  func() int
	left   func(dataDir string) []string // what there is of the model, running or not
}

// TestKill holds that a gateway killed at any moment of a model's life goes on where it was: each time the model ends where it should be, and
// whenever it is deleted nothing of it is left.
func TestKill(t *testing.T) {
	bin := gwtest.Build(t)
	kill(t, place{config: config(t), model: definition("m", "mock", ""), moves: 700 * time.Millisecond, alive: func() int { return alive(t, bin) }, left: func(dataDir string) []string {
		names, err := filepath.Glob(filepath.Join(dataDir, "fleet", "process", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}})
}

// TestKill_ecs is the same on Amazon ECS: moto's control plane and a simulation of its scheduler, which stand for whatever AWS is at when the
// gateway dies.
func TestKill_ecs(t *testing.T) {
	c := awstest.New(t)
	if c == nil {
		return
	}
	endpoint, port := c.Serve(t, mock.New(mock.Options{}, nil))
	yaml := fmt.Sprintf(`
fleet:
  host: ecs
  ecs: {cluster: %s, region: %s, endpoint_url: %q, subnets: [%s], security_groups: [%s], load_balancer_arn: %q, listener_port: %d, models_bucket: weights, ami: ami-12345678, every: 0s}
`, awstest.Cluster, awstest.Region, endpoint, strings.Join(c.Subnets, ", "), strings.Join(c.SecurityGroups, ", "), c.LoadBalancerARN, port)
	const name = "weir-m-62c66a7a"
	kill(t, place{config: yaml, env: []string{"AWS_ACCESS_KEY_ID=" + awstest.KeyID, "AWS_SECRET_ACCESS_KEY=" + awstest.Secret}, model: definition("m", "vllm", ""),
		moves: 1500 * time.Millisecond, alive: func() int { return c.Running(name) }, left: func(string) []string { return c.Left(t, name) }})
}

// kill walks a model through its life, four times over, and kills the gateway after each wish.
func kill(t *testing.T, at place) {
	const kills = 20
	dir := t.TempDir()
	bin, file, data := gwtest.Build(t), filepath.Join(dir, "config.yaml"), filepath.Join(dir, "data")
	if err := os.WriteFile(file, []byte(at.config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := gwtest.StartProgram(t, bin, file, data, at.env...)
	steps := []struct {
		method, body, ends string
		servers            int
	}{
		{http.MethodPost, at.model, "InService", 1},
		{http.MethodPut, `{"enabled":false}`, "Stopped", 0},
		{http.MethodPut, `{"enabled":true}`, "InService", 1},
		{http.MethodPut, `{"autoScalingInstanceConfig":{"minCapacity":2}}`, "InService", 2},
		{http.MethodDelete, "", "", 0},
	}
	for n := range kills {
		s := steps[n%len(steps)]
		path := "/api/models"
		if s.method != http.MethodPost {
			path += "/m"
		}
		if status, body := send(t, p, s.method, path, s.body); status != 200 {
			t.Fatalf("step %d: %s %s: %d %s", n, s.method, s.body, status, body)
		}
		<-time.After(rand.N(at.moves))
		p.Stop(t, syscall.SIGKILL)
		p = gwtest.StartProgram(t, bin, file, data, at.env...)
		settles(t, p, s.ends)
		if got := at.alive(); got != s.servers {
			t.Errorf("step %d (%s %s): %d servers run, want %d\n%s", n, s.method, s.body, got, s.servers, p.Log)
		}
		if left := at.left(data); (len(left) > 0) != (s.ends != "") {
			t.Errorf("step %d: the model is %q, and there is of it: %q\n%s", n, s.ends, left, p.Log)
		}
	}
	p.Stop(t, syscall.SIGTERM)
	if n := at.alive(); n != 0 {
		t.Errorf("%d servers are left of a deleted model", n)
	}
}

func send(t *testing.T, p *gwtest.Program, method, path, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+gwtest.MasterKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.Log)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b
}

// settles waits until the model has a status, empty: is gone.
func settles(t *testing.T, p *gwtest.Program, status string) {
	t.Helper()
	var last []byte
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		code, body := send(t, p, http.MethodGet, "/api/models/m", "")
		last = body
		var m model
		if status == "" && code == http.StatusNotFound || code == 200 && json.Unmarshal(body, &m) == nil && m.Model.Status == status && status != "" {
			return
		}
	}
	t.Fatalf("the model did not become %q: %s\n%s", status, last, p.Log)
}

// alive counts the model servers of this program that run on the machine, whoever knows of them.
func alive(t *testing.T, bin string) int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range dirs {
		b, err := os.ReadFile(f)
		if err == nil && bytes.HasPrefix(b, []byte(fmt.Sprintf("%s\x00mock\x00", bin))) {
			n++
		}
	}
	return n
}
