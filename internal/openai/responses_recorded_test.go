package openai

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// respRecording is one file of testdata/responses.
type respRecording struct {
	Name     string        `json:"-"`
	Mode     string        `json:"mode"`
	Status   int           `json:"status"`
	Request  *string       `json:"request"`
	Body     string        `json:"body"`
	Expected *respExpected `json:"expected"`
}

type respExpected struct {
	Text      string             `json:"text"`
	Reasoning string             `json:"reasoning"`
	Calls     []respExpectedCall `json:"tool_calls"`
	Finish    string             `json:"finish"`
	Usage     map[string]*int64  `json:"usage"`
	Error     any                `json:"error"`
}

type respExpectedCall struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Args any    `json:"args"`
}

func respRecordings(t testing.TB) []respRecording {
	t.Helper()
	files, err := filepath.Glob("testdata/responses/*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d recordings: %v", len(files), err)
	}
	out := make([]respRecording, len(files))
	for i, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &out[i]); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out[i].Name = filepath.Base(f)
	}
	return out
}

// respFrames reads a stream as the gateway does; the frames are copies.
func respFrames(t testing.TB, body string) []llm.Frame {
	t.Helper()
	r := wire.NewSSEReader(strings.NewReader(body), 1<<20)
	var out []llm.Frame
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("stream: %v", err)
		}
		out = append(out, llm.Frame{Type: f.Type, Data: bytes.Clone(f.Data)})
	}
}

// respReadStream decodes a stream, and watches it with a tap.
func respReadStream(t testing.TB, body string) (*llm.Response, []llm.Event, *llm.Error, *llm.Seen) {
	t.Helper()
	d, tap := Responses.NewStreamDecoder(), Responses.NewTap()
	var events []llm.Event
	var marks llm.Mark
	for _, f := range respFrames(t, body) {
		var err error
		marks |= tap.Frame(f)
		if events, err = d.Decode(events, f); err != nil {
			t.Fatalf("%s: %v", f.Data, err)
		}
	}
	events, complete := d.Finish(events)
	var a llm.Accumulator
	for i := range events {
		a.Add(&events[i])
	}
	done, failed := a.Complete()
	ended := llm.MarkEnd
	if failed != nil {
		ended = llm.MarkError
	}
	if !complete || done != (failed == nil) || marks&llm.MarkBad != 0 || marks&ended == 0 {
		t.Errorf("complete %v done %v failed %v marks %b", complete, done, failed, marks)
	}
	return a.Response(), events, failed, tap.Seen()
}

func respProject(resp *llm.Response) *respExpected {
	e := &respExpected{Finish: resp.Choices[0].Raw, Usage: map[string]*int64{}}
	for _, p := range resp.Choices[0].Parts {
		switch p.Kind {
		case llm.KindText:
			e.Text += p.Text
		case llm.KindReasoning:
			e.Reasoning += p.Text
		case llm.KindToolCall:
			if p.Call.Type == "custom" { // what reads the expected calls leaves these out
				continue
			}
			c := respExpectedCall{ID: p.Call.ID, Name: p.Call.Name}
			if json.Unmarshal([]byte(p.Call.Arguments), &c.Args) != nil {
				c.Args = p.Call.Arguments
			}
			e.Calls = append(e.Calls, c)
		}
	}
	if u := resp.Usage; u != nil {
		e.Usage["input"], e.Usage["output"], e.Usage["total"] = &u.Input, &u.Output, &u.Total
		if u.CacheKnown {
			e.Usage["cached"] = &u.CacheRead
		}
		if u.ReasoningKnown {
			e.Usage["reasoning"] = &u.Reasoning
		}
		if u.CacheWrite != 0 {
			e.Usage["cache_write"] = &u.CacheWrite
		}
	}
	return e
}

func respSameExpected(t *testing.T, what string, got, want *respExpected) {
	t.Helper()
	w := *want
	w.Usage = map[string]*int64{}
	for k, v := range want.Usage {
		if v != nil && !(k == "cache_write" && *v == 0) {
			w.Usage[k] = v
		}
	}
	got.Reasoning = strings.Join(strings.Fields(got.Reasoning), "")
	w.Reasoning = strings.Join(strings.Fields(want.Reasoning), "")
	if d := cmp.Diff(&w, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s: -want +got\n%s", what, d)
	}
}

func TestResponses_recordedAnswers(t *testing.T) {
	for _, r := range respRecordings(t) {
		t.Run(r.Name, func(t *testing.T) {
			if r.Status != 200 {
				if e := Responses.DecodeError(r.Status, nil, []byte(r.Body)); e.HTTPStatus() != r.Status || e.Message == "" {
					t.Errorf("%+v", e)
				}
				return
			}
			x := &llm.Exchange{Model: "m", ID: "call_01", Started: time.Unix(1e9, 0), Now: func() time.Time { return time.Unix(1e9, 0) }}
			if strings.Contains(r.Name, "openai-error") {
				respCheckFailed(t, &r)
				return
			}
			if r.Mode != "stream" {
				resp, err := Responses.DecodeResponse([]byte(r.Body))
				if err != nil {
					t.Fatal(err)
				}
				respSameExpected(t, "decoded", respProject(resp), r.Expected)
				again, err := Responses.DecodeResponse(Responses.EncodeResponse(nil, resp, x))
				if err != nil {
					t.Fatal(err)
				}
				respSameExpected(t, "encoded and decoded", respProject(again), r.Expected)
				tap := Responses.NewTap()
				if err := tap.Body([]byte(r.Body)); err != nil {
					t.Error(err)
				}
				respSameSeen(t, tap.Seen(), resp)
				return
			}
			resp, events, failed, seen := respReadStream(t, r.Body)
			if failed != nil {
				t.Fatal(failed)
			}
			respSameExpected(t, "decoded", respProject(resp), r.Expected)
			respSameSeen(t, seen, resp)
			enc := Responses.NewStreamEncoder(x)
			var out []byte
			for i := range events {
				out = enc.Encode(out, &events[i])
			}
			again, _, _, _ := respReadStream(t, string(out))
			respSameExpected(t, "encoded and decoded", respProject(again), r.Expected)
		})
	}
}

func respCheckFailed(t *testing.T, r *respRecording) {
	t.Helper()
	if r.Mode == "stream" {
		_, _, failed, seen := respReadStream(t, r.Body)
		if failed == nil || seen.Err == nil || failed.Kind != llm.ErrRateLimit || seen.Err.Kind != llm.ErrRateLimit {
			t.Errorf("failed %v seen %v", failed, seen.Err)
		}
		return
	}
	_, err := Responses.DecodeResponse([]byte(r.Body))
	if e := llm.AsError(err); e.Kind != llm.ErrRateLimit || e.Code != "insufficient_quota" {
		t.Errorf("%+v", e)
	}
	if e := Responses.NewTap().Body([]byte(r.Body)); e == nil || e.Kind != llm.ErrRateLimit {
		t.Errorf("tap: %+v", e)
	}
}

func respSameSeen(t *testing.T, s *llm.Seen, resp *llm.Response) {
	t.Helper()
	calls := 0
	for _, p := range resp.Choices[0].Parts {
		if p.Kind == llm.KindToolCall {
			calls++
		}
	}
	if s.ID != resp.ID || s.Model != resp.Model || s.Finish != resp.Choices[0].Reason || s.ToolCalls != calls || s.Err != nil {
		t.Errorf("the tap saw %+v", s)
	}
	if d := cmp.Diff(resp.Usage, s.Usage); d != "" {
		t.Errorf("usage: %s", d)
	}
}

func TestResponses_recordedRequests(t *testing.T) {
	n := 0
	for _, r := range respRecordings(t) {
		if r.Request == nil {
			continue
		}
		n++
		req, err := Responses.DecodeRequest([]byte(*r.Request))
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
			continue
		}
		out, dropped, err := Responses.EncodeRequest(nil, req, &llm.Target{Model: req.Model, Provider: "openai"})
		if err != nil || dropped != nil {
			t.Errorf("%s: dropped %v: %v", r.Name, dropped, err)
		}
		if d := cmp.Diff(respNormal(t, []byte(*r.Request)), respNormal(t, out)); d != "" {
			t.Errorf("%s: -recorded +encoded\n%s", r.Name, d)
		}
	}
	if n < 10 {
		t.Errorf("only %d requests", n)
	}
}

// respNormal brings the forms that mean the same to one: nulls and empty lists are left out, a text alone stands for content.
func respNormal(t *testing.T, body []byte) any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if s, ok := v["input"].(string); ok {
		v["input"] = []any{map[string]any{"role": "user", "content": s}}
	}
	if v["stream"] == false {
		delete(v, "stream")
	}
	return respPrune(v)
}

func respPrune(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = respPrune(v[i])
		}
	case map[string]any:
		for k, x := range v {
			x = respPrune(x)
			list, isList := x.([]any)
			if x == nil || isList && len(list) == 0 && k != "summary" || k == "type" && x == "message" {
				delete(v, k)
				continue
			}
			v[k] = x
			if k == "content" && len(list) == 1 {
				if p, ok := list[0].(map[string]any); ok && p["text"] != nil && len(p) == 2 {
					v[k] = p["text"]
				}
			}
		}
	}
	return v
}
