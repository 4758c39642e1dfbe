package provider

import (
	"net/http"
	"net/url"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// cohereDriver is Cohere's own API, version 2.
type cohereDriver struct {
	plain
	base *url.URL // without a version
	key  config.Secret
}

func newCohere(s *setup) (driver, string, error) {
	d := &cohereDriver{key: s.key("COHERE_API_KEY", "CO_API_KEY")}
	if d.key == "" && s.p.APIBase == "" {
		return nil, "", missing("api_key", "COHERE_API_KEY", "CO_API_KEY")
	}
	if err := clean("api_key", d.key); err != nil {
		return nil, "", err
	}
	base, err := s.address("https://api.cohere.com", "COHERE_API_BASE", "CO_API_URL")
	if err != nil {
		return nil, "", err
	}
	base = cutPath(base, "/chat", "/embed", "/rerank")
	show := shown(base)
	d.base, _ = cutVersion(base)
	return d, show, nil
}

func (d *cohereDriver) shape(u *Upstream) {
	u.Dialects = []llm.Dialect{llm.OpenAI}
	u.Ops = OpsOf(llm.OpChat, llm.OpEmbed, llm.OpRerank)
}

func (d *cohereDriver) address(_ *Upstream, c *call) (*url.URL, error) {
	switch c.op {
	case llm.OpEmbed:
		return join(d.base, "/v2/embed")
	case llm.OpRerank:
		return join(d.base, "/v2/rerank")
	}
	return join(d.base, "/v2/chat")
}

func (d *cohereDriver) authorize(_ *Upstream, req *http.Request, c *call) error {
	if d.key != "" {
		bearer(req.Header, d.key.Reveal())
	}
	if c.stream {
		setOnce(req.Header, "Accept", "text/event-stream")
	}
	return nil
}

func (d *cohereDriver) codec(_ *Upstream, dialect llm.Dialect) llm.Spoken {
	if dialect != llm.OpenAI {
		return nil
	}
	return cohereChat{}
}

func (d *cohereDriver) embed(*Upstream) llm.SpokenEmbed { return cohereEmbed{} }

// edits: version 2 of rerank returns no documents and refuses to be asked for them.
func (d *cohereDriver) edits(_ *Upstream, c *call) []wire.Edit {
	if c.op != llm.OpRerank {
		return nil
	}
	return []wire.Edit{{Name: "return_documents"}, {Name: "max_chunks_per_doc"}, {Name: "rank_fields"}}
}
