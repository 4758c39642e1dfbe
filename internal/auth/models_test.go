package auth

import (
	"path"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/account"
)

// row is who has which models, for tables.
type row struct {
	key, team, member, user, org string // lists, separated by spaces; "-": there is no such row
	keyAlias, teamAlias          string // from=to
}

func list(s string) []string { return strings.Fields(s) }

func alias(s string) map[string]string {
	if s == "" {
		return nil
	}
	from, to, _ := strings.Cut(s, "=")
	return map[string]string{from: to}
}

func (r row) principal(t *testing.T, o Options) *Principal {
	t.Helper()
	k := account.Key{Hash: Hash("sk-k"), Models: list(r.key), Aliases: alias(r.keyAlias), UserID: "u"}
	rows := Rows{AccessGroups: []account.AccessGroup{{Name: "rows", Models: []string{"r1"}}, {Name: "both", Models: []string{"b2"}}}}
	if r.team != "-" {
		k.TeamID = "t"
		rows.Teams = []account.Team{{ID: "t", OrgID: "o", Models: list(r.team), ModelAliases: alias(r.teamAlias)}}
		rows.Members = []account.Member{{TeamID: "t", UserID: "u", Models: list(r.member)}}
	}
	rows.Keys = []account.Key{k}
	rows.Users = []account.User{{ID: "u", Models: list(r.user)}}
	rows.Orgs = []account.Organization{{ID: "o", Models: list(r.org)}}
	p, err := NewDirectory(o, rows).Authenticate("sk-k", noon)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestResolve(t *testing.T) {
	o := Options{Groups: map[string][]string{"config": {"c1", "c2/*"}, "both": {"b1"}}, ProviderOf: func(m string) string {
		if strings.HasPrefix(m, "gpt") {
			return "openai"
		}
		return ""
	}}
	f := func(r row, model, want string) {
		t.Helper()
		got, err := r.principal(t, o).Resolve(model)
		if err != nil {
			got = err.Type
			if err.HTTPStatus() != 403 || err.Param != "model" {
				t.Errorf("%v of %s", err.HTTPStatus(), err.Param)
			}
		}
		if strings.TrimSuffix(got, "_model_access_denied") != want {
			t.Errorf("%+v may call %s: %s, want %s", r, model, got, want)
		}
	}
	alone := func(models string) row { return row{key: models, team: "-"} }
	f(alone(""), "m", "m")
	f(alone("m n"), "n", "n")
	f(alone("m n"), "mn", "key")
	f(alone("M"), "m", "key")
	f(alone("*"), "openai/x", "openai/x")
	f(alone("all-proxy-models"), "m", "m")
	f(alone("no-default-models"), "m", "key")
	f(alone("no-default-models"), "no-default-models", "no-default-models") // no model has such a name
	f(alone("all-team-models"), "m", "key")
	f(alone("openai/*"), "openai/gpt-4o", "openai/gpt-4o")
	f(alone("openai/*"), "openai", "key")
	f(alone("openai/*"), "azure/openai/x", "key")
	f(alone("openai/*"), "gpt-4o", "gpt-4o")
	f(alone("openai/*"), "claude", "key")
	f(alone("azure/*"), "gpt-4o", "key")
	f(alone("openai/gpt-4o"), "gpt-4o", "key")
	f(alone("bedrock/us.*sonnet*"), "bedrock/us.anthropic.sonnet-4", "bedrock/us.anthropic.sonnet-4")
	f(alone("config"), "c1", "c1")
	f(alone("config"), "c2/x", "c2/x")
	f(alone("config"), "c3", "key")
	f(alone("rows"), "r1", "r1")
	f(alone("both"), "b1", "b1")
	f(alone("both"), "b2", "b2")
	f(alone("config"), "config", "config") // the name of a group is no model; the router says so

	f(row{team: "m"}, "m", "m")
	f(row{team: "m"}, "n", "team")
	f(row{key: "n", team: "m"}, "n", "team")
	f(row{key: "n", team: "m"}, "m", "key")
	f(row{key: "all-team-models", team: "m"}, "m", "m")
	f(row{key: "all-team-models", team: "m"}, "n", "team")
	f(row{team: "m n", member: "m"}, "n", "team")
	f(row{team: "m n", user: "m"}, "n", "user")
	f(row{team: "m n", user: "m"}, "m", "m")
	f(row{team: "m", user: "no-default-models"}, "m", "m")
	f(row{team: "-", user: "no-default-models"}, "m", "user")
	f(row{team: "-", user: "m"}, "m", "m")
	f(row{org: "m"}, "m", "m")
	f(row{team: "n", org: "m"}, "n", "org")
	f(row{team: "-", org: "m"}, "n", "n")

	f(row{key: "m", team: "-", keyAlias: "mine=m"}, "mine", "m")
	f(row{key: "mine", team: "-", keyAlias: "mine=m"}, "mine", "m")
	f(row{key: "x", team: "-", keyAlias: "mine=m"}, "mine", "key")
	f(row{team: "m", keyAlias: "m=dear"}, "m", "team")
	f(row{team: "-", user: "m", keyAlias: "m=dear"}, "m", "user")
	f(row{team: "m", teamAlias: "fast=hidden"}, "fast", "hidden")
	f(row{team: "m", teamAlias: "fast=hidden"}, "hidden", "team")
	f(row{key: "fast", team: "m", teamAlias: "fast=hidden"}, "fast", "hidden")
	f(row{key: "m", team: "m", teamAlias: "fast=hidden"}, "fast", "key")
	f(row{team: "m", org: "m", teamAlias: "fast=hidden"}, "fast", "org")
	f(row{team: "m", keyAlias: "mine=fast", teamAlias: "fast=hidden"}, "mine", "hidden")

	o.UserModelsWithoutTeams = true
	f(row{team: "m n", user: "m"}, "n", "n")
	f(row{team: "-", user: "m"}, "n", "user")

	o.ModelDenied = 401
	if _, err := alone("m").principal(t, o).Resolve("n"); err.HTTPStatus() != 401 {
		t.Error(err.HTTPStatus())
	}
}

func TestGlob(t *testing.T) {
	f := func(pattern, name string, want bool) {
		t.Helper()
		if got := glob(pattern, name); got != want {
			t.Errorf("%s covers %s: %v", pattern, name, got)
		}
	}
	f("openai/*", "openai/gpt-4o", true)
	f("openai/*", "openai/gpt-*", true)
	f("openai/*", "openai", false)
	f("openai/gpt-*", "openai/*", false)
	f("a*b*c", "a1b2c", true)
	f("a*b*c", "a1c2b", false)
	f("*", "anything", true)
	f("plain", "plain", false) // names are compared elsewhere
}

// The one-star patterns of path.Match, in which * does not cross a slash, are a subset of ours.
func FuzzGlob(f *testing.F) {
	for _, s := range []string{"openai/*|openai/gpt-4o", "*|x", "a*b*c|abc", "a*|", "**|x", "bedrock/us.*sonnet*|bedrock/us.x.sonnet", "a*a|a"} {
		pattern, name, _ := strings.Cut(s, "|")
		f.Add(pattern, name)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := glob(pattern, name)
		if !strings.Contains(pattern, "*") && got {
			t.Errorf("%q without a star fits %q", pattern, name)
		}
		if glob(pattern, pattern) != strings.Contains(pattern, "*") {
			t.Errorf("%q does not fit itself", pattern)
		}
		if got != slow(pattern, name) && strings.Contains(pattern, "*") {
			t.Errorf("%q of %q: %v", name, pattern, got)
		}
		if strings.ContainsAny(pattern, `?[\`) {
			return
		}
		if ok, err := path.Match(pattern, name); err == nil && ok && strings.Contains(pattern, "*") && !got {
			t.Errorf("%q fits %q for path.Match", name, pattern)
		}
	})
}

// slow is glob as one would define it.
func slow(pattern, name string) bool {
	at := make([]bool, len(name)+1) // how much of the name the pattern so far can have read
	at[0] = true
	for i := range len(pattern) {
		next := make([]bool, len(name)+1)
		for j := range at {
			switch {
			case pattern[i] == '*':
				next[j] = at[j] || j > 0 && next[j-1]
			case j > 0:
				next[j] = at[j-1] && name[j-1] == pattern[i]
			}
		}
		at = next
	}
	return at[len(name)]
}
