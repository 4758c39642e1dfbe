package proxy

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/openai"
	"github.com/weir-gateway/weir/internal/route"
)

// modelEntry is one model in OpenAI's list form, with what LiteLLM adds.
type modelEntry struct {
	ID              string `json:"id"`
	Object          string `json:"object"`
	Created         int64  `json:"created"`
	OwnedBy         string `json:"owned_by"`
	Mode            string `json:"mode,omitempty"`
	MaxInputTokens  int64  `json:"max_input_tokens,omitzero"`
	MaxOutputTokens int64  `json:"max_output_tokens,omitzero"`
}

// modelCreated is the constant that LiteLLM answers: only models of the fleet have a date of birth.
const modelCreated = 1677610602

// anthropicEntry is one model in Anthropic's list form.
type anthropicEntry struct {
	Type        string `json:"type"`
	ID          string `json:"id"`
	DisplayName string `json:"display_name"`
	CreatedAt   string `json:"created_at"`
	MaxInput    *int64 `json:"max_input_tokens"`
	MaxTokens   *int64 `json:"max_tokens"`
}

// ServeModels answers GET /v1/models and its siblings: what the key may call, in Anthropic's form for a client that names its version. A
// path that goes on names one model.
func (p *Proxy) ServeModels(w http.ResponseWriter, r *http.Request) {
	principal, err := p.Identify(r)
	if err != nil {
		WriteError(w, err)
		return
	}
	models := p.snap.Load().models(principal, r.URL.Query().Get("return_wildcard_routes") == "true")
	if _, id, one := strings.Cut(r.URL.Path, "/models/"); one && id != "" {
		for i := range models {
			if models[i].ID == id {
				writeModel(w, r, &models[i])
				return
			}
		}
		body, _ := json.Marshal(map[string]string{"detail": "The model `" + id + "` does not exist or is not accessible"})
		writeJSON(w, http.StatusNotFound, body)
		return
	}
	if r.Header["Anthropic-Version"] != nil {
		writeAnthropicModels(w, models)
		return
	}
	writeValue(w, struct {
		Data   []modelEntry `json:"data"`
		Object string       `json:"object"`
	}{models, "list"})
}

// models lists what the principal may call. A wildcard stands for the models that the price map knows of its provider, and for itself if
// asked for. The aliases of a team are listed like models.
func (s *Snapshot) models(principal *auth.Principal, wildcards bool) []modelEntry {
	out := []modelEntry{}
	seen := map[string]bool{}
	created := int64(modelCreated)
	add := func(name, mode string, input, output int64) {
		if !seen[name] && principal.MayCall(name) {
			seen[name] = true
			out = append(out, modelEntry{name, "model", created, "openai", mode, input, output})
		}
	}
	for _, name := range s.Routes.Names() {
		m := s.Routes.Group(name)
		d := m.Deployments[0]
		if !open(d, principal) {
			continue
		}
		created = cmp.Or(d.Created, modelCreated)
		if !strings.Contains(name, "*") {
			add(name, d.Mode, d.Price.MaxInput, d.Price.MaxOutput)
			continue
		}
		if wildcards {
			add(name, "", 0, 0)
		}
		if s.Known == nil {
			continue
		}
		for _, known := range s.Known(d.Upstream.Provider) {
			if part, ok := route.Match(d.Upstream.Model, known.Name); ok {
				add(strings.Replace(name, "*", part, 1), known.Mode, known.MaxInput, known.MaxOutput)
			}
		}
	}
	if t := principal.Team; t != nil {
		for _, alias := range slices.Sorted(maps.Keys(t.ModelAliases)) {
			if m := s.Routes.Group(t.ModelAliases[alias]); m != nil && open(m.Deployments[0], principal) {
				d := m.Deployments[0]
				add(alias, d.Mode, d.Price.MaxInput, d.Price.MaxOutput)
			}
		}
	}
	return out
}

func writeModel(w http.ResponseWriter, r *http.Request, m *modelEntry) {
	if r.Header["Anthropic-Version"] != nil {
		writeValue(w, m.anthropic())
		return
	}
	writeValue(w, m)
}

func (m *modelEntry) anthropic() anthropicEntry {
	e := anthropicEntry{Type: "model", ID: m.ID, DisplayName: m.ID, CreatedAt: time.Unix(modelCreated, 0).UTC().Format(time.RFC3339)}
	if m.MaxInputTokens > 0 {
		e.MaxInput = &m.MaxInputTokens
	}
	if m.MaxOutputTokens > 0 {
		e.MaxTokens = &m.MaxOutputTokens
	}
	return e
}

func writeAnthropicModels(w http.ResponseWriter, models []modelEntry) {
	list := struct {
		Data    []anthropicEntry `json:"data"`
		HasMore bool             `json:"has_more"`
		FirstID *string          `json:"first_id"`
		LastID  *string          `json:"last_id"`
	}{Data: []anthropicEntry{}}
	for i := range models {
		list.Data = append(list.Data, models[i].anthropic())
	}
	if n := len(models); n > 0 {
		list.FirstID, list.LastID = &models[0].ID, &models[n-1].ID
	}
	writeValue(w, list)
}

// WriteError answers a request outside the inference routes with an error in OpenAI's envelope, as LiteLLM does.
func WriteError(w http.ResponseWriter, e *llm.Error) {
	writeJSON(w, e.HTTPStatus(), openai.Chat.EncodeError(nil, w.Header(), e))
}

func writeValue(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		WriteError(w, llm.AsError(err))
		return
	}
	writeJSON(w, http.StatusOK, b)
}
