package provider

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
)

// huggingDriver is Hugging Face: the router, which speaks OpenAI's chat for all its models, or a server of one's own. Such a server is
// spoken to in OpenAI's chat too, which TGI has had since version 1.4, unless its address ends in /generate or the entry's mode is
// completion; embeddings are always those of TEI.
type huggingDriver struct {
	plain
	base     *url.URL // without a version
	router   bool
	generate bool
	key      config.Secret
}

func newHugging(s *setup) (driver, string, error) {
	d := &huggingDriver{key: s.key("HUGGINGFACE_API_KEY", "HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN")}
	given := cmp.Or(s.p.APIBase, s.env("HUGGINGFACE_API_BASE", "HF_API_BASE"))
	if d.key == "" && given == "" {
		return nil, "", missing("api_key", "HUGGINGFACE_API_KEY", "HF_TOKEN")
	}
	if err := clean("api_key", d.key); err != nil {
		return nil, "", err
	}
	base, err := parseBase("api_base", cmp.Or(given, "https://router.huggingface.co/v1"))
	if err != nil {
		return nil, "", err
	}
	show := shown(base)
	before := base
	base = cutPath(base, "/generate_stream", "/generate")
	d.generate = base != before || (s.info.Mode == "completion" && given != "")
	base = cutPath(base, "/chat/completions", "/embeddings", "/embed")
	d.base, _ = cutVersion(base)
	d.router = d.base.Host == "router.huggingface.co" && d.base.Path == ""
	return d, show, nil
}

func (d *huggingDriver) shape(u *Upstream) {
	u.Dialects = []llm.Dialect{llm.OpenAI}
	u.Ops = chatEmbed
	u.Quirks = oldMaxTokens
	// The router wants organization/model:provider for LiteLLM's provider/organization/model.
	if parts := strings.Split(u.Model, "/"); d.router && len(parts) == 3 && !strings.Contains(u.Model, "*") {
		u.Model = parts[1] + "/" + parts[2] + ":" + parts[0]
	}
	u.Model = strings.TrimPrefix(u.Model, "tgi/")
}

func (d *huggingDriver) address(u *Upstream, c *call) (*url.URL, error) {
	switch {
	case c.op == llm.OpEmbed && d.router:
		model, _, _ := strings.Cut(u.Model, ":")
		return join(d.base, "/hf-inference/models/"+escapePath(model)+"/pipeline/feature-extraction")
	case c.op == llm.OpEmbed:
		return join(d.base, "/embed")
	case d.generate && c.stream:
		return join(d.base, "/generate_stream")
	case d.generate:
		return join(d.base, "/generate")
	}
	return join(d.base, "/v1/chat/completions")
}

func (d *huggingDriver) authorize(_ *Upstream, req *http.Request, _ *call) error {
	if d.key != "" {
		bearer(req.Header, d.key.Reveal())
	}
	return nil
}

func (d *huggingDriver) codec(_ *Upstream, dialect llm.Dialect) llm.Spoken {
	if !d.generate || dialect != llm.OpenAI {
		return nil
	}
	return generate{}
}

func (d *huggingDriver) embed(*Upstream) llm.SpokenEmbed { return teiEmbed{} }

// teiEmbed speaks TEI's embed API: texts in, bare vectors out.
type teiEmbed struct{}

func (teiEmbed) EncodeEmbed(dst []byte, req *llm.EmbedRequest, _ *llm.Target) ([]byte, []string, error) {
	texts, err := inputTexts(req, "this upstream")
	if err != nil {
		return dst, nil, err
	}
	b := struct {
		Inputs    []string `json:"inputs"`
		Normalize llm.Raw  `json:"normalize,omitzero"`
		Truncate  llm.Raw  `json:"truncate,omitzero"`
	}{Inputs: texts}
	var d drops
	for name, v := range req.Extra {
		switch name {
		case "normalize":
			b.Normalize = v
		case "truncate":
			b.Truncate = v
		default:
			d.when(string(v) != "null", name)
		}
	}
	d.when(req.Dimensions != nil, "dimensions")
	d.when(req.User != "", "user")
	out, err := appendObject(dst, b, "input")
	return out, d, err
}

// DecodeEmbed reads bare vectors, or an object that holds them.
func (teiEmbed) DecodeEmbed(body []byte) (*llm.EmbedResponse, error) {
	var vectors [][]float32
	if err := json.Unmarshal(body, &vectors, upstreamJSON); err != nil {
		var wrapped struct {
			Embeddings [][]float32 `json:"embeddings"`
			Embedding  [][]float32 `json:"embedding"`
		}
		if json.Unmarshal(body, &wrapped, upstreamJSON) != nil {
			return nil, unreadable("embedding", err)
		}
		vectors = append(wrapped.Embeddings, wrapped.Embedding...)
	}
	if len(vectors) == 0 {
		return nil, unreadable("embedding", nil)
	}
	return &llm.EmbedResponse{Vectors: vectors}, nil
}
