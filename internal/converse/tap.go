package converse

import (
	"bytes"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// NewTap watches one spliced answer, see llm.Spoken.
func (dialect) NewTap() llm.Tap { return &tap{} }

type tap struct {
	seen    llm.Seen
	stopped bool
	counted bool
}

var (
	useMember      = []byte(`"toolUse"`)
	citationMember = []byte(`"citation"`)
)

// toolName is what the tap reads of a tool call.
type toolName struct {
	Name string `json:"name"`
}

// Frame looks at one event. The stream has ended once both messageStop and metadata came, in whatever order: what the call used stands in
// the latter.
func (t *tap) Frame(f llm.Frame) llm.Mark {
	if f.Exception {
		t.seen.Err = exception(f)
		return llm.MarkError
	}
	data := bytes.TrimSpace(f.Data)
	if len(data) < 2 || data[0] != '{' || data[len(data)-1] != '}' {
		return llm.MarkBad
	}
	switch f.Type {
	case "contentBlockDelta":
		n := wire.TextIn(data, `"text":`, `"input":`)
		if n == 0 || bytes.Contains(data, citationMember) { // a citation has the source's text
			return 0
		}
		t.seen.Chars += n
		return llm.MarkContent
	case "contentBlockStart":
		if bytes.Contains(data, useMember) {
			t.seen.ToolCalls++
			var w struct {
				Start struct {
					ToolUse toolName `json:"toolUse"`
				} `json:"start"`
			}
			if wire.Unmarshal(data, &w) == nil {
				t.seen.Use(w.Start.ToolUse.Name)
			}
			return llm.MarkContent
		}
	case "messageStop":
		var w struct {
			StopReason string `json:"stopReason"`
		}
		if wire.Unmarshal(data, &w) != nil {
			return llm.MarkBad
		}
		t.seen.Finish = stopOf(w.StopReason, nil, false).Reason
		t.stopped = true
		if t.counted {
			return llm.MarkEnd
		}
	case "metadata":
		var w wireMetadata
		if wire.Unmarshal(data, &w) != nil {
			return llm.MarkBad
		}
		if w.Usage != nil {
			t.seen.Usage = w.Usage.usage()
		}
		t.counted = true
		if t.stopped {
			return llm.MarkEnd
		}
	}
	return 0
}

// Body looks at a whole answer; its content is not decoded but for the names of its blocks.
func (t *tap) Body(body []byte) *llm.Error {
	var w struct {
		Output *struct {
			Message struct {
				Content []struct {
					ToolUse *toolName `json:"toolUse"`
				} `json:"content"`
			} `json:"message"`
		} `json:"output"`
		StopReason string             `json:"stopReason"`
		Usage      *wireUsage         `json:"usage"`
		Extra      map[string]llm.Raw `json:",embed"`
	}
	if err := wire.Unmarshal(body, &w); err != nil {
		t.seen.Err = unreadable(err)
		return t.seen.Err
	}
	whole := wireResponse{StopReason: w.StopReason, Extra: w.Extra}
	if e := whole.broken(body); w.Output == nil && e != nil {
		t.seen.Err = e
		return e
	}
	t.seen.Finish = stopOf(w.StopReason, nil, false).Reason
	if w.Output != nil {
		for _, b := range w.Output.Message.Content {
			if b.ToolUse != nil {
				t.seen.ToolCalls++
				t.seen.Use(b.ToolUse.Name)
			}
		}
	}
	if w.Usage != nil {
		t.seen.Usage = w.Usage.usage()
	} else {
		t.seen.Chars = int64(len(body))
	}
	return nil
}

// Seen is what is known so far, see llm.Tap.
func (t *tap) Seen() *llm.Seen { return &t.seen }
