package kube

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/test/kubetest"
)

// faulty stands before the API server. Of the calls that change something the one with the number fail is lost: refused before it arrives, or
// its answer cut off after it was carried out.
type faulty struct {
	calls atomic.Int64
	fail  atomic.Int64
	after atomic.Bool
	next  http.Handler
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || f.calls.Add(1) != f.fail.Load() {
		f.next.ServeHTTP(w, r)
		return
	}
	if f.after.Load() {
		f.next.ServeHTTP(httptest.NewRecorder(), r)
	}
	panic(http.ErrAbortHandler)
}

// TestFaults: whichever call is lost, before or after it was carried out, the model comes up, sleeps, wakes and goes, each only once.
func TestFaults(t *testing.T) {
	s := set(t)
	b, err := os.ReadFile(s.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(string(regexp.MustCompile(`server: "([^"]+)"`).FindSubmatch(b)[1]))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(at)
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the test's own server
	f := &faulty{next: proxy}
	door := httptest.NewTLSServer(f)
	t.Cleanup(door.Close)
	through := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}], contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {token: admin}}]}", door.URL)
	if err := os.WriteFile(through, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, after := range []bool{false, true} {
		for fail := int64(1); ; fail++ {
			f.calls.Store(0)
			f.fail.Store(fail)
			f.after.Store(after)
			h := s.open(t, func(o *Options) { o.Kubeconfig = through })
			one := spec("m", "vllm")
			life(t, h, one)
			if left := s.left(t, "m"); len(left) > 0 {
				t.Errorf("call %d lost (carried out: %v): left behind %q", fail, after, left)
			}
			if f.calls.Load() < fail {
				break // there was no such call: all have been lost once
			}
		}
	}
}

// life takes a model up, to sleep, up again with two servers, and away; calls that fail are made again.
func life(t *testing.T, h *Host, spec fleet.Spec) {
	t.Helper()
	for _, replicas := range []int64{1, 0, 2} {
		spec.Replicas = replicas
		kubetest.Until(t, fmt.Sprintf("%d servers", replicas), func() bool {
			seen, err := h.Ensure(t.Context(), spec)
			if err != nil {
				return false
			}
			if seen.Failure != "" || len(seen.Servers) > int(max(replicas, 1)) {
				t.Fatalf("of %d servers: %+v", replicas, seen)
			}
			return len(seen.Servers) == int(replicas) && !slices.ContainsFunc(seen.Servers, func(s fleet.Server) bool { return !s.Ready })
		})
	}
	kubetest.Until(t, "it is gone", func() bool {
		gone, err := h.Delete(t.Context(), spec.ModelID)
		return err == nil && gone
	})
}
