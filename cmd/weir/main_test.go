package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/gwtest"
)

// weir runs the program as a person would type it.
func weir(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs gwtest.Buffer
	err = run(t.Context(), args, &out, &errs, func(name string) string { return env[name] })
	return out.String(), errs.String(), err
}

// TestMistakes holds that a wrong line gets an answer that says what to do.
func TestMistakes(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		_, stderr, err := weir(t, nil, args...)
		if err == nil {
			t.Errorf("%q: no error", args)
			return
		}
		if got := stderr + err.Error(); !strings.Contains(got, want) {
			t.Errorf("%q: %q lacks %q", args, got, want)
		}
	}
	f("weir serve", []string{}...)
	f("unknown command", "serv")
	f("unexpected argument", "serve", "config.yaml")
	f("not defined", "serve", "--prot", "4000")
	f("use debug", "serve", "--log-level", "loud")
	f("use json", "serve", "--log-format", "xml")
	f("no such file", "serve", "--config", "/does/not/exist.yaml", "--data-dir", t.TempDir())
	f("weir config check FILE", "config", "chek")
	f("weir import litellm", "import", "lite")
	f("--database-url is missing", "import", "litellm")
}

// TestEnvironment holds that every flag has its variable, and that a wrong value is named.
func TestEnvironment(t *testing.T) {
	_, _, err := weir(t, map[string]string{"WEIR_PORT": "many"}, "serve")
	if err == nil || !strings.Contains(err.Error(), "WEIR_PORT") {
		t.Errorf("WEIR_PORT=many: %v", err)
	}
	_, stderr, err := weir(t, nil, "serve", "-h")
	if !errors.Is(err, flag.ErrHelp) || !strings.Contains(stderr, "-data-dir") {
		t.Errorf("serve -h: %v %s", err, stderr)
	}
}

// TestConfigCheck holds that unknown keys are errors there, with their line.
func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", "model_list:\n- model_name: m\n  litellm_params: {model: openai/gpt-4o, api_key: sk-x}\nlitellm_settings: {num_retries: 2}\n")
	if out, stderr, err := weir(t, nil, "config", "check", good); err != nil || !strings.Contains(out, "good") {
		t.Errorf("good: %v %s %s", err, out, stderr)
	}
	bad := write("bad.yaml", "model_list:\n- model_name: m\n  litellm_params: {model: openai/gpt-4o, api_key: sk-x}\nlitellm_settings:\n  drop_parms: true\n")
	if _, stderr, err := weir(t, nil, "config", "check", bad); err == nil || !strings.Contains(stderr, "bad.yaml:5") || !strings.Contains(stderr, "drop_params") {
		t.Errorf("bad: %v %s", err, stderr)
	}
}

// TestLog holds that the log is as the configuration says, and that the command line wins.
func TestLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	f := func(log string, want string, args ...string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("no_such_key: 1\nweir: {log: {"+log+"}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"serve", "--config", file, "--data-dir", t.TempDir(), "--port", "0", "--tls-cert", "/none", "--tls-key", "/none"}, args...)
		_, stderr, err := weir(t, nil, args...)
		line, _, _ := strings.Cut(stderr, "\n")
		if err == nil || want == "" && line != "" || !strings.HasPrefix(line, want) {
			t.Errorf("%s %q: %v, logged %q", log, args, err, line)
		}
	}
	f("", `{"time"`)
	f("format: text", `time=`)
	f("level: error", "")
	f("level: error, format: text", `{"time"`, "--log-level", "info", "--log-format", "json")
}

// TestServe starts the program on nothing, asks the demo model with the line it printed, and stops it.
func TestServe(t *testing.T) {
	var out, errs gwtest.Buffer
	ctx, stop := context.WithCancel(t.Context())
	dir := t.TempDir()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--host", "127.0.0.1", "--port", "0", "--data-dir", dir}, &out, &errs, func(string) string { return "" })
	}()
	line := regexp.MustCompile(`curl (\S+) -H "Authorization: Bearer (sk-\S+)"`)
	deadline := time.Now().Add(20 * time.Second)
	for !line.MatchString(out.String()) {
		if time.Now().After(deadline) || len(done) > 0 {
			t.Fatalf("no banner: %s %s", out.String(), errs.String())
		}
	}
	m := line.FindStringSubmatch(out.String())
	g := &gwtest.Gateway{URL: strings.TrimSuffix(m[1], "/v1/chat/completions")}
	a := g.Post(t, "/v1/chat/completions", `{"model":"demo","messages":[{"role":"user","content":"hello"}]}`, "Authorization", "Bearer "+m[2])
	if a.Status != 200 || !strings.Contains(string(a.Body), "hello") {
		t.Errorf("demo: %d %s", a.Status, a.Body)
	}
	if _, _, err := weir(t, nil, "serve", "--port", "0", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "in use by another Weir") {
		t.Errorf("a second Weir on the same directory: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stop: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "master_key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the generated key's file: %v %v", info, err)
	}
}
