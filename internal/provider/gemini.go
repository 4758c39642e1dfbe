package provider

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/gemini"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// geminiDriver is the Gemini API (AI Studio).
type geminiDriver struct {
	plain
	base *url.URL // with its version
	key  config.Secret
}

func newGemini(s *setup) (driver, string, error) {
	d := &geminiDriver{key: s.key("GEMINI_API_KEY", "GOOGLE_API_KEY")}
	if d.key == "" && s.p.APIBase == "" {
		return nil, "", missing("api_key", "GEMINI_API_KEY", "GOOGLE_API_KEY")
	}
	if err := clean("api_key", d.key); err != nil {
		return nil, "", err
	}
	base, err := s.address("https://generativelanguage.googleapis.com", "GEMINI_API_BASE", "GOOGLE_GEMINI_BASE_URL")
	if err != nil {
		return nil, "", err
	}
	base = cutPath(base, "/models")
	show := shown(base)
	base, version := cutVersion(base)
	if version == "" {
		version = "/v1beta"
	}
	d.base, err = join(base, version)
	return d, show, err
}

func (d *geminiDriver) shape(u *Upstream) {
	u.Dialects = []llm.Dialect{llm.Gemini}
	u.Ops = OpsOf(llm.OpChat, llm.OpCount, llm.OpEmbed)
}

func (d *geminiDriver) address(u *Upstream, c *call) (*url.URL, error) {
	name := u.Model
	if !strings.Contains(name, "/") {
		name = "models/" + name // others: tunedModels/...
	}
	return geminiURL(d.base, "/"+escapePath(name), c)
}

// geminiURL adds a model's path and the method of the call.
func geminiURL(base *url.URL, path string, c *call) (*url.URL, error) {
	method := ":generateContent"
	switch {
	case c.op == llm.OpCount:
		method = ":countTokens"
	case c.op == llm.OpEmbed:
		method = ":embedContent"
		if start, _ := wire.FindValue(bytes.Join(c.body, nil), "requests"); start >= 0 {
			method = ":batchEmbedContents"
		}
	case c.stream:
		method = ":streamGenerateContent"
	}
	u, err := join(base, path+method)
	if err != nil {
		return nil, err
	}
	if c.stream && c.op == llm.OpChat {
		u = withQuery(u, "alt", "sse")
	}
	return u, nil
}

// escapePath escapes each segment of a path.
func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

func (d *geminiDriver) authorize(_ *Upstream, req *http.Request, _ *call) error {
	if d.key != "" {
		setOnce(req.Header, "X-Goog-Api-Key", d.key.Reveal())
	}
	return nil
}

func (d *geminiDriver) embed(*Upstream) llm.SpokenEmbed { return gemini.Embeddings }
