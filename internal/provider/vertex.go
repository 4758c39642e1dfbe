package provider

import (
	"cmp"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/gemini"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// The forms a model takes on Vertex AI.
const (
	vertexGoogle    = "google"    // Gemini and Google's own, generateContent
	vertexClaude    = "anthropic" // Messages through rawPredict
	vertexMistral   = "mistralai" // OpenAI's chat through rawPredict
	vertexOpen      = "openapi"   // OpenAI's chat at one endpoint for all: meta/..., qwen/..., deepseek-ai/...
	vertexEndpoint  = "endpoint"  // a tuned Gemini behind an endpoint's number
	vertexDeployed  = "deployed"  // OpenAI's chat at an endpoint's number
	vertexExpressed = "express"   // Gemini by API key, without a project
)

// vertexDriver is Vertex AI.
type vertexDriver struct {
	plain
	base      *url.URL // nil: the location's own
	project   string
	location  string
	key       config.Secret
	token     *cached[string]
	fullModel bool // the address names the model itself
}

func newVertex(s *setup) (driver, string, error) {
	d := &vertexDriver{
		project:  cmp.Or(s.p.Vertex.Project, s.env("VERTEXAI_PROJECT", "VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT", "ANTHROPIC_VERTEX_PROJECT_ID")),
		location: cmp.Or(s.p.Vertex.Location, s.env("VERTEXAI_LOCATION", "VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION", "CLOUD_ML_REGION")),
	}
	if d.location == "" {
		d.location = "us-central1"
	}
	if s.p.Vertex.Credentials == "" && s.p.APIKey != "" {
		d.key = s.p.APIKey
		if err := clean("api_key", d.key); err != nil {
			return nil, "", err
		}
	} else {
		account, project, err := s.googleCredentials()
		if err != nil {
			return nil, "", err
		}
		d.token, d.project = account, cmp.Or(d.project, project)
		if d.project == "" {
			return nil, "", missing("vertex_project", "VERTEXAI_PROJECT", "GOOGLE_CLOUD_PROJECT")
		}
	}
	show := vertexAddress(d.location)
	if given := cmp.Or(s.p.APIBase, s.env("VERTEXAI_API_BASE", "VERTEX_API_BASE", "ANTHROPIC_VERTEX_BASE_URL")); given != "" {
		base, err := parseBase("api_base", given)
		if err != nil {
			return nil, "", err
		}
		show = shown(base)
		d.base = base
		d.fullModel = strings.Contains(base.Path, "/publishers/") || strings.Contains(base.Path, "/endpoints/")
	}
	return d, show, nil
}

// vertexAddress is the host of a location: global, a multi-region or a region.
func vertexAddress(location string) string {
	switch location {
	case "global":
		return "https://aiplatform.googleapis.com"
	case "us", "eu":
		return "https://aiplatform." + location + ".rep.googleapis.com"
	}
	return "https://" + url.PathEscape(location) + "-aiplatform.googleapis.com"
}

var numeric = regexp.MustCompile(`^\d+$`)

func (d *vertexDriver) shape(u *Upstream) {
	u.Ops = OpsOf(llm.OpChat)
	head, rest, slash := strings.Cut(u.Model, "/")
	name := strings.ToLower(u.Model)
	switch {
	case slash && (head == "gemini" || head == "openai") && numeric.MatchString(rest):
		u.Model = rest
		u.route = vertexEndpoint
		if head == "openai" {
			u.route = vertexDeployed
		}
	case numeric.MatchString(u.Model):
		u.route = vertexEndpoint
	case slash && (head == "google" || head == "anthropic" || head == "mistralai"):
		u.Model, u.route = rest, head
	case slash:
		u.route = vertexOpen
	case strings.HasPrefix(name, "claude"):
		u.route = vertexClaude
	case strings.HasPrefix(name, "mistral"), strings.HasPrefix(name, "codestral"):
		u.route = vertexMistral
	default:
		u.route = vertexGoogle
	}
	switch u.route {
	case vertexClaude:
		u.Dialects = []llm.Dialect{llm.Anthropic}
		u.Ops |= OpsOf(llm.OpCount)
	case vertexMistral, vertexOpen, vertexDeployed:
		u.Dialects = []llm.Dialect{llm.OpenAI}
	default:
		u.Dialects = []llm.Dialect{llm.Gemini}
		if u.Ops |= OpsOf(llm.OpCount); embedModel(name) {
			u.Ops = embedOnly
		}
		if d.project == "" {
			u.route = vertexExpressed
		}
	}
}

func (d *vertexDriver) address(u *Upstream, c *call) (*url.URL, error) {
	base, err := d.root(u)
	if err != nil {
		return nil, err
	}
	model := url.PathEscape(u.Model)
	if d.fullModel {
		path := strings.TrimRight(base.EscapedPath(), "/")
		if i := strings.LastIndexByte(path, ':'); i > strings.LastIndexByte(path, '/') {
			path = path[:i]
		}
		base, err = withPath(base, path)
		if err != nil {
			return nil, err
		}
	}
	path := ""
	switch u.route {
	case vertexOpen:
		path = "/endpoints/openapi/chat/completions"
	case vertexDeployed:
		path = "/endpoints/" + model + "/chat/completions"
	case vertexEndpoint:
		path = "/endpoints/" + model
	case vertexClaude, vertexMistral:
		path = "/publishers/" + u.route + "/models/" + model
		if c.op == llm.OpCount {
			path = "/publishers/anthropic/models/count-tokens"
		}
	default:
		path = "/publishers/google/models/" + model
	}
	if d.fullModel && !strings.HasSuffix(path, "/chat/completions") {
		path = ""
	}
	switch u.route {
	case vertexOpen, vertexDeployed:
		return join(base, path)
	case vertexClaude, vertexMistral:
		if c.stream && c.op == llm.OpChat {
			return join(base, path+":streamRawPredict")
		}
		return join(base, path+":rawPredict")
	}
	if c.op == llm.OpEmbed {
		return join(base, path+":predict")
	}
	return geminiURL(base, path, c)
}

// root is the address down to the project and location.
func (d *vertexDriver) root(u *Upstream) (*url.URL, error) {
	base := d.base
	if base == nil {
		var err error
		location := d.location
		if u.route == vertexExpressed {
			location = "global"
		}
		if base, err = parseBase("vertex_location", vertexAddress(location)); err != nil {
			return nil, err
		}
	}
	if d.fullModel || strings.Contains(base.Path, "/projects/") {
		return base, nil
	}
	base, version := cutVersion(base)
	path := cmp.Or(version, "/v1")
	if u.route != vertexExpressed {
		path += "/projects/" + url.PathEscape(d.project) + "/locations/" + url.PathEscape(d.location)
	}
	return join(base, path)
}

func (d *vertexDriver) authorize(u *Upstream, req *http.Request, c *call) error {
	if d.key != "" {
		setOnce(req.Header, "X-Goog-Api-Key", d.key.Reveal())
		return nil
	}
	t, err := d.token.get(c.ctx)
	if err != nil {
		return credentials(u.Provider, err)
	}
	bearer(req.Header, t)
	return nil
}

// edits: Claude's model is in the address, except when tokens are counted.
func (d *vertexDriver) edits(u *Upstream, c *call) []wire.Edit {
	if u.route != vertexClaude {
		return nil
	}
	version := wire.Edit{Name: "anthropic_version", Value: []byte(`"vertex-2023-10-16"`), Default: true}
	if c.op == llm.OpCount {
		return []wire.Edit{version}
	}
	return []wire.Edit{{Name: "model"}, version}
}

func (d *vertexDriver) embed(*Upstream) llm.SpokenEmbed { return gemini.VertexEmbeddings }

// serviceAccount is what is read of a credentials file before it is used.
type serviceAccount struct {
	Type         string `json:"type"`
	ProjectID    string `json:"project_id"`
	QuotaProject string `json:"quota_project_id"`
}

func readAccount(b []byte) (a serviceAccount, ok bool) {
	return a, json.Unmarshal(b, &a) == nil && a.Type != ""
}
