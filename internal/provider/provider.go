// Package provider knows the upstream kinds: where each is reached, with what credentials and signature, which dialects it speaks and
// in what it differs from them.
//
// An OpenAI-compatible provider is one row of table.go; one that needs code is one file and one line of registry.go. The package makes
// requests and never sends them, except for the tokens some providers want first (Factory.HTTP). It is on the hot path; proxy, route
// and app import it.
package provider

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// Upstream is one configured connection to a provider for one deployment. Immutable but for its cached tokens, safe for concurrent use.
type Upstream struct {
	// Provider is the upstream kind in LiteLLM's word: openai, groq, bedrock ...
	Provider string
	// Model is the upstream's own name for the model, without the words that choose a route (responses/, converse/).
	Model string
	// Base is the address without query and credentials, for people to read.
	Base string
	// Dialects are those the upstream speaks, best first.
	Dialects []llm.Dialect
	// Ops are the operations the upstream offers; see Supports.
	Ops    Ops
	Quirks Quirks
	// Target is what an encoder must know of this upstream.
	Target llm.Target

	driver driver
	header http.Header                           // on every request: the deployment's own headers
	guess  func(model string) (*Upstream, error) // of a model that is * alone: the provider follows from the name
	broken error                                 // why no request can be made
	route  string                                // the form that the model takes, in its driver's words
	region string                                // where the model is, for clouds that have places
}

// Quirks are a provider's differences from OpenAI's chat completions, for bodies that are passed on as they are.
type Quirks struct {
	// Rename maps a parameter to the provider's own word for it.
	Rename map[string]string
	// Drop lists the parameters the provider answers with an error.
	Drop []string
	// NoStreamUsage: the provider refuses stream_options, and mostly reports usage without being asked.
	NoStreamUsage bool
}

// Ops is a set of operations.
type Ops uint32

var allOps = []llm.Op{llm.OpChat, llm.OpCompletion, llm.OpEmbed, llm.OpCount, llm.OpRerank, llm.OpModerate, llm.OpImage, llm.OpSpeech,
	llm.OpTranscribe, llm.OpImageEdit, llm.OpTranslation}

// OpsOf makes a set.
func OpsOf(list ...llm.Op) Ops {
	var s Ops
	for _, op := range list {
		for i := range allOps {
			if allOps[i] == op {
				s |= 1 << i
			}
		}
	}
	return s
}

// Has tells whether op is in the set.
func (s Ops) Has(op llm.Op) bool { return s&OpsOf(op) != 0 }

// List gives the members in a fixed order.
func (s Ops) List() []llm.Op {
	var out []llm.Op
	for _, op := range allOps {
		if s.Has(op) {
			out = append(out, op)
		}
	}
	return out
}

// Doer sends the requests for tokens: egress's client, or a test's.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Factory makes upstreams. HTTP must be set where a provider fetches tokens; a nil Env is an empty environment, a nil Now the clock.
type Factory struct {
	Env  func(string) string
	HTTP Doer
	Now  func() time.Time
}

// New makes the upstream of one entry of the model list. No request is sent and, unless the entry needs it, no file read. An error names
// the setting and what to do about it, and never a secret.
func (f Factory) New(p config.Params, info config.ModelInfo) (*Upstream, error) {
	f = f.complete()
	if p.Model == "*" && p.Provider == "" {
		return &Upstream{Provider: "*", Model: "*", guess: func(model string) (*Upstream, error) {
			q := p
			q.Model = model
			return f.New(q, info)
		}}, nil
	}
	name, model, err := split(p)
	if err != nil {
		return nil, err
	}
	s := &setup{Factory: f, p: p, info: info, provider: name}
	d, base, err := s.driver()
	if err != nil {
		return nil, err
	}
	u := &Upstream{Provider: name, Model: model, Base: base, driver: d, header: headers(p)}
	u.shape()
	return u, nil
}

func (f Factory) complete() Factory {
	if f.Env == nil {
		f.Env = func(string) string { return "" }
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	return f
}

func headers(p config.Params) http.Header {
	h := make(http.Header, len(p.Headers)+2)
	h["User-Agent"] = []string{"weir"}
	for k, v := range p.Headers {
		h.Set(k, v)
	}
	return h
}

// WithModel is the same connection for another model: what the * of a wildcard deployment stands for. It shares tokens and addresses
// with u. A model that can't be served gives an Upstream whose requests fail.
func (u *Upstream) WithModel(name string) *Upstream {
	if u.guess != nil {
		v, err := u.guess(name)
		if err != nil {
			return &Upstream{Provider: u.Provider, Model: name, broken: llm.Invalid("model", "model %s can't be routed: %v", name, err)}
		}
		return v
	}
	c := *u
	c.Model = name
	c.shape()
	return &c
}

// shape lets the driver complete what follows from the model.
func (u *Upstream) shape() {
	u.driver.shape(u)
	max, reasons := u.Target.MaxOutput, u.Target.Reasons
	u.Target = llm.Target{Model: u.Model, Provider: u.Provider, MaxOutput: max, Reasons: reasons}
}

// Supports tells whether the upstream offers the operation for this model.
func (u *Upstream) Supports(op llm.Op) bool { return u.Ops.Has(op) }

// String names the upstream without anything secret.
func (u Upstream) String() string { return u.Provider + "/" + u.Model }

// GoString keeps the credentials out of %#v.
func (u Upstream) GoString() string { return "provider.Upstream(" + u.String() + ")" }

// Format keeps the credentials out of every verb, %+v included.
func (u Upstream) Format(s fmt.State, _ rune) { io.WriteString(s, u.String()) }

// call is one request to be made.
type call struct {
	ctx     context.Context
	op      llm.Op
	dialect llm.Dialect
	stream  bool
	body    [][]byte
}

var jsonType = []string{"application/json"}

// Request makes the HTTP request of one attempt: address, headers, credentials, signature, the body in one part or several. Those are the
// caller's and must stay as they are until the response is done. An error is an *llm.Error, or says that the address can't be built.
func (u *Upstream) Request(ctx context.Context, op llm.Op, d llm.Dialect, stream bool, body ...[]byte) (*http.Request, error) {
	if u.broken != nil {
		return nil, u.broken
	}
	if u.driver == nil {
		return nil, llm.Invalid("model", "model %s stands for many: a call must name one", u.Model)
	}
	c := &call{ctx: ctx, op: op, dialect: d, stream: stream, body: body}
	to, err := u.driver.address(u, c)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "", nil)
	if err != nil {
		return nil, fmt.Errorf("make the upstream request: %w", err)
	}
	req.URL, req.Host = to, to.Host
	egress.SetBody(req, body...)
	req.Header = make(http.Header, len(u.header)+6)
	req.Header["Content-Type"] = jsonType
	for k, v := range u.header {
		req.Header[k] = v
	}
	if err := u.driver.authorize(u, req, c); err != nil {
		return nil, err
	}
	return req, nil
}

// Codec speaks dialect d to this upstream, nil where the dialect's own package does.
func (u *Upstream) Codec(d llm.Dialect) llm.Spoken {
	if u.driver == nil {
		return nil
	}
	return u.driver.codec(u, d)
}

// Embed speaks the upstream's embeddings, nil where OpenAI's do.
func (u *Upstream) Embed() llm.SpokenEmbed {
	if u.driver == nil {
		return nil
	}
	return u.driver.embed(u)
}

// Edits are the top-level changes that a body in dialect d needs for this upstream, beside the model's name. They go before any other
// edit of the same field: an upstream that has the model in its address wants none in the body.
func (u *Upstream) Edits(op llm.Op, d llm.Dialect, stream bool) []wire.Edit {
	if u.driver == nil {
		return nil
	}
	return u.driver.edits(u, &call{op: op, dialect: d, stream: stream})
}

// EventStream tells whether streamed answers come framed as AWS's event stream instead of server-sent events.
func (u *Upstream) EventStream(d llm.Dialect) bool {
	return u.driver != nil && u.driver.eventStream(u, d)
}

// Unwrap reads a streamed answer's server-sent events out of the provider's own framing; nil if there is none.
func (u *Upstream) Unwrap(d llm.Dialect, body io.Reader) io.Reader {
	if u.driver == nil {
		return nil
	}
	return u.driver.unwrap(u, d, body)
}

// driver is a provider's code. A value belongs to one deployment and the Upstreams made from it by WithModel; safe for concurrent use.
type driver interface {
	// shape sets what follows from the model: Dialects, Ops, Quirks, and Model without its route. It may be called again on a copy.
	shape(u *Upstream)
	// address is where a call goes. The URL may be shared between requests: nobody changes it.
	address(u *Upstream, c *call) (*url.URL, error)
	// authorize adds the credentials, or signs. Headers that the deployment sets itself are there already and win.
	authorize(u *Upstream, req *http.Request, c *call) error

	codec(u *Upstream, d llm.Dialect) llm.Spoken
	embed(u *Upstream) llm.SpokenEmbed
	edits(u *Upstream, c *call) []wire.Edit
	eventStream(u *Upstream, d llm.Dialect) bool
	unwrap(u *Upstream, d llm.Dialect, body io.Reader) io.Reader
}

// plain is the part of a driver that most providers don't need.
type plain struct{}

func (plain) codec(*Upstream, llm.Dialect) llm.Spoken            { return nil }
func (plain) embed(*Upstream) llm.SpokenEmbed                    { return nil }
func (plain) edits(*Upstream, *call) []wire.Edit                 { return nil }
func (plain) eventStream(*Upstream, llm.Dialect) bool            { return false }
func (plain) unwrap(*Upstream, llm.Dialect, io.Reader) io.Reader { return nil }

// setup is what a driver is made from.
type setup struct {
	Factory
	p        config.Params
	info     config.ModelInfo
	provider string
}

// driver makes the driver of the provider, and gives the address to show.
func (s *setup) driver() (driver, string, error) {
	if build, ok := registry()[s.provider]; ok {
		return build(s)
	}
	row, ok := find(s.provider)
	if !ok {
		return nil, "", fmt.Errorf("model %q: unknown provider %q: use one of the documented names, or openai/%s with api_base for any OpenAI-compatible server",
			s.p.Model, s.provider, s.p.Model)
	}
	return newCompatible(s, row)
}

// env is the first variable of the list that is set.
func (s *setup) env(names ...string) string {
	for _, n := range names {
		if v := strings.TrimSpace(s.Env(n)); v != "" {
			return v
		}
	}
	return ""
}

// key is the API key: the entry's, or the first variable that is set.
func (s *setup) key(names ...string) config.Secret {
	if s.p.APIKey != "" {
		return s.p.APIKey
	}
	return config.Secret(s.env(names...))
}

// missing says that a setting has no value, and which would do.
func missing(setting string, variables ...string) error {
	if len(variables) == 0 {
		return fmt.Errorf("%s missing: set litellm_params.%s", setting, setting)
	}
	return fmt.Errorf("%s missing: set litellm_params.%s or %s", setting, setting, strings.Join(variables, " or "))
}

// bearer sets the Authorization header unless the deployment brought its own.
func bearer(h http.Header, token string) {
	if _, own := h["Authorization"]; !own {
		h["Authorization"] = []string{"Bearer " + token}
	}
}

// setOnce sets a header, by its canonical name, unless the deployment brought its own.
func setOnce(h http.Header, name, value string) {
	if _, own := h[name]; !own {
		h[name] = []string{value}
	}
}
