// Package kube runs model servers on Kubernetes: per model a Service, a workload (a Deployment; or a KServe InferenceService or a
// LeaderWorkerSet), a PodDisruptionBudget and, where the cluster scales, an autoscaler. What exists is found by name and label, never
// remembered, so any gateway may go on at any point. It imports fleet and client-go's dynamic client alone; app wires it. Not on the hot path.
package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/stock"
)

// Options are where models run and with what. Namespace and Now are required.
type Options struct {
	Kubeconfig string // a file; empty: KUBECONFIG, else ~/.kube/config, else the pod's own service account
	Context    string // of the kubeconfig; empty: its current one
	Namespace  string // of everything that is made

	ServiceAccount  string   // of the pods; empty: the namespace's default
	PullSecrets     []string // for images
	PullPolicy      string   // Always, IfNotPresent or Never; empty: the cluster's usual
	EnvironmentFrom string   // a secret whose keys are in every server's environment; empty: none

	ModelsBucket string // weights are under the prefix modelName, and are copied by an init container
	WeightsImage string // has the AWS CLI; empty: AWS's own
	ModelsClaim  string // a PersistentVolumeClaim that has the weights; empty: none

	// Metric lets the cluster scale a model between its limits, by its metric. Else the fleet alone does.
	Metric bool
	// Prometheus is the server that KEDA asks; empty: models are scaled by a HorizontalPodAutoscaler even where there is KEDA.
	Prometheus string

	NamePrefix string // of every name, and who owns what is labelled; at most 10 of a-z 0-9 -; empty: weir
	// Patience is how long what may pass by itself is borne (a failed pull, a crash, a refused pod), 2 minutes if 0. Deadline is how long a
	// pod may take to be ready, 30 minutes if 0: a node for it may have to be made first.
	Patience, Deadline time.Duration
	// Every is how long what was seen counts: Ensure is called far more often than the API server needs to be asked. 0: each time anew.
	Every time.Duration

	Now func() time.Time
	Log *slog.Logger
}

// Host is a fleet.Host. Safe for concurrent use.
type Host struct {
	o      Options
	client dynamic.Interface
	http   *http.Client // of the same connections, for what is not an object
	url    string       // of the API server

	mu     sync.Mutex
	models stock.Models[model]
	kinds  map[string]presence // of optional kinds, by resource
}

// model is what was last done for one model.
type model struct {
	applied map[string]mark // by resource
	// unscaled is when nothing was last found that scales it; zero: that is not known.
	unscaled time.Time
}

const (
	callTimeout = 15 * time.Second
	manager     = "weir" // of the fields that are applied
)

// New makes the host. Nothing is asked of the cluster before the first call.
func New(o Options) (*Host, error) {
	o.NamePrefix, o.WeightsImage = cmp.Or(o.NamePrefix, "weir"), cmp.Or(o.WeightsImage, "public.ecr.aws/aws-cli/aws-cli:latest")
	if o.Patience == 0 {
		o.Patience = 2 * time.Minute
	}
	if o.Deadline == 0 {
		o.Deadline = 30 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	switch {
	case o.Namespace == "":
		return nil, errors.New("kube host: namespace is missing (fleet.kube.namespace)")
	case !validPrefix(o.NamePrefix):
		return nil, fmt.Errorf("kube host: name_prefix %q must be 1 to %d of a-z, 0-9 and -, beginning with a letter", o.NamePrefix, maxPrefix)
	}
	cfg, err := connection(o)
	if err != nil {
		return nil, fmt.Errorf("kube host: %w", err)
	}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("kube host: %w", err)
	}
	objects, err := dynamic.NewForConfigAndClient(cfg, client)
	if err != nil {
		return nil, fmt.Errorf("kube host: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("kube host: %w", err)
	}
	return &Host{o: o, client: objects, http: client, url: strings.TrimSuffix(base.String(), "/"), models: stock.Models[model]{Every: o.Every, Now: o.Now}, kinds: map[string]presence{}}, nil
}

// connection is how the API server is reached.
func connection(o Options) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context}).ClientConfig()
	if err != nil {
		return nil, err
	}
	// Nothing waits here for its turn: how often the cluster is asked is bounded by Every, and by the fleet after a failure.
	cfg.QPS, cfg.Timeout, cfg.UserAgent, cfg.WarningHandler = -1, callTimeout, "weir", rest.NoWarnings{}
	return cfg, nil
}

// Ensure applies what is missing or differs, and tells what runs.
func (h *Host) Ensure(ctx context.Context, spec fleet.Spec) (fleet.Observed, error) {
	seen, err := h.models.Ensure(spec, func(m *model) (fleet.Observed, error) { return h.ensure(ctx, m, spec) })
	if err != nil {
		return fleet.Observed{}, fmt.Errorf("kube host: %w", err)
	}
	return seen, nil
}

func (h *Host) ensure(ctx context.Context, m *model, spec fleet.Spec) (fleet.Observed, error) {
	w := h.work(spec.ModelID, m)
	form, err := w.workload(ctx, spec)
	if err != nil {
		return refused(spec, err)
	}
	live, err := w.get(ctx, form.kind)
	if err != nil {
		return fleet.Observed{}, err
	}
	if spec.Replicas == 0 {
		return w.sleep(ctx, spec, form, live)
	}
	if live != nil && live.GetDeletionTimestamp() != nil {
		return w.observe(ctx, spec, live) // of an earlier life: a new one of that name can only follow it
	}
	if w.scaled, err = w.scaler(ctx, spec); err != nil {
		return fleet.Observed{}, err
	}
	// The Service is the first thing that is made and the last that goes, so that nothing exists unlisted.
	if err := w.apply(ctx, services, w.service(form)); err != nil {
		return refused(spec, err)
	}
	if live, err = w.serve(ctx, spec, form, live); err != nil {
		return refused(spec, err)
	}
	if err := w.apply(ctx, budgets, w.budget()); err != nil {
		return refused(spec, err)
	}
	if err := w.follow(ctx, spec, form); err != nil {
		return refused(spec, err)
	}
	seen, err := w.observe(ctx, spec, live)
	if w.scaled != nil {
		seen.Scaled = form.count(live)
	}
	return seen, err
}

// work is one model's names.
type work struct {
	*Host
	m    *model
	id   string
	name string // of everything
	// scaled is the kind of object by which the cluster scales the model; nil: it does not.
	scaled *kind
}

func (h *Host) work(id string, m *model) *work {
	return &work{Host: h, m: m, id: id, name: h.nameOf(id)}
}

// List names the models that have a Service here.
func (h *Host) List(ctx context.Context) ([]string, error) {
	all, err := h.list(ctx, services, labelOwner+"="+h.o.NamePrefix)
	if err != nil {
		return nil, fmt.Errorf("kube host: %w", err)
	}
	var ids []string
	for _, one := range all {
		if id := one.GetAnnotations()[annotationModel]; id != "" {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// fault is what the cluster says of something it refused for good: asked the same again, it would say the same.
type fault struct{ words string }

func (f *fault) Error() string { return f.words }

// refused makes a refusal for good the model's failure; everything else is tried again.
func refused(spec fleet.Spec, err error) (fleet.Observed, error) {
	if f := (*fault)(nil); errors.As(err, &f) {
		return fleet.Observed{Generation: spec.Generation, Failure: f.words}, nil
	}
	return fleet.Observed{}, err
}

// asked wraps the error of a call that makes something.
func asked(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.HasStatusCause(err, "NamespaceTerminating"):
		return fmt.Errorf("%s: %w", what, err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err),
		apierrors.IsInternalError(err) && strings.Contains(err.Error(), "unable to convert"): // a quantity that is none, for one
		return &fault{words: what + ": " + err.Error()}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// gone reports that there is no such object, or no such kind of object.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsGone(err) }

var foreground = metav1.DeletePropagationForeground
