package ecs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/ecs/awstest"
)

// trouble stands between the host and AWS. Some calls are throttled, some never arrive, some are carried out and their answer is lost, and some
// reads tell what was true a moment ago.
type trouble struct {
	next http.RoundTripper

	mu      sync.Mutex
	rand    *rand.Rand
	chance  float64
	earlier map[string]*reply
	counts  map[string]int
}

// reply is an earlier answer, and how often it may still be given.
type reply struct {
	status int
	header http.Header
	body   []byte
	left   int
}

func (s *reply) again(req *http.Request) *http.Response {
	return &http.Response{StatusCode: s.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: s.header.Clone(), Request: req, ContentLength: int64(len(s.body)), Body: io.NopCloser(bytes.NewReader(s.body))}
}

// throttled is AWS's refusal in the protocol of the call.
func throttled(req *http.Request, body []byte) *http.Response {
	one := &reply{status: http.StatusBadRequest, header: http.Header{"Content-Type": {"text/xml"}}}
	switch {
	case req.Header.Get("X-Amz-Target") != "":
		return awstest.Answer(req, http.StatusBadRequest, map[string]string{"__type": "ThrottlingException", "message": "Rate exceeded"})
	case strings.Contains(string(body), "LaunchTemplate") || strings.Contains(string(body), "InstanceTypes"):
		one.body = []byte(`<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message></Error></Errors></Response>`)
	default:
		one.body = []byte(`<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`)
	}
	return one.again(req)
}

func (f *trouble) RoundTrip(req *http.Request) (*http.Response, error) {
	body := awstest.Read(req.Body)
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(bytes.NewReader(body))
	op := awstest.Operation(req, body)
	reads := strings.HasPrefix(op, "Describe") || strings.HasPrefix(op, "List") || strings.HasPrefix(op, "Get")
	key := op + string(body)
	f.mu.Lock()
	hit, kind, old := f.rand.Float64() < f.chance, f.rand.IntN(4), f.earlier[key]
	if hit {
		f.counts[[]string{"throttled", "cut", "lost", "stale"}[kind]]++
	}
	f.mu.Unlock()
	switch {
	case hit && kind == 0:
		return throttled(req, body), nil
	case hit && kind == 1:
		return nil, errors.New("connection refused")
	case hit && kind == 3 && reads && old != nil && old.left > 0:
		old.left--
		return old.again(req), nil
	}
	resp, err := f.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	now := &reply{status: resp.StatusCode, header: resp.Header, body: awstest.Read(resp.Body), left: 2}
	if reads {
		f.mu.Lock()
		f.earlier[key] = now
		f.mu.Unlock()
	}
	if hit && kind == 2 {
		return nil, io.ErrUnexpectedEOF
	}
	return now.again(req), nil
}

// TestTrouble walks models through their lives while calls fail and gateways die: it comes about all the same, a serving model never stops
// serving, nothing is doubled, and nothing is left behind.
func TestTrouble(t *testing.T) {
	if awstest.Start(t) == "" {
		return
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { walk(t, seed) })
	}
}

func walk(t *testing.T, seed uint64) {
	c := newCloud(t)
	random := rand.New(rand.NewPCG(seed, 5))
	f := &trouble{next: c.Cloud, rand: random, chance: 0.06, earlier: map[string]*reply{}, counts: map[string]int{}}
	if seed%2 == 1 {
		c.o.LoadBalancerARN = ""
	}
	open := func() *Host { return c.open(t, func(http.RoundTripper) http.RoundTripper { return f }) }
	h := open()
	name := h.nameOf("m")
	const most = 400 // rounds for one wish
	reach := func(s fleet.Spec, serving bool) {
		t.Helper()
		var err error
		for range most {
			if random.IntN(10) == 0 {
				h = open() // the gateway died, and another goes on
			}
			var seen fleet.Observed
			seen, err = h.Ensure(t.Context(), s)
			if err == nil && seen.Failure != "" {
				t.Fatalf("trouble that passes became a failure: %s", seen.Failure)
			}
			c.Step()
			if serving && c.Healthy(name) == 0 {
				t.Fatalf("no server is healthy on the way to generation %d, %d servers", s.Generation, s.Replicas)
			}
			if n := c.Running(name); n > 2*int(max(s.Replicas, 3)) {
				t.Fatalf("%d tasks run", n)
			}
			ready := 0
			for _, one := range seen.Servers {
				if one.Ready && one.Generation == s.Generation {
					ready++
				}
			}
			if err == nil && ready == int(s.Replicas) && len(seen.Servers) == ready && c.Running(name) == ready {
				return
			}
		}
		t.Fatalf("generation %d with %d servers did not come about in %d rounds; the last error: %v; trouble so far: %v", s.Generation, s.Replicas, most, err, f.counts)
	}
	for range 2 {
		s := spec("m", "vllm/vllm-openai:latest")
		reach(s, false)
		s.Replicas = 3
		reach(s, true)
		s.Generation = 2
		reach(s, true)
		s.Replicas = 0
		reach(s, false)
		s.Generation, s.Replicas = 3, 1
		reach(s, false)
		gone := false
		for i := 0; i < most && !gone; i++ {
			if random.IntN(10) == 0 {
				h = open()
			}
			gone, _ = h.Delete(t.Context(), "m") // an error is trouble, and passes
			c.Step()
		}
		// What a stale read hid may be left after one pass; the fleet's search for orphans finds it by List and deletes once more.
		for range 3 {
			if ids, err := c.host.List(t.Context()); err == nil && len(ids) == 0 {
				break
			}
			gone, _ = c.host.Delete(t.Context(), "m")
			c.Step()
		}
		if left := c.left(t, "m"); !gone || len(left) > 0 || c.Running(name) > 0 {
			t.Fatalf("deleted: %v; left behind: %q; %d tasks run; trouble: %v", gone, left, c.Running(name), f.counts)
		}
	}
	for _, kind := range []string{"throttled", "cut", "lost", "stale"} {
		if f.counts[kind] == 0 {
			t.Errorf("no call was %s: the test showed nothing of it", kind)
		}
	}
}

// TestThrottled: a call that is refused for now is an error to try again, never a failure of the model, and costs one call.
func TestThrottled(t *testing.T) {
	calls := 0
	h, err := New(t.Context(), Options{Region: "eu-central-1", Cluster: "c", Subnets: []string{"s"}, SecurityGroups: []string{"g"}, EndpointURL: "http://127.0.0.1:1",
		HTTP: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) { calls++; return throttled(req, nil), nil })}, Credentials: awstest.Keys, Now: timeZero})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := h.Ensure(t.Context(), spec("m", "image"))
	if err == nil || !strings.Contains(err.Error(), "Rate exceeded") || seen.Failure != "" || calls != 1 {
		t.Errorf("got %+v, %v after %d calls; want an error after one", seen, err, calls)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
