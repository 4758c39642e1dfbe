package proxy

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
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
	if c.op == llm.OpSpeech {
		input, _ := c.doc.Str("input")
		c.characters = int64(utf8.RuneCountInString(input))
	}
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

// flatCost is what a call costs that is not counted in tokens: a search to rerank, the characters of a speech.
func (c *call) flatCost() llm.Nanos {
	var usd float64
	switch c.op {
	case llm.OpRerank:
		usd, _ = c.target.Price.USD("input_cost_per_query")
	case llm.OpSpeech:
		perCharacter, _ := c.target.Price.USD("input_cost_per_character")
		usd = perCharacter * float64(c.characters)
	}
	return llm.Nanos(usd*1e9 + 0.5)
}

// contentTypeOf puts a form's own type in the place of JSON's.
func (c *call) contentTypeOf(req *http.Request) {
	if c.form != nil {
		req.Header["Content-Type"] = c.form
	}
}
