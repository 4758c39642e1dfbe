package provider

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
)

const (
	anthropicVersion = "2023-06-01"
	// oauthBeta lets the Messages API take the OAuth tokens of Claude subscriptions.
	oauthBeta = "oauth-2025-04-20"
)

// anthropicDriver is Anthropic's own API.
type anthropicDriver struct {
	plain
	chat, count *url.URL
	key         config.Secret
	oauth       bool // the key is a bearer token
}

func newAnthropic(s *setup) (driver, string, error) {
	d := &anthropicDriver{key: s.key("ANTHROPIC_API_KEY")}
	if d.key == "" {
		d.key, d.oauth = config.Secret(s.env("ANTHROPIC_AUTH_TOKEN")), true
	}
	if d.key == "" && s.p.APIBase == "" {
		return nil, "", missing("api_key", "ANTHROPIC_API_KEY")
	}
	if err := clean("api_key", d.key); err != nil {
		return nil, "", err
	}
	d.oauth = d.oauth || strings.HasPrefix(d.key.Reveal(), "sk-ant-oat")
	base, err := s.address("https://api.anthropic.com", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE")
	if err != nil {
		return nil, "", err
	}
	d.chat, d.count, err = messagesURLs(base)
	return d, shown(base), err
}

// messagesURLs are the endpoints of the Messages API under a base with or without its version.
func messagesURLs(base *url.URL) (chat, count *url.URL, err error) {
	base = cutPath(base, "/messages/count_tokens", "/messages")
	base, version := cutVersion(base)
	if version == "" {
		version = "/v1"
	}
	if chat, err = join(base, version+"/messages"); err != nil {
		return nil, nil, err
	}
	count, err = join(base, version+"/messages/count_tokens")
	return chat, count, err
}

// address is api_base, else the first variable that is set, else the usual address.
func (s *setup) address(usual string, variables ...string) (*url.URL, error) {
	if s.p.APIBase != "" {
		return parseBase("api_base", s.p.APIBase)
	}
	for _, name := range variables {
		if v := s.env(name); v != "" {
			return parseBase(name, v)
		}
	}
	if usual == "" {
		return nil, missing("api_base", variables...)
	}
	return parseBase("api_base", usual)
}

func (d *anthropicDriver) shape(u *Upstream) {
	u.Dialects = []llm.Dialect{llm.Anthropic}
	u.Ops = OpsOf(llm.OpChat, llm.OpCount)
}

func (d *anthropicDriver) address(_ *Upstream, c *call) (*url.URL, error) {
	if c.op == llm.OpCount {
		return d.count, nil
	}
	return d.chat, nil
}

func (d *anthropicDriver) authorize(_ *Upstream, req *http.Request, _ *call) error {
	setOnce(req.Header, "Anthropic-Version", anthropicVersion)
	switch {
	case d.key == "":
	case d.oauth:
		bearer(req.Header, d.key.Reveal())
		addBeta(req.Header, oauthBeta)
	default:
		setOnce(req.Header, "X-Api-Key", d.key.Reveal())
	}
	return nil
}

// addBeta adds to the comma-separated list in Anthropic-Beta.
func addBeta(h http.Header, beta string) {
	if now := h.Get("Anthropic-Beta"); now != "" {
		beta = now + "," + beta
	}
	h["Anthropic-Beta"] = []string{beta}
}
