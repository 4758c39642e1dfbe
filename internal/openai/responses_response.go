package openai

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// respBody is a response object; what it has no field for is kept in Extra.
type respBody struct {
	Object      string                    `json:"object"`
	ID          string                    `json:"id"`
	Model       string                    `json:"model"`
	Status      string                    `json:"status"`
	CreatedAt   jsontext.Value            `json:"created_at"`
	CompletedAt jsontext.Value            `json:"completed_at"`
	Output      []jsontext.Value          `json:"output"`
	Usage       *respUsage                `json:"usage"`
	ServiceTier string                    `json:"service_tier"`
	Error       jsontext.Value            `json:"error"`
	Incomplete  *respIncomplete           `json:"incomplete_details"`
	Extra       map[string]jsontext.Value `json:",embed"`
}

type respIncomplete struct {
	Reason string `json:"reason"`
}

type respUsage struct {
	Input        int64                     `json:"input_tokens"`
	InputDetail  *respUsageDetail          `json:"input_tokens_details"`
	Output       int64                     `json:"output_tokens"`
	OutputDetail *respUsageDetail          `json:"output_tokens_details"`
	Total        int64                     `json:"total_tokens"`
	Extra        map[string]jsontext.Value `json:",embed"`
}

type respUsageDetail struct {
	Cached     *int64 `json:"cached_tokens"`
	CacheWrite int64  `json:"cache_write_tokens"`
	Reasoning  *int64 `json:"reasoning_tokens"`
	Audio      int64  `json:"audio_tokens"`
	Image      int64  `json:"image_tokens"`
}

func (u *respUsage) usage() *llm.Usage {
	if u == nil {
		return nil
	}
	out := &llm.Usage{Input: u.Input, Output: u.Output, Total: u.Total, Extra: respNonNull(u.Extra)}
	if d := u.InputDetail; d != nil {
		out.CacheWrite, out.InputAudio, out.InputImage = d.CacheWrite, d.Audio, d.Image
		if d.Cached != nil {
			out.CacheRead, out.CacheKnown = *d.Cached, true
		}
	}
	if d := u.OutputDetail; d != nil {
		out.OutputAudio, out.OutputImage = d.Audio, d.Image
		if d.Reasoning != nil {
			out.Reasoning, out.ReasoningKnown = *d.Reasoning, true
		}
	}
	return out
}

// respClean makes sure that bytes from upstream can be passed on as JSON text.
func respClean(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	return bytes.ToValidUTF8(b, []byte("\uFFFD"))
}

func respBroken(e *llm.Error) *llm.Error {
	return &llm.Error{Kind: llm.ErrUpstream, Upstream: true, Message: "the provider's answer is not one of the Responses API", Cause: e}
}

// respReadBody reads a response object and tells an error in it from an answer.
func respReadBody(raw []byte) (*respBody, *llm.Error) {
	var b respBody
	if !respIsObject(raw) {
		return nil, respBroken(llm.Invalid("", "not an object"))
	}
	if err := respUnmarshal(raw, &b, ""); err != nil {
		return nil, respBroken(err)
	}
	if llm.IsSet(b.Error) || b.Status == "failed" {
		return nil, respInband(b.Error)
	}
	if b.Object != "response" && b.Output == nil {
		return nil, respBroken(llm.Invalid("object", "it is %q", b.Object))
	}
	return &b, nil
}

// respInband is the error for what stands in a response's error member.
func respInband(v jsontext.Value) *llm.Error {
	if !llm.IsSet(v) {
		return &llm.Error{Kind: llm.ErrInternal, Upstream: true, Message: "the provider reports that the response failed, without saying why"}
	}
	e := inbandError(append(append([]byte(`{"error":`), v...), '}'))
	switch e.Code {
	case "invalid_prompt":
		e.Kind, e.Status = llm.ErrInvalid, 400
	}
	return e
}

func (b *respBody) created() int64 {
	f, err := strconv.ParseFloat(string(b.CreatedAt), 64)
	if err != nil || f < 0 || f > 1e15 {
		return 0
	}
	return int64(f)
}

// head is the response without its output.
func (b *respBody) head() *llm.Response {
	delete(b.Extra, "output_text")
	return &llm.Response{From: llm.Responses, ID: b.ID, Model: b.Model, Created: b.created(), ServiceTier: b.ServiceTier, Extra: respNonNull(b.Extra)}
}

func (b *respBody) reason() string {
	if b.Incomplete == nil {
		return ""
	}
	return b.Incomplete.Reason
}

// respStop is why an answer of a given status ended; calls and refused tell of what it held.
func respStop(status, reason string, calls, refused bool) llm.Stop {
	s := llm.Stop{Reason: llm.FinishStop, Raw: status}
	switch {
	case status == "incomplete":
		s.Reason = llm.FinishIncomplete
		if reason != "" {
			s.Raw = reason
		}
		switch reason {
		case "max_output_tokens", "max_tokens":
			s.Reason = llm.FinishLength
		case "content_filter":
			s.Reason = llm.FinishFilter
		}
	case status != "completed" && status != "":
		s.Reason = llm.FinishIncomplete
	case calls:
		s.Reason = llm.FinishToolCalls
	case refused:
		s.Reason = llm.FinishRefusal
	}
	return s
}

// respAnswerItem reads an item of an answer. Its status follows from how the answer ended.
func respAnswerItem(raw jsontext.Value, path string) (respItem, *llm.Error) {
	it, err := respDecodeItem(raw, path, true)
	for i := range it.parts {
		if p := &it.parts[i]; p.Extra["status"] != nil && p.Kind != llm.KindNative {
			delete(p.Extra, "status")
			p.Extra = respNonNull(p.Extra)
		}
	}
	return it, err
}

// DecodeResponse reads a whole response object.
func (responses) DecodeResponse(body []byte) (*llm.Response, error) {
	b, err := respReadBody(respClean(body))
	if err != nil {
		return nil, err
	}
	var c respConversation
	choice := llm.Choice{}
	calls, refused := false, false
	for i, raw := range b.Output {
		it, err := respAnswerItem(raw, "output["+respItoa(i)+"]")
		if err != nil {
			return nil, respBroken(err)
		}
		it.role = llm.RoleAssistant
		if it.kind == "message" {
			it.kind = "output" // one choice holds every message
		}
		c.add(&it)
		choice.Logprobs = append(choice.Logprobs, it.logprobs...)
		for k := range it.parts {
			calls = calls || it.parts[k].Kind == llm.KindToolCall
			refused = refused || it.parts[k].Kind == llm.KindRefusal
		}
	}
	if len(c.messages) > 0 {
		choice.Parts = c.messages[0].Parts
	}
	choice.Stop = respStop(b.Status, b.reason(), calls, refused)
	resp := b.head()
	resp.Usage = b.Usage.usage()
	resp.Choices = []llm.Choice{choice}
	return resp, nil
}

// respFailure is the error that a failed response names.
func respFailure(status string) *llm.Error {
	if status != "failed" {
		return nil
	}
	return llm.Errorf(llm.ErrInternal, "the model's answer could not be completed")
}

// EncodeResponse appends a response object: what the stream of the same answer ends with.
func (responses) EncodeResponse(dst []byte, resp *llm.Response, x *llm.Exchange) []byte {
	e := &respWriter{x: x, quiet: true}
	events := resp.Events()
	for i := range events {
		e.Encode(nil, &events[i])
	}
	status, reason := e.status()
	return e.response(dst, status, reason, respFailure(status))
}
