package llm

import "strings"

// ToolUse is how often a tool was called.
type ToolUse struct {
	Name  string
	Calls int64
}

// What an answer may leave behind of its tools' names: models write what they like.
const (
	maxTools    = 32
	maxToolName = 128
	// OtherTools stands for the tools of an answer that calls more different ones than are kept.
	OtherTools = "(other)"
)

// Use counts the call of a tool.
func (s *Seen) Use(name string) {
	if name == "" {
		return
	}
	if len(name) > maxToolName {
		name = strings.ToValidUTF8(name[:maxToolName], "")
	}
	for i := range s.Tools {
		if s.Tools[i].Name == name {
			s.Tools[i].Calls++
			return
		}
	}
	if len(s.Tools) < maxTools {
		s.Tools = append(s.Tools, ToolUse{Name: strings.Clone(name), Calls: 1})
		return
	}
	if last := &s.Tools[maxTools-1]; last.Name != OtherTools {
		// The last place is given up for all that have none.
		last.Name = OtherTools
	}
	s.Tools[maxTools-1].Calls++
}
