package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	key       = "sk-bench-key-0123456789"
	masterKey = "sk-bench-master-0123456789"
	// patience is how long one call may take; the longest, a stream, takes a quarter of a second.
	patience = 20 * time.Second
)

// endpoint is where a burst goes, and whose CPU it costs.
type endpoint struct {
	name, url string
	pids      []int
}

func (b *bench) direct() endpoint   { return endpoint{"nothing", b.mock.url, nil} }
func (b *bench) viaNginx() endpoint { return endpoint{"nginx", b.nginx.url, b.nginx.tree()} }
func (b *bench) viaWeir() endpoint  { return endpoint{"Weir", b.weir.url, b.weir.tree()} }

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2000, DisableCompression: true}}
}

func request(ctx context.Context, url, body, key string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// call makes one request and reads the answer to its end.
func (b *bench) call(ctx context.Context, url, body, key string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := request(ctx, url, body, key)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d: %.200s", resp.StatusCode, answer)
	}
	if strings.Contains(body, `"stream":true`) && !bytes.Contains(answer, []byte("[DONE]")) {
		return 0, errors.New("a stream without its end")
	}
	return time.Since(began), nil
}

// burst makes the scenario's calls from its number of clients. The first error ends it.
func (b *bench) burst(ctx context.Context, to endpoint, s scenario) (figures, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	times := make([]time.Duration, s.calls)
	var next atomic.Int64
	var group sync.WaitGroup
	before := cpu(to.pids)
	for range s.parallel {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= s.calls {
					return
				}
				d, err := b.call(ctx, to.url, s.body, s.key)
				if err != nil {
					cancel(err)
					return
				}
				times[i] = d
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return figures{}, context.Cause(ctx)
	}
	used := cpu(to.pids) - before
	slices.Sort(times)
	at := func(q float64) float64 { return float64(times[int(q*float64(len(times)-1))].Microseconds()) }
	return figures{float64(used.Nanoseconds()) / 1e3 / float64(s.calls), at(.5), at(.99)}, nil
}

// openStreams opens n slow streams through Weir and gives what each costs in memory.
func (b *bench) openStreams(ctx context.Context, n int) (float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	before := rss(b.weir.pid())
	body := chat("mock?chunks=40&pace=1s&bytes=2000", 2<<10, true)
	var group sync.WaitGroup
	defer group.Wait()
	slots := make(chan struct{}, 50)
	var opened sync.WaitGroup
	opened.Add(n)
	for range n {
		slots <- struct{}{}
		group.Go(func() {
			err := b.openStream(ctx, body, func() { opened.Done(); <-slots })
			if err != nil {
				cancel(err)
			}
		})
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
	opened.Wait()
	if err := pause(ctx, 4*time.Second); err != nil {
		return 0, err
	}
	grown := rss(b.weir.pid()) - before
	cancel(nil)
	return float64(grown) / float64(n), nil
}

// openStream reads a stream until the context ends, which is no error; an end before that is one. begun is called once, when the first
// bytes are there or nothing will come.
func (b *bench) openStream(ctx context.Context, body string, begun func()) error {
	told := sync.OnceFunc(begun)
	defer told()
	req, err := request(ctx, b.weir.url, body, key)
	if err != nil {
		return err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	buf := make([]byte, 512)
	for {
		_, err := resp.Body.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("a slow stream ended early: %w", err)
		}
		told()
	}
}

// writeProfile runs the scenario once more while Weir profiles itself.
func (b *bench) writeProfile(ctx context.Context, s scenario, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.weir.url+"/debug/pprof/profile?seconds=5", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+masterKey)
	load, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() {
		for load.Err() == nil {
			if _, err := b.burst(load, b.viaWeir(), s); err != nil && load.Err() == nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	profile, err := io.ReadAll(resp.Body)
	stop()
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: status %d: %.200s", resp.StatusCode, profile)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, strings.ReplaceAll(s.name, " ", "-")+".pprof"), profile, 0o644)
}

// limitedKey makes a key on which all there is to ask holds: a team, a user and their place in it, each with a budget, requests, tokens and
// parallel calls, the key with those and with limits for the model as well. None of them is ever reached.
func (b *bench) limitedKey(ctx context.Context) (string, error) {
	const limits = `"max_budget":1e9,"budget_duration":"1mo","rpm_limit":1000000000,"tpm_limit":1000000000000`
	var made struct {
		Key    string `json:"key"`
		UserID string `json:"user_id"`
		TeamID string `json:"team_id"`
	}
	if err := b.manage(ctx, "/user/new", `{"user_id":"bench-user","auto_create_key":false,"max_parallel_requests":100000,`+limits+`}`, &made); err != nil {
		return "", err
	}
	if err := b.manage(ctx, "/team/new", `{"team_id":"bench-team","members_with_roles":[{"role":"user","user_id":"bench-user"}],`+
		`"team_member_budget":1e9,"team_member_rpm_limit":1000000000,"team_member_tpm_limit":1000000000000,`+limits+`}`, &made); err != nil {
		return "", err
	}
	err := b.manage(ctx, "/key/generate", `{"user_id":"bench-user","team_id":"bench-team","max_parallel_requests":100000,`+
		`"model_rpm_limit":{"mock?text=ok":1000000000},"model_tpm_limit":{"mock?text=ok":1000000000000},`+limits+`}`, &made)
	return made.Key, err
}

func (b *bench) manage(ctx context.Context, path, body string, into any) error {
	req, err := request(ctx, b.weir.url, body, masterKey)
	if err != nil {
		return err
	}
	req.URL.Path = path
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, resp.StatusCode, answer)
	}
	if err == nil {
		err = json.Unmarshal(answer, into)
	}
	return err
}
