package auth

import (
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// rules are what all principals of a directory share. Immutable.
type rules struct {
	groups     map[string][]string // access group -> names and patterns of models
	providerOf func(model string) string
	denied     int // status of a refused model
	// aloneModels: a user's list holds for keys of no team only.
	aloneModels bool
}

func newRules(o Options, rows *table[id, *account.AccessGroup]) *rules {
	r := &rules{groups: map[string][]string{}, providerOf: o.ProviderOf, denied: o.ModelDenied, aloneModels: o.UserModelsWithoutTeams}
	for name, models := range o.Groups {
		r.groups[name] = append(r.groups[name], models...)
	}
	rows.each(func(name id, g *account.AccessGroup) {
		r.groups[string(name)] = append(r.groups[string(name)], g.Models...)
	})
	return r
}

// Words that stand in a list of models for more than a name (contract litellm.md 1.2).
const (
	allModels     = "all-proxy-models"
	allTeamModels = "all-team-models"
	noDefaults    = "no-default-models"
)

// allows reports whether a list of models holds the name: itself, by a pattern, or by an access group. An empty list holds every name.
func (r *rules) allows(list []string, model string) bool {
	if len(list) == 0 || r.lists(list, model) {
		return true
	}
	// gpt-4o is among openai/*: the list names the provider, the model of that name does not.
	if r.providerOf == nil || strings.Contains(model, "/") || !slices.ContainsFunc(list, isPattern) {
		return false
	}
	p := r.providerOf(model)
	return p != "" && r.lists(list, p+"/"+model)
}

func isPattern(s string) bool { return strings.Contains(s, "*") }

func (r *rules) lists(list []string, model string) bool { return OnList(list, r.groups, model) }

// OnList reports whether a list of models covers a name or a pattern of names: by the same name, a pattern, all-proxy-models, or an access
// group; groups are their models. An empty list covers nothing.
func OnList(list []string, groups map[string][]string, model string) bool {
	for _, m := range list {
		if m == model || m == allModels || glob(m, model) {
			return true
		}
		for _, m := range groups[m] {
			if m == model || glob(m, model) {
				return true
			}
		}
	}
	return false
}

// glob reports whether a name, or all that another pattern stands for, fits a pattern, in which each * stands for any text. A pattern
// without * fits nothing.
func glob(pattern, name string) bool {
	head, rest, ok := strings.Cut(pattern, "*")
	if !ok || !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(part):], after
	}
}

// Resolve gives the model that a name stands for to this principal: what the key's aliases and then the team's model_aliases make of it, else
// the name itself. It is an error if the principal may not call it: every list of models that holds for the principal must allow it.
//
// An alias of the key never leads past the lists of others, since its holder may set it. An alias of the team is the team's leave to call
// the model behind it.
func (p *Principal) Resolve(name string) (string, *llm.Error) {
	model, by := p.resolve(name)
	if by != "" {
		return "", p.denied(name, by)
	}
	return model, nil
}

// MayCall reports whether Resolve would succeed.
func (p *Principal) MayCall(name string) bool {
	_, by := p.resolve(name)
	return by == ""
}

// Denied is the error of Resolve for a model that the principal may not call.
func (p *Principal) Denied(name string) *llm.Error {
	_, by := p.resolve(name)
	return p.denied(name, by)
}

// resolve follows the aliases of a name, and tells whose list refuses it: key, team, user or org; empty: nobody's.
func (p *Principal) resolve(name string) (model, by string) {
	r := p.rules
	asked := name // of the team and all beyond it
	if k := p.Key; k != nil && k.Aliases != nil {
		if to, ok := k.Aliases[name]; ok {
			asked = to
		}
	}
	model = asked
	aliased := false
	if t := p.Team; t != nil && t.ModelAliases != nil {
		if to, ok := t.ModelAliases[asked]; ok {
			model, aliased = to, true
		}
	}
	either := func(list []string) bool {
		return r.allows(list, asked) || aliased && r.allows(list, model)
	}
	switch k, t, m, u, o := p.Key, p.Team, p.Member, p.User, p.Org; {
	case k != nil && !either(k.Models) && !r.allows(k.Models, name) && !(t != nil && slices.Contains(k.Models, allTeamModels)):
		return "", "key"
	case t != nil && !aliased && !r.allows(t.Models, asked):
		return "", "team"
	case m != nil && !either(m.Models):
		return "", "team"
	case u != nil && !either(u.Models) && !(t != nil && (r.aloneModels || slices.Contains(u.Models, noDefaults))):
		return "", "user"
	case o != nil && !r.allows(o.Models, model):
		return "", "org"
	}
	return model, ""
}

func (p *Principal) denied(name, by string) *llm.Error {
	if by == "" {
		by = "key"
	}
	return &llm.Error{
		Kind: llm.ErrPermission, Status: p.rules.denied, Type: by + "_model_access_denied", Param: "model",
		Message: "The requested model '" + name + "' is not available for this API key, or the model name is invalid. " +
			"Check the models available to you and try again.",
	}
}
