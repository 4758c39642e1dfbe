package converse

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// expected is what a reader of Bedrock's own format made of a recorded reply.
type expected struct {
	Kind      string
	Status    int
	Text      string
	Reasoning string
	ToolCalls []struct {
		ID, Name string
		Args     any
	} `json:"tool_calls"`
	Finish string
	Usage  struct {
		Input      int64
		Output     int64
		Total      int64
		Cached     int64
		CacheWrite int64 `json:"cache_write"`
	}
	Blocks []string
}

type interaction struct {
	Endpoint  string
	Provider  string
	Streaming bool
	Request   struct {
		URL  string
		Body string
	}
	Response struct {
		Status  int
		Headers map[string]string
		Body    string
		Base64  string `json:"body_base64"`
	}
	Expected *expected
}

func (x *interaction) reply(t testing.TB) []byte {
	t.Helper()
	if x.Response.Base64 == "" {
		return []byte(x.Response.Body)
	}
	b, err := base64.StdEncoding.DecodeString(x.Response.Base64)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recordings are the exchanges under testdata/recorded by name.
func recordings(t testing.TB) map[string]*interaction {
	t.Helper()
	out := map[string]*interaction{}
	expectedOf := map[string]*expected{}
	root := filepath.Join("testdata", "recorded")
	if b, err := os.ReadFile(filepath.Join(root, "vercel-ai", "expected.json")); err == nil {
		if err := json.Unmarshal(b, &expectedOf, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path) == "expected.json" || filepath.Ext(path) == ".md" || filepath.Ext(path) == "" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		if strings.HasPrefix(name, "vercel-ai/") {
			x := &interaction{Endpoint: "converse", Expected: expectedOf[name]}
			x.Response.Status, x.Response.Body = 200, string(b)
			if strings.HasSuffix(name, ".chunks.txt") {
				x.Streaming, x.Response.Body = true, string(framed(t, b))
			}
			out[name] = x
			return nil
		}
		var file struct{ Interactions []*interaction }
		if err := json.Unmarshal(b, &file, json.MatchCaseInsensitiveNames(true)); err != nil {
			return err
		}
		for i, x := range file.Interactions {
			if strings.HasPrefix(x.Endpoint, "converse") {
				out[name+"#"+string(rune('0'+i))] = x
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// framed turns lines of {event-type: payload} into the frames that carried them.
func framed(t testing.TB, lines []byte) []byte {
	t.Helper()
	var out []byte
	sc := bufio.NewScanner(bytes.NewReader(lines))
	for sc.Scan() {
		for _, m := range llm.ObjectOf(sc.Bytes()) {
			out = wire.AppendEvent(out, m.Name, m.Value)
		}
	}
	return out
}

// decodeStream reads framed bytes as the gateway does.
func decodeStream(t testing.TB, b []byte) (*llm.Accumulator, *llm.Seen, bool) {
	t.Helper()
	acc := &llm.Accumulator{}
	dec, tap := Converse.NewStreamDecoder(), Converse.NewTap()
	frames := wire.NewEventStreamReader(bytes.NewReader(b), 0)
	var events []llm.Event
	for {
		f, err := frames.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		frame := llm.Frame{Type: f.Type, Data: f.Data, Exception: f.Exception}
		tap.Frame(frame)
		if events, err = dec.Decode(events[:0], frame); err != nil {
			t.Fatal(err)
		}
		for i := range events {
			acc.Add(&events[i])
		}
	}
	events, complete := dec.Finish(events[:0])
	for i := range events {
		acc.Add(&events[i])
	}
	return acc, tap.Seen(), complete
}

// TestDecode_recorded reads replies of Bedrock itself.
func TestDecode_recorded(t *testing.T) {
	list := recordings(t)
	if len(list) < 15 {
		t.Fatalf("only %d recordings found", len(list))
	}
	for name, x := range list {
		t.Run(name, func(t *testing.T) {
			if x.Expected == nil {
				t.Fatal("no expectation")
			}
			if x.Response.Status != 200 {
				h := map[string][]string{}
				for k, v := range x.Response.Headers {
					h[http1(k)] = []string{v}
				}
				e := Converse.DecodeError(x.Response.Status, h, x.reply(t))
				if e.HTTPStatus() != x.Expected.Status || e.Type != "ValidationException" || e.Message == "" {
					t.Errorf("got %+v", e)
				}
				return
			}
			var resp *llm.Response
			var seen *llm.Seen
			if x.Streaming || x.Response.Base64 != "" {
				acc, s, complete := decodeStream(t, x.reply(t))
				if _, e := acc.Complete(); !complete || e != nil {
					t.Fatalf("incomplete: %v", e)
				}
				resp, seen = acc.Response(), s
			} else {
				var err error
				if resp, err = Converse.DecodeResponse(x.reply(t)); err != nil {
					t.Fatal(err)
				}
				tap := Converse.NewTap()
				if e := tap.Body(x.reply(t)); e != nil {
					t.Fatal(e)
				}
				seen = tap.Seen()
			}
			compare(t, resp, seen, x.Expected)
			again := &llm.Accumulator{}
			for _, e := range resp.Events() {
				again.Add(&e)
			}
			compare(t, again.Response(), seen, x.Expected)
		})
	}
}

func http1(k string) string {
	if strings.EqualFold(k, "x-amzn-errortype") {
		return "X-Amzn-Errortype"
	}
	return k
}

func compare(t *testing.T, resp *llm.Response, seen *llm.Seen, want *expected) {
	t.Helper()
	c := resp.Choices[0]
	text, reasoning, calls := "", "", 0
	cited := false
	for _, p := range c.Parts {
		switch p.Kind {
		case llm.KindText:
			text += p.Text
			cited = cited || len(p.Citations) > 0
		case llm.KindReasoning:
			reasoning += p.Text
		case llm.KindToolCall:
			if calls >= len(want.ToolCalls) {
				t.Fatalf("more than %d calls", len(want.ToolCalls))
			}
			w := want.ToolCalls[calls]
			var args any
			if err := json.Unmarshal(p.Call.ArgumentsObject(), &args); err != nil {
				t.Fatal(err)
			}
			if p.Call.ID != w.ID || p.Call.Name != w.Name || !cmp.Equal(args, w.Args) {
				t.Errorf("call %d: got %+v, want %+v", calls, p.Call, w)
			}
			calls++
		}
	}
	// The expectation leaves out what stands in citationsContent; the answer's reader must not.
	if text != want.Text && !(cited && strings.Contains(strings.Join(want.Blocks, " "), "citationsContent") && len(text) > len(want.Text)) {
		t.Errorf("text: %s", cmp.Diff(want.Text, text))
	}
	if reasoning != want.Reasoning {
		t.Errorf("reasoning: %s", cmp.Diff(want.Reasoning, reasoning))
	}
	if calls != len(want.ToolCalls) || seen.ToolCalls != calls {
		t.Errorf("%d calls, the tap saw %d, want %d", calls, seen.ToolCalls, len(want.ToolCalls))
	}
	if c.Stop.Raw != want.Finish || seen.Finish != c.Stop.Reason {
		t.Errorf("finish %q, the tap saw %q, want %q", c.Stop.Raw, seen.Finish, want.Finish)
	}
	if want.Usage.Total == 0 {
		if resp.Usage != nil && resp.Usage.Sum() != 0 {
			t.Errorf("usage %+v from nowhere", resp.Usage)
		}
		return
	}
	for _, u := range []*llm.Usage{resp.Usage, seen.Usage} {
		if u.Input-u.CacheRead-u.CacheWrite != want.Usage.Input || u.Output != want.Usage.Output || u.Sum() != want.Usage.Total ||
			u.CacheRead != want.Usage.Cached || u.CacheWrite != want.Usage.CacheWrite {
			t.Errorf("usage %+v, want %+v", u, want.Usage)
		}
	}
}

// TestRequest_recorded sends recorded requests through the vocabulary and back: what Bedrock gets means the same.
func TestRequest_recorded(t *testing.T) {
	n := 0
	for name, x := range recordings(t) {
		if x.Request.Body == "" {
			continue
		}
		n++
		t.Run(name, func(t *testing.T) {
			req, err := Converse.DecodeRequest([]byte(x.Request.Body))
			if err != nil {
				t.Fatal(err)
			}
			_, model, _ := strings.Cut(x.Request.URL, "/model/")
			model, _, _ = strings.Cut(model, "/converse")
			body, dropped, err := Converse.EncodeRequest(nil, req, &llm.Target{Model: model, Provider: "bedrock"})
			if err != nil || len(dropped) > 0 {
				t.Fatalf("dropped %v, error %v", dropped, err)
			}
			if diff := cmp.Diff(meaning(t, []byte(x.Request.Body)), meaning(t, body)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if n < 10 {
		t.Errorf("only %d requests", n)
	}
}

// meaning is a body without what says nothing: empty lists and objects, and the status that results have anyway.
func meaning(t *testing.T, body []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	top := v.(map[string]any)
	for k, m := range top {
		switch m := m.(type) {
		case []any:
			if len(m) == 0 {
				delete(top, k)
			}
		case map[string]any:
			if len(m) == 0 {
				delete(top, k)
			}
		}
	}
	return strip(top)
}

func strip(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if r, ok := v["toolResult"].(map[string]any); ok && r["status"] == "success" {
			delete(r, "status")
		}
		for _, m := range v {
			strip(m)
		}
	case []any:
		for _, m := range v {
			strip(m)
		}
	}
	return v
}
