package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// bench is what is being measured, running.
type bench struct {
	mock, nginx, weir *process
	client            *http.Client
}

// process is one server.
type process struct {
	name string
	url  string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; valid once done is closed
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// start runs the mock, nginx and Weir. Their ports are free when asked for, but somebody may take one before its server does: then all is
// tried again.
func start(ctx context.Context, o options, dir string) (*bench, error) {
	weir, err := filepath.Abs(o.weir)
	if err != nil {
		return nil, err
	}
	o.weir = weir
	for try := 0; ; try++ {
		sub := filepath.Join(dir, strconv.Itoa(try))
		if err := os.Mkdir(sub, 0o755); err != nil {
			return nil, err
		}
		b := &bench{client: newClient()}
		if err = b.startIn(ctx, o, sub); err == nil {
			return b, nil
		}
		err = fmt.Errorf("%w\n%s", err, b.said())
		b.stop()
		if try == 2 || ctx.Err() != nil || !strings.Contains(err.Error(), "in use") {
			return nil, err
		}
	}
}

func (b *bench) startIn(ctx context.Context, o options, dir string) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	url := func(i int) string { return fmt.Sprintf("http://127.0.0.1:%d", ports[i]) }
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // its workers would otherwise become somebody who may not enter the directory
	}
	files := map[string]string{
		"nginx.conf": fmt.Sprintf(nginxConf, user, ports[0], ports[1]),
		"weir.yaml": fmt.Sprintf("model_list:\n- model_name: mock*\n  litellm_params: {model: hosted_vllm/mock*, api_base: %s/v1, api_key: sk-up}\n"+
			"weir:\n  keys:\n  - {key: %s, key_alias: bench, user_id: u, team_id: t}\n", url(0), key),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	serve := []string{o.weir, "serve", "--config", "weir.yaml", "--host", "127.0.0.1", "--port", strconv.Itoa(ports[2]), "--data-dir", filepath.Join(dir, "data")}
	if o.profile != "" {
		serve = append(serve, "--pprof")
	}
	for _, p := range []struct {
		to   **process
		name string
		url  string
		args []string
	}{
		{&b.mock, "mock", url(0), []string{o.weir, "mock", "--port", strconv.Itoa(ports[0])}},
		{&b.nginx, "nginx", url(1), []string{o.nginx, "-p", dir + "/", "-c", "nginx.conf", "-e", "nginx.err"}},
		{&b.weir, "weir", url(2), serve},
	} {
		if *p.to, err = spawn(dir, p.name, p.url, p.args); err != nil {
			return err
		}
		if err := b.ready(ctx, *p.to); err != nil {
			return err
		}
	}
	return nil
}

// freePorts finds ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all of them only now, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// spawn starts a server with nothing of our environment that could change what it does.
func spawn(dir, name, url string, args []string) (*process, error) {
	p := &process{name: name, url: url, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, log, log
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "WEIR_MASTER_KEY=" + masterKey, "GODEBUG=" + os.Getenv("GODEBUG")}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// ready asks until the server answers, it ends, or ten seconds are over.
func (b *bench) ready(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("it does not answer"))
	defer cancel()
	for {
		_, err := b.call(ctx, p.url, chat("mock?text=ok", 300, false), key)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %v", p.name, p.err)
		default:
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("%s did not start: %w: %w", p.name, context.Cause(ctx), err)
		}
	}
}

// stop ends the servers, the patient way and then the other.
func (b *bench) stop() {
	b.client.CloseIdleConnections()
	for _, p := range []*process{b.weir, b.nginx, b.mock} {
		if p == nil {
			continue
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
}

// said is the end of what each server wrote, and how those that ended did.
func (b *bench) said() string {
	var out bytes.Buffer
	for _, p := range []*process{b.mock, b.nginx, b.weir} {
		if p == nil {
			continue
		}
		text, err := os.ReadFile(p.log)
		if err != nil {
			text = []byte(err.Error())
		}
		const most = 2000
		text = bytes.TrimSpace(text[max(0, len(text)-most):])
		state := "running"
		select {
		case <-p.done:
			state = fmt.Sprintf("ended: %v", p.err)
		default:
		}
		fmt.Fprintf(&out, "--- %s (%s)\n%s\n", p.name, state, text)
	}
	return out.String()
}

// cpu sums what the operating system charged to processes, all threads. A thread that ended in between takes its time with it; neither
// nginx nor the Go runtime ends threads in the middle of work.
func cpu(pids []int) time.Duration {
	var sum time.Duration
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is well formed
		for _, t := range tasks {
			b, err := os.ReadFile(t)
			if err != nil {
				continue
			}
			first, _, _ := strings.Cut(string(b), " ")
			ns, _ := strconv.ParseInt(first, 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// tree is the process and its children: nginx's master and workers.
func (p *process) tree() []int {
	out := []int{p.pid()}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.pid(), p.pid()))
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

// nginxConf is nginx as lean as it gets: no log, connections kept alive on both sides, nothing buffered on its way back, no temporary file.
const nginxConf = `daemon off;
%s
worker_processes auto;
pid nginx.pid;
error_log stderr;
events { worker_connections 4096; }
http {
  access_log off;
  client_max_body_size 100m;
  client_body_buffer_size 512k;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
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
