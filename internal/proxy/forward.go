package proxy

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// required are the fields without which an operation makes no sense, by its path; chats and embeddings look after their own.
var required = map[llm.Op]struct {
	path   string
	fields []string
}{
	llm.OpModerate: {"/moderations", []string{"input"}}, llm.OpRerank: {"/rerank", []string{"query", "documents"}},
	llm.OpImage: {"/images/generations", []string{"prompt"}}, llm.OpSpeech: {"/audio/speech", []string{"input"}},
	llm.OpTranscribe: {"/audio/transcriptions", []string{"file"}}, llm.OpTranslation: {"/audio/translations", []string{"file"}},
	llm.OpImageEdit: {"/images/edits", []string{"prompt"}},
}

func missingField(path, field string) *llm.Error {
	return llm.Invalid(field, "%s: Missing required parameter: '%s'.", path, field)
}

// forward passes on what only OpenAI's dialect has and an upstream of it serves: images, moderations, speech, transcriptions, rerank.
func (c *call) forward() *llm.Error {
	if err := c.authenticate(); err != nil {
		return err
	}
	if err := c.readBody(); err != nil {
		return err
	}
	body, err := c.forwarded()
	if err != nil {
		return err
	}
	if err := c.reserve(); err != nil {
		return err
	}
	resp, err := c.send(c.op, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return c.upstreamError(resp, codecs[llm.OpenAI])
	}
	b, err := c.readReply(resp)
	if err != nil {
		return err
	}
	if from, to := wire.FindValue(b, "usage"); from >= 0 {
		tap := codecs[llm.OpenAI].NewTap()
		_ = tap.Body(append(append([]byte(`{"choices":[],"usage":`), b[from:to]...), '}')) // only the usage is wanted: the answer is not a chat's
		c.seen = *tap.Seen()
	}
	c.measureReply(b)
	c.contentType = resp.Header["Content-Type"]
	return c.reply(resp.Header, b)
}

// forwarded chooses the deployment and gives the body for it.
func (c *call) forwarded() ([]byte, *llm.Error) {
	c.spoken = llm.OpenAI
	c.rec.Out = c.spoken
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err == nil && kind == "multipart/form-data" {
		return c.forwardedForm(params["boundary"])
	}
	if err := c.scan(); err != nil {
		return nil, err
	}
	for _, field := range required[c.op].fields {
		if _, ok := c.doc.Get(field); !ok {
			return nil, missingField(required[c.op].path, field)
		}
	}
	if err := c.choose(); err != nil {
		return nil, err
	}
	edits, fail := c.edits()
	if fail != nil {
		return nil, fail
	}
	out := c.buffer()
	*out = c.doc.Splice(*out, edits...)
	c.measure()
	return *out, nil
}

// maxField bounds the model's name in a form, in bytes.
const maxField = 1 << 10

// forwardedForm is forwarded for a form with files: its parts as they came, but the model's name replaced and the gateway's own fields
// taken out.
func (c *call) forwardedForm(boundary string) ([]byte, *llm.Error) {
	seen := map[string]bool{}
	err := eachPart(c.body, boundary, func(p *multipart.Part) error {
		seen[p.FormName()] = true
		if p.FormName() != "model" || c.pathModel {
			return nil
		}
		name, err := io.ReadAll(io.LimitReader(p, maxField))
		c.model = string(name)
		return err
	})
	if err != nil {
		return nil, llm.Invalid("request_body", "Invalid form: %v", err)
	}
	if c.model == "" {
		return nil, missingField(required[c.op].path, "model")
	}
	for _, field := range required[c.op].fields {
		if !seen[field] {
			return nil, missingField(required[c.op].path, field)
		}
	}
	c.rec.Model = c.model
	if c.op == llm.OpImageEdit {
		c.units.Images, c.units.InputImages = 1, 1
	}
	c.readOwnHeaders()
	if err := c.choose(); err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(make([]byte, 0, len(c.body)+len(c.target.Upstream.Model)+256))
	w := multipart.NewWriter(out)
	if err := w.SetBoundary(boundary); err != nil {
		return nil, llm.Invalid("Content-Type", "the form's boundary is not one: %v", err)
	}
	err = eachPart(c.body, boundary, func(p *multipart.Part) error {
		switch name := p.FormName(); {
		case name == "model" || ownField([]byte(name)):
			return nil
		}
		to, err := w.CreatePart(p.Header)
		if err == nil {
			_, err = io.Copy(to, p)
		}
		return err
	})
	if err == nil {
		err = w.WriteField("model", c.target.Upstream.Model)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, llm.Invalid("request_body", "Invalid form: %v", err)
	}
	c.form = []string{w.FormDataContentType()}
	return out.Bytes(), nil
}

// eachPart reads a form part by part, contents as they were sent.
func eachPart(body []byte, boundary string, do func(*multipart.Part) error) error {
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(p); err != nil {
			return err
		}
	}
}

// measure notes what of a request is billed otherwise than by the token.
func (c *call) measure() {
	switch c.op {
	case llm.OpRerank:
		c.units.Queries = 1
	case llm.OpSpeech:
		input, _ := c.doc.Str("input")
		c.units.Characters = int64(utf8.RuneCountInString(input))
	case llm.OpImage:
		c.units.Images = 1
		if raw, ok := c.doc.Get("n"); ok {
			if n, err := strconv.ParseInt(string(raw), 10, 32); err == nil && n > 0 {
				c.units.Images = n
			}
		}
		size, _ := c.doc.Str("size")
		c.measureSize(size)
	}
}

func (c *call) measureSize(size string) {
	wide, high, _ := strings.Cut(size, "x")
	w, _ := strconv.ParseInt(wide, 10, 32) // "auto" is not said
	h, _ := strconv.ParseInt(high, 10, 32)
	if w > 0 && h > 0 {
		c.units.Width, c.units.Height = w, h
	}
}

// measureReply notes how long the sound was that the upstream heard, where it says so.
func (c *call) measureReply(b []byte) {
	if c.op != llm.OpTranscribe && c.op != llm.OpTranslation {
		return
	}
	raw := member(b, "duration")
	if raw == nil {
		raw = member(member(b, "usage"), "seconds")
	}
	if s, ok := seconds(strings.Trim(string(raw), `"`)); ok {
		c.units.InputAudio = s.Milliseconds()
	}
}

// billsUnits reports whether an operation may be billed otherwise than by the token.
func billsUnits(op llm.Op) bool {
	switch op {
	case llm.OpRerank, llm.OpSpeech, llm.OpImage, llm.OpImageEdit, llm.OpTranscribe, llm.OpTranslation:
		return true
	}
	return false
}

// contentTypeOf puts a form's own type in the place of JSON's.
func (c *call) contentTypeOf(req *http.Request) {
	if c.form != nil {
		req.Header["Content-Type"] = c.form
	}
}
