package converse

import (
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// reader reads content blocks: a client's strictly, an upstream's as well as it can.
type reader struct{ lenient bool }

func (r reader) unmarshal(raw llm.Raw, v any, path string) *llm.Error {
	var err error
	if r.lenient {
		err = wire.Unmarshal(raw, v)
	} else {
		err = json.Unmarshal(raw, v)
	}
	if err == nil {
		return nil
	}
	return badField(err, path)
}

// content reads a list of blocks. A cachePoint marks the part before it.
func (r reader) content(list []llm.Raw, path string) ([]llm.Part, *llm.Error) {
	parts := make([]llm.Part, 0, len(list))
	for i, raw := range list {
		p, e := r.block(raw, at(path, i))
		if e != nil {
			return nil, e
		}
		if mark := cacheMark(p); mark != nil && len(parts) > 0 && parts[len(parts)-1].Cache == nil {
			parts[len(parts)-1].Cache = mark
			continue
		}
		if p.Kind != "" {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

type wireCachePoint struct {
	Type string `json:"type"`
	TTL  string `json:"ttl"`
}

// cacheMark is the mark that a native part stands for, nil if it is no cachePoint.
func cacheMark(p llm.Part) *llm.CacheMark {
	if p.Kind != llm.KindNative {
		return nil
	}
	var c struct {
		Point *wireCachePoint `json:"cachePoint"`
	}
	if wire.Unmarshal(p.Raw, &c) != nil || c.Point == nil {
		return nil
	}
	return &llm.CacheMark{TTL: c.Point.TTL}
}

const blockHint = "a content block has one member: text, image, document, video, audio, toolUse, toolResult, reasoningContent, citationsContent, " +
	"cachePoint, guardContent or searchResult"

// block reads one block. Blocks that only Bedrock knows stay as they are.
func (r reader) block(raw llm.Raw, path string) (llm.Part, *llm.Error) {
	if raw.Kind() != '{' {
		if r.lenient {
			return llm.Part{}, nil
		}
		return llm.Part{}, llm.Invalid(path, "the value must be an object: "+blockHint)
	}
	name, value, n := "", llm.Raw(nil), 0
	for _, m := range llm.ObjectOf(raw) {
		// Some clients write a type beside the one member that counts.
		if m.Name != "type" && llm.IsSet(m.Value) {
			name, value = m.Name, m.Value
			n++
		}
	}
	if n != 1 && !r.lenient {
		return llm.Part{}, llm.Invalid(path, blockHint)
	}
	if n == 0 {
		return llm.Part{}, nil
	}
	path = llm.JoinPath(path, name)
	switch name {
	case "text":
		var s string
		e := r.unmarshal(value, &s, path)
		return llm.Part{Kind: llm.KindText, Text: s}, e
	case "image":
		return r.media(llm.KindImage, value, path)
	case "document":
		return r.media(llm.KindDocument, value, path)
	case "video":
		return r.media(llm.KindVideo, value, path)
	case "audio":
		return r.media(llm.KindAudio, value, path)
	case "toolUse":
		return r.toolUse(raw, value, path)
	case "toolResult":
		return r.toolResult(raw, value, path)
	case "reasoningContent":
		return r.reasoning(value, path)
	case "citationsContent":
		return r.citations(value, path)
	case "guardContent":
		return r.guarded(raw, value, path)
	case "searchResult":
		return r.searchResult(value, path)
	case "json":
		return llm.Part{Kind: llm.KindJSON, Raw: value}, nil
	case "cachePoint":
		var c wireCachePoint
		if e := r.unmarshal(value, &c, path); e != nil {
			return llm.Part{}, e
		}
	}
	return llm.Part{Kind: llm.KindNative, Raw: raw}, nil
}

type wireSource struct {
	Bytes   *string `json:"bytes"`
	S3      llm.Raw `json:"s3Location"`
	Text    *string `json:"text"`
	Content []struct {
		Text string `json:"text"`
	} `json:"content"`
}

type wireMedia struct {
	Format    string      `json:"format"`
	Name      string      `json:"name"`
	Source    *wireSource `json:"source"`
	Context   string      `json:"context"`
	Citations *struct {
		Enabled bool `json:"enabled"`
	} `json:"citations"`
}

// Names in Part.Extra.
const (
	guardKey    = "guardContent"     // the block's members but its content: the part is to be checked by the guardrail
	searchKey   = "searchResult"     // the whole block that a document part was read from
	contentKey  = "content"          // a document's source in pieces, whose joined text the part has
	citationKey = "citationsContent" // the whole block where a part's citations don't say all of it
	s3Key       = "s3Location"       // the address with its bucket's owner
)

func (r reader) media(kind llm.Kind, raw llm.Raw, path string) (llm.Part, *llm.Error) {
	var w wireMedia
	if e := r.unmarshal(raw, &w, path); e != nil {
		return llm.Part{}, e
	}
	m := &llm.Media{Name: w.Name, Context: w.Context, Cited: w.Citations != nil && w.Citations.Enabled}
	p := llm.Part{Kind: kind, Media: m}
	if w.Format != "" {
		if m.MIME = mimeOf(kind, w.Format); m.MIME == "" {
			if !r.lenient {
				return p, llm.Invalid(path+".format", "%q is not a format of this block: use one of %s", w.Format, words(kind))
			}
			m.MIME = string(kind) + "/" + w.Format
		}
	} else if !r.lenient && kind != llm.KindDocument {
		return p, llm.Invalid(path+".format", "the field is required: one of %s", words(kind))
	}
	src := w.Source
	switch {
	case src == nil && r.lenient:
		return llm.Part{}, nil
	case src == nil:
		return p, llm.Invalid(path+".source", "the field is required: bytes or s3Location")
	case src.Bytes != nil:
		m.Data = *src.Bytes
		if _, err := base64.StdEncoding.DecodeString(m.Data); err != nil && !r.lenient {
			return p, llm.Invalid(path+".source.bytes", "the value must be standard base64")
		}
	case llm.IsSet(src.S3):
		return p, r.s3(&p, src.S3, path+".source.s3Location")
	case src.Text != nil && kind == llm.KindDocument:
		m.Text = *src.Text
	case src.Content != nil && kind == llm.KindDocument:
		texts := make([]string, len(src.Content))
		for i := range src.Content {
			texts[i] = src.Content[i].Text
		}
		m.Text = strings.Join(texts, "\n\n")
		p.Extra = llm.WithExtra(p.Extra, contentKey, llm.ObjectOf(llm.ObjectOf(raw).Get("source")).Get("content"))
	case r.lenient:
		return llm.Part{}, nil
	default:
		return p, llm.Invalid(path+".source", "the value must have bytes or s3Location")
	}
	if m.MIME == "" && m.Text != "" {
		m.MIME = "text/plain"
	}
	return p, nil
}

func (r reader) s3(p *llm.Part, raw llm.Raw, path string) *llm.Error {
	var w struct {
		URI   string `json:"uri"`
		Owner string `json:"bucketOwner"`
	}
	if e := r.unmarshal(raw, &w, path); e != nil {
		return e
	}
	if !strings.HasPrefix(w.URI, "s3://") && !r.lenient {
		return llm.Invalid(path+".uri", "the value must be an address such as s3://bucket/key")
	}
	p.Media.URL = w.URI
	if w.Owner != "" {
		p.Extra = llm.WithExtra(p.Extra, s3Key, raw)
	}
	return nil
}

func words(kind llm.Kind) string {
	var list []string
	for _, f := range formats[kind] {
		list = append(list, f.word)
	}
	return strings.Join(list, ", ")
}

func (r reader) toolUse(raw, value llm.Raw, path string) (llm.Part, *llm.Error) {
	var w struct {
		ID    string  `json:"toolUseId"`
		Name  string  `json:"name"`
		Input llm.Raw `json:"input"`
		Type  string  `json:"type"`
	}
	if e := r.unmarshal(value, &w, path); e != nil {
		return llm.Part{}, e
	}
	if w.Type == "server_tool_use" {
		return llm.Part{Kind: llm.KindNative, Raw: raw}, nil
	}
	if !r.lenient {
		switch {
		case w.ID == "":
			return llm.Part{}, llm.Invalid(path+".toolUseId", "the field is required: the id that the toolResult names")
		case w.Name == "":
			return llm.Part{}, llm.Invalid(path+".name", "the field is required: the tool's name")
		}
	}
	call := &llm.ToolCall{ID: w.ID, Name: w.Name, Arguments: "{}"}
	switch w.Input.Kind() {
	case '"': // some models write their arguments as a text
		call.Arguments = llm.StringOf(w.Input)
	case 'n', 0:
	default:
		call.Arguments = compact(w.Input)
	}
	return llm.Part{Kind: llm.KindToolCall, Call: call}, nil
}

func (r reader) toolResult(raw, value llm.Raw, path string) (llm.Part, *llm.Error) {
	var w struct {
		ID      string    `json:"toolUseId"`
		Content []llm.Raw `json:"content"`
		Status  string    `json:"status"`
		Type    string    `json:"type"`
	}
	if e := r.unmarshal(value, &w, path); e != nil {
		return llm.Part{}, e
	}
	if w.Type != "" {
		return llm.Part{Kind: llm.KindNative, Raw: raw}, nil // of a tool that the provider runs
	}
	if !r.lenient {
		switch {
		case w.ID == "":
			return llm.Part{}, llm.Invalid(path+".toolUseId", "the field is required: the id of the toolUse it answers")
		case w.Status != "" && w.Status != "success" && w.Status != "error":
			return llm.Part{}, llm.Invalid(path+".status", "the value must be success or error, not %q", w.Status)
		}
	}
	parts, e := r.content(w.Content, path+".content")
	if e != nil {
		return llm.Part{}, e
	}
	return llm.Part{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: w.ID, Parts: parts, IsError: w.Status == "error"}}, nil
}

func (r reader) reasoning(value llm.Raw, path string) (llm.Part, *llm.Error) {
	var w struct {
		Text *struct {
			Text      string `json:"text"`
			Signature string `json:"signature"`
		} `json:"reasoningText"`
		Redacted *string `json:"redactedContent"`
	}
	if e := r.unmarshal(value, &w, path); e != nil {
		return llm.Part{}, e
	}
	switch {
	case w.Text != nil:
		p := llm.Part{Kind: llm.KindReasoning, Text: w.Text.Text}
		p.Signature, p.SignedBy = splitSignature(w.Text.Signature)
		return p, nil
	case w.Redacted != nil:
		p := llm.Part{Kind: llm.KindRedacted}
		p.Data, p.SignedBy = splitRedacted(*w.Redacted)
		return p, nil
	case r.lenient:
		return llm.Part{}, nil
	}
	return llm.Part{}, llm.Invalid(path, "the value must have reasoningText or redactedContent")
}

// splitSignature finds the signer of a signature: Bedrock, unless a name stands before it, and nobody of none.
func splitSignature(s string) (signature string, by llm.Dialect) {
	if s == "" {
		return "", ""
	}
	return llm.SplitSignature(s, llm.Converse)
}

// splitRedacted finds the signer of a redacted block, which is base64: a foreign one was wrapped by joinRedacted.
func splitRedacted(s string) (data string, by llm.Dialect) {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		if data, by = splitSignature(string(b)); by != llm.Converse && by != "" {
			return data, by
		}
	}
	return s, llm.Converse
}

func joinRedacted(s string, by llm.Dialect) string {
	if by == "" || by == llm.Converse {
		if _, err := base64.StdEncoding.DecodeString(s); err == nil {
			return s
		}
		by = llm.Converse
	}
	return base64.StdEncoding.EncodeToString([]byte(string(by) + "#" + s))
}

// guarded reads text or an image that the guardrail is to check.
func (r reader) guarded(raw, value llm.Raw, path string) (llm.Part, *llm.Error) {
	o := llm.ObjectOf(value)
	if t := o.Get("text"); llm.IsSet(t) {
		var w struct {
			Text string `json:"text"`
		}
		if e := r.unmarshal(t, &w, path+".text"); e != nil {
			return llm.Part{}, e
		}
		rest := llm.ObjectOf(t).Without("text").Raw()
		return llm.Part{Kind: llm.KindText, Text: w.Text, Extra: map[string]llm.Raw{guardKey: rest}}, nil
	}
	if i := o.Get("image"); llm.IsSet(i) {
		p, e := r.media(llm.KindImage, i, path+".image")
		if e == nil && p.Kind != "" {
			p.Extra = llm.WithExtra(p.Extra, guardKey, llm.Raw("{}"))
		}
		return p, e
	}
	if r.lenient {
		return llm.Part{Kind: llm.KindNative, Raw: raw}, nil
	}
	return llm.Part{}, llm.Invalid(path, "the value must have text or image")
}

func (r reader) searchResult(value llm.Raw, path string) (llm.Part, *llm.Error) {
	var w struct {
		Source  string `json:"source"`
		Title   string `json:"title"`
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
		Citations *struct {
			Enabled bool `json:"enabled"`
		} `json:"citations"`
	}
	if e := r.unmarshal(value, &w, path); e != nil {
		return llm.Part{}, e
	}
	texts := make([]string, len(w.Content))
	for i := range w.Content {
		texts[i] = w.Content[i].Text
	}
	return llm.Part{Kind: llm.KindDocument, Extra: map[string]llm.Raw{searchKey: value}, Media: &llm.Media{
		MIME: "text/plain", Text: strings.Join(texts, "\n\n"), Name: w.Title, Context: w.Source,
		Cited: w.Citations != nil && w.Citations.Enabled,
	}}, nil
}

// citations reads text with its sources.
func (r reader) citations(value llm.Raw, path string) (llm.Part, *llm.Error) {
	var w struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
		Citations []llm.Raw `json:"citations"`
	}
	p := llm.Part{Kind: llm.KindText}
	if e := r.unmarshal(value, &w, path); e != nil {
		return p, e
	}
	for i := range w.Content {
		p.Text += w.Content[i].Text
	}
	for i, raw := range w.Citations {
		c, e := r.citation(raw, at(path+".citations", i))
		if e != nil {
			return p, e
		}
		p.Citations = append(p.Citations, c)
	}
	if !r.lenient && (len(w.Content) != 1 || len(w.Citations) == 0) {
		p.Extra = map[string]llm.Raw{citationKey: value}
	}
	return p, nil
}

type wireSpan struct {
	Document int64  `json:"documentIndex"`
	Search   int64  `json:"searchResultIndex"`
	Start    int64  `json:"start"`
	End      int64  `json:"end"`
	URL      string `json:"url"`
}

func (r reader) citation(raw llm.Raw, path string) (llm.Citation, *llm.Error) {
	var w struct {
		Title   string `json:"title"`
		Source  string `json:"source"`
		Content []struct {
			Text string `json:"text"`
		} `json:"sourceContent"`
		Location struct {
			Web    *wireSpan `json:"web"`
			Char   *wireSpan `json:"documentChar"`
			Page   *wireSpan `json:"documentPage"`
			Chunk  *wireSpan `json:"documentChunk"`
			Search *wireSpan `json:"searchResultLocation"`
		} `json:"location"`
	}
	c := llm.Citation{Raw: raw.Clone(), From: llm.Converse}
	if e := r.unmarshal(raw, &w, path); e != nil {
		if r.lenient {
			e = nil
		}
		return c, e
	}
	c.Title = w.Title
	for i := range w.Content {
		c.CitedText += w.Content[i].Text
	}
	var s *wireSpan
	switch l := w.Location; {
	case l.Web != nil:
		c.Kind, c.URL = "url", l.Web.URL
		return c, nil
	case l.Char != nil:
		c.Kind, s = "char", l.Char
	case l.Page != nil:
		c.Kind, s = "page", l.Page
	case l.Chunk != nil:
		c.Kind, s = "block", l.Chunk
	case l.Search != nil:
		c.Kind, c.URL, s = "search_result", w.Source, l.Search
		s.Document = s.Search
	default:
		return c, nil
	}
	c.Document, c.Start, c.End = s.Document, s.Start, s.End
	return c, nil
}
