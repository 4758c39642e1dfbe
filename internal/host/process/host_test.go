package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/hosttest"
)

// asServer makes the test binary a model server.
const asServer = "WEIR_TEST_MODEL_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		serve()
	}
	os.Exit(m.Run())
}

// serve answers /health on the port it is given, and a call of /slow once the file it names is there. Asked to end, it finishes its calls.
func serve() {
	fmt.Println("the model is loaded")
	http.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		for ; ; <-time.After(5 * time.Millisecond) {
			if _, err := os.Stat(r.FormValue("file")); err == nil {
				return
			}
		}
	})
	s := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT")}
	asked, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ended := make(chan error)
	context.AfterFunc(asked, func() { ended <- s.Shutdown(context.Background()) })
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ended", <-ended)
	os.Exit(0)
}

// tempDir is a directory whose servers end with the test.
func tempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	hosttest.EndProcesses(t, dir)
	return dir
}

func TestConformance(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	profiles := map[string]Profile{
		"tiny":   {Command: []string{self, "{modelId}"}},
		"broken": {Command: []string{"sh", "-c", "echo the weights are torn >&2; exit 3"}},
	}
	client := &http.Client{Timeout: 2 * time.Second}
	answers := func(url string) bool {
		resp, err := client.Get(url)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	dirs := map[string]string{}
	dir := func(t *testing.T) string { // one for each case
		if dirs[t.Name()] == "" {
			dirs[t.Name()] = tempDir(t)
		}
		return dirs[t.Name()]
	}
	spec := func(id, container string) fleet.Spec {
		return fleet.Spec{Generation: 1, Replicas: 1, Health: "/health", Definition: fleet.Definition{ModelID: id, ModelName: id, Container: &container,
			ContainerConfig: &fleet.ContainerConfig{Environment: map[string]string{asServer: "1"}}}}
	}
	hosttest.Run(t, hosttest.Setup{
		New: func(t *testing.T) fleet.Host {
			h, err := New(Options{Dir: dir(t), Profiles: profiles, Healthy: func(_ context.Context, url string) bool { return answers(url) }, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			return h
		},
		Spec:   func(id string) fleet.Spec { return spec(id, "tiny") },
		Broken: func(id string) fleet.Spec { return spec(id, "broken") },
		Words:  "the weights are torn",
		Settle: func(*testing.T) { <-time.After(5 * time.Millisecond) },
		Running: func(t *testing.T, id string) int {
			return len(hosttest.Processes(t, filepath.Join(dir(t), dirName(id))))
		},
		Left: func(t *testing.T, id string) []string {
			left, err := filepath.Glob(filepath.Join(dir(t), dirName(id)) + "*")
			if err != nil {
				t.Fatal(err)
			}
			return left
		},
		Answers: func(_ *testing.T, url string) bool { return answers(url + "/health") },
		Kill: func(t *testing.T, id string) {
			if err := syscall.Kill(hosttest.Processes(t, filepath.Join(dir(t), dirName(id)))[0], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		},
		Said: "the model is loaded",
	})
}

// TestAdopt_startedAndNotNoted: a gateway that died between the start of a server and the note of its pid finds it again.
func TestAdopt_startedAndNotNoted(t *testing.T) {
	dir := tempDir(t)
	container := "tiny"
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := launch(dir, Profile{Command: []string{self}}, fleet.Spec{Generation: 7, Definition: fleet.Definition{ModelID: "m", Container: &container,
		ContainerConfig: &fleet.ContainerConfig{Environment: map[string]string{asServer: "1"}}}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pid := s.PID
	s.PID, s.Born = 0, ""
	s.save() // as it was before the start
	found, err := adopt(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].PID != pid || found[0].Generation != 7 || !found[0].alive() {
		t.Fatalf("found %+v, want the process %d", found, pid)
	}
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for found[0].alive() {
		<-time.After(time.Millisecond)
	}
	if found, err = adopt(dir); err != nil || len(found) != 0 {
		t.Errorf("a dead one is adopted: %+v, %v", found, err)
	}
}

// self is this program, which is a model server where asServer is set.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// newHost is a host whose container "tiny" runs a command.
func newHost(t *testing.T, o Options, command ...string) *Host {
	t.Helper()
	client := &http.Client{Timeout: 2 * time.Second}
	o.Dir, o.Log, o.Profiles = tempDir(t), slog.New(slog.DiscardHandler), map[string]Profile{"tiny": {Command: command}}
	o.Healthy = func(_ context.Context, url string) bool {
		resp, err := client.Get(url)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// tinySpec is a model of that container.
func tinySpec(id string, replicas int64) fleet.Spec {
	container := "tiny"
	return fleet.Spec{Generation: 1, Replicas: replicas, Health: "/health", Definition: fleet.Definition{ModelID: id, ModelName: id, Container: &container,
		ContainerConfig: &fleet.ContainerConfig{Environment: map[string]string{asServer: "1"}}}}
}

// TestEnsure_noRoom: a second server for which there is no room takes nothing from the first.
func TestEnsure_noRoom(t *testing.T) {
	h := newHost(t, Options{Now: time.Now}, "sh", "-c", `mkdir {dir}/room && exec "$0"`, self(t))
	spec := tinySpec("m", 1)
	ensure := func() (ready int, seen fleet.Observed) {
		t.Helper()
		seen, err := h.Ensure(t.Context(), spec)
		if err != nil || seen.Failure != "" {
			t.Fatalf("%v %q", err, seen.Failure)
		}
		for _, s := range seen.Servers {
			if s.Ready {
				ready++
			}
		}
		return ready, seen
	}
	for n, _ := ensure(); n == 0; n, _ = ensure() {
		<-time.After(5 * time.Millisecond)
	}
	spec.Replicas = 2
	m := h.model("m")
	for m.deaths < 2 {
		if n, seen := ensure(); n != 1 {
			t.Fatalf("%d ready: %+v", n, seen)
		}
		<-time.After(5 * time.Millisecond)
	}
	for gone := false; !gone; <-time.After(5 * time.Millisecond) {
		var err error
		if gone, err = h.Delete(t.Context(), "m"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEnsure_leaving: a server that goes while others stay gets no more calls, is told to end when all gateways know that, and finishes what it
// has. When the model stops it need not wait.
func TestEnsure_leaving(t *testing.T) {
	var later time.Duration
	client := &http.Client{Timeout: 30 * time.Second}
	h := newHost(t, Options{Now: func() time.Time { return time.Now().Add(later) }, Linger: time.Minute, Drain: time.Hour}, self(t))
	spec := tinySpec("m", 0)
	ensure := func(replicas int64) (ready, other []string) {
		t.Helper()
		spec.Replicas = replicas
		seen, err := h.Ensure(t.Context(), spec)
		if err != nil || seen.Failure != "" {
			t.Fatalf("%v %q", err, seen.Failure)
		}
		for _, s := range seen.Servers {
			if s.Ready {
				ready = append(ready, s.URL)
			} else {
				other = append(other, s.URL)
			}
		}
		return ready, other
	}
	until := func(replicas int64, what string, is func(ready, other []string) bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !is(ensure(replicas)); <-time.After(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	until(2, "two are never ready", func(ready, _ []string) bool { return len(ready) == 2 })
	_, leaving := ensure(1)
	if len(leaving) != 1 {
		t.Fatalf("%q leave", leaving)
	}
	file := filepath.Join(t.TempDir(), "go")
	done := make(chan error, 1)
	call := func() {
		resp, err := client.Get(leaving[0] + "/slow?file=" + url.QueryEscape(file))
		if err == nil {
			_ = resp.Body.Close()
		}
		done <- err
	}
	go call() // of a gateway that does not know yet
	refuses := func() bool {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(leaving[0] + "/health")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err != nil
	}
	if _, still := ensure(1); len(still) != 1 || refuses() {
		t.Fatal("it was told to end while gateways may not know")
	}
	later = time.Minute + time.Second
	until(1, "it is not told to end", func(_, _ []string) bool { return refuses() })
	later += termGrace + time.Minute
	if _, still := ensure(1); len(still) != 1 || len(done) > 0 {
		t.Fatalf("with a call on it: %q", still)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("its call was cut: %v", err)
	}
	until(1, "it does not end", func(ready, other []string) bool { return len(ready) == 1 && len(other) == 0 })

	until(2, "two are never ready again", func(ready, _ []string) bool { return len(ready) == 2 })
	ensure(1)
	until(0, "the one that was leaving waits for calls that can't come", func(ready, other []string) bool { return len(ready)+len(other) == 0 })
}
