package api

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/provider"
	"github.com/weir-gateway/weir/internal/store"
)

func (a *API) modelRoutes() []route {
	return []route{
		{"POST", "/model/new", editors, typed(a.modelNew)},
		{"POST", "/model/update", editors, typed(a.modelUpdate)},
		{"PATCH", "/model/{id}/update", editors, typed(a.modelPatch)},
		{"POST", "/model/delete", editors, typed(a.modelDelete)},
		{"POST", "/model/block", admins, typed(a.modelBlock)},
		{"POST", "/model/unblock", admins, typed(a.modelUnblock)},
		{"GET", "/model/info", anyone, typed(a.modelInfo)},
		{"GET", "/v1/model/info", anyone, typed(a.modelInfo)},
		{"GET", "/v2/model/info", anyone, typed(a.modelInfoPaged)},
		{"GET", "/model_group/info", anyone, typed(a.modelGroupInfo)},
		{"GET", "/model/deprecations", anyone, typed(a.modelDeprecations)},
		{"GET", "/v1/model/deprecations", anyone, typed(a.modelDeprecations)},
		{"GET", "/utils/model_info", anyone, typed(a.modelFacts)},
	}
}

const modelTable = "LiteLLM_ProxyModelTable"

// modelFields is what makes and changes a model.
type modelFields struct {
	Name    opt[string]    `json:"model_name"`
	Params  jsontext.Value `json:"litellm_params"`
	Info    jsontext.Value `json:"model_info"`
	Blocked opt[bool]      `json:"blocked"`
}

type modelNewIn struct {
	Name    string         `json:"model_name" need:"true"`
	Params  jsontext.Value `json:"litellm_params" need:"true"`
	Info    jsontext.Value `json:"model_info"`
	Blocked opt[bool]      `json:"blocked"`
}

// modelNew adds a model.
func (a *API) modelNew(ctx context.Context, c *caller, in *modelNewIn) (any, error) {
	params, info, err := modelObjects(in.Params, in.Info)
	if err != nil {
		return nil, err
	}
	if model, _ := params["model"].(string); model == "" {
		return nil, faults{{Type: "missing", Loc: []any{"body", "litellm_params", "model"}, Msg: "Field required"}}
	}
	row := account.Model{ID: textOf(info["id"]), Name: in.Name, TeamID: textOf(info["team_id"]), Blocked: in.Blocked.or(false)}
	if row.ID == "" {
		row.ID = uuid()
	}
	info["id"] = row.ID
	dropNulls(params)
	var out object
	err = a.edit(ctx, c, func(e *edit) error {
		if err := e.mayEditModel(ctx, row.TeamID); err != nil {
			return err
		}
		if err := e.freeModelID(ctx, row.ID); err != nil {
			return err
		}
		if err := e.saveModel(ctx, &row, params, info); err != nil {
			return err
		}
		if err := e.shareWithTeam(ctx, &row); err != nil {
			return err
		}
		out = e.a.modelRow(&row)
		return e.audit(ctx, "created", modelTable, row.ID, nil, auditedModel(out))
	})
	return out, err
}

type modelUpdateIn struct {
	modelFields
}

// modelUpdate changes what the body names of the model that model_info.id names; all else stays.
func (a *API) modelUpdate(ctx context.Context, c *caller, in *modelUpdateIn) (any, error) {
	_, info, err := modelObjects(nil, in.Info)
	if err != nil {
		return nil, err
	}
	id := textOf(info["id"])
	if id == "" {
		return nil, faults{{Type: "missing", Loc: []any{"body", "model_info", "id"}, Msg: "Field required"}}
	}
	out, err := a.changeModel(ctx, c, id, &in.modelFields)
	var e *llm.Error
	if errors.As(err, &e) && e.Kind == llm.ErrNotFound {
		return nil, &llm.Error{Kind: llm.ErrInvalid, Type: "auth_error", Param: "model_info.id", Message: "Authentication Error, model not found"}
	}
	if errors.As(err, &e) && e.Type == "validation_error" {
		e.Type = "auth_error"
	}
	return out, err
}

type modelPatchIn struct {
	ID string `path:"id"`
	modelFields
}

func (a *API) modelPatch(ctx context.Context, c *caller, in *modelPatchIn) (any, error) {
	return a.changeModel(ctx, c, in.ID, &in.modelFields)
}

func (a *API) changeModel(ctx context.Context, c *caller, id string, in *modelFields) (any, error) {
	newParams, newInfo, err := modelObjects(in.Params, in.Info)
	if err != nil {
		return nil, err
	}
	if given := textOf(newInfo["id"]); given != "" && given != id {
		return nil, llm.Invalid("model_info.id", "model_info.id is %s, but a model keeps its id, %s", given, id)
	}
	if in.Name.Set && in.Name.or("") == "" {
		in.Name.Set = false
	}
	var out object
	err = a.edit(ctx, c, func(e *edit) error {
		row, err := e.model(ctx, id)
		if err != nil {
			return err
		}
		before := auditedModel(e.a.modelRow(row))
		if err := e.mayEditModel(ctx, row.TeamID); err != nil {
			return err
		}
		opened, err := eachText(row.Params, a.Unseal)
		if err != nil {
			return fmt.Errorf("unseal model %s: %w", row.ID, err)
		}
		params, info, err := modelObjects(opened, row.Info)
		if err != nil {
			return err
		}
		mergeParams(params, newParams)
		dropNulls(newInfo)
		maps.Copy(info, newInfo)
		team := row.TeamID
		if t, ok := newInfo["team_id"]; ok {
			team = textOf(t)
		}
		if team != row.TeamID {
			if err := e.mayEditModel(ctx, team); err != nil {
				return err
			}
			row.TeamID = team
		}
		in.Name.put(&row.Name)
		if in.Blocked.Set && in.Blocked.or(row.Blocked) != row.Blocked {
			if !c.admin() {
				return denied("blocked", "Only proxy admins block and unblock models.")
			}
			row.Blocked = in.Blocked.or(row.Blocked)
		}
		if err := e.saveModel(ctx, row, params, info); err != nil {
			return err
		}
		if err := e.shareWithTeam(ctx, row); err != nil {
			return err
		}
		out = e.a.modelRow(row)
		return e.audit(ctx, "updated", modelTable, row.ID, before, auditedModel(out))
	})
	return out, err
}

type modelDeleteIn struct {
	ID string `json:"id" need:"true"`
}

func (a *API) modelDelete(ctx context.Context, c *caller, in *modelDeleteIn) (any, error) {
	err := a.edit(ctx, c, func(e *edit) error {
		row, err := get(ctx, e.Models, in.ID)
		if err != nil {
			return err
		}
		if row == nil {
			return &llm.Error{Kind: llm.ErrInvalid, Type: "auth_error", Param: "id", Message: "Model with id=" + in.ID + " not found in db"}
		}
		if err := e.mayEditModel(ctx, row.TeamID); err != nil {
			return err
		}
		if _, err := e.Models.Delete(ctx, row.ID); err != nil {
			return err
		}
		return e.audit(ctx, "deleted", modelTable, row.ID, auditedModel(a.modelRow(row)), nil)
	})
	if err != nil {
		return nil, err
	}
	return object{"message": "Model: " + in.ID + " deleted successfully"}, nil
}

type modelBlockIn struct {
	ID string `json:"model_id" need:"true"`
}

func (a *API) modelBlock(ctx context.Context, c *caller, in *modelBlockIn) (any, error) {
	return a.setModelBlocked(ctx, c, in.ID, true, "blocked")
}

func (a *API) modelUnblock(ctx context.Context, c *caller, in *modelBlockIn) (any, error) {
	return a.setModelBlocked(ctx, c, in.ID, false, "unblocked")
}

func (a *API) setModelBlocked(ctx context.Context, c *caller, id string, blocked bool, action string) (any, error) {
	var out object
	err := a.edit(ctx, c, func(e *edit) error {
		row, err := e.model(ctx, id)
		if err != nil {
			return err
		}
		before := auditedModel(a.modelRow(row))
		row.Blocked = blocked
		e.stamp(&row.Stamp)
		if err := e.Models.Put(ctx, row); err != nil {
			return err
		}
		out = a.modelRow(row)
		return e.audit(ctx, action, modelTable, id, before, auditedModel(out))
	})
	return out, err
}

// model is a stored model; one of the file can't be changed here.
func (e *edit) model(ctx context.Context, id string) (*account.Model, error) {
	row, err := get(ctx, e.Models, id)
	if row != nil || err != nil {
		return row, err
	}
	if _, ok := fileModel(e.a.Config(), id); ok {
		return nil, &llm.Error{Kind: llm.ErrInvalid, Type: "validation_error", Param: "model_info.id",
			Message: "Can't edit model. Model in config. Store model in DB via /model/new first."}
	}
	return nil, notFound("model_id", "Model %s not found on proxy.", id)
}

func fileModel(cfg *config.Config, id string) (*config.Model, bool) {
	for i := range cfg.Models {
		if cfg.Models[i].Info.ID == id {
			return &cfg.Models[i], true
		}
	}
	return nil, false
}

func (e *edit) freeModelID(ctx context.Context, id string) error {
	row, err := get(ctx, e.Models, id)
	if err != nil {
		return err
	}
	if _, ok := fileModel(e.a.Config(), id); ok || row != nil {
		return conflict("model_info.id", "a model with id %s exists already", id)
	}
	return nil
}

// mayEditModel: administrators every model, a team's admins their team's.
func (e *edit) mayEditModel(ctx context.Context, team string) error {
	if e.c.admin() {
		if team != "" {
			if _, err := e.Teams.Get(ctx, team); errors.Is(err, store.ErrNotFound) {
				return notFound("model_info.team_id", "Team %s not found.", team)
			}
		}
		return nil
	}
	if team != "" && e.c.user != "" {
		m, err := get(ctx, e.Members, account.MemberID(team, e.c.user))
		if err != nil {
			return err
		}
		if m != nil && m.Role == "admin" {
			return nil
		}
	}
	return denied("", "User does not have permission to make this model call. Your role=%s. You can only make model calls if you are a PROXY_ADMIN "+
		"or if you are a team admin, by specifying a team_id in the model_info.", e.c.role)
}

// saveModel checks a model as the configuration's are checked and writes it with its secrets sealed.
func (e *edit) saveModel(ctx context.Context, row *account.Model, params, info map[string]any) error {
	if row.Name == "" {
		return llm.Invalid("model_name", "model_name must not be empty")
	}
	if !e.c.admin() {
		if err := selfContained(params); err != nil {
			return err
		}
	}
	if err := e.ownName(ctx, row); err != nil {
		return err
	}
	delete(info, "db_model")
	paramsText, err := json.Marshal(params, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode litellm_params: %w", err)
	}
	if row.Info, err = json.Marshal(info, json.Deterministic(true)); err != nil {
		return fmt.Errorf("encode model_info: %w", err)
	}
	sets, err := e.credentialSets(ctx, textOf(params["litellm_credential_name"]))
	if err != nil {
		return err
	}
	if _, _, err := e.a.checkModel(row.ID, row.Name, paramsText, row.Info, sets); err != nil {
		return err
	}
	if row.Params, err = SealParams(paramsText, e.a.Seal); err != nil {
		return fmt.Errorf("seal model %s: %w", row.ID, err)
	}
	e.stamp(&row.Stamp)
	return e.Models.Put(ctx, row)
}

// checkModel reads an entry by the configuration's rules and makes its upstream, without calling it. Errors name the field.
func (a *API) checkModel(id, name string, params, info jsontext.Value, sets map[string]map[string]string) (config.Model, *provider.Upstream, error) {
	cfg := a.Config()
	m, err := readEntry(cfg, id, name, params, info, sets)
	var bad *config.EntryError
	if errors.As(err, &bad) {
		field := bad.Field
		if field == "" {
			field = "litellm_params"
		}
		return m, nil, &llm.Error{Kind: llm.ErrInvalid, Type: "validation_error", Param: field, Message: bad.Message}
	}
	if err != nil {
		return m, nil, err
	}
	u, err := provider.Factory{Env: cfg.Env}.New(m.Params, m.Info)
	if err != nil {
		return m, nil, &llm.Error{Kind: llm.ErrInvalid, Type: "validation_error", Param: "litellm_params.model", Message: "litellm_params: " + err.Error()}
	}
	return m, u, nil
}

// ownName keeps a team's models apart from all others: under one public name there are models of one team, or of everybody.
func (e *edit) ownName(ctx context.Context, row *account.Model) error {
	others, _, err := e.Models.Find(ctx, store.Query{Where: map[string]string{"name": row.Name}})
	if err != nil {
		return err
	}
	for i := range others {
		if o := &others[i]; o.ID != row.ID && o.TeamID != row.TeamID {
			return conflict("model_name", "model_name %s is taken by a model of another team, or of the whole gateway; choose another name", row.Name)
		}
	}
	if row.TeamID == "" {
		return nil
	}
	for _, name := range e.a.Config().ModelNames() {
		if name == row.Name {
			return conflict("model_name", "model_name %s is a model of the whole gateway; choose another name for the team's", row.Name)
		}
	}
	return nil
}

// shareWithTeam puts the team's own model on the team's list, if it has one.
func (e *edit) shareWithTeam(ctx context.Context, row *account.Model) error {
	if row.TeamID == "" {
		return nil
	}
	team, err := e.Teams.Get(ctx, row.TeamID)
	if err != nil || len(team.Models) == 0 {
		return err
	}
	for _, name := range team.Models {
		if name == row.Name {
			return nil
		}
	}
	team.Models = append(team.Models, row.Name)
	e.stamp(&team.Stamp)
	return e.Teams.Put(ctx, team)
}

// credentialSets is the named credential with its values in the clear; empty name: none.
func (e *edit) credentialSets(ctx context.Context, name string) (map[string]map[string]string, error) {
	row, err := get(ctx, e.Credentials, name)
	if row == nil || err != nil {
		return nil, err
	}
	sets, problems := openCredentials([]account.Credential{*row}, e.a.Unseal)
	if len(problems) > 0 {
		return nil, errors.New(problems[0].Message)
	}
	return sets, nil
}
