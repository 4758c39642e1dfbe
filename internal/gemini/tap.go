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

// glimpse is what one pass over a chunk's quotes tells, without decoding it.
type glimpse struct {
	usageAt int // where usageMetadata begins, -1 nowhere
	counted bool
	content bool
	closer  bool  // a finish reason, a function call, a refused prompt or an error: worth decoding
	chars   int64 // of text, escapes and all: it feeds an estimate
}

func glance(data []byte) (g glimpse) {
	g.usageAt = -1
	first, text := true, false
	for i := 0; ; {
		j := bytes.IndexByte(data[i:], '"')
		if j < 0 {
			return g
		}
		start := i + j + 1
		end := stringEnd(data, start)
		if end < 0 {
			return g
		}
		i = end + 1
		for i < len(data) && (data[i] == ' ' || data[i] == '\n') {
			i++
		}
		if i == len(data) || data[i] != ':' { // a value
			if text {
				g.chars += int64(end - start)
			}
			text = false
			continue
		}
		text = false
		switch key := data[start:end]; string(key) {
		case "text":
			text = true
		case "parts":
			g.content = true
		case "usageMetadata":
			g.usageAt = start - 1
		case "finishReason", "promptFeedback", "functionCall":
			g.closer = true
		case "error":
			g.closer = g.closer || first
		default:
			g.counted = g.counted || g.usageAt >= 0 && bytes.HasSuffix(key, countSuffix)
		}
		first = false
	}
}

var countSuffix = []byte("TokenCount")

// stringEnd finds the quote that closes a string, -1 if none does.
func stringEnd(data []byte, start int) int {
	for at := start; ; {
		k := bytes.IndexByte(data[at:], '"')
		if k < 0 {
			return -1
		}
		at += k
		slashes := 0
		for at-slashes > start && data[at-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return at
		}
		at++
	}
}

// Frame looks at one chunk, decoding it only if it must.
func (t *tap) Frame(f llm.Frame) (mark llm.Mark) {
	data := object(f.Data)
	if len(data) == 0 || string(data) == "DONE" {
		return 0
	}
	if data[0] != '{' || data[len(data)-1] != '}' {
		return llm.MarkBad
	}
	g := glance(data)
	if g.counted {
		t.tail = append(t.tail[:0], data[g.usageAt:]...)
	}
	if g.content {
		mark |= llm.MarkContent
	}
	if g.closer {
		return mark | t.look(data)
	}
	t.seen.Chars += g.chars
	if !t.named {
		var head struct {
			ModelVersion string `json:"modelVersion"`
			ResponseID   string `json:"responseId"`
		}
		if json.Unmarshal(data, &head, upstreamOptions) != nil {
			return llm.MarkBad
		}
		t.name(head.ModelVersion, head.ResponseID)
		t.named = true // asked once; what comes later stands beside the usage, and Seen finds it there
	}
	return mark
}

// look decodes a chunk.
func (t *tap) look(data []byte) (mark llm.Mark) {
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
			t.seen.Use(p.FunctionCall.Name)
			t.seen.Chars += int64(len(p.FunctionCall.Args))
			t.calls = true
		}
	}
}

// Body reads a whole answer.
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

// Seen reads the newest usage and gives all that is known.
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
