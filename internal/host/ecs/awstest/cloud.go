// Package awstest is an account of AWS for tests of the ecs host: moto's control plane, and beside it a simulation of what moto lacks, the
// scheduler of ECS. Only tests import it.
package awstest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
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
)

// installMoto is how the emulator of AWS comes to where the tests look for it.
const installMoto = "python3 -m venv .cache/venv && .cache/venv/bin/pip install -r test/clients/python/requirements.txt"

// moto is one server of AWS's control plane for all tests of a package: they take turns.
var moto struct {
	once sync.Once
	url  string
	err  string
}

// Start starts the server once and gives its address; empty where it is not installed. It ends with the test's process.
func Start(t testing.TB) string {
	t.Helper()
	moto.once.Do(func() {
		path, err := program()
		if err != nil {
			moto.err = "moto's server is not installed: " + installMoto
			return
		}
		cmd := exec.Command(path, "-H", "127.0.0.1", "-p", "0")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
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

// program finds moto's server: where the environment says, where make test installs it, or on the path.
func program() (string, error) {
	if at := os.Getenv("WEIR_MOTO_SERVER"); at != "" {
		return at, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		at := filepath.Join(dir, ".cache", "venv", "bin", "moto_server")
		if _, err := os.Stat(at); err == nil {
			return at, nil
		}
	}
	return exec.LookPath("moto_server")
}

// SDK is AWS's own client, by which tests look at what the host's calls did.
type SDK struct {
	ECS     *ecs.Client
	ELB     *elb.Client
	ASG     *autoscaling.Client
	EC2     *ec2.Client
	Scaling *applicationautoscaling.Client
	Logs    *cloudwatchlogs.Client
}

// Official gives AWS's own client of the account.
func (c *Cloud) Official(through aws.HTTPClient) SDK {
	cfg := aws.Config{Region: Region, Credentials: Keys, HTTPClient: through, BaseEndpoint: &c.URL}
	return SDK{ecs.NewFromConfig(cfg), elb.NewFromConfig(cfg), autoscaling.NewFromConfig(cfg), ec2.NewFromConfig(cfg), applicationautoscaling.NewFromConfig(cfg), cloudwatchlogs.NewFromConfig(cfg)}
}

// The account.
const (
	Region  = "eu-central-1"
	Cluster = "models"
	KeyID   = "AKIDEXAMPLE"
	Secret  = "secret"
)

// Keys are the account's credentials.
var Keys = credentials.NewStaticCredentialsProvider(KeyID, Secret, "")

// Cloud is an account of AWS with a cluster, a network and a load balancer to share. As a RoundTripper it is what calls of AWS go through.
type Cloud struct {
	*scheduler
	SDK // looks past all faults

	URL             string // of moto
	Subnets         []string
	SecurityGroups  []string
	LoadBalancerARN string
}

// New makes an empty account, in the place of the one before. It gives nil where moto is not installed. Whatever the host says in its calls is
// held against AWS's own client when the test ends.
func New(t testing.TB) *Cloud {
	t.Helper()
	at := Start(t)
	if at == "" {
		return nil
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	resp, err := client.Post(at+"/moto-api/reset", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	c := &Cloud{URL: at}
	c.SDK = c.Official(client)
	c.scheduler = newScheduler(transport, c.SDK)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	vpc, err := c.EC2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	must(err)
	for i, zone := range []string{"a", "b"} {
		subnet, err := c.EC2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: vpc.Vpc.VpcId, CidrBlock: aws.String("10.0." + string(rune('0'+i)) + ".0/24"), AvailabilityZone: aws.String(Region + zone)})
		must(err)
		c.Subnets = append(c.Subnets, *subnet.Subnet.SubnetId)
	}
	group, err := c.EC2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("models"), Description: aws.String("models"), VpcId: vpc.Vpc.VpcId})
	must(err)
	c.SecurityGroups = []string{*group.GroupId}
	_, err = c.ECS.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String(Cluster)})
	must(err)
	lb, err := c.ELB.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String("shared"), Subnets: c.Subnets, SecurityGroups: c.SecurityGroups, Scheme: elbtypes.LoadBalancerSchemeEnumInternal})
	must(err)
	c.LoadBalancerARN = *lb.LoadBalancers[0].LoadBalancerArn
	t.Cleanup(func() {
		for _, wrong := range c.misspelled {
			t.Error(wrong)
		}
	})
	return c
}

// Serve opens the account to programs: endpoint is where AWS's APIs are, and port where all its load balancers are, behind which models
// answers for every server that is healthy. Tasks move on by themselves.
func (c *Cloud) Serve(t testing.TB, models http.Handler) (endpoint string, port int) {
	t.Helper()
	apis := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(apis.Close)
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if c.Healthy(name) == 0 {
			http.Error(w, "no server is healthy", http.StatusServiceUnavailable)
			return
		}
		r.URL.Path = "/" + rest
		models.ServeHTTP(w, r)
	}))
	t.Cleanup(balancer.Close)
	tick, done := time.NewTicker(50*time.Millisecond), make(chan struct{})
	var steps sync.WaitGroup
	steps.Go(func() {
		for {
			select {
			case <-tick.C:
				c.Step()
			case <-done:
				return
			}
		}
	})
	t.Cleanup(func() { close(done); steps.Wait() })
	return apis.URL, balancer.Listener.Addr().(*net.TCPAddr).Port
}

var address = regexp.MustCompile(`<DNSName>[^<]*</DNSName>`)

// serve carries out a call of AWS that has arrived, whether or not who made it lives to see the answer.
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	at, err := url.Parse(c.URL + "/")
	if err != nil {
		panic(err)
	}
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.URL, out.Host, out.RequestURI = at, "", ""
	resp, err := c.RoundTrip(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	body := address.ReplaceAll(Read(resp.Body), []byte("<DNSName>127.0.0.1</DNSName>"))
	for _, name := range []string{"Content-Type", "X-Amzn-Requestid", "X-Amzn-Errortype"} {
		if v := resp.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body) // who asked may be gone
}

// Left names everything that the account holds under a name, asked of moto itself.
func (c *Cloud) Left(t testing.TB, name string) []string {
	t.Helper()
	ctx := context.Background()
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
	services, err := c.ECS.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String(Cluster), Services: []string{name}})
	must(err)
	for _, s := range services.Services {
		if *s.Status == "ACTIVE" {
			add("service", *s.ServiceArn)
		}
	}
	for _, status := range []types.TaskDefinitionStatus{types.TaskDefinitionStatusActive, types.TaskDefinitionStatusInactive} {
		defs, err := c.ECS.ListTaskDefinitions(ctx, &ecs.ListTaskDefinitionsInput{Status: status})
		must(err)
		for _, arn := range defs.TaskDefinitionArns {
			// moto goes on listing what was deleted; whether it was, its description tells.
			d, err := c.ECS.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &arn})
			if err == nil && d.TaskDefinition.Status != types.TaskDefinitionStatusDeleteInProgress {
				add("task definition", arn)
			}
		}
	}
	clusters, err := c.ECS.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{Cluster}})
	must(err)
	add("cluster's capacity provider", clusters.Clusters[0].CapacityProviders...)
	providers, err := c.ECS.DescribeCapacityProviders(ctx, &ecs.DescribeCapacityProvidersInput{CapacityProviders: []string{name}})
	must(err)
	for _, p := range providers.CapacityProviders {
		add("capacity provider", *p.Name)
	}
	groups, err := c.ELB.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{})
	must(err)
	for _, g := range groups.TargetGroups {
		add("target group", *g.TargetGroupArn)
	}
	balancers, err := c.ELB.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{})
	must(err)
	for _, b := range balancers.LoadBalancers {
		add("load balancer", *b.LoadBalancerArn)
		listeners, err := c.ELB.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: b.LoadBalancerArn})
		must(err)
		for _, l := range listeners.Listeners {
			rules, err := c.ELB.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: l.ListenerArn})
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
	scaling, err := c.ASG.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{})
	must(err)
	for _, g := range scaling.AutoScalingGroups {
		add("Auto Scaling group", *g.AutoScalingGroupName)
	}
	templates, err := c.EC2.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{})
	must(err)
	for _, l := range templates.LaunchTemplates {
		add("launch template", *l.LaunchTemplateName)
	}
	logs, err := c.Logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{})
	must(err)
	for _, g := range logs.LogGroups {
		add("log group", *g.LogGroupName)
	}
	targets, err := c.Scaling.DescribeScalableTargets(ctx, &applicationautoscaling.DescribeScalableTargetsInput{ServiceNamespace: astypes.ServiceNamespaceEcs})
	must(err)
	for _, s := range targets.ScalableTargets {
		add("scalable target", *s.ResourceId)
	}
	slices.Sort(out)
	return out
}
