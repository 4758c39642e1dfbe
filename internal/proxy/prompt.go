package proxy

import (
	"bytes"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// turn is what the body of a chat tells its user's metrics.
type turn struct {
	prompts int64  // new messages of the user
	context bool   // one of them brings its own context
	thread  uint64 // stands for the conversation, if the client names no session
}

// readTurn looks at the conversation. It is not decoded: its new messages are read from its end, and it is told from others by its beginning.
// That is done before the body goes out and not when the call is over, since what was scanned just now is still in the processor's cache.
func (c *call) readTurn() (t turn) {
	if c.op != llm.OpChat && c.op != llm.OpCompletion {
		return t
	}
	t.prompts, t.context = c.prompts()
	if c.rec.Session == "" {
		t.thread = c.thread()
	}
	return t
}

// meter fills in what a call adds to its user's metrics.
func (c *call) meter() {
	r := &c.rec
	if r.Status >= 400 && !c.sent || !c.answered {
		return // a client that got nothing will ask again
	}
	r.Prompts, r.Thread = c.turn.prompts, c.turn.thread
	r.Retrieved = c.turn.context || c.seen.Retrieved
	r.Tools = c.seen.Tools
}

// fileContext is what LISA's clients write before the documents that they add to a prompt; the colon follows.
const fileContext = "file context"

// hasFileContext looks for the mark in JSON text, where it stands as in plain text.
func hasFileContext(b []byte) bool {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], ':')
		if i < 0 {
			return false
		}
		at += i
		if at >= len(fileContext) && bytes.EqualFold(b[at-len(fileContext):at], []byte(fileContext)) {
			return true
		}
		at++
	}
}

// sort says what a message of a conversation is to the count of prompts.
type sort uint8

const (
	sortOther  sort = iota // the model's, or a tool's: what stands before it is history
	sortPrompt             // of the user
	sortAside              // system and developer messages, wherever they stand
)

// prompts counts the new user messages: those behind the model's or a tool's last one. A message that holds a tool's result is none,
// whatever else it holds. marked says that one of them brings its own context.
func (c *call) prompts() (n int64, marked bool) {
	list, ok := c.conversation()
	if !ok {
		return 0, false
	}
	if list[0] == '"' {
		return 1, hasFileContext(list)
	}
	if list[0] != '[' {
		return 0, false
	}
	if c.op == llm.OpCompletion {
		return 1, hasFileContext(list)
	}
	last := true
	for from, to := wire.ItemBefore(list, len(list)-1); from >= 0; from, to = wire.ItemBefore(list, from) {
		m := list[from:to]
		switch messageSort(m, c.dialect) {
		case sortPrompt:
			n++
			marked = marked || hasFileContext(m)
		case sortOther:
			if !last || !prefilled(m, c.dialect) {
				return n, marked
			}
		}
		last = false
	}
	return n, marked
}

// conversation is the member of the body that holds the messages.
func (c *call) conversation() ([]byte, bool) {
	name := "messages"
	switch {
	case c.op == llm.OpCompletion:
		name = "prompt"
	case c.dialect == llm.Responses:
		name = "input"
	case c.dialect == llm.Gemini:
		name = "contents"
	}
	return c.doc.Get(name)
}

// messageSort tells whose a message is.
func messageSort(m []byte, d llm.Dialect) sort {
	if m[0] != '{' {
		return sortOther
	}
	if d == llm.Responses && !isString(m, "type", "message", true) {
		return sortOther
	}
	switch {
	case isString(m, "role", "user", d == llm.Gemini):
		if holdsResult(m, d) {
			return sortOther
		}
		return sortPrompt
	case isString(m, "role", "system", false), isString(m, "role", "developer", false):
		return sortAside
	}
	return sortOther
}

// isString tells whether a member is a text; unset is what to say if it is not there.
func isString(object []byte, name, text string, unset bool) bool {
	from, to := wire.FindValue(object, name)
	if from < 0 {
		return unset
	}
	v := object[from:to]
	return len(v) == len(text)+2 && v[0] == '"' && string(v[1:len(v)-1]) == text
}

// content is a message's content, whole.
func content(m []byte, d llm.Dialect) []byte {
	name := "content"
	if d == llm.Gemini {
		name = "parts"
	}
	from, to := wire.FindValue(m, name)
	if from < 0 {
		return nil
	}
	return m[from:to]
}

// holdsResult tells whether a user's message answers a tool call, in the dialects that have no role for it.
func holdsResult(m []byte, d llm.Dialect) bool {
	if d == llm.OpenAI || d == llm.Responses {
		return false
	}
	return anyBlock(content(m, d), func(block []byte) bool {
		switch d {
		case llm.Converse:
			from, _ := wire.FindValue(block, "toolResult")
			return from >= 0
		case llm.Gemini:
			from, _ := wire.FindValue(block, "functionResponse")
			if from < 0 {
				from, _ = wire.FindValue(block, "function_response")
			}
			return from >= 0
		}
		return isString(block, "type", "tool_result", false) || isString(block, "type", "mcp_tool_result", false)
	})
}

// prefilled tells whether the model's message that ends a conversation is the beginning of its answer, put there by the client: it has text
// and nothing else. What a model said itself before it paused holds its calls.
func prefilled(m []byte, d llm.Dialect) bool {
	if d == llm.Responses || m[0] != '{' || !isString(m, "role", "assistant", false) && !isString(m, "role", "model", false) {
		return false
	}
	if from, _ := wire.FindValue(m, "tool_calls"); from >= 0 {
		return false
	}
	v := content(m, d)
	if len(v) == 0 || v[0] != '"' && v[0] != '[' {
		return false
	}
	return !anyBlock(v, func(block []byte) bool {
		from, _ := wire.FindValue(block, "text")
		return from < 0
	})
}

// anyBlock tells whether one of a list of blocks is such; a text is no list.
func anyBlock(list []byte, is func(block []byte) bool) bool {
	if len(list) == 0 || list[0] != '[' {
		return false
	}
	for from, to := wire.NextItem(list, 1); from >= 0; from, to = wire.NextItem(list, to) {
		if list[from] == '{' && is(list[from:to]) {
			return true
		}
	}
	return false
}

// threadHash is FNV-1a. It must not change: a conversation that goes on over an upgrade would fall in two.
type threadHash uint64

const (
	fnvOffset threadHash = 14695981039346656037
	fnvPrime  threadHash = 1099511628211
	// maxHashed is how many bytes of each text count: enough to tell conversations apart, and little to pay for a long system prompt.
	maxHashed = 1 << 10
)

func (h *threadHash) add(text []byte) {
	x := *h
	for _, b := range text[:min(len(text), maxHashed)] {
		x = (x ^ threadHash(b)) * fnvPrime
	}
	*h = (x ^ 0xff) * fnvPrime // no text has this byte: "a" and "b" are not "ab"
}

// texts adds what a value says: a string, the text of a list of blocks, or what a Gemini content has in its parts. Cache marks and the like
// move from turn to turn, and whether a text stands alone or in a list does too; they count for nothing.
func (h *threadHash) texts(v []byte) (any bool) {
	switch {
	case len(v) == 0:
	case v[0] == '"':
		h.add(v[1 : len(v)-1])
		return true
	case v[0] == '{':
		if from, to := wire.FindValue(v, "parts"); from >= 0 {
			return h.texts(v[from:to])
		}
		if from, to := wire.FindString(v, "text"); from >= 0 {
			return h.texts(v[from:to])
		}
	case v[0] == '[':
		for from, to := wire.NextItem(v, 1); from >= 0; from, to = wire.NextItem(v, to) {
			if v[from] == '{' || v[from] == '"' {
				any = h.texts(v[from:to]) || any
			}
		}
	}
	return any
}

// thread stands for the conversation of a call whose client names no session: a hash of who calls, the system prompt and the first user
// message, which all its turns begin with. 0: it cannot be told, as when the history is the provider's.
func (c *call) thread() uint64 {
	if _, stored := c.doc.Get("previous_response_id"); stored {
		return 0
	}
	list, ok := c.conversation()
	if !ok {
		return 0
	}
	h := fnvOffset
	for _, s := range [...]string{c.rec.User, c.rec.EndUser, c.rec.Key} {
		for i := range len(s) {
			h = (h ^ threadHash(s[i])) * fnvPrime
		}
		h = (h ^ 0xff) * fnvPrime
	}
	if v, ok := c.doc.Get("conversation"); ok && c.dialect == llm.Responses && v[0] != 'n' {
		h.add(v)
		return uint64(h)
	}
	for _, name := range [...]string{"system", "instructions", "systemInstruction", "system_instruction"} {
		if v, ok := c.doc.Get(name); ok {
			h.texts(v)
		}
	}
	if list[0] != '[' || c.op == llm.OpCompletion {
		if !h.texts(list) {
			return 0
		}
		return uint64(h)
	}
	for from, to := wire.NextItem(list, 1); from >= 0; from, to = wire.NextItem(list, to) {
		m := list[from:to]
		switch messageSort(m, c.dialect) {
		case sortAside:
			h.texts(content(m, c.dialect))
		case sortPrompt:
			if !h.texts(content(m, c.dialect)) {
				h.add(m) // pictures alone
			}
			return uint64(h)
		}
	}
	return 0
}

// claudeSession is the session in the user id that Claude Code sends; empty if it holds none.
func claudeSession(userID string) string {
	_, session, _ := strings.Cut(userID, "_session_")
	return session
}
