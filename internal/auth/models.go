package auth

import (
	"strings"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// rules are what all principals of a directory share. Immutable.
type rules struct {
	groups map[string][]string // access group -> names and patterns of models
}

func newRules(o Options, rows *table[id, *account.AccessGroup]) *rules {
	r := &rules{groups: map[string][]string{}}
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

// lists reports whether a list of models holds the name: itself, by a pattern, or by an access group.
func (r *rules) lists(list []string, model string) bool {
	for _, m := range list {
		if m == model || m == allModels || glob(m, model) {
			return true
		}
		for _, m := range r.groups[m] {
			if m == model || glob(m, model) {
				return true
			}
		}
	}
	return false
}

// glob reports whether name fits a pattern, in which each * stands for any text. A pattern without * fits nothing.
func glob(pattern, name string) bool {
	head, rest, ok := strings.Cut(pattern, "*")
	if !ok || !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		var part string
		if part, rest, ok = cut(rest); !ok {
			return strings.HasSuffix(name, part)
		}
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name = name[at+len(part):]
	}
}

func cut(pattern string) (part, rest string, more bool) { return strings.Cut(pattern, "*") }

// MayCall reports whether the principal may call the model.
func (p *Principal) MayCall(model string) bool { return p.deniedBy(model) == "" }

// deniedBy names whose list of models leaves the model out: key, team, user, org or member; empty: nobody's does.
func (p *Principal) deniedBy(model string) string {
	r := p.rules
	if k := p.Key; k != nil && len(k.Models) > 0 && !(p.Team != nil && has(k.Models, allTeamModels)) && !r.lists(k.Models, model) {
		return "key"
	}
	if t := p.Team; t != nil && len(t.Models) > 0 && !r.lists(t.Models, model) {
		return "team"
	}
	if m := p.Member; m != nil && len(m.Models) > 0 && !r.lists(m.Models, model) {
		return "member"
	}
	if u := p.User; u != nil && len(u.Models) > 0 && !r.lists(u.Models, model) && !(p.Team != nil && has(u.Models, noDefaults)) {
		return "user"
	}
	if o := p.Org; o != nil && len(o.Models) > 0 && !r.lists(o.Models, model) {
		return "org"
	}
	return ""
}

func has(list []string, word string) bool {
	for _, s := range list {
		if s == word {
			return true
		}
	}
	return false
}

// Denied is the error for a model that the principal may not call.
func (p *Principal) Denied(model string) *llm.Error {
	by := p.deniedBy(model)
	if by == "" || by == "member" {
		by = "key"
	}
	return &llm.Error{
		Kind: llm.ErrPermission, Type: by + "_model_access_denied", Param: "model",
		Message: "The requested model '" + model + "' is not available for this API key, or the model name is invalid. " +
			"Check the models available to you and try again.",
	}
}
