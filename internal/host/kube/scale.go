package kube

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weir-gateway/weir/internal/fleet"
)

var (
	autoscalers   = of("HorizontalPodAutoscaler", "autoscaling", "v2", "horizontalpodautoscalers")
	scaledObjects = kind{name: "ScaledObject", GroupVersionResource: of("", "keda.sh", "v1alpha1", "scaledobjects").GroupVersionResource, optional: true}
)

// InFlight is the gateway's gauge of a model's calls in flight, labelled with the model's id.
const InFlight = "weir_model_requests_in_flight"

// scaler is the kind of object by which the cluster itself makes the number of servers follow the metric; nil: it does not.
func (w *work) scaler(ctx context.Context, spec fleet.Spec) (*kind, error) {
	a := spec.AutoScaling
	if a == nil || !w.o.Metric || a.Metric.TargetValue <= 0 || a.MinCapacity >= a.MaxCapacity || w.explicit(spec).Workload == kserveWorkload {
		return nil, nil
	}
	if w.o.Prometheus != "" {
		if ok, err := w.knows(ctx, scaledObjects); err != nil || ok {
			return &scaledObjects, err
		}
	}
	if !ownMetric(a) && len(validation.IsValidLabelValue(w.id)) > 0 {
		return nil, nil // it could not name the model
	}
	return &autoscalers, nil
}

// ownMetric reports whether the metric is one of the servers', named as Prometheus does (vllm:num_requests_waiting); the names of AWS's, which
// are written otherwise (RequestCountPerTarget), all stand for the calls in flight here.
func ownMetric(a *fleet.AutoScaling) bool { return strings.ContainsAny(a.Metric.Name, "_:") }

// follow makes the number of servers follow the model's metric, or ends that.
func (w *work) follow(ctx context.Context, spec fleet.Spec, f workload) error {
	if w.scaled != nil {
		w.m.unscaled = time.Time{}
	}
	switch w.scaled {
	case nil:
		if w.o.Now().Sub(w.m.unscaled) < again {
			return nil
		}
		done, err := w.unfollow(ctx)
		if done {
			w.m.unscaled = w.o.Now()
		}
		return err
	case &scaledObjects:
		if _, err := w.drop(ctx, autoscalers); err != nil { // two would pull it to and fro
			return err
		}
		return w.apply(ctx, scaledObjects, w.object(scaledObjects, w.scaledObject(spec, f)))
	}
	if _, err := w.drop(ctx, scaledObjects); err != nil {
		return err
	}
	return w.apply(ctx, autoscalers, w.object(autoscalers, w.autoscaler(spec, f)))
}

// unfollow ends it; done is true when nothing scales the model any more.
func (w *work) unfollow(ctx context.Context) (done bool, err error) {
	done = true
	for _, k := range []kind{scaledObjects, autoscalers} {
		delete(w.m.applied, k.Resource)
		one, err := w.drop(ctx, k)
		if err != nil {
			return false, err
		}
		done = done && one
	}
	return done, nil
}

// autoscaler is the spec of a HorizontalPodAutoscaler.
func (w *work) autoscaler(spec fleet.Spec, f workload) map[string]any {
	a := spec.AutoScaling
	target := map[string]any{"type": "AverageValue", "averageValue": strconv.FormatInt(a.Metric.TargetValue, 10)}
	metric := map[string]any{"type": "External", "external": map[string]any{"target": target,
		"metric": map[string]any{"name": InFlight, "selector": map[string]any{"matchLabels": map[string]any{"model": w.id}}}}}
	if ownMetric(a) {
		metric = map[string]any{"type": "Pods", "pods": map[string]any{"target": target, "metric": map[string]any{"name": a.Metric.Name}}}
	}
	return map[string]any{"scaleTargetRef": w.target(f), "minReplicas": a.MinCapacity, "maxReplicas": a.MaxCapacity, "metrics": []any{metric}, "behavior": behavior(a)}
}

// scaledObject is the spec of KEDA's.
func (w *work) scaledObject(spec fleet.Spec, f workload) map[string]any {
	a := spec.AutoScaling
	query := fmt.Sprintf("sum(%s{model=%s})", InFlight, quoted(w.id))
	if ownMetric(a) {
		query = fmt.Sprintf("sum(%s{namespace=%s,pod=~%s})", a.Metric.Name, quoted(w.o.Namespace), quoted(w.name+"-.*"))
	}
	return map[string]any{
		"scaleTargetRef": w.target(f), "minReplicaCount": a.MinCapacity, "maxReplicaCount": a.MaxCapacity,
		"advanced": map[string]any{"horizontalPodAutoscalerConfig": map[string]any{"behavior": behavior(a)}},
		"triggers": []any{map[string]any{"type": "prometheus", "metricType": "AverageValue",
			"metadata": map[string]any{"serverAddress": w.o.Prometheus, "query": query, "threshold": strconv.FormatInt(a.Metric.TargetValue, 10)}}},
	}
}

func (w *work) target(f workload) map[string]any {
	return map[string]any{"apiVersion": f.GroupVersion().String(), "kind": f.kind.name, "name": w.name + f.suffix}
}

// behavior is the fleet's own: more servers after the warm-up of those that came last, fewer one at a time after the cooldown. Seconds, within
// what Kubernetes takes.
func behavior(a *fleet.AutoScaling) map[string]any {
	policy := func(pods, seconds int64) []any {
		return []any{map[string]any{"type": "Pods", "value": pods, "periodSeconds": min(max(seconds, 1), 1800)}}
	}
	return map[string]any{
		"scaleUp":   map[string]any{"stabilizationWindowSeconds": int64(0), "policies": policy(a.MaxCapacity, a.DefaultInstanceWarmup)},
		"scaleDown": map[string]any{"stabilizationWindowSeconds": min(a.Cooldown, 3600), "policies": policy(1, a.Cooldown)},
	}
}

// quoted is a string of PromQL.
func quoted(s string) string { return strconv.Quote(s) }
