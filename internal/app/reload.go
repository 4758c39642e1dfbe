package app

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/weir-gateway/weir/internal/config"
)

// watchEvery is how often the configuration files are looked at.
const watchEvery = time.Second

// loadConfig reads the file, or the defaults when there is none.
func loadConfig(path string, env func(string) string) (*config.Config, []config.Problem, error) {
	if path == "" {
		return config.Default(env), nil, nil
	}
	return config.Load(path, env)
}

// watch reloads on SIGHUP and when a configuration file changes, until the App closes.
func (a *App) watch() {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	seen := modified(a.Config().Files...)
	for {
		select {
		case <-a.closing:
			return
		case <-hup:
			a.Reload("signal")
			seen = modified(a.Config().Files...)
		case <-tick.C:
			if m := modified(a.Config().Files...); !m.Equal(seen) {
				seen = m
				a.Reload("file")
			}
		}
	}
}

// Reload reads the configuration again and, if it is good, swaps it in; running calls keep what they began with. A bad file changes
// nothing, and the log says why. Settings that only a start reads keep the values they had then, and the log names those that the file changes:
// they are marked start:"true" in the types of config, and the reference lists them (both doors, TLS files, data directory, database, Redis, master
// and salt key, time zone, prices, pprof, the log, the time a client may stall, and all of the fleet but wake_timeout).
func (a *App) Reload(why string) {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if a.o.ConfigPath == "" {
		a.log.Info("nothing to reload: started without a configuration file")
		return
	}
	cfg, problems, err := loadConfig(a.o.ConfigPath, a.o.Env)
	logProblems(a.log, problems)
	if err != nil {
		a.log.Error("configuration not reloaded: the file is wrong, the old one stays in force", "error", err)
		return
	}
	if cfg.Digest == a.Config().Digest && why == "file" {
		return
	}
	a.factory.Env = cfg.Env
	a.accounts.mu.Lock()
	defer a.accounts.mu.Unlock()
	snap, more, err := a.snapshot(cfg)
	logProblems(a.log, more)
	if err != nil {
		a.log.Error("configuration not reloaded: the old one stays in force", "error", err)
		return
	}
	a.cfg.Store(cfg)
	a.proxy.Swap(snap)
	for _, setting := range a.started.NeedsRestart(cfg) {
		a.log.Warn("a changed setting is taken up by the next start only", "setting", setting)
	}
	a.log.Info("configuration reloaded", "because", why, "models", len(cfg.Models))
}

// logProblems says what the reader of the configuration had to say.
func logProblems(l *slog.Logger, problems []config.Problem) {
	for _, p := range problems {
		switch p.Severity {
		case config.Note:
			l.Debug("configuration", "problem", p.String())
		case config.Warning:
			l.Warn("configuration", "problem", p.String())
		default:
			l.Error("configuration", "problem", p.String())
		}
	}
}

// newKey makes a key like LiteLLM's, with 192 random bits.
func newKey() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return "sk-" + base64.RawURLEncoding.EncodeToString(b[:])
}

// lockPatience is how long a lock may be held by nobody who runs: a server that a killed Weir was just starting has its files until it runs
// its own program.
const lockPatience = time.Second

// lockDir keeps a second Weir out of the same data directory: two writers would tear the journal apart.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return f, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("data directory %s is in use by another Weir: give this one its own with --data-dir or WEIR_DATA_DIR", dir)
		}
	}
}

// quietLog takes what net/http has to say about connections into our log, as debug: a client that hangs up is no news. A panic is.
func quietLog(l *slog.Logger) *log.Logger { return log.New(connectionLog{l}, "", 0) }

type connectionLog struct{ log *slog.Logger }

// Write logs one line of net/http's.
func (c connectionLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if strings.HasPrefix(text, "http: panic") {
		c.log.Error("a call ended in a panic", "error", text)
	} else {
		c.log.Debug("connection", "message", text)
	}
	return len(line), nil
}
