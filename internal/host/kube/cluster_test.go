package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/test/kubetest"
)

// TestCluster is what a real API server makes of models beyond the suite of every host.
func TestCluster(t *testing.T) {
	s := set(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *setting)
	}{
		{"failures", failures}, {"objects", objects}, {"another's", anothers}, {"metric", metric},
		{"keda", keda}, {"kserve", kserve}, {"leaderworkerset", leaderWorkerSet}, // the cluster learns these kinds now
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s) })
	}
}

// until asks for a spec until what is seen is as wanted.
func until(t *testing.T, h *Host, spec fleet.Spec, what string, wanted func(fleet.Observed) bool) fleet.Observed {
	t.Helper()
	var seen fleet.Observed
	kubetest.Until(t, what, func() bool {
		var err error
		if seen, err = h.Ensure(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		return wanted(seen)
	})
	return seen
}

// up waits until so many servers of the spec's generation are ready, and no others are there.
func up(t *testing.T, h *Host, spec fleet.Spec, n int) fleet.Observed {
	t.Helper()
	return until(t, h, spec, fmt.Sprintf("%d servers of generation %d", n, spec.Generation), func(seen fleet.Observed) bool {
		if seen.Failure != "" {
			t.Fatalf("failed: %s", seen.Failure)
		}
		ready := slices.DeleteFunc(slices.Clone(seen.Servers), func(s fleet.Server) bool { return !s.Ready || s.Generation != spec.Generation })
		return len(ready) == n && len(seen.Servers) == n
	})
}

func (s *setting) deleted(t *testing.T, h *Host, id string) {
	t.Helper()
	kubetest.Until(t, id+" is deleted", func() bool {
		gone, err := h.Delete(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return gone
	})
	if left := s.left(t, id); len(left) > 0 {
		t.Errorf("left behind of %s: %q", id, left)
	}
}

// failures are told in the cluster's own words.
func failures(t *testing.T, s *setting) {
	h := s.open(t)
	crash, nowhere, greedy, wrong, never, kserve, quota := spec("crash", "crash:1"), spec("nowhere", "vllm"), spec("greedy", "vllm"), spec("wrong", "vllm"), spec("never", "vllm"), spec("kserve", "vllm"), spec("quota", "vllm")
	nodes, nine := "p5.48xlarge", int64(9)
	nowhere.InstanceType = &nodes
	greedy.Kube, wrong.Kube, kserve.Kube = &fleet.Kube{GPUs: &nine}, &fleet.Kube{Memory: "lots"}, &fleet.Kube{Workload: kserveWorkload}
	never.Kube = &fleet.Kube{Tolerations: []fleet.Toleration{{Key: "pool", Effect: "Never"}}}
	for _, c := range []struct {
		fleet.Spec
		words []string
	}{
		{crash, []string{"CrashLoopBackOff: back-off 40s restarting failed container=model", "container model ended with code 1 (Error)", "CUDA out of memory"}},
		{nowhere, []string{"Unschedulable: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."}},
		{greedy, []string{"Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}},
		{wrong, []string{"Deployment: ", "quantities must match the regular expression"}},
		{never, []string{"Deployment: ", "is invalid: spec.template.spec.tolerations[1].effect: ", `Unsupported value: "Never"`}},
		{kserve, []string{"this cluster has no InferenceService of serving.kserve.io/v1beta1"}},
	} {
		seen := until(t, h, c.Spec, "a failure of "+c.ModelID, func(seen fleet.Observed) bool { return seen.Failure != "" })
		for _, w := range c.words {
			if !strings.Contains(seen.Failure, w) {
				t.Errorf("%s: the failure is %q; it should say %q", c.ModelID, seen.Failure, w)
			}
		}
		s.deleted(t, h, c.ModelID)
	}
	s.Apply(t, "{apiVersion: v1, kind: ResourceQuota, metadata: {name: none, namespace: "+namespace(t)+"}, spec: {hard: {pods: '0'}}}")
	quotas := kubetest.Pods.GroupVersion().WithResource("resourcequotas")
	if _, err := s.Objects.Resource(quotas).Namespace(namespace(t)).Patch(t.Context(), "none", types.MergePatchType, []byte(`{"status":{"hard":{"pods":"0"},"used":{"pods":"0"}}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	seen := until(t, h, quota, "a failure", func(seen fleet.Observed) bool { return seen.Failure != "" })
	if !strings.Contains(seen.Failure, "FailedCreate: pods ") || !strings.Contains(seen.Failure, "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0") {
		t.Errorf("the failure is %q", seen.Failure)
	}
	s.deleted(t, h, "quota")
}

// objects are as they should be, and are put right when somebody changes them.
func objects(t *testing.T, s *setting) {
	var later atomic.Int64
	h := s.open(t, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) } })
	three := spec("objects", "vllm")
	three.Replicas = 3
	up(t, h, three, 3)
	name := h.nameOf("objects")
	kubetest.Until(t, "nodes may be emptied one server at a time", func() bool {
		all := s.List(t, kubetest.Budgets, namespace(t))
		return len(all) == 1 && number(&all[0], "status", "disruptionsAllowed") == 1 && number(&all[0], "status", "desiredHealthy") == 2
	})
	service := s.List(t, kubetest.Services, namespace(t))[0]
	if text(&service, "spec", "selector", labelModel) != name || service.GetName() != name {
		t.Errorf("the service: %v", service.Object["spec"])
	}
	generation := s.List(t, kubetest.Deployments, namespace(t))[0].GetGeneration()
	for _, gvr := range []struct{ name string }{{"services"}, {"poddisruptionbudgets"}} {
		k := services
		if gvr.name == "poddisruptionbudgets" {
			k = budgets
		}
		if err := s.Objects.Resource(k.GroupVersionResource).Namespace(namespace(t)).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	later.Store(int64(again))
	up(t, h, three, 3)
	if len(s.List(t, kubetest.Services, namespace(t))) != 1 || len(s.List(t, kubetest.Budgets, namespace(t))) != 1 {
		t.Error("what was deleted by hand is not made again")
	}
	// The gateway's settings change: servers that serve are left alone until the next generation.
	other := s.open(t, func(o *Options) { o.PullPolicy = "Always" })
	up(t, other, three, 3)
	if now := s.List(t, kubetest.Deployments, namespace(t))[0].GetGeneration(); now != generation {
		t.Errorf("the Deployment was changed: its generation was %d and is %d", generation, now)
	}
	three.Generation = 2
	up(t, other, three, 3)
	pod := s.List(t, kubetest.Pods, namespace(t))[0]
	each(pod.Object, func(c *unstructured.Unstructured) {
		if text(c, "imagePullPolicy") != "Always" {
			t.Errorf("the new generation has the old settings: %v", c.Object)
		}
	}, "spec", "containers")
	s.deleted(t, other, "objects")
}

// anothers: what is called the same and is another's stays.
func anothers(t *testing.T, s *setting) {
	h := s.open(t)
	s.Apply(t, "{apiVersion: v1, kind: Service, metadata: {name: "+h.nameOf("theirs")+", namespace: "+namespace(t)+"}, spec: {ports: [{port: 80}]}}")
	if gone, err := h.Delete(t.Context(), "theirs"); err != nil || !gone {
		t.Errorf("deleted: %v, %v", gone, err)
	}
	if ids, err := h.List(t.Context()); err != nil || len(ids) > 0 || len(s.List(t, kubetest.Services, namespace(t))) != 1 {
		t.Errorf("listed %q, %v", ids, err)
	}
}

// metric: a HorizontalPodAutoscaler follows the calls in flight that the metrics API tells, and the host leaves it alone.
func metric(t *testing.T, s *setting) {
	var calls atomic.Int64
	var asked atomic.Pointer[string]
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if !strings.Contains(r.URL.Path, "/namespaces/") {
			fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"external.metrics.k8s.io/v1beta1","resources":[{"name":"externalmetrics","singularName":"","namespaced":true,"kind":"ExternalMetricValueList","verbs":["get"]}]}`)
			return
		}
		at := r.URL.Path + "?" + r.URL.Query().Get("labelSelector")
		asked.Store(&at)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1", "metadata": map[string]any{},
			"items": []any{map[string]any{"metricName": InFlight, "metricLabels": map[string]any{}, "timestamp": time.Now().UTC().Format(time.RFC3339), "value": fmt.Sprint(calls.Load())}}})
	}))
	t.Cleanup(api.Close)
	at, err := url.Parse(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := s.open(t, func(o *Options) { o.Metric = true })
	s.Apply(t, "{apiVersion: v1, kind: Service, metadata: {name: metrics, namespace: "+namespace(t)+"}, spec: {type: ExternalName, externalName: localhost, ports: [{port: "+at.Port()+"}]}}\n---\n"+
		"{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1beta1.external.metrics.k8s.io}, spec: {group: external.metrics.k8s.io, version: v1beta1, groupPriorityMinimum: 100, versionPriority: 100, "+
		"insecureSkipTLSVerify: true, service: {namespace: "+namespace(t)+", name: metrics, port: "+at.Port()+"}}}")
	one := spec("scaled", "vllm")
	one.AutoScaling.Cooldown, one.AutoScaling.DefaultInstanceWarmup = 1, 1
	up(t, h, one, 1)
	calls.Store(9) // of 4 that one server may have
	up(t, h, one, 3)
	if want := "/namespaces/" + namespace(t) + "/" + InFlight + "?model=scaled"; !strings.HasSuffix(*asked.Load(), want) {
		t.Errorf("asked for %s, want %s", *asked.Load(), want)
	}
	for range 10 {
		if seen, err := h.Ensure(t.Context(), one); err != nil || len(seen.Servers) < 3 || seen.Scaled < 3 {
			t.Fatalf("the host took servers away that the cluster had made: %+v, %v", seen, err)
		}
	}
	calls.Store(0)
	up(t, h, one, 1)
	two := one
	two.Replicas = 2 // a changed wish counts
	until(t, h, two, "two servers", func(seen fleet.Observed) bool { return len(seen.Servers) == 2 })
	none := one
	none.Replicas = 0
	up(t, h, none, 0)
	if len(s.List(t, kubetest.Autoscalers, namespace(t))) != 0 {
		t.Error("a stopped model is still scaled")
	}
	up(t, h, one, 1)
	s.deleted(t, h, "scaled")

	odd := spec("no label's value", "vllm") // an autoscaler could not name it
	seen := up(t, h, odd, 1)
	if len(s.List(t, kubetest.Autoscalers, namespace(t))) != 0 || seen.Scaled != 0 {
		t.Error("a model that can't be named is scaled")
	}
	s.deleted(t, h, odd.ModelID)

	own := spec("own", "vllm")
	own.AutoScaling.Metric.Name = "vllm:num_requests_waiting"
	up(t, h, own, 1)
	all := s.List(t, kubetest.Autoscalers, namespace(t))
	got, _, _ := unstructured.NestedSlice(all[0].Object, "spec", "metrics")
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"pods":{"metric":{"name":"vllm:num_requests_waiting"},"target":{"averageValue":"4","type":"AverageValue"}},"type":"Pods"}]`; string(b) != want {
		t.Errorf("metrics %s, want %s", b, want)
	}
	s.deleted(t, h, "own")
}

// crd is the definition of a kind whose fields are not looked at.
func crd(group, version, kind, plural string, more string) string {
	return "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: " + plural + "." + group + ", annotations: {api-approved.kubernetes.io: unapproved}}, spec: {group: " + group +
		", scope: Namespaced, names: {kind: " + kind + ", plural: " + plural + ", singular: " + strings.ToLower(kind) + "}, versions: [{name: " + version +
		", served: true, storage: true, subresources: {status: {}" + more + "}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}"
}

// served waits until the cluster has a kind.
func (s *setting) served(t *testing.T, k kind) {
	t.Helper()
	kubetest.Until(t, "the cluster has "+k.name, func() bool {
		_, err := s.Objects.Resource(k.GroupVersionResource).List(t.Context(), metav1.ListOptions{})
		return err == nil
	})
}

// keda: where there is KEDA and a Prometheus for it to ask, it scales.
func keda(t *testing.T, s *setting) {
	s.Apply(t, crd("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", ""))
	s.served(t, scaledObjects)
	h := s.open(t, func(o *Options) { o.Metric, o.Prometheus = true, "http://prometheus:9090" })
	one := spec(`odd "id"`, "vllm")
	up(t, h, one, 1)
	all := s.List(t, scaledObjects.GroupVersionResource, namespace(t))
	if len(all) != 1 || len(s.List(t, kubetest.Autoscalers, namespace(t))) != 0 {
		t.Fatalf("%d ScaledObjects and an autoscaler of its own", len(all))
	}
	same(t, `
scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: `+h.nameOf(one.ModelID)+`}
minReplicaCount: 1
maxReplicaCount: 4
advanced: {horizontalPodAutoscalerConfig: {behavior: {
  scaleUp: {stabilizationWindowSeconds: 0, policies: [{type: Pods, value: 4, periodSeconds: 1}]},
  scaleDown: {stabilizationWindowSeconds: 60, policies: [{type: Pods, value: 1, periodSeconds: 60}]}}}}
triggers:
- type: prometheus
  metricType: AverageValue
  metadata: {serverAddress: "http://prometheus:9090", query: 'sum(weir_model_requests_in_flight{model="odd \"id\""})', threshold: "4"}
`, all[0].Object["spec"])
	none := one
	none.Replicas = 0
	up(t, h, none, 0)
	if len(s.List(t, scaledObjects.GroupVersionResource, namespace(t))) != 0 {
		t.Error("a stopped model is still scaled")
	}
	s.deleted(t, h, one.ModelID)
}

// kserve: a model may be an InferenceService. What KServe's controller makes of it, the test does: a Deployment with the predictor's pods.
func kserve(t *testing.T, s *setting) {
	s.Apply(t, crd("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices", ""))
	s.served(t, inferenceServices)
	h := s.open(t)
	one := spec("served", "vllm")
	one.Kube, one.Replicas = &fleet.Kube{Workload: kserveWorkload}, 2
	control := func() {
		for _, u := range s.List(t, inferenceServices.GroupVersionResource, namespace(t)) {
			predictor, _, _ := unstructured.NestedMap(u.Object, "spec", "predictor")
			labels, annotations := predictor["labels"], predictor["annotations"]
			replicas, strategy := predictor["minReplicas"], predictor["deploymentStrategy"]
			for _, f := range []string{"labels", "annotations", "minReplicas", "maxReplicas", "deploymentStrategy"} {
				delete(predictor, f)
			}
			s.own(t, &u, deployments, u.GetName()+"-predictor", map[string]any{"replicas": replicas, "strategy": strategy, "selector": map[string]any{"matchLabels": map[string]any{labelModel: h.nameOf("served")}},
				"template": map[string]any{"metadata": map[string]any{"labels": labels, "annotations": annotations}, "spec": predictor}})
		}
	}
	s.lives(t, h, one, control)
}

// leaderWorkerSet: a server may be a group of pods. What its controller makes of it, the test does: a leader and its workers.
func leaderWorkerSet(t *testing.T, s *setting) {
	s.Apply(t, crd("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet", "leaderworkersets", ", scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}"))
	s.served(t, groups)
	h := s.open(t)
	one := spec("grouped", "vllm")
	one.Kube, one.Replicas = &fleet.Kube{Workload: groupWorkload, Size: 3}, 2
	control := func() {
		for _, u := range s.List(t, groups.GroupVersionResource, namespace(t)) {
			for role, index := range map[string]string{"leader": "0", "worker": "1"} {
				template, _, _ := unstructured.NestedMap(u.Object, "spec", "leaderWorkerTemplate", role+"Template")
				labels := template["metadata"].(map[string]any)["labels"].(map[string]any)
				labels[workerIndex] = index
				n := number(&u, "spec", "replicas")
				if role == "worker" {
					n *= number(&u, "spec", "leaderWorkerTemplate", "size") - 1
				}
				s.own(t, &u, deployments, u.GetName()+"-"+role, map[string]any{"replicas": n, "strategy": rolling(),
					"selector": map[string]any{"matchLabels": map[string]any{labelModel: h.nameOf("grouped"), workerIndex: index}}, "template": template})
			}
		}
	}
	s.lives(t, h, one, control)
}

// own makes what a controller would of an object: one that belongs to it.
func (s *setting) own(t *testing.T, owner *unstructured.Unstructured, k kind, name string, spec map[string]any) {
	t.Helper()
	if owner.GetDeletionTimestamp() != nil {
		return
	}
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": k.GroupVersion().String(), "kind": k.name, "spec": spec, "metadata": map[string]any{"name": name, "namespace": owner.GetNamespace(),
		"ownerReferences": []any{map[string]any{"apiVersion": owner.GetAPIVersion(), "kind": owner.GetKind(), "name": owner.GetName(), "uid": string(owner.GetUID()), "blockOwnerDeletion": true}}}}}
	if _, err := s.Objects.Resource(k.GroupVersionResource).Namespace(owner.GetNamespace()).Apply(t.Context(), name, u, metav1.ApplyOptions{FieldManager: "controller", Force: true}); err != nil {
		t.Fatal(err)
	}
}

// lives takes a model of two servers through its life, while the test is its controller.
func (s *setting) lives(t *testing.T, h *Host, spec fleet.Spec, control func()) {
	t.Helper()
	reach := func(spec fleet.Spec) fleet.Observed {
		return until(t, h, spec, fmt.Sprintf("%d servers of generation %d", spec.Replicas, spec.Generation), func(seen fleet.Observed) bool {
			control()
			if seen.Failure != "" {
				t.Fatalf("failed: %s", seen.Failure)
			}
			for _, one := range seen.Servers {
				if !one.Ready || one.Generation != spec.Generation {
					return false
				}
			}
			return len(seen.Servers) == int(spec.Replicas)
		})
	}
	for _, one := range reach(spec).Servers {
		if !answers(one.URL) {
			t.Errorf("%s does not answer", one.URL)
		}
	}
	spec.Replicas = 3
	reach(spec)
	spec.Generation = 2
	reach(spec)
	spec.Replicas = 0
	reach(spec)
	if ids, err := h.List(t.Context()); err != nil || !slices.Equal(ids, []string{spec.ModelID}) {
		t.Errorf("listed %q, %v", ids, err)
	}
	spec.Replicas = 1
	reach(spec)
	s.deleted(t, h, spec.ModelID)
}
