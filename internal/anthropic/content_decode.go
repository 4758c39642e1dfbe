package anthropic

import (
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// block is any content block whose type this package understands; others stay native.
type block struct {
	Type         string             `json:"type"`
	Text         *string            `json:"text"`
	CacheControl *cacheControl      `json:"cache_control"`
	Citations    llm.Raw            `json:"citations"` // a list on text, {enabled} on documents
	Source       llm.Raw            `json:"source"`
	Title        *string            `json:"title"`
	Context      *string            `json:"context"`
	ID           string             `json:"id"`
	Name         string             `json:"name"`
	Input        llm.Raw            `json:"input"`
	ToolUseID    string             `json:"tool_use_id"`
	Content      llm.Raw            `json:"content"`
	IsError      *bool              `json:"is_error"`
	Thinking     *string            `json:"thinking"`
	Signature    string             `json:"signature"`
	Data         string             `json:"data"`
	Extra        map[string]llm.Raw `json:",embed"`
}

type cacheControl struct {
	Type string `json:"type"`
	TTL  string `json:"ttl"`
}

func (c *cacheControl) mark() *llm.CacheMark {
	if c == nil {
		return nil
	}
	return &llm.CacheMark{TTL: c.TTL}
}

type source struct {
	Type      string  `json:"type"`
	MediaType string  `json:"media_type"`
	Data      *string `json:"data"`
	URL       string  `json:"url"`
	FileID    string  `json:"file_id"`
	Content   llm.Raw `json:"content"`
}

// reader decodes content, either a client's, whose faults are named, or an upstream's.
type reader struct{ upstream bool }

func (r reader) unmarshal(raw llm.Raw, v any, path string) *llm.Error {
	var err error
	if r.upstream {
		err = wire.Unmarshal(raw, v)
	} else {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		return badField(err, path)
	}
	return nil
}

// content reads a string or a list of blocks.
func (r reader) content(raw llm.Raw, path string) ([]llm.Part, *llm.Error) {
	switch raw.Kind() {
	case '"':
		return []llm.Part{{Kind: llm.KindText, Text: llm.StringOf(raw)}}, nil
	case '[':
		var list []llm.Raw
		if e := r.unmarshal(raw, &list, path); e != nil {
			return nil, e
		}
		parts := make([]llm.Part, 0, len(list))
		for i, v := range list {
			p, e := r.part(v, at(path, i))
			if e != nil {
				return nil, e
			}
			parts = append(parts, p)
		}
		return parts, nil
	}
	return nil, llm.Invalid(path, "Input should be a string or a list of content blocks")
}

// part reads one block. A type nobody here knows becomes native.
func (r reader) part(raw llm.Raw, path string) (llm.Part, *llm.Error) {
	var head struct {
		Type *string `json:"type"`
	}
	if e := r.unmarshal(raw, &head, path); e != nil {
		return llm.Part{}, e
	}
	if head.Type == nil {
		return llm.Part{}, llm.Invalid(path+".type", "Field required: the kind of the block, such as \"text\"")
	}
	switch *head.Type {
	case "text", "image", "document", "search_result", "tool_use", "tool_result", "thinking", "redacted_thinking":
	default:
		return native(raw), nil
	}
	var b block
	if e := r.unmarshal(raw, &b, path); e != nil {
		return llm.Part{}, e
	}
	p := llm.Part{Cache: b.CacheControl.mark(), Extra: b.Extra}
	var e *llm.Error
	switch b.Type {
	case "text":
		e = r.text(&p, &b, path)
	case "image":
		p.Kind = llm.KindImage
		e = r.media(&p, &b, path)
	case "document":
		p.Kind = llm.KindDocument
		e = r.document(&p, &b, path)
	case "search_result":
		e = r.searchResult(&p, &b, raw, path)
	case "tool_use":
		e = r.toolUse(&p, &b, path)
	case "tool_result":
		e = r.toolResult(&p, &b, path)
	case "thinking":
		if b.Thinking == nil {
			return p, llm.Invalid(path+".thinking", "Field required")
		}
		p.Kind, p.Text = llm.KindReasoning, *b.Thinking
		p.Signature, p.SignedBy = llm.SplitSignature(b.Signature, llm.Anthropic)
	case "redacted_thinking":
		p.Kind = llm.KindRedacted
		p.Data, p.SignedBy = llm.SplitSignature(b.Data, llm.Anthropic)
	}
	return p, e
}

func native(raw llm.Raw) llm.Part {
	p := llm.Part{Kind: llm.KindNative, Raw: raw}
	var b struct {
		CacheControl *cacheControl `json:"cache_control"`
	}
	if wire.Unmarshal(raw, &b) == nil {
		p.Cache = b.CacheControl.mark()
	}
	return p
}

func (r reader) text(p *llm.Part, b *block, path string) *llm.Error {
	p.Kind = llm.KindText
	if b.Text == nil {
		return llm.Invalid(path+".text", "Field required")
	}
	p.Text = *b.Text
	if b.Citations.Kind() != '[' {
		return nil
	}
	var list []llm.Raw
	if e := r.unmarshal(b.Citations, &list, path+".citations"); e != nil {
		return e
	}
	for i, v := range list {
		c, e := r.citation(v, at(path+".citations", i))
		if e != nil {
			return e
		}
		p.Citations = append(p.Citations, c)
	}
	return nil
}

func (r reader) media(p *llm.Part, b *block, path string) *llm.Error {
	var s source
	path += ".source"
	if b.Source.Kind() != '{' {
		return llm.Invalid(path, "Field required: {\"type\": \"base64\" | \"url\" | \"file\" ...}")
	}
	if e := r.unmarshal(b.Source, &s, path); e != nil {
		return e
	}
	m := &llm.Media{MIME: s.MediaType}
	p.Media = m
	switch s.Type {
	case "base64":
		if s.Data == nil {
			return llm.Invalid(path+".data", "Field required: the bytes in base64")
		}
		if s.MediaType == "" {
			return llm.Invalid(path+".media_type", "Field required, such as \"image/png\"")
		}
		m.Data = *s.Data
	case "url":
		if s.URL == "" {
			return llm.Invalid(path+".url", "Field required")
		}
		m.URL = s.URL
	case "file":
		if s.FileID == "" {
			return llm.Invalid(path+".file_id", "Field required")
		}
		m.FileID = s.FileID
	case "text":
		if s.Data == nil {
			return llm.Invalid(path+".data", "Field required: the text")
		}
		m.Text = *s.Data
		if m.MIME == "" {
			m.MIME = "text/plain"
		}
	case "content":
		parts, e := r.content(s.Content, path+".content")
		if e != nil {
			return e
		}
		// Other dialects get the text; this one gets the blocks back as they were.
		m.Text, m.MIME = joined(parts), "text/plain"
		p.Extra = llm.WithExtra(p.Extra, "source", b.Source)
	default:
		return llm.Invalid(path+".type", "Input tag %q does not match any of the expected tags: base64, url, file, text, content", s.Type)
	}
	return nil
}

func (r reader) document(p *llm.Part, b *block, path string) *llm.Error {
	if e := r.media(p, b, path); e != nil {
		return e
	}
	if b.Title != nil {
		p.Media.Name = *b.Title
	}
	if b.Context != nil {
		p.Media.Context = *b.Context
	}
	if b.Citations.Kind() == '{' {
		var c struct {
			Enabled bool `json:"enabled"`
		}
		if e := r.unmarshal(b.Citations, &c, path+".citations"); e != nil {
			return e
		}
		p.Media.Cited = c.Enabled
	}
	return nil
}

// searchResult reads a search result as a plain-text document, which every dialect can say, and keeps the block for its own.
func (r reader) searchResult(p *llm.Part, b *block, raw llm.Raw, path string) *llm.Error {
	parts, e := r.content(b.Content, path+".content")
	if e != nil {
		return e
	}
	m := &llm.Media{MIME: "text/plain", Text: joined(parts)}
	if b.Title != nil {
		m.Name = *b.Title
	}
	if b.Source.Kind() == '"' {
		m.Context = "Source: " + llm.StringOf(b.Source)
	}
	*p = llm.Part{Kind: llm.KindDocument, Media: m, Cache: p.Cache, Extra: map[string]llm.Raw{searchResultKey: raw}}
	return nil
}

// searchResultKey holds a whole search_result block in the Extra of the document that stands for it.
const searchResultKey = "search_result"

func (r reader) toolUse(p *llm.Part, b *block, path string) *llm.Error {
	p.Kind = llm.KindToolCall
	if !r.upstream {
		switch {
		case b.ID == "":
			return llm.Invalid(path+".id", "Field required")
		case b.Name == "":
			return llm.Invalid(path+".name", "Field required")
		case b.Input.Kind() != '{':
			return llm.Invalid(path+".input", "Input should be a valid object")
		}
	}
	p.Call = &llm.ToolCall{ID: b.ID, Name: b.Name, Arguments: arguments(b.Input)}
	return nil
}

func arguments(input llm.Raw) string {
	if !llm.IsSet(input) {
		return "{}"
	}
	return string(input)
}

func (r reader) toolResult(p *llm.Part, b *block, path string) *llm.Error {
	p.Kind = llm.KindToolResult
	if b.ToolUseID == "" && !r.upstream {
		return llm.Invalid(path+".tool_use_id", "Field required: the id of the tool_use block that this answers")
	}
	p.Result = &llm.ToolResult{CallID: b.ToolUseID, IsError: b.IsError != nil && *b.IsError}
	if !llm.IsSet(b.Content) {
		return nil
	}
	var e *llm.Error
	p.Result.Parts, e = r.content(b.Content, path+".content")
	return e
}

// joined is the text of the parts, a blank line between two.
func joined(parts []llm.Part) string {
	var texts []string
	for i := range parts {
		if parts[i].Kind == llm.KindText {
			texts = append(texts, parts[i].Text)
		}
	}
	return strings.Join(texts, "\n\n")
}

// citation reads one of the five locations.
func (r reader) citation(raw llm.Raw, path string) (llm.Citation, *llm.Error) {
	var w struct {
		Type          string  `json:"type"`
		CitedText     string  `json:"cited_text"`
		URL           string  `json:"url"`
		Title         *string `json:"title"`
		DocumentTitle *string `json:"document_title"`
		FileID        *string `json:"file_id"`
		Document      int64   `json:"document_index"`
		SearchResult  int64   `json:"search_result_index"`
		Source        string  `json:"source"`
		StartChar     int64   `json:"start_char_index"`
		EndChar       int64   `json:"end_char_index"`
		StartPage     int64   `json:"start_page_number"`
		EndPage       int64   `json:"end_page_number"`
		StartBlock    int64   `json:"start_block_index"`
		EndBlock      int64   `json:"end_block_index"`
	}
	c := llm.Citation{Raw: raw, From: llm.Anthropic}
	if e := r.unmarshal(raw, &w, path); e != nil {
		return c, e
	}
	c.CitedText, c.Document = w.CitedText, w.Document
	for _, t := range []*string{w.Title, w.DocumentTitle} {
		if t != nil {
			c.Title = *t
		}
	}
	if w.FileID != nil {
		c.FileID = *w.FileID
	}
	switch w.Type {
	case "char_location":
		c.Kind, c.Start, c.End = "char", w.StartChar, w.EndChar
	case "page_location":
		c.Kind, c.Start, c.End = "page", w.StartPage, w.EndPage
	case "content_block_location":
		c.Kind, c.Start, c.End = "block", w.StartBlock, w.EndBlock
	case "web_search_result_location":
		c.Kind, c.URL = "url", w.URL
	case "search_result_location":
		c.Kind, c.URL, c.Document, c.Start, c.End = "search_result", w.Source, w.SearchResult, w.StartBlock, w.EndBlock
	}
	return c, nil
}
