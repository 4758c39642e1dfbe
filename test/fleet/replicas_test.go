package fleet

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/test/gwtest"
)

// stream is an answer on its way.
type stream struct {
	text  bytes.Buffer  // all of it, once done is closed
	began chan struct{} // closed with the first chunk
	done  chan struct{}
}

// begin calls a model for a stream and returns when its first chunk is there.
func begin(t *testing.T, g *gwtest.Gateway, id string) *stream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/v2/serve/chat/completions",
		strings.NewReader(fmt.Sprintf(`{"model":%q,"stream":true,"messages":[{"role":"user","content":"hello"}]}`, id)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+gwtest.MasterKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{began: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		defer func() { _ = resp.Body.Close() }()
		lines := bufio.NewReader(resp.Body)
		for n := 0; ; n++ {
			line, err := lines.ReadString('\n')
			s.text.WriteString(line)
			if n == 0 {
				close(s.began)
			}
			if err != nil {
				return
			}
		}
	}()
	<-s.began
	if resp.StatusCode != http.StatusOK {
		<-s.done
		t.Fatalf("%d %s", resp.StatusCode, s.text.String())
	}
	return s
}

// TestReplicas holds two gateways on one database to one fleet: the first has the lease and the servers, the calls come through the second.
func TestReplicas(t *testing.T) {
	pg := gwtest.StartPostgres(t)
	// pair starts them with a model whose streams last as long as chunks take at ten a second.
	pair := func(t *testing.T, chunks int, drain time.Duration) (leader, other *gwtest.Gateway) {
		t.Helper()
		database := pg.Database(t)
		yaml := fmt.Sprintf(`
general_settings: {database_url: %[1]q}
fleet:
  deadlines: {drain: %[2]s}
  process:
    profiles:
      mock: {command: [%[3]q, mock, --host, 127.0.0.1, --port, "{port}", --bytes, "%[4]d", --chunks, "%[4]d", --pace, 100ms], health: /health}
`, database, drain, gwtest.Build(t), chunks)
		leader = gwtest.StartIn(t, t.TempDir(), yaml, app.Options{})
		ok(t, leader.Post(t, "/api/models", strings.NewReplacer(`"targetValue":30`, `"targetValue":1`, `"defaultInstanceWarmup":60`, `"defaultInstanceWarmup":1`).
			Replace(definition("m", "mock", ""))))
		awaits(t, leader, "m", "InService")
		other = gwtest.StartIn(t, t.TempDir(), yaml, app.Options{})
		return leader, other
	}
	t.Run("drain", func(t *testing.T) {
		leader, other := pair(t, 40, time.Minute)
		s := begin(t, other, "m")
		ok(t, leader.Do(t, http.MethodPut, "/api/models/m", `{"enabled":false}`))
		awaits(t, leader, "m", "Stopped")
		select {
		case <-s.done:
		case <-time.After(10 * time.Second):
			t.Fatal("the servers are gone and the stream has not ended")
		}
		if !strings.Contains(s.text.String(), "data: [DONE]") {
			t.Errorf("a stream that another replica had open was cut: %s", s.text.String())
		}
	})
	t.Run("deadline", func(t *testing.T) {
		const drain = 2 * time.Second
		leader, other := pair(t, 6000, drain)
		s := begin(t, other, "m")
		asked := time.Now()
		ok(t, leader.Do(t, http.MethodPut, "/api/models/m", `{"enabled":false}`))
		awaits(t, leader, "m", "Stopped")
		if took := time.Since(asked); took < drain {
			t.Errorf("stopped after %v, with a stream open on another replica and %v to wait for it", took, drain)
		}
		<-s.done
		if strings.Contains(s.text.String(), "data: [DONE]") {
			t.Error("a stream whose server was stopped ended as if it were whole")
		}
	})
	t.Run("scale", func(t *testing.T) {
		leader, other := pair(t, 6000, time.Second)
		for range 3 {
			begin(t, other, "m")
		}
		for deadline := time.Now().Add(30 * time.Second); servers(t, leader) != 3; <-time.After(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d servers for three calls through another replica, at one call a server\n%s", servers(t, leader), leader.Log)
			}
		}
	})
}
