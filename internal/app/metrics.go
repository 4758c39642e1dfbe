package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-gateway/weir/internal/usage"
)

// journalMetrics shows the state of the journal: a record that is not yet in SQL, or never will be, must be seen.
type journalMetrics struct{ journal *usage.Journal }

var (
	journalAppended = prometheus.NewDesc("weir_journal_records_total", "Records written to the journal.", nil, nil)
	journalDrained  = prometheus.NewDesc("weir_journal_drained_total", "Records moved from the journal to SQL.", nil, nil)
	journalLost     = prometheus.NewDesc("weir_journal_lost_total", "Records given up because the disk refused them and memory was full.", nil, nil)
	journalFailures = prometheus.NewDesc("weir_journal_failures_total", "Writes to the journal that failed.", nil, nil)
	journalHeld     = prometheus.NewDesc("weir_journal_held", "Records kept in memory because the disk refuses them.", nil, nil)
	journalLag      = prometheus.NewDesc("weir_journal_lag_bytes", "Bytes of the journal not yet in SQL.", nil, nil)
)

// Describe lists the series.
func (m journalMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{journalAppended, journalDrained, journalLost, journalFailures, journalHeld, journalLag} {
		ch <- d
	}
}

// Collect reads the journal's figures.
func (m journalMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.journal.Stats()
	counter := func(d *prometheus.Desc, n int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
	gauge := func(d *prometheus.Desc, n int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	counter(journalAppended, s.Appended)
	counter(journalDrained, s.Drained)
	counter(journalLost, s.Lost)
	counter(journalFailures, s.Failures)
	gauge(journalHeld, s.Held)
	gauge(journalLag, s.LagBytes)
}
