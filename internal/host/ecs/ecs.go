// Package ecs runs model servers as services of Amazon ECS: per model a log group, task definitions, a target group behind a load balancer,
// a service, and on EC2 the capacity under it. What exists is found by name and tag, never remembered, so any gateway may go on at any point.
// It imports fleet and of the AWS SDK what finds credentials and signs; app wires it. Not on the hot path.
package ecs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/stock"
)

// Options are where models run and with what rights. Cluster, Subnets, SecurityGroups, HTTP and Now are required.
type Options struct {
	Region      string // empty: as the environment says
	EndpointURL string // empty: AWS's own
	Cluster     string
	Subnets     []string
	// SecurityGroups are those of tasks, instances and load balancers that are made.
	SecurityGroups []string
	// LoadBalancerARN is the internal load balancer that all models share; empty: each gets its own.
	LoadBalancerARN string
	ListenerPort    int32 // 0: 80
	// Domain routes on a shared load balancer by host, <name>.<domain>; empty: by path, which the load balancer takes off again.
	Domain string

	ExecutionRoleARN, TaskRoleARN, InstanceProfileARN string

	AMI          string // empty: AWS's newest for ECS, with GPU drivers where the instance has GPUs
	ModelsBucket string // weights are under the prefix modelName
	WeightsImage string // has the AWS CLI, and copies the weights for images of type "asset"; empty: AWS's own
	// Fargate runs models of instance types without GPUs there, with as many vCPUs and as much memory. Else all run on EC2.
	Fargate bool
	// OwnScaling leaves the number of servers to the fleet alone. Else the service follows metricConfig between its limits.
	OwnScaling     bool
	LogGroupPrefix string // empty: /weir/models/
	NamePrefix     string // of every name, and who owns what is tagged; at most 10 of a-z 0-9 -; empty: weir
	// Every is how long what was seen counts: Ensure is called far more often than AWS likes to be asked. 0: each time anew.
	Every time.Duration

	HTTP        aws.HTTPClient
	Credentials aws.CredentialsProvider // nil: the SDK's usual chain
	Now         func() time.Time
	Log         *slog.Logger
}

// Host is a fleet.Host. Safe for concurrent use.
type Host struct {
	caller
	o Options

	mu          sync.Mutex
	models      stock.Models[struct{}]
	generations map[string]int64 // of task definitions, which never change
	providers   sync.Mutex       // the cluster's list of capacity providers is written as a whole
}

// New makes the host. Nothing is asked of AWS before the first call.
func New(ctx context.Context, o Options) (*Host, error) {
	o.NamePrefix, o.LogGroupPrefix = cmp.Or(o.NamePrefix, "weir"), cmp.Or(o.LogGroupPrefix, "/weir/models/")
	o.WeightsImage, o.ListenerPort = cmp.Or(o.WeightsImage, "public.ecr.aws/aws-cli/aws-cli:latest"), cmp.Or(o.ListenerPort, 80)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	switch {
	case o.Cluster == "":
		return nil, errors.New("ecs host: cluster is missing (fleet.ecs.cluster)")
	case len(o.Subnets) == 0 || len(o.SecurityGroups) == 0:
		return nil, errors.New("ecs host: subnets or security_groups are missing (fleet.ecs)")
	case !validPrefix(o.NamePrefix):
		return nil, fmt.Errorf("ecs host: name_prefix %q must be 1 to %d of a-z, 0-9 and -, beginning with a letter", o.NamePrefix, maxPrefix)
	}
	cfg, err := settings(ctx, &o)
	if err != nil {
		return nil, err
	}
	o.Region = cfg.Region
	return &Host{o: o, caller: caller{cfg: cfg, at: addresses(ctx, &cfg, o.EndpointURL), signer: v4.NewSigner(), now: o.Now}, models: stock.Models[struct{}]{Every: o.Every, Now: o.Now}, generations: map[string]int64{}}, nil
}

// settings are the SDK's: what the options say, and the rest from files and the environment.
func settings(ctx context.Context, o *Options) (aws.Config, error) {
	load := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(o.Region)}
	if o.Credentials != nil {
		load = append(load, awsconfig.WithCredentialsProvider(o.Credentials))
	}
	if os.Getenv("AWS_CA_BUNDLE") == "" { // with it the SDK takes no client but its own to fetch credentials
		load = append(load, awsconfig.WithHTTPClient(o.HTTP))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return cfg, fmt.Errorf("ecs host: %w", err)
	}
	if cfg.Region == "" {
		return cfg, errors.New("ecs host: no region (fleet.ecs.region or AWS_REGION)")
	}
	cfg.HTTPClient = o.HTTP
	return cfg, nil
}

// Ensure makes the next missing thing exist, puts right what differs, and tells what runs. It goes as far as AWS lets it in one call.
func (h *Host) Ensure(ctx context.Context, spec fleet.Spec) (fleet.Observed, error) {
	seen, err := h.models.Ensure(spec, func(_ *struct{}) (fleet.Observed, error) { return h.ensure(ctx, spec) })
	if err != nil {
		return fleet.Observed{}, fmt.Errorf("ecs host: %w", err)
	}
	return seen, nil
}

func (h *Host) ensure(ctx context.Context, spec fleet.Spec) (fleet.Observed, error) {
	w := h.work(spec.ModelID)
	svc, err := w.service(ctx)
	if err != nil {
		return fleet.Observed{}, err
	}
	if spec.Replicas == 0 {
		return w.sleep(ctx, spec, svc)
	}
	if svc != nil && svc.Status == statusDraining {
		return w.observe(ctx, spec, svc, nil) // of an earlier life: a new one of that name can only follow it
	}
	kind, err := h.instance(ctx, &spec.Definition)
	if err != nil {
		return refused(spec, err)
	}
	if err := w.logGroup(ctx); err != nil {
		return fleet.Observed{}, err
	}
	place, err := w.balance(ctx, spec)
	if err != nil {
		return refused(spec, err)
	}
	if !kind.fargate {
		if err := w.capacity(ctx, spec, kind); err != nil {
			return refused(spec, err)
		}
	}
	if svc, err = w.serve(ctx, spec, kind, place, svc); err != nil {
		return refused(spec, err)
	}
	if err := w.follow(ctx, spec, place); err != nil {
		return fleet.Observed{}, err
	}
	return w.observe(ctx, spec, svc, place)
}

// work is one model's names.
type work struct {
	*Host
	id   string
	name string // of everything, at most 32 characters
}

func (h *Host) work(id string) *work { return &work{Host: h, id: id, name: h.nameOf(id)} }

func (w *work) group() string { return w.o.LogGroupPrefix + w.name }

// fault is what AWS says of a call it refused for good: asked the same again, it would say the same.
type fault struct{ words string }

func (f *fault) Error() string { return f.words }

// refused makes a refusal for good the model's failure; everything else is tried again.
func refused(spec fleet.Spec, err error) (fleet.Observed, error) {
	if f := (*fault)(nil); errors.As(err, &f) {
		return fleet.Observed{Generation: spec.Generation, Failure: f.words}, nil
	}
	return fleet.Observed{}, err
}

// final are the codes by which AWS refuses what is asked, not when.
var final = []string{"InvalidParameterException", "InvalidParameterValue", "ValidationError", "ValidationException", "ClientException", "InvalidConfigurationRequest",
	"InvalidInput", "UnsupportedFeatureException", "PlatformUnknownException", "InvalidAMIID.Malformed",
	"InvalidInstanceType", "InvalidSecurityGroup", "InvalidSubnet", "ClusterNotFoundException"}

// passing are phrases of refusals under the same codes that pass by themselves: what one part of AWS made, another may not know yet.
var passing = []string{"does not exist", "not found", "does not have an associated load balancer", "assume", "in progress", "not idempotent", "still Draining"}

// asked wraps the error of a call that makes something.
func asked(what string, err error) error {
	if err == nil {
		return nil
	}
	r := (*refusal)(nil)
	if errors.As(err, &r) && slices.Contains(final, r.code) && !slices.ContainsFunc(passing, func(p string) bool { return strings.Contains(r.message, p) }) {
		return &fault{words: what + ": " + r.message}
	}
	return fmt.Errorf("%s: %w", what, err)
}
