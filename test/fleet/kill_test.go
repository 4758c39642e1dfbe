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

	"github.com/weir-gateway/weir/test/gwtest"
)

// TestKill holds that a gateway killed at any moment of a model's life goes on where it was: each time the model ends where it should be, and
// in the end nothing of it is left.
func TestKill(t *testing.T) {
	const kills = 20
	dir := t.TempDir()
	bin, file, data := gwtest.Build(t), filepath.Join(dir, "config.yaml"), filepath.Join(dir, "data")
	if err := os.WriteFile(file, []byte(config(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := gwtest.StartProgram(t, bin, file, data)
	steps := []struct {
		method, body, ends string
		from               []string
	}{
		{http.MethodPost, definition("m", "mock", ""), "InService", []string{""}},
		{http.MethodPut, `{"enabled":false}`, "Stopped", []string{"InService"}},
		{http.MethodPut, `{"enabled":true}`, "InService", []string{"Stopped"}},
		{http.MethodPut, `{"autoScalingInstanceConfig":{"minCapacity":2}}`, "InService", []string{"InService"}},
		{http.MethodDelete, "", "", []string{"InService"}},
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
		<-time.After(time.Duration(rand.IntN(700)) * time.Millisecond) // any moment of what follows
		p.Stop(t, syscall.SIGKILL)
		p = gwtest.StartProgram(t, bin, file, data)
		settles(t, p, s.ends)
		want := map[string]int{"": 0, "Stopped": 0, "InService": 1 + min(1, n%len(steps)/3)}[s.ends]
		if got := alive(t, bin); got != want {
			t.Errorf("step %d (%s %s): %d servers run, want %d\n%s", n, s.method, s.body, got, want, p.Log)
		}
	}
	p.Stop(t, syscall.SIGTERM)
	if n := alive(t, bin); n != 0 {
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
