package ecs

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/fleet"
)

const (
	statusActive   = "ACTIVE"
	statusDraining = "DRAINING"
	statusInactive = "INACTIVE"
)

type service struct {
	ARN           string `json:"serviceArn"`
	Status        string `json:"status"`
	Definition    string `json:"taskDefinition"`
	Desired       int64  `json:"desiredCount"`
	Tags          []tag  `json:"tags"`
	LoadBalancers []struct {
		Group string `json:"targetGroupArn"`
	} `json:"loadBalancers"`
	Deployments []deployment `json:"deployments"`
	Events      []struct {
		Message string `json:"message"`
	} `json:"events"` // the newest first
}

type deployment struct {
	Status  string `json:"status"`
	Rollout string `json:"rolloutState"`
	Reason  string `json:"rolloutStateReason"`
}

// services is an answer that describes some.
type services struct {
	All []service `json:"services"`
}

// oneService is an answer that describes a service that was made or changed.
type oneService struct {
	Service service `json:"service"`
}

// service finds the model's service, nil if there is none. One that is gone for good is none.
func (w *work) service(ctx context.Context) (*service, error) {
	var out services
	err := w.call(ctx, ecsAPI, "DescribeServices", params{"cluster": w.o.Cluster, "services": []string{w.name}, "include": []string{"TAGS"}}, &out)
	if is(err, "ClusterNotFoundException") { // it was deleted, and the service before it
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("service: %w", err)
	}
	for i, s := range out.All {
		if s.Status == statusActive || s.Status == statusDraining {
			return &out.All[i], nil
		}
	}
	return nil, nil
}

// serve makes the service, or brings it to the generation and the number of servers that are wanted.
func (w *work) serve(ctx context.Context, spec fleet.Spec, kind machine, at *place, svc *service) (*service, error) {
	if svc == nil {
		arn, err := w.task(ctx, spec, kind)
		if err != nil {
			return nil, err
		}
		var made oneService
		if err := w.call(ctx, ecsAPI, "CreateService", w.creation(spec, kind, at, arn), &made); err != nil {
			return nil, asked("service", err)
		}
		return &made.Service, nil
	}
	runs, err := w.generation(ctx, svc.Definition)
	if err != nil {
		return nil, err
	}
	tried := ecsTag(svc.Tags, tagGeneration) == strconv.FormatInt(spec.Generation, 10)
	wakes := svc.Desired == 0
	change := params{}
	switch {
	case runs != spec.Generation && (!tried || wakes):
		// A generation that was tried and does not run was taken back by the circuit breaker: it is tried again only after a stop.
		arn, err := w.task(ctx, spec, kind)
		if err != nil {
			return nil, err
		}
		change["taskDefinition"] = arn
	case wakes && broke(svc) != nil:
		change["forceNewDeployment"] = true
	}
	if w.counts(spec, svc) {
		change["desiredCount"] = spec.Replicas
	}
	if len(svc.LoadBalancers) > 0 && svc.LoadBalancers[0].Group != at.group { // it was deleted by hand and made anew
		change["loadBalancers"] = balancers(at)
	}
	if len(change) > 0 {
		tags := svc.Tags
		if svc, err = w.update(ctx, change); err != nil {
			return nil, err
		}
		svc.Tags = tags
	}
	// Only after the change: who dies in between makes the change again.
	want := []tag{{tagGeneration, strconv.FormatInt(spec.Generation, 10)}, {tagReplicas, strconv.FormatInt(spec.Replicas, 10)}}
	if ecsTag(svc.Tags, tagGeneration) != want[0].Value || ecsTag(svc.Tags, tagReplicas) != want[1].Value {
		if err := w.call(ctx, ecsAPI, "TagResource", params{"resourceArn": svc.ARN, "tags": want}, nil); err != nil {
			return nil, asked("service", err)
		}
		svc.Tags = want // nobody looks at the others
	}
	return svc, nil
}

// update changes the service, which it tells as it is then.
func (w *work) update(ctx context.Context, change params) (*service, error) {
	change["cluster"], change["service"] = w.o.Cluster, w.name
	var out oneService
	if err := w.call(ctx, ecsAPI, "UpdateService", change, &out); err != nil {
		return nil, asked("service", err)
	}
	return &out.Service, nil
}

// counts tells whether the service's number of tasks is to be set. Where the service scales itself, only a changed wish and the limits count.
func (w *work) counts(spec fleet.Spec, svc *service) bool {
	if svc.Desired == spec.Replicas {
		return false
	}
	asked := ecsTag(svc.Tags, tagReplicas) == strconv.FormatInt(spec.Replicas, 10)
	a := spec.AutoScaling
	return !(a != nil && w.scales(spec) && asked && svc.Desired >= a.MinCapacity && svc.Desired <= a.MaxCapacity)
}

func balancers(at *place) []params {
	return []params{{"targetGroupArn": at.group, "containerName": container, "containerPort": port}}
}

// creation is the service as it begins.
func (w *work) creation(spec fleet.Spec, kind machine, at *place, task string) params {
	grace := int64(0)
	if spec.AutoScaling != nil {
		grace = within(spec.AutoScaling.Metric.EstimatedInstanceWarmup, 0, math.MaxInt32)
	}
	in := params{
		"cluster": w.o.Cluster, "serviceName": w.name, "taskDefinition": task, "desiredCount": spec.Replicas, "loadBalancers": balancers(at),
		"tags":          append(w.ecsTags(spec.Generation), tagECS(tagReplicas, strconv.FormatInt(spec.Replicas, 10))),
		"propagateTags": "TASK_DEFINITION", "healthCheckGracePeriodSeconds": grace,
		"networkConfiguration":    params{"awsvpcConfiguration": params{"subnets": w.o.Subnets, "securityGroups": w.o.SecurityGroups, "assignPublicIp": "DISABLED"}},
		"deploymentConfiguration": params{"minimumHealthyPercent": 100, "maximumPercent": 200, "deploymentCircuitBreaker": params{"enable": true, "rollback": true}},
	}
	if kind.fargate {
		in["launchType"] = "FARGATE"
	} else {
		in["capacityProviderStrategy"] = []params{{"capacityProvider": w.name, "weight": 1}}
	}
	return in
}

// sleep stops all servers. What is dear to make stays; nothing is made.
func (w *work) sleep(ctx context.Context, spec fleet.Spec, svc *service) (fleet.Observed, error) {
	if svc == nil {
		return fleet.Observed{Generation: spec.Generation}, nil
	}
	if svc.Status == statusActive && svc.Desired > 0 {
		if err := w.unfollow(ctx); err != nil { // first, or it would raise the number again
			return fleet.Observed{}, err
		}
		var err error
		if svc, err = w.update(ctx, params{"desiredCount": 0}); err != nil {
			return fleet.Observed{}, err
		}
	}
	seen, err := w.observe(ctx, spec, svc, nil)
	if err != nil || len(seen.Servers) > 0 {
		return seen, err
	}
	// The capacity provider would take its time to let the instances go.
	group, err := w.groupOfInstances(ctx)
	if err == nil && group != nil && group.Desired > 0 && group.Status == "" {
		err = asked("Auto Scaling group", w.call(ctx, asgAPI, "SetDesiredCapacity", params{"AutoScalingGroupName": w.name, "DesiredCapacity": 0}, nil))
	}
	return seen, err
}

// observe tells what runs. at is nil where nothing is reached any more.
func (w *work) observe(ctx context.Context, spec fleet.Spec, svc *service, at *place) (fleet.Observed, error) {
	out := fleet.Observed{Generation: spec.Generation}
	all, err := w.tasks(ctx)
	if err != nil {
		return out, err
	}
	healthy := map[string]bool{}
	if at != nil {
		if healthy, err = w.healthy(ctx, at.group); err != nil {
			return out, err
		}
	}
	for _, t := range all {
		if t.Status == statusStopped {
			continue
		}
		n, err := w.generation(ctx, t.Definition)
		if err != nil {
			return out, err
		}
		s := fleet.Server{ID: t.ARN[strings.LastIndexByte(t.ARN, '/')+1:], Generation: n, Started: time.UnixMilli(int64(t.Created * 1000))}
		if at != nil {
			s.URL = at.url
			s.Ready = healthy[t.address()] && t.Status == statusRunning && t.Wanted == statusRunning
		}
		out.Servers = append(out.Servers, s)
	}
	slices.SortFunc(out.Servers, func(a, b fleet.Server) int { return strings.Compare(a.ID, b.ID) })
	if svc == nil || spec.Replicas == 0 || svc.Status != statusActive {
		return out, nil
	}
	if w.scales(spec) {
		out.Scaled = svc.Desired
	}
	runs, err := w.generation(ctx, svc.Definition)
	if err != nil {
		return out, err
	}
	if failed := broke(svc); failed != nil || runs != spec.Generation {
		out.Failure = w.why(ctx, spec, svc, all)
	}
	return out, nil
}

// broke is the deployment that the circuit breaker gave up and had nothing to go back to.
func broke(svc *service) *deployment {
	for i, d := range svc.Deployments {
		if d.Status == "PRIMARY" && d.Rollout == "FAILED" {
			return &svc.Deployments[i]
		}
	}
	return nil
}

// why is what ECS says of a failed deployment: the service's events, why the tasks stopped, and what they said last.
func (w *work) why(ctx context.Context, spec fleet.Spec, svc *service, all []task) string {
	var words []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(words, s) && len(words) < 6 {
			words = append(words, s)
		}
	}
	if d := broke(svc); d != nil {
		add(d.Reason)
	}
	for _, e := range svc.Events {
		if strings.Contains(e.Message, "failed") || strings.Contains(e.Message, "unable") {
			add(e.Message)
			break
		}
	}
	slices.SortFunc(all, func(a, b task) int { return cmp.Compare(b.Stopped, a.Stopped) })
	for _, t := range all {
		if n, err := w.generation(ctx, t.Definition); err != nil || n != spec.Generation || t.Status != statusStopped {
			continue
		}
		add(t.Reason)
		for _, c := range t.Containers {
			add(c.Reason)
			if c.ExitCode != 0 {
				add(fmt.Sprintf("container %s ended with code %d", c.Name, c.ExitCode))
			}
		}
	}
	if lines, err := w.lines(ctx, "g"+strconv.FormatInt(spec.Generation, 10)+"/", 3); err == nil {
		for _, l := range lines {
			add(l)
		}
	}
	if len(words) == 0 {
		return "the deployment failed, and ECS does not say why"
	}
	return strings.Join(words, " | ")
}

const (
	statusRunning = "RUNNING" // of tasks
	statusStopped = "STOPPED"

	maxDescribed = 100 // tasks that ECS describes in one call
)

type task struct {
	ARN         string  `json:"taskArn"`
	Definition  string  `json:"taskDefinitionArn"`
	Status      string  `json:"lastStatus"`
	Wanted      string  `json:"desiredStatus"`
	Reason      string  `json:"stoppedReason"`
	Created     float64 `json:"createdAt"` // Unix seconds
	Stopped     float64 `json:"stoppedAt"`
	Attachments []struct {
		Details []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"details"`
	} `json:"attachments"`
	Containers []struct {
		Name     string `json:"name"`
		Reason   string `json:"reason"`
		ExitCode int64  `json:"exitCode"`
	} `json:"containers"`
}

// tasks are all tasks of the service, those that stopped lately too.
func (w *work) tasks(ctx context.Context) ([]task, error) {
	var arns []string
	for _, status := range []string{statusRunning, statusStopped} {
		in := params{"cluster": w.o.Cluster, "serviceName": w.name, "desiredStatus": status}
		for {
			var out struct {
				ARNs      []string `json:"taskArns"`
				NextToken string   `json:"nextToken"`
			}
			err := w.call(ctx, ecsAPI, "ListTasks", in, &out)
			if is(err, "ServiceNotFoundException", "ServiceNotActiveException", "ClusterNotFoundException") {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("tasks: %w", err)
			}
			arns = append(arns, out.ARNs...)
			if out.NextToken == "" {
				break
			}
			in["nextToken"] = out.NextToken
		}
	}
	var all []task
	for some := range slices.Chunk(arns, maxDescribed) {
		var out struct {
			Tasks []task `json:"tasks"`
		}
		if err := w.call(ctx, ecsAPI, "DescribeTasks", params{"cluster": w.o.Cluster, "tasks": some}, &out); err != nil {
			return nil, fmt.Errorf("tasks: %w", err)
		}
		all = append(all, out.Tasks...)
	}
	return all, nil
}

// address is a task's own in the network; empty until it has one.
func (t *task) address() string {
	for _, a := range t.Attachments {
		for _, d := range a.Details {
			if d.Name == "privateIPv4Address" {
				return d.Value
			}
		}
	}
	return ""
}

// healthy are the addresses whose health path answers the load balancer.
func (w *work) healthy(ctx context.Context, group string) (map[string]bool, error) {
	var out struct {
		Targets []struct {
			Address string `xml:"Target>Id"`
			State   string `xml:"TargetHealth>State"`
		} `xml:"TargetHealthDescriptions>member"`
	}
	if err := w.call(ctx, elbAPI, "DescribeTargetHealth", params{"TargetGroupArn": group}, &out); err != nil {
		return nil, fmt.Errorf("target health: %w", err)
	}
	up := map[string]bool{}
	for _, t := range out.Targets {
		if t.State == "healthy" {
			up[t.Address] = true
		}
	}
	return up, nil
}
