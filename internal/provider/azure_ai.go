package provider

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
)

const azureAIVersion = "2024-05-01-preview"

// azureAIDriver is Azure AI Foundry: models of many makers behind one resource in OpenAI's dialect, Claude in Anthropic's, and serverless
// endpoints with an address of their own.
type azureAIDriver struct {
	plain
	base    *url.URL
	version string
	foundry bool // a resource, with the key in a header of its own
	key     config.Secret
	token   *cached[string]
}

func newAzureAI(s *setup) (driver, string, error) {
	base, err := s.address("", "AZURE_AI_API_BASE")
	if err != nil {
		return nil, "", err
	}
	d := &azureAIDriver{version: cmp.Or(s.p.APIVersion, base.Query().Get("api-version"))}
	d.foundry = strings.HasSuffix(base.Hostname(), ".azure.com") && !strings.HasSuffix(base.Hostname(), ".models.ai.azure.com")
	if k := s.env("AZURE_AI_API_KEY"); s.p.APIKey == "" && k != "" {
		s.p.APIKey = config.Secret(k)
	}
	if d.key, d.token, err = s.azureCredentials(); err != nil {
		return nil, "", missing("api_key", "AZURE_AI_API_KEY")
	}
	show := shown(base)
	base = cutPath(base, append([]string{"/anthropic/v1/messages", "/anthropic/v1", "/anthropic"}, endpoints...)...)
	if base.Path == "" && d.foundry {
		base, err = withPath(base, "/models")
	} else if base.Path == "" {
		base, err = withPath(base, "/v1")
	}
	d.base = base
	if d.version == "" && strings.HasSuffix(base.Path, "/models") {
		d.version = azureAIVersion
	}
	return d, show, err
}

func (d *azureAIDriver) shape(u *Upstream) {
	if strings.HasPrefix(strings.ToLower(u.Model), "claude") {
		u.Dialects = []llm.Dialect{llm.Anthropic}
		u.Ops = OpsOf(llm.OpChat, llm.OpCount)
		return
	}
	u.Dialects = []llm.Dialect{llm.OpenAI}
	u.Ops = compatible
	u.Quirks = Quirks{}
	if !strings.HasSuffix(d.base.Path, "/openai/v1") {
		u.Quirks = oldMaxTokens
	}
}

func (d *azureAIDriver) address(_ *Upstream, c *call) (*url.URL, error) {
	if c.dialect == llm.Anthropic {
		base, err := join(cutPath(d.base, "/models", "/openai/v1", "/v1"), "/anthropic")
		if err != nil {
			return nil, err
		}
		chat, count, err := messagesURLs(base)
		if c.op == llm.OpCount {
			return count, err
		}
		return chat, err
	}
	p, err := openAIPath(c)
	if err != nil {
		return nil, err
	}
	a, err := join(d.base, p)
	if err != nil || d.version == "" {
		return a, err
	}
	return withQuery(a, "api-version", d.version), nil
}

func (d *azureAIDriver) authorize(u *Upstream, req *http.Request, c *call) error {
	if c.dialect == llm.Anthropic {
		setOnce(req.Header, "Anthropic-Version", anthropicVersion)
	}
	switch {
	case d.token != nil:
		t, err := d.token.get(c.ctx)
		if err != nil {
			return credentials(u.Provider, err)
		}
		bearer(req.Header, t)
	case c.dialect == llm.Anthropic:
		setOnce(req.Header, "X-Api-Key", d.key.Reveal())
	case d.foundry:
		setOnce(req.Header, "Api-Key", d.key.Reveal())
	default:
		bearer(req.Header, d.key.Reveal())
	}
	return nil
}
