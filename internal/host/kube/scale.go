package kube

import (
	"context"

	"github.com/weir-gateway/weir/internal/fleet"
)

// scales reports whether the cluster itself makes the number of servers follow the metric.
func (w *work) scales(spec fleet.Spec) bool {
	a := spec.AutoScaling
	return a != nil && w.o.Metric && a.Metric.TargetValue > 0 && a.MinCapacity < a.MaxCapacity
}

func (w *work) follow(ctx context.Context, spec fleet.Spec, f workload) error { return nil }

func (w *work) unfollow(ctx context.Context) (bool, error) { return true, nil }
