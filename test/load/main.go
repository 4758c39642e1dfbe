// Command load measures Weir beside nginx as a plain proxy, in front of the same `weir mock`, in alternation, on one machine, and prints a
// table. CPU is what the operating system charged to the processes, so that a noisy machine or a slow client does not show in it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"
)

// scenario is one kind of traffic.
type scenario struct {
	name     string
	body     string
	parallel int
	calls    int // of one round
	target   float64
}

const key = "sk-bench-key-0123456789"

func main() {
	weir := flag.String("weir", "bin/weir", "the program to measure")
	rounds := flag.Int("rounds", 5, "rounds of each scenario per proxy")
	scale := flag.Float64("scale", 1, "factor on the number of calls")
	only := flag.String("only", "", "run only scenarios whose name contains this")
	streams := flag.Int("open", 1000, "open slow streams for the memory figure; 0: skip")
	flag.Parse()
	if err := run(*weir, *rounds, *scale, *only, *streams); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(weir string, rounds int, scale float64, only string, streams int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "weir-load")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := start(ctx, weir, dir)
	if err != nil {
		return err
	}
	defer b.stop()
	scenarios := []scenario{
		{"2 KB call", chat("mock?text=ok", 2<<10, false), 16, 6000, 3},
		{"200 KB call", chat("mock?text=ok", 200<<10, false), 8, 800, 2},
		{"stream of 100 chunks", chat("mock?chunks=100&pace=2ms&bytes=1200", 2<<10, true), 32, 320, 1.5},
	}
	rest := rss(b.weir.pid())
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "scenario\tnginx CPU us\tWeir CPU us\tratio\ttarget\tnginx p50 +us\tWeir p50 +us\tnginx p99 +us\tWeir p99 +us\t")
	failed := false
	for _, s := range scenarios {
		if !strings.Contains(s.name, only) {
			continue
		}
		s.calls = max(s.parallel, int(float64(s.calls)*scale))
		r, err := b.measure(s, rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		ratio := r["weir"].cpu / r["nginx"].cpu
		failed = failed || ratio > s.target
		fmt.Fprintf(out, "%s\t%.1f\t%.1f\t%.2fx\t<= %.1fx\t%.0f\t%.0f\t%.0f\t%.0f\t\n", s.name, r["nginx"].cpu, r["weir"].cpu, ratio, s.target,
			r["nginx"].p50-r["direct"].p50, r["weir"].p50-r["direct"].p50, r["nginx"].p99-r["direct"].p99, r["weir"].p99-r["direct"].p99)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	fmt.Printf("memory at rest: %.1f MiB (target <= 25)\n", float64(rest)/(1<<20))
	failed = failed || rest > 25<<20
	if streams > 0 {
		per, err := b.openStreams(streams)
		if err != nil {
			return fmt.Errorf("open streams: %w", err)
		}
		fmt.Printf("memory per open slow stream, of %d: %.1f KiB (target <= 60)\n", streams, per/(1<<10))
		failed = failed || per > 60<<10
	}
	if failed {
		fmt.Println("a target was missed")
	}
	return nil
}

// chat builds a request of about size bytes.
func chat(model string, size int, stream bool) string {
	head := fmt.Sprintf(`{"model":%q,"stream":%v,"messages":[{"role":"user","content":"`, model, stream)
	return head + strings.Repeat("All work and no play makes Jack a dull boy. ", max(0, size-len(head)-4)/44) + `"}]}`
}

// bench is what is being measured, running.
type bench struct {
	mock, nginx, weir *process
	urls              map[string]string
	client            *http.Client
}

// process is one server and its address.
type process struct {
	cmd *exec.Cmd
	log *os.File
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (b *bench) stop() {
	for _, p := range []*process{b.weir, b.nginx, b.mock} {
		if p != nil {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			_ = p.cmd.Wait()
			_ = p.log.Close()
		}
	}
}

// start runs the mock, nginx and Weir on free ports.
func start(ctx context.Context, weir, dir string) (*bench, error) {
	ports := make([]int, 3)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		ports[i] = l.Addr().(*net.TCPAddr).Port
		defer l.Close()
	}
	mockURL := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	files := map[string]string{
		"nginx.conf": fmt.Sprintf(nginxConf, dir, dir, dir, dir, dir, dir, dir, ports[0], ports[1]),
		"weir.yaml": fmt.Sprintf("model_list:\n- model_name: mock*\n  litellm_params: {model: hosted_vllm/mock*, api_base: %s/v1, api_key: sk-up}\n"+
			"weir:\n  keys:\n  - {key: %s, key_alias: bench, user_id: u, team_id: t}\n", mockURL, key),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	b := &bench{urls: map[string]string{"direct": mockURL, "nginx": fmt.Sprintf("http://127.0.0.1:%d", ports[1]), "weir": fmt.Sprintf("http://127.0.0.1:%d", ports[2])}}
	b.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2000, DisableCompression: true}}
	var err error
	for _, p := range []struct {
		to   **process
		args []string
	}{
		{&b.mock, []string{weir, "mock", "--port", strconv.Itoa(ports[0])}},
		{&b.nginx, []string{"nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "nginx.err")}},
		{&b.weir, []string{weir, "serve", "--config", filepath.Join(dir, "weir.yaml"), "--host", "127.0.0.1", "--port", strconv.Itoa(ports[2]), "--data-dir", filepath.Join(dir, "data")}},
	} {
		if *p.to, err = spawn(ctx, dir, p.args); err != nil {
			b.stop()
			return nil, err
		}
	}
	for name, url := range b.urls {
		if err := b.wait(url); err != nil {
			b.stop()
			return nil, fmt.Errorf("%s did not start: %w", name, err)
		}
	}
	return b, nil
}

func spawn(ctx context.Context, dir string, args []string) (*process, error) {
	log, err := os.CreateTemp(dir, filepath.Base(args[0])+"-*.log")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	return &process{cmd, log}, nil
}

// wait asks until the server answers.
func (b *bench) wait(url string) error {
	var err error
	for range 200 {
		if _, err = b.call(url, chat("mock?text=ok", 300, false)); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// call makes one request and reads the answer to its end.
func (b *bench) call(url, body string) (time.Duration, error) {
	req, err := http.NewRequest(http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
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

// figures of one proxy in one scenario: medians over the rounds, in microseconds.
type figures struct{ cpu, p50, p99 float64 }

// measure runs rounds of direct, nginx, Weir, in turn.
func (b *bench) measure(s scenario, rounds int) (map[string]figures, error) {
	samples := map[string][]figures{}
	pids := map[string]func() []int{"direct": func() []int { return nil }, "nginx": func() []int { return tree(b.nginx.pid()) }, "weir": func() []int { return []int{b.weir.pid()} }}
	for round := -1; round < rounds; round++ { // the first warms up
		for _, name := range []string{"direct", "nginx", "weir"} {
			before := cpu(pids[name]())
			times, err := b.burst(b.urls[name], s)
			if err != nil {
				return nil, fmt.Errorf("through %s: %w", name, err)
			}
			used := cpu(pids[name]()) - before
			if round >= 0 {
				slices.Sort(times)
				at := func(q float64) float64 { return float64(times[int(q*float64(len(times)-1))].Microseconds()) }
				samples[name] = append(samples[name], figures{float64(used.Nanoseconds()) / 1e3 / float64(s.calls), at(.5), at(.99)})
			}
		}
	}
	out := map[string]figures{}
	for name, list := range samples {
		out[name] = figures{median(list, func(f figures) float64 { return f.cpu }), median(list, func(f figures) float64 { return f.p50 }), median(list, func(f figures) float64 { return f.p99 })}
	}
	return out, nil
}

func median(list []figures, get func(figures) float64) float64 {
	v := make([]float64, len(list))
	for i := range list {
		v[i] = get(list[i])
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// burst makes the scenario's calls from its number of clients.
func (b *bench) burst(url string, s scenario) ([]time.Duration, error) {
	times := make([]time.Duration, s.calls)
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, s.parallel)
	for range s.parallel {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= s.calls {
					return
				}
				d, err := b.call(url, s.body)
				if err != nil {
					errs <- err
					return
				}
				times[i] = d
			}
		})
	}
	group.Wait()
	select {
	case err := <-errs:
		return nil, err
	default:
		return times, nil
	}
}

// openStreams opens n slow streams through Weir and gives what each costs in memory.
func (b *bench) openStreams(n int) (float64, error) {
	before := rss(b.weir.pid())
	body := chat("mock?chunks=8&pace=4s&bytes=200", 2<<10, true)
	var open []*http.Response
	defer func() {
		for _, r := range open {
			_ = r.Body.Close()
		}
	}()
	var mu sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, 50)
	var first error
	for range n {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			req, err := http.NewRequest(http.MethodPost, b.urls["weir"]+"/v1/chat/completions", strings.NewReader(body))
			if err == nil {
				req.Header.Set("Authorization", "Bearer "+key)
				var resp *http.Response
				if resp, err = b.client.Do(req); err == nil {
					_, err = resp.Body.Read(make([]byte, 512))
					mu.Lock()
					open = append(open, resp)
					mu.Unlock()
				}
			}
			if err != nil {
				mu.Lock()
				first = errors.Join(first, err)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if first != nil {
		return 0, first
	}
	time.Sleep(2 * time.Second)
	return float64(rss(b.weir.pid())-before) / float64(n), nil
}

// cpu sums what the operating system charged to processes, all threads.
func cpu(pids []int) time.Duration {
	var sum time.Duration
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is well formed
		for _, t := range tasks {
			b, err := os.ReadFile(t)
			if err != nil {
				continue // the thread ended
			}
			first, _, _ := strings.Cut(string(b), " ")
			ns, _ := strconv.ParseInt(first, 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// tree is a process and its children: nginx's master and workers.
func tree(pid int) []int {
	out := []int{pid}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return out
	}
	for _, f := range strings.Fields(string(b)) {
		if child, err := strconv.Atoi(f); err == nil {
			out = append(out, child)
		}
	}
	return out
}

// rss is a process's resident memory in bytes.
func rss(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// nginxConf is nginx as lean as it gets: no log, connections kept alive on both sides, nothing buffered on its way back.
const nginxConf = `daemon off;
worker_processes auto;
pid %s/nginx.pid;
error_log %s/nginx.err;
events { worker_connections 4096; }
http {
  access_log off;
  client_max_body_size 100m;
  client_body_buffer_size 512k;
  client_body_temp_path %s/t1; proxy_temp_path %s/t2; fastcgi_temp_path %s/t3; uwsgi_temp_path %s/t4; scgi_temp_path %s/t5;
  upstream mock { server 127.0.0.1:%d; keepalive 256; }
  server {
    listen 127.0.0.1:%d;
    keepalive_requests 1000000;
    location / {
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }
  }
}
`
