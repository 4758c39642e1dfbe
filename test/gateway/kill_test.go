package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/mock"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/test/gwtest"
)

// TestKill holds that `kill -9` under load loses no record of a call whose last byte was delivered, and makes none twice. The program is
// the real one, killed at a random moment, several times over on one data directory; then it is started once more and stopped as it
// should be, and every call that a client got whole must be in the database, once.
func TestKill(t *testing.T) {
	const clients, kills = 16, 4
	dir := t.TempDir()
	bin := filepath.Join(dir, "weir")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	up := httptest.NewServer(mock.New(mock.Options{Text: "one two three"}, nil))
	defer up.Close()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(config(up.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(dir, "weir.db")
	whole := map[string]int{}
	for range kills {
		p := startProgram(t, bin, file, filepath.Join(dir, "data"), database)
		for id := range hammer(t, p, clients) {
			whole[id]++
		}
	}
	p := startProgram(t, bin, file, filepath.Join(dir, "data"), database)
	p.stop(t, syscall.SIGTERM)
	if len(whole) < kills*clients {
		t.Fatalf("only %d calls were answered whole: too few to prove anything", len(whole))
	}
	recorded := records(t, database)
	missing := 0
	for id := range whole {
		switch n := recorded[id]; {
		case n == 0:
			missing++
		case n > 1:
			t.Errorf("call %s was recorded %d times", id, n)
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d calls that were answered whole have no record", missing, len(whole))
	}
	t.Logf("%d calls answered whole, %d records, %d kills", len(whole), len(recorded), kills)
}

// program is a running weir.
type program struct {
	url  string
	cmd  *exec.Cmd
	log  *gwtest.Buffer
	done chan error
}

// startProgram starts weir and waits for its banner.
func startProgram(t *testing.T, bin, config, data, database string) *program {
	t.Helper()
	p := &program{log: &gwtest.Buffer{}, done: make(chan error, 1)}
	p.cmd = exec.Command(bin, "serve", "--config", config, "--host", "127.0.0.1", "--port", "0", "--data-dir", data)
	p.cmd.Env = []string{"WEIR_MASTER_KEY=" + gwtest.MasterKey, "DATABASE_URL=" + database, "HOME=" + t.TempDir()}
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if _, rest, ok := strings.Cut(lines.Text(), "is listening on "); ok {
				url, _, _ := strings.Cut(rest, " ")
				ready <- url
			}
		}
		p.done <- p.cmd.Wait()
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // it has ended unless the test failed
	select {
	case p.url = <-ready:
	case err := <-p.done:
		t.Fatalf("weir ended: %v\n%s", err, p.log)
	case <-time.After(30 * time.Second):
		t.Fatalf("weir did not start\n%s", p.log)
	}
	return p
}

// stop sends a signal and waits for the end, which must be a clean one unless the signal kills.
func (p *program) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.done:
		if err != nil && signal != syscall.SIGKILL {
			t.Fatalf("weir ended with %v\n%s", err, p.log)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("weir did not end after signal %v\n%s", signal, p.log)
	}
}

// hammer calls from many clients at once, kills the program in the middle of it, and gives the ids of the calls that were answered whole.
func hammer(t *testing.T, p *program, clients int) map[string]bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var mu sync.Mutex
	whole := map[string]bool{}
	warm := make(chan struct{})
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			for n := 0; ; n++ {
				id, err := wholeCall(ctx, client, p.url, (i+n)%3 == 0)
				if err != nil {
					return // killed
				}
				mu.Lock()
				whole[id] = true
				if len(whole) == 4*clients {
					close(warm)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-warm:
	case <-ctx.Done():
		t.Fatalf("too few calls were answered\n%s", p.log)
	}
	<-time.After(time.Duration(rand.IntN(600)) * time.Millisecond) // any moment: between two drains, in the middle of one
	p.stop(t, syscall.SIGKILL)
	group.Wait()
	return whole
}

// wholeCall makes a call and gives its id if every byte of the answer came.
func wholeCall(ctx context.Context, client *http.Client, url string, stream bool) (string, error) {
	path, body := ask("openai", "m-openai", stream)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+gwtest.MasterKey)
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	// A client takes a stream for whole once it has seen its last event, however the connection ends.
	if stream && bytes.HasSuffix(answer, []byte("data: [DONE]\n\n")) {
		err = nil
	} else if stream && err == nil {
		err = fmt.Errorf("a stream without its end: %s", answer)
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, answer)
	}
	return resp.Header.Get("X-Litellm-Call-Id"), err
}

// records counts the records of each call in a database.
func records(t *testing.T, database string) map[string]int {
	t.Helper()
	s, err := store.Open(t.Context(), database, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out := map[string]int{}
	for cursor := ""; ; {
		list, next, err := s.Records(t.Context(), store.RecordFilter{}, 1000, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			out[list[i].RequestID]++
		}
		if cursor = next; cursor == "" {
			return out
		}
	}
}
