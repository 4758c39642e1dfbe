package kubetest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Resources that tests look at.
var (
	Pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	Nodes       = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	Services    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	Deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	ReplicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	Budgets     = schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}
	Autoscalers = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}

	// These are there once a test has defined them.
	scaledObjects     = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}
	inferenceServices = schema.GroupVersionResource{Group: "serving.kserve.io", Version: "v1beta1", Resource: "inferenceservices"}
	leaderWorkerSets  = schema.GroupVersionResource{Group: "leaderworkerset.x-k8s.io", Version: "v1", Resource: "leaderworkersets"}
)

// Node plays scheduler and kubelet of one machine: it binds pods whose node selector and GPUs it can meet, gives each an address of the loopback
// network, listens there on the port of its container, and tells the API server how it goes. Images decide what becomes of a container: those whose
// name contains "broken" can't be pulled, those with "crash" end again and again.
type Node struct {
	Name    string
	Labels  map[string]string
	GPUs    int64        // of nvidia.com/gpu; 0: as many as anybody wants
	Handler http.Handler // what containers answer; nil: 200 to everything
	Said    string       // what stands in each container's log

	t    testing.TB
	c    *Cluster
	mu   sync.Mutex
	run  map[types.UID]*container
	next uint32
}

// container is one that runs.
type container struct {
	pod  *unstructured.Unstructured
	http *http.Server
	ip   string
	said time.Time
}

// Run lets the node work until the test ends.
func (n *Node) Run(t testing.TB, c *Cluster) *Node {
	t.Helper()
	n.t, n.c, n.run, n.next = t, c, map[types.UID]*container{}, rand.Uint32N(1<<22)
	if n.Name == "" {
		n.Name = "node-1"
	}
	logs := httptest.NewUnstartedServer(http.HandlerFunc(n.logs))
	logs.StartTLS()
	t.Cleanup(logs.Close)
	at, err := url.Parse(logs.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(at.Port(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]any{}
	for k, v := range n.Labels {
		labels[k] = v
	}
	node := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": n.Name, "labels": labels},
		"status": map[string]any{"addresses": []any{map[string]any{"type": "InternalIP", "address": "127.0.0.1"}}, "daemonEndpoints": map[string]any{"kubeletEndpoint": map[string]any{"Port": port}}}}}
	if _, err := c.Objects.Resource(Nodes).Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		defer n.stopAll()
		for ctx.Err() == nil {
			n.look(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Millisecond):
			}
		}
	}()
	return n
}

// look brings every pod a step further.
func (n *Node) look(ctx context.Context) {
	all, err := n.c.Objects.Resource(Pods).List(ctx, metav1.ListOptions{})
	if err != nil {
		return // the next look will tell
	}
	there := map[types.UID]bool{}
	for i := range all.Items {
		p := &all.Items[i]
		there[p.GetUID()] = true
		n.step(ctx, p)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, c := range n.run {
		if !there[id] {
			_ = c.http.Close()
			delete(n.run, id)
		}
	}
}

func (n *Node) step(ctx context.Context, p *unstructured.Unstructured) {
	node, _, _ := unstructured.NestedString(p.Object, "spec", "nodeName")
	phase, _, _ := unstructured.NestedString(p.Object, "status", "phase")
	switch {
	case p.GetDeletionTimestamp() != nil:
		n.Kill(ctx, p)
	case node == "":
		n.schedule(ctx, p)
	case node == n.Name && phase == "Pending":
		n.start(ctx, p)
	}
}

// Kill ends a pod at once.
func (n *Node) Kill(ctx context.Context, p *unstructured.Unstructured) {
	n.mu.Lock()
	if c := n.run[p.GetUID()]; c != nil {
		_ = c.http.Close()
		delete(n.run, p.GetUID())
	}
	n.mu.Unlock()
	none := int64(0)
	id := p.GetUID()
	_ = n.c.Objects.Resource(Pods).Namespace(p.GetNamespace()).Delete(ctx, p.GetName(), metav1.DeleteOptions{GracePeriodSeconds: &none, Preconditions: &metav1.Preconditions{UID: &id}})
}

// schedule binds a pod to the node, or says why not, as a scheduler would.
func (n *Node) schedule(ctx context.Context, p *unstructured.Unstructured) {
	wanted, _, _ := unstructured.NestedStringMap(p.Object, "spec", "nodeSelector")
	why := ""
	for k, v := range wanted {
		if n.Labels[k] != v {
			why = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
		}
	}
	if n.GPUs > 0 && gpus(p) > n.GPUs {
		why = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
	}
	if why != "" {
		n.status(ctx, p, map[string]any{"phase": "Pending", "conditions": []any{condition("PodScheduled", false, "Unschedulable", why)}})
		return
	}
	bind := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Binding", "metadata": map[string]any{"name": p.GetName(), "namespace": p.GetNamespace()},
		"target": map[string]any{"kind": "Node", "name": n.Name}}}
	_, _ = n.c.Objects.Resource(Pods).Namespace(p.GetNamespace()).Create(ctx, bind, metav1.CreateOptions{}, "binding") // tried again at the next look
}

func gpus(p *unstructured.Unstructured) int64 {
	all, _, _ := unstructured.NestedSlice(p.Object, "spec", "containers")
	sum := int64(0)
	for _, one := range all {
		text, _, _ := unstructured.NestedString(one.(map[string]any), "resources", "limits", "nvidia.com/gpu")
		count, _ := strconv.ParseInt(text, 10, 64) // none: 0
		sum += count
	}
	return sum
}

// start runs the pod's container, or says what becomes of it.
func (n *Node) start(ctx context.Context, p *unstructured.Unstructured) {
	all, _, _ := unstructured.NestedSlice(p.Object, "spec", "containers")
	main := all[0].(map[string]any)
	image, name := main["image"].(string), main["name"].(string)
	status := map[string]any{"name": name, "image": image, "imageID": "", "ready": false, "restartCount": int64(0)}
	waits := func(reason, message string) {
		status["state"] = map[string]any{"waiting": map[string]any{"reason": reason, "message": message}}
		n.status(ctx, p, map[string]any{"phase": "Pending", "hostIP": "127.0.0.1", "containerStatuses": []any{status},
			"conditions": []any{condition("PodScheduled", true, "", ""), condition("Ready", false, "ContainersNotReady", "containers with unready status: ["+name+"]")}})
	}
	switch {
	case strings.Contains(image, "broken"):
		waits("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: pull access denied, repository does not exist or may require authorization", image))
		return
	case strings.Contains(image, "crash"):
		status["restartCount"] = int64(3)
		status["lastState"] = map[string]any{"terminated": map[string]any{"exitCode": int64(1), "reason": "Error", "startedAt": now(), "finishedAt": now(), "containerID": "test://" + p.GetName()}}
		waits("CrashLoopBackOff", "back-off 40s restarting failed container="+name)
		return
	}
	n.mu.Lock()
	c := n.run[p.GetUID()]
	if c == nil {
		if c = n.listen(p, main); c == nil {
			n.mu.Unlock()
			return
		}
		n.run[p.GetUID()] = c
	}
	n.mu.Unlock()
	status["ready"], status["state"] = true, map[string]any{"running": map[string]any{"startedAt": now()}}
	status["started"], status["containerID"] = true, "test://"+p.GetName()
	n.status(ctx, p, map[string]any{"phase": "Running", "hostIP": "127.0.0.1", "podIP": c.ip, "podIPs": []any{map[string]any{"ip": c.ip}}, "startTime": now(), "containerStatuses": []any{status},
		"conditions": []any{condition("PodScheduled", true, "", ""), condition("Initialized", true, "", ""), condition("ContainersReady", true, "", ""), condition("Ready", true, "", "")}})
}

// listen finds an address that is free and answers there. The network 127/8 is this machine, and every pod has an address of its own in it.
func (n *Node) listen(p *unstructured.Unstructured, main map[string]any) *container {
	port := int64(80)
	if ports, _, _ := unstructured.NestedSlice(main, "ports"); len(ports) > 0 {
		port, _, _ = unstructured.NestedInt64(ports[0].(map[string]any), "containerPort")
	}
	for range 1000 {
		n.next++
		ip := fmt.Sprintf("127.%d.%d.%d", 1+n.next>>16%250, n.next>>8%256, 1+n.next%254)
		l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.FormatInt(port, 10)))
		if err != nil {
			continue
		}
		handler := n.Handler
		if handler == nil {
			handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		}
		s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		go func() { _ = s.Serve(l) }()
		return &container{pod: p, http: s, ip: ip, said: time.Now()}
	}
	n.t.Errorf("no address of this machine has port %d free, on which pods listen: what has it?", port)
	return nil
}

func now() string { return time.Now().UTC().Format(time.RFC3339) }

func condition(kind string, is bool, reason, message string) map[string]any {
	out := map[string]any{"type": kind, "status": "False", "lastTransitionTime": now()}
	if is {
		out["status"] = "True"
	}
	if reason != "" {
		out["reason"], out["message"] = reason, message
	}
	return out
}

// status tells the API server, unless it knows.
func (n *Node) status(ctx context.Context, p *unstructured.Unstructured, status map[string]any) {
	have, _, _ := unstructured.NestedMap(p.Object, "status")
	if have["phase"] == status["phase"] && reasons(have) == reasons(status) {
		return
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": string(p.GetUID())}, "status": status})
	if err != nil {
		panic(err) // of maps and texts: never
	}
	_, err = n.c.Objects.Resource(Pods).Namespace(p.GetNamespace()).Patch(ctx, p.GetName(), types.MergePatchType, body, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
		fmt.Println("the test's node can't tell how a pod is:", err)
	}
}

// reasons is what a status says beside its times.
func reasons(status map[string]any) string {
	var out []string
	for _, field := range []string{"conditions", "containerStatuses"} {
		all, _, _ := unstructured.NestedSlice(status, field)
		for _, one := range all {
			m := one.(map[string]any)
			reason, _, _ := unstructured.NestedString(m, "state", "waiting", "reason")
			text, _ := m["reason"].(string)
			kind, _ := m["type"].(string)
			if reason+text != "" {
				out = append(out, kind+reason+text)
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// Running are the pods whose containers run, of a namespace.
func (n *Node) Running(namespace string) []*unstructured.Unstructured {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []*unstructured.Unstructured
	for _, c := range n.run {
		if c.pod.GetNamespace() == namespace {
			out = append(out, c.pod)
		}
	}
	return out
}

func (n *Node) stopAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.run {
		_ = c.http.Close()
	}
}

// logs answers as a kubelet does: /containerLogs/{namespace}/{pod}/{container}.
func (n *Node) logs(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) != 5 {
		http.NotFound(w, r)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	at := time.Time{}
	for _, c := range n.run {
		if c.pod.GetNamespace() == parts[2] && c.pod.GetName() == parts[3] {
			at = c.said
		}
	}
	text := n.Said
	if r.URL.Query().Get("previous") == "true" {
		at, text = time.Now(), "CUDA out of memory"
	}
	if at.IsZero() {
		http.Error(w, "container is waiting to start", http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %s\n", at.UTC().Format(time.RFC3339Nano), text)
}
