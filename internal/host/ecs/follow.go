package ecs

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/weir-gateway/weir/internal/fleet"
)

// scales reports whether the service itself follows the metric.
func (w *work) scales(spec fleet.Spec) bool {
	a := spec.AutoScaling
	return a != nil && !w.o.OwnScaling && a.Metric.TargetValue > 0 && a.MinCapacity < a.MaxCapacity
}

func (w *work) resource() string { return "service/" + clusterName(w.o.Cluster) + "/" + w.name }

// clusterName is a cluster's name, also where it was given as an ARN.
func clusterName(c string) string { return c[strings.LastIndexByte(c, '/')+1:] }

// scalable names the service's number of tasks, as the thing that is scaled.
func (w *work) scalable() params {
	return params{"ServiceNamespace": "ecs", "ResourceId": w.resource(), "ScalableDimension": "ecs:service:DesiredCount"}
}

// limits are between what AWS scales the service; ok is false if it does not.
func (w *work) limits(ctx context.Context) (least, most int64, ok bool, err error) {
	var out struct {
		ScalableTargets []struct{ MinCapacity, MaxCapacity int64 }
	}
	err = w.call(ctx, scalingAPI, "DescribeScalableTargets", params{"ServiceNamespace": "ecs", "ResourceIds": []string{w.resource()}, "ScalableDimension": "ecs:service:DesiredCount"}, &out)
	if err != nil || len(out.ScalableTargets) == 0 {
		return 0, 0, false, err
	}
	return out.ScalableTargets[0].MinCapacity, out.ScalableTargets[0].MaxCapacity, true, nil
}

// policy is what is looked at of a scaling policy.
type policy struct {
	PolicyName string
	Tracking   struct {
		TargetValue                   float64
		ScaleInCooldown               int64
		CustomizedMetricSpecification struct {
			MetricName string
			Metrics    []struct {
				MetricStat struct{ Metric struct{ MetricName string } }
			}
		}
	} `json:"TargetTrackingScalingPolicyConfiguration"`
}

func (p *policy) metric() string {
	m := &p.Tracking.CustomizedMetricSpecification
	if len(m.Metrics) > 0 {
		return m.Metrics[0].MetricStat.Metric.MetricName
	}
	return m.MetricName
}

// follow makes the number of servers follow the model's metric (contract lisa.md A.3), honouring the cooldown.
func (w *work) follow(ctx context.Context, spec fleet.Spec, at *place) error {
	if !w.scales(spec) {
		return w.unfollow(ctx)
	}
	a := spec.AutoScaling
	least, most, ok, err := w.limits(ctx)
	if err != nil {
		return fmt.Errorf("scaling: %w", err)
	}
	if !ok || least != a.MinCapacity || most != a.MaxCapacity {
		in := w.scalable()
		in["MinCapacity"], in["MaxCapacity"] = a.MinCapacity, a.MaxCapacity
		if err := w.call(ctx, scalingAPI, "RegisterScalableTarget", in, nil); err != nil {
			return asked("scaling", err)
		}
	}
	var have struct{ ScalingPolicies []policy }
	if err := w.call(ctx, scalingAPI, "DescribeScalingPolicies", params{"ServiceNamespace": "ecs", "ResourceId": w.resource()}, &have); err != nil {
		return fmt.Errorf("scaling: %w", err)
	}
	for _, p := range have.ScalingPolicies {
		if p.PolicyName == w.name && p.Tracking.TargetValue == float64(a.Metric.TargetValue) && p.Tracking.ScaleInCooldown == cooldown(a) && p.metric() == a.Metric.Name {
			return nil
		}
	}
	in := w.scalable()
	in["PolicyName"], in["PolicyType"], in["TargetTrackingScalingPolicyConfiguration"] = w.name, "TargetTrackingScaling", tracking(a, at)
	return asked("scaling", w.call(ctx, scalingAPI, "PutScalingPolicy", in, nil))
}

func cooldown(a *fleet.AutoScaling) int64 { return min(a.Cooldown, math.MaxInt32) }

// tracking is the policy: response times are followed by their 90th percentile, requests per target by their sum, which CloudWatch has per
// target already, and all others by the number of samples.
func tracking(a *fleet.AutoScaling, at *place) params {
	balancer := at.balancer
	if _, rest, ok := strings.Cut(at.balancer, ":loadbalancer/"); ok {
		balancer = rest
	}
	metric := params{"Namespace": "AWS/ApplicationELB", "MetricName": a.Metric.Name, "Dimensions": []params{
		{"Name": "TargetGroup", "Value": at.group[strings.LastIndexByte(at.group, ':')+1:]}, {"Name": "LoadBalancer", "Value": balancer}}}
	switch a.Metric.Name {
	case "TargetResponseTime":
		metric = params{"Metrics": []params{{"Id": "m1", "ReturnData": true, "MetricStat": params{"Metric": metric, "Stat": "p90"}}}}
	case "RequestCountPerTarget":
		metric["Statistic"] = "Sum"
	default:
		metric["Statistic"] = "SampleCount"
	}
	return params{"TargetValue": a.Metric.TargetValue, "ScaleInCooldown": cooldown(a), "ScaleOutCooldown": cooldown(a), "CustomizedMetricSpecification": metric}
}

// unfollow ends it; the policies go along.
func (w *work) unfollow(ctx context.Context) error {
	_, _, ok, err := w.limits(ctx)
	if err != nil {
		return fmt.Errorf("scaling: %w", err)
	}
	if !ok {
		return nil
	}
	err = w.call(ctx, scalingAPI, "DeregisterScalableTarget", w.scalable(), nil)
	if is(err, "ObjectNotFoundException") {
		return nil
	}
	return asked("scaling", err)
}
