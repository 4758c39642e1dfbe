// Package kubetest runs a real Kubernetes API server with its controllers inside a test, and plays the nodes. Only tests import it.
package kubetest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const install = "./scripts/kubeapi"

// Cluster is a Kubernetes of a test's own.
type Cluster struct {
	Kubeconfig string // of one who may do everything
	Objects    dynamic.Interface
	config     *rest.Config
}

// Start runs an API server until the test ends. Where it was not built the test is skipped, or fails where CI is set, with the command that
// builds it.
func Start(t testing.TB) *Cluster {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the played node gives every pod an address of 127.0.0.0/8, which only Linux has")
	}
	program, err := find()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		message := "the Kubernetes of the tests is not built; build it with: " + install
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	dir := t.TempDir()
	cmd := exec.Command(program, dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	said := &tail{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // it ends then
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the API server said last:\n%s", said)
		}
	})
	late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the API server does not start: %q, %v\n%s", line, err, said)
	}
	c := &Cluster{Kubeconfig: filepath.Join(dir, "kubeconfig")}
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	c.config.QPS, c.config.WarningHandler = -1, rest.NoWarnings{}
	if c.Objects, err = dynamic.NewForConfig(c.config); err != nil {
		t.Fatal(err)
	}
	return c
}

// find is where the program is that test/kubeapi's sources make.
func find() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	_, here, _, _ := runtime.Caller(0)
	sum := sha256.New()
	for _, name := range []string{"controllers.go", "go.mod", "go.sum", "main.go"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "kubeapi", name))
		if err != nil {
			return "", err
		}
		sum.Write(b)
	}
	return filepath.Join(cache, "weir", "kubeapi-"+hex.EncodeToString(sum.Sum(nil))[:16]), nil
}

// tail keeps the last that was written.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() > 1<<16 {
		l.buf.Reset()
	}
	return l.buf.Write(b)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// As writes a kubeconfig of the user called weir, who may only do what RBAC says, and gives its path.
func (c *Cluster) As(t testing.TB, user string) string {
	t.Helper()
	b, err := os.ReadFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), "token: admin", "token: "+user)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// resources are how the kinds that tests apply are addressed.
var resources = map[string]string{"Namespace": "namespaces", "ServiceAccount": "serviceaccounts", "Role": "roles", "RoleBinding": "rolebindings", "CustomResourceDefinition": "customresourcedefinitions",
	"APIService": "apiservices", "Service": "services", "ResourceQuota": "resourcequotas", "Node": "nodes", "PriorityClass": "priorityclasses", "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
	"ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings"}

// Apply makes the objects of a manifest be, by server-side apply.
func (c *Cluster) Apply(t testing.TB, manifest string) {
	t.Helper()
	for _, one := range strings.Split(manifest, "\n---\n") {
		j, err := yaml.YAMLToJSON([]byte(one))
		if err != nil {
			t.Fatalf("%v\n%s", err, one)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(j); err != nil {
			t.Fatalf("%v\n%s", err, one)
		}
		gv, err := schema.ParseGroupVersion(u.GetAPIVersion())
		if err != nil || resources[u.GetKind()] == "" {
			t.Fatalf("%s: how is it addressed? %v", u.GetKind(), err)
		}
		_, err = c.Objects.Resource(gv.WithResource(resources[u.GetKind()])).Namespace(u.GetNamespace()).Apply(t.Context(), u.GetName(), u, metav1.ApplyOptions{FieldManager: "test", Force: true})
		if err != nil {
			t.Fatalf("%s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
}

// List gives the objects of a resource in a namespace, and none where the cluster does not know it.
func (c *Cluster) List(t testing.TB, gvr schema.GroupVersionResource, namespace string) []unstructured.Unstructured {
	t.Helper()
	all, err := c.Objects.Resource(gvr).Namespace(namespace).List(context.WithoutCancel(t.Context()), metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return all.Items
}

// Labelled names what a namespace has under a label, of all kinds that hosts make and controllers make of these.
func (c *Cluster) Labelled(t testing.TB, namespace, label, value string) []string {
	t.Helper()
	var out []string
	for _, gvr := range []schema.GroupVersionResource{Pods, Services, Deployments, ReplicaSets, Budgets, Autoscalers, scaledObjects, inferenceServices, leaderWorkerSets} {
		for _, u := range c.List(t, gvr, namespace) {
			if u.GetLabels()[label] == value {
				out = append(out, u.GetKind()+" "+u.GetName())
			}
		}
	}
	return out
}

// Until waits until something is so.
func Until(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
