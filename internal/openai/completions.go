package openai

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// Completions is the legacy text completions dialect, both halves. A prompt is a user message, a list of prompts several of them. Prompts
// of token ids and the parameters that chat never had (suffix, echo, best_of) travel in Extra and reach only an upstream of this kind.
var Completions completions

type completions struct{}

var (
	_ llm.Spoken = Completions
	_ llm.Served = Completions
)

type completionRequest struct {
	chatSampling
	Prompt    jsontext.Value            `json:"prompt"`
	MaxTokens *number                   `json:"max_tokens"`
	Logprobs  *number                   `json:"logprobs"`
	Extra     map[string]jsontext.Value `json:",embed"`
}

// chatSampling are the parameters that both APIs have.
type chatSampling struct {
	Model            string                    `json:"model"`
	Stream           *bool                     `json:"stream"`
	StreamOptions    map[string]jsontext.Value `json:"stream_options"`
	Temperature      *float64                  `json:"temperature"`
	TopP             *float64                  `json:"top_p"`
	TopK             *number                   `json:"top_k"`
	MinP             *float64                  `json:"min_p"`
	PresencePenalty  *float64                  `json:"presence_penalty"`
	FrequencyPenalty *float64                  `json:"frequency_penalty"`
	Seed             *number                   `json:"seed"`
	N                *number                   `json:"n"`
	Stop             list                      `json:"stop"`
	LogitBias        map[string]float64        `json:"logit_bias"`
	User             string                    `json:"user"`
}

func (in *chatSampling) request(extra map[string]jsontext.Value) *llm.Request {
	req := &llm.Request{
		From: llm.OpenAI, Model: in.Model, Temperature: in.Temperature, TopP: in.TopP, TopK: in.TopK.ptr(), MinP: in.MinP,
		PresencePenalty: in.PresencePenalty, FrequencyPenalty: in.FrequencyPenalty, Seed: in.Seed.ptr(), N: in.N.ptr(), Stop: in.Stop,
		LogitBias: in.LogitBias, User: in.User, Extra: plainExtra(extra),
	}
	if in.Stream != nil {
		req.Stream = *in.Stream
	}
	return req
}

// DecodeRequest implements llm.Served.
func (completions) DecodeRequest(body []byte) (*llm.Request, error) {
	var in completionRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, badRequest(err)
	}
	req := in.request(in.Extra)
	req.MaxTokens = in.MaxTokens.ptr()
	if in.Logprobs != nil {
		req.Logprobs, req.TopLogprobs = llm.Ptr(true), in.Logprobs.ptr()
	}
	if err := decodeStreamOptions(req, in.StreamOptions); err != nil {
		return nil, err
	}
	if err := decodePrompt(req, in.Prompt); err != nil {
		return nil, err
	}
	return req, nil
}

func decodePrompt(req *llm.Request, v jsontext.Value) *llm.Error {
	if !llm.IsSet(v) {
		return llm.Invalid("prompt", "/completions: Missing required parameter: 'prompt'.")
	}
	var texts list
	if err := json.Unmarshal(v, &texts); err == nil {
		for _, t := range texts {
			m := llm.Message{Role: llm.RoleUser}
			if t != "" {
				m.Parts = []llm.Part{{Kind: llm.KindText, Text: t}}
			}
			req.Messages = append(req.Messages, m)
		}
		return nil
	}
	var tokens []int64
	var lists [][]int64
	if json.Unmarshal(v, &tokens) != nil && json.Unmarshal(v, &lists) != nil {
		return llm.Invalid("prompt", "Invalid type for 'prompt': it must be a string, a list of strings, a list of token ids or a list of such lists.")
	}
	req.Extra = llm.WithExtra(req.Extra, "prompt", v)
	return nil
}

// EncodeRequest implements llm.Spoken. A conversation becomes a transcript that ends where the assistant should speak.
func (completions) EncodeRequest(dst []byte, req *llm.Request, t *llm.Target) ([]byte, []string, error) {
	w := requestWriter{writer: writer{dst}, req: req, p: provinceOf(t), same: req.From == llm.OpenAI}
	w.begin('{')
	w.str("model", t.Model)
	w.key("prompt")
	if err := w.prompt(); err != nil {
		return dst, nil, err
	}
	w.sampling()
	if n := req.TopLogprobs; n != nil && req.Logprobs != nil && *req.Logprobs {
		w.int("logprobs", *n)
	}
	w.text("user", req.User)
	for _, lost := range []struct {
		name  string
		given bool
	}{
		{"tools", len(req.Tools) > 0}, {"tool_choice", req.ToolChoice != nil && len(req.Tools) > 0}, {"response_format", req.Format != nil},
		{"reasoning_effort", req.Reasoning != nil}, {"modalities", len(req.Modalities) > 0}, {"audio", req.Audio != nil},
	} {
		if lost.given {
			w.drop(lost.name)
		}
	}
	if req.Stream {
		w.raw(`,"stream":true`)
		w.streamOptions()
	}
	if w.same {
		w.extra(req.Extra, "prompt", "stream_options", w.seedName())
	} else {
		for _, k := range sortedKeys(req.Extra) {
			w.drop(k)
		}
	}
	w.raw("}")
	return w.b, w.dropped, nil
}

// prompt appends the prompt: token ids as they came, user texts as one or several prompts, anything else as a transcript.
func (w *requestWriter) prompt() error {
	if p := w.req.Extra["prompt"]; w.same && p != nil && len(w.req.Messages) == 0 {
		w.rawValue(p)
		return nil
	}
	if len(w.req.Messages) == 0 {
		return llm.Invalid("messages", "Invalid 'messages': empty list. Send at least one message.")
	}
	for i := range w.req.Messages {
		for j := range w.req.Messages[i].Parts {
			if p := &w.req.Messages[i].Parts[j]; p.Kind != llm.KindText {
				w.drop("messages." + string(p.Kind))
			}
		}
	}
	prompts := make([]string, 0, len(w.req.Messages))
	plain := true
	for i := range w.req.Messages {
		m := &w.req.Messages[i]
		plain = plain && m.Role == llm.RoleUser
		prompts = append(prompts, llm.TextOf(m.Parts))
	}
	switch {
	case !plain:
		w.quote(transcript(w.req.Messages))
	case len(prompts) == 1:
		w.quote(prompts[0])
	default:
		w.begin('[')
		for _, p := range prompts {
			w.comma()
			w.quote(p)
		}
		w.raw("]")
	}
	return nil
}

func transcript(messages []llm.Message) string {
	var b strings.Builder
	for i := range messages {
		m := &messages[i]
		text := llm.TextOf(m.Parts)
		for j := range m.Parts {
			if r := m.Parts[j].Result; r != nil {
				text += llm.TextOf(r.Parts)
			}
		}
		switch m.Role {
		case llm.RoleSystem, llm.RoleDeveloper:
			b.WriteString(text + "\n\n")
		case llm.RoleAssistant:
			b.WriteString("Assistant: " + text + "\n\n")
		case llm.RoleTool:
			b.WriteString("Tool: " + text + "\n\n")
		default:
			b.WriteString("User: " + text + "\n\n")
		}
	}
	b.WriteString("Assistant:")
	return b.String()
}

// DecodeResponse implements llm.Spoken.
func (completions) DecodeResponse(body []byte) (*llm.Response, error) {
	resp, err := Chat.DecodeResponse(body)
	if err != nil {
		return nil, err
	}
	var in struct {
		Choices []struct {
			Logprobs jsontext.Value `json:"logprobs"`
		} `json:"choices"`
	}
	if wire.Unmarshal(body, &in) == nil {
		for i := range min(len(in.Choices), len(resp.Choices)) {
			if resp.Choices[i].Logprobs == nil {
				resp.Choices[i].Logprobs = decodeTextLogprobs(in.Choices[i].Logprobs)
			}
		}
	}
	return resp, nil
}

// textLogprobs is the legacy form: columns instead of rows.
type textLogprobs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []*float64           `json:"token_logprobs"`
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`
}

func decodeTextLogprobs(raw jsontext.Value) []llm.TokenLogprob {
	if !llm.IsSet(raw) {
		return nil
	}
	var in textLogprobs
	if wire.Unmarshal(raw, &in) != nil || len(in.Tokens) == 0 {
		return nil
	}
	out := make([]llm.TokenLogprob, len(in.Tokens))
	for i, token := range in.Tokens {
		out[i].Token = token
		if i < len(in.TokenLogprobs) && in.TokenLogprobs[i] != nil {
			out[i].Logprob = *in.TokenLogprobs[i]
		}
		if i < len(in.TopLogprobs) {
			for _, k := range sortedKeys(in.TopLogprobs[i]) {
				out[i].Top = append(out[i].Top, llm.TokenLogprob{Token: k, Logprob: in.TopLogprobs[i][k]})
			}
		}
	}
	return out
}

// textLogprobs appends the legacy form. Offsets count from the start of the completion.
func (w *writer) textLogprobs(l []llm.TokenLogprob) {
	if len(l) == 0 {
		w.raw("null")
		return
	}
	w.raw(`{"text_offset":[`)
	offset := 0
	for i := range l {
		w.comma()
		w.b = strconv.AppendInt(w.b, int64(offset), 10)
		offset += len(l[i].Token)
	}
	w.raw(`],"token_logprobs":[`)
	for i := range l {
		w.comma()
		w.float(l[i].Logprob)
	}
	w.raw(`],"tokens":[`)
	for i := range l {
		w.comma()
		w.quote(l[i].Token)
	}
	w.raw(`],"top_logprobs":[`)
	for i := range l {
		w.open('{')
		for j := range l[i].Top {
			if w.comma(); seenToken(l[i].Top[:j], l[i].Top[j].Token) {
				w.b = w.b[:len(w.b)-1]
				continue
			}
			w.quote(l[i].Top[j].Token)
			w.raw(":")
			w.float(l[i].Top[j].Logprob)
		}
		w.raw("}")
	}
	w.raw("]}")
}

// seenToken tells whether a token was written before: as a key it may stand only once.
func seenToken(l []llm.TokenLogprob, token string) bool {
	for i := range l {
		if l[i].Token == token {
			return true
		}
	}
	return false
}

// NewStreamDecoder implements llm.Spoken.
func (completions) NewStreamDecoder() llm.StreamDecoder { return &streamDecoder{} }

// NewTap implements llm.Spoken.
func (completions) NewTap() llm.Tap { return &tap{} }

// DecodeError implements llm.Spoken.
func (completions) DecodeError(status int, h http.Header, body []byte) *llm.Error {
	return decodeError(status, h, body)
}

// EncodeError implements llm.Served.
func (completions) EncodeError(dst []byte, _ http.Header, e *llm.Error) []byte {
	return appendError(dst, e)
}

// EncodeStreamError implements llm.Served.
func (completions) EncodeStreamError(dst []byte, e *llm.Error) []byte {
	return Chat.EncodeStreamError(dst, e)
}

// ContentType implements llm.Served.
func (completions) ContentType(stream bool) string { return contentType(stream) }

// EncodeResponse implements llm.Served. Only text has a place here; of a chat model's other parts nothing is shown.
func (completions) EncodeResponse(dst []byte, resp *llm.Response, x *llm.Exchange) []byte {
	w := writer{dst}
	w.begin('{')
	w.str("id", answerID(resp, x, "cmpl-"))
	w.raw(`,"object":"text_completion"`)
	w.int("created", createdAt(resp, x))
	w.str("model", shownModel(resp, x))
	w.text("system_fingerprint", resp.SystemFingerprint)
	w.raw(`,"choices":[`)
	for i := range resp.Choices {
		c := &resp.Choices[i]
		w.open('{')
		w.str("text", llm.TextOf(c.Parts))
		w.int("index", int64(c.Index))
		w.raw(`,"logprobs":`)
		w.textLogprobs(c.Logprobs)
		w.str("finish_reason", textFinish(&c.Stop))
		w.raw("}")
	}
	w.raw("]")
	if resp.Usage != nil {
		w.key("usage")
		w.usage(resp.Usage, resp.From == llm.OpenAI)
	}
	w.raw("}")
	return w.b
}

// textFinish is the finish reason, of which this dialect has three.
func textFinish(s *llm.Stop) string {
	if word := finishWord(s, false); word != "tool_calls" {
		return word
	}
	return "stop"
}

// NewStreamEncoder implements llm.Served.
func (completions) NewStreamEncoder(x *llm.Exchange) llm.StreamEncoder { return &textEncoder{x: x} }

// textEncoder writes legacy completion chunks.
type textEncoder struct {
	x      *llm.Exchange
	head   []byte
	texts  map[[2]int]bool // choice, index of the parts that are text
	usage  *llm.Usage
	same   bool
	closed bool
}

// Encode implements llm.StreamEncoder.
func (s *textEncoder) Encode(dst []byte, e *llm.Event) []byte {
	if s.closed {
		return dst
	}
	w := writer{dst}
	switch e.Kind {
	case llm.EventStart:
		s.start(e.Start)
		s.usage = e.Usage
	case llm.EventPartStart:
		if e.Part.Kind == llm.KindText {
			if s.texts == nil {
				s.texts = map[[2]int]bool{}
			}
			s.texts[[2]int{e.Choice, e.Index}] = true
			if e.Part.Text != "" {
				s.chunk(&w, e.Choice, e.Part.Text, nil, "")
			}
		}
	case llm.EventDelta:
		if (e.Text != "" || e.Logprobs != nil) && s.texts[[2]int{e.Choice, e.Index}] {
			s.chunk(&w, e.Choice, e.Text, e.Logprobs, "")
		}
	case llm.EventFinish:
		s.chunk(&w, e.Choice, "", nil, textFinish(&e.Stop))
	case llm.EventUsage:
		s.usage = e.Usage
	case llm.EventError:
		s.closed = true
		return Chat.EncodeStreamError(dst, e.Err)
	case llm.EventEnd:
		s.end(&w)
	}
	return w.b
}

func (s *textEncoder) start(r *llm.Response) {
	if s.head != nil {
		return
	}
	h := writer{}
	h.raw("data: {")
	h.str("id", answerID(r, s.x, "cmpl-"))
	h.raw(`,"object":"text_completion"`)
	h.int("created", createdAt(r, s.x))
	h.str("model", shownModel(r, s.x))
	if r != nil {
		h.text("system_fingerprint", r.SystemFingerprint)
		s.same = r.From == llm.OpenAI
	}
	s.head = h.b
}

func (s *textEncoder) chunk(w *writer, choice int, text string, logprobs []llm.TokenLogprob, finish string) {
	s.start(nil)
	w.b = append(w.b, s.head...)
	w.raw(`,"choices":[{"text":`)
	w.quote(text)
	w.int("index", int64(choice))
	w.raw(`,"logprobs":`)
	w.textLogprobs(logprobs)
	w.raw(`,"finish_reason":`)
	if finish == "" {
		w.raw("null")
	} else {
		w.quote(finish)
	}
	w.raw("}]}\n\n")
}

func (s *textEncoder) end(w *writer) {
	s.closed = true
	if s.x.StreamUsage && s.usage != nil {
		s.start(nil)
		w.b = append(w.b, s.head...)
		w.raw(`,"choices":[],"usage":`)
		w.usage(s.usage, s.same)
		w.raw("}\n\n")
	}
	w.raw("data: [DONE]\n\n")
}
