package gateway

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
	"github.com/weir-gateway/weir/test/gwtest"
)

// TestOwnSettings holds that what a request says to the gateway alone reaches the record, and not the upstream.
func TestOwnSettings(t *testing.T) {
	u := gwtest.NewUpstream(t, gwtest.JSON(200, `{"id":"x","object":"chat.completion","model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}]}`))
	g := gwtest.Start(t, "model_list:\n- {model_name: m, litellm_params: {model: openai/up, api_base: '"+u.URL+"', api_key: k}}\n")
	var wanted []usage.Record
	messages := `"messages":[{"role":"user","content":"hi"}]`
	f := func(body string, want usage.Record, headers ...string) {
		t.Helper()
		id := "call-" + want.Session + want.EndUser
		if a := g.Post(t, "/v1/chat/completions", `{"model":"m",`+body+messages+`}`, append(headers, "x-litellm-call-id", id)...); a.Status != 200 {
			t.Fatalf("%s: status %d: %s", body, a.Status, a.Body)
		}
		sent := u.Last(t)
		for _, own := range []string{"tags", "litellm_metadata", "litellm_session_id", "timeout"} {
			if bytes.Contains(sent.Body, []byte(`"`+own+`"`)) {
				t.Errorf("%s reached the upstream: %s", own, sent.Body)
			}
		}
		want.RequestID = id
		wanted = append(wanted, want)
	}
	f(`"user":"ann","tags":["a","b","a"],"litellm_session_id":"s1",`, usage.Record{EndUser: "ann", Session: "s1", Tags: []string{"a", "b"}})
	f(`"litellm_metadata":{"tags":["c"],"session_id":"s2"},"timeout":20,`, usage.Record{Session: "s2", Tags: []string{"c"}})
	f(`"metadata":{"tags":["d"],"trace_id":"s3"},`, usage.Record{Session: "s3", Tags: []string{"d"}})
	f("", usage.Record{EndUser: "cy", Session: "s4", Tags: []string{"e", "f"}}, "x-litellm-end-user-id", "cy", "x-litellm-session-id", "s4", "x-litellm-tags", "e, f")
	f(`"user":"body",`, usage.Record{EndUser: "body", Session: "s5"}, "x-litellm-customer-id", "header", "x-litellm-trace-id", "s5")
	f(`"user":7,"tags":"no list","litellm_session_id":{},`, usage.Record{})
	g.Stop(t)
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(g.DataDir, "weir.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	records, _, err := s.Records(t.Context(), store.RecordFilter{}, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]usage.Record{}
	for _, r := range records {
		got[r.RequestID] = usage.Record{RequestID: r.RequestID, EndUser: r.EndUser, Session: r.Session, Tags: r.Tags}
	}
	for _, want := range wanted {
		if d := cmp.Diff(want, got[want.RequestID]); d != "" {
			t.Errorf("record (-want +got):\n%s", d)
		}
	}
}

// TestClientTimeout holds that a client may shorten a call, by body or header, and never lengthen it.
func TestClientTimeout(t *testing.T) {
	u := gwtest.NewUpstream(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	g := gwtest.Start(t, "model_list:\n- {model_name: m, litellm_params: {model: openai/up, api_base: '"+u.URL+"', api_key: k}}\n"+
		"- {model_name: brief, litellm_params: {model: openai/up, api_base: '"+u.URL+"', api_key: k, timeout: 0.05}}\n")
	f := func(body string, headers ...string) {
		t.Helper()
		if a := g.Post(t, "/v1/chat/completions", body, headers...); a.Status != http.StatusRequestTimeout {
			t.Errorf("status %d: %s", a.Status, a.Body)
		}
	}
	f(`{"model":"m","messages":[],"timeout":0.05}`)
	f(`{"model":"m","messages":[]}`, "x-litellm-timeout", "0.05")
	f(`{"model":"m","messages":[],"stream":true}`, "x-litellm-stream-timeout", "0.05")
	f(`{"model":"brief","messages":[],"timeout":60}`)
}

// TestForm holds that a form with files reaches the upstream part by part as it was, with the model's name replaced.
func TestForm(t *testing.T) {
	u := gwtest.NewUpstream(t, gwtest.JSON(200, `{"text":"hello"}`))
	g := gwtest.Start(t, "model_list:\n- {model_name: stt, litellm_params: {model: openai/whisper-1, api_base: '"+u.URL+"', api_key: k}}\n")
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, field := range [][2]string{{"model", "stt"}, {"language", "fr"}, {"timeout", "5"}} {
		if err := w.WriteField(field[0], field[1]); err != nil {
			t.Fatal(err)
		}
	}
	file, err := w.CreateFormFile("file", "a.wav")
	if err != nil {
		t.Fatal(err)
	}
	sound := strings.Repeat("\x00\xffRIFF\r\n--", 1000)
	if _, err := io.WriteString(file, sound); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	whole := body.String()
	a := g.Post(t, "/v1/audio/transcriptions", whole, "Content-Type", w.FormDataContentType())
	if a.Status != 200 || string(a.Body) != `{"text":"hello"}` {
		t.Fatalf("status %d: %s", a.Status, a.Body)
	}
	sent := u.Last(t)
	req := &http.Request{Method: http.MethodPost, Header: sent.Header, Body: io.NopCloser(bytes.NewReader(sent.Body))}
	if err := req.ParseMultipartForm(1 << 20); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string][]string{"model": {"whisper-1"}, "language": {"fr"}}, map[string][]string(req.MultipartForm.Value)); d != "" {
		t.Errorf("fields (-want +got):\n%s", d)
	}
	part, head, err := req.FormFile("file")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(part); err != nil || string(got) != sound || head.Filename != "a.wav" {
		t.Errorf("the file changed on its way: %d bytes of %q, %v", len(got), head.Filename, err)
	}
	for _, broken := range []string{"", "--", whole[:len(whole)/2], strings.ReplaceAll(whole, `name="model"`, `name="other"`), strings.ReplaceAll(whole, `name="file"`, `name="other"`)} {
		if a := g.Post(t, "/v1/audio/transcriptions", broken, "Content-Type", w.FormDataContentType()); a.Status != http.StatusBadRequest {
			t.Errorf("status %d for a broken form: %s", a.Status, a.Body)
		}
	}
}

// TestMockResponse holds that a deployment with a mock_response says it in every dialect, without any upstream.
func TestMockResponse(t *testing.T) {
	g := gwtest.Start(t, "model_list:\n- {model_name: m, litellm_params: {model: openai/gpt-4o, mock_response: 'Out & about?'}}\n")
	for _, dialect := range dialects {
		for _, stream := range []bool{false, true} {
			path, body := ask(dialect, "m", stream)
			a := g.Post(t, path, body)
			if a.Status != 200 || !bytes.Contains(a.Body, []byte("about?")) {
				t.Errorf("%s, stream %v: status %d: %s", dialect, stream, a.Status, a.Body)
			}
			if bytes.Contains(a.Body, []byte("mock_response")) {
				t.Errorf("%s, stream %v: shows how it is done: %s", dialect, stream, a.Body)
			}
		}
	}
}

// TestLongEndUser holds that what a client says of its end user is cut to what a record holds, in a header as in the body.
func TestLongEndUser(t *testing.T) {
	up := helloUpstream(t)
	g := gwtest.Start(t, strings.Replace(pricedModel, "URL", up.URL, 1))
	g.Post(t, "/v1/chat/completions", helloBody, "x-litellm-end-user-id", strings.Repeat("x", 5000))
	if r := theRecord(t, g); len(r.EndUser) != 256 {
		t.Errorf("an end user of %d bytes was recorded", len(r.EndUser))
	}
}
