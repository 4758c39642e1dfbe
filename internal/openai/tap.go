package openai

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// NewTap implements llm.Spoken.
func (chat) NewTap() llm.Tap { return &tap{} }

// tap watches chat completions, legacy completions and embeddings. Of a stream it decodes the first frame, and those whose bytes
// promise usage, an error, a finish reason or a new tool call; the rest is searched for text.
type tap struct {
	seen    llm.Seen
	started bool
	call    string // id of the latest tool call
	refused bool
	// Most frames of a stream differ in one string only. before and after are the bytes around it in the last frame that was searched
	// and promised nothing; a frame that agrees with both promises nothing either.
	before, after []byte
}

// tapped is what of an answer the tap decodes; everything else is skipped without a copy.
type tapped struct {
	ID      string         `json:"id"`
	Model   string         `json:"model"`
	Object  string         `json:"object"`
	Error   jsontext.Value `json:"error"`
	Usage   jsontext.Value `json:"usage"`
	Groq    jsontext.Value `json:"x_groq"`
	Data    length         `json:"data"`
	Message length         `json:"message"`
	Detail  length         `json:"detail"`
	Choices []tappedChoice `json:"choices"`
}

type tappedChoice struct {
	FinishReason string         `json:"finish_reason"`
	Message      *tappedMessage `json:"message"`
	Delta        *tappedMessage `json:"delta"`
	Text         length         `json:"text"`
}

type tappedMessage struct {
	Content          length       `json:"content"`
	Refusal          length       `json:"refusal"`
	ReasoningContent length       `json:"reasoning_content"`
	Reasoning        length       `json:"reasoning"`
	ToolCalls        []tappedCall `json:"tool_calls"`
	// FunctionCall is the deprecated form of a call.
	FunctionCall struct {
		Name string `json:"name"`
	} `json:"function_call"`
}

type tappedCall struct {
	ID       string `json:"id"`
	Function struct {
		Name      string `json:"name"`
		Arguments length `json:"arguments"`
	} `json:"function"`
	Custom struct {
		Name  string `json:"name"`
		Input length `json:"input"`
	} `json:"custom"`
}

// name is the tool's; empty in all pieces of a call but its first.
func (c *tappedCall) name() string { return c.Function.Name + c.Custom.Name }

// length is how long a member is, without its quotes; 0 for null.
type length int64

func (l *length) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err == nil && v.Kind() != 'n' {
		*l = length(len(v))
		if v.Kind() == '"' {
			n, _ := wire.TextLength(v[1:])
			*l = length(n)
		}
	}
	return err
}

func (m *tappedMessage) chars() int64 {
	if m == nil {
		return 0
	}
	n := m.Content + m.Refusal + max(m.ReasoningContent, m.Reasoning)
	for i := range m.ToolCalls {
		n += m.ToolCalls[i].Function.Arguments + m.ToolCalls[i].Custom.Input
	}
	return int64(n)
}

// Seen implements llm.Tap.
func (t *tap) Seen() *llm.Seen { return &t.seen }

// Frame implements llm.Tap.
func (t *tap) Frame(f llm.Frame) llm.Mark {
	data := bytes.TrimSpace(f.Data)
	if len(data) == 0 {
		return 0
	}
	if bytes.Equal(data, doneData) {
		return llm.MarkEnd
	}
	if data[0] != '{' || data[len(data)-1] != '}' {
		return llm.MarkBad
	}
	if n, ok := t.alike(data); ok && f.Type != "error" {
		t.seen.Chars += n
		if n > 0 {
			return llm.MarkContent
		}
		return 0
	}
	if t.started && f.Type != "error" && !promises(data) {
		n := t.learn(data)
		t.seen.Chars += n
		if n > 0 {
			return llm.MarkContent
		}
		return 0
	}
	return t.decode(data, f.Type == "error")
}

var (
	keyChoices = []byte(`"choices"`)
	keyUsage   = []byte(`"usage"`)
	keyFinish  = []byte(`"finish_reason"`)
	keyError   = []byte(`"error"`)
	keyRefusal = []byte(`"refusal"`)
	keyName    = []byte(`"name"`)
	// keyTexts are the members that hold generated text. OpenRouter says a thought thrice; it is counted once.
	keyTexts = [][]byte{[]byte(`"content"`), []byte(`"reasoning_content"`), []byte(`"reasoning"`), []byte(`"refusal"`), []byte(`"arguments"`), []byte(`"input"`), []byte(`"transcript"`)}
	keyText  = []byte(`"text"`)
)

// promises tells whether a frame may say more than text. A quote inside a JSON string is escaped, so that text can't look like a key.
func promises(data []byte) bool {
	return !bytes.Contains(data, keyChoices) || meant(data, keyRefusal) || meant(data, keyUsage) || meant(data, keyFinish) || meant(data, keyError) || meant(data, keyName)
}

// meant tells whether a member stands in data with a value other than null, "" and false.
func meant(data, key []byte) bool {
	for {
		i := bytes.Index(data, key)
		if i < 0 {
			return false
		}
		data = data[i+len(key):]
		v, ok := afterColon(data)
		if ok && !bytes.HasPrefix(v, []byte("null")) && !bytes.HasPrefix(v, []byte(`""`)) {
			return true
		}
	}
}

// afterColon gives what follows a member's name; ok is false if the name was a value.
func afterColon(b []byte) (value []byte, ok bool) {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 || b[0] != ':' {
		return nil, false
	}
	return bytes.TrimLeft(b[1:], " \t\r\n"), true
}

// keyObfuscation is OpenAI's padding: the one other string that differs from frame to frame.
var keyObfuscation = []byte(`"obfuscation":"`)

// alike tells whether a frame is like the last one but for its text, and how long that is.
func (t *tap) alike(data []byte) (n int64, ok bool) {
	if t.before == nil || !bytes.HasPrefix(data, t.before) {
		return 0, false
	}
	n, end := wire.TextLength(data[len(t.before):])
	if end < 0 {
		return 0, false
	}
	rest, pads := bytes.CutPrefix(data[len(t.before)+end:], t.after)
	if pads && len(rest) > 0 && bytes.HasSuffix(t.after, keyObfuscation) {
		_, end = wire.TextLength(rest)
		return n, end >= 0 && string(rest[end:]) == `"}`
	}
	return n, pads && len(rest) == 0
}

// learn adds up the generated text in a frame that promises nothing, and remembers what surrounds it if it is one string.
func (t *tap) learn(data []byte) (n int64) {
	t.before, t.after = t.before[:0], t.after[:0]
	strings := 0
	search := func(key []byte) {
		for at := 0; ; {
			i := bytes.Index(data[at:], key)
			if i < 0 {
				return
			}
			at += i + len(key)
			v, ok := afterColon(data[at:])
			if !ok || len(v) < 2 || v[0] != '"' {
				continue
			}
			length, end := wire.TextLength(v[1:])
			if length == 0 || end < 0 {
				continue
			}
			n += length
			if strings++; strings == 1 {
				from := len(data) - len(v) + 1
				t.before = append(t.before, data[:from]...)
				t.after = append(t.after, data[from+end:]...)
			}
		}
	}
	for _, key := range keyTexts {
		search(key)
	}
	if n == 0 {
		search(keyText)
	}
	if i := bytes.Index(t.after, keyObfuscation); i >= 0 {
		t.after = t.after[:i+len(keyObfuscation)]
	}
	if strings != 1 {
		t.before, t.after = nil, nil
	}
	return n
}

// decode looks into a frame that promised something.
func (t *tap) decode(data []byte, failed bool) llm.Mark {
	var in tapped
	if wire.Unmarshal(data, &in) != nil {
		return llm.MarkBad
	}
	if failed || in.failed() {
		t.seen.Err = inbandError(data)
		return llm.MarkError
	}
	had := t.seen.Usage
	t.note(&in)
	var mark llm.Mark
	said := t.choices(in.Choices)
	if said {
		mark |= llm.MarkContent
	}
	if !said && t.seen.Usage != had && !finishes(in.Choices) {
		mark |= llm.MarkUsageOnly
	}
	return mark
}

func finishes(choices []tappedChoice) bool {
	for i := range choices {
		if choices[i].FinishReason != "" {
			return true
		}
	}
	return false
}

// failed tells whether an answer is an error instead.
func (a *tapped) failed() bool {
	return llm.IsSet(a.Error) || a.Choices == nil && !llm.IsSet(a.Usage) && (a.Object == "error" || a.Message > 0 && a.Data == 0 || a.Detail > 0)
}

// note takes id, model and usage.
func (t *tap) note(in *tapped) {
	if in.ID != "" || in.Model != "" || in.Choices != nil {
		t.started = true
	}
	if in.ID != "" {
		t.seen.ID = in.ID
	}
	if in.Model != "" {
		t.seen.Model = in.Model
	}
	answer := chatAnswer{Usage: in.Usage, Groq: in.Groq}
	if u := answer.usage(); u != nil {
		t.seen.Usage = u
	}
}

// choices takes finish reasons, counts text and tool calls, and tells whether there was any.
func (t *tap) choices(choices []tappedChoice) (said bool) {
	for i := range choices {
		c := &choices[i]
		n := max(c.Message.chars()+c.Delta.chars(), int64(c.Text))
		t.seen.Chars += n
		said = said || n > 0
		for _, m := range []*tappedMessage{c.Message, c.Delta} {
			if m == nil {
				continue
			}
			t.refused = t.refused || m.Refusal > 0
			t.seen.Use(m.FunctionCall.Name)
			for j := range m.ToolCalls {
				call := &m.ToolCalls[j]
				said = true
				if name := call.name(); name != "" && (call.ID == "" || call.ID != t.call) {
					t.seen.ToolCalls++
					t.seen.Use(name)
					t.call = call.ID
				}
			}
		}
		if c.FinishReason != "" {
			t.seen.Finish = finishOf(c.FinishReason)
			if t.seen.Finish == llm.FinishStop && t.seen.ToolCalls > 0 {
				t.seen.Finish = llm.FinishToolCalls
			} else if t.seen.Finish == llm.FinishStop && t.refused {
				t.seen.Finish = llm.FinishRefusal
			}
		}
	}
	return said
}

// Body implements llm.Tap.
func (t *tap) Body(body []byte) *llm.Error {
	var in tapped
	if err := wire.Unmarshal(body, &in); err != nil {
		t.seen.Err = unread(body, err)
		return t.seen.Err
	}
	if in.failed() {
		t.seen.Err = inbandError(body)
		return t.seen.Err
	}
	if in.Choices == nil && in.Data == 0 && !llm.IsSet(in.Usage) && in.ID == "" {
		t.seen.Err = unread(body, nil)
		return t.seen.Err
	}
	t.note(&in)
	t.choices(in.Choices)
	return nil
}
