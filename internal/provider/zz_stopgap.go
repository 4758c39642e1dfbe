// DELETE THIS FILE (git rm) when landing the real package: it only keeps the tree building until then.

// Package provider is a stopgap until the real one lands.
package provider

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"crypto/sha256"
	"encoding/hex"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

type Quirks struct {
	Rename        map[string]string
	Drop          []string
	NoStreamUsage bool
}
type Upstream struct {
	Provider, Model, Base string
	Dialects              []llm.Dialect
	Quirks                Quirks
	Target                llm.Target
	p                     config.Params
}
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}
type Factory struct {
	Env  func(string) string
	HTTP Doer
	Now  func() time.Time
}
type Found struct{ Provider, Variable, Wildcard string }
type Row struct{ Name, BaseURL string }

func (Row) KeyVariable() string              { return "" }
func Table() []Row                           { return nil }
func Detect(env func(string) string) []Found { return nil }

func (f Factory) New(p config.Params, info config.ModelInfo) (*Upstream, error) {
	prov, model, ok := strings.Cut(p.Model, "/")
	if !ok {
		prov, model = "openai", p.Model
	}
	u := &Upstream{Provider: prov, Model: model, Base: strings.TrimSuffix(p.APIBase, "/"), p: p}
	switch prov {
	case "demo":
		u.Base = "http://demo.weir.internal"
		u.Dialects = llm.Dialects
	case "anthropic":
		u.Dialects = []llm.Dialect{llm.Anthropic}
	case "bedrock":
		u.Base = p.AWS.RuntimeEndpoint
		u.Dialects = []llm.Dialect{llm.Converse}
	case "gemini":
		u.Dialects = []llm.Dialect{llm.Gemini}
	default:
		u.Dialects = []llm.Dialect{llm.OpenAI}
		if m, ok := strings.CutPrefix(model, "responses/"); ok {
			u.Model, u.Dialects = m, []llm.Dialect{llm.Responses}
		}
	}
	u.Target = llm.Target{Model: u.Model, Provider: prov}
	return u, nil
}
func (u *Upstream) WithModel(name string) *Upstream {
	c := *u
	c.Model, c.Target.Model = name, name
	return &c
}
func (u *Upstream) Supports(op llm.Op) bool                        { return op != llm.OpCompletion || u.Provider == "demo" }
func (u *Upstream) Codec(llm.Dialect) llm.Spoken                   { return nil }
func (u *Upstream) Embed() llm.SpokenEmbed                         { return nil }
func (u *Upstream) Edits(llm.Op, llm.Dialect, bool) []wire.Edit    { return nil }
func (u *Upstream) EventStream(d llm.Dialect) bool                 { return d == llm.Converse }
func (u *Upstream) Unwrap(d llm.Dialect, body io.Reader) io.Reader { return nil }
func (u *Upstream) Request(ctx context.Context, op llm.Op, d llm.Dialect, stream bool, body []byte) (*http.Request, error) {
	base := strings.TrimSuffix(u.Base, "/v1")
	var path string
	switch {
	case op == llm.OpEmbed:
		path = "/v1/embeddings"
	case op == llm.OpCount && d == llm.Anthropic:
		path = "/v1/messages/count_tokens"
	case op == llm.OpCount && d == llm.Gemini:
		path = "/v1beta/models/" + u.Model + ":countTokens"
	case op == llm.OpCompletion:
		path = "/v1/completions"
	case d == llm.OpenAI:
		path = "/v1/chat/completions"
	case d == llm.Responses:
		path = "/v1/responses"
	case d == llm.Anthropic:
		path = "/v1/messages"
	case d == llm.Converse:
		path = "/model/" + url.PathEscape(u.Model) + "/converse"
		if stream {
			path += "-stream"
		}
	case d == llm.Gemini:
		path = "/v1beta/models/" + url.PathEscape(u.Model) + ":generateContent"
		if stream {
			path = "/v1beta/models/" + url.PathEscape(u.Model) + ":streamGenerateContent?alt=sse"
		}
	}
	req, err := http.NewRequestWithContext(ctx, "POST", base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+u.p.APIKey.Reveal())
	if d == llm.Anthropic {
		req.Header.Set("X-Api-Key", u.p.APIKey.Reveal())
	}
	if u.Provider == "bedrock" {
		sum := sha256.Sum256(body)
		err = v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: u.p.AWS.AccessKeyID.Reveal(), SecretAccessKey: u.p.AWS.SecretAccessKey.Reveal()}, req, hex.EncodeToString(sum[:]), "bedrock", u.p.AWS.Region, time.Now())
	}
	return req, err
}
