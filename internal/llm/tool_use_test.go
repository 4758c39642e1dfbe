package llm

import (
	"fmt"
	"strings"
	"testing"
)

// TestUse holds that names are counted, cut and bounded, and that no call is lost to the bounds.
func TestUse(t *testing.T) {
	var s Seen
	s.Use("")
	s.Use("a")
	s.Use("a")
	s.Use(strings.Repeat("x", 127) + "é")
	if len(s.Tools) != 2 || s.Tools[0] != (ToolUse{"a", 2}) || s.Tools[1].Name != strings.Repeat("x", 127) {
		t.Errorf("%v", s.Tools)
	}
	for i := range 100 {
		s.Use(fmt.Sprint("t", i))
	}
	var n int64
	for _, u := range s.Tools {
		n += u.Calls
	}
	if len(s.Tools) != maxTools || n != 103 || s.Tools[maxTools-1].Name != OtherTools {
		t.Errorf("%d tools, %d calls: %v", len(s.Tools), n, s.Tools)
	}
}
