package ecs

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Delete removes everything of a model, what depends on something before that. What takes AWS time is gone on with in the next call.
func (h *Host) Delete(ctx context.Context, id string) (bool, error) {
	m := h.models.Hold(id)
	defer m.Unlock()
	m.Forget()
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
	if svc != nil && svc.Status == statusActive {
		err := w.call(ctx, ecsAPI, "DeleteService", params{"cluster": w.o.Cluster, "service": w.name, "force": true}, nil)
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
	return !slices.ContainsFunc(all, func(t task) bool { return t.Status != statusStopped }), nil
}

func (w *work) removeBalancing(ctx context.Context) (bool, error) {
	if w.o.LoadBalancerARN != "" {
		if err := w.removeRule(ctx); err != nil {
			return false, err
		}
	} else if lb, err := w.balancerOf(ctx); err != nil {
		return false, err
	} else if lb != nil {
		if err := w.call(ctx, elbAPI, "DeleteLoadBalancer", params{"LoadBalancerArn": lb.ARN}, nil); err != nil {
			return false, err
		}
	}
	group, err := w.groupOf(ctx)
	if err != nil || group == nil {
		return err == nil, err
	}
	err = w.call(ctx, elbAPI, "DeleteTargetGroup", params{"TargetGroupArn": group.ARN}, nil)
	if is(err, "ResourceInUse") {
		return false, nil // the load balancer lets go of it in a while
	}
	return err == nil, err
}

func (w *work) removeRule(ctx context.Context) error {
	var out listeners
	err := w.call(ctx, elbAPI, "DescribeListeners", params{"LoadBalancerArn": w.o.LoadBalancerARN}, &out)
	if is(err, "LoadBalancerNotFound", "ListenerNotFound") {
		return nil
	}
	if err != nil {
		return err
	}
	for _, l := range out.All {
		rules, _, err := w.rulesOf(ctx, l.ARN)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if err := w.call(ctx, elbAPI, "DeleteRule", params{"RuleArn": r.ARN}, nil); err != nil && !is(err, "RuleNotFound") {
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
		if provider.UpdateStatus == "DELETE_IN_PROGRESS" {
			return false, nil
		}
		if err := w.call(ctx, ecsAPI, "DeleteCapacityProvider", params{"capacityProvider": w.name}, nil); err != nil {
			return false, err
		}
	}
	group, err := w.groupOfInstances(ctx)
	if err != nil {
		return false, err
	}
	if group != nil {
		if group.Status != "" {
			return false, nil // it is being deleted
		}
		if err := w.call(ctx, asgAPI, "DeleteAutoScalingGroup", params{"AutoScalingGroupName": w.name, "ForceDelete": true}, nil); err != nil {
			return false, err
		}
		return false, nil // its instances end first
	}
	err = w.removeTemplate(ctx)
	return err == nil, err
}

// maxDeleted is how many task definitions ECS deletes in one call.
const maxDeleted = 10

func (w *work) removeTasks(ctx context.Context) (bool, error) {
	for _, status := range []string{statusActive, statusInactive} {
		var out struct {
			ARNs      []string `json:"taskDefinitionArns"`
			NextToken string   `json:"nextToken"`
		}
		if err := w.call(ctx, ecsAPI, "ListTaskDefinitions", params{"familyPrefix": w.name, "status": status}, &out); err != nil {
			return false, err
		}
		if status == statusActive {
			for _, arn := range out.ARNs {
				if err := w.call(ctx, ecsAPI, "DeregisterTaskDefinition", params{"taskDefinition": arn}, nil); err != nil {
					return false, err
				}
			}
		} else {
			for some := range slices.Chunk(out.ARNs, maxDeleted) {
				w.forget(some)
				if err := w.call(ctx, ecsAPI, "DeleteTaskDefinitions", params{"taskDefinitions": some}, nil); err != nil {
					return false, err
				}
			}
		}
		if out.NextToken != "" {
			return false, nil
		}
	}
	return true, nil
}

func (w *work) removeLogs(ctx context.Context) (bool, error) {
	err := w.call(ctx, logsAPI, "DeleteLogGroup", params{"logGroupName": w.group()}, nil)
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
	in := params{"logGroupNamePrefix": h.o.LogGroupPrefix + h.o.NamePrefix + "-"}
	for {
		var out logGroups
		if err := h.call(ctx, logsAPI, "DescribeLogGroups", in, &out); err != nil {
			return err
		}
		for _, g := range out.All {
			var of struct {
				Tags map[string]string `json:"tags"`
			}
			err := h.call(ctx, logsAPI, "ListTagsForResource", params{"resourceArn": strings.TrimSuffix(g.ARN, ":*")}, &of)
			if is(err, "ResourceNotFoundException") {
				continue // deleted meanwhile
			}
			if err != nil {
				return err
			}
			if id := of.Tags[tagModel]; id != "" && of.Tags[tagOwner] == h.o.NamePrefix {
				found[idOf(id)] = true
			}
		}
		if out.NextToken == "" {
			return nil
		}
		in["nextToken"] = out.NextToken
	}
}

func (h *Host) listServices(ctx context.Context, found map[string]bool) error {
	in := params{"cluster": h.o.Cluster, "maxResults": 10} // as many as can be described in one call
	for {
		var out struct {
			ARNs      []string `json:"serviceArns"`
			NextToken string   `json:"nextToken"`
		}
		if err := h.call(ctx, ecsAPI, "ListServices", in, &out); err != nil {
			return err
		}
		if len(out.ARNs) > 0 {
			var described services
			err := h.call(ctx, ecsAPI, "DescribeServices", params{"cluster": h.o.Cluster, "services": out.ARNs, "include": []string{"TAGS"}}, &described)
			if err != nil {
				return err
			}
			for _, s := range described.All {
				if id := ecsTag(s.Tags, tagModel); id != "" && ecsTag(s.Tags, tagOwner) == h.o.NamePrefix && s.Status != statusInactive {
					found[idOf(id)] = true
				}
			}
		}
		if out.NextToken == "" {
			return nil
		}
		in["nextToken"] = out.NextToken
	}
}

func (h *Host) listGroups(ctx context.Context, found map[string]bool) error {
	in := params{}
	for {
		var out targetGroups
		if err := h.call(ctx, elbAPI, "DescribeTargetGroups", in, &out); err != nil {
			return err
		}
		var ours []string
		for _, g := range out.All {
			if strings.HasPrefix(g.Name, h.o.NamePrefix+"-") {
				ours = append(ours, g.ARN)
			}
		}
		for some := range slices.Chunk(ours, 20) { // as many as the call takes
			var tags struct {
				Of []struct {
					Tags []struct{ Key, Value string } `xml:"Tags>member"`
				} `xml:"TagDescriptions>member"`
			}
			err := h.call(ctx, elbAPI, "DescribeTags", params{"ResourceArns": some}, &tags)
			if is(err, "TargetGroupNotFound") {
				continue // deleted meanwhile: the next list has the rest
			}
			if err != nil {
				return err
			}
			for _, one := range tags.Of {
				values := map[string]string{}
				for _, t := range one.Tags {
					values[t.Key] = t.Value
				}
				if id := values[tagModel]; id != "" && values[tagOwner] == h.o.NamePrefix {
					found[idOf(id)] = true
				}
			}
		}
		if out.NextMarker == "" {
			return nil
		}
		in["Marker"] = out.NextMarker
	}
}

func (h *Host) listInstances(ctx context.Context, found map[string]bool) error {
	in := params{"Filters": []params{{"Name": "tag:" + tagOwner, "Values": []string{h.o.NamePrefix}}}}
	for {
		var out scalingGroups
		if err := h.call(ctx, asgAPI, "DescribeAutoScalingGroups", in, &out); err != nil {
			return err
		}
		for _, g := range out.All {
			for _, t := range g.Tags {
				if t.Key == tagModel {
					found[idOf(t.Value)] = true
				}
			}
		}
		if out.NextToken == "" {
			return nil
		}
		in["NextToken"] = out.NextToken
	}
}
