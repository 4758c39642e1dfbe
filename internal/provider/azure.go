package provider

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
)

const (
	// azureVersion is the dated API of deployments that name none: the last one, which knows all parameters.
	azureVersion = "2025-04-01-preview"
	// azureResponses is the first dated API with Responses; for older ones the undated path is taken.
	azureResponses = "2025-03-01"
)

// azureDriver is Azure OpenAI, in three forms of address: a resource, whose paths name the deployment; one deployment's own address; and
// the undated /openai/v1, which has the model in the body as OpenAI does.
type azureDriver struct {
	plain
	base       *url.URL // of the resource
	deployment string   // when the address names it
	version    string
	undated    bool
	key        config.Secret
	token      *cached[string]
	mode       string
}

var azureDeployment = regexp.MustCompile(`/openai/deployments/([^/]+)(?:/.*)?$`)

func newAzure(s *setup) (driver, string, error) {
	base, err := s.address("", "AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT")
	if err != nil {
		return nil, "", err
	}
	d := &azureDriver{mode: s.info.Mode, version: s.p.APIVersion}
	if d.version == "" {
		d.version = base.Query().Get("api-version")
	}
	if d.version == "" {
		d.version = s.env("AZURE_API_VERSION", "OPENAI_API_VERSION")
	}
	show := shown(base)
	if base, err = d.readBase(base); err != nil {
		return nil, "", err
	}
	d.base = base
	if d.key, d.token, err = s.azureCredentials(); err != nil {
		return nil, "", err
	}
	return d, show, clean("api_key", d.key)
}

// readBase finds out which form of address it is and gives that of the resource.
func (d *azureDriver) readBase(base *url.URL) (*url.URL, error) {
	q := base.Query()
	q.Del("api-version")
	base.RawQuery = q.Encode()
	path := base.EscapedPath()
	if m := azureDeployment.FindStringSubmatchIndex(path); m != nil {
		name, err := url.PathUnescape(path[m[2]:m[3]])
		if err != nil {
			return nil, err
		}
		d.deployment = name
		if base, err = withPath(base, path[:m[0]]); err != nil {
			return nil, err
		}
	}
	base = cutPath(base, endpoints...)
	if before := base; cutPath(base, "/openai/v1") != before {
		base, d.undated = cutPath(base, "/openai/v1"), true
	}
	base = cutPath(base, "/openai")
	switch d.version {
	case "v1", "latest":
		d.undated, d.version = true, ""
	case "preview":
		d.undated = true
	case "":
		if !d.undated {
			d.version = azureVersion
		}
	default:
		if d.undated {
			d.version = "" // a dated version beside an undated address: the address counts
		}
	}
	return base, nil
}

func (d *azureDriver) shape(u *Upstream) {
	responses := len(u.Dialects) == 1 && u.Dialects[0] == llm.Responses
	for _, route := range []string{"responses/", "o_series/", "gpt5_series/"} {
		if m, ok := strings.CutPrefix(u.Model, route); ok {
			u.Model = m
			if route == "responses/" {
				responses = true
			} else {
				u.Target.Reasons = llm.Ptr(true)
			}
		}
	}
	u.Ops = compatible &^ OpsOf(llm.OpRerank, llm.OpModerate)
	if completionModel(u.Model) || d.mode == "completion" {
		u.Ops |= textOnly
	}
	u.Dialects = []llm.Dialect{llm.OpenAI, llm.Responses}
	if responses || d.mode == "responses" {
		u.Dialects = []llm.Dialect{llm.Responses}
	}
}

func (d *azureDriver) address(u *Upstream, c *call) (*url.URL, error) {
	p, err := openAIPath(c)
	if err != nil {
		return nil, err
	}
	to := "/openai/v1" + p
	version := d.version
	switch {
	case d.undated:
	case p == responsesPath && version < azureResponses:
		version = ""
	case p == responsesPath:
		to = "/openai" + p
	default:
		name := u.Model
		if d.deployment != "" {
			name = d.deployment
		}
		to = "/openai/deployments/" + url.PathEscape(name) + p
	}
	a, err := join(d.base, to)
	if err != nil || version == "" {
		return a, err
	}
	return withQuery(a, "api-version", version), nil
}

func (d *azureDriver) authorize(u *Upstream, req *http.Request, c *call) error {
	if d.token != nil {
		t, err := d.token.get(c.ctx)
		if err != nil {
			return credentials(u.Provider, err)
		}
		bearer(req.Header, t)
		return nil
	}
	setOnce(req.Header, "Api-Key", d.key.Reveal())
	return nil
}
