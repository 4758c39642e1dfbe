package recordings

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// exchange is one recorded call: what a client sent (nil where only the reply is known) and what the provider answered.
type exchange struct {
	Name     string // file#place
	Provider string
	Dialect  llm.Dialect
	Op       op
	Stream   bool
	Status   int
	Model    string
	Batch    bool // Gemini's batchEmbedContents
	// Request is the recorded body. Where the recorded address held the model (Claude on Vertex and Bedrock), it has been put into the
	// body, as the Messages API has it.
	Request []byte
	Type    string // Content-Type of the reply
	Reply   []byte
	Want    *expected
	Own     *answer // where no expectation came with it: what this package's own reader makes of the reply
}

// op is what a recorded call asked for.
type op string

const (
	opChat     op = "chat"
	opComplete op = "completions"
	opEmbed    op = "embeddings"
)

// expected is the projection of a reply that came with the recordings, in the provider's own words and counts.
type expected struct {
	Kind      string `json:"kind"`
	Text      string `json:"text"`
	Reasoning string `json:"reasoning"`
	Calls     []call `json:"tool_calls"`
	Finish    any    `json:"finish"` // Vertex may number it
	Usage     *struct {
		Input      *int64 `json:"input"`
		Output     *int64 `json:"output"`
		Cached     int64  `json:"cached"`
		CacheWrite int64  `json:"cache_write"`
		Reasoning  int64  `json:"reasoning"`
		Total      int64  `json:"total"`
	} `json:"usage"`
	Blocks []string `json:"blocks"`
	Count  int      `json:"count"`
	Dims   any      `json:"dims"` // of all, or of each
	Error  any      `json:"error"`
}

type call struct {
	Name string `json:"name"`
	Args any    `json:"args"`
}

// recordedFile is the shape of every file but vercel-ai's, see testdata/README.md.
type recordedFile struct {
	Interactions []struct {
		Provider  string `json:"provider"`
		Endpoint  string `json:"endpoint"`
		Streaming bool   `json:"streaming"`
		Request   struct {
			URL  string `json:"url"`
			Body string `json:"body"`
		} `json:"request"`
		Response struct {
			Status     int               `json:"status"`
			Headers    map[string]string `json:"headers"`
			Body       string            `json:"body"`
			BodyBase64 []byte            `json:"body_base64"`
		} `json:"response"`
		Expected *expected `json:"expected"`
	} `json:"interactions"`
}

// corpus reads all of testdata once. Interactions in a format that is none of the five dialects are counted in others, not returned.
var corpus = sync.OnceValues(func() (all []*exchange, others int) {
	index, err := os.ReadFile("testdata/INDEX.tsv")
	if err != nil {
		panic(err)
	}
	var replies map[string]*expected
	if err := readJSON("testdata/vercel-ai/expected.json", &replies); err != nil {
		panic(err)
	}
	done := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(index)), "\n")[1:] {
		col := strings.Split(line, "\t")
		if done[col[1]] {
			continue
		}
		done[col[1]] = true
		var found []*exchange
		if col[0] == "vercel-ai" {
			found, err = readReply(col[1], col[3], col[4], replies[col[1]])
		} else {
			found, err = readRecorded(col[1])
		}
		if err != nil {
			panic(fmt.Errorf("%s: %w", col[1], err))
		}
		for _, x := range found {
			if x.Want != nil && x.Own == nil {
				x.Want.Calls = unlisted(x)
				if x.Dialect == llm.Converse && !x.Stream && bytes.Contains(x.Reply, []byte(`"citationsContent"`)) {
					whole, _ := read(x.Dialect, false, x.Reply)
					x.Want.Text = whole.Text // the expectations leave out text that cites
				}
			}
			if x.Dialect == "" {
				others++
			} else {
				all = append(all, x)
			}
		}
	}
	return all, others
})

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func readRecorded(path string) ([]*exchange, error) {
	var f recordedFile
	if err := readJSON(filepath.Join("testdata", path), &f); err != nil {
		return nil, err
	}
	var out []*exchange
	for n := range f.Interactions {
		in := &f.Interactions[n]
		x := &exchange{Name: fmt.Sprintf("%s#%d", path, n), Provider: in.Provider, Stream: in.Streaming, Status: in.Response.Status, Want: in.Expected}
		x.Dialect, x.Op = dialectOf(in.Provider, in.Endpoint, in.Expected)
		x.Request, x.Type = []byte(in.Request.Body), in.Response.Headers["content-type"]
		if x.Reply = in.Response.BodyBase64; x.Reply == nil {
			x.Reply = []byte(in.Response.Body)
		}
		if x.Dialect == "" || x.Op == opEmbed && in.Provider == "cohere" {
			out = append(out, &exchange{})
			continue
		}
		if err := x.place(in.Request.URL, in.Endpoint); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// dialectOf says which dialect an endpoint of a provider speaks; empty: none of the five.
func dialectOf(provider, endpoint string, want *expected) (llm.Dialect, op) {
	switch endpoint {
	case "chat.completions":
		return llm.OpenAI, opChat
	case "completions":
		return llm.OpenAI, opComplete
	case "embeddings":
		switch provider {
		case "gemini":
			return llm.Gemini, opEmbed
		case "cohere", "voyage", "ollama", "localhost":
			return "", ""
		}
		return llm.OpenAI, opEmbed
	case "responses":
		return llm.Responses, opChat
	case "messages":
		return llm.Anthropic, opChat
	case "invoke-model", "invoke-model-stream":
		// Only Claude's bodies are a dialect of ours; those of Titan, Llama, Nova and others are each their own.
		if want != nil && want.Blocks != nil {
			return llm.Anthropic, opChat
		}
	case "converse", "converse-stream":
		return llm.Converse, opChat
	case "generateContent", "streamGenerateContent":
		return llm.Gemini, opChat
	}
	return "", ""
}

// place takes from the address what the dialect has there, and brings Claude on other clouds to the form of the Messages API.
func (x *exchange) place(address, endpoint string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	path := u.EscapedPath()
	switch {
	case strings.Contains(path, "/models/"):
		_, rest, _ := strings.Cut(path, "/models/")
		rest, method, _ := strings.Cut(rest, ":")
		x.Model, x.Batch = rest, method == "batchEmbedContents"
	case strings.Contains(path, "/model/"):
		_, rest, _ := strings.Cut(path, "/model/")
		rest = rest[:strings.LastIndexByte(rest, '/')]
		x.Model = rest
	case strings.Contains(path, "/deployments/"):
		_, rest, _ := strings.Cut(path, "/deployments/")
		x.Model, _, _ = strings.Cut(rest, "/")
	}
	if x.Model, err = url.PathUnescape(x.Model); err != nil {
		return err
	}
	var body struct {
		Model string `json:"model"`
	}
	if err := json.Unmarshal(x.Request, &body); err != nil {
		return err
	}
	switch {
	case x.Dialect == llm.Anthropic && body.Model == "":
		quoted, err := jsontext.AppendQuote(nil, x.Model)
		if err != nil {
			return err
		}
		rest := bytes.TrimLeft(x.Request, "{ \n")
		extra := ""
		if x.Stream && !bytes.Contains(x.Request, []byte(`"stream"`)) {
			extra = `"stream":true,`
		}
		x.Request = fmt.Appendf(nil, `{"model":%s,%s%s`, quoted, extra, rest)
	case body.Model != "" && x.Dialect != llm.Gemini && x.Dialect != llm.Converse:
		x.Model = body.Model
	case x.Dialect == llm.OpenAI && x.Model != "":
		// Azure's older addresses hold the model; the plain ones want it in the body.
		x.Request = fmt.Appendf(nil, `{"model":%q,%s`, x.Model, bytes.TrimLeft(x.Request, "{ \n"))
	}
	if endpoint == "invoke-model-stream" && x.Status == 200 {
		x.Reply, err = unwrapInvoke(x.Reply)
		x.Type = "text/event-stream"
	}
	return err
}

// unwrapInvoke turns Bedrock's wrapped chunks into the server-sent events that they hold.
func unwrapInvoke(body []byte) ([]byte, error) {
	var out []byte
	dec, r := eventstream.NewDecoder(), bytes.NewReader(body)
	for r.Len() > 0 {
		m, err := dec.Decode(r, nil)
		if err != nil {
			return nil, err
		}
		var chunk struct {
			Bytes string `json:"bytes"`
		}
		if err := json.Unmarshal(m.Payload, &chunk); err != nil {
			return nil, err
		}
		data, err := base64.StdEncoding.DecodeString(chunk.Bytes)
		if err != nil {
			return nil, err
		}
		out = appendSSE(out, typeOf(data), data)
	}
	return out, nil
}

// readReply reads one of vercel-ai's replies without a request.
func readReply(path, provider, endpoint string, want *expected) ([]*exchange, error) {
	x := &exchange{Name: path + "#0", Provider: provider, Status: 200, Model: "recorded-model", Want: want, Type: "application/json"}
	switch x.Dialect, x.Op = dialectOf(provider, endpoint, want); {
	case path == "vercel-ai/azure/azure-deepseek-reasoning.1.json":
		x.Dialect = llm.OpenAI // filed under Responses, but a chat completion
	case path == "vercel-ai/openai/responses/parallel-tool-call-wrapper.1.chunks.txt", x.Dialect == "":
		// The former's first and last events lack their last brace: nobody can read them.
		return []*exchange{{}}, nil
	}
	body, err := os.ReadFile(filepath.Join("testdata", path))
	if err != nil {
		return nil, err
	}
	if x.Reply = body; !strings.HasSuffix(path, ".chunks.txt") {
		x.Status = statusIn(body)
		return []*exchange{x}, nil
	}
	x.Stream = true
	var out []*exchange
	for n, part := range conversations(x.Dialect, body) {
		y := *x
		if y.Reply, y.Type, err = frame(x.Dialect, part); err != nil {
			return nil, err
		}
		y.Name = fmt.Sprintf("%s#%d", path, n)
		out = append(out, &y)
	}
	if len(out) > 1 { // the expectation is that of all of them mixed
		for _, y := range out {
			y.Own, _ = read(y.Dialect, true, y.Reply)
			y.Want = &expected{Calls: y.Own.Calls}
		}
	}
	return out, nil
}

// conversations cuts a file that holds the streams of several calls end to end into one piece a call.
func conversations(d llm.Dialect, lines []byte) (out [][]byte) {
	last := map[llm.Dialect]string{llm.Anthropic: "message_stop", llm.Responses: "response.completed"}[d]
	start, pos := 0, 0
	for line := range bytes.Lines(lines) {
		pos += len(line)
		if last != "" && typeOf(bytes.TrimSpace(line)) == last {
			out = append(out, lines[start:pos])
			start = pos
		}
	}
	if len(bytes.TrimSpace(lines[start:])) > 0 || out == nil {
		out = append(out, lines[start:])
	}
	return out
}

// statusIn is the status of a reply that was kept without it: an error's own, or one that such an error comes with.
func statusIn(body []byte) int {
	var v struct {
		Error *struct {
			Code any    `json:"code"`
			Type string `json:"type"`
		} `json:"error"`
		Output any `json:"output"`
	}
	if json.Unmarshal(body, &v) != nil || v.Error == nil || v.Output != nil {
		return 200
	}
	switch code := v.Error.Code.(type) {
	case float64:
		return int(code)
	case string:
		if code == "insufficient_quota" {
			return 429
		}
	}
	return 400
}

// frame puts events, one a line, into the framing of their dialect.
func frame(d llm.Dialect, lines []byte) (body []byte, contentType string, err error) {
	var out bytes.Buffer
	scan := bufio.NewScanner(bytes.NewReader(lines))
	scan.Buffer(nil, 1<<24)
	for scan.Scan() {
		line := bytes.TrimSpace(scan.Bytes())
		if len(line) == 0 {
			continue
		}
		switch d {
		case llm.Converse:
			var event map[string]jsontext.Value
			if err := json.Unmarshal(line, &event); err != nil {
				return nil, "", err
			}
			for name, payload := range event {
				m := eventstream.Message{Payload: payload}
				m.Headers.Set(":event-type", eventstream.StringValue(name))
				m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
				m.Headers.Set(":message-type", eventstream.StringValue("event"))
				if err := eventstream.NewEncoder().Encode(&out, m); err != nil {
					return nil, "", err
				}
			}
		case llm.Anthropic, llm.Responses:
			out.Write(appendSSE(nil, typeOf(line), line))
		default:
			out.Write(appendSSE(nil, "", line))
		}
	}
	if d == llm.OpenAI {
		out.WriteString("data: [DONE]\n\n")
	}
	if d == llm.Converse {
		return out.Bytes(), "application/vnd.amazon.eventstream", scan.Err()
	}
	return out.Bytes(), "text/event-stream", scan.Err()
}

func appendSSE(dst []byte, name string, data []byte) []byte {
	if name != "" {
		dst = append(append(append(dst, "event: "...), name...), '\n')
	}
	return append(append(append(dst, "data: "...), data...), "\n\n"...)
}

// typeOf is the event's own "type".
func typeOf(data []byte) string {
	var v struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(data, &v) // an event without one has no name
	return v.Type
}

func TestCorpus(t *testing.T) {
	all, others := corpus()
	if len(all) < 1100 || len(all)+others < 1241 {
		t.Errorf("%d exchanges and %d in other formats: some are missing", len(all), others)
	}
}
