package api

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// hold on keys: who may do what with a key.
//
// An administrator may do everything. A key of a team is its team's admins' and its organization's admins'; a member has what the team
// permits. A key of no team is its user's. Nobody else sees it.

// runsTeam reports whether the caller is an admin of the team, or of its organization.
func runsTeam(ctx context.Context, db *store.Accounts, c *caller, team string) (bool, error) {
	if c.user == "" || team == "" {
		return false, nil
	}
	m, err := get(ctx, db.Members, account.MemberID(team, c.user))
	if err != nil || m != nil && m.Role == "admin" {
		return m != nil && m.Role == "admin", err
	}
	t, err := get(ctx, db.Teams, team)
	if err != nil || t == nil || t.OrgID == "" {
		return false, err
	}
	return runsOrg(ctx, db, c, t.OrgID)
}

// runsOrg reports whether the caller is an admin of the organization.
func runsOrg(ctx context.Context, db *store.Accounts, c *caller, org string) (bool, error) {
	if c.user == "" || org == "" {
		return false, nil
	}
	m, err := get(ctx, db.OrgMembers, account.MemberID(org, c.user))
	return m != nil && m.Role == account.OrgAdmin, err
}

// permitted reports whether the team lets its plain members call a route on its keys.
func permitted(ctx context.Context, db *store.Accounts, c *caller, team, path string) (bool, error) {
	if c.user == "" || team == "" {
		return false, nil
	}
	m, err := get(ctx, db.Members, account.MemberID(team, c.user))
	if err != nil || m == nil {
		return false, err
	}
	t, err := get(ctx, db.Teams, team)
	return t != nil && slices.Contains(t.MemberPermissions, path), err
}

// maySee reports whether a key is the caller's to see.
func maySee(ctx context.Context, db *store.Accounts, c *caller, k *account.Key) (bool, error) {
	if c.reader() || c.key == k.Hash || c.user != "" && k.UserID == c.user {
		return true, nil
	}
	if ok, err := runsTeam(ctx, db, c, k.TeamID); ok || err != nil {
		return ok, err
	}
	if ok, err := runsOrg(ctx, db, c, k.OrgID); ok || err != nil {
		return ok, err
	}
	return permitted(ctx, db, c, k.TeamID, "/key/info")
}

// mayManage refuses callers who may not change a key by a route. narrowing routes (delete, block) are a user's own on team keys as well.
func (e *edit) mayManage(ctx context.Context, k *account.Key, path string, narrowing bool) error {
	c := e.c
	if c.admin() {
		return nil
	}
	own := c.user != "" && k.UserID == c.user
	if own && (k.TeamID == "" || narrowing) {
		return nil
	}
	if ok, err := runsTeam(ctx, e.Accounts, c, k.TeamID); ok || err != nil {
		return err
	}
	if ok, err := runsOrg(ctx, e.Accounts, c, k.OrgID); ok || err != nil {
		return err
	}
	if ok, err := permitted(ctx, e.Accounts, c, k.TeamID, path); ok || err != nil {
		return err
	}
	return denied("key", "You are not allowed to call %s for this key: it is neither yours nor of a team that you run.", path)
}

// checkOwner refuses a new key that is not for the caller to make, and fills in whose it is. asked is what the request said.
func (e *edit) checkOwner(ctx context.Context, k *account.Key, asked []string) error {
	rules := &e.a.Config().LiteLLM.KeyGeneration
	required := rules.Personal.Required
	if k.TeamID != "" {
		required = rules.Team.Required
	}
	for _, name := range required {
		if !slices.Contains(asked, name) {
			return llm.Invalid(name, "Required param %s not in data", name)
		}
	}
	c := e.c
	switch {
	case c.admin():
		return nil
	case c.user == "":
		return c.forbidden("/key/generate")
	case k.TeamID != "":
		return e.checkTeamOwner(ctx, k, rules.Team.Roles, asked)
	}
	if e.a.Config().General.NoPersonalKeys {
		return denied("team_id", "Keys of no team are switched off (default_team_disabled). Give a team_id.")
	}
	if k.UserID == "" {
		k.UserID = c.user
	}
	if k.UserID != c.user {
		return denied("user_id", "User can only create keys for themselves. Got user_id=%s, Your ID=%s", k.UserID, c.user)
	}
	if allowed := rules.Personal.Roles; len(allowed) > 0 && !slices.Contains(allowed, c.role) {
		return denied("user_id", "Personal key creation has been restricted by admin. Allowed roles=%v. Your role=%s", allowed, c.role)
	}
	return nil
}

func (e *edit) checkTeamOwner(ctx context.Context, k *account.Key, roles, asked []string) error {
	c := e.c
	runs, err := runsTeam(ctx, e.Accounts, c, k.TeamID)
	if err != nil {
		return err
	}
	m, err := get(ctx, e.Members, account.MemberID(k.TeamID, c.user))
	if err != nil {
		return err
	}
	if m == nil && !runs {
		return denied("team_id", "User=%s not assigned to team=%s", c.user, k.TeamID)
	}
	switch {
	case m != nil && len(roles) > 0:
		if !slices.Contains(roles, m.Role) {
			return denied("team_id", "Team member role %s not in allowed_team_member_roles=%v", m.Role, roles)
		}
	case !runs:
		ok, err := permitted(ctx, e.Accounts, c, k.TeamID, "/key/generate")
		if err != nil {
			return err
		}
		if !ok {
			return denied("team_id", "Team member does not have permissions for endpoint: /key/generate. Ask an admin of team=%s to permit it.", k.TeamID)
		}
	}
	if k.UserID == "" && !slices.Contains(asked, "user_id") {
		k.UserID = c.user
	}
	if k.UserID == c.user {
		return nil
	}
	if !runs {
		return denied("user_id", "User can only create keys for themselves. Got user_id=%s, Your ID=%s", k.UserID, c.user)
	}
	if k.UserID == "" { // a service account
		return nil
	}
	other, err := get(ctx, e.Members, account.MemberID(k.TeamID, k.UserID))
	if err == nil && other == nil {
		return denied("user_id", "User=%s is not a member of team=%s", k.UserID, k.TeamID)
	}
	return err
}

// checkWidening refuses what an administrator alone may do to a key, and limits and models beyond those of the key's user or team.
// before is the key as it was; an empty one for a new key.
func (e *edit) checkWidening(ctx context.Context, before, k *account.Key, in *keyFields) error {
	if e.c.admin() {
		return nil
	}
	switch {
	case k.Hash == before.Hash && (k.UserID != before.UserID || k.TeamID != before.TeamID || k.OrgID != before.OrgID):
		return denied("user_id", "Only proxy admins can change whose key it is (user_id, team_id, organization_id).")
	case in.Spend.Set && in.Spend.or(0) != 0 || in.Spend.Set && before.Hash != "":
		return denied("spend", "Only proxy admins can set spend.")
	case k.TempIncrease > before.TempIncrease || k.TempExpiry > before.TempExpiry && k.TempIncrease > 0:
		return denied("temp_budget_increase", "Only proxy admins can increase a budget for a time.")
	case k.BudgetID != before.BudgetID:
		return denied("budget_id", "Only proxy admins can bind a key to a budget, or release it.")
	case in.NoGuardrails.or(false):
		return denied("disable_global_guardrails", "Only proxy admins can switch guardrails off.")
	case before.Blocked && !k.Blocked:
		if runs, err := runsTeam(ctx, e.Accounts, e.c, k.TeamID); !runs {
			if err != nil {
				return err
			}
			return denied("blocked", "Only proxy admins and admins of the key's team can unblock it.")
		}
	}
	if before.Hash == "" && k.OrgID != "" {
		if runs, err := runsOrg(ctx, e.Accounts, e.c, k.OrgID); err != nil || !runs {
			if err != nil {
				return err
			}
			return denied("organization_id", "Only admins of organization=%s can make keys of it.", k.OrgID)
		}
	}
	return e.checkBounds(ctx, before, k)
}

func (e *edit) checkBounds(ctx context.Context, before, k *account.Key) error {
	var limits account.Limits
	var models []string
	whose := "user"
	if k.TeamID != "" {
		t, err := get(ctx, e.Teams, k.TeamID)
		if err != nil {
			return err
		}
		if t != nil {
			limits, models, whose = t.Limits, t.Models, "team"
		}
	} else {
		u, err := get(ctx, e.Users, k.UserID)
		if err != nil {
			return err
		}
		if u != nil {
			limits, models = u.Limits, u.Models
		}
	}
	if err := within(&before.Limits, &k.Limits, &limits, whose); err != nil {
		return err
	}
	if slices.Equal(before.Models, k.Models) {
		return nil
	}
	return e.checkModels(ctx, k.Models, models, whose, k.TeamID != "")
}

// within refuses limits that changed to more than the bound.
func within(before, after, bound *account.Limits, whose string) error {
	f := func(field string, was, is, most *int64) error {
		if is == nil || most == nil || *is <= *most || was != nil && *was == *is {
			return nil
		}
		if strings.HasSuffix(field, "budget") {
			return denied(field, "%s=%s is more than the %s has: %s", field, money(*is), whose, money(*most))
		}
		return denied(field, "%s=%d is more than the %s has: %d", field, *is, whose, *most)
	}
	checks := []error{
		f("max_budget", (*int64)(before.MaxBudget), (*int64)(after.MaxBudget), (*int64)(bound.MaxBudget)),
		f("rpm_limit", before.RPM, after.RPM, bound.RPM), f("tpm_limit", before.TPM, after.TPM, bound.TPM),
		f("max_parallel_requests", before.Parallel, after.Parallel, bound.Parallel),
	}
	for model, n := range after.ModelRPM {
		checks = append(checks, f("model_rpm_limit", entry(before.ModelRPM, model), &n, entry(bound.ModelRPM, model)))
	}
	for model, n := range after.ModelTPM {
		checks = append(checks, f("model_tpm_limit", entry(before.ModelTPM, model), &n, entry(bound.ModelTPM, model)))
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}

func entry(m map[string]int64, name string) *int64 {
	if n, ok := m[name]; ok {
		return &n
	}
	return nil
}

// checkModels refuses models outside a list; an empty list bounds nothing.
func (e *edit) checkModels(ctx context.Context, models, bound []string, whose string, team bool) error {
	if len(bound) == 0 || len(models) == 0 {
		return nil
	}
	groups, err := e.a.groups(ctx, e.Accounts)
	if err != nil {
		return err
	}
	for _, m := range models {
		if team && m == "all-team-models" || m == "no-default-models" {
			continue
		}
		if !auth.OnList(bound, groups, m) {
			return &llm.Error{Kind: llm.ErrPermission, Type: whose + "_model_access_denied", Param: "models",
				Message: whose + " not allowed to access model. This " + whose + " can only access models=[" + strings.Join(bound, ", ") + "]. Tried to access " + m}
		}
	}
	return nil
}

// groups are the access groups: of the configuration and of the database, with their models.
func (a *API) groups(ctx context.Context, db *store.Accounts) (map[string][]string, error) {
	out := map[string][]string{}
	for _, m := range a.Config().Models {
		for _, g := range m.Info.AccessGroups {
			out[g] = append(out[g], m.Name)
		}
	}
	rows, _, err := db.AccessGroups.Find(ctx, store.Query{})
	for _, g := range rows {
		out[g.Name] = append(out[g.Name], g.Models...)
	}
	return out, err
}

// bound refuses more than upperbound_key_generate_params, and gives it to a new key whose request names nothing.
func (in *keyFields) bound(most *keyFields, creating bool, now time.Time) error {
	for _, b := range []struct {
		field    string
		is, most *opt[int64]
	}{{"tpm_limit", &in.TPM, &most.TPM}, {"rpm_limit", &in.RPM, &most.RPM}, {"max_parallel_requests", &in.Parallel, &most.Parallel}} {
		if err := ceiling(b.field, b.is, b.most, creating, func(x, y int64) bool { return x > y }); err != nil {
			return err
		}
	}
	longer := func(x, y string) bool { return lasts(x, now) > lasts(y, now) }
	for _, b := range []struct {
		field    string
		is, most *opt[string]
	}{{"duration", &in.Duration, &most.Duration}, {"budget_duration", &in.BudgetDuration, &most.BudgetDuration}} {
		if err := ceiling(b.field, b.is, b.most, creating, longer); err != nil {
			return err
		}
	}
	return ceiling("max_budget", &in.MaxBudget, &most.MaxBudget, creating, func(x, y money) bool { return x > y })
}

func ceiling[T any](field string, is, most *opt[T], creating bool, more func(x, y T) bool) error {
	switch {
	case most.Value == nil:
	case is.Value == nil && (creating || is.Set):
		*is = *most
	case is.Value != nil && more(*is.Value, *most.Value):
		return llm.Invalid(field, "%s is over max limit set in config - user_value=%v; max_value=%v", field, *is.Value, *most.Value)
	}
	return nil
}

// lasts is how long a duration is; what is none, and "-1", lasts for ever.
func lasts(s string, now time.Time) time.Duration {
	p, err := account.ParsePeriod(s)
	if err != nil {
		return 1<<63 - 1
	}
	return p.After(now).Sub(now)
}

// cloneKey is a copy whose changes leave the original as it is.
func cloneKey(k *account.Key) *account.Key {
	out := *k
	out.Metadata, out.Extra, out.ModelBudget = maps.Clone(k.Metadata), maps.Clone(k.Extra), maps.Clone(k.ModelBudget)
	out.Previous = slices.Clone(k.Previous)
	return &out
}
