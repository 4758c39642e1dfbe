package provider

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// What the codecs of providers with a language of their own have in common. Theirs is nobody's dialect: answers are always translated.

// decodingTap watches an answer by decoding it. Codecs of a provider's own are never spliced, so this need not be fast.
type decodingTap struct {
	codec llm.Spoken
	dec   llm.StreamDecoder
	seen  llm.Seen
	buf   []llm.Event
}

func newTap(codec llm.Spoken) llm.Tap {
	return &decodingTap{codec: codec, dec: codec.NewStreamDecoder()}
}

// Seen implements llm.Tap.
func (t *decodingTap) Seen() *llm.Seen { return &t.seen }

// Frame implements llm.Tap.
func (t *decodingTap) Frame(f llm.Frame) llm.Mark {
	events, err := t.dec.Decode(t.buf[:0], f)
	t.buf = events
	var m llm.Mark
	if err != nil {
		t.seen.Err = llm.AsError(err)
		m |= llm.MarkBad
	}
	for i := range events {
		m |= t.event(&events[i])
	}
	return m
}

func (t *decodingTap) event(e *llm.Event) llm.Mark {
	switch e.Kind {
	case llm.EventStart:
		t.seen.ID, t.seen.Model = e.Start.ID, e.Start.Model
	case llm.EventPartStart:
		if e.Part.Call != nil {
			t.seen.ToolCalls++
			t.seen.Use(e.Part.Call.Name)
			return llm.MarkContent
		}
	case llm.EventDelta:
		t.seen.Chars += int64(len(e.Text))
		return llm.MarkContent
	case llm.EventFinish:
		t.seen.Finish = e.Stop.Reason
	case llm.EventUsage:
		t.seen.Usage = e.Usage
	case llm.EventError:
		t.seen.Err = e.Err
		return llm.MarkError
	case llm.EventEnd:
		return llm.MarkEnd
	}
	return 0
}

// Body implements llm.Tap.
func (t *decodingTap) Body(body []byte) *llm.Error {
	resp, err := t.codec.DecodeResponse(body)
	if err != nil {
		t.seen.Err = llm.AsError(err)
		return t.seen.Err
	}
	for _, e := range resp.Events() {
		t.event(&e)
	}
	return nil
}

// maxMessage bounds how much of an unreadable error is repeated.
const maxMessage = 1000

// plainError reads the errors of providers that say little more than a message, under one of the usual names.
func plainError(status int, h http.Header, body []byte) *llm.Error {
	e := &llm.Error{Kind: llm.KindOf(status), Status: status, Upstream: true, Message: messageIn(body)}
	var b struct {
		Type string `json:"error_type"`
		Code any    `json:"code"`
	}
	if json.Unmarshal(body, &b, upstreamJSON) == nil {
		e.Type = b.Type
		if s, ok := b.Code.(string); ok {
			e.Code = s
		}
	}
	if e.Message == "" {
		e.Message = strings.TrimSpace(strings.ToValidUTF8(string(body[:min(len(body), maxMessage)]), ""))
	}
	if e.Message == "" {
		e.Message = "the upstream answered " + strconv.Itoa(status) + " " + http.StatusText(status)
	}
	if low := strings.ToLower(e.Message); status < 500 && status != http.StatusTooManyRequests &&
		(strings.Contains(low, "too many tokens") || strings.Contains(low, "context length") ||
			strings.Contains(low, "`inputs` tokens + `max_new_tokens`") || strings.Contains(low, "`inputs` must have less than")) {
		e.Kind, e.Status = llm.ErrContextWindow, 0
	}
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

// messageIn finds the message of an error object: message, Message (AWS), error, detail or an object under one of them.
func messageIn(body []byte) string {
	var o map[string]jsontext.Value
	if json.Unmarshal(body, &o, upstreamJSON) != nil {
		return ""
	}
	for _, name := range []string{"message", "Message", "OriginalMessage", "error", "detail", "error_description"} {
		v, ok := o[name]
		if !ok {
			continue
		}
		var s string
		switch v.Kind() {
		case '"':
			if json.Unmarshal(v, &s, upstreamJSON) == nil && s != "" {
				return s
			}
		case '{':
			if s = messageIn(v); s != "" {
				return s
			}
		case '[':
			return string(v[:min(len(v), maxMessage)])
		}
	}
	return ""
}

// drops gathers what a language can't say, each name once.
type drops []string

func (d *drops) add(name string) {
	for _, n := range *d {
		if n == name {
			return
		}
	}
	*d = append(*d, name)
}

// when adds the name if the parameter is set.
func (d *drops) when(set bool, name string) {
	if set {
		d.add(name)
	}
}

// extras adds the names of the request's own words for things we don't know, but those that were used.
func (d *drops) extras(req *llm.Request, used ...string) {
	for name, v := range req.Extra {
		if string(v) == "null" || name == "stream_options" {
			continue
		}
		known := false
		for _, u := range used {
			known = known || u == name
		}
		if !known {
			d.add(name)
		}
	}
}
