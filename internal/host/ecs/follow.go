package ecs

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"

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

// follow makes the number of servers follow the model's metric (contract lisa.md A.3), honouring the cooldown.
func (w *work) follow(ctx context.Context, spec fleet.Spec, at *place) error {
	if !w.scales(spec) {
		return w.unfollow(ctx)
	}
	a := spec.AutoScaling
	least, most := int32(a.MinCapacity), int32(a.MaxCapacity)
	have, err := w.scaling.DescribeScalableTargets(ctx, &applicationautoscaling.DescribeScalableTargetsInput{ServiceNamespace: types.ServiceNamespaceEcs, ResourceIds: []string{w.resource()},
		ScalableDimension: types.ScalableDimensionECSServiceDesiredCount})
	if err != nil {
		return fmt.Errorf("scaling: %w", err)
	}
	if len(have.ScalableTargets) == 0 || aws.ToInt32(have.ScalableTargets[0].MinCapacity) != least || aws.ToInt32(have.ScalableTargets[0].MaxCapacity) != most {
		_, err := w.scaling.RegisterScalableTarget(ctx, &applicationautoscaling.RegisterScalableTargetInput{ServiceNamespace: types.ServiceNamespaceEcs, ResourceId: aws.String(w.resource()),
			ScalableDimension: types.ScalableDimensionECSServiceDesiredCount, MinCapacity: &least, MaxCapacity: &most})
		if err != nil {
			return asked("scaling", err)
		}
	}
	want := tracking(a, at)
	policies, err := w.scaling.DescribeScalingPolicies(ctx, &applicationautoscaling.DescribeScalingPoliciesInput{ServiceNamespace: types.ServiceNamespaceEcs, ResourceId: aws.String(w.resource())})
	if err != nil {
		return fmt.Errorf("scaling: %w", err)
	}
	for _, p := range policies.ScalingPolicies {
		if c := p.TargetTrackingScalingPolicyConfiguration; aws.ToString(p.PolicyName) == w.name && c != nil && aws.ToFloat64(c.TargetValue) == *want.TargetValue &&
			aws.ToInt32(c.ScaleInCooldown) == *want.ScaleInCooldown && metricOf(c) == metricOf(want) {
			return nil
		}
	}
	_, err = w.scaling.PutScalingPolicy(ctx, &applicationautoscaling.PutScalingPolicyInput{ServiceNamespace: types.ServiceNamespaceEcs, ResourceId: aws.String(w.resource()), PolicyName: &w.name,
		ScalableDimension: types.ScalableDimensionECSServiceDesiredCount, PolicyType: types.PolicyTypeTargetTrackingScaling, TargetTrackingScalingPolicyConfiguration: want})
	return asked("scaling", err)
}

func metricOf(c *types.TargetTrackingScalingPolicyConfiguration) string {
	m := c.CustomizedMetricSpecification
	switch {
	case m == nil:
		return ""
	case len(m.Metrics) > 0 && m.Metrics[0].MetricStat != nil && m.Metrics[0].MetricStat.Metric != nil:
		return aws.ToString(m.Metrics[0].MetricStat.Metric.MetricName)
	}
	return aws.ToString(m.MetricName)
}

// tracking is the policy: response times are followed by their 90th percentile, requests per target by their sum, which CloudWatch has per
// target already, and all others by the number of samples.
func tracking(a *fleet.AutoScaling, at *place) *types.TargetTrackingScalingPolicyConfiguration {
	cooldown := aws.Int32(int32(min(a.Cooldown, math.MaxInt32)))
	out := &types.TargetTrackingScalingPolicyConfiguration{TargetValue: aws.Float64(float64(a.Metric.TargetValue)), ScaleInCooldown: cooldown, ScaleOutCooldown: cooldown}
	group, balancer := at.group[strings.LastIndexByte(at.group, ':')+1:], at.balancer
	if _, rest, ok := strings.Cut(at.balancer, ":loadbalancer/"); ok {
		balancer = rest
	}
	dimensions := map[string]string{"TargetGroup": group, "LoadBalancer": balancer}
	const namespace = "AWS/ApplicationELB"
	name := a.Metric.Name
	if name == "TargetResponseTime" {
		metric := &types.TargetTrackingMetric{Namespace: aws.String(namespace), MetricName: &name}
		for _, k := range []string{"TargetGroup", "LoadBalancer"} {
			metric.Dimensions = append(metric.Dimensions, types.TargetTrackingMetricDimension{Name: aws.String(k), Value: aws.String(dimensions[k])})
		}
		out.CustomizedMetricSpecification = &types.CustomizedMetricSpecification{Metrics: []types.TargetTrackingMetricDataQuery{{Id: aws.String("m1"), ReturnData: aws.Bool(true),
			MetricStat: &types.TargetTrackingMetricStat{Metric: metric, Stat: aws.String("p90")}}}}
		return out
	}
	c := &types.CustomizedMetricSpecification{Namespace: aws.String(namespace), MetricName: &name, Statistic: types.MetricStatisticSampleCount}
	if name == "RequestCountPerTarget" {
		c.Statistic = types.MetricStatisticSum
	}
	for _, k := range []string{"TargetGroup", "LoadBalancer"} {
		c.Dimensions = append(c.Dimensions, types.MetricDimension{Name: aws.String(k), Value: aws.String(dimensions[k])})
	}
	out.CustomizedMetricSpecification = c
	return out
}

// unfollow ends it; the policies go along.
func (w *work) unfollow(ctx context.Context) error {
	have, err := w.scaling.DescribeScalableTargets(ctx, &applicationautoscaling.DescribeScalableTargetsInput{ServiceNamespace: types.ServiceNamespaceEcs, ResourceIds: []string{w.resource()},
		ScalableDimension: types.ScalableDimensionECSServiceDesiredCount})
	if err != nil {
		return fmt.Errorf("scaling: %w", err)
	}
	if len(have.ScalableTargets) == 0 {
		return nil
	}
	_, err = w.scaling.DeregisterScalableTarget(ctx, &applicationautoscaling.DeregisterScalableTargetInput{ServiceNamespace: types.ServiceNamespaceEcs, ResourceId: aws.String(w.resource()),
		ScalableDimension: types.ScalableDimensionECSServiceDesiredCount})
	if is(err, "ObjectNotFoundException") {
		return nil
	}
	return asked("scaling", err)
}
