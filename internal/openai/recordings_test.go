package openai

import (
	"os"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weir-gateway/weir/internal/llm"
)

type recording struct {
	Name      string
	Provider  string
	Streaming bool
	Status    int
	Request   string
	Response  string
	Expected  struct {
		Kind      string
		Text      string
		Reasoning string
		ToolCalls []recordedCall `json:"tool_calls"`
		Finish    string
		Usage     map[string]int64
	}
}

type recordedCall struct {
	ID, Name string
	Args     any
}

// TestRecordings reads replies of real providers, and writes their requests as they were sent.
func TestRecordings(t *testing.T) {
	data, err := os.ReadFile("testdata/chat/recordings.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []recording
	if err := json.Unmarshal(data, &all, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	if len(all) < 25 {
		t.Fatalf("%d recordings", len(all))
	}
	for i := range all {
		r := &all[i]
		t.Run(r.Name, func(t *testing.T) {
			r.testReply(t)
			if r.Request != "" {
				r.testRequest(t)
			}
		})
	}
}

func (r *recording) testReply(t *testing.T) {
	if r.Status != 200 {
		if e := Chat.DecodeError(r.Status, nil, []byte(r.Response)); e.HTTPStatus() != r.Status || e.Message == "" || e.Code == "" {
			t.Errorf("%+v", e)
		}
		return
	}
	resp, tap := r.read(t)
	want := &r.Expected
	if got := join(resp, llm.KindText); got != want.Text {
		t.Errorf("text %q, want %q", got, want.Text)
	}
	if got := join(resp, llm.KindReasoning); got != want.Reasoning {
		t.Errorf("reasoning %q, want %q", got, want.Reasoning)
	}
	if d := cmp.Diff(want.ToolCalls, callsOf(resp), cmpopts.EquateEmpty()); d != "" && want.Finish != "function_call" {
		t.Error(d)
	}
	if got := resp.Choices[0].Stop; got.Raw != want.Finish {
		t.Errorf("finish %q, want %q", got.Raw, want.Finish)
	}
	r.testUsage(t, resp.Usage)
	if seen := tap.Seen(); !cmp.Equal(seen.Usage, resp.Usage) || seen.Finish != resp.Choices[0].Reason || seen.Chars < int64(len(want.Text)+len(want.Reasoning)) {
		t.Errorf("the tap saw %+v", seen)
	}
	// Written as a stream and read again, it says the same.
	again, _, err := readStream(writeStream(Chat.NewStreamEncoder(&llm.Exchange{StreamUsage: true}), resp.Events()), Chat.NewStreamDecoder(), Chat.NewTap())
	if err != nil {
		t.Fatal(err)
	}
	back := again.Response()
	if join(back, llm.KindText) != want.Text || join(back, llm.KindReasoning) != want.Reasoning || !cmp.Equal(callsOf(back), callsOf(resp)) || !cmp.Equal(back.Usage, resp.Usage) {
		t.Errorf("came back as %+v", back)
	}
}

func (r *recording) read(t *testing.T) (*llm.Response, llm.Tap) {
	tap := Chat.NewTap()
	if !r.Streaming {
		resp, err := Chat.DecodeResponse([]byte(r.Response))
		if err != nil {
			t.Fatal(err)
		}
		if err := tap.Body([]byte(r.Response)); err != nil {
			t.Fatal(err)
		}
		return resp, tap
	}
	acc, events, err := readStream([]byte(r.Response), Chat.NewStreamDecoder(), tap)
	if err != nil {
		t.Fatal(err)
	}
	if complete, err := acc.Complete(); !complete {
		t.Errorf("incomplete: %v", err)
	}
	if err := wellFormed(events); err != nil {
		t.Error(err)
	}
	return acc.Response(), tap
}

func (r *recording) testUsage(t *testing.T, u *llm.Usage) {
	want := r.Expected.Usage
	if u == nil || len(want) == 0 {
		if u != nil || len(want) > 0 {
			t.Errorf("usage %+v, want %v", u, want)
		}
		return
	}
	// Where reasoning is reported beside the output, the vocabulary counts it within.
	if beside := want["total"] - want["input"] - want["output"]; beside > 0 && beside == want["reasoning"] {
		want["output"] += beside
	}
	got := map[string]int64{
		"input": u.Input, "output": u.Output, "total": u.Total, "reasoning": u.Reasoning, "cached": u.CacheRead, "cache_write": u.CacheWrite,
	}
	for k, v := range want {
		if n, ok := got[k]; !ok || n != v {
			t.Errorf("usage: %s %d, want %d", k, n, v)
		}
	}
}

func join(r *llm.Response, kind llm.Kind) (s string) {
	for _, p := range r.Choices[0].Parts {
		if p.Kind == kind {
			s += p.Text
		}
	}
	return s
}

func callsOf(r *llm.Response) (out []recordedCall) {
	for _, p := range r.Choices[0].Parts {
		if p.Call == nil {
			continue
		}
		c := recordedCall{ID: p.Call.ID, Name: p.Call.Name}
		if json.Unmarshal([]byte(p.Call.Arguments), &c.Args) != nil {
			c.Args = p.Call.Arguments
		}
		out = append(out, c)
	}
	return out
}

// upstreamName is our name for a recorded provider where it differs.
var upstreamName = map[string]string{"vercel-gw": "vercel_ai_gateway"}

func (r *recording) testRequest(t *testing.T) {
	req, err := Chat.DecodeRequest([]byte(r.Request))
	if err != nil {
		t.Fatal(err)
	}
	target := &llm.Target{Model: req.Model, Provider: r.Provider}
	if name := upstreamName[r.Provider]; name != "" {
		target.Provider = name
	}
	body, dropped, err := Chat.EncodeRequest(nil, req, target)
	if err != nil || len(dropped) > 0 {
		t.Fatal(dropped, err)
	}
	if d := cmp.Diff(meaning(t, r.Request), meaning(t, string(body))); d != "" {
		t.Error(d)
	}
}

// meaning is a request's JSON without what makes no difference: nulls, empty lists and content, the two names of the token limit, one stop
// string or a list of it, and the usage that is always asked for.
func meaning(t *testing.T, body string) any {
	var v any
	if err := json.Unmarshal([]byte(body), &v, jsontext.AllowDuplicateNames(false)); err != nil {
		t.Fatal(err)
	}
	var clean func(v any) any
	clean = func(v any) any {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = clean(v[i])
			}
		case map[string]any:
			out := map[string]any{}
			for k, x := range v {
				x = clean(x)
				switch list, isList := x.([]any); {
				case x == nil, isList && len(list) == 0, k == "content" && x == "", k == "stream_options", k == "stream" && x == false:
				case k == "max_completion_tokens":
					out["max_tokens"] = x
				case k == "stop" && !isList:
					out[k] = []any{x}
				default:
					out[k] = x
				}
			}
			return out
		}
		return v
	}
	return clean(v)
}
