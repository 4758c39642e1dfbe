package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/config"
)

// serve runs the gateway until it is told to stop.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer, env func(string) string) error {
	f := newFlags("serve", stderr, env)
	configPath := f.String("config", "", "LiteLLM's config.yaml; without it Weir serves demo and the providers found in the environment")
	host := f.String("host", "", "address to listen on (default: all)")
	port := f.Int("port", -1, "port to listen on; 0 takes a free one (default 4000)")
	admin := f.String("admin-listen", "", "host:port of the admin door (default 127.0.0.1:4001)")
	dataDir := f.String("data-dir", "", "directory of database, journal and generated key (default weir-data)")
	masterKey := f.String("master-key", "", "key that may do everything; better set as WEIR_MASTER_KEY, where ps can't see it")
	tlsCert := f.String("tls-cert", "", "file with the certificate chain in PEM: serve HTTPS")
	tlsKey := f.String("tls-key", "", "file with the private key in PEM")
	f.StringVar(tlsCert, "ssl_certfile_path", "", "same as --tls-cert, as LiteLLM spells it")
	f.StringVar(tlsKey, "ssl_keyfile_path", "", "same as --tls-key, as LiteLLM spells it")
	level := f.String("log-level", "", "debug, info, warn or error (default info)")
	format := f.String("log-format", "", "json, text or auto (default: text on a terminal, else json)")
	detailed := f.Bool("detailed_debug", false, "same as --log-level debug, as LiteLLM spells it")
	f.Int("num_workers", 0, "accepted for LiteLLM's sake: one process uses every core")
	shutdown := f.Duration("shutdown-timeout", 0, "how long running calls may go on after SIGTERM (default 30s)")
	pprof := f.Bool("pprof", false, "serve /debug/pprof to administrators")
	if err := f.parse(args); err != nil {
		return err
	}
	if *configPath == "" {
		*configPath = env("CONFIG_FILE_PATH")
	}
	if *detailed {
		*level = "debug"
	}
	if _, err := logger(stderr, *level, *format); err != nil {
		return err
	}
	newLog := func(c config.Log) (*slog.Logger, error) {
		return logger(stderr, cmp.Or(*level, c.Level), cmp.Or(*format, c.Format))
	}
	if env("GOGC") == "" {
		tune()
	}
	started := time.Now()
	a, _, err := app.New(ctx, app.Options{ConfigPath: *configPath, Host: *host, Port: *port, AdminListen: *admin, DataDir: *dataDir, MasterKey: *masterKey,
		TLSCert: *tlsCert, TLSKey: *tlsKey, ShutdownTimeout: *shutdown, Pprof: *pprof, Version: version, Env: env, NewLog: newLog})
	if err != nil {
		return err
	}
	banner(stdout, a, *configPath, time.Since(started))
	settled := time.AfterFunc(startup, settle)
	defer settled.Stop()
	return a.Run(ctx)
}

// startup is how long after the doors are open what runs beside the calls has made its first rounds.
const startup = time.Second

// settle gives back to the operating system what only starting up needed: garbage, and the pages of the program that ran once.
func settle() {
	debug.FreeOSMemory()
	dropProgramPages()
}

// logger makes the log from the flags.
func logger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	switch strings.ToLower(level) {
	case "", "info":
	case "debug":
		l = slog.LevelDebug
	case "warn", "warning":
		l = slog.LevelWarn
	case "error":
		l = slog.LevelError
	default:
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "", "auto":
		if terminal(w) {
			return slog.New(slog.NewTextHandler(w, o)), nil
		}
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("--log-format %q: use json, text or auto", format)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// banner says where Weir is and gives a line to paste.
func banner(w io.Writer, a *app.App, configPath string, took time.Duration) {
	key := "$WEIR_MASTER_KEY"
	fmt.Fprintf(w, "\nWeir %s is listening on %s (started in %d ms)\n\n", version, a.URL(), took.Milliseconds())
	if a.Generated {
		key = a.MasterKey()
		fmt.Fprintf(w, "  Master key, shown once:  %s\n  (kept in the data directory; set WEIR_MASTER_KEY to use your own)\n\n", key)
	}
	names := a.Config().ModelNames()
	switch {
	case configPath != "":
		fmt.Fprintf(w, "  Models from %s: %d\n", configPath, len(names))
	case len(a.Found()) == 0:
		fmt.Fprintln(w, "  Providers found in the environment: none (set OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, ... to add them)")
	default:
		fmt.Fprintln(w, "  Providers found in the environment:")
		for _, p := range a.Found() {
			fmt.Fprintf(w, "    %-22s from %s\n", p.Wildcard, p.Variable)
		}
	}
	fmt.Fprintf(w, "  The built-in model demo answers without any provider. Try:\n\n  curl %s/v1/chat/completions -H \"Authorization: Bearer %s\" -H 'Content-Type: application/json' \\\n    -d '{\"model\":\"demo\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'\n\n",
		a.URL(), key)
}

// configCommand is `weir config check` and `weir config reference`.
func configCommand(args []string, stdout, stderr io.Writer, env func(string) string) error {
	if len(args) == 1 && args[0] == "reference" {
		for _, e := range config.Reference() {
			fmt.Fprintf(stdout, "%s (%s, default %s): %s\n", e.Path, e.Type, orNone(e.Default), e.Doc)
		}
		return nil
	}
	if len(args) != 2 || args[0] != "check" {
		return fmt.Errorf("use: weir config check FILE, or weir config reference")
	}
	problems, err := app.Check(args[1], env)
	bad := 0
	for _, p := range problems {
		if p.Severity != config.Note {
			bad++
		}
		fmt.Fprintln(stderr, p.String())
	}
	if err != nil {
		return err
	}
	if bad > 0 {
		fmt.Fprintf(stderr, "%s: %d problems\n", args[1], bad)
		return errReported
	}
	fmt.Fprintf(stdout, "%s: good\n", args[1])
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
