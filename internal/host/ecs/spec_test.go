package ecs

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/ecs/awstest"
)

func offline(t *testing.T, o Options) *Host {
	t.Helper()
	o.Region, o.Cluster, o.Subnets, o.SecurityGroups, o.Credentials, o.HTTP = "eu-central-1", "models", []string{"s"}, []string{"g"}, awstest.Keys, http.DefaultClient
	h, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// said reads what a call says as AWS's own client would have said it.
func said(t *testing.T, in params) *ecs.RegisterTaskDefinitionInput {
	t.Helper()
	b, err := ecsAPI.encode("RegisterTaskDefinition", in)
	if err != nil {
		t.Fatal(err)
	}
	out := new(ecs.RegisterTaskDefinitionInput)
	if err := json.Unmarshal(b, out, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDefinition: what runs in a task is what the contract (lisa.md A.3) says.
func TestDefinition(t *testing.T) {
	h := offline(t, Options{ModelsBucket: "weights-bucket", ExecutionRoleARN: "exec", TaskRoleARN: "task"})
	s := spec("mistral", "vllm/vllm-openai:latest")
	s.ContainerConfig.Environment["THREADS"] = "7" // the model's own wins
	kind, err := h.instance(t.Context(), &s.Definition)
	if err != nil {
		t.Fatal(err)
	}
	def := said(t, h.work("mistral").definition(s, kind))
	main, copies := def.ContainerDefinitions[0], def.ContainerDefinitions[1]
	env := map[string]string{}
	for _, e := range main.Environment {
		env[*e.Name] = *e.Value
	}
	want := map[string]string{"LOCAL_MODEL_PATH": "/models/mistral/7b", "S3_BUCKET_MODELS": "weights-bucket", "S3_MOUNT_POINT": "/models", "MODEL_NAME": "mistral", "AWS_REGION": "eu-central-1",
		"CLUSTER_NAME": "models", "SERVICE_NAME": h.nameOf("mistral"), "THREADS": "7", "VLLM_MAX_MODEL_LEN": "8192"}
	if d := cmp.Diff(want, env); d != "" {
		t.Errorf("environment (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"--model", "/models/mistral/7b", "--served-model-name", "mistral", "--host", "0.0.0.0", "--port", "8080", "--max-model-len", "8192"}, main.Command); d != "" {
		t.Errorf("command (-want +got):\n%s", d)
	}
	if *main.MemoryReservation != 16384-2048 || *main.LinuxParameters.SharedMemorySize != 2048 || main.ResourceRequirements[0].Type != types.ResourceTypeGpu || *main.ResourceRequirements[0].Value != "1" {
		t.Errorf("memory, shared memory or GPUs: %+v", main)
	}
	if c := main.HealthCheck; !slices.Equal(c.Command, []string{"CMD-SHELL", "curl -f localhost:8080/health"}) || *c.Interval != 10 || *c.StartPeriod != 30 || *c.Timeout != 5 || *c.Retries != 3 {
		t.Errorf("health check: %+v", c)
	}
	if got := strings.Join(copies.Command, " "); got != "s3 sync s3://weights-bucket/mistral/7b /models/mistral/7b --exclude *.bin --only-show-errors" || main.DependsOn[0].Condition != types.ContainerConditionSuccess {
		t.Errorf("the weights are copied by %q, waited for as %+v", got, main.DependsOn)
	}
	tags := map[string]string{}
	for _, tag := range def.Tags {
		tags[*tag.Key] = *tag.Value
	}
	if *def.ExecutionRoleArn != "exec" || *def.TaskRoleArn != "task" || def.NetworkMode != types.NetworkModeAwsvpc || tags[tagGeneration] != "1" || tags[tagModel] != "mistral" {
		t.Errorf("roles, network or tags: %+v", def)
	}
	s.ContainerConfig.Image.Type = "ecr" // it stands as it is
	if def := said(t, h.work("mistral").definition(s, kind)); len(def.ContainerDefinitions) != 1 || def.ContainerDefinitions[0].Command != nil {
		t.Errorf("an image of type ecr is told what to do: %+v", def.ContainerDefinitions)
	}
	tei, small := "tei", "m5.xlarge"
	s.Container, s.InstanceType = &tei, &small
	h.o.Fargate = true
	if kind, err = h.instance(t.Context(), &s.Definition); err != nil {
		t.Fatal(err)
	}
	def = said(t, h.work("mistral").definition(s, kind))
	if !kind.fargate || *def.Cpu != "4096" || *def.Memory != "16384" || def.ContainerDefinitions[0].LinuxParameters != nil || def.EphemeralStorage.SizeInGiB != 50 {
		t.Errorf("on Fargate: %+v", def)
	}
	found := slices.ContainsFunc(def.ContainerDefinitions[0].Environment, func(e types.KeyValuePair) bool { return *e.Name == "SERVED_MODEL_NAME" && *e.Value == "mistral/7b" })
	if !found {
		t.Error("tei is not told the name it serves")
	}
}

func TestFargateSize(t *testing.T) {
	f := func(vcpus, memory, cpu, mem int64) {
		t.Helper()
		gotCPU, gotMem := machine{vcpus: vcpus, memory: memory}.fargateSize()
		if gotCPU != cpu || gotMem != mem {
			t.Errorf("%d vCPUs, %d MiB: %d, %d; want %d, %d", vcpus, memory, gotCPU, gotMem, cpu, mem)
		}
	}
	f(0, 0, 256, 512)
	f(2, 8192, 2048, 8192)
	f(2, 4096, 2048, 4096)
	f(2, 16385, 4096, 17408) // more memory than two vCPUs may have
	f(4, 1024, 4096, 8192)   // less than four may have
	f(16, 65536, 16384, 65536)
	f(96, 393216, 16384, 122880) // the largest there is
}

// TestName: names are of one form whatever the id, differ when ids do, and ids are found again in tags.
func TestName(t *testing.T) {
	h := offline(t, Options{NamePrefix: "acme-prod1"})
	seen := map[string]string{}
	for _, id := range []string{"a", "A", "a-", "mistral/7b", "mistral-7b", strings.Repeat("x", 300), "", "ü", "-", "b32:x", " a", "a*b", "日本"} {
		name := h.nameOf(id)
		if len(name) > maxName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.HasSuffix(name, "-") || !strings.HasPrefix(name, "acme-prod1-") {
			t.Errorf("%q is named %q", id, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%q and %q are both named %q", id, other, name)
		}
		seen[name] = id
		if got := idOf(tagOf(id)); got != id {
			t.Errorf("%q is found again as %q", id, got)
		}
	}
	for _, bad := range []string{"aws-x", "ecs", "fargate", "internal", "1a", "UP", "elevenchars", "a_b"} {
		if validPrefix(bad) {
			t.Errorf("prefix %q is taken", bad)
		}
	}
}

// TestAsked: what AWS refuses for good is told apart from what passes.
func TestAsked(t *testing.T) {
	f := func(code, message string, final bool) {
		t.Helper()
		err := asked("service", fmt.Errorf("ecs CreateService: %w", &refusal{status: 400, code: code, message: message}))
		seen, err := refused(fleet.Spec{Generation: 4}, err)
		if got := seen.Failure != ""; got != final || (err == nil) != final || final && seen.Failure != "service: "+message {
			t.Errorf("%s %q: %+v, %v; final: %v", code, message, seen, err, final)
		}
	}
	f("InvalidParameterException", "No Fargate configuration exists for given values", true)
	f("ClientException", "Invalid 'cpu' setting for task.", true)
	f("InvalidParameterException", "The target group with targetGroupArn x does not have an associated load balancer.", false)
	f("InvalidParameterException", "Unable to Start a service that is still Draining.", false)
	f("ClientException", "Role is not valid: cannot be assumed", false)
	f("ThrottlingException", "Rate exceeded", false)
	f("ServiceUnavailable", "", false)
}

// TestMade reads back from moto what was made for a model on EC2 behind a shared load balancer.
func TestMade(t *testing.T) {
	if awstest.Start(t) == "" {
		return
	}
	c := newCloud(t)
	h, ctx, s := c.open(t, nil), context.Background(), spec("m", "image")
	through := c.Official(c.o.HTTP)
	ensure := func() fleet.Observed {
		t.Helper()
		seen, err := h.Ensure(ctx, s)
		if err != nil || seen.Failure != "" {
			t.Fatalf("%+v, %v", seen, err)
		}
		c.Step()
		return seen
	}
	for range 4 {
		ensure()
	}
	name := h.nameOf("m")
	if seen := ensure(); len(seen.Servers) != 1 || !strings.HasSuffix(seen.Servers[0].URL, "/"+name) {
		t.Errorf("seen %+v, want a server under the model's path", seen)
	}
	version, err := through.EC2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: &name, Versions: []string{"$Latest"}})
	if err != nil {
		t.Fatal(err)
	}
	data := version.LaunchTemplateVersions[0].LaunchTemplateData
	script, _ := base64.StdEncoding.DecodeString(*data.UserData)
	if data.MetadataOptions.HttpTokens != "required" || *data.MetadataOptions.HttpPutResponseHopLimit != 2 || !*data.BlockDeviceMappings[0].Ebs.Encrypted ||
		*data.BlockDeviceMappings[0].Ebs.VolumeSize != 50 || *data.ImageId != "ami-12345678" || data.InstanceType != "g5.xlarge" || !strings.Contains(string(script), `echo "ECS_CLUSTER=models" >> /etc/ecs/ecs.config`) {
		t.Errorf("launch template: %+v\n%s", data, script)
	}
	groups, err := through.ASG.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	if g := groups.AutoScalingGroups[0]; *g.MinSize != 0 || *g.MaxSize != 4 || *g.DefaultCooldown != 60 {
		t.Errorf("Auto Scaling group: %+v", g)
	}
	providers, err := through.ECS.DescribeCapacityProviders(ctx, &ecs.DescribeCapacityProvidersInput{CapacityProviders: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	if m := providers.CapacityProviders[0].AutoScalingGroupProvider.ManagedScaling; m.Status != types.ManagedScalingStatusEnabled || *m.InstanceWarmupPeriod != 120 {
		t.Errorf("capacity provider: %+v; the warm-up is estimatedInstanceWarmup", m)
	}
	policies, err := through.Scaling.DescribeScalingPolicies(ctx, &applicationautoscaling.DescribeScalingPoliciesInput{ServiceNamespace: astypes.ServiceNamespaceEcs, ResourceId: aws.String("service/models/" + name)})
	if err != nil || len(policies.ScalingPolicies) != 1 {
		t.Fatalf("scaling policies: %+v, %v", policies, err)
	}
	p := policies.ScalingPolicies[0].TargetTrackingScalingPolicyConfiguration
	if *p.TargetValue != 30 || *p.ScaleInCooldown != 60 || *p.ScaleOutCooldown != 60 || *p.CustomizedMetricSpecification.MetricName != "RequestCountPerTarget" {
		t.Errorf("policy: %+v", p)
	}
	made := c.left(t, "m")
	attributes := func() string {
		t.Helper()
		group, err := h.work("m").groupOf(ctx)
		if err != nil {
			t.Fatal(err)
		}
		out, err := through.ELB.DescribeTargetGroupAttributes(ctx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: &group.ARN})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, a := range out.Attributes {
			all = append(all, *a.Key+"="+*a.Value)
		}
		return strings.Join(all, " ")
	}
	if got := attributes(); !strings.Contains(got, "deregistration_delay.timeout_seconds=30") || !strings.Contains(got, "slow_start.duration_seconds=60") {
		t.Errorf("target group: %s", got)
	}

	// Drift: what somebody took away or changed is put right.
	at, err := h.work("m").groupOf(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := through.ELB.ModifyTargetGroup(ctx, &elb.ModifyTargetGroupInput{TargetGroupArn: &at.ARN, HealthCheckPath: aws.String("/other")}); err != nil {
		t.Fatal(err)
	}
	if err := h.work("m").removeRule(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.work("m").unfollow(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := through.ECS.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &c.o.Cluster, Service: &name, DesiredCount: aws.Int32(9)}); err != nil {
		t.Fatal(err)
	}
	ensure()
	if d := cmp.Diff(made, c.left(t, "m")); d != "" {
		t.Errorf("after drift (-was +is):\n%s", d)
	}
	if at, err = h.work("m").groupOf(ctx); err != nil || at.Path != "/health" {
		t.Errorf("the health check's path is %v, %v", at, err)
	}
	count := func() int64 {
		t.Helper()
		svc, err := h.work("m").service(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return svc.Desired
	}
	if n := count(); n != 1 {
		t.Errorf("%d tasks are desired, past the limit of 3", n)
	}
	// Within the limits the number is the metric's.
	if _, err := through.ECS.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &c.o.Cluster, Service: &name, DesiredCount: aws.Int32(3)}); err != nil {
		t.Fatal(err)
	}
	seen := ensure()
	if n := count(); n != 3 || seen.Scaled != 3 {
		t.Errorf("the service scaled to 3 and was set to %d, told as %d", n, seen.Scaled)
	}
	s.Replicas = 2 // until somebody wishes otherwise
	ensure()
	if n := count(); n != 2 {
		t.Errorf("2 were asked for, %d are desired", n)
	}
}

// TestCached: within Every the answer is the last one, unless something else is asked for.
func TestCached(t *testing.T) {
	if awstest.Start(t) == "" {
		return
	}
	c := newCloud(t)
	c.o.Every, c.o.Now = 1, timeZero // the clock stands
	h, s := c.open(t, nil), spec("m", "image")
	for range 8 {
		if _, err := h.Ensure(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		c.Step()
	}
	if seen, _ := h.Ensure(t.Context(), s); len(seen.Servers) != 0 {
		t.Errorf("asked anew: %+v", seen)
	}
	s.Replicas = 2
	if seen, err := h.Ensure(t.Context(), s); err != nil || len(seen.Servers) != 1 || !seen.Servers[0].Ready {
		t.Errorf("something else was asked for and not looked at: %+v, %v", seen, err)
	}
}
