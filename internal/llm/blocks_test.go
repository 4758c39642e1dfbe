package llm

import (
	"testing"
)

// notes writes blocks as notes of what happened: (kind text signature) closed, open ones without the bracket.
type notes struct{ said string }

func (n *notes) Flush(b *Block) {
	if !b.Begun {
		b.Begun = true
		n.said += "(" + string(b.Part.Kind)
		if b.Part.Call != nil {
			n.said += "=" + b.Part.Call.Name
		}
	}
	if len(b.Text) > 0 {
		n.said += " " + string(b.Text)
	}
	if b.Signature != "" {
		n.said += " by:" + b.Signature
	}
	for _, c := range b.Citations {
		n.said += " from:" + c.Title
	}
	b.Text, b.Signature, b.Citations = nil, "", nil
}

func (n *notes) Close(b *Block) {
	if b.NoArguments() {
		n.said += " nothing"
	}
	n.said += ")"
}

func TestBlocks(t *testing.T) {
	f := func(want string, events ...Event) {
		t.Helper()
		var n notes
		s := Blocks{Writer: &n}
		for i := range events {
			switch e := &events[i]; e.Kind {
			case EventPartStart:
				s.Start(e.Index, *e.Part)
			case EventDelta:
				s.Delta(e)
			case EventPartStop:
				s.Stop(e.Index)
			case EventEnd:
				n.said += " |"
				s.End()
			}
		}
		if n.said != want {
			t.Errorf("\ngot  %s\nwant %s", n.said, want)
		}
	}
	start := func(i int, p Part) Event { return Event{Kind: EventPartStart, Index: i, Part: &p} }
	call := func(i int, name string) Event { return start(i, Part{Kind: KindToolCall, Call: &ToolCall{Name: name}}) }
	delta := func(i int, s string) Event { return Event{Kind: EventDelta, Index: i, Text: s} }
	stop := func(i int) Event { return Event{Kind: EventPartStop, Index: i} }
	end := Event{Kind: EventEnd}
	text := Part{Kind: KindText}

	// What comes is written at once, and closed when it stops.
	f("(text a b)(text c) |", start(0, text), delta(0, "a"), delta(0, "b"), stop(0), start(1, Part{Kind: KindText, Text: "c"}), stop(1), end)
	// A second part waits for the first, and text that comes late has a block of its own.
	f("(text a b)(reasoning hm by:s)(text late from:t) |", start(0, text), delta(0, "a"), start(1, Part{Kind: KindReasoning, Text: "hm"}),
		Event{Kind: EventDelta, Index: 1, Signature: "s"}, delta(0, "b"), stop(1), stop(0),
		Event{Kind: EventDelta, Text: "late", Citations: []Citation{{Title: "t"}}}, end)
	// A call stays open until its arguments are JSON; the one after it goes out in one piece. What comes behind them is nobody's.
	f(`(tool_call=f {"x": 1})(tool_call=g {"y":2}) |`, call(0, "f"), delta(0, `{"x":`), stop(0), call(1, "g"), delta(1, `{"y":`), delta(1, `2}`), stop(1),
		delta(0, `1}`), delta(0, `{"z":3}`), end)
	f(`(tool_call=f [])(tool_call=g | nothing)`, call(0, "f"), delta(0, `[]`), stop(0), call(1, "g"), stop(1), end)
	// Broken arguments end with the answer.
	f(`(tool_call=f {"x" |)(text a)`, call(0, "f"), delta(0, `{"x"`), stop(0), start(1, Part{Kind: KindText, Text: "a"}), stop(1), end)
	// Free text goes out inside one string.
	f(`(tool_call=f {"input":" say \"hi\" "}) |`, start(0, Part{Kind: KindToolCall, Call: &ToolCall{Name: "f", Type: "custom"}}), delta(0, `say "hi"`), stop(0), end)
	// A part without deltas is its head; places nobody started, and those out of all bounds, are passed over.
	f("(image) |", start(3, Part{Kind: KindImage}), delta(3, "x"), delta(1, "x"), stop(2), start(-1, text), start(maxParts, text), delta(-1, "x"), stop(3), end)
	f("(tool_call= | nothing)", start(0, Part{Kind: KindToolCall}), end)

	var n notes
	s := Blocks{Writer: &n}
	s.Start(0, text)
	s.Delta(&Event{Text: "a"})
	if want := "(text a"; n.said != want {
		t.Errorf("%s before its end, want %s", n.said, want)
	}
}
