package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kind is a kind of object, as it is written and as it is addressed.
type kind struct {
	name string
	schema.GroupVersionResource
	optional bool   // the cluster may not know it
	suffix   string // of its objects' names, where its controller makes a Service that is called like them
}

func of(name, group, version, resource string) kind {
	return kind{name: name, GroupVersionResource: schema.GroupVersionResource{Group: group, Version: version, Resource: resource}}
}

var (
	namespaces  = of("Namespace", "", "v1", "namespaces")
	services    = of("Service", "", "v1", "services")
	pods        = of("Pod", "", "v1", "pods")
	events      = of("Event", "", "v1", "events")
	deployments = of("Deployment", "apps", "v1", "deployments")
	budgets     = of("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets")
)

// mark is what was last applied of a kind, and when: what has not changed is not applied again for a while.
type mark struct {
	sum string
	at  time.Time
}

// again is how long an applied object is believed to be as it was applied; then it is put right, if somebody changed or deleted it.
const again = time.Minute

// object is an object of the model: its spec, and what every object has.
func (w *work) object(k kind, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": k.GroupVersion().String(), "kind": k.name, "spec": spec,
		"metadata": map[string]any{"name": w.name + k.suffix, "namespace": w.o.Namespace, "labels": w.labels(), "annotations": map[string]any{annotationModel: w.id}},
	}}
}

// apply makes an object be as it is given, unless it was not long ago.
func (w *work) apply(ctx context.Context, k kind, u *unstructured.Unstructured) error {
	text, err := json.Marshal(u.Object, json.Deterministic(true))
	if err != nil {
		return err
	}
	hash := sha256.Sum256(text)
	sum, now := hex.EncodeToString(hash[:]), w.o.Now()
	if last := w.m.applied[k.Resource]; last.sum == sum && now.Sub(last.at) < again {
		return nil
	}
	if _, err := w.put(ctx, k, u); err != nil {
		return err
	}
	if w.m.applied == nil {
		w.m.applied = map[string]mark{}
	}
	w.m.applied[k.Resource] = mark{sum: sum, at: now}
	return nil
}

// put applies an object and gives it as it is then. A namespace that is missing is made, where that is allowed.
func (w *work) put(ctx context.Context, k kind, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	options := metav1.ApplyOptions{FieldManager: manager, Force: true}
	live, err := w.client.Resource(k.GroupVersionResource).Namespace(w.o.Namespace).Apply(ctx, w.name+k.suffix, u, options)
	if status := apierrors.APIStatus(nil); apierrors.IsNotFound(err) && errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == namespaces.Resource {
		space := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": namespaces.name, "metadata": map[string]any{"name": w.o.Namespace}}}
		if _, made := w.client.Resource(namespaces.GroupVersionResource).Apply(ctx, w.o.Namespace, space, options); made != nil {
			return nil, &fault{words: fmt.Sprintf("%s: %v, and it can't be made: %v", k.name, err, made)}
		}
		live, err = w.client.Resource(k.GroupVersionResource).Namespace(w.o.Namespace).Apply(ctx, w.name+k.suffix, u, options)
	}
	return live, asked(k.name, err)
}

// get finds the model's object of a kind, nil if there is none.
func (w *work) get(ctx context.Context, k kind) (*unstructured.Unstructured, error) {
	u, err := w.client.Resource(k.GroupVersionResource).Namespace(w.o.Namespace).Get(ctx, w.name+k.suffix, metav1.GetOptions{})
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.name, err)
	}
	return u, nil
}

// maxListed is how many objects are asked for in one call.
const maxListed = 500

// list finds all objects of a kind that have the labels.
func (h *Host) list(ctx context.Context, k kind, labels string) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	options := metav1.ListOptions{LabelSelector: labels, Limit: maxListed}
	for {
		some, err := h.client.Resource(k.GroupVersionResource).Namespace(h.o.Namespace).List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Resource, err)
		}
		all = append(all, some.Items...)
		if options.Continue = some.GetContinue(); options.Continue == "" {
			return all, nil
		}
	}
}

// service leads to the servers that are ready, for whoever asks inside the cluster; Weir itself calls the pods.
func (w *work) service(f workload) *unstructured.Unstructured {
	selector := w.selector()
	if f.leads {
		selector[workerIndex] = "0"
	}
	return w.object(services, map[string]any{
		"type": "ClusterIP", "selector": selector,
		"ports": []any{map[string]any{"name": "http", "protocol": "TCP", "port": int64(80), "targetPort": int64(port)}},
	})
}

// budget lets nodes be emptied one server at a time.
func (w *work) budget() *unstructured.Unstructured {
	return w.object(budgets, map[string]any{"maxUnavailable": int64(1), "selector": map[string]any{"matchLabels": w.selector()}})
}

func text(u *unstructured.Unstructured, fields ...string) string {
	s, _, _ := unstructured.NestedString(u.Object, fields...) // of another type: none
	return s
}

func number(u *unstructured.Unstructured, fields ...string) int64 {
	n, _, _ := unstructured.NestedInt64(u.Object, fields...) // of another type: none
	return n
}

// each walks the objects in a list inside an object.
func each(in map[string]any, do func(*unstructured.Unstructured), fields ...string) {
	all, _, _ := unstructured.NestedFieldNoCopy(in, fields...) // of another type: none
	list, _ := all.([]any)
	for _, one := range list {
		if m, ok := one.(map[string]any); ok {
			do(&unstructured.Unstructured{Object: m})
		}
	}
}
