// Package proxy is the hot path: one call in, one answer out, one record written.
//
// chat.go reads top to bottom: what a call goes through is there and nowhere else. The package reads one immutable Snapshot, waits for no
// database, and never imports store, api, fleet or a host. Only app imports it.
package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/route"
	"github.com/weir-gateway/weir/internal/usage"
)

// Snapshot is everything a call reads of the configuration. Immutable: a change builds a new one and swaps it.
type Snapshot struct {
	Auth     *auth.Directory
	SignIn   SignIn
	Asleep   map[string]Asleep // models that are known and do not serve now
	Blocked  map[string]bool   // models that an administrator has blocked
	Routes   *route.Table
	Settings Settings
	// Known lists what is known of a provider's models, for lists of what a wildcard stands for; nil: nothing. Not on the hot path.
	Known func(provider string) []*usage.Price
}

// Settings are the limits that hold for every call.
type Settings struct {
	MaxBody  int64 // bytes of a request body, after inflation
	MaxReply int64 // bytes of a whole (not streamed) answer
	MaxDepth int   // of JSON nesting
	MaxFrame int   // bytes of one streamed event
	// WakeTimeout is how long a call of a sleeping model is held.
	WakeTimeout time.Duration
	// RefuseUnpriced refuses calls of models without a known price (weir.limits.unpriced_models).
	RefuseUnpriced bool
	// EnforceUser refuses calls that name no end user, RejectTags those that bring tags (general_settings).
	EnforceUser, RejectTags bool
	// BudgetStatus is the HTTP status of a budget's refusal; 0: 422.
	BudgetStatus int
	// TokensCounted is which tokens limits count: total, input or output.
	TokensCounted string
	// MockTesting lets clients ask for simulated failures (general_settings.dangerously_allow_mock_testing_request_params).
	MockTesting bool
}

// Journal takes the record of a finished call. Append returns once the record would survive the death of the process.
type Journal interface {
	Append(*usage.Record) error
}

// Proxy serves the inference routes. Safe for concurrent use.
type Proxy struct {
	snap    atomic.Pointer[Snapshot]
	out     *egress.Client
	public  *egress.Client // for addresses that users give: images
	journal Journal
	limits  *limit.Limiter
	wake    func(ctx context.Context, model string) (bool, error)
	swapped atomic.Pointer[chan struct{}] // closed when a new snapshot is in force
	open    *usage.Open                   // nil: nobody watches the calls in flight
	metrics *Metrics
	log     *slog.Logger
	now     func() time.Time
	// failures slows down whoever guesses credentials.
	failures *auth.Failures
	version  []string // as a header's value
}

// Options are what a Proxy needs; all fields but Public and Open are required.
type Options struct {
	Egress  *egress.Client
	Public  *egress.Client
	Journal Journal
	Limits  *limit.Limiter
	Open    *usage.Open
	// Wake starts a sleeping model and reports whether it is on its way; nil: there are none.
	Wake    func(ctx context.Context, model string) (bool, error)
	Metrics *Metrics
	Log     *slog.Logger
	Now     func() time.Time
	Version string
}

// New makes a Proxy that serves the snapshot.
func New(o Options, s *Snapshot) *Proxy {
	p := &Proxy{out: o.Egress, public: o.Public, journal: o.Journal, limits: o.Limits, open: o.Open, wake: o.Wake, metrics: o.Metrics, log: o.Log, now: o.Now,
		failures: auth.NewFailures(auth.FailureOptions{}, o.Now), version: []string{o.Version}}
	first := make(chan struct{})
	p.swapped.Store(&first)
	p.Swap(s)
	return p
}

// Swap puts a new snapshot in place; calls that run keep the old one.
func (p *Proxy) Swap(s *Snapshot) {
	p.snap.Store(s)
	next := make(chan struct{})
	close(*p.swapped.Swap(&next))
}

// Snapshot is the one in force.
func (p *Proxy) Snapshot() *Snapshot { return p.snap.Load() }

// Serve answers an inference call, a method that isn't POST with a 405. It reports whether the path is one of an inference route; for any
// other it does nothing.
func (p *Proxy) Serve(w http.ResponseWriter, r *http.Request) bool {
	e, ok := match(r.URL)
	if !ok {
		return false
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeJSON(w, http.StatusMethodNotAllowed, []byte(`{"detail":"Method Not Allowed"}`))
		return true
	}
	c := p.begin(w, r, e)
	defer c.finish()
	var err *llm.Error
	switch e.op {
	case llm.OpChat, llm.OpCompletion:
		err = c.chat()
	case llm.OpEmbed:
		err = c.embed()
	case llm.OpCount:
		err = c.count()
	default:
		err = c.forward()
	}
	if err != nil {
		c.fail(err)
	}
	return true
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header()["Content-Type"] = contentJSON
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
