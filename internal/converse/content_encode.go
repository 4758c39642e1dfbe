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
	w.Object(map[llm.Kind]string{
		llm.KindImage: "image", llm.KindDocument: "document", llm.KindVideo: "video", llm.KindAudio: "audio",
	}[p.Kind])
	m := p.Media
	if word != "" {
		w.Str("format", word)
	}
	if p.Kind == llm.KindDocument {
		w.Str("name", name)
	}
	w.Object("source")
	switch pieces := p.Extra[contentKey]; {
	case m.URL != "" && llm.IsSet(p.Extra[s3Key]):
		w.Raw("s3Location", p.Extra[s3Key])
	case m.URL != "":
		w.Object("s3Location")
		w.Str("uri", m.URL)
		w.End("}")
	case llm.IsSet(pieces):
		w.Raw("content", pieces)
	case m.Text != "" && m.Data == "":
		w.Str("text", m.Text)
	default:
		w.Str("bytes", m.Data)
	}
	w.End("}")
	if p.Kind == llm.KindDocument {
		if m.Context != "" {
			w.Str("context", m.Context)
		}
		if m.Cited {
			w.Object("citations")
			w.Bool("enabled", true)
			w.End("}")
		}
	}
	w.End("}")
}

func (w *writer) reasoning(text, signature string) {
	w.Object("")
	w.Object("reasoningContent")
	w.Object("reasoningText")
	w.Str("text", text)
	if signature != "" {
		w.Str("signature", signature)
	}
	w.End("}}}")
}

func (w *writer) redacted(data string) {
	w.Object("")
	w.Object("reasoningContent")
	w.Str("redactedContent", data)
	w.End("}}")
}

func (w *writer) toolUse(id, name string, input llm.Raw) {
	w.Object("")
	w.Object("toolUse")
	w.Str("toolUseId", id)
	w.Str("name", name)
	w.Raw("input", input)
	w.End("}}")
}

// text writes a text block, with its citations if Bedrock can tell where they point.
func (w *writer) text(s string, citations []llm.Citation) {
	w.Object("")
	if !anyCitable(citations) {
		w.Str("text", s)
		w.End("}")
		return
	}
	w.Object("citationsContent")
	w.Array("content")
	w.Object("")
	w.Str("text", s)
	w.End("}")
	w.End("]")
	w.Array("citations")
	for i := range citations {
		if c := &citations[i]; citable(c) {
			w.citation(c)
		}
	}
	w.End("]")
	w.End("}}")
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
		w.Raw("", c.Raw)
		return
	}
	w.Object("")
	if c.Title != "" {
		w.Str("title", c.Title)
	}
	if c.Kind == "search_result" && c.URL != "" {
		w.Str("source", c.URL)
	}
	if c.CitedText != "" {
		w.Array("sourceContent")
		w.Object("")
		w.Str("text", c.CitedText)
		w.End("}]")
	}
	w.Object("location")
	if c.Kind == "url" {
		w.Object("web")
		w.Str("url", c.URL)
		if u, err := url.Parse(c.URL); err == nil && u.Hostname() != "" {
			w.Str("domain", u.Hostname())
		}
		w.End("}}}")
		return
	}
	w.Object(map[string]string{
		"char": "documentChar", "page": "documentPage", "block": "documentChunk", "search_result": "searchResultLocation",
	}[c.Kind])
	index := "documentIndex"
	if c.Kind == "search_result" {
		index = "searchResultIndex"
	}
	w.Int(index, max(0, c.Document))
	w.Int("start", max(0, c.Start))
	w.Int("end", max(0, c.End))
	w.End("}}}")
}

func (w *writer) cachePoint(ttl string) {
	w.Object("")
	w.Object("cachePoint")
	w.Str("type", "default")
	if ttl != "" {
		w.Str("ttl", ttl)
	}
	w.End("}}")
}
