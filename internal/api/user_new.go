package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
)

type userNewIn struct {
	userFields
	Teams    opt[[]any]    `json:"teams"`
	Orgs     opt[[]string] `json:"organizations"`
	MakeKey  opt[bool]     `json:"auto_create_key"`
	Invite   opt[bool]     `json:"send_invite_email"`
	AWS      opt[bool]     `json:"aws_credentials"`
	PlainKey opt[string]   `json:"key"`
}

// userNew makes a user and, unless auto_create_key is false, a key of theirs with the same limits. Administrators make any; an
// organization's admin makes users of it; and somebody signed in with a JWT makes themselves, within weir.signup.
func (a *API) userNew(ctx context.Context, c *caller, in *userNewIn) (any, error) {
	if err := roleOf(in.Role); err != nil {
		return nil, err
	}
	self := c.signedIn() && !c.admin() && c.user != ""
	cfg := a.Config()
	if self {
		if err := in.signUp(c, cfg); err != nil {
			return nil, err
		}
	}
	if err := in.defaults(&cfg.LiteLLM); err != nil {
		return nil, err
	}
	if self {
		if err := in.ceilings(cfg); err != nil {
			return nil, err
		}
	}
	var u *account.User
	var made *madeKey
	var teams []string
	err := a.edit(ctx, c, func(e *edit) (err error) {
		if !self {
			if err := e.mayMakeUser(ctx, in); err != nil {
				return err
			}
		}
		if u, err = e.newUser(ctx, in, self); err != nil {
			return err
		}
		if teams, err = e.join(ctx, u, in, self); err != nil {
			return err
		}
		made, err = e.userKey(ctx, u, in, self)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a.newUserOut(ctx, u, made, teams, in)
}

// Arrived gives a row to a user who calls with a token and has none: an internal user with what new users get (user_id_upsert).
func (a *API) Arrived(ctx context.Context, p *auth.Principal) error {
	set := func(s string) opt[string] { return opt[string]{Set: true, Value: &s} }
	in := &userNewIn{}
	in.UserID = set(p.UserID)
	if p.UserEmail != "" {
		in.Email = set(p.UserEmail)
	}
	if err := in.defaults(&a.Config().LiteLLM); err != nil {
		return err
	}
	if role := in.Role.or(""); role != account.InternalUserViewer { // a configuration's default makes no administrator of strangers
		in.Role = set(account.InternalUser)
	}
	c := &caller{p: p, user: p.UserID, role: account.InternalUser, by: p.UserID}
	return a.edit(ctx, c, func(e *edit) error {
		if before, err := get(ctx, e.Users, p.UserID); err != nil || before != nil {
			return err
		}
		_, err := e.newUser(ctx, in, true)
		return err
	})
}

// signUp makes the request one about the caller, whoever it names, and refuses what nobody may give themselves.
func (in *userNewIn) signUp(c *caller, cfg *config.Config) error {
	role, email := account.InternalUser, c.p.UserEmail
	if email == "" {
		email = c.user
	}
	if cfg.Weir.Signup.Disabled {
		return c.forbidden("/user/new")
	}
	set := func(s string) opt[string] { return opt[string]{Set: true, Value: &s} }
	in.UserID, in.Email, in.Role = set(c.user), set(email), set(role)
	for field, given := range map[string]bool{"spend": in.Spend.or(0) != 0, "budget_id": in.BudgetID.or("") != "", "sso_user_id": in.SSOID.or("") != "",
		"organizations": len(in.Orgs.or(nil)) > 0, "blocked": in.Blocked.Set && !in.Blocked.or(false), "temp_budget_increase": in.TempIncrease.or(0) != 0,
		"disable_global_guardrails": in.NoGuardrails.or(false), "permissions": len(in.Permissions.or(nil)) > 0, "password": in.Password.Value != nil,
		"organization_id": in.OrgID.or("") != ""} {
		if given {
			return denied(field, "You can't give yourself %s. Ask an admin.", field)
		}
	}
	return nil
}

// defaults fills in what new users get; administrators get nothing that bounds them.
func (in *userNewIn) defaults(cfg *config.LiteLLM) error {
	if role := in.Role.or(""); role == account.ProxyAdmin || role == account.ProxyAdminViewer {
		return nil
	}
	if err := fill(in, "default_internal_user_params", cfg.UserDefaults); err != nil {
		return err
	}
	if cfg.UserBudget != nil && in.MaxBudget.Value == nil {
		budget, ok := parseMoney(strconv.FormatFloat(*cfg.UserBudget, 'f', -1, 64))
		if !ok || budget < 0 {
			return &llm.Error{Kind: llm.ErrInternal, Message: "the configuration is wrong: litellm_settings.max_internal_user_budget"}
		}
		in.MaxBudget = opt[money]{Set: true, Value: &budget}
		if in.BudgetDuration.Value == nil && cfg.UserBudgetDuration != "" {
			in.BudgetDuration = opt[string]{Set: true, Value: &cfg.UserBudgetDuration}
		}
	}
	return nil
}

// ceilings refuses more than somebody may give themselves: weir.signup's, else the default for new users.
func (in *userNewIn) ceilings(cfg *config.Config) error {
	most := &userNewIn{}
	if err := most.defaults(&cfg.LiteLLM); err != nil {
		return err
	}
	s := &cfg.Weir.Signup
	if s.MaxBudget != nil {
		budget, _ := parseMoney(strconv.FormatFloat(*s.MaxBudget, 'f', -1, 64))
		most.MaxBudget = opt[money]{Set: true, Value: &budget}
	}
	for _, x := range []struct {
		from *int64
		to   *opt[int64]
	}{{s.TPM, &most.TPM}, {s.RPM, &most.RPM}, {s.Parallel, &most.Parallel}} {
		if x.from != nil {
			*x.to = opt[int64]{Set: true, Value: x.from}
		}
	}
	period := most.BudgetDuration
	most.BudgetDuration, most.Duration = opt[string]{}, opt[string]{}
	if err := in.bound(&most.keyFields, true, epoch); err != nil {
		return err
	}
	// A shorter period is a larger budget.
	if period.Value != nil && lasts(in.BudgetDuration.or(""), epoch) < lasts(*period.Value, epoch) {
		return llm.Invalid("budget_duration", "budget_duration is shorter than the %s that new users have", *period.Value)
	}
	models := s.Models
	if len(models) == 0 {
		models = most.keyFields.Models.or(nil)
	}
	if len(models) > 0 && len(in.keyFields.Models.or(nil)) == 0 {
		in.keyFields.Models = opt[[]string]{Set: true, Value: &models}
	}
	for _, m := range in.keyFields.Models.or(nil) {
		if len(models) > 0 && !auth.OnList(models, nil, m) {
			return denied("models", "You can't give yourself the model %s. Allowed models = %v", m, models)
		}
	}
	return nil
}

// mayMakeUser: administrators make users, and an organization's admin makes plain ones of it.
func (e *edit) mayMakeUser(ctx context.Context, in *userNewIn) error {
	if e.c.admin() {
		return nil
	}
	orgs := in.Orgs.or(nil)
	if len(orgs) == 0 {
		return e.c.forbidden("/user/new")
	}
	for _, org := range orgs {
		if ok, err := runsOrg(ctx, e.Accounts, e.c, org); err != nil || !ok {
			if err != nil {
				return err
			}
			return e.c.forbidden("/user/new")
		}
	}
	if role := in.Role.or(""); role == account.ProxyAdmin || role == account.ProxyAdminViewer {
		return denied("user_role", "Only proxy admins can make somebody %s.", role)
	}
	if in.Spend.or(0) != 0 || in.BudgetID.or("") != "" || in.Permissions.Value != nil {
		return denied("spend", "Only proxy admins can set spend, budget_id and permissions.")
	}
	return nil
}

// newUser writes the user. One who signs up may have a row already, made when they first called; it is completed as long as they have no key.
func (e *edit) newUser(ctx context.Context, in *userNewIn, self bool) (*account.User, error) {
	id := in.UserID.or("")
	if id == "" {
		id = uuid()
	}
	before, err := get(ctx, e.Users, id)
	if err != nil {
		return nil, err
	}
	if before != nil {
		_, keys, err := e.Keys.Find(ctx, byUser(id, 1))
		if err != nil {
			return nil, err
		}
		if !self || keys > 0 {
			return nil, conflict("user_id", "User with id %s already exists", id)
		}
		if before.Role != "" && before.Role != account.InternalUser {
			return nil, e.c.forbidden("/user/new")
		}
	}
	u := &account.User{ID: id}
	if before != nil {
		*u = *before
	}
	if err := in.userFields.apply(u); err != nil {
		return nil, err
	}
	if before != nil { // what an administrator gave stays
		u.Blocked, u.SSOID, u.Alias = before.Blocked, before.SSOID, before.Alias
		if err := within(&account.Limits{}, &u.Limits, &before.Limits, "user"); err != nil {
			return nil, err
		}
		if len(before.Models) > 0 {
			u.Models = before.Models
		}
	}
	action := "created"
	if before != nil {
		action = "updated"
	}
	if err := e.putUser(ctx, action, before, u); err != nil {
		return nil, err
	}
	if n := in.Spend.or(0); n != 0 {
		e.SetSpent(account.Subject{Kind: account.OfUser, ID: id}, llm.Nanos(n))
	}
	return u, nil
}

// teamIn is an entry of teams in its long form.
type teamIn struct {
	ID     string     `json:"team_id" need:"true"`
	Budget opt[money] `json:"max_budget_in_team" min:"0"`
	Role   string     `json:"user_role" oneof:"user,admin"`
}

// join puts a new user into teams and organizations. Teams that are not there are passed over for an administrator, as LiteLLM does.
func (e *edit) join(ctx context.Context, u *account.User, in *userNewIn, self bool) ([]string, error) {
	asked, err := teamsOf(in.Teams.or(nil), "teams")
	if err != nil {
		return nil, err
	}
	if self {
		cfg := e.a.Config()
		free := &userNewIn{}
		if err := free.defaults(&cfg.LiteLLM); err != nil {
			return nil, err
		}
		put, err := teamsOf(free.Teams.or(nil), "teams")
		if err != nil {
			return nil, err
		}
		for i := range asked {
			t := &asked[i]
			at := slices.IndexFunc(put, func(p teamIn) bool { return p.ID == t.ID })
			if at >= 0 {
				*t = put[at]
			} else if !slices.Contains(cfg.Weir.Signup.Teams, t.ID) || t.Role == "admin" {
				return nil, denied("teams", "You can't put yourself into team=%s. Ask an admin of it.", t.ID)
			}
		}
		for _, t := range put {
			if !slices.ContainsFunc(asked, func(a teamIn) bool { return a.ID == t.ID }) {
				asked = append(asked, t)
			}
		}
	}
	var joined []string
	for _, t := range asked {
		ok, err := e.joinTeam(ctx, u, t)
		if err != nil {
			return nil, err
		}
		if ok {
			joined = append(joined, t.ID)
		}
	}
	for _, org := range in.Orgs.or(nil) {
		if have, err := get(ctx, e.Orgs, org); err != nil {
			return nil, err
		} else if have == nil {
			return nil, notFound("organizations", "Organization doesn't exist in db. Organization=%s. Create organization via `/organization/new` call.", org)
		}
		m := &account.OrgMember{OrgID: org, UserID: u.ID, Role: account.InternalUser}
		e.stamp(&m.Stamp)
		if err := e.OrgMembers.Put(ctx, m); err != nil {
			return nil, err
		}
	}
	return joined, nil
}

func (e *edit) joinTeam(ctx context.Context, u *account.User, in teamIn) (bool, error) {
	t, err := get(ctx, e.Teams, in.ID)
	if err != nil || t == nil {
		return false, err
	}
	if !e.c.admin() && !e.c.signedIn() {
		if runs, err := runsTeam(ctx, e.Accounts, e.c, in.ID); err != nil || !runs {
			if err != nil {
				return false, err
			}
			return false, denied("teams", "Only admins of team=%s can put users into it.", in.ID)
		}
	}
	have, err := get(ctx, e.Members, account.MemberID(in.ID, u.ID))
	if err != nil {
		return false, err
	}
	if have != nil {
		if !e.c.admin() {
			return true, nil // what they were given before stays
		}
		before := *have
		if in.Role != "" {
			have.Role = in.Role
		}
		e.stamp(&have.Stamp)
		if err := e.limitMember(ctx, t, &before, have, &memberLimits{Budget: in.Budget}); err != nil {
			return false, err
		}
		return true, e.audit(ctx, "updated", membershipTable, in.ID+"/"+u.ID, before, have)
	}
	role := in.Role
	if role == "" {
		role = roleUser
	}
	_, _, err = e.addMember(ctx, t, &memberIn{UserID: u.ID, Role: role}, &memberLimits{Budget: in.Budget})
	return err == nil, err
}

// teamsOf reads a list of team ids, or of objects that name a team.
func teamsOf(items []any, field string) ([]teamIn, error) {
	var out []teamIn
	d := decoder{}
	for i, item := range items {
		switch t := item.(type) {
		case string:
			out = append(out, teamIn{ID: t})
		case map[string]any:
			raw, err := jsonText(t)
			if err != nil {
				return nil, err
			}
			var in teamIn
			d.value(reflect.ValueOf(&in).Elem(), raw, []any{"body", field, i})
			out = append(out, in)
		default:
			d.fault("string_type", []any{"body", field, i}, "Input should be a team id, or an object with one")
		}
	}
	if len(d.faults) > 0 {
		return nil, d.faults
	}
	if d.refused != nil {
		return nil, d.refused
	}
	return out, nil
}

// userKey makes the key of a new user: with the user's limits of rate and models. Their budget is theirs, whichever key they use.
func (e *edit) userKey(ctx context.Context, u *account.User, in *userNewIn, self bool) (*madeKey, error) {
	if !in.MakeKey.or(true) {
		return nil, nil
	}
	plain, err := plainKey(in.PlainKey.or(""))
	if err != nil {
		return nil, err
	}
	fields := &keyGenerateIn{AWS: in.AWS, keyFields: in.keyFields}
	fields.MaxBudget, fields.SoftBudget, fields.BudgetDuration, fields.BudgetID = opt[money]{}, opt[money]{}, opt[string]{}, opt[string]{}
	fields.Windows, fields.ModelBudget, fields.Spend = opt[[]windowIn]{}, opt[map[string]modelBudgetIn]{}, opt[money]{}
	k := &account.Key{Hash: auth.Hash(plain), Name: maskKey(plain)}
	if err := fields.apply(k, e.now); err != nil {
		return nil, err
	}
	k.UserID = u.ID
	if self {
		if err := e.checkOwner(ctx, k, append(given(in), "user_id")); err != nil {
			return nil, err
		}
	} else if k.TeamID != "" && !e.c.admin() {
		if runs, err := runsTeam(ctx, e.Accounts, e.c, k.TeamID); err != nil || !runs {
			if err != nil {
				return nil, err
			}
			return nil, denied("team_id", "Only admins of team=%s can make keys of it.", k.TeamID)
		}
	}
	return e.insertKey(ctx, fields, k, plain)
}

// newUserOut is the answer to a new user: the key's fields, with the user's over them.
func (a *API) newUserOut(ctx context.Context, u *account.User, made *madeKey, teams []string, in *userNewIn) (object, error) {
	m := made
	if m == nil {
		m = &madeKey{Key: &account.Key{UserID: u.ID, Limits: u.Limits, Models: u.Models, Metadata: u.Metadata}}
	}
	out, err := a.madeOut(ctx, m)
	if err != nil {
		return nil, err
	}
	limits := object{}
	limitsOut(limits, &u.Limits)
	for _, name := range []string{"max_budget", "soft_budget", "budget_duration", "model_max_budget", "budget_id"} {
		out[name] = limits[name]
	}
	out["budget_limits"] = windowsOut(&u.Limits, spent{})
	for _, name := range []string{"token", "token_id", "key_type", "created_by", "updated_by"} {
		out[name] = nil
	}
	if made == nil {
		out["key"] = ""
		for _, name := range []string{"key_name", "created_at", "updated_at", "budget_fallbacks", "router_settings", "access_group_ids"} {
			out[name] = nil
		}
	}
	out["spend"] = in.Spend.or(0)
	out["user_id"], out["user_email"], out["user_alias"], out["user_role"] = u.ID, text(u.Email), text(u.Alias), text(u.Role)
	out["teams"] = nil
	if in.Teams.Value != nil || len(teams) > 0 {
		out["teams"] = list(teams)
	}
	return out, nil
}

// hashPassword is how a password is kept: argon2id with a salt of its own, in the usual text form.
func hashPassword(password string) (string, error) {
	if len(password) < 8 || len(password) > 128 {
		return "", llm.Invalid("password", "password must have 8 to 128 characters")
	}
	const passes, memory, threads, size = 2, 19 << 10, 1, 32
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
	sum := argon2.IDKey([]byte(password), salt, passes, memory, threads, size)
	b64 := base64.RawStdEncoding.EncodeToString
	return "$argon2id$v=19$m=" + strconv.Itoa(memory) + ",t=2,p=1$" + b64(salt) + "$" + b64(sum), nil
}

func lower(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
