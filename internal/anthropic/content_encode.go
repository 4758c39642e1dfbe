package anthropic

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// usable is the parts that a request can carry, in a form of their own where another dialect's needs one. The rest is dropped and,
// unless nobody could want it, named.
func (e *encoder) usable(role llm.Role, parts []llm.Part) []llm.Part {
	out := make([]llm.Part, 0, len(parts))
	for i := range parts {
		p, ok := e.use(parts[i])
		switch {
		case !ok:
		case !e.own && (p.Kind == llm.KindImage || p.Kind == llm.KindDocument) && (role == llm.RoleSystem || role == llm.RoleAssistant):
			e.drop("messages." + string(p.Kind)) // only the user shows things
		default:
			out = append(out, p)
		}
	}
	return out
}

func (e *encoder) use(p llm.Part) (llm.Part, bool) {
	if !e.own {
		e.dropExtra("messages.", p.Extra)
		p.Extra = nil
	}
	switch p.Kind {
	case llm.KindRefusal:
		p.Kind = llm.KindText
		fallthrough
	case llm.KindText:
		return p, strings.TrimSpace(p.Text) != "" // Anthropic refuses empty text
	case llm.KindJSON:
		return llm.Part{Kind: llm.KindText, Text: string(p.Raw), Cache: p.Cache}, len(p.Raw) > 0
	case llm.KindReasoning:
		if e.own && p.SignedBy == llm.Anthropic {
			return p, true // a compatible server may not sign at all
		}
		return p, p.Signature != "" && trusted(p.SignedBy)
	case llm.KindRedacted:
		return p, p.Data != "" && trusted(p.SignedBy)
	case llm.KindNative:
		if !e.own {
			e.drop("messages." + nativeType(p.Raw))
		}
		return p, e.own && len(p.Raw) > 0
	case llm.KindToolCall:
		return p, p.Call != nil
	case llm.KindToolResult:
		if p.Result == nil {
			return p, false
		}
		r := *p.Result
		r.Parts = e.usable(llm.RoleTool, r.Parts)
		p.Result = &r
		return p, true
	case llm.KindImage, llm.KindDocument:
		m, name := e.mediaFor(p)
		if m == nil {
			e.drop(name)
			return p, false
		}
		p.Media = m
		return p, true
	case llm.KindAudio:
		e.drop("messages.input_audio")
	case llm.KindVideo:
		e.drop("messages.video")
	}
	return p, false
}

// trusted says whether Anthropic takes the dialect's signatures: its own, wherever the model runs.
func trusted(by llm.Dialect) bool { return by == llm.Anthropic || by == llm.Converse }

func nativeType(raw llm.Raw) string {
	if t := llm.StringOf(llm.ObjectOf(raw).Get("type")); t != "" {
		return t
	}
	return string(llm.KindNative)
}

// mediaFor is the image or document in a form that Anthropic takes: base64 of four image types or PDF, a link, a file of its own,
// plain text. Otherwise it is nil and name says what is lost.
func (e *encoder) mediaFor(p llm.Part) (m *llm.Media, name string) {
	name = "messages.image_url"
	if p.Kind == llm.KindDocument {
		name = "messages.file"
	}
	if p.Media == nil {
		return nil, name
	}
	c := *p.Media
	if e.own {
		return &c, name
	}
	if strings.HasPrefix(c.URL, "data:") {
		mime, data, ok := strings.Cut(strings.TrimPrefix(c.URL, "data:"), ";base64,")
		if !ok {
			return nil, name
		}
		c.MIME, c.Data, c.URL = mime, data, ""
	}
	switch {
	case c.URL != "":
		if !strings.HasPrefix(c.URL, "http://") && !strings.HasPrefix(c.URL, "https://") {
			return nil, name
		}
		return &c, name
	case c.FileID != "":
		return nil, name + ".file_id" // another provider's file
	case c.Text != "":
		return &c, name
	}
	if p.Kind == llm.KindImage {
		c.MIME = imageType(c.MIME, c.Data)
		return &c, name
	}
	return documentFor(&c), name
}

func documentFor(c *llm.Media) *llm.Media {
	mime, _, _ := strings.Cut(c.MIME, ";")
	switch {
	case mime == "application/pdf", mime == "" && strings.HasPrefix(c.Data, "JVBERi"):
		c.MIME = "application/pdf"
		return c
	case strings.HasPrefix(mime, "text/"), mime == "application/json", mime == "application/xml", mime == "application/yaml":
		b, err := base64.StdEncoding.DecodeString(c.Data)
		if err != nil {
			return nil
		}
		c.Text, c.Data = strings.ToValidUTF8(string(b), "\uFFFD"), ""
		return c
	}
	return nil
}

// imageType names the image's type as Anthropic does; where nobody said, its first bytes tell.
func imageType(mime, data string) string {
	switch {
	case mime == "image/jpg":
		return "image/jpeg"
	case mime != "" && mime != "application/octet-stream" && mime != "image/*":
		return mime
	case strings.HasPrefix(data, "/9j/"):
		return "image/jpeg"
	case strings.HasPrefix(data, "R0lG"):
		return "image/gif"
	case strings.HasPrefix(data, "UklGR"):
		return "image/webp"
	}
	return "image/png"
}

// part writes one block of a request. It expects what usable let through.
func (e *encoder) part(p *llm.Part) {
	if p.Kind == llm.KindNative {
		e.Raw("", p.Raw)
		return
	}
	if whole, ok := p.Extra[searchResultKey]; ok && p.Kind == llm.KindDocument {
		e.Raw("", whole)
		return
	}
	e.Object("")
	switch p.Kind {
	case llm.KindText:
		e.Str("type", "text")
		e.Str("text", p.Text)
		e.citations(p.Citations, true)
	case llm.KindReasoning:
		e.Str("type", "thinking")
		e.Str("thinking", p.Text)
		e.Str("signature", p.Signature)
	case llm.KindRedacted:
		e.Str("type", "redacted_thinking")
		e.Str("data", p.Data)
	case llm.KindImage:
		e.Str("type", "image")
		e.source(p)
	case llm.KindDocument:
		e.Str("type", "document")
		e.source(p)
		if p.Media.Name != "" {
			e.Str("title", p.Media.Name)
		}
		if p.Media.Context != "" {
			e.Str("context", p.Media.Context)
		}
		if p.Media.Cited {
			e.Object("citations")
			e.Bool("enabled", true)
			e.End("}")
		}
	case llm.KindToolCall:
		e.Str("type", "tool_use")
		e.Str("id", toolID(p.Call.ID))
		e.Str("name", p.Call.Name)
		e.Raw("input", p.Call.ArgumentsObject())
	case llm.KindToolResult:
		e.toolResult(p.Result)
	}
	e.cache(p.Cache)
	e.Extra(p.Extra, "source")
	e.End("}")
}

func (e *encoder) toolResult(r *llm.ToolResult) {
	e.Str("type", "tool_result")
	e.Str("tool_use_id", toolID(r.CallID))
	if len(r.Parts) > 0 {
		e.Array("content")
		for i := range r.Parts {
			e.part(&r.Parts[i])
		}
		e.End("]")
	}
	if r.IsError {
		e.Bool("is_error", true)
	}
}

func (e *encoder) source(p *llm.Part) {
	if whole, ok := p.Extra["source"]; ok {
		e.Raw("source", whole)
		return
	}
	m := p.Media
	e.Object("source")
	switch {
	case m.URL != "":
		e.Str("type", "url")
		e.Str("url", m.URL)
	case m.FileID != "":
		e.Str("type", "file")
		e.Str("file_id", m.FileID)
	case m.Data != "" || p.Kind == llm.KindImage || m.MIME == "application/pdf":
		e.Str("type", "base64")
		e.Str("media_type", m.MIME)
		e.Str("data", m.Data)
	default:
		e.Str("type", "text")
		e.Str("media_type", "text/plain")
		e.Str("data", m.Text)
	}
	e.End("}")
}

func (w *writer) cache(c *llm.CacheMark) {
	if c == nil {
		return
	}
	w.Object("cache_control")
	w.Str("type", "ephemeral")
	if c.TTL != "" {
		w.Str("ttl", c.TTL)
	}
	w.End("}")
}

// citations writes what is cited. Those of other dialects are for answers only: a request may not hold a location that Anthropic
// never gave.
func (w *writer) citations(list []llm.Citation, request bool) {
	open := false
	for i := range list {
		c := &list[i]
		own := c.From == llm.Anthropic && len(c.Raw) > 0
		if !own && (request || !citable(c)) {
			continue
		}
		if !open {
			w.Array("citations")
			open = true
		}
		w.citation(c)
	}
	if open {
		w.End("]")
	}
}

func citable(c *llm.Citation) bool {
	switch c.Kind {
	case "url", "char", "page", "block", "search_result":
		return true
	}
	return false
}

func (w *writer) citation(c *llm.Citation) {
	if c.From == llm.Anthropic && len(c.Raw) > 0 {
		w.Raw("", c.Raw)
		return
	}
	w.Object("")
	switch c.Kind {
	case "url":
		w.Str("type", "web_search_result_location")
		w.Str("url", c.URL)
		w.strOrNull("title", c.Title)
		w.Str("encrypted_index", "")
	case "search_result":
		w.Str("type", "search_result_location")
		w.Str("source", c.URL)
		w.strOrNull("title", c.Title)
		w.Int("search_result_index", c.Document)
		w.Int("start_block_index", c.Start)
		w.Int("end_block_index", c.End)
	default:
		w.Str("type", map[string]string{"char": "char_location", "page": "page_location", "block": "content_block_location"}[c.Kind])
		unit := map[string]string{"char": "char_index", "page": "page_number", "block": "block_index"}[c.Kind]
		w.Int("document_index", c.Document)
		w.strOrNull("document_title", c.Title)
		w.strOrNull("file_id", c.FileID)
		w.Int("start_"+unit, c.Start)
		w.Int("end_"+unit, c.End)
	}
	w.Str("cited_text", c.CitedText)
	w.End("}")
}

// toolID is id as Anthropic takes it: letters, digits, _ and -. Another id is cleaned and told apart by a piece of its hash, so that a
// call and its result still agree.
func toolID(id string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '_'
	}, id)
	if clean == id && id != "" {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "toolu_" + clean[:min(len(clean), 40)] + "_" + hex.EncodeToString(sum[:4])
}
