package provider

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// paths are the endpoints of OpenAI's API below its version, by operation.
var paths = map[llm.Op]string{
	llm.OpChat: "/chat/completions", llm.OpCompletion: "/completions", llm.OpEmbed: "/embeddings", llm.OpRerank: "/rerank",
	llm.OpModerate: "/moderations", llm.OpImage: "/images/generations", llm.OpSpeech: "/audio/speech",
	llm.OpTranscribe: "/audio/transcriptions", llm.OpImageEdit: "/images/edits", llm.OpTranslation: "/audio/translations",
}

const responsesPath = "/responses"

// openAIPath is the endpoint of a call in OpenAI's API.
func openAIPath(c *call) (string, error) {
	if c.op == llm.OpChat && c.dialect == llm.Responses {
		return responsesPath, nil
	}
	if p, ok := paths[c.op]; ok {
		return p, nil
	}
	return "", llm.Invalid("model", "an OpenAI-compatible upstream has no %s", c.op)
}

// endpoints are the endings people configure when they take api_base for the whole address of a call.
var endpoints = []string{"/chat/completions", "/completions", "/embeddings", responsesPath}

// compat drives a row of the table.
type compat struct {
	plain
	row   *Row
	key   config.Secret
	keyed string // the Authorization value, made once
	org   string
	mode  string // model_info.mode
	urls  map[string]*url.URL
	noAsk []wire.Edit // takes stream_options out where it is refused
}

func newCompatible(s *setup, row *Row) (driver, string, error) {
	base, err := s.rowBase(row)
	if err != nil {
		return nil, "", err
	}
	d := &compat{row: row, key: s.key(row.Keys...), mode: s.info.Mode, urls: map[string]*url.URL{}}
	if d.key == "" && !row.NoKey && s.p.APIBase == "" {
		return nil, "", missing("api_key", row.Keys...)
	}
	if err := clean("api_key", d.key); err != nil {
		return nil, "", err
	}
	if d.key != "" {
		d.keyed = "Bearer " + d.key.Reveal()
	}
	if row.Name == "openai" || row.Name == "text-completion-openai" {
		if d.org = s.p.Organization; d.org == "" {
			d.org = s.env("OPENAI_ORGANIZATION", "OPENAI_ORG_ID")
		}
	}
	for _, p := range paths {
		if d.urls[p], err = join(base, p); err != nil {
			return nil, "", err
		}
	}
	if d.urls[responsesPath], err = join(base, responsesPath); err != nil {
		return nil, "", err
	}
	if row.Quirks.NoStreamUsage {
		d.noAsk = []wire.Edit{{Name: "stream_options"}}
	}
	return d, shown(base), nil
}

// rowBase is the address of a row's provider: the entry's, a variable's or the usual one.
func (s *setup) rowBase(row *Row) (*url.URL, error) {
	own, err := s.ownBase(row)
	if err != nil {
		return nil, err
	}
	given, setting := s.p.APIBase, "api_base"
	if given == "" {
		for _, name := range row.Bases {
			if v := s.env(name); v != "" {
				given, setting = v, name
				break
			}
		}
	}
	if setting == "OLLAMA_HOST" {
		given = ollamaHost(given)
	}
	if given == "" {
		if own == nil {
			return nil, missing("api_base", row.Bases...)
		}
		return own, nil
	}
	base, err := parseBase(setting, given)
	if err != nil {
		return nil, err
	}
	base = cutPath(base, endpoints...)
	if own == nil {
		own = &url.URL{Path: "/v1"}
	}
	return completed(base, own), nil
}

// ownBase is the row's own address with its variables filled in, nil if it has none or they are not set though another was given.
func (s *setup) ownBase(row *Row) (*url.URL, error) {
	base := row.BaseURL
	if base == "" {
		return nil, nil
	}
	if _, rest, ok := strings.Cut(base, "{"); ok {
		name, _, _ := strings.Cut(rest, "}")
		v := s.env(name)
		if v == "" {
			if s.p.APIBase != "" || s.env(row.Bases...) != "" {
				return nil, nil
			}
			return nil, fmt.Errorf("api_base missing: set litellm_params.api_base or %s", name)
		}
		base = strings.ReplaceAll(base, "{"+name+"}", url.PathEscape(v))
	}
	return parseBase("api_base", base)
}

// ollamaHost turns Ollama's own variable, which may be a bare host or port and mean where to listen, into an address.
func ollamaHost(v string) string {
	scheme, rest, ok := strings.Cut(v, "://")
	if !ok {
		scheme, rest = "http", v
	}
	host, path, _ := strings.Cut(rest, "/")
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), ""
	}
	if port == "" {
		port = "11434"
		if ok {
			port = map[string]string{"http": "80", "https": "443"}[scheme]
		}
	}
	if name == "" || name == "0.0.0.0" || name == "::" {
		name = "127.0.0.1"
	}
	return strings.TrimRight(scheme+"://"+net.JoinHostPort(name, port)+"/"+path, "/")
}

// clean refuses a credential that can't be sent in a header, which is mostly one with a line break at its end.
func clean(setting string, key config.Secret) error {
	if strings.ContainsFunc(key.Reveal(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%s holds a line break or control character: remove it", setting)
	}
	return nil
}

func (d *compat) shape(u *Upstream) {
	responses := false
	if m, ok := strings.CutPrefix(u.Model, "responses/"); ok {
		u.Model, responses = m, true
	}
	if p := d.row.ModelPrefix; p != "" && u.Model != "*" && !strings.ContainsAny(u.Model, "/#") {
		u.Model = p + u.Model
	}
	u.Quirks = d.row.Quirks
	u.Ops = d.row.Only
	if u.Ops == 0 {
		u.Ops = compatible
	}
	if d.row.Completions || d.mode == "completion" || (d.row.Name == "openai" && completionModel(u.Model)) {
		u.Ops |= textOnly
	}
	switch {
	case !u.Ops.Has(llm.OpChat) && !u.Ops.Has(llm.OpCompletion):
		u.Dialects = nil
	case responses || d.mode == "responses" || u.Dialects != nil && u.Dialects[0] == llm.Responses:
		u.Dialects = []llm.Dialect{llm.Responses} // alone: such models have no other
	case d.row.Responses && d.ownHost():
		u.Dialects = []llm.Dialect{llm.OpenAI, llm.Responses}
	default:
		u.Dialects = []llm.Dialect{llm.OpenAI}
	}
}

// ownHost tells whether the address is the provider's own: only there is the Responses API taken for granted.
func (d *compat) ownHost() bool {
	if d.row.BaseURL == "" {
		return true
	}
	own, err := url.Parse(d.row.BaseURL)
	if err != nil {
		return false
	}
	host := d.urls[responsesPath].Hostname()
	return host == own.Hostname() || d.row.Name == "openai" && strings.HasSuffix(host, ".api.openai.com")
}

// completionModel tells OpenAI's models of the legacy completions API by their names.
func completionModel(model string) bool {
	return strings.Contains(model, "-instruct") || slices.Contains([]string{"davinci-002", "babbage-002"}, model)
}

func (d *compat) address(_ *Upstream, c *call) (*url.URL, error) {
	p, err := openAIPath(c)
	if err != nil {
		return nil, err
	}
	return d.urls[p], nil
}

func (d *compat) authorize(_ *Upstream, req *http.Request, _ *call) error {
	if d.org != "" {
		setOnce(req.Header, "Openai-Organization", d.org)
	}
	switch {
	case d.keyed == "":
	case d.row.KeyHeader != "":
		setOnce(req.Header, d.row.KeyHeader, d.key.Reveal())
	default:
		setOnce(req.Header, "Authorization", d.keyed)
	}
	return nil
}

func (d *compat) edits(_ *Upstream, c *call) []wire.Edit {
	if c.dialect != llm.OpenAI || (c.op != llm.OpChat && c.op != llm.OpCompletion) {
		return nil
	}
	return d.noAsk
}
