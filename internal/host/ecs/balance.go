package ecs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

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
	group, err := w.targets(ctx, spec, lb.VPC)
	if err != nil {
		return nil, err
	}
	at := &place{group: group, balancer: lb.ARN, url: "http://" + lb.DNSName}
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
		at.url = strings.Replace(at.url, lb.DNSName, w.name+"."+w.o.Domain, 1)
	} else {
		at.url += "/" + w.name
	}
	return at, w.rule(ctx, listener, group)
}

type loadBalancer struct {
	ARN     string `xml:"LoadBalancerArn"`
	DNSName string
	VPC     string `xml:"VpcId"`
}

// loadBalancers is an answer that lists some.
type loadBalancers struct {
	All []loadBalancer `xml:"LoadBalancers>member"`
}

// balancerOf finds the shared load balancer, or the model's own; nil if there is none.
func (w *work) balancerOf(ctx context.Context) (*loadBalancer, error) {
	in := params{"Names": []string{w.name}}
	if w.o.LoadBalancerARN != "" {
		in = params{"LoadBalancerArns": []string{w.o.LoadBalancerARN}}
	}
	var out loadBalancers
	err := w.call(ctx, elbAPI, "DescribeLoadBalancers", in, &out)
	if is(err, "LoadBalancerNotFound") || err == nil && len(out.All) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load balancer: %w", err)
	}
	return &out.All[0], nil
}

// balancer is the shared load balancer, or the model's own, made if there is none.
func (w *work) balancer(ctx context.Context) (*loadBalancer, error) {
	lb, err := w.balancerOf(ctx)
	switch {
	case err != nil:
		return nil, err
	case w.o.LoadBalancerARN != "" && lb == nil:
		return nil, &fault{words: "there is no load balancer " + w.o.LoadBalancerARN}
	case w.o.LoadBalancerARN != "": // its settings are its owner's
		return lb, nil
	case lb == nil:
		var made loadBalancers
		err := w.call(ctx, elbAPI, "CreateLoadBalancer", params{"Name": w.name, "Scheme": "internal", "Type": "application", "Subnets": w.o.Subnets, "SecurityGroups": w.o.SecurityGroups,
			"Tags": w.elbTags()}, &made)
		if err != nil {
			return nil, asked("load balancer", err)
		}
		if len(made.All) == 0 {
			return nil, fmt.Errorf("load balancer: %s was made and is not in the answer", w.name)
		}
		lb = &made.All[0]
	}
	return lb, w.patience(ctx, lb.ARN)
}

// attributes is an answer that tells the settings of a load balancer or of a target group.
type attributes struct {
	All []struct{ Key, Value string } `xml:"Attributes>member"`
}

// patience makes a model's own load balancer wait for slow answers. Like all settings that are not part of the making it is looked at each
// time: who made the thing may have died right after.
func (w *work) patience(ctx context.Context, arn string) error {
	const idle, seconds = "idle_timeout.timeout_seconds", "600"
	var out attributes
	if err := w.call(ctx, elbAPI, "DescribeLoadBalancerAttributes", params{"LoadBalancerArn": arn}, &out); err != nil {
		return fmt.Errorf("load balancer: %w", err)
	}
	for _, a := range out.All {
		if a.Key == idle && a.Value == seconds {
			return nil
		}
	}
	return asked("load balancer", w.call(ctx, elbAPI, "ModifyLoadBalancerAttributes", params{"LoadBalancerArn": arn, "Attributes": []params{{"Key": idle, "Value": seconds}}}, nil))
}

// manners are how a target group takes servers in and lets them go (contract lisa.md A.3).
func (w *work) manners(ctx context.Context, arn string) error {
	want := map[string]string{"deregistration_delay.timeout_seconds": "30", "slow_start.duration_seconds": "60"}
	var out attributes
	if err := w.call(ctx, elbAPI, "DescribeTargetGroupAttributes", params{"TargetGroupArn": arn}, &out); err != nil {
		return fmt.Errorf("target group: %w", err)
	}
	for _, a := range out.All {
		if want[a.Key] == a.Value {
			delete(want, a.Key)
		}
	}
	if len(want) == 0 {
		return nil
	}
	var set []params
	for key, value := range want {
		set = append(set, params{"Key": key, "Value": value})
	}
	return asked("target group", w.call(ctx, elbAPI, "ModifyTargetGroupAttributes", params{"TargetGroupArn": arn, "Attributes": set}, nil))
}

type targetGroup struct {
	ARN  string `xml:"TargetGroupArn"`
	Name string `xml:"TargetGroupName"`
	probe
}

// targetGroups is an answer that lists some, from where another call goes on.
type targetGroups struct {
	All        []targetGroup `xml:"TargetGroups>member"`
	NextMarker string
}

// groupOf finds the model's target group, nil if there is none.
func (w *work) groupOf(ctx context.Context) (*targetGroup, error) {
	var out targetGroups
	err := w.call(ctx, elbAPI, "DescribeTargetGroups", params{"Names": []string{w.name}}, &out)
	if is(err, "TargetGroupNotFound") || err == nil && len(out.All) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("target group: %w", err)
	}
	return &out.All[0], nil
}

// targets makes the target group and keeps its health check as the definition says.
func (w *work) targets(ctx context.Context, spec fleet.Spec, vpc string) (string, error) {
	want := health(spec)
	group, err := w.groupOf(ctx)
	if err != nil {
		return "", err
	}
	if group != nil {
		if group.probe == want {
			return group.ARN, w.manners(ctx, group.ARN)
		}
		in := want.params()
		in["TargetGroupArn"] = group.ARN
		return group.ARN, asked("target group", w.call(ctx, elbAPI, "ModifyTargetGroup", in, nil))
	}
	in := want.params()
	maps.Copy(in, params{"Name": w.name, "Port": port, "Protocol": "HTTP", "TargetType": "ip", "VpcId": vpc, "HealthCheckProtocol": "HTTP", "Tags": w.elbTags()})
	var made targetGroups
	if err := w.call(ctx, elbAPI, "CreateTargetGroup", in, &made); err != nil {
		return "", asked("target group", err)
	}
	if len(made.All) == 0 {
		return "", fmt.Errorf("target group: %s was made and is not in the answer", w.name)
	}
	return made.All[0].ARN, w.manners(ctx, made.All[0].ARN)
}

// probe is a target group's health check, within what a load balancer takes.
type probe struct {
	Path      string `xml:"HealthCheckPath"`
	Interval  int64  `xml:"HealthCheckIntervalSeconds"`
	Timeout   int64  `xml:"HealthCheckTimeoutSeconds"`
	Healthy   int64  `xml:"HealthyThresholdCount"`
	Unhealthy int64  `xml:"UnhealthyThresholdCount"`
}

func (p probe) params() params {
	return params{"HealthCheckPath": p.Path, "HealthCheckIntervalSeconds": p.Interval, "HealthCheckTimeoutSeconds": p.Timeout, "HealthyThresholdCount": p.Healthy,
		"UnhealthyThresholdCount": p.Unhealthy}
}

func health(spec fleet.Spec) probe {
	p := probe{Path: cmp.Or(spec.Health, "/health"), Interval: 30, Timeout: 5, Healthy: 2, Unhealthy: 2}
	if spec.LoadBalancer != nil {
		c := spec.LoadBalancer.Health
		p.Interval, p.Healthy, p.Unhealthy = within(c.Interval, 5, 300), within(c.HealthyCount, 2, 10), within(c.UnhealthyCount, 2, 10)
		p.Timeout = within(c.Timeout, 2, min(120, p.Interval-1)) // less than the interval
	}
	return p
}

type listener struct {
	ARN     string   `xml:"ListenerArn"`
	Port    int32    `xml:"Port"`
	Actions []action `xml:"DefaultActions>member"`
}

// listeners is an answer that lists some.
type listeners struct {
	All []listener `xml:"Listeners>member"`
}

type action struct {
	TargetGroup string `xml:"TargetGroupArn"`
}

// leads reports whether what matches goes to a target group.
func leads(actions []action, group string) bool {
	return len(actions) > 0 && actions[0].TargetGroup == group
}

func forward(group string) []params {
	return []params{{"Type": "forward", "TargetGroupArn": group}}
}

// listener finds the listener of the port, made if there is none. That of a model's own load balancer forwards to its target group; that of a
// shared one answers 404 to what no rule knows, and stays when models go.
func (w *work) listener(ctx context.Context, at *place, own bool) (string, error) {
	var out listeners
	if err := w.call(ctx, elbAPI, "DescribeListeners", params{"LoadBalancerArn": at.balancer}, &out); err != nil {
		return "", fmt.Errorf("listener: %w", err)
	}
	for _, l := range out.All {
		if l.Port != w.o.ListenerPort {
			continue
		}
		if own && !leads(l.Actions, at.group) {
			return l.ARN, asked("listener", w.call(ctx, elbAPI, "ModifyListener", params{"ListenerArn": l.ARN, "DefaultActions": forward(at.group)}, nil))
		}
		return l.ARN, nil
	}
	tags, usual := w.elbTags(), forward(at.group)
	if !own {
		usual = []params{{"Type": "fixed-response", "FixedResponseConfig": params{"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "no such model"}}}
		tags = tags[1:] // it is everybody's
	}
	var made listeners
	in := params{"LoadBalancerArn": at.balancer, "Port": w.o.ListenerPort, "Protocol": "HTTP", "DefaultActions": usual, "Tags": tags}
	if err := w.call(ctx, elbAPI, "CreateListener", in, &made); err != nil {
		return "", asked("listener", err)
	}
	if len(made.All) == 0 {
		return "", errors.New("listener: one was made and is not in the answer")
	}
	return made.All[0].ARN, nil
}

type rule struct {
	ARN        string `xml:"RuleArn"`
	Priority   string
	Conditions []struct {
		Field string
		Hosts []string `xml:"HostHeaderConfig>Values>member"`
		Paths []string `xml:"PathPatternConfig>Values>member"`
	} `xml:"Conditions>member"`
	Actions []action `xml:"Actions>member"`
}

// rulesOf finds the rules that lead to a model, by what they match, and the priorities that are taken. There may be two: who does not see yet
// what it made makes it again.
func (w *work) rulesOf(ctx context.Context, listener string) (found []rule, taken map[string]bool, err error) {
	taken = map[string]bool{}
	in := params{"ListenerArn": listener}
	for {
		var out struct {
			Rules      []rule `xml:"Rules>member"`
			NextMarker string
		}
		if err := w.call(ctx, elbAPI, "DescribeRules", in, &out); err != nil {
			return nil, nil, fmt.Errorf("listener rules: %w", err)
		}
		for _, r := range out.Rules {
			taken[r.Priority] = true
			for _, c := range r.Conditions {
				if values := slices.Concat(c.Hosts, c.Paths); len(values) > 0 && values[0] == w.matches() {
					found = append(found, r)
				}
			}
		}
		if out.NextMarker == "" {
			return found, taken, nil
		}
		in["Marker"] = out.NextMarker
	}
}

// matches is what calls of the model have on a shared load balancer: its host, or else what their path is like.
func (w *work) matches() string {
	if w.o.Domain != "" {
		return w.name + "." + w.o.Domain
	}
	return "/" + w.name + "/*"
}

// rule makes the shared load balancer lead to the model's target group.
func (w *work) rule(ctx context.Context, listener, group string) error {
	found, taken, err := w.rulesOf(ctx, listener)
	if err != nil {
		return err
	}
	for _, r := range found {
		if leads(r.Actions, group) {
			continue
		}
		if err := w.call(ctx, elbAPI, "ModifyRule", params{"RuleArn": r.ARN, "Actions": forward(group)}, nil); err != nil {
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
	in := params{"ListenerArn": listener, "Priority": free, "Actions": forward(group), "Tags": w.elbTags()}
	values := params{"Values": []string{w.matches()}}
	if w.o.Domain != "" {
		in["Conditions"] = []params{{"Field": "host-header", "HostHeaderConfig": values}}
	} else {
		in["Conditions"] = []params{{"Field": "path-pattern", "PathPatternConfig": values}}
		in["Transforms"] = []params{{"Type": "url-rewrite", "UrlRewriteConfig": params{"Rewrites": []params{{"Regex": "^/" + regexp.QuoteMeta(w.name) + "/(.*)$", "Replace": "/$1"}}}}}
	}
	// Another gateway's model may have taken the priority meanwhile: the next try takes another.
	return asked("listener rule", w.call(ctx, elbAPI, "CreateRule", in, nil))
}
