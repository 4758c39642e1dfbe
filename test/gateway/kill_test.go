package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
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
	bin := gwtest.Build(t)
	up := httptest.NewServer(mock.New(mock.Options{Text: "one two three"}, nil))
	defer up.Close()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(config(up.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(dir, "weir.db")
	whole := map[string]int{}
	for range kills {
		p := gwtest.StartProgram(t, bin, file, filepath.Join(dir, "data"), "DATABASE_URL="+database)
		for id := range hammer(t, p, clients) {
			whole[id]++
		}
	}
	p := gwtest.StartProgram(t, bin, file, filepath.Join(dir, "data"), "DATABASE_URL="+database)
	p.Stop(t, syscall.SIGTERM)
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

// hammer calls from many clients at once, kills the program in the middle of it, and gives the ids of the calls that were answered whole.
func hammer(t *testing.T, p *gwtest.Program, clients int) map[string]bool {
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
				id, err := wholeCall(ctx, client, p.URL, (i+n)%3 == 0)
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
		t.Fatalf("too few calls were answered\n%s", p.Log)
	}
	<-time.After(time.Duration(rand.IntN(600)) * time.Millisecond) // any moment: between two drains, in the middle of one
	p.Stop(t, syscall.SIGKILL)
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
