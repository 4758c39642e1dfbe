package converse

import (
	"encoding/base64"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// place is where a part stands; not every block may stand everywhere.
type place uint8

const (
	onlyText  place = iota // system
	inMessage              // a user's turn
	inAnswer               // an assistant's turn
	inResult               // a tool's result
)

func (w place) turn() bool { return w == inMessage || w == inAnswer }

// usable is the parts that a request can carry, in a form of their own where another dialect's needs one. The rest is dropped and, unless
// nobody could want it, named.
func (e *encoder) usable(parts []llm.Part, where place) []llm.Part {
	out := make([]llm.Part, 0, len(parts))
	for i := range parts {
		p, ok := e.use(parts[i], where)
		if ok {
			out = append(out, p)
		} else if parts[i].Cache != nil && len(out) > 0 && out[len(out)-1].Cache == nil {
			out[len(out)-1].Cache = parts[i].Cache
		}
	}
	return out
}

func (e *encoder) use(p llm.Part, where place) (llm.Part, bool) {
	if !e.own {
		e.dropExtra("messages.", p.Extra)
		p.Extra = nil
		p.Cache = e.cacheFor(p.Cache)
	}
	switch p.Kind {
	case llm.KindRefusal:
		p.Kind = llm.KindText
		fallthrough
	case llm.KindText:
		if e.own {
			return p, p.Text != "" // Bedrock refuses empty text
		}
		return p, strings.TrimSpace(p.Text) != ""
	case llm.KindJSON:
		if where == inResult && (e.own || p.Raw.Kind() == '{') {
			return p, len(p.Raw) > 0
		}
		return llm.Part{Kind: llm.KindText, Text: string(p.Raw), Cache: p.Cache}, len(p.Raw) > 0
	case llm.KindReasoning:
		return p, where.turn() && (e.trusted(p.Signature, p.SignedBy) || e.own && p.Signature == "")
	case llm.KindRedacted:
		return p, where.turn() && e.trusted(p.Data, p.SignedBy)
	case llm.KindNative:
		return e.useNative(p)
	case llm.KindToolCall:
		return p, where.turn() && p.Call != nil
	case llm.KindToolResult:
		if p.Result == nil || !where.turn() {
			return p, false
		}
		r := *p.Result
		r.Parts = e.usable(r.Parts, inResult)
		p.Result = &r
		return p, true
	case llm.KindImage, llm.KindDocument, llm.KindAudio, llm.KindVideo:
		return e.useMedia(p, where)
	}
	return p, false
}

// trusted says whether a signed or redacted part may go to the model: Bedrock takes back its own, and its Claude models Anthropic's.
func (e *encoder) trusted(signature string, by llm.Dialect) bool {
	return signature != "" && (by == llm.Converse || by == llm.Anthropic && (e.f.claude() || e.f.maker == ""))
}

// callID is the id of a call as the model takes it: Claude has no . and : in it, though Bedrock has.
func (e *encoder) callID(id string) string {
	if e.f.claude() {
		return ToolName(id)
	}
	return toolID(id)
}

// cacheFor is a foreign cache mark as the model takes it.
func (e *encoder) cacheFor(c *llm.CacheMark) *llm.CacheMark {
	switch {
	case c == nil:
		return nil
	case !e.f.caches():
		e.drop("cache_control")
		return nil
	case c.TTL == "1h" && e.f.cachesLong():
		return c
	}
	return &llm.CacheMark{}
}

func (e *encoder) useNative(p llm.Part) (llm.Part, bool) {
	if e.own {
		return p, len(p.Raw) > 0
	}
	o := llm.ObjectOf(p.Raw)
	kind := llm.StringOf(o.Get("type"))
	if kind == "search_result" { // Anthropic's form of Bedrock's block
		var s struct {
			Source  string `json:"source"`
			Title   string `json:"title"`
			Content []struct {
				Text string `json:"text"`
			} `json:"content"`
			Citations struct {
				Enabled bool `json:"enabled"`
			} `json:"citations"`
		}
		if wire.Unmarshal(p.Raw, &s) == nil {
			w := writer{}
			w.Object("")
			w.Str("source", s.Source)
			w.Str("title", s.Title)
			w.Array("content")
			for _, c := range s.Content {
				w.Object("")
				w.Str("text", c.Text)
				w.End("}")
			}
			w.End("]")
			if s.Citations.Enabled {
				w.Raw("citations", llm.Raw(`{"enabled":true}`))
			}
			w.End("}")
			return llm.Part{Kind: llm.KindDocument, Extra: map[string]llm.Raw{searchKey: w.Buf}, Media: &llm.Media{}, Cache: p.Cache}, true
		}
	}
	if kind == "" {
		kind = string(llm.KindNative)
	}
	e.drop("messages." + kind)
	return p, false
}

// mediaNames are OpenAI's words for the kinds.
var mediaNames = map[llm.Kind]string{
	llm.KindImage: "messages.image_url", llm.KindDocument: "messages.file", llm.KindAudio: "messages.input_audio", llm.KindVideo: "messages.video_url",
}

// useMedia brings a file into the form that Bedrock takes: base64 or text of a known format, or an address in S3. An address on the web
// stays, for blocks to refuse.
func (e *encoder) useMedia(p llm.Part, where place) (llm.Part, bool) {
	name := mediaNames[p.Kind]
	if where == inAnswer && !e.own { // only the user shows things; what the assistant said aloud it has also said in words
		if p.Media != nil && p.Media.Transcript != "" {
			return llm.Part{Kind: llm.KindText, Text: p.Media.Transcript, Cache: p.Cache}, true
		}
		e.drop(name)
		return p, false
	}
	if p.Media == nil || where == onlyText && !(e.own && llm.IsSet(p.Extra[guardKey])) || p.Kind == llm.KindAudio && where == inResult ||
		!e.own && (p.Kind == llm.KindAudio || p.Kind == llm.KindVideo) && e.deaf() {
		e.drop(name)
		return p, false
	}
	m := *p.Media
	p.Media = &m
	if e.own && (m.URL == "" || !strings.HasPrefix(m.URL, "data:")) {
		return p, true
	}
	if strings.HasPrefix(m.URL, "data:") {
		mime, data, ok := splitDataURL(m.URL)
		if !ok {
			e.drop(name)
			return p, false
		}
		m.MIME, m.Data, m.URL = mime, data, ""
	}
	switch {
	case m.FileID != "":
		name += ".file_id" // a file that another provider keeps
	case NeedsInline(&p):
		return p, true
	case m.URL != "" && !strings.HasPrefix(m.URL, "s3://"):
	case m.URL == "" && m.Data == "" && m.Text == "":
	default:
		if p.Kind == llm.KindDocument && m.Text != "" && m.Data == "" && !e.f.claude() {
			m.Data, m.Text = base64.StdEncoding.EncodeToString([]byte(m.Text)), ""
			if m.MIME == "" {
				m.MIME = "text/plain"
			}
		}
		if word := wordOf(p.Kind, &m); word != "" {
			m.MIME = mimeOf(p.Kind, word)
			return p, true
		}
	}
	e.drop(name)
	return p, false
}

// deaf says that the model takes neither sound nor film.
func (e *encoder) deaf() bool {
	switch e.f.maker {
	case "claude", "llama", "gpt-oss", "titan", "cohere", "ai21", "deepseek":
		return true
	}
	return false
}

// blocks writes parts that use let through.
func (e *encoder) blocks(parts []llm.Part, path string) {
	for i := range parts {
		p := &parts[i]
		if NeedsInline(p) && e.err == nil {
			e.err = llm.Invalid(at(path, i)+"."+string(p.Kind),
				"Bedrock can't fetch %s: send the bytes as base64, or an s3:// address", strings.SplitN(p.Media.URL, "?", 2)[0])
		}
		e.part(p, at(path, i))
		if p.Cache != nil {
			e.cachePoint(p.Cache.TTL)
		}
	}
}

func (e *encoder) part(p *llm.Part, path string) {
	guard := p.Extra[guardKey]
	switch p.Kind {
	case llm.KindText:
		e.textPart(p, guard)
	case llm.KindJSON:
		e.Object("")
		e.Raw("json", p.Raw)
		e.End("}")
	case llm.KindNative:
		e.Raw("", p.Raw)
	case llm.KindReasoning:
		by := p.SignedBy
		if by == llm.Anthropic {
			by = "" // the same signatures
		}
		e.writer.reasoning(p.Text, llm.JoinSignature(p.Signature, by, llm.Converse))
	case llm.KindRedacted:
		e.redacted(joinRedacted(p.Data, llm.Converse))
	case llm.KindToolCall:
		e.toolUse(e.callID(p.Call.ID), ToolName(p.Call.Name), p.Call.ArgumentsObject())
	case llm.KindToolResult:
		e.Object("")
		e.Object("toolResult")
		e.Str("toolUseId", e.callID(p.Result.CallID))
		e.Array("content")
		e.blocks(p.Result.Parts, path+".toolResult.content")
		e.End("]")
		if p.Result.IsError && (e.own || e.f.claude() || e.f.nova() || e.f.maker == "") {
			e.Str("status", "error")
		}
		e.End("}}")
	default:
		e.mediaPart(p, guard)
	}
}

func (e *encoder) textPart(p *llm.Part, guard llm.Raw) {
	switch {
	case llm.IsSet(guard):
		e.Object("")
		e.Object("guardContent")
		e.Object("text")
		e.Str("text", p.Text)
		for _, m := range llm.ObjectOf(guard) {
			e.Member(m.Name, m.Value)
		}
		e.End("}}}")
	case llm.IsSet(p.Extra[citationKey]):
		e.Object("")
		e.Raw("citationsContent", p.Extra[citationKey])
		e.End("}")
	case e.own, e.f.claude() && sourced(p.Citations):
		e.text(p.Text, p.Citations)
	default:
		e.text(p.Text, nil)
	}
}

// sourced says that all citations point into documents of the conversation, which is what a request may repeat.
func sourced(list []llm.Citation) bool {
	for i := range list {
		switch list[i].Kind {
		case "char", "page", "block":
		default:
			return false
		}
	}
	return true
}

func (e *encoder) mediaPart(p *llm.Part, guard llm.Raw) {
	e.Object("")
	if llm.IsSet(p.Extra[searchKey]) {
		e.Raw("searchResult", p.Extra[searchKey])
		e.End("}")
		return
	}
	word, name := "", ""
	if p.Kind != llm.KindDocument || p.Media.MIME != "" {
		word = wordOf(p.Kind, p.Media)
	}
	if p.Kind == llm.KindDocument {
		name = p.Media.Name
		if !e.own || name == "" {
			name = e.names.pick(name, word)
		}
	}
	if llm.IsSet(guard) {
		e.Object("guardContent")
	}
	e.media(p, word, name)
	if llm.IsSet(guard) {
		e.End("}")
	}
	e.End("}")
}
