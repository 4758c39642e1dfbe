package gateway

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
	"github.com/weir-gateway/weir/test/gwtest"
)

// theRecord stops the gateway and gives the one record its database holds.
func theRecord(t *testing.T, g *gwtest.Gateway) usage.Record {
	t.Helper()
	g.Stop(t)
	s, err := store.Open(t.Context(), filepath.Join(g.DataDir, "weir.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	records, _, err := s.Records(t.Context(), store.RecordFilter{}, 10, "")
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v; want one", len(records), err)
	}
	return records[0]
}

const pricedModel = `
model_list:
  - model_name: m
    litellm_params: {model: openai/up, api_key: k, api_base: "URL", input_cost_per_token: 0.001, output_cost_per_token: 0.01}
`

// TestClientGoneIsCharged holds that a client which leaves in the middle pays for what was generated until then, whether it left before or
// after the first byte, although no usage was ever reported.
func TestClientGoneIsCharged(t *testing.T) {
	for _, begun := range []bool{false, true} {
		reached := make(chan struct{})
		up := gwtest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			if begun {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"`+strings.Repeat("word ", 80)+"\"}}]}\n\n")
				_ = http.NewResponseController(w).Flush()
			} else {
				_, _ = io.Copy(io.Discard, r.Body)
				close(reached)
			}
			<-r.Context().Done()
		})
		g := gwtest.Start(t, strings.Replace(pricedModel, "URL", up.URL, 1))
		ctx, leave := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/chat/completions",
			strings.NewReader(`{"model":"m","stream":true,"messages":[{"role":"user","content":"say a lot"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+gwtest.MasterKey)
		if begun {
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := resp.Body.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			leave()
			resp.Body.Close()
		} else {
			go func() {
				if resp, err := http.DefaultClient.Do(req); err == nil {
					resp.Body.Close()
				}
			}()
			<-reached
			leave()
		}
		r := theRecord(t, g)
		if !r.ClientGone || r.Usage.Input == 0 || !r.Usage.Estimated || r.Cost == 0 {
			t.Errorf("begun %v: %+v; want a charged record of a client that left", begun, r)
		}
		if begun && r.Usage.Output < 50 {
			t.Errorf("%d output tokens charged for 400 characters", r.Usage.Output)
		}
		leave()
	}
}

// TestBrokenStreamIsCharged holds that a stream that breaks off costs at least what came through.
func TestBrokenStreamIsCharged(t *testing.T) {
	up := gwtest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"`+strings.Repeat("word ", 80)+"\"}}]}\n\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	for _, path := range []string{"/v1/chat/completions", "/v1/messages"} {
		g := gwtest.Start(t, strings.Replace(pricedModel, "URL", up.URL, 1))
		g.Post(t, path, `{"model":"m","max_tokens":500,"stream":true,"messages":[{"role":"user","content":"say a lot"}]}`)
		if r := theRecord(t, g); !r.Incomplete || r.Usage.Output < 50 || r.Cost == 0 || !r.Usage.Estimated {
			t.Errorf("%s: %+v; want an incomplete record with what came through charged", path, r)
		}
	}
}
