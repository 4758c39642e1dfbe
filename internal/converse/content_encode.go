package converse

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// ToolName is the name under which a tool is offered to Bedrock, which takes letters, digits, _ and -, 64 at most. Another name is cleaned
// and told apart by a piece of its hash; a call in the answer bears that name.
func ToolName(name string) string { return clean(name, "", 64) }

// toolID is id as Bedrock takes it: letters, digits, _ . : and -, 64 at most.
func toolID(id string) string { return clean(id, ".:", 64) }

func clean(s, also string, limit int) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-', strings.ContainsRune(also, r):
			return r
		}
		return '_'
	}, s)
	if out == s && s != "" && len(s) <= limit {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return out[:min(len(out), limit-9)] + "_" + hex.EncodeToString(sum[:4])
}

// media writes a media block. The part's media must be one that Bedrock takes, with its word.
func (w *writer) media(p *llm.Part, word, name string) {
	w.object(map[llm.Kind]string{
		llm.KindImage: "image", llm.KindDocument: "document", llm.KindVideo: "video", llm.KindAudio: "audio",
	}[p.Kind])
	m := p.Media
	if word != "" {
		w.str("format", word)
	}
	if p.Kind == llm.KindDocument {
		w.str("name", name)
	}
	w.object("source")
	switch pieces := p.Extra[contentKey]; {
	case m.URL != "" && llm.IsSet(p.Extra[s3Key]):
		w.raw("s3Location", p.Extra[s3Key])
	case m.URL != "":
		w.object("s3Location")
		w.str("uri", m.URL)
		w.end('}')
	case llm.IsSet(pieces):
		w.raw("content", pieces)
	case m.Text != "" && m.Data == "":
		w.str("text", m.Text)
	default:
		w.str("bytes", m.Data)
	}
	w.end('}')
	if p.Kind == llm.KindDocument {
		if m.Context != "" {
			w.str("context", m.Context)
		}
		if m.Cited {
			w.object("citations")
			w.bool("enabled", true)
			w.end('}')
		}
	}
	w.end('}')
}

func (w *writer) reasoning(text, signature string) {
	w.object("")
	w.object("reasoningContent")
	w.object("reasoningText")
	w.str("text", text)
	if signature != "" {
		w.str("signature", signature)
	}
	w.b = append(w.b, "}}}"...)
}

func (w *writer) redacted(data string) {
	w.object("")
	w.object("reasoningContent")
	w.str("redactedContent", data)
	w.b = append(w.b, "}}"...)
}

func (w *writer) toolUse(id, name string, input llm.Raw) {
	w.object("")
	w.object("toolUse")
	w.str("toolUseId", id)
	w.str("name", name)
	w.raw("input", input)
	w.b = append(w.b, "}}"...)
}

// text writes a text block, with its citations if Bedrock can tell where they point.
func (w *writer) text(s string, citations []llm.Citation) {
	w.object("")
	if !anyCitable(citations) {
		w.str("text", s)
		w.end('}')
		return
	}
	w.object("citationsContent")
	w.array("content")
	w.object("")
	w.str("text", s)
	w.end('}')
	w.end(']')
	w.array("citations")
	for i := range citations {
		if c := &citations[i]; citable(c) {
			w.citation(c)
		}
	}
	w.end(']')
	w.b = append(w.b, "}}"...)
}

func anyCitable(list []llm.Citation) bool {
	for i := range list {
		if citable(&list[i]) {
			return true
		}
	}
	return false
}

func citable(c *llm.Citation) bool {
	if c.From == llm.Converse && c.Raw.Kind() == '{' {
		return true
	}
	switch c.Kind {
	case "url", "char", "page", "block", "search_result":
		return true
	}
	return false
}

func (w *writer) citation(c *llm.Citation) {
	if c.From == llm.Converse && c.Raw.Kind() == '{' {
		w.raw("", c.Raw)
		return
	}
	w.object("")
	if c.Title != "" {
		w.str("title", c.Title)
	}
	if c.Kind == "search_result" && c.URL != "" {
		w.str("source", c.URL)
	}
	if c.CitedText != "" {
		w.array("sourceContent")
		w.object("")
		w.str("text", c.CitedText)
		w.b = append(w.b, "}]"...)
	}
	w.object("location")
	if c.Kind == "url" {
		w.object("web")
		w.str("url", c.URL)
		if u, err := url.Parse(c.URL); err == nil && u.Hostname() != "" {
			w.str("domain", u.Hostname())
		}
		w.b = append(w.b, "}}}"...)
		return
	}
	w.object(map[string]string{
		"char": "documentChar", "page": "documentPage", "block": "documentChunk", "search_result": "searchResultLocation",
	}[c.Kind])
	index := "documentIndex"
	if c.Kind == "search_result" {
		index = "searchResultIndex"
	}
	w.int(index, max(0, c.Document))
	w.int("start", max(0, c.Start))
	w.int("end", max(0, c.End))
	w.b = append(w.b, "}}}"...)
}

func (w *writer) cachePoint(ttl string) {
	w.object("")
	w.object("cachePoint")
	w.str("type", "default")
	if ttl != "" {
		w.str("ttl", ttl)
	}
	w.b = append(w.b, "}}"...)
}
