package gemini

import (
	"bytes"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

// tap watches a spliced answer. Every chunk has usageMetadata and the last one counts, so that only the end of the newest chunk is kept
// and it is read when asked for; a chunk is decoded whole only where it promises a finish reason, a function call or an error.
type tap struct {
	seen  llm.Seen
	tail  []byte // from usageMetadata to the end of the newest chunk that has counts
	named bool
	calls bool
}

// NewTap starts watching a spliced answer.
func (dialect) NewTap() llm.Tap { return &tap{} }

var (
	usageKey    = []byte(`"usageMetadata"`)
	countSuffix = []byte(`TokenCount"`)
	finishKey   = []byte(`"finishReason"`)
	feedbackKey = []byte(`"promptFeedback"`)
	errorKey    = []byte(`"error"`)
	callKey     = []byte(`"functionCall"`)
	callSnake   = []byte(`"function_call"`)
	partsKey    = []byte(`"parts"`)
	textKey     = []byte(`"text"`)
)

func (t *tap) Frame(f llm.Frame) (mark llm.Mark) {
	data := object(f.Data)
	if len(data) == 0 || string(data) == "DONE" {
		return 0
	}
	if data[0] != '{' || data[len(data)-1] != '}' {
		return llm.MarkBad
	}
	if i := bytes.LastIndex(data, usageKey); i >= 0 && bytes.Contains(data[i:], countSuffix) {
		t.tail = append(t.tail[:0], data[i:]...)
	}
	closer := bytes.Contains(data, finishKey) || bytes.Contains(data, feedbackKey) || bytes.Contains(data, callKey) ||
		bytes.Contains(data, callSnake) || bytes.HasPrefix(bytes.TrimLeft(data[1:], " \r\n\t"), errorKey)
	if bytes.Contains(data, partsKey) {
		mark |= llm.MarkContent
	}
	if !t.named || closer {
		return mark | t.look(data, closer)
	}
	t.seen.Chars += textLength(data)
	return mark
}

// look decodes a chunk; content says that more than the names at its top are wanted.
func (t *tap) look(data []byte, content bool) (mark llm.Mark) {
	if !content {
		var head struct {
			ModelVersion string `json:"modelVersion"`
			ResponseID   string `json:"responseId"`
		}
		if json.Unmarshal(data, &head, upstreamOptions) != nil {
			return llm.MarkBad
		}
		t.name(head.ModelVersion, head.ResponseID)
		t.seen.Chars += textLength(data)
		return 0
	}
	var b responseBody
	if json.Unmarshal(data, &b, upstreamOptions) != nil {
		return llm.MarkBad
	}
	if len(b.Error) > 0 {
		t.seen.Err = errorIn(data)
		return llm.MarkError
	}
	t.name(b.ModelVersion, b.ResponseID)
	for i := range b.Candidates {
		c := &b.Candidates[i]
		t.content(c.Content)
		if c.FinishReason != "" {
			t.seen.Finish = stopOf(c, t.calls).Reason
			mark |= llm.MarkEnd
		}
	}
	if stop, ok := blocked(b.PromptFeedback); ok {
		t.seen.Finish = stop.Reason
		mark |= llm.MarkEnd
	}
	return mark
}

func (t *tap) name(model, id string) {
	if model != "" {
		t.seen.Model, t.named = model, true
	}
	if id != "" {
		t.seen.ID = id
	}
}

func (t *tap) content(c *content) {
	if c == nil {
		return
	}
	for i := range c.Parts {
		p := &c.Parts[i]
		if p.Text != nil {
			t.seen.Chars += int64(len(*p.Text))
		}
		if p.FunctionCall != nil && p.FunctionCall.Name != "" {
			t.seen.ToolCalls++
			t.seen.Chars += int64(len(p.FunctionCall.Args))
			t.calls = true
		}
	}
}

// textLength adds up the text members of a chunk, escapes and all: it feeds an estimate.
func textLength(data []byte) (n int64) {
	for {
		i := bytes.Index(data, textKey)
		if i < 0 {
			return n
		}
		data = data[i+len(textKey):]
		start := bytes.IndexByte(data, '"')
		if start < 0 {
			return n
		}
		data = data[start+1:]
		end := 0
		for end < len(data) && data[end] != '"' {
			if data[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(data) {
			return n
		}
		n += int64(end)
		data = data[end+1:]
	}
}

func (t *tap) Body(body []byte) *llm.Error {
	var b responseBody
	if err := json.Unmarshal(body, &b, upstreamOptions); err != nil {
		return &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's answer is not a generateContent response", Cause: err}
	}
	if len(b.Error) > 0 {
		t.seen.Err = errorIn(body)
		return t.seen.Err
	}
	if len(b.Candidates) == 0 && len(b.PromptFeedback) == 0 && b.UsageMetadata == nil {
		return llm.Errorf(llm.ErrUpstream, "the upstream's answer is not a generateContent response: it has no candidates")
	}
	t.name(b.ModelVersion, b.ResponseID)
	for i := range b.Candidates {
		t.content(b.Candidates[i].Content)
		if b.Candidates[i].FinishReason != "" {
			t.seen.Finish = stopOf(&b.Candidates[i], t.calls).Reason
		}
	}
	if stop, ok := blocked(b.PromptFeedback); ok && len(b.Candidates) == 0 {
		t.seen.Finish = stop.Reason
	}
	t.seen.Usage = b.UsageMetadata.usage()
	return nil
}

func (t *tap) Seen() *llm.Seen {
	if len(t.tail) > 0 {
		var b responseBody
		if json.Unmarshal(append([]byte{'{'}, t.tail...), &b, upstreamOptions) == nil && b.UsageMetadata.counted() {
			t.seen.Usage = b.UsageMetadata.usage()
			t.name(b.ModelVersion, b.ResponseID)
		}
		t.tail = t.tail[:0]
	}
	return &t.seen
}
