package proxy

import (
	"strconv"

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
}

// NewMetrics registers the series.
func NewMetrics(r prometheus.Registerer) *Metrics {
	seconds := []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}
	m := &Metrics{
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
	m.requests.WithLabelValues(model, r.Provider, string(r.In), strconv.Itoa(status)).Inc()
	if c.target == nil {
		return
	}
	m.latency.WithLabelValues(model).Observe(c.ended.Sub(c.started).Seconds())
	if r.ErrorKind != "" {
		m.upstream.WithLabelValues(r.Deployment, string(r.ErrorKind)).Inc()
		return
	}
	if r.FirstByte != 0 {
		m.first.WithLabelValues(model).Observe(float64(r.FirstByte-r.Start) / 1000)
	}
	u := &r.Usage
	for _, t := range [...]struct {
		kind string
		n    int64
	}{{"input", u.Input}, {"output", u.Output}, {"cache_read", u.CacheRead}, {"cache_write", u.CacheWrite}, {"reasoning", u.Reasoning}} {
		if t.n > 0 {
			m.tokens.WithLabelValues(model, t.kind).Add(float64(t.n))
		}
	}
	if r.Cost > 0 {
		m.cost.WithLabelValues(model).Add(r.Cost.USD())
	}
}
