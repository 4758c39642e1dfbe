package ecs

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/weir-gateway/weir/internal/fleet"
)

// place is where a model's servers are reached.
type place struct {
	url      string
	group    string // ARN of the target group
	balancer string // ARN
}

// balance makes the target group and the way to it.
func (w *work) balance(ctx context.Context, spec fleet.Spec) (*place, error) {
	lb, err := w.balancer(ctx)
	if err != nil {
		return nil, err
	}
	group, err := w.targets(ctx, spec, aws.ToString(lb.VpcId))
	if err != nil {
		return nil, err
	}
	at := &place{group: group, balancer: aws.ToString(lb.LoadBalancerArn), url: "http://" + aws.ToString(lb.DNSName)}
	if w.o.ListenerPort != 80 {
		at.url += ":" + strconv.Itoa(int(w.o.ListenerPort))
	}
	own := w.o.LoadBalancerARN == ""
	listener, err := w.listener(ctx, at, own)
	if err != nil {
		return nil, err
	}
	if own {
		return at, nil
	}
	if w.o.Domain != "" {
		at.url = strings.Replace(at.url, aws.ToString(lb.DNSName), w.name+"."+w.o.Domain, 1)
	} else {
		at.url += "/" + w.name
	}
	return at, w.rule(ctx, listener, group)
}

// balancer is the shared load balancer, or the model's own, made if there is none.
func (w *work) balancer(ctx context.Context) (*types.LoadBalancer, error) {
	in := &elb.DescribeLoadBalancersInput{Names: []string{w.name}}
	if w.o.LoadBalancerARN != "" {
		in = &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{w.o.LoadBalancerARN}}
	}
	out, err := w.elb.DescribeLoadBalancers(ctx, in)
	if err == nil && len(out.LoadBalancers) > 0 {
		if w.o.LoadBalancerARN != "" { // its settings are its owner's
			return &out.LoadBalancers[0], nil
		}
		return &out.LoadBalancers[0], w.patience(ctx, aws.ToString(out.LoadBalancers[0].LoadBalancerArn))
	}
	if err != nil && !is(err, "LoadBalancerNotFound") {
		return nil, fmt.Errorf("load balancer: %w", err)
	}
	if w.o.LoadBalancerARN != "" {
		return nil, &fault{words: "there is no load balancer " + w.o.LoadBalancerARN}
	}
	made, err := w.elb.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{
		Name: aws.String(w.name), Scheme: types.LoadBalancerSchemeEnumInternal, Type: types.LoadBalancerTypeEnumApplication, Subnets: w.o.Subnets, SecurityGroups: w.o.SecurityGroups, Tags: w.elbTags(),
	})
	if err != nil {
		return nil, asked("load balancer", err)
	}
	return &made.LoadBalancers[0], w.patience(ctx, aws.ToString(made.LoadBalancers[0].LoadBalancerArn))
}

// patience makes a model's own load balancer wait for slow answers. Like all settings that are not part of the making it is looked at each
// time: who made the thing may have died right after.
func (w *work) patience(ctx context.Context, arn string) error {
	const idle, seconds = "idle_timeout.timeout_seconds", "600"
	out, err := w.elb.DescribeLoadBalancerAttributes(ctx, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: &arn})
	if err != nil {
		return fmt.Errorf("load balancer: %w", err)
	}
	for _, a := range out.Attributes {
		if aws.ToString(a.Key) == idle && aws.ToString(a.Value) == seconds {
			return nil
		}
	}
	_, err = w.elb.ModifyLoadBalancerAttributes(ctx, &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: &arn,
		Attributes: []types.LoadBalancerAttribute{{Key: aws.String(idle), Value: aws.String(seconds)}}})
	return asked("load balancer", err)
}

// manners are how a target group takes servers in and lets them go (contract lisa.md A.3).
func (w *work) manners(ctx context.Context, arn string) error {
	want := map[string]string{"deregistration_delay.timeout_seconds": "30", "slow_start.duration_seconds": "60"}
	out, err := w.elb.DescribeTargetGroupAttributes(ctx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: &arn})
	if err != nil {
		return fmt.Errorf("target group: %w", err)
	}
	for _, a := range out.Attributes {
		if want[aws.ToString(a.Key)] == aws.ToString(a.Value) {
			delete(want, aws.ToString(a.Key))
		}
	}
	if len(want) == 0 {
		return nil
	}
	var set []types.TargetGroupAttribute
	for key, value := range want {
		set = append(set, types.TargetGroupAttribute{Key: aws.String(key), Value: aws.String(value)})
	}
	_, err = w.elb.ModifyTargetGroupAttributes(ctx, &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: &arn, Attributes: set})
	return asked("target group", err)
}

// groupOf finds the model's target group, nil if there is none.
func (w *work) groupOf(ctx context.Context) (*types.TargetGroup, error) {
	out, err := w.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{Names: []string{w.name}})
	if is(err, "TargetGroupNotFound") || err == nil && len(out.TargetGroups) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("target group: %w", err)
	}
	return &out.TargetGroups[0], nil
}

// targets makes the target group and keeps its health check as the definition says.
func (w *work) targets(ctx context.Context, spec fleet.Spec, vpc string) (string, error) {
	want := health(spec)
	group, err := w.groupOf(ctx)
	if err != nil {
		return "", err
	}
	if group != nil {
		arn := aws.ToString(group.TargetGroupArn)
		if aws.ToString(group.HealthCheckPath) == want.path && aws.ToInt32(group.HealthCheckIntervalSeconds) == *want.interval && aws.ToInt32(group.HealthCheckTimeoutSeconds) == *want.timeout &&
			aws.ToInt32(group.HealthyThresholdCount) == *want.healthy && aws.ToInt32(group.UnhealthyThresholdCount) == *want.unhealthy {
			return arn, w.manners(ctx, arn)
		}
		_, err := w.elb.ModifyTargetGroup(ctx, &elb.ModifyTargetGroupInput{TargetGroupArn: &arn, HealthCheckPath: &want.path, HealthCheckIntervalSeconds: want.interval,
			HealthCheckTimeoutSeconds: want.timeout, HealthyThresholdCount: want.healthy, UnhealthyThresholdCount: want.unhealthy})
		return arn, asked("target group", err)
	}
	made, err := w.elb.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{
		Name: aws.String(w.name), Port: aws.Int32(port), Protocol: types.ProtocolEnumHttp, TargetType: types.TargetTypeEnumIp, VpcId: aws.String(vpc), Tags: w.elbTags(),
		HealthCheckProtocol: types.ProtocolEnumHttp, HealthCheckPath: &want.path, HealthCheckIntervalSeconds: want.interval, HealthCheckTimeoutSeconds: want.timeout,
		HealthyThresholdCount: want.healthy, UnhealthyThresholdCount: want.unhealthy,
	})
	if err != nil {
		return "", asked("target group", err)
	}
	arn := aws.ToString(made.TargetGroups[0].TargetGroupArn)
	return arn, w.manners(ctx, arn)
}

// probe is a target group's health check, within what a load balancer takes.
type probe struct {
	path                                  string
	interval, timeout, healthy, unhealthy *int32
}

func health(spec fleet.Spec) probe {
	p := probe{path: or(spec.Health, "/health"), interval: aws.Int32(30), timeout: aws.Int32(5), healthy: aws.Int32(2), unhealthy: aws.Int32(2)}
	if spec.LoadBalancer != nil {
		c := spec.LoadBalancer.Health
		p.interval, p.healthy, p.unhealthy = within(c.Interval, 5, 300), within(c.HealthyCount, 2, 10), within(c.UnhealthyCount, 2, 10)
		p.timeout = within(c.Timeout, 2, min(120, int64(*p.interval)-1)) // less than the interval
	}
	return p
}

// listener finds the listener of the port, made if there is none. That of a model's own load balancer forwards to its target group; that of a
// shared one answers 404 to what no rule knows, and stays when models go.
func (w *work) listener(ctx context.Context, at *place, own bool) (string, error) {
	out, err := w.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: &at.balancer})
	if err != nil {
		return "", fmt.Errorf("listener: %w", err)
	}
	action := []types.Action{{Type: types.ActionTypeEnumForward, TargetGroupArn: &at.group}}
	for _, l := range out.Listeners {
		if aws.ToInt32(l.Port) != w.o.ListenerPort {
			continue
		}
		if own && (len(l.DefaultActions) == 0 || aws.ToString(l.DefaultActions[0].TargetGroupArn) != at.group) {
			_, err := w.elb.ModifyListener(ctx, &elb.ModifyListenerInput{ListenerArn: l.ListenerArn, DefaultActions: action})
			return aws.ToString(l.ListenerArn), asked("listener", err)
		}
		return aws.ToString(l.ListenerArn), nil
	}
	tags := w.elbTags()
	if !own {
		action = []types.Action{{Type: types.ActionTypeEnumFixedResponse, FixedResponseConfig: &types.FixedResponseActionConfig{StatusCode: aws.String("404"),
			ContentType: aws.String("text/plain"), MessageBody: aws.String("no such model")}}}
		tags = tags[1:] // it is everybody's
	}
	made, err := w.elb.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: &at.balancer, Port: &w.o.ListenerPort, Protocol: types.ProtocolEnumHttp, DefaultActions: action, Tags: tags})
	if err != nil {
		return "", asked("listener", err)
	}
	return aws.ToString(made.Listeners[0].ListenerArn), nil
}

// rulesOf finds the rules that lead to a model, by what they match, and the priorities that are taken. There may be two: who does not see yet
// what it made makes it again.
func (w *work) rulesOf(ctx context.Context, listener string) (found []types.Rule, taken map[string]bool, err error) {
	taken = map[string]bool{}
	want := w.condition()
	in := &elb.DescribeRulesInput{ListenerArn: &listener}
	for {
		out, err := w.elb.DescribeRules(ctx, in)
		if err != nil {
			return nil, nil, fmt.Errorf("listener rules: %w", err)
		}
		for i, r := range out.Rules {
			taken[aws.ToString(r.Priority)] = true
			for _, c := range r.Conditions {
				if aws.ToString(c.Field) == aws.ToString(want.Field) && len(values(c)) > 0 && values(c)[0] == values(want)[0] {
					found = append(found, out.Rules[i])
				}
			}
		}
		if out.NextMarker == nil || *out.NextMarker == "" {
			return found, taken, nil
		}
		in.Marker = out.NextMarker
	}
}

func (w *work) condition() types.RuleCondition {
	if w.o.Domain != "" {
		return types.RuleCondition{Field: aws.String("host-header"), HostHeaderConfig: &types.HostHeaderConditionConfig{Values: []string{w.name + "." + w.o.Domain}}}
	}
	return types.RuleCondition{Field: aws.String("path-pattern"), PathPatternConfig: &types.PathPatternConditionConfig{Values: []string{"/" + w.name + "/*"}}}
}

func values(c types.RuleCondition) []string {
	switch {
	case c.HostHeaderConfig != nil:
		return c.HostHeaderConfig.Values
	case c.PathPatternConfig != nil:
		return c.PathPatternConfig.Values
	}
	return c.Values
}

// rule makes the shared load balancer lead to the model's target group.
func (w *work) rule(ctx context.Context, listener, group string) error {
	found, taken, err := w.rulesOf(ctx, listener)
	if err != nil {
		return err
	}
	action := []types.Action{{Type: types.ActionTypeEnumForward, TargetGroupArn: &group}}
	for _, r := range found {
		if len(r.Actions) > 0 && aws.ToString(r.Actions[0].TargetGroupArn) == group {
			continue
		}
		if _, err := w.elb.ModifyRule(ctx, &elb.ModifyRuleInput{RuleArn: r.RuleArn, Actions: action}); err != nil {
			return asked("listener rule", err)
		}
	}
	if len(found) > 0 {
		return nil
	}
	free := 1
	for taken[strconv.Itoa(free)] {
		free++
	}
	in := &elb.CreateRuleInput{ListenerArn: &listener, Priority: aws.Int32(int32(free)), Conditions: []types.RuleCondition{w.condition()}, Actions: action, Tags: w.elbTags()}
	if w.o.Domain == "" {
		in.Transforms = []types.RuleTransform{{Type: types.TransformTypeEnumUrlRewrite, UrlRewriteConfig: &types.UrlRewriteConfig{
			Rewrites: []types.RewriteConfig{{Regex: aws.String("^/" + regexp.QuoteMeta(w.name) + "/(.*)$"), Replace: aws.String("/$1")}}}}}
	}
	_, err = w.elb.CreateRule(ctx, in) // another gateway's model may have taken the priority meanwhile: the next try takes another
	return asked("listener rule", err)
}
