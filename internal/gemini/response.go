package gemini

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

type responseBody struct {
	Candidates     []candidate    `json:"candidates,omitzero"`
	PromptFeedback llm.Raw        `json:"promptFeedback,omitzero"`
	UsageMetadata  *usageMetadata `json:"usageMetadata,omitzero"`
	ModelVersion   string         `json:"modelVersion,omitzero"`
	CreateTime     string         `json:"createTime,omitzero"`
	ResponseID     string         `json:"responseId,omitzero"`
	Error          llm.Raw        `json:"error,omitzero"`
	Other          unknown        `json:",embed"`
}

type candidate struct {
	Content           *content        `json:"content,omitzero"`
	FinishReason      enum            `json:"finishReason,omitzero"`
	FinishMessage     string          `json:"finishMessage,omitzero"`
	Index             int             `json:"index"`
	SafetyRatings     llm.Raw         `json:"safetyRatings,omitzero"`
	CitationMetadata  llm.Raw         `json:"citationMetadata,omitzero"`
	GroundingMetadata llm.Raw         `json:"groundingMetadata,omitzero"`
	LogprobsResult    *logprobsResult `json:"logprobsResult,omitzero"`
	Other             unknown         `json:",embed"`
}

// DecodeResponse reads a generateContent answer.
func (dialect) DecodeResponse(body []byte) (*llm.Response, error) {
	var b responseBody
	if err := json.Unmarshal(body, &b, upstreamOptions); err != nil {
		return nil, &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's answer is not a generateContent response", Cause: err}
	}
	if len(b.Error) > 0 {
		return nil, errorIn(body)
	}
	if len(b.Candidates) == 0 && len(b.PromptFeedback) == 0 && b.UsageMetadata == nil {
		return nil, llm.Errorf(llm.ErrUpstream, "the upstream's answer is not a generateContent response: it has no candidates")
	}
	resp := b.head()
	resp.Usage = b.UsageMetadata.usage()
	for i := range b.Candidates {
		c, err := b.Candidates[i].choice(idPrefix(&b, i))
		if err != nil {
			return nil, err
		}
		resp.Choices = append(resp.Choices, c)
	}
	if stop, ok := blocked(b.PromptFeedback); ok && len(b.Candidates) == 0 {
		resp.Choices = []llm.Choice{{Stop: stop}}
	} else if len(b.PromptFeedback) > 0 {
		resp.Extra = llm.WithExtra(resp.Extra, "promptFeedback", b.PromptFeedback)
	}
	return resp, nil
}

// head is everything of an answer but its choices and usage.
func (b *responseBody) head() *llm.Response {
	resp := &llm.Response{From: llm.Gemini, ID: b.ResponseID, Model: b.ModelVersion, Extra: extra(b.Other)}
	if t, err := time.Parse(time.RFC3339Nano, b.CreateTime); err == nil {
		resp.Created = t.Unix()
	}
	if b.UsageMetadata != nil {
		resp.ServiceTier = strings.ToLower(b.UsageMetadata.ServiceTier)
	}
	return resp
}

// idPrefix makes the ids invented for a candidate's calls unique to the answer: from its id, else from chance.
func idPrefix(b *responseBody, index int) string {
	if b.ResponseID == "" {
		return rand.Text()[:12] + "_"
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", b.ResponseID, index)
	return fmt.Sprintf("%x_", h.Sum64())
}

func (c *candidate) choice(prefix string) (llm.Choice, error) {
	out := llm.Choice{Index: c.Index, Extra: extra(c.Other), Logprobs: c.LogprobsResult.tokens()}
	reader := &partReader{prefix: prefix}
	calls := false
	if c.Content != nil {
		for i := range c.Content.Parts {
			p, ok, err := readAnswerPart(reader, &c.Content.Parts[i])
			if err != nil {
				return out, err
			}
			if ok {
				calls = calls || p.Kind == llm.KindToolCall
				out.Parts = append(out.Parts, p)
			}
		}
	}
	cite(out.Parts, c)
	if len(c.GroundingMetadata) > 0 {
		out.Extra = llm.WithExtra(out.Extra, "groundingMetadata", c.GroundingMetadata)
	}
	if len(c.CitationMetadata) > 0 {
		out.Extra = llm.WithExtra(out.Extra, "citationMetadata", c.CitationMetadata)
	}
	out.Stop = stopOf(c, calls)
	return out, nil
}

// readAnswerPart is partReader.read for what a model sent: what is empty is left out, and an error is the upstream's.
func readAnswerPart(reader *partReader, p *part) (llm.Part, bool, error) {
	if dataFields(p) == 0 && len(p.Other) == 0 && p.ThoughtSignature == "" ||
		p.Text != nil && *p.Text == "" && p.ThoughtSignature == "" {
		return llm.Part{}, false, nil
	}
	out, err := reader.read(p, func() string { return "content.parts" })
	if err != nil {
		return out, false, &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's answer has a part that can't be read", Cause: err}
	}
	return out, true, nil
}

// EncodeResponse appends a generateContent answer.
func (d dialect) EncodeResponse(dst []byte, resp *llm.Response, x *llm.Exchange) []byte {
	native := resp.From == llm.Gemini
	b := newBody(resp, x)
	b.UsageMetadata = metadata(resp.Usage, tierWord(resp.ServiceTier), native)
	if native {
		b.Other = without(resp.Extra, "promptFeedback")
		b.PromptFeedback = resp.Extra["promptFeedback"]
	}
	for i := range resp.Choices {
		c := &resp.Choices[i]
		if f := feedbackOf(c.Stop, native); f != nil && len(c.Parts) == 0 {
			b.PromptFeedback = f
			continue
		}
		b.Candidates = append(b.Candidates, writeChoice(c, native))
	}
	out, err := appendJSON(dst, b)
	if err != nil {
		return d.EncodeError(dst, nil, &llm.Error{Kind: llm.ErrInternal, Message: "the answer can't be written", Cause: err})
	}
	return out
}

func without(m unknown, names ...string) unknown {
	out := unknown{}
next:
	for k, v := range m {
		for _, n := range names {
			if k == n {
				continue next
			}
		}
		out[k] = v
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// newBody is the head that every answer and every chunk has.
func newBody(resp *llm.Response, x *llm.Exchange) *responseBody {
	b := &responseBody{ModelVersion: resp.Model, ResponseID: resp.ID}
	if x != nil && x.Model != "" {
		b.ModelVersion = x.Model
	}
	if x != nil && b.ResponseID == "" {
		b.ResponseID = x.ID
	}
	if resp.Created > 0 {
		b.CreateTime = time.Unix(resp.Created, 0).UTC().Format(time.RFC3339)
	}
	return b
}

func writeChoice(c *llm.Choice, native bool) candidate {
	w := &partWriter{native: native, answer: true, gen: 30}
	out := candidate{Index: c.Index, Content: &content{Role: "model"}, FinishReason: enum(finishWord(c.Stop, native)),
		LogprobsResult: writeLogprobs(c.Logprobs)}
	for i := range c.Parts {
		parts, err := w.write(out.Content.Parts, &c.Parts[i], "content")
		if err != nil {
			continue // a part with nothing in it
		}
		out.Content.Parts = parts
	}
	if native {
		out.details(c.Stop)
		out.Other = without(c.Extra, "groundingMetadata", "citationMetadata")
		out.GroundingMetadata, out.CitationMetadata = c.Extra["groundingMetadata"], c.Extra["citationMetadata"]
	}
	if out.GroundingMetadata == nil && out.CitationMetadata == nil {
		out.GroundingMetadata = grounding(c.Parts)
	}
	return out
}

// details puts back what stopOf set aside.
func (c *candidate) details(s llm.Stop) {
	var d stopDetails
	if len(s.Details) > 0 && json.Unmarshal(s.Details, &d, upstreamOptions) == nil {
		c.FinishMessage, c.SafetyRatings = d.FinishMessage, d.SafetyRatings
	}
}

// ContentType of a whole answer or a stream.
func (dialect) ContentType(stream bool) string {
	if stream {
		return "text/event-stream"
	}
	return "application/json; charset=UTF-8"
}

// errorIn reads an error object inside a 2xx body; its own code counts, not the status it came with.
func errorIn(body []byte) *llm.Error {
	e := Generate.DecodeError(0, nil, bytes.TrimSpace(body))
	if e.Status == 0 || e.Status < 400 {
		e.Status = 0
	}
	return e
}
