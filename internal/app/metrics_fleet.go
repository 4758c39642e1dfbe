package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-gateway/weir/internal/host/kube"
)

// fleetMetrics shows the calls of the fleet's models that run here: what an autoscaler of the cluster follows, summed over the replicas.
type fleetMetrics struct{ hosted *hostedCalls }

var modelInFlight = prometheus.NewDesc(kube.InFlight, "Calls of a model of the fleet that run now.", []string{"model"}, nil)

// Describe lists the series.
func (m fleetMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- modelInFlight }

// Collect reads the counts.
func (m fleetMetrics) Collect(ch chan<- prometheus.Metric) {
	for id, n := range m.hosted.now() {
		ch <- prometheus.MustNewConstMetric(modelInFlight, prometheus.GaugeValue, float64(n.Calls), id)
	}
}
