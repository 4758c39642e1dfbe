package ecs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/weir-gateway/weir/internal/fleet"
)

const (
	statusActive   = "ACTIVE"
	statusDraining = "DRAINING"
	primary        = "PRIMARY"
)

// service finds the model's service, nil if there is none. One that is gone for good is none.
func (w *work) service(ctx context.Context) (*types.Service, error) {
	out, err := w.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &w.o.Cluster, Services: []string{w.name}, Include: []types.ServiceField{types.ServiceFieldTags}})
	if is(err, "ClusterNotFoundException") { // it was deleted, and the service before it
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("service: %w", err)
	}
	for i, s := range out.Services {
		if st := aws.ToString(s.Status); st == statusActive || st == statusDraining {
			return &out.Services[i], nil
		}
	}
	return nil, nil
}

// serve makes the service, or brings it to the generation and the number of servers that are wanted.
func (w *work) serve(ctx context.Context, spec fleet.Spec, kind machine, at *place, svc *types.Service) (*types.Service, error) {
	if svc == nil {
		arn, err := w.task(ctx, spec, kind)
		if err != nil {
			return nil, err
		}
		made, err := w.ecs.CreateService(ctx, w.creation(spec, kind, at, arn))
		if err != nil {
			return nil, asked("service", err)
		}
		return made.Service, nil
	}
	runs, err := w.generation(ctx, aws.ToString(svc.TaskDefinition))
	if err != nil {
		return nil, err
	}
	tried := ecsTag(svc.Tags, tagGeneration) == strconv.FormatInt(spec.Generation, 10)
	wakes := svc.DesiredCount == 0
	in := &ecs.UpdateServiceInput{Cluster: &w.o.Cluster, Service: &w.name}
	change := false
	switch {
	case runs != spec.Generation && (!tried || wakes):
		// A generation that was tried and does not run was taken back by the circuit breaker: it is tried again only after a stop.
		if arn, err := w.task(ctx, spec, kind); err != nil {
			return nil, err
		} else {
			in.TaskDefinition, change = &arn, true
		}
	case wakes && broke(svc) != nil:
		in.ForceNewDeployment, change = true, true
	}
	if want, ok := w.count(spec, svc); ok {
		in.DesiredCount, change = &want, true
	}
	if len(svc.LoadBalancers) > 0 && aws.ToString(svc.LoadBalancers[0].TargetGroupArn) != at.group { // it was deleted by hand and made anew
		in.LoadBalancers, change = balancers(at), true
	}
	if change {
		updated, err := w.ecs.UpdateService(ctx, in)
		if err != nil {
			return nil, asked("service", err)
		}
		tags := svc.Tags
		svc = updated.Service
		svc.Tags = tags
	}
	// Only after the change: who dies in between makes the change again.
	want := []types.Tag{tagECS(tagGeneration, strconv.FormatInt(spec.Generation, 10)), tagECS(tagReplicas, strconv.FormatInt(spec.Replicas, 10))}
	if ecsTag(svc.Tags, tagGeneration) != *want[0].Value || ecsTag(svc.Tags, tagReplicas) != *want[1].Value {
		if _, err := w.ecs.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: svc.ServiceArn, Tags: want}); err != nil {
			return nil, asked("service", err)
		}
		svc.Tags = append(w.ecsTags(0), want...)
	}
	return svc, nil
}

// count tells whether the service's number of tasks is to be set. Where the service scales itself, only a changed wish and the limits count.
func (w *work) count(spec fleet.Spec, svc *types.Service) (int32, bool) {
	want, have := int32(spec.Replicas), svc.DesiredCount
	if have == want {
		return 0, false
	}
	asked := ecsTag(svc.Tags, tagReplicas) == strconv.FormatInt(spec.Replicas, 10)
	if a := spec.AutoScaling; a != nil && w.scales(spec) && asked && int64(have) >= a.MinCapacity && int64(have) <= a.MaxCapacity {
		return 0, false
	}
	return want, true
}

func balancers(at *place) []types.LoadBalancer {
	return []types.LoadBalancer{{TargetGroupArn: &at.group, ContainerName: aws.String(container), ContainerPort: aws.Int32(port)}}
}

// creation is the service as it begins.
func (w *work) creation(spec fleet.Spec, kind machine, at *place, task string) *ecs.CreateServiceInput {
	grace := int64(0)
	if spec.AutoScaling != nil {
		grace = spec.AutoScaling.Metric.EstimatedInstanceWarmup
	}
	in := &ecs.CreateServiceInput{
		Cluster: &w.o.Cluster, ServiceName: &w.name, TaskDefinition: &task, DesiredCount: aws.Int32(int32(spec.Replicas)), LoadBalancers: balancers(at),
		Tags:                          append(w.ecsTags(spec.Generation), tagECS(tagReplicas, strconv.FormatInt(spec.Replicas, 10))),
		PropagateTags:                 types.PropagateTagsTaskDefinition,
		HealthCheckGracePeriodSeconds: within(grace, 0, 1<<31-1),
		NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: w.o.Subnets, SecurityGroups: w.o.SecurityGroups,
			AssignPublicIp: types.AssignPublicIpDisabled}},
		DeploymentConfiguration: &types.DeploymentConfiguration{MinimumHealthyPercent: aws.Int32(100), MaximumPercent: aws.Int32(200),
			DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: true}},
	}
	if kind.fargate {
		in.LaunchType = types.LaunchTypeFargate
	} else {
		in.CapacityProviderStrategy = []types.CapacityProviderStrategyItem{{CapacityProvider: &w.name, Weight: 1}}
	}
	return in
}

// sleep stops all servers. What is dear to make stays; nothing is made.
func (w *work) sleep(ctx context.Context, spec fleet.Spec, svc *types.Service) (fleet.Observed, error) {
	if svc == nil {
		return fleet.Observed{Generation: spec.Generation}, nil
	}
	if aws.ToString(svc.Status) == statusActive && svc.DesiredCount > 0 {
		if err := w.unfollow(ctx); err != nil { // first, or it would raise the number again
			return fleet.Observed{}, err
		}
		out, err := w.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &w.o.Cluster, Service: &w.name, DesiredCount: aws.Int32(0)})
		if err != nil {
			return fleet.Observed{}, asked("service", err)
		}
		svc = out.Service
	}
	seen, err := w.observe(ctx, spec, svc, nil)
	if err != nil || len(seen.Servers) > 0 {
		return seen, err
	}
	// The capacity provider would take its time to let the instances go.
	group, err := w.groupOfInstances(ctx)
	if err == nil && group != nil && aws.ToInt32(group.DesiredCapacity) > 0 && aws.ToString(group.Status) == "" {
		_, err = w.asg.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: &w.name, DesiredCapacity: aws.Int32(0)})
		err = asked("Auto Scaling group", err)
	}
	return seen, err
}

// observe tells what runs. at is nil where nothing is reached any more.
func (w *work) observe(ctx context.Context, spec fleet.Spec, svc *types.Service, at *place) (fleet.Observed, error) {
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
		if aws.ToString(t.LastStatus) == "STOPPED" {
			continue
		}
		n, err := w.generation(ctx, aws.ToString(t.TaskDefinitionArn))
		if err != nil {
			return out, err
		}
		arn := aws.ToString(t.TaskArn)
		s := fleet.Server{ID: arn[strings.LastIndexByte(arn, '/')+1:], Generation: n, Started: aws.ToTime(t.CreatedAt)}
		if at != nil {
			s.URL = at.url
			s.Ready = healthy[address(&t)] && aws.ToString(t.LastStatus) == "RUNNING" && aws.ToString(t.DesiredStatus) == "RUNNING"
		}
		out.Servers = append(out.Servers, s)
	}
	slices.SortFunc(out.Servers, func(a, b fleet.Server) int { return strings.Compare(a.ID, b.ID) })
	if svc == nil || spec.Replicas == 0 || aws.ToString(svc.Status) != statusActive {
		return out, nil
	}
	runs, err := w.generation(ctx, aws.ToString(svc.TaskDefinition))
	if err != nil {
		return out, err
	}
	if failed := broke(svc); failed != nil || runs != spec.Generation {
		out.Failure = w.why(ctx, spec, svc, all)
	}
	return out, nil
}

// broke is the deployment that the circuit breaker gave up and had nothing to go back to.
func broke(svc *types.Service) *types.Deployment {
	for i, d := range svc.Deployments {
		if aws.ToString(d.Status) == primary && d.RolloutState == types.DeploymentRolloutStateFailed {
			return &svc.Deployments[i]
		}
	}
	return nil
}

// why is what ECS says of a failed deployment: the service's events, why the tasks stopped, and what they said last.
func (w *work) why(ctx context.Context, spec fleet.Spec, svc *types.Service, all []types.Task) string {
	var words []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(words, s) && len(words) < 6 {
			words = append(words, s)
		}
	}
	if d := broke(svc); d != nil {
		add(aws.ToString(d.RolloutStateReason))
	}
	for _, e := range svc.Events { // the newest first
		if m := aws.ToString(e.Message); strings.Contains(m, "failed") || strings.Contains(m, "unable") {
			add(m)
			break
		}
	}
	slices.SortFunc(all, func(a, b types.Task) int { return aws.ToTime(b.StoppedAt).Compare(aws.ToTime(a.StoppedAt)) })
	for _, t := range all {
		if n, err := w.generation(ctx, aws.ToString(t.TaskDefinitionArn)); err != nil || n != spec.Generation || aws.ToString(t.LastStatus) != "STOPPED" {
			continue
		}
		add(aws.ToString(t.StoppedReason))
		for _, c := range t.Containers {
			add(aws.ToString(c.Reason))
			if c.ExitCode != nil && *c.ExitCode != 0 {
				add(fmt.Sprintf("container %s ended with code %d", aws.ToString(c.Name), *c.ExitCode))
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

// maxDescribed is how many tasks ECS describes in one call.
const maxDescribed = 100

// tasks are all tasks of the service, those that stopped lately too.
func (w *work) tasks(ctx context.Context) ([]types.Task, error) {
	var arns []string
	for _, status := range []types.DesiredStatus{types.DesiredStatusRunning, types.DesiredStatusStopped} {
		in := &ecs.ListTasksInput{Cluster: &w.o.Cluster, ServiceName: &w.name, DesiredStatus: status}
		for {
			out, err := w.ecs.ListTasks(ctx, in)
			if is(err, "ServiceNotFoundException", "ServiceNotActiveException", "ClusterNotFoundException") {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("tasks: %w", err)
			}
			arns = append(arns, out.TaskArns...)
			if in.NextToken = out.NextToken; out.NextToken == nil {
				break
			}
		}
	}
	var all []types.Task
	for some := range slices.Chunk(arns, maxDescribed) {
		out, err := w.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &w.o.Cluster, Tasks: some})
		if err != nil {
			return nil, fmt.Errorf("tasks: %w", err)
		}
		all = append(all, out.Tasks...)
	}
	return all, nil
}

// address is a task's own in the network; empty until it has one.
func address(t *types.Task) string {
	for _, a := range t.Attachments {
		for _, d := range a.Details {
			if aws.ToString(d.Name) == "privateIPv4Address" {
				return aws.ToString(d.Value)
			}
		}
	}
	return ""
}

// healthy are the addresses whose health path answers the load balancer.
func (w *work) healthy(ctx context.Context, group string) (map[string]bool, error) {
	out, err := w.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &group})
	if err != nil {
		return nil, fmt.Errorf("target health: %w", err)
	}
	up := map[string]bool{}
	for _, d := range out.TargetHealthDescriptions {
		if d.Target != nil && d.TargetHealth != nil && d.TargetHealth.State == elbtypes.TargetHealthStateEnumHealthy {
			up[aws.ToString(d.Target.Id)] = true
		}
	}
	return up, nil
}
