package api

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

func (a *API) callbackRoutes() []route {
	return []route{
		{"POST", "/team/{team_id}/callback", editors, typed(a.callbackAdd)},
		{"GET", "/team/{team_id}/callback", anyone, typed(a.callbackList)},
		{"DELETE", "/team/{team_id}/callback/{callback_name}", editors, typed(a.callbackDelete)},
		{"POST", "/team/{team_id}/disable_logging", editors, typed(a.loggingOff)},
	}
}

// Where a team's callbacks stand among its Extra.
const (
	callbacksExtra = "logging"
	settingsExtra  = "callback_settings"
)

// callback is where a team's calls are logged to. The values of Vars are sealed.
type callback struct {
	Name string            `json:"callback_name"`
	Type string            `json:"callback_type"`
	Vars map[string]string `json:"callback_vars"`
}

// The types of callbacks.
const (
	onSuccess = "success"
	onFailure = "failure"
	onBoth    = "success_and_failure"
)

func callbacksOf(t *account.Team) ([]callback, error) {
	raw, ok := t.Extra[callbacksExtra]
	if !ok {
		return nil, nil
	}
	var all []callback
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("callbacks of team %s: %w", t.ID, err)
	}
	return all, nil
}

// openVar matches the names of variables that say where and are no secret.
var openVar = regexp.MustCompile(`(?i)(host|url|endpoint|base|region|project|dataset|environment|sampling_rate)$`)

const redacted = "***REDACTED***"

// shownVars are a callback's variables as anybody may see them.
func (a *API) shownVars(vars map[string]string) object {
	out := object{}
	for name, sealed := range vars {
		out[name] = redacted
		if !openVar.MatchString(name) {
			continue
		}
		if plain, err := a.Unseal(sealed); err == nil {
			out[name] = plain
		}
	}
	return out
}

// callbacksOut adds a team's callbacks to its metadata.
func (a *API) callbacksOut(metadata object, t *account.Team) {
	if all, err := callbacksOf(t); err == nil && all != nil {
		rows := []object{}
		for _, c := range all {
			rows = append(rows, object{"callback_name": c.Name, "callback_type": c.Type, "callback_vars": a.shownVars(c.Vars)})
		}
		metadata[callbacksExtra] = rows
	}
	extrasOut(metadata, t.Extra, []string{settingsExtra})
}

// putCallbacks keeps a team's callbacks.
func putCallbacks(t *account.Team, all []callback) {
	putExtra(&t.Extra, callbacksExtra, opt[[]callback]{true, &all})
}

// callbackNames are the names of those that hear of one outcome.
func callbackNames(all []callback, outcome string) []string {
	out := []string{}
	for _, c := range all {
		if (c.Type == outcome || c.Type == onBoth) && !slices.Contains(out, c.Name) {
			out = append(out, c.Name)
		}
	}
	return out
}

type callbackAddIn struct {
	ID   string            `path:"team_id"`
	Name string            `json:"callback_name" need:"true"`
	Type opt[string]       `json:"callback_type" oneof:"success,failure,success_and_failure"`
	Vars map[string]string `json:"callback_vars" need:"true"`
}

func (a *API) callbackAdd(ctx context.Context, c *caller, in *callbackAddIn) (any, error) {
	if err := customerID("callback_name", in.Name); err != nil {
		return nil, err
	}
	next := callback{Name: in.Name, Type: in.Type.or(onBoth), Vars: map[string]string{}}
	for name, value := range in.Vars {
		sealed, err := a.Seal(value)
		if err != nil {
			return nil, fmt.Errorf("seal a callback's variable: %w", err)
		}
		next.Vars[name] = sealed
	}
	t, v, err := a.changeTeam(ctx, c, in.ID, teamAdmin, "/team/{team_id}/callback", "updated", func(_ *edit, t *account.Team, _ hold) error {
		all, err := callbacksOf(t)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(have callback) bool { return have.Name == next.Name && have.Type == next.Type }) {
			return llm.Invalid("callback_name", "callback_name = %s already exists for %s, for team_id=%s", next.Name, next.Type, t.ID)
		}
		putCallbacks(t, append(all, next))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"status": "success", "data": v.stored(t)}, nil
}

type callbackIn struct {
	ID   string `path:"team_id"`
	Name string `path:"callback_name"`
}

func (a *API) callbackList(ctx context.Context, c *caller, in *teamPathIn) (any, error) {
	t, err := a.seeTeam(ctx, c, in.ID, "/team/{team_id}/callback")
	if err != nil {
		return nil, err
	}
	all, err := callbacksOf(t)
	if err != nil {
		return nil, err
	}
	vars := object{}
	for _, cb := range all {
		for name, value := range a.shownVars(cb.Vars) {
			vars[name] = value
		}
	}
	out := callbackSummary(t.ID, all)
	out["callback_vars"] = vars
	return object{"status": "success", "data": out}, nil
}

func callbackSummary(team string, all []callback) object {
	return object{"team_id": team, "success_callbacks": callbackNames(all, onSuccess), "failure_callbacks": callbackNames(all, onFailure)}
}

func (a *API) callbackDelete(ctx context.Context, c *caller, in *callbackIn) (any, error) {
	var left []callback
	_, _, err := a.changeTeam(ctx, c, in.ID, teamAdmin, "/team/{team_id}/callback/{callback_name}", "updated", func(_ *edit, t *account.Team, _ hold) error {
		all, err := callbacksOf(t)
		if err != nil {
			return err
		}
		left = slices.DeleteFunc(slices.Clone(all), func(have callback) bool { return have.Name == in.Name })
		if len(left) == len(all) {
			return notFound("callback_name", "callback_name = %s is not set for team_id=%s", in.Name, t.ID)
		}
		putCallbacks(t, left)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"status": "success", "message": "Callback " + in.Name + " deleted for team " + in.ID, "data": callbackSummary(in.ID, left)}, nil
}

type teamPathIn struct {
	ID string `path:"team_id"`
}

// loggingOff forgets a team's callbacks.
func (a *API) loggingOff(ctx context.Context, c *caller, in *teamPathIn) (any, error) {
	_, _, err := a.changeTeam(ctx, c, in.ID, teamAdmin, "/team/{team_id}/disable_logging", "updated", func(_ *edit, t *account.Team, _ hold) error {
		putCallbacks(t, []callback{})
		none := jsontext.Value(`{"callbacks":[],"callback_vars":{},"failure_callback":[],"success_callback":[]}`)
		putExtra(&t.Extra, settingsExtra, opt[jsontext.Value]{true, &none})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"status": "success", "message": "Logging disabled for team " + in.ID, "data": callbackSummary(in.ID, nil)}, nil
}
