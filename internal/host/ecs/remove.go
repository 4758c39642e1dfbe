package ecs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// Delete removes everything of a model, what depends on something before that. What takes AWS time is gone on with in the next call.
func (h *Host) Delete(ctx context.Context, id string) (bool, error) {
	m := h.hold(id)
	defer m.mu.Unlock()
	m.spec = ""
	w := h.work(id)
	for _, step := range []struct {
		what string
		do   func(context.Context) (bool, error)
	}{
		{"scaling", func(ctx context.Context) (bool, error) { return true, w.unfollow(ctx) }},
		{"service", w.removeService},
		{"load balancer", w.removeBalancing},
		{"capacity", w.removeCapacity},
		{"task definitions", w.removeTasks},
		{"log group", w.removeLogs},
	} {
		gone, err := step.do(ctx)
		if err != nil {
			return false, fmt.Errorf("ecs host: delete %s: %w", step.what, err)
		}
		if !gone {
			return false, nil
		}
	}
	return true, nil
}

func (w *work) removeService(ctx context.Context) (bool, error) {
	svc, err := w.service(ctx)
	if err != nil {
		return false, err
	}
	if svc != nil && aws.ToString(svc.Status) == statusActive {
		_, err := w.ecs.DeleteService(ctx, &ecs.DeleteServiceInput{Cluster: &w.o.Cluster, Service: &w.name, Force: aws.Bool(true)})
		if err != nil && !is(err, "ServiceNotFoundException", "ServiceNotActiveException") {
			return false, err
		}
		return false, nil // it drains now
	}
	if svc != nil {
		return false, nil
	}
	all, err := w.tasks(ctx)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(all, func(t types.Task) bool { return aws.ToString(t.LastStatus) != "STOPPED" }), nil
}

func (w *work) removeBalancing(ctx context.Context) (bool, error) {
	if w.o.LoadBalancerARN == "" {
		out, err := w.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{w.name}})
		if err != nil && !is(err, "LoadBalancerNotFound") {
			return false, err
		}
		if err == nil && len(out.LoadBalancers) > 0 {
			if _, err := w.elb.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: out.LoadBalancers[0].LoadBalancerArn}); err != nil {
				return false, err
			}
		}
	} else if err := w.removeRule(ctx); err != nil {
		return false, err
	}
	group, err := w.groupOf(ctx)
	if err != nil || group == nil {
		return err == nil, err
	}
	_, err = w.elb.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: group.TargetGroupArn})
	if is(err, "ResourceInUse") {
		return false, nil // the load balancer lets go of it in a while
	}
	return err == nil, err
}

func (w *work) removeRule(ctx context.Context) error {
	out, err := w.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: &w.o.LoadBalancerARN})
	if is(err, "LoadBalancerNotFound", "ListenerNotFound") {
		return nil
	}
	if err != nil {
		return err
	}
	for _, l := range out.Listeners {
		rules, _, err := w.rulesOf(ctx, aws.ToString(l.ListenerArn))
		if err != nil {
			return err
		}
		for _, r := range rules {
			if _, err := w.elb.DeleteRule(ctx, &elb.DeleteRuleInput{RuleArn: r.RuleArn}); err != nil && !is(err, "RuleNotFound") {
				return err
			}
		}
	}
	return nil
}

// removeCapacity takes the instances away: the cluster forgets the provider, which can go then, and after it what it managed.
func (w *work) removeCapacity(ctx context.Context) (bool, error) {
	if err := w.attach(ctx, false); err != nil {
		return false, err
	}
	provider, err := w.providerOf(ctx)
	if err != nil {
		return false, err
	}
	if provider != nil {
		if provider.UpdateStatus == types.CapacityProviderUpdateStatusDeleteInProgress {
			return false, nil
		}
		if _, err := w.ecs.DeleteCapacityProvider(ctx, &ecs.DeleteCapacityProviderInput{CapacityProvider: &w.name}); err != nil {
			return false, err
		}
	}
	group, err := w.groupOfInstances(ctx)
	if err != nil {
		return false, err
	}
	if group != nil {
		if aws.ToString(group.Status) != "" {
			return false, nil // it is being deleted
		}
		if _, err := w.asg.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: &w.name, ForceDelete: aws.Bool(true)}); err != nil {
			return false, err
		}
		return false, nil // its instances end first
	}
	there, err := w.ec2.hasTemplate(ctx, w.name)
	if err != nil || !there {
		return err == nil, err
	}
	err = w.ec2.deleteTemplate(ctx, w.name)
	return err == nil, err
}

// maxDeleted is how many task definitions ECS deletes in one call.
const maxDeleted = 10

func (w *work) removeTasks(ctx context.Context) (bool, error) {
	for _, status := range []types.TaskDefinitionStatus{types.TaskDefinitionStatusActive, types.TaskDefinitionStatusInactive} {
		out, err := w.ecs.ListTaskDefinitions(ctx, &ecs.ListTaskDefinitionsInput{FamilyPrefix: &w.name, Status: status})
		if err != nil {
			return false, err
		}
		for _, arn := range out.TaskDefinitionArns {
			if status == types.TaskDefinitionStatusActive {
				if _, err := w.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: &arn}); err != nil {
					return false, err
				}
			}
		}
		if status == types.TaskDefinitionStatusInactive {
			for some := range slices.Chunk(out.TaskDefinitionArns, maxDeleted) {
				w.forget(some)
				if _, err := w.ecs.DeleteTaskDefinitions(ctx, &ecs.DeleteTaskDefinitionsInput{TaskDefinitions: some}); err != nil {
					return false, err
				}
			}
		}
		if out.NextToken != nil {
			return false, nil
		}
	}
	return true, nil
}

func (w *work) removeLogs(ctx context.Context) (bool, error) {
	_, err := w.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String(w.group())})
	if is(err, "ResourceNotFoundException") {
		err = nil
	}
	return err == nil, err
}

// List names the models of which anything is there: what is made first and goes last, and beside it what costs money, lest somebody deleted
// the one by hand.
func (h *Host) List(ctx context.Context) ([]string, error) {
	found := map[string]bool{}
	for _, list := range []func(context.Context, map[string]bool) error{h.listLogs, h.listServices, h.listGroups, h.listInstances} {
		if err := list(ctx, found); err != nil {
			return nil, fmt.Errorf("ecs host: list: %w", err)
		}
	}
	out := make([]string, 0, len(found))
	for id := range found {
		out = append(out, id)
	}
	slices.Sort(out)
	return out, nil
}

func (h *Host) listLogs(ctx context.Context, found map[string]bool) error {
	in := &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String(h.o.LogGroupPrefix + h.o.NamePrefix + "-")}
	for {
		out, err := h.logs.DescribeLogGroups(ctx, in)
		if err != nil {
			return err
		}
		for _, g := range out.LogGroups {
			arn := strings.TrimSuffix(aws.ToString(g.Arn), ":*")
			tags, err := h.logs.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: &arn})
			if is(err, "ResourceNotFoundException") {
				continue // deleted meanwhile
			}
			if err != nil {
				return err
			}
			if id := tags.Tags[tagModel]; id != "" && tags.Tags[tagOwner] == h.o.NamePrefix {
				found[idOf(id)] = true
			}
		}
		if in.NextToken = out.NextToken; out.NextToken == nil {
			return nil
		}
	}
}

func (h *Host) listServices(ctx context.Context, found map[string]bool) error {
	in := &ecs.ListServicesInput{Cluster: &h.o.Cluster, MaxResults: aws.Int32(10)} // as many as can be described in one call
	for {
		out, err := h.ecs.ListServices(ctx, in)
		if err != nil {
			return err
		}
		if len(out.ServiceArns) > 0 {
			all, err := h.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &h.o.Cluster, Services: out.ServiceArns, Include: []types.ServiceField{types.ServiceFieldTags}})
			if err != nil {
				return err
			}
			for _, s := range all.Services {
				if id := ecsTag(s.Tags, tagModel); id != "" && ecsTag(s.Tags, tagOwner) == h.o.NamePrefix && aws.ToString(s.Status) != "INACTIVE" {
					found[idOf(id)] = true
				}
			}
		}
		if in.NextToken = out.NextToken; out.NextToken == nil {
			return nil
		}
	}
}

func (h *Host) listGroups(ctx context.Context, found map[string]bool) error {
	in := &elb.DescribeTargetGroupsInput{}
	for {
		out, err := h.elb.DescribeTargetGroups(ctx, in)
		if err != nil {
			return err
		}
		var ours []string
		for _, g := range out.TargetGroups {
			if strings.HasPrefix(aws.ToString(g.TargetGroupName), h.o.NamePrefix+"-") {
				ours = append(ours, aws.ToString(g.TargetGroupArn))
			}
		}
		for some := range slices.Chunk(ours, 20) { // as many as the call takes
			tags, err := h.elb.DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: some})
			if is(err, "TargetGroupNotFound") {
				continue // deleted meanwhile: the next list has the rest
			}
			if err != nil {
				return err
			}
			for _, d := range tags.TagDescriptions {
				values := map[string]string{}
				for _, t := range d.Tags {
					values[aws.ToString(t.Key)] = aws.ToString(t.Value)
				}
				if id := values[tagModel]; id != "" && values[tagOwner] == h.o.NamePrefix {
					found[idOf(id)] = true
				}
			}
		}
		if in.Marker = out.NextMarker; out.NextMarker == nil || *out.NextMarker == "" {
			return nil
		}
	}
}

func (h *Host) listInstances(ctx context.Context, found map[string]bool) error {
	in := &autoscaling.DescribeAutoScalingGroupsInput{Filters: []astypes.Filter{{Name: aws.String("tag:" + tagOwner), Values: []string{h.o.NamePrefix}}}}
	for {
		out, err := h.asg.DescribeAutoScalingGroups(ctx, in)
		if err != nil {
			return err
		}
		for _, g := range out.AutoScalingGroups {
			for _, t := range g.Tags {
				if aws.ToString(t.Key) == tagModel {
					found[idOf(aws.ToString(t.Value))] = true
				}
			}
		}
		if in.NextToken = out.NextToken; out.NextToken == nil {
			return nil
		}
	}
}
