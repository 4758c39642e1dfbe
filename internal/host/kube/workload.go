package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/stock"
)

// workload is a kind of object that makes pods, and how a model is one.
type workload struct {
	kind
	container string // the name of the server's container in its pods
	leads     bool   // a server is a group of pods, of which the leader answers
	fleeting  bool   // it can't have no servers: a stop deletes it
	// build is the object's spec, with so many servers.
	build func(w *work, spec fleet.Spec, container string, replicas int64) map[string]any
	// count is how many servers it has been told to have, and scale is the change of its spec that tells it.
	count func(u *unstructured.Unstructured) int64
	scale func(replicas int64) map[string]any
}

// workloads are by what a model calls them; the first is what one gets that does not say.
var workloads = []struct {
	name string
	workload
}{
	{deploymentWorkload, workload{kind: deployments, container: "model", build: deployment,
		count: func(u *unstructured.Unstructured) int64 { return number(u, "spec", "replicas") },
		scale: func(n int64) map[string]any { return map[string]any{"replicas": n} }}},
	{kserveWorkload, workload{kind: inferenceServices, container: "kserve-container", build: inferenceService, fleeting: true,
		count: func(u *unstructured.Unstructured) int64 { return number(u, "spec", "predictor", "minReplicas") },
		scale: func(n int64) map[string]any {
			return map[string]any{"predictor": map[string]any{"minReplicas": n, "maxReplicas": n}}
		}}},
	{groupWorkload, workload{kind: groups, container: "model", build: group, leads: true,
		count: func(u *unstructured.Unstructured) int64 { return number(u, "spec", "replicas") },
		scale: func(n int64) map[string]any { return map[string]any{"replicas": n} }}},
}

// What a model calls its workload.
const (
	deploymentWorkload = "deployment"
	kserveWorkload     = "kserve"
	groupWorkload      = "leaderworkerset"
)

var (
	inferenceServices = kind{name: "InferenceService", GroupVersionResource: of("", "serving.kserve.io", "v1beta1", "inferenceservices").GroupVersionResource, optional: true, suffix: "-model"}
	groups            = kind{name: "LeaderWorkerSet", GroupVersionResource: of("", "leaderworkerset.x-k8s.io", "v1", "leaderworkersets").GroupVersionResource, optional: true, suffix: "-model"}
)

// workload is the model's, which the cluster must know.
func (w *work) workload(ctx context.Context, spec fleet.Spec) (workload, error) {
	name := cmp.Or(w.explicit(spec).Workload, deploymentWorkload)
	for _, f := range workloads {
		if f.name != name {
			continue
		}
		if f.optional {
			if ok, err := w.knows(ctx, f.kind); err != nil {
				return workload{}, err
			} else if !ok {
				return workload{}, &fault{words: fmt.Sprintf("this cluster has no %s of %s, or the gateway may not see them", f.kind.name, f.GroupVersion())}
			}
		}
		return f.workload, nil
	}
	return workload{}, &fault{words: fmt.Sprintf("workload %q is unknown", name)}
}

// presence is whether the cluster had a kind, and when that was.
type presence struct {
	ok bool
	at time.Time
}

// knows reports whether the cluster has an optional kind and the gateway may use it.
func (h *Host) knows(ctx context.Context, k kind) (bool, error) {
	h.mu.Lock()
	last := h.kinds[k.Resource]
	h.mu.Unlock()
	if now := h.o.Now(); !last.at.IsZero() && now.Sub(last.at) < again {
		return last.ok, nil
	}
	_, err := h.client.Resource(k.GroupVersionResource).Namespace(h.o.Namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil && !gone(err) && !apierrors.IsForbidden(err) {
		return false, fmt.Errorf("%s: %w", k.Resource, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kinds[k.Resource] = presence{ok: err == nil, at: h.o.Now()}
	return err == nil, nil
}

// deployment is the spec of a Deployment.
func deployment(w *work, spec fleet.Spec, container string, replicas int64) map[string]any {
	return map[string]any{
		"replicas": replicas, "revisionHistoryLimit": int64(2), "selector": map[string]any{"matchLabels": w.selector()},
		"strategy": rolling(),
		"template": w.podTemplate(spec, container),
	}
}

// inferenceService is the spec of KServe's: the same pod as its predictor, and a Deployment under it. Its autoscaler keeps the number between
// two bounds that are the same.
func inferenceService(w *work, spec fleet.Spec, container string, replicas int64) map[string]any {
	template := w.podTemplate(spec, container)
	predictor := template["spec"].(map[string]any)
	metadata := template["metadata"].(map[string]any)
	predictor["labels"], predictor["annotations"] = metadata["labels"], metadata["annotations"]
	predictor["minReplicas"], predictor["maxReplicas"] = replicas, replicas
	predictor["deploymentStrategy"] = rolling()
	return map[string]any{"predictor": predictor}
}

// group is the spec of a LeaderWorkerSet: every server is as many pods, of which the first answers.
func group(w *work, spec fleet.Spec, container string, replicas int64) map[string]any {
	size := w.groupSize(spec)
	leader, worker := w.podTemplate(spec, container), w.podTemplate(spec, container)
	for role, template := range map[string]map[string]any{"leader": leader, "worker": worker} {
		main := template["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
		if args, _ := main["args"].([]any); stock.Container(&spec.Definition) == "vllm" && args != nil {
			args = append(args, texts("--pipeline-parallel-size", strconv.FormatInt(size, 10), "--nnodes", strconv.FormatInt(size, 10), "--node-rank", "$(LWS_WORKER_INDEX)",
				"--master-addr", "$(LWS_LEADER_ADDRESS)")...)
			if role == "worker" {
				args = append(args, "--headless")
			}
			main["args"] = args
		}
	}
	// The others answer nobody.
	main := worker["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
	for _, field := range []string{"readinessProbe", "livenessProbe", "startupProbe", "ports"} {
		delete(main, field)
	}
	return map[string]any{
		"replicas": replicas, "startupPolicy": "LeaderCreated",
		"rolloutStrategy":      map[string]any{"type": "RollingUpdate", "rollingUpdateConfiguration": rolling()["rollingUpdate"]},
		"leaderWorkerTemplate": map[string]any{"size": size, "restartPolicy": "RecreateGroupOnPodRestart", "leaderTemplate": leader, "workerTemplate": worker},
	}
}

// groupSize is how many pods a server is.
func (w *work) groupSize(spec fleet.Spec) int64 {
	if n := w.explicit(spec).Size; n > 0 {
		return n
	}
	return 2
}

// rolling is the strategy of every workload: new pods are there before old ones go.
func rolling() map[string]any {
	return map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": int64(1), "maxUnavailable": int64(0)}}
}

// serve makes the workload, or brings it to the generation and the number of servers that are wanted. What the pods are like is applied with a
// generation, and after a stop, and never else: another version of the gateway, or other settings, must not start servers anew that serve.
func (w *work) serve(ctx context.Context, spec fleet.Spec, f workload, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	generation := strconv.FormatInt(spec.Generation, 10)
	if live == nil || live.GetLabels()[labelGeneration] != generation || f.count(live) == 0 {
		n := spec.Replicas
		if live != nil && !w.sets(spec, f, live) {
			n = f.count(live)
		}
		u := w.object(f.kind, f.build(w, spec, f.container, n))
		u.SetLabels(merged(u.GetLabels(), labelGeneration, generation))
		u.SetAnnotations(merged(u.GetAnnotations(), annotationReplicas, strconv.FormatInt(spec.Replicas, 10)))
		if f.name == inferenceServices.name {
			u.SetAnnotations(merged(u.GetAnnotations(), "serving.kserve.io/deploymentMode", "RawDeployment"))
		}
		return w.put(ctx, f.kind, u)
	}
	change := map[string]any{}
	if w.sets(spec, f, live) {
		change["spec"] = f.scale(spec.Replicas)
	} else if w.asked(spec, live) {
		return live, nil
	}
	return w.patch(ctx, f.kind, spec.Replicas, change)
}

// asked reports whether so many servers were asked for before.
func (w *work) asked(spec fleet.Spec, live *unstructured.Unstructured) bool {
	return live.GetAnnotations()[annotationReplicas] == strconv.FormatInt(spec.Replicas, 10)
}

// sets tells whether the number of servers is to be set. Where the cluster scales, only a changed wish and the limits count.
func (w *work) sets(spec fleet.Spec, f workload, live *unstructured.Unstructured) bool {
	have := f.count(live)
	if have == spec.Replicas {
		return false
	}
	a := spec.AutoScaling
	return !(w.scaled != nil && have > 0 && w.asked(spec, live) && have >= a.MinCapacity && have <= a.MaxCapacity)
}

// patch changes a workload and notes how many servers were asked for.
func (w *work) patch(ctx context.Context, k kind, replicas int64, change map[string]any) (*unstructured.Unstructured, error) {
	change["metadata"] = map[string]any{"annotations": map[string]any{annotationReplicas: strconv.FormatInt(replicas, 10)}}
	body, err := json.Marshal(change)
	if err != nil {
		return nil, err
	}
	live, err := w.client.Resource(k.GroupVersionResource).Namespace(w.o.Namespace).Patch(ctx, w.name+k.suffix, types.MergePatchType, body, metav1.PatchOptions{FieldManager: manager})
	return live, asked(k.name, err)
}

// sleep stops all servers; the objects stay. Nothing is made.
func (w *work) sleep(ctx context.Context, spec fleet.Spec, f workload, live *unstructured.Unstructured) (fleet.Observed, error) {
	if live != nil && live.GetDeletionTimestamp() == nil && f.count(live) > 0 {
		done, err := w.unfollow(ctx)
		if err != nil {
			return fleet.Observed{}, err
		}
		if !done { // first, or it would raise the number again
			return w.observe(ctx, spec, nil)
		}
		if f.fleeting {
			_, err = w.drop(ctx, f.kind)
		} else {
			_, err = w.patch(ctx, f.kind, 0, map[string]any{"spec": f.scale(0)})
		}
		if err != nil {
			return fleet.Observed{}, err
		}
	}
	return w.observe(ctx, spec, nil)
}

func merged(in map[string]string, key, value string) map[string]string {
	if in == nil {
		in = map[string]string{}
	}
	in[key] = value
	return in
}

// workerIndex is the label of the pods of a LeaderWorkerSet: 0 is the leader.
const workerIndex = "leaderworkerset.sigs.k8s.io/worker-index"
