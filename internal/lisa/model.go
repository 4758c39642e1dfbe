package lisa

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/weir-gateway/weir/internal/fleet"
)

// Model is a model as answered: every key is always there, null when it is unset. The key of the model is not.
type Model struct {
	AutoScaling     *fleet.AutoScaling         `json:"autoScalingConfig"`
	ContainerConfig *fleet.ContainerConfig     `json:"containerConfig"`
	Container       *string                    `json:"inferenceContainer"`
	InstanceType    *string                    `json:"instanceType"`
	LoadBalancer    *fleet.LoadBalancer        `json:"loadBalancerConfig"`
	ModelID         string                     `json:"modelId"`
	ModelName       string                     `json:"modelName"`
	Description     *string                    `json:"modelDescription"`
	Type            string                     `json:"modelType"`
	URL             *string                    `json:"modelUrl"`
	Status          fleet.Status               `json:"status"`
	Streaming       bool                       `json:"streaming"`
	Features        []fleet.Feature            `json:"features"`
	Groups          []string                   `json:"allowedGroups"`
	Guardrails      map[string]fleet.Guardrail `json:"guardrailsConfig"`
	ContextWindow   *int64                     `json:"contextWindow"`
	HostingType     string                     `json:"hostingType"`

	// Beyond LISA's.
	Reason        *string     `json:"reason"` // why it is in its status
	Host          *string     `json:"host"`   // null: the configured one
	Kube          *fleet.Kube `json:"kube"`
	WakeOnRequest bool        `json:"wakeOnRequest"`
	Desired       int64       `json:"desiredServers"`
	Ready         int         `json:"readyServers"`
	Created       *string     `json:"created"`
	Updated       *string     `json:"lastModified"`
}

func modelOf(m *fleet.Model) Model {
	out := Model{AutoScaling: m.AutoScaling, ContainerConfig: m.ContainerConfig, Container: m.Container, InstanceType: m.InstanceType,
		LoadBalancer: m.LoadBalancer, ModelID: m.ModelID, ModelName: m.ModelName, Description: m.Description, Type: m.Type, URL: m.URL,
		Status: m.Status, Streaming: m.Streaming, Features: m.Features, Groups: m.Groups, Guardrails: m.Guardrails,
		ContextWindow: m.ContextWindow, HostingType: m.HostingType, Kube: m.Kube, WakeOnRequest: m.WakeOnRequest, Desired: m.Size(), Ready: len(m.Replicas),
		Created: moment(m.Created), Updated: moment(m.Updated)}
	if m.Reason != "" {
		out.Reason = &m.Reason
	}
	if m.Host != "" {
		out.Host = &m.Host
	}
	if m.Hosted() && len(m.Replicas) > 0 {
		url := m.Replicas[0] + "/v1"
		out.URL = &url
	}
	return out
}

// one is the answer of routes about one model.
type one struct {
	Model Model `json:"model"`
}

// named turns the fleet's answer about an unknown model into LISA's.
func named(err error, id string) error {
	if errors.Is(err, fleet.ErrNotFound) {
		return unknownModel(id)
	}
	return err
}

// audit notes who did what to a model.
func (a *API) audit(c *call, what string, more ...any) {
	a.Log.InfoContext(c.r.Context(), what, append([]any{"model", c.id, "user", c.p.UserID, "key_alias", c.p.KeyAlias, "remote", c.r.RemoteAddr}, more...)...)
}

func (a *API) list(c *call) (any, error) {
	models, err := a.Fleet.Models(c.r.Context())
	if err != nil {
		return nil, err
	}
	out := struct {
		Models []Model `json:"models"`
	}{make([]Model, len(models))}
	for i := range models {
		out.Models[i] = modelOf(&models[i])
	}
	return out, nil
}

func (a *API) create(c *call) (any, error) {
	o, err := readBody(c.r)
	if err != nil {
		return nil, err
	}
	d, apiKey, err := a.definition(o)
	if err != nil {
		return nil, err
	}
	if apiKey != "" {
		apiKey = a.Seal(apiKey)
	}
	m, err := a.Fleet.Create(c.r.Context(), d, apiKey)
	if errors.Is(err, fleet.ErrExists) {
		return nil, &problem{http.StatusBadRequest, "ModelAlreadyExistsError", alreadyExists,
			[]detail{{"modelId", "Model '" + d.ModelID + "' already exists. Please select another name."}}}
	}
	if err != nil {
		return nil, err
	}
	c.id = m.ModelID
	image := ""
	if d.ContainerConfig != nil {
		image = d.ContainerConfig.Image.Base
	}
	a.audit(c, "a model is created", "model_name", d.ModelName, "image", image)
	return one{modelOf(m)}, nil
}

// visible is the model of the path, if the caller may know of it.
func (a *API) visible(c *call) (*fleet.Model, error) {
	m, err := a.Fleet.Model(c.r.Context(), c.id)
	if err != nil {
		return nil, named(err, c.id)
	}
	if !a.sees(c, m) {
		return nil, unknownModel(c.id)
	}
	return m, nil
}

func (a *API) get(c *call) (any, error) {
	m, err := a.visible(c)
	if err != nil {
		return nil, err
	}
	return one{modelOf(m)}, nil
}

func (a *API) update(c *call) (any, error) {
	o, err := readBody(c.r)
	if err != nil {
		return nil, err
	}
	u, err := readUpdate(o)
	if err != nil {
		return nil, err
	}
	before, err := a.Fleet.Update(c.r.Context(), c.id, u)
	if err != nil {
		return nil, named(err, c.id)
	}
	a.audit(c, "a model is updated")
	return one{modelOf(before)}, nil
}

func (a *API) remove(c *call) (any, error) {
	m, err := a.Fleet.Delete(c.r.Context(), c.id)
	if err != nil {
		return nil, named(err, c.id)
	}
	a.audit(c, "a model is deleted")
	return struct {
		Status  string `json:"status"`
		Message string `json:"message"`
		Model   Model  `json:"model"`
	}{"success", "Model " + c.id + " has been deleted successfully.", modelOf(m)}, nil
}

func (a *API) contextWindow(c *call) (any, error) {
	o, err := readBody(c.r)
	if err != nil {
		return nil, err
	}
	n := o.number("contextWindow", true, 1)
	if err := o.err(); err != nil {
		return nil, err
	}
	m, err := a.Fleet.SetContextWindow(c.r.Context(), c.id, *n)
	if err != nil {
		return nil, named(err, c.id)
	}
	a.audit(c, "the context window of a model is set")
	return one{modelOf(m)}, nil
}

// count reads a number of the query between 1 and most.
func count(r *http.Request, name string, unset, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return unset, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, broken(detail{name, "Input should be a number from 1 to " + strconv.Itoa(most)})
	}
	return n, nil
}

// event is a transition as answered.
type event struct {
	At     *string       `json:"at"`
	From   *fleet.Status `json:"from"` // null: it was made
	To     fleet.Status  `json:"to"`
	Reason *string       `json:"reason"`
}

// events are the transitions of a model, newest first.
func (a *API) events(c *call) (any, error) {
	limit, err := count(c.r, "limit", 100, 500)
	if err != nil {
		return nil, err
	}
	if _, err := a.visible(c); err != nil {
		return nil, err
	}
	events, err := a.Fleet.Events(c.r.Context(), c.id, limit)
	if err != nil {
		return nil, err
	}
	out := make([]event, len(events))
	for i, e := range events {
		out[i] = event{At: moment(e.At), To: e.To}
		if e.From != "" {
			out[i].From = &e.From
		}
		if e.Reason != "" {
			out[i].Reason = &e.Reason
		}
	}
	return struct {
		ModelID string  `json:"modelId"`
		Events  []event `json:"events"`
	}{c.id, out}, nil
}

// logs are the last lines that the servers of a model wrote.
func (a *API) logs(c *call) (any, error) {
	lines, err := count(c.r, "lines", 100, 10000)
	if err != nil {
		return nil, err
	}
	m, err := a.visible(c)
	if err != nil {
		return nil, err
	}
	text, err := a.Fleet.Logs(c.r.Context(), m, lines)
	if err != nil {
		return nil, err
	}
	if text == nil {
		text = []string{}
	}
	return struct {
		ModelID string   `json:"modelId"`
		Lines   []string `json:"lines"`
	}{c.id, text}, nil
}
