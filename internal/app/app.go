// Package app wires everything: it opens the store and the journal, builds the snapshot, listens, reloads, and takes it all down again in
// reverse. cmd and tests call New, Run and Close; nobody else imports it.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/api"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/cluster"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/lisa"
	"github.com/weir-gateway/weir/internal/mock"
	"github.com/weir-gateway/weir/internal/provider"
	"github.com/weir-gateway/weir/internal/proxy"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
)

// DemoHost is the address at which the built-in model answers, in-process.
const DemoHost = "demo.weir.internal"

// lastDrain is how long a stop waits for the database to take the last records; what it does not take stays in the journal.
const lastDrain = 5 * time.Second

// server is an open door.
type server interface {
	Shutdown(context.Context) error
	Close() error
}

// Options say how to start. What the command line sets wins over the configuration file.
type Options struct {
	ConfigPath      string
	Host            string // empty: the configuration's
	Port            int    // -1: the configuration's; 0: any free one
	AdminListen     string // host:port of the admin door; empty: the configuration's
	DataDir         string
	MasterKey       string
	TLSCert, TLSKey string
	ShutdownTimeout time.Duration // 0: the configuration's
	Pprof           bool
	Version         string
	Env             func(string) string
	Log             *slog.Logger
	// NewLog makes the log once the configuration has said how it is to be (weir.log); nil: Log is it.
	NewLog func(config.Log) (*slog.Logger, error)
	Now    func() time.Time
}

// App is one running gateway.
type App struct {
	o          Options
	log        *slog.Logger
	cfg        atomic.Pointer[config.Config] // a reload swaps it
	started    *config.Config                // what the start read
	lock       *os.File
	store      *store.Store
	journal    *usage.Journal
	id         string // of this start, among the replicas
	drainer    *usage.Drainer
	member     *cluster.Member
	accounts   accounts
	fleet      *fleet.Fleet
	lisa       *lisa.API
	metrics    *lisa.Metrics
	containers func(name string) bool // inferenceContainers that can be run
	hosted     hostedCalls
	replicas   atomic.Int64 // alive on this database
	limits     *limit.Limiter
	open       *usage.Open // nil: there are no other replicas to tell of calls in flight
	zone       *time.Location
	tokens     *auth.Verifier // nil: no tokens are taken
	oidc       *auth.OIDC     // its settings
	arrivals   *arrivals
	api        *api.API
	prices     *usage.Prices
	egress     *egress.Client
	public     *egress.Client
	factory    provider.Factory
	proxy      *proxy.Proxy
	registry   *prometheus.Registry
	found      []provider.Found

	masterKey string
	// saltKey is what secrets at rest are sealed under, and the secrets of issued AWS credentials derived from.
	saltKey []byte
	sealer  *store.Sealer
	// Generated says that the master key was made by this start, and so must be shown once.
	Generated bool

	servers   []server
	listeners *listeners
	reloading sync.Mutex
	closing   chan struct{}
	closed    sync.Once
	// background are the goroutines that end once closing is closed and stopDrain is called.
	background sync.WaitGroup
	stopDrain  context.CancelFunc
}

// New opens everything and loads the configuration; it listens on nothing yet. Problems are what the configuration file's reader had to
// say; they are logged already. The caller must Close the App, or Run it to its end.
func New(ctx context.Context, o Options) (_ *App, problems []config.Problem, err error) {
	if o.Env == nil {
		o.Env = os.Getenv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &App{o: o, log: o.Log, arrivals: newArrivals(), closing: make(chan struct{})}
	a.hosted.a = a
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	cfg, problems, err := loadConfig(o.ConfigPath, o.Env)
	if err != nil {
		return nil, problems, err
	}
	a.cfg.Store(cfg)
	a.started = cfg
	if o.NewLog != nil {
		if a.log, err = o.NewLog(cfg.Weir.Log); err != nil {
			return nil, problems, err
		}
	}
	logProblems(a.log, problems)
	if err = a.openData(ctx); err != nil {
		return nil, problems, err
	}
	if err = a.chooseMasterKey(); err != nil {
		return nil, problems, err
	}
	if err = a.chooseSaltKey(); err != nil {
		return nil, problems, err
	}
	if err = a.openUpstreams(); err != nil {
		return nil, problems, err
	}
	snap, more, err := a.snapshot(cfg)
	if err != nil {
		return nil, problems, err
	}
	logProblems(a.log, more)
	problems = append(problems, more...)
	a.registry = prometheus.NewRegistry()
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.registry.MustRegister(journalMetrics{a.journal}, fleetMetrics{&a.hosted})
	a.proxy = proxy.New(proxy.Options{Egress: a.egress, Public: a.public, Journal: a.journal, Limits: a.limits, Open: a.open, Wake: a.wake, Metrics: proxy.NewMetrics(a.registry),
		Log: a.log, Now: o.Now, Version: o.Version}, snap)
	a.api = api.New(api.Options{Store: a.store, Identify: a.proxy.Identify, Config: a.Config, Changed: a.tellChanged, Prices: a.prices,
		Seal: func(s string) (string, error) { return a.sealer.Seal(s), nil }, Unseal: a.sealer.Open, SaltKey: a.saltKey, Zone: a.zone, Now: o.Now, Log: a.log})
	if err = a.openFleet(); err != nil {
		return nil, problems, err
	}
	a.openLISA()
	if err = a.listen(); err != nil {
		return nil, problems, err
	}
	a.begin()
	return a, problems, nil
}

// dataDir is where everything that must survive lies.
func (a *App) dataDir() string {
	if a.o.DataDir != "" {
		return a.o.DataDir
	}
	if a.Config().Weir.DataDir != "" {
		return a.Config().Weir.DataDir
	}
	return "weir-data"
}

// openData locks the data directory, opens the database and the journal, and reads what is in them.
func (a *App) openData(ctx context.Context) error {
	dir := a.dataDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	var err error
	if a.lock, err = lockDir(ctx, dir); err != nil {
		return err
	}
	if a.store, err = store.Open(ctx, a.databaseURL(), store.Options{}); err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	if a.journal, err = usage.OpenJournal(usage.JournalOptions{Dir: filepath.Join(dir, "journal"), Log: a.log}); err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	a.id = a.journal.ID() + "-" + rand.Text()[:8]
	a.drainer = usage.NewDrainer(a.journal, books{a.store, a}, a.log)
	a.zone = zone(a.Config().LiteLLM.Timezone)
	if err := a.openLimits(); err != nil {
		return err
	}
	a.accounts.store, a.accounts.limits = a.store, a.limits
	if a.store.Engine() == "postgresql" {
		a.open = new(usage.Open)
	}
	a.member = a.join()
	return a.openBooks(ctx, a.member)
}

// begin starts what goes on beside the calls, now that everything is there that it changes.
func (a *App) begin() {
	ctx, stop := context.WithCancel(context.Background())
	a.stopDrain = stop
	a.background.Go(func() { a.drainer.Run(ctx) })
	a.background.Go(func() { a.member.Run(ctx) })
	a.background.Go(func() { a.welcome(ctx) })
}

// openLimits makes the limiter: in memory, or shared through Redis.
func (a *App) openLimits() error {
	o := limit.Options{Now: a.o.Now, Zone: a.zone, Crossed: a.alert, Seed: func(ctx context.Context, subjects []account.Subject) ([]account.Spend, error) {
		return a.store.Spends(ctx, subjects...)
	}}
	alive := func() int { return int(a.replicas.Load()) }
	if a.store.Engine() == "postgresql" {
		o.Peers = alive
	}
	if address := a.Config().Redis().Reveal(); address != "" {
		dial, err := limit.Dial(address)
		if err != nil {
			return fmt.Errorf("router_settings.redis_url: %w", err)
		}
		o.Shared = &limit.Shared{Dial: dial, Replica: a.id, Gone: limit.Policy(a.Config().Weir.RedisGone),
			Replicas: alive, Log: a.log}
	}
	a.limits = limit.New(o)
	return nil
}

// openBooks moves what an earlier life left in the journal to the database, charges what it left open, and reads what everyone has spent and
// who may call.
func (a *App) openBooks(ctx context.Context, m *cluster.Member) error {
	if err := a.drainer.Drain(ctx); err != nil {
		return fmt.Errorf("move the journal to the database: %w", err)
	}
	if err := m.Recover(ctx); err != nil {
		return fmt.Errorf("charge the calls an earlier start left open: %w", err)
	}
	return a.accounts.load(ctx)
}

// openUpstreams makes the clients for everything outbound, and the prices.
func (a *App) openUpstreams() error {
	demo := mock.New(mock.Options{Answer: "demo"}, a.o.Now)
	a.egress = egress.New(egress.Options{Local: map[string]http.Handler{DemoHost: demo}})
	a.public = egress.New(egress.Options{Public: true})
	a.factory = provider.Factory{Env: a.Config().Env, HTTP: doer{a.egress}, Now: a.o.Now}
	a.found = provider.Detect(a.Config().Env)
	var err error
	a.prices, err = loadPrices(a.Config().Weir.PriceMap)
	return err
}

// credentialTimeouts bound a request for a token.
var credentialTimeouts = egress.Timeouts{Connect: 10 * time.Second, FirstByte: 20 * time.Second, Total: 30 * time.Second}

// doer fetches tokens for providers through the same client as everything else.
type doer struct{ *egress.Client }

// Do makes a request with the timeouts of a token fetch.
func (d doer) Do(req *http.Request) (*http.Response, error) {
	return d.Client.Do(req, credentialTimeouts)
}

// chooseMasterKey takes the key from the command line, the environment or the file, else the one an earlier start generated, else a new
// one, which is written to the data directory.
func (a *App) chooseMasterKey() error {
	for _, key := range []string{a.o.MasterKey, a.Config().Env("WEIR_MASTER_KEY"), a.Config().Env("LITELLM_MASTER_KEY"), a.Config().General.MasterKey.Reveal()} {
		if key != "" {
			a.masterKey = key
			return nil
		}
	}
	path := filepath.Join(a.dataDir(), "master_key")
	b, err := os.ReadFile(path)
	if key := strings.TrimSpace(string(b)); err == nil && key != "" {
		a.masterKey = key
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("master key: %w", err)
	}
	a.masterKey, a.Generated = newKey(), true
	if err := os.WriteFile(path, []byte(a.masterKey), 0o600); err != nil {
		return fmt.Errorf("master key: %w", err)
	}
	return nil
}

// MasterKey is the key in force, for the banner and for tests.
func (a *App) MasterKey() string { return a.masterKey }

// Found lists the providers whose variables were found in the environment.
func (a *App) Found() []provider.Found { return a.found }

// Config is the configuration in force.
func (a *App) Config() *config.Config { return a.cfg.Load() }

// Close takes everything down in the reverse order: no new calls, running ones get the deadline, then the journal is flushed and drained.
// It may be called more than once.
func (a *App) Close() {
	a.closed.Do(func() {
		close(a.closing)
		a.shutdown()
		if a.stopDrain != nil {
			a.stopDrain()
		}
		a.background.Wait()
		if a.drainer != nil {
			ctx, cancel := context.WithTimeout(context.Background(), lastDrain)
			if err := a.drainer.Drain(ctx); err != nil {
				a.log.Warn("records stay in the journal until the next start", "error", err)
			} else if err := a.store.DeleteReplica(ctx, a.id); err != nil {
				a.log.Warn("this replica could not say goodbye; the others will notice", "error", err)
			}
			cancel()
		}
		if a.limits != nil {
			a.limits.Close()
		}
		if a.journal != nil {
			if err := a.journal.Close(); err != nil {
				a.log.Error("journal not closed cleanly", "error", err)
			}
		}
		if a.store != nil {
			if err := a.store.Close(); err != nil {
				a.log.Error("database not closed cleanly", "error", err)
			}
		}
		if a.tokens != nil {
			a.tokens.Close()
		}
		for _, c := range []*egress.Client{a.egress, a.public} {
			if c != nil {
				c.Close()
			}
		}
		if a.lock != nil {
			_ = a.lock.Close() // which gives the lock up
		}
	})
}
