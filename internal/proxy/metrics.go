package proxy

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the Prometheus series of the inference routes. Labels are bounded: a model is a configured group (a wildcard counts as its
// pattern), never what a client typed. Safe for concurrent use.
type Metrics struct {
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	first    *prometheus.HistogramVec
	tokens   *prometheus.CounterVec
	cost     *prometheus.CounterVec
	upstream *prometheus.CounterVec
	inFlight prometheus.Gauge
	journal  prometheus.Counter

	// known holds the handles of the series that calls of a kind count into: looking them up by their labels costs more than counting.
	mu    sync.RWMutex
	known map[kind]*handles
}

// kind is what distinguishes calls in the metrics. All of its values are bounded.
type kind struct {
	model, provider, dialect string
	status                   int
}

// handles are the series of one kind of call. Those of tokens and cost are made when first counted, so that no series stands at zero for
// what a model does not have.
type handles struct {
	requests prometheus.Counter
	latency  prometheus.Observer
	first    prometheus.Observer
	tokens   [len(tokenKinds)]atomic.Pointer[prometheus.Counter]
	cost     atomic.Pointer[prometheus.Counter]
}

var tokenKinds = [...]string{"input", "output", "cache_read", "cache_write", "reasoning"}

// NewMetrics registers the series.
func NewMetrics(r prometheus.Registerer) *Metrics {
	seconds := []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}
	m := &Metrics{
		known: map[kind]*handles{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_requests_total", Help: "Finished inference calls."},
			[]string{"model", "provider", "dialect", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "weir_request_duration_seconds", Help: "From the first byte in to the last byte out.", Buckets: seconds},
			[]string{"model"}),
		first: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "weir_time_to_first_token_seconds", Help: "From the first byte in to the first generated content out.", Buckets: seconds},
			[]string{"model"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_tokens_total", Help: "Tokens by kind: input, output, cache_read, cache_write, reasoning."},
			[]string{"model", "kind"}),
		cost:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_cost_usd_total", Help: "Cost of finished calls in USD."}, []string{"model"}),
		upstream: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_upstream_errors_total", Help: "Calls that failed at the upstream, by kind of error."}, []string{"deployment", "kind"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_requests_in_flight", Help: "Inference calls running now."}),
		journal:  prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_journal_errors_total", Help: "Records that could not be written to the journal."}),
	}
	r.MustRegister(m.requests, m.latency, m.first, m.tokens, m.cost, m.upstream, m.inFlight, m.journal)
	return m
}

func (m *Metrics) begin()        { m.inFlight.Inc() }
func (m *Metrics) journalError() { m.journal.Inc() }

// end counts a finished call.
func (m *Metrics) end(c *call) {
	m.inFlight.Dec()
	r := &c.rec
	model := c.group
	if model == "" {
		model = "unknown"
	}
	status := r.Status
	if r.ClientGone {
		status = 499
	}
	if c.target == nil {
		m.requests.WithLabelValues(model, r.Provider, string(r.In), strconv.Itoa(status)).Inc()
		return
	}
	h := m.handles(kind{model, r.Provider, string(r.In), status})
	h.requests.Inc()
	h.latency.Observe(c.ended.Sub(c.started).Seconds())
	if r.ErrorKind != "" {
		m.upstream.WithLabelValues(r.Deployment, string(r.ErrorKind)).Inc()
		return
	}
	if r.FirstByte != 0 {
		h.first.Observe(float64(r.FirstByte-r.Start) / 1000)
	}
	u := &r.Usage
	for i, n := range [...]int64{u.Input, u.Output, u.CacheRead, u.CacheWrite, u.Reasoning} {
		if n <= 0 {
			continue
		}
		if h.tokens[i].Load() == nil {
			found := m.tokens.WithLabelValues(model, tokenKinds[i])
			h.tokens[i].Store(&found)
		}
		(*h.tokens[i].Load()).Add(float64(n))
	}
	if r.Cost > 0 {
		if h.cost.Load() == nil {
			found := m.cost.WithLabelValues(model)
			h.cost.Store(&found)
		}
		(*h.cost.Load()).Add(r.Cost.USD())
	}
}

// handles gives the series of a kind of call.
func (m *Metrics) handles(k kind) *handles {
	m.mu.RLock()
	h := m.known[k]
	m.mu.RUnlock()
	if h != nil {
		return h
	}
	h = &handles{
		requests: m.requests.WithLabelValues(k.model, k.provider, k.dialect, strconv.Itoa(k.status)),
		latency:  m.latency.WithLabelValues(k.model),
		first:    m.first.WithLabelValues(k.model),
	}
	m.mu.Lock()
	m.known[k] = h
	m.mu.Unlock()
	return h
}
