// Package replicas tries several whole gateways on one PostgreSQL, with and without a Redis between them: what one is told the others know,
// limits and budgets are one for all, and the books balance whatever is killed. A gateway that is to be killed is this test program, run again
// as one.
package replicas

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	_ "github.com/jackc/pgx/v5/stdlib" // the database/sql driver "pgx"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/test/gwtest"
)

// childVar holds the data directory of a gateway that this program is to be; its configuration is in DATABASE_URL and so on.
const childVar = "WEIR_TEST_REPLICA"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVar); dir != "" {
		if err := serve(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve is a gateway that says on standard output where it listens, and ends with its standard input.
func serve(dir string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	a, _, err := app.New(ctx, app.Options{ConfigPath: os.Getenv("WEIR_TEST_CONFIG"), Host: "127.0.0.1", AdminListen: "127.0.0.1:0", DataDir: dir,
		MasterKey: gwtest.MasterKey, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), ShutdownTimeout: 5 * time.Second})
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	fmt.Println(a.URL())
	return a.Run(ctx)
}

// Test runs everything on one PostgreSQL and one Redis, each with a database of its own; those who stop a server start it again.
func Test(t *testing.T) {
	pg, redis := gwtest.StartPostgres(t), gwtest.StartRedis(t)
	f := func(name string, test func(*testing.T, *gwtest.Postgres, *gwtest.Redis)) {
		t.Run(name, func(t *testing.T) { test(t, pg, redis) })
	}
	f("changes", changes)
	f("spend", spendShared)
	f("rates", rates)
	f("window", window)
	f("parallel", parallel)
	f("killed", budgetKilled)
	f("redis", outageRedis)
	f("postgresql", outagePostgres)
	f("once", once)
}

// world is what gateways share.
type world struct {
	pg       *gwtest.Postgres
	database string
	sql      *sql.DB
	redis    *gwtest.Redis // nil: none
	yaml     string
	shift    atomic.Int64 // how far the clocks of gateways in this process go ahead, in ns
}

// model costs 0.001 USD for a token in and 0.01 for one out, of which hello has 5 each.
const model = `
model_list:
  - model_name: m
    litellm_params: {model: openai/up, api_key: k, api_base: "URL", input_cost_per_token: 0.001, output_cost_per_token: 0.01}
`

const (
	helloCost = 55_000_000 // nano-USD
	// hello is estimated at 27 or 28 tokens in and 5 out.
	hello        = `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi there, how do you do"}]}`
	helloAtMost  = 100_000_000 // its estimate is less
	upstreamSays = `{"id":"x","object":"chat.completion","model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10}}`
)

func newWorld(t *testing.T, pg *gwtest.Postgres, redis *gwtest.Redis, upstream, more string) *world {
	t.Helper()
	w := &world{pg: pg, database: pg.Database(t), redis: redis, yaml: strings.Replace(model, "URL", upstream, 1) + more}
	var err error
	if w.sql, err = sql.Open("pgx", w.database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.sql.Close() })
	return w
}

func (w *world) env(name string) string {
	switch {
	case name == "DATABASE_URL":
		return w.database
	case name == "REDIS_URL" && w.redis != nil:
		return w.redis.URL()
	}
	return ""
}

// gateway starts a replica in this process.
func (w *world) gateway(t *testing.T) *gwtest.Gateway {
	t.Helper()
	return gwtest.StartIn(t, t.TempDir(), w.yaml, app.Options{Env: w.env, Now: func() time.Time { return time.Now().Add(time.Duration(w.shift.Load())) }})
}

// child is a replica of its own process.
type child struct {
	*gwtest.Gateway // only its URL is set
	cmd             *exec.Cmd
	in              io.Closer
	done            chan error
	log             gwtest.Buffer
}

// child starts a replica that may be killed.
func (w *world) child(t *testing.T, dir string) *child {
	t.Helper()
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte(w.yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &child{Gateway: &gwtest.Gateway{DataDir: dir}, cmd: exec.Command(os.Args[0]), done: make(chan error, 1)}
	c.cmd.Env = []string{childVar + "=" + dir, "WEIR_TEST_CONFIG=" + config, "DATABASE_URL=" + w.database, "REDIS_URL=" + w.env("REDIS_URL")}
	c.cmd.Stderr = &c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n') // an error shows as an empty line
	go func() { c.done <- c.cmd.Wait() }()
	t.Cleanup(func() { _ = c.cmd.Process.Kill() }) // it has ended unless the test failed
	if c.URL = strings.TrimSpace(line); c.URL == "" {
		t.Fatalf("the replica did not start: %v\n%s", <-c.done, c.log.String())
	}
	return c
}

// kill is kill -9.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-c.done
}

// stop lets the replica end in good order.
func (c *child) stop(t *testing.T) {
	t.Helper()
	_ = c.in.Close()
	if err := <-c.done; err != nil {
		t.Errorf("the replica ended with %v\n%s", err, c.log.String())
	}
}

// newKey makes a key with the fields given (JSON members).
func newKey(t *testing.T, g *gwtest.Gateway, fields string) string {
	t.Helper()
	a := g.Post(t, "/key/generate", "{"+fields+"}")
	var out struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(a.Body, &out); err != nil || a.Status != http.StatusOK {
		t.Fatalf("/key/generate {%s}: %d %s", fields, a.Status, a.Body)
	}
	return out.Key
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}}

// call says hello with a key and gives the status; 0: there was no answer.
func call(t *testing.T, url, key, body string) (int, http.Header) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, nil
	}
	return resp.StatusCode, resp.Header
}

// knows waits until a replica knows a key, which takes it a second at most; nothing is charged for asking.
func knows(t *testing.T, g *gwtest.Gateway, key string) {
	t.Helper()
	within(t, time.Second, "the replica knows the key", func() bool {
		return g.Get(t, "/v1/models", "Authorization", "Bearer "+key).Status == http.StatusOK
	})
}

// number is the one number that a query gives; -1 while the database is away.
func (w *world) number(t *testing.T, query string, args ...any) int64 {
	t.Helper()
	return number(t, w.sql, query, args...)
}

func number(t *testing.T, in interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, query string, args ...any) (n int64) {
	if err := in.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		return -1
	}
	return n
}

const spentOf = `SELECT CAST(COALESCE(SUM(cost), 0) AS BIGINT) FROM records WHERE key_hash = $1`

// spent is the sum of the records of a key.
func (w *world) spent(t *testing.T, key string) int64 {
	t.Helper()
	return w.number(t, spentOf, auth.Hash(key))
}

// watch looks at the records of a key as they come in, until it is asked how long the last of them took to be there.
func (w *world) watch(t *testing.T, key string) (longest func() time.Duration) {
	var lag time.Duration
	seen, stop := w.paid(t, key), make(chan struct{})
	var watching sync.WaitGroup
	end := sync.OnceFunc(func() {
		close(stop)
		watching.Wait()
	})
	t.Cleanup(end)
	watching.Go(func() {
		every := time.NewTicker(50 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-every.C:
			case <-stop:
				return
			}
			for id, ended := range w.paid(t, key) {
				if _, ok := seen[id]; !ok {
					seen[id] = ended
					lag = max(lag, time.Since(ended))
				}
			}
		}
	})
	return func() time.Duration {
		end()
		return lag
	}
}

// paid is when each call of a key ended that was answered, or is charged because its replica died with it.
func (w *world) paid(t *testing.T, key string) map[string]time.Time {
	t.Helper()
	rows, err := w.sql.QueryContext(t.Context(), `SELECT id, ended FROM records WHERE key_hash = $1 AND (status = 200 OR lost)`, auth.Hash(key))
	if err != nil {
		t.Error(err)
		return nil
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	out := map[string]time.Time{}
	for rows.Next() {
		var id string
		var ended int64
		if err := rows.Scan(&id, &ended); err != nil {
			t.Error(err)
			return nil
		}
		out[id] = time.UnixMilli(ended)
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
	return out
}

const recordsOf = `SELECT COUNT(*) FROM records WHERE key_hash = $1`

func (w *world) records(t *testing.T, key string) int64 {
	t.Helper()
	return w.number(t, recordsOf, auth.Hash(key))
}

// balanced holds that every view of what a key has spent says the same.
func (w *world) balanced(t *testing.T, g *gwtest.Gateway, key string) {
	t.Helper()
	// One moment for all: refused calls, which cost nothing, may be coming in.
	now, err := w.sql.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = now.Rollback() }() // it has changed nothing
	hash := auth.Hash(key)
	want := number(t, now, spentOf, hash)
	for view, query := range map[string]string{
		"the spend row":   `SELECT total FROM spend WHERE kind = 'api_key' AND id = $1 AND model = ''`,
		"the model's row": `SELECT total FROM spend WHERE kind = 'api_key' AND id = $1 AND model = 'm'`,
		"the daily sums":  `SELECT CAST(SUM(spend) AS BIGINT) FROM daily WHERE key_hash = $1 AND tag = ''`,
	} {
		if got := number(t, now, query, hash); got != want {
			t.Errorf("%s has %d, the records %d", view, got, want)
		}
	}
	calls := number(t, now, `SELECT CAST(SUM(calls) AS BIGINT) FROM daily WHERE key_hash = $1 AND tag = ''`, hash)
	if records := number(t, now, recordsOf, hash); calls != records {
		t.Errorf("the daily sums count %d calls, there are %d records", calls, records)
	}
	var info struct {
		Info struct {
			Spend float64 `json:"spend"`
		} `json:"info"`
	}
	a := g.Get(t, "/key/info?key="+key)
	if err := json.Unmarshal(a.Body, &info); err != nil || int64(info.Info.Spend*1e9+0.5) != want {
		t.Errorf("/key/info says %v, the records %d: %s", info.Info.Spend, want, a.Body)
	}
}

// within waits for what must become true in the time given, and gives how long it took.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		<-time.After(10 * time.Millisecond)
	}
	return time.Since(began)
}

// settled waits until the records of so many calls of a key are in the database.
func (w *world) settled(t *testing.T, key string, calls int64) {
	t.Helper()
	within(t, 20*time.Second, fmt.Sprintf("%d records", calls), func() bool { return w.records(t, key) >= calls })
	if n := w.records(t, key); n != calls {
		t.Errorf("%d records of %d calls", n, calls)
	}
}

// upstream answers hello after a while; a message that says wait gets its answer when the test ends.
type upstream struct {
	*gwtest.Upstream
	mu      sync.Mutex
	running int
	most    int // calls at once
	waiting atomic.Int64
	hold    chan struct{}
}

func newUpstream(t *testing.T, takes time.Duration) *upstream {
	u := &upstream{hold: make(chan struct{})}
	answer := gwtest.JSON(http.StatusOK, upstreamSays)
	u.Upstream = gwtest.NewUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // it is in memory
		u.mu.Lock()
		u.running++
		u.most = max(u.most, u.running)
		u.mu.Unlock()
		if strings.Contains(string(body), "wait") {
			u.waiting.Add(1)
			select {
			case <-u.hold:
			case <-r.Context().Done():
			}
		} else if takes > 0 {
			<-time.After(takes)
		}
		u.mu.Lock()
		u.running--
		u.mu.Unlock()
		answer(rw, r)
	})
	t.Cleanup(func() { close(u.hold) })
	return u
}
