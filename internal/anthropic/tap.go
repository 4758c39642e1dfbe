package anthropic

import (
	"bytes"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// NewTap watches one spliced answer, see llm.Spoken.
func (messages) NewTap() llm.Tap { return &tap{} }

type tap struct {
	seen     llm.Seen
	usage    wireUsage
	reported bool
	ended    bool
}

// Frame looks at one event. The event's name says what it is; only the few that carry usage, an end or an error are decoded.
func (t *tap) Frame(f llm.Frame) llm.Mark {
	if f.Exception {
		t.seen.Err = exception(f)
		return llm.MarkError
	}
	data := bytes.TrimSpace(f.Data)
	if len(data) == 0 || t.ended || string(data) == "[DONE]" {
		return 0
	}
	if data[0] != '{' || data[len(data)-1] != '}' {
		return llm.MarkBad
	}
	switch kindOf(f.Type, data) {
	case "content_block_delta":
		n := wire.TextIn(data, `"text":`, `"partial_json":`, `"thinking":`)
		if n == 0 {
			return 0 // a signature or a citation
		}
		t.seen.Chars += n
		return llm.MarkContent
	case "content_block_start":
		switch {
		case bytes.Contains(data, toolUse):
			t.seen.ToolCalls++
			t.use(data)
			return llm.MarkContent
		case bytes.Contains(data, mcpToolUse):
			t.use(data)
		}
	case "message_start", "message_delta":
		return t.counted(data)
	case "message_stop":
		t.ended = true
		return llm.MarkEnd
	case "error":
		t.seen.Err = inbandError(data)
		return llm.MarkError
	case "":
		return t.unnamed(data)
	}
	return 0
}

var (
	toolUse    = []byte(`"tool_use"`)
	mcpToolUse = []byte(`"mcp_tool_use"`)
)

// use notes the name of the tool that a block calls.
func (t *tap) use(data []byte) {
	var ev struct {
		Block struct {
			Name string `json:"name"`
		} `json:"content_block"`
	}
	if wire.Unmarshal(data, &ev) == nil {
		t.seen.Use(ev.Block.Name)
	}
}

// kindOf is the event's type: from its frame, or from the head of its data where the frame has a name of its own (Bedrock's chunk).
func kindOf(name string, data []byte) string {
	if name != "" && name != "chunk" && name != "message" {
		return name
	}
	head := data[:min(len(data), 64)]
	for _, k := range [...]string{"content_block_delta", "content_block_start", "content_block_stop", "message_start", "message_delta",
		"message_stop", "ping", "error"} {
		if i := bytes.Index(head, []byte(`"`+k+`"`)); i > 0 && bytes.Contains(head[:i], []byte(`"type"`)) {
			return k
		}
	}
	return ""
}

// unnamed decodes a frame whose type does not stand at its head.
func (t *tap) unnamed(data []byte) llm.Mark {
	var ev struct {
		Type  string  `json:"type"`
		Error llm.Raw `json:"error"`
	}
	if wire.Unmarshal(data, &ev) != nil {
		return llm.MarkBad
	}
	if ev.Type == "" && ev.Error.Kind() == '{' {
		ev.Type = "error"
	}
	if ev.Type == "" || ev.Type == "chunk" || ev.Type == "message" {
		return 0
	}
	return t.Frame(llm.Frame{Type: ev.Type, Data: data})
}

// counted decodes the two events that carry usage.
func (t *tap) counted(data []byte) llm.Mark {
	var ev struct {
		Message *struct {
			ID    string     `json:"id"`
			Model string     `json:"model"`
			Usage *wireUsage `json:"usage"`
		} `json:"message"`
		Delta struct {
			StopReason *string `json:"stop_reason"`
		} `json:"delta"`
		Usage *wireUsage `json:"usage"`
	}
	if wire.Unmarshal(data, &ev) != nil {
		return llm.MarkBad
	}
	if m := ev.Message; m != nil {
		t.seen.ID, t.seen.Model = m.ID, m.Model
		t.add(m.Usage)
	}
	if ev.Delta.StopReason != nil {
		t.seen.Finish = reasonOf(*ev.Delta.StopReason)
	}
	t.add(ev.Usage)
	return 0
}

func (t *tap) add(u *wireUsage) {
	if u != nil {
		t.usage.merge(u)
		t.reported = true
	}
}

// Body looks at a whole answer; its content is not decoded but for the types and names of its blocks.
func (t *tap) Body(body []byte) *llm.Error {
	var m struct {
		ID         string  `json:"id"`
		Type       string  `json:"type"`
		Model      string  `json:"model"`
		StopReason *string `json:"stop_reason"`
		Content    []struct {
			Type string `json:"type"`
			Name string `json:"name"`
		} `json:"content"`
		Usage *wireUsage `json:"usage"`
		Error llm.Raw    `json:"error"`
	}
	if err := wire.Unmarshal(body, &m); err != nil {
		return unreadable(err)
	}
	whole := wireMessageObject{Type: m.Type, Error: m.Error}
	if m.Content != nil {
		whole.Content = llm.Raw("[]")
	}
	if e := notMessage(&whole, body); e != nil {
		t.seen.Err = e
		return e
	}
	t.seen.ID, t.seen.Model = m.ID, m.Model
	if m.StopReason != nil {
		t.seen.Finish = reasonOf(*m.StopReason)
	}
	for _, b := range m.Content {
		if b.Type == "tool_use" {
			t.seen.ToolCalls++
		}
		if b.Type == "tool_use" || b.Type == "mcp_tool_use" {
			t.seen.Use(b.Name)
		}
	}
	t.add(m.Usage)
	if m.Usage == nil {
		t.seen.Chars = int64(len(body))
	}
	return nil
}

// Seen is what is known so far, see llm.Tap.
func (t *tap) Seen() *llm.Seen {
	if t.reported {
		t.seen.Usage = t.usage.usage()
	}
	return &t.seen
}
