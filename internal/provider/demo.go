package provider

import (
	"net/http"
	"net/url"

	"github.com/aws/smithy-go/encoding/httpbinding"

	"github.com/weir-gateway/weir/internal/llm"
)

// DemoHost is the name under which egress finds the built-in model, in this process.
const DemoHost = "demo.weir.internal"

// demoDriver is the built-in model: every dialect on its standard path, no key.
type demoDriver struct {
	plain
	base *url.URL
}

func newDemo(s *setup) (driver, string, error) {
	base, err := s.address("http://" + DemoHost)
	if err != nil {
		return nil, "", err
	}
	return &demoDriver{base: base}, shown(base), nil
}

func (d *demoDriver) shape(u *Upstream) {
	u.Dialects = llm.Dialects
	u.Ops = OpsOf(llm.OpChat, llm.OpCompletion, llm.OpEmbed, llm.OpCount)
}

func (d *demoDriver) address(u *Upstream, c *call) (*url.URL, error) {
	switch {
	case c.dialect == llm.Gemini && c.op != llm.OpCompletion:
		return geminiURL(d.base, "/v1beta/models/"+escapePath(u.Model), c)
	case c.dialect == llm.Anthropic && c.op == llm.OpChat:
		return join(d.base, "/v1/messages")
	case c.dialect == llm.Anthropic && c.op == llm.OpCount:
		return join(d.base, "/v1/messages/count_tokens")
	case c.dialect == llm.Converse && (c.op == llm.OpChat || c.op == llm.OpCount):
		return join(d.base, "/model/"+httpbinding.EscapePath(u.Model, true)+converseMethod(c))
	}
	p, err := openAIPath(c)
	if err != nil {
		return nil, err
	}
	return join(d.base, "/v1"+p)
}

func (d *demoDriver) authorize(*Upstream, *http.Request, *call) error { return nil }

func (d *demoDriver) eventStream(_ *Upstream, dialect llm.Dialect) bool {
	return dialect == llm.Converse
}

// converseMethod is the last segment of Bedrock's path for a call in its own dialect.
func converseMethod(c *call) string {
	switch {
	case c.op == llm.OpCount:
		return "/count-tokens"
	case c.stream:
		return "/converse-stream"
	}
	return "/converse"
}
