package ecs

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/weir-gateway/weir/internal/fleet"
)

// installMoto is how the emulator of AWS comes to where the tests look for it.
const installMoto = "python3 -m venv .cache/venv && .cache/venv/bin/pip install -r test/clients/python/requirements.txt"

// moto is one server of AWS's control plane for all tests of the package: they take turns.
var moto struct {
	once sync.Once
	url  string
	err  string
	stop func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if moto.stop != nil {
		moto.stop()
	}
	os.Exit(code)
}

// startMoto starts the server once and gives its address; empty where it is not installed.
func startMoto(t *testing.T) string {
	t.Helper()
	moto.once.Do(func() {
		program := os.Getenv("WEIR_MOTO_SERVER")
		if program == "" {
			program = filepath.Join("..", "..", "..", ".cache", "venv", "bin", "moto_server")
		}
		if _, err := os.Stat(program); err != nil {
			if program, err = exec.LookPath("moto_server"); err != nil {
				moto.err = "moto's server is not installed: " + installMoto
				return
			}
		}
		cmd := exec.Command(program, "-H", "127.0.0.1", "-p", "0")
		out, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		moto.stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if at := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(lines.Text()); at != "" {
				moto.url = at
				break
			}
		}
		if moto.url == "" {
			moto.err = "moto's server does not start: " + installMoto
		}
		go func() { _, _ = io.Copy(io.Discard, out) }()
	})
	if moto.err != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(moto.err)
		}
		t.Log(moto.err)
	}
	return moto.url
}

var staticKeys = credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")

func timeZero() time.Time { return time.Unix(0, 0) }

// cloud is an account of AWS: moto's control plane and, beside it, a simulation of what moto lacks (see scheduler).
type cloud struct {
	*scheduler
	o    Options
	host *Host // by which the test itself looks, past all faults
	sdk  sdk   // likewise
	vpc  string
}

// sdk is AWS's own client, by which tests look at what the host's calls did.
type sdk struct {
	ecs     *ecs.Client
	elb     *elb.Client
	asg     *autoscaling.Client
	ec2     *ec2.Client
	scaling *applicationautoscaling.Client
	logs    *cloudwatchlogs.Client
}

// official gives AWS's own client of the account that a host works on.
func official(h *Host) sdk {
	return sdk{ecs.NewFromConfig(h.cfg), elb.NewFromConfig(h.cfg), autoscaling.NewFromConfig(h.cfg), ec2.NewFromConfig(h.cfg), applicationautoscaling.NewFromConfig(h.cfg), cloudwatchlogs.NewFromConfig(h.cfg)}
}

// newCloud makes an empty account with a cluster, a network and a load balancer to share. It gives nil where moto is not installed.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	url := startMoto(t)
	if url == "" {
		return nil
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := (&http.Client{Transport: transport}).Post(url+"/moto-api/reset", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	c := &cloud{o: Options{Region: "eu-central-1", EndpointURL: url, Cluster: "models", Subnets: []string{"-"}, SecurityGroups: []string{"-"}, ModelsBucket: "weights",
		ExecutionRoleARN: "arn:aws:iam::123456789012:role/exec", TaskRoleARN: "arn:aws:iam::123456789012:role/task",
		InstanceProfileARN: "arn:aws:iam::123456789012:instance-profile/ecs", AMI: "ami-12345678",
		HTTP: &http.Client{Transport: transport}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Credentials: staticKeys}}
	ctx := t.Context()
	if c.host, err = New(ctx, c.o); err != nil {
		t.Fatal(err)
	}
	c.sdk = official(c.host)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	vpc, err := c.sdk.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	must(err)
	c.vpc = *vpc.Vpc.VpcId
	c.o.Subnets = nil
	for i, zone := range []string{"a", "b"} {
		subnet, err := c.sdk.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &c.vpc, CidrBlock: aws.String("10.0." + string(rune('0'+i)) + ".0/24"), AvailabilityZone: aws.String(c.o.Region + zone)})
		must(err)
		c.o.Subnets = append(c.o.Subnets, *subnet.Subnet.SubnetId)
	}
	group, err := c.sdk.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("models"), Description: aws.String("models"), VpcId: &c.vpc})
	must(err)
	c.o.SecurityGroups = []string{*group.GroupId}
	_, err = c.sdk.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: &c.o.Cluster})
	must(err)
	lb, err := c.sdk.elb.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String("shared"), Subnets: c.o.Subnets, SecurityGroups: c.o.SecurityGroups, Scheme: elbtypes.LoadBalancerSchemeEnumInternal})
	must(err)
	c.o.LoadBalancerARN = *lb.LoadBalancers[0].LoadBalancerArn
	c.scheduler = newScheduler(transport, c.sdk)
	c.o.HTTP = &http.Client{Transport: c.scheduler}
	t.Cleanup(func() {
		for _, wrong := range c.misspelled {
			t.Error(wrong)
		}
	})
	return c
}

// open gives a host on the account, through faults if there are any.
func (c *cloud) open(t *testing.T, faults func(http.RoundTripper) http.RoundTripper) *Host {
	t.Helper()
	o := c.o
	if faults != nil {
		o.HTTP = &http.Client{Transport: faults(c.scheduler)}
	}
	h, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// left names everything that the account holds under a model's name, asked of moto itself.
func (c *cloud) left(t *testing.T, id string) []string {
	t.Helper()
	ctx, name := context.Background(), c.host.nameOf(id)
	var out []string
	add := func(kind string, names ...string) {
		for _, n := range names {
			if strings.Contains(n, name) {
				out = append(out, kind+" "+n)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	services, err := c.sdk.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &c.o.Cluster, Services: []string{name}})
	must(err)
	for _, s := range services.Services {
		if *s.Status == "ACTIVE" {
			add("service", *s.ServiceArn)
		}
	}
	for _, status := range []types.TaskDefinitionStatus{types.TaskDefinitionStatusActive, types.TaskDefinitionStatusInactive} {
		defs, err := c.sdk.ecs.ListTaskDefinitions(ctx, &ecs.ListTaskDefinitionsInput{Status: status})
		must(err)
		for _, arn := range defs.TaskDefinitionArns {
			// moto goes on listing what was deleted; whether it was, its description tells.
			d, err := c.sdk.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &arn})
			if err == nil && d.TaskDefinition.Status != types.TaskDefinitionStatusDeleteInProgress {
				add("task definition", arn)
			}
		}
	}
	clusters, err := c.sdk.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{c.o.Cluster}})
	must(err)
	add("cluster's capacity provider", clusters.Clusters[0].CapacityProviders...)
	providers, err := c.sdk.ecs.DescribeCapacityProviders(ctx, &ecs.DescribeCapacityProvidersInput{CapacityProviders: []string{name}})
	must(err)
	for _, p := range providers.CapacityProviders {
		add("capacity provider", *p.Name)
	}
	groups, err := c.sdk.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{})
	must(err)
	for _, g := range groups.TargetGroups {
		add("target group", *g.TargetGroupArn)
	}
	balancers, err := c.sdk.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{})
	must(err)
	for _, b := range balancers.LoadBalancers {
		add("load balancer", *b.LoadBalancerArn)
		listeners, err := c.sdk.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: b.LoadBalancerArn})
		must(err)
		for _, l := range listeners.Listeners {
			rules, err := c.sdk.elb.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: l.ListenerArn})
			must(err)
			for _, r := range rules.Rules {
				for _, condition := range r.Conditions {
					if condition.PathPatternConfig != nil {
						add("rule", condition.PathPatternConfig.Values...)
					}
					if condition.HostHeaderConfig != nil {
						add("rule", condition.HostHeaderConfig.Values...)
					}
				}
			}
		}
	}
	scaling, err := c.sdk.asg.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{})
	must(err)
	for _, g := range scaling.AutoScalingGroups {
		add("Auto Scaling group", *g.AutoScalingGroupName)
	}
	templates, err := c.sdk.ec2.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{})
	must(err)
	for _, l := range templates.LaunchTemplates {
		add("launch template", *l.LaunchTemplateName)
	}
	logs, err := c.sdk.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{})
	must(err)
	for _, g := range logs.LogGroups {
		add("log group", *g.LogGroupName)
	}
	targets, err := c.sdk.scaling.DescribeScalableTargets(ctx, &applicationautoscaling.DescribeScalableTargetsInput{ServiceNamespace: astypes.ServiceNamespaceEcs})
	must(err)
	for _, s := range targets.ScalableTargets {
		add("scalable target", *s.ResourceId)
	}
	slices.Sort(out)
	return out
}

// spec is one server of the first generation.
func spec(id, image string) fleet.Spec {
	kind, instance := "vllm", "g5.xlarge"
	return fleet.Spec{Generation: 1, Replicas: 1, Health: "/health", Definition: fleet.Definition{ModelID: id, ModelName: "mistral/7b", Container: &kind, InstanceType: &instance,
		AutoScaling: &fleet.AutoScaling{MinCapacity: 1, MaxCapacity: 3, Cooldown: 60, DefaultInstanceWarmup: 60,
			Metric: fleet.Metric{Name: "RequestCountPerTarget", TargetValue: 30, Duration: 60, EstimatedInstanceWarmup: 120}},
		ContainerConfig: &fleet.ContainerConfig{Image: fleet.Image{Base: image, Type: "asset"}, SharedMemorySize: 2048, Environment: map[string]string{"VLLM_MAX_MODEL_LEN": "8192"},
			HealthCheck: fleet.ContainerHealth{Command: "curl -f localhost:8080/health", Interval: 10, StartPeriod: 30, Timeout: 5, Retries: 3}},
		LoadBalancer: &fleet.LoadBalancer{Health: fleet.LoadBalancerHealth{Path: "/health", Interval: 30, Timeout: 10, HealthyCount: 2, UnhealthyCount: 5}},
	}}
}
