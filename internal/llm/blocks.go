package llm

// Blocks puts the parts of a streamed answer one behind the other, for a dialect in which one block is open at a time. Parts may interleave
// upstream: what comes for another part than the open one waits for its turn, and text that comes for one already closed goes on in a
// block of its own. A dialect's stream encoder is the BlockWriter. Not safe for concurrent use.
type Blocks struct {
	Writer  BlockWriter
	open    *Block
	waiting []*Block // in the order of their starts
	parts   []*Block // by part index, the closed ones too
}

// BlockWriter writes the blocks of one dialect.
type BlockWriter interface {
	// Flush writes what has come for the open block, beginning it where need be, and empties what it wrote.
	Flush(b *Block)
	// Close writes the end of a block; nothing if it never began.
	Close(b *Block)
}

// Block is one part on its way out.
type Block struct {
	Part Part // its head; of a tool call Call is never nil
	// Begun says that the dialect wrote the block's start, At is its index there; both are the BlockWriter's to set.
	Begun bool
	At    int
	// Text (a tool call's arguments), Signature and Citations are what came and is not written.
	Text      []byte
	Signature string
	SignedBy  Dialect
	Citations []Citation

	args    []byte // all of a tool call's arguments so far
	free    bool   // the call of a tool that takes free text, which goes out as the only string of an object
	stopped bool   // its PartStop was seen
	closed  bool
}

// maxParts bounds the parts of one answer.
const maxParts = 1 << 16

// Start begins a part. One whose kind has no deltas is written whole, from its head.
func (s *Blocks) Start(index int, p Part) {
	if index < 0 || index >= maxParts {
		return
	}
	b := &Block{Part: p}
	switch p.Kind {
	case KindText, KindRefusal, KindReasoning:
		b.Text = append(b.Text, p.Text...)
		b.Signature, b.SignedBy, b.Citations = p.Signature, p.SignedBy, p.Citations
	case KindToolCall:
		if p.Call == nil {
			b.Part.Call = &ToolCall{}
		}
		if b.free = b.Part.Call.Type != ""; b.free {
			b.Text = append(b.Text, `{"input":"`...)
		}
		b.add(b.Part.Call.Arguments)
	}
	for len(s.parts) <= index {
		s.parts = append(s.parts, nil)
	}
	s.parts[index] = b
	s.waiting = append(s.waiting, b)
	s.advance(false)
}

// Delta takes what comes for a part; nothing for one that was not started here.
func (s *Blocks) Delta(e *Event) {
	b := s.part(e.Index)
	if b == nil {
		return
	}
	switch b.Part.Kind {
	case KindText, KindRefusal, KindReasoning, KindToolCall:
	default:
		return
	}
	if b.closed {
		s.late(b, e)
		return
	}
	b.add(e.Text + e.Transcript)
	b.Citations = append(b.Citations[:len(b.Citations):len(b.Citations)], e.Citations...)
	if e.Signature != "" {
		b.Signature, b.SignedBy = e.Signature, e.SignedBy
	}
	if b == s.open {
		s.Writer.Flush(b)
		if b.stopped {
			s.advance(false)
		}
	}
}

// Stop ends a part. A tool call whose arguments are not JSON yet stays open: OpenAI's parallel calls interleave, and its rest may come late.
func (s *Blocks) Stop(index int) {
	if b := s.part(index); b != nil {
		b.stopped = true
		s.advance(false)
	}
}

// End closes all that is open or waits, at the end of the answer.
func (s *Blocks) End() { s.advance(true) }

func (s *Blocks) part(index int) *Block {
	if index < 0 || index >= len(s.parts) {
		return nil
	}
	return s.parts[index]
}

// advance closes the open block if nothing more can come for it and opens those that wait. With force, unfinished calls count as done.
func (s *Blocks) advance(force bool) {
	for {
		if s.open == nil {
			if len(s.waiting) == 0 {
				return
			}
			s.open, s.waiting = s.waiting[0], s.waiting[1:]
			s.Writer.Flush(s.open)
		}
		if !force && (!s.open.stopped || !s.open.complete()) {
			return
		}
		s.close(s.open)
		s.open = nil
	}
}

func (s *Blocks) close(b *Block) {
	if b.free {
		b.Text = append(b.Text, `"}`...)
		s.Writer.Flush(b)
	}
	s.Writer.Close(b)
	*b = Block{Part: Part{Kind: b.Part.Kind}, closed: true}
}

// late carries what comes for a block already closed in a new block of the same kind; a finished tool call has nothing to add.
func (s *Blocks) late(b *Block, e *Event) {
	text := e.Text + e.Transcript
	if b.Part.Kind == KindToolCall || text == "" && e.Signature == "" {
		return
	}
	s.waiting = append(s.waiting, &Block{Part: Part{Kind: b.Part.Kind}, stopped: true, Text: []byte(text), Citations: e.Citations,
		Signature: e.Signature, SignedBy: e.SignedBy})
	s.advance(false)
}

// add appends text as it goes out: a tool's free text stands inside a string.
func (b *Block) add(text string) {
	n := len(b.Text)
	if b.free {
		quoted := Quote(text)
		b.Text = append(b.Text, quoted[1:len(quoted)-1]...)
	} else {
		b.Text = append(b.Text, text...)
	}
	if b.Part.Kind == KindToolCall {
		b.args = append(b.args, b.Text[n:]...)
	}
}

// NoArguments says that nothing came for a tool call: whoever reads its arguments as JSON wants an empty object.
func (b *Block) NoArguments() bool { return b.Part.Kind == KindToolCall && !b.free && len(b.args) == 0 }

// complete says that a stopped block will not go on.
func (b *Block) complete() bool {
	return b.Part.Kind != KindToolCall || b.free || Raw(b.args).IsValid()
}
