package proxy

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/openai"
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

// modelCreated is the constant that LiteLLM and LISA answer: a model has no date of birth.
const modelCreated = 1677610602

// ServeModels answers GET /v1/models and its siblings: what the key may call. A path that goes on names one model.
func (p *Proxy) ServeModels(w http.ResponseWriter, r *http.Request) {
	snap := p.snap.Load()
	principal, err := p.Identify(r)
	if err != nil {
		WriteError(w, err)
		return
	}
	_, id, one := strings.Cut(r.URL.Path, "/models/")
	if one && id != "" {
		m, ok := snap.Routes.Find(id)
		if !ok || !principal.MayCall(id) || !listed(snap.Routes.Names(), id) {
			body, _ := json.Marshal(map[string]string{"detail": "The model `" + id + "` does not exist or is not accessible"})
			writeJSON(w, http.StatusNotFound, body)
			return
		}
		e := modelEntry{ID: id, Object: "model", Created: modelCreated, OwnedBy: "openai"}
		if len(m.Deployments) > 0 {
			describe(&e, m.Deployments[0].Mode, m.Deployments[0].Price.MaxInput, m.Deployments[0].Price.MaxOutput)
		}
		writeValue(w, e)
		return
	}
	list := struct {
		Data   []modelEntry `json:"data"`
		Object string       `json:"object"`
	}{Data: []modelEntry{}, Object: "list"}
	for _, name := range snap.Routes.Names() {
		if !principal.MayCall(name) || (strings.Contains(name, "*") && r.URL.Query().Get("return_wildcard_routes") != "true") {
			continue
		}
		e := modelEntry{ID: name, Object: "model", Created: modelCreated, OwnedBy: "openai"}
		if m, ok := snap.Routes.Find(name); ok && len(m.Deployments) > 0 {
			describe(&e, m.Deployments[0].Mode, m.Deployments[0].Price.MaxInput, m.Deployments[0].Price.MaxOutput)
		}
		list.Data = append(list.Data, e)
	}
	writeValue(w, list)
}

func describe(e *modelEntry, mode string, in, out int64) {
	e.Mode, e.MaxInputTokens, e.MaxOutputTokens = mode, in, out
}

func listed(names []string, id string) bool {
	for _, n := range names {
		if n == id {
			return true
		}
	}
	return false
}

// Identify finds out who makes a request that is not an inference call.
func (p *Proxy) Identify(r *http.Request) (*auth.Principal, *llm.Error) {
	key, err := auth.Credential(r.Header, "")
	if err != nil {
		return nil, err
	}
	return p.snap.Load().Keys.Authenticate(key)
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
