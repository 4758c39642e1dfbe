package proxy

import (
	"encoding/base64"
	"strings"

	"github.com/weir-gateway/weir/internal/converse"
	"github.com/weir-gateway/weir/internal/gemini"
	"github.com/weir-gateway/weir/internal/llm"
)

// maxMedia is the largest image or document fetched for an upstream that can't fetch itself, in bytes.
const maxMedia = 20 << 20

// needsInline says, per dialect, which parts can't be sent as an address.
var needsInline = map[llm.Dialect]func(*llm.Part) bool{
	llm.Converse: converse.NeedsInline,
	llm.Gemini:   gemini.NeedsInline,
}

// inlineMedia fetches what the client gave as an address for an upstream that wants the bytes. Only public addresses are fetched.
func (c *call) inlineMedia(req *llm.Request) *llm.Error {
	needs := needsInline[c.spoken]
	if needs == nil {
		return nil
	}
	for i := range req.Messages {
		if err := c.inlineParts(req.Messages[i].Parts, needs); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) inlineParts(parts []llm.Part, needs func(*llm.Part) bool) *llm.Error {
	for i := range parts {
		p := &parts[i]
		if p.Result != nil {
			if err := c.inlineParts(p.Result.Parts, needs); err != nil {
				return err
			}
		}
		if p.Media == nil || p.Media.URL == "" || !needs(p) {
			continue
		}
		data, mime, err := c.p.public.Fetch(c.ctx, p.Media.URL, maxMedia)
		if err != nil {
			e := llm.Invalid("messages", "the %s at %s could not be fetched for the upstream, which takes no addresses: send it inline as base64", p.Kind, hostOf(p.Media.URL))
			e.Cause = err
			return e
		}
		m := *p.Media
		m.URL, m.Data = "", base64.StdEncoding.EncodeToString(data)
		if mime, _, _ = strings.Cut(mime, ";"); m.MIME == "" {
			m.MIME = strings.TrimSpace(mime)
		}
		p.Media = &m
	}
	return nil
}

// hostOf names an address without its path and query, which may hold a signature.
func hostOf(url string) string {
	rest := url
	if _, after, ok := strings.Cut(url, "://"); ok {
		rest = after
	}
	host, _, _ := strings.Cut(rest, "/")
	if _, after, ok := strings.Cut(host, "@"); ok {
		host = after
	}
	return host
}
