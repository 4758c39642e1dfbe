package provider

import (
	"bytes"
	"cmp"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/wire"
)

// chunkForm says what the messages of an AWS event stream carry.
type chunkForm uint8

const (
	chunkInvoke    chunkForm = iota // Bedrock's {"bytes": base64 of one event}
	chunkSageMaker                  // pieces of whatever the container streams, cut anywhere
)

// maxLine bounds a line that a container streams.
const maxLine = 16 << 20

// chunks reads the server-sent events that come inside an AWS event stream. Not safe for concurrent use.
type chunks struct {
	form  chunkForm
	in    *wire.EventStreamReader
	out   []byte // to be read
	off   int
	line  []byte // a line that has not ended
	err   error
	named bool // errors are told as Anthropic does
}

func newChunks(body io.Reader, form chunkForm) *chunks {
	return &chunks{form: form, in: wire.NewEventStreamReader(body, 0), named: form == chunkInvoke}
}

// Read implements io.Reader. It gives what one message held and never waits for the next when it has something.
func (c *chunks) Read(p []byte) (int, error) {
	for c.off == len(c.out) {
		if c.err != nil {
			return 0, c.err
		}
		c.out, c.off = c.out[:0], 0
		f, err := c.in.Next()
		switch {
		case err != nil:
			c.err = err
			c.flush()
		case f.Exception:
			c.exception(f.Type, f.Data)
		case c.form == chunkInvoke:
			c.invoked(f.Data)
		default:
			c.lines(f.Data)
		}
	}
	n := copy(p, c.out[c.off:])
	c.off += n
	return n, nil
}

// invoked takes one event out of Bedrock's wrapping.
func (c *chunks) invoked(data []byte) {
	var chunk struct {
		Bytes []byte `json:"bytes"`
	}
	if json.Unmarshal(data, &chunk) != nil || len(chunk.Bytes) == 0 {
		return
	}
	name := ""
	if from, to := wire.FindString(chunk.Bytes, "type"); from >= 0 {
		name = strings.Trim(string(chunk.Bytes[from:to]), `"`)
	}
	c.out = wire.AppendSSE(c.out, name, bytes.TrimSpace(chunk.Bytes))
}

// lines passes on a container's stream line by line. Lines of JSON alone, as some containers write, become events.
func (c *chunks) lines(data []byte) {
	for {
		line, rest, ended := bytes.Cut(data, []byte{'\n'})
		if !ended {
			if len(c.line)+len(line) > maxLine {
				c.err = wire.ErrFrameTooLarge
				return
			}
			c.line = append(c.line, line...)
			return
		}
		c.line = append(c.line, line...)
		c.emit()
		data = rest
	}
}

func (c *chunks) emit() {
	line := bytes.TrimRight(c.line, "\r")
	if bytes.HasPrefix(line, []byte{'{'}) {
		c.out = append(c.out, "data: "...)
		c.out = append(c.out, line...)
		c.out = append(c.out, '\n')
	} else {
		c.out = append(c.out, line...)
	}
	c.out = append(c.out, '\n')
	c.line = c.line[:0]
}

// flush gives out a last line that nothing ended.
func (c *chunks) flush() {
	if len(c.line) > 0 {
		c.emit()
		c.out = append(c.out, '\n')
	}
}

// exception becomes the error event of the dialect inside.
func (c *chunks) exception(kind string, data []byte) {
	var body struct {
		Message  string `json:"message"`
		Original string `json:"originalMessage"`
	}
	if json.Unmarshal(data, &body) != nil {
		body.Message = strings.ToValidUTF8(string(data[:min(len(data), 500)]), "")
	}
	message := cmp.Or(body.Message, body.Original, kind)
	c.flush()
	var obj []byte
	if c.named {
		obj = append(obj, `{"type":"error","error":{"type":`...)
		obj = quote(obj, errorWord(kind))
		obj = append(obj, `,"message":`...)
		obj = append(quote(obj, message), "}}"...)
		c.out = wire.AppendSSE(c.out, "error", obj)
	} else {
		obj = append(obj, `{"error":{"message":`...)
		obj = quote(obj, message)
		obj = append(obj, `,"type":`...)
		obj = append(quote(obj, kind), "}}"...)
		c.out = wire.AppendSSE(c.out, "", obj)
	}
	c.err = io.EOF
}

// errorWord is Anthropic's word for an exception of Bedrock's.
func errorWord(kind string) string {
	switch strings.ToLower(kind) {
	case "throttlingexception":
		return "rate_limit_error"
	case "validationexception":
		return "invalid_request_error"
	case "serviceunavailableexception", "modelnotreadyexception":
		return "overloaded_error"
	case "modeltimeoutexception":
		return "timeout_error"
	}
	return "api_error"
}

// quote appends a JSON string; what is not UTF-8 is mended.
func quote(dst []byte, s string) []byte {
	out, err := jsontext.AppendQuote(dst, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return append(dst, `""`...)
	}
	return out
}
