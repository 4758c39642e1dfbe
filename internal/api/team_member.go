package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// membershipTable is what audit rows call members of teams.
const membershipTable = "LiteLLM_TeamMembership"

// The roles in a team.
const (
	roleAdmin = "admin"
	roleUser  = "user"
)

// memberIn is a member of a team in a request.
type memberIn struct {
	UserID string `json:"user_id"`
	Email  string `json:"user_email"`
	Role   string `json:"role" need:"true" oneof:"admin,user"`

	founder bool // who makes the team: needs no user row, the master key's user has none
}

// memberLimits are the limits a member may be given of their own.
type memberLimits struct {
	Budget   opt[money]    `json:"max_budget_in_team" min:"0"`
	Duration opt[string]   `json:"budget_duration"`
	TPM      opt[int64]    `json:"tpm_limit" min:"0"`
	RPM      opt[int64]    `json:"rpm_limit" min:"0"`
	Models   opt[[]string] `json:"allowed_models"`
}

func (l *memberLimits) fields() *limitFields {
	return &limitFields{MaxBudget: l.Budget, BudgetDuration: l.Duration, TPM: l.TPM, RPM: l.RPM}
}

func memberSubject(m *account.Member) account.Subject {
	return account.Subject{Kind: account.OfMember, ID: account.MemberID(m.TeamID, m.UserID)}
}

// alreadyMember is what adding a member twice is answered with.
func alreadyMember(m *memberIn, t *account.Team) error {
	return &llm.Error{Kind: llm.ErrInvalid, Type: "team_member_already_in_team", Param: "member",
		Message: fmt.Sprintf("User already in team. Member: user_id=%s, user_email=%s. team_id=%s", m.UserID, m.Email, t.ID)}
}

// noMember is what a member who is not one is answered with.
var noMember = &detail{status: 400, text: "User not found in team"}

// addMember makes a user a member of a team; an unknown user is made first.
func (e *edit) addMember(ctx context.Context, t *account.Team, in *memberIn, l *memberLimits) (*account.Member, *account.User, error) {
	if in.UserID == "" && in.Email == "" {
		return nil, nil, wrong("Either user id or user email must be provided")
	}
	u, err := e.memberUser(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	m := &account.Member{TeamID: t.ID, UserID: u.ID, Role: in.Role}
	if have, err := get(ctx, e.Members, account.MemberID(t.ID, u.ID)); err != nil {
		return nil, nil, err
	} else if have != nil {
		return nil, nil, alreadyMember(in, t)
	}
	if raw, ok := t.Extra["default_team_member_models"]; ok && !l.Models.Set {
		if err := json.Unmarshal(raw, &m.Models); err != nil {
			return nil, nil, fmt.Errorf("default models of team %s: %w", t.ID, err)
		}
	}
	e.stamp(&m.Stamp)
	if err := e.joinLast(ctx, m); err != nil {
		return nil, nil, err
	}
	if err := e.limitMember(ctx, t, nil, m, l); err != nil {
		return nil, nil, err
	}
	return m, u, e.audit(ctx, "created", membershipTable, t.ID+"/"+u.ID, nil, m)
}

// joinLast puts a new member after all others of the team: members are listed in the order they joined, within a millisecond too.
func (e *edit) joinLast(ctx context.Context, m *account.Member) error {
	last, _, err := e.Members.Find(ctx, store.Query{Where: map[string]string{"team_id": m.TeamID}, Sort: "created", Desc: true, Limit: 1})
	if err == nil && len(last) > 0 && m.Created <= last[0].Created {
		m.Created = last[0].Created + 1
	}
	return err
}

// limitMember gives a member limits of their own and writes the row. before is nil for a new member.
func (e *edit) limitMember(ctx context.Context, t *account.Team, before, m *account.Member, l *memberLimits) error {
	was := &account.Limits{}
	if before != nil {
		limits, err := e.memberLimits(ctx, t, before)
		if err != nil {
			return err
		}
		was = &limits
	}
	l.Models.put(&m.Models)
	if f := l.fields(); len(l.Models.or(nil)) > 0 && m.BudgetID == "" && !f.setsLimits() { // the models are shown in the budget's row
		id, err := e.ownBudget(ctx, memberSubject(m), "", f.apply)
		if err != nil {
			return err
		}
		m.BudgetID = id
	} else if err := e.boundBy(ctx, memberSubject(m), &m.Limits, f); err != nil {
		return err
	}
	if err := e.Members.Put(ctx, m); err != nil {
		return err
	}
	is, err := e.memberLimits(ctx, t, m)
	if err != nil {
		return err
	}
	return e.windows(ctx, memberSubject(m), was, &is)
}

// memberLimits are what holds for a member: their own limits, and the team's for its members where they have none.
func (e *edit) memberLimits(ctx context.Context, t *account.Team, m *account.Member) (account.Limits, error) {
	own, err := e.effective(ctx, m.Limits)
	if err != nil {
		return own, err
	}
	b, err := get(ctx, e.Budgets, t.MemberBudgetID)
	return filled(own, b), err
}

// memberUser is the user a member means, made if there is none.
func (e *edit) memberUser(ctx context.Context, in *memberIn) (*account.User, error) {
	u, err := e.userOf(ctx, in.UserID, in.Email)
	switch {
	case err != nil || u != nil:
		return u, err
	case in.founder:
		return &account.User{ID: in.UserID}, nil
	}
	return e.inviteUser(ctx, in.UserID, in.Email)
}

// userOf finds a user by id, else by email; nil if there is none.
func (e *edit) userOf(ctx context.Context, id, email string) (*account.User, error) {
	if id != "" {
		u, err := get(ctx, e.Users, id)
		if u != nil && email != "" && u.Email != "" && !strings.EqualFold(u.Email, email) {
			return nil, llm.Invalid("user_email", "user_email=%s is not the email of user_id=%s", email, id)
		}
		return u, err
	}
	found, _, err := e.Users.Find(ctx, store.Query{Where: map[string]string{"email": strings.ToLower(email)}})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	if len(found) > 1 {
		return nil, llm.Invalid("user_email", "Multiple users found with user_email=%s. Please use user_id instead", email)
	}
	return &found[0], nil
}

// existingMember finds a member by the user's id or email.
func (e *edit) existingMember(ctx context.Context, t *account.Team, id, email string) (*account.Member, error) {
	if id == "" && email == "" {
		return nil, wrong("Either user id or user email must be provided")
	}
	if id == "" {
		u, err := e.userOf(ctx, "", email)
		if err != nil {
			return nil, err
		}
		if u == nil {
			return nil, noMember
		}
		id = u.ID
	}
	m, err := get(ctx, e.Members, account.MemberID(t.ID, id))
	if err == nil && m == nil {
		err = noMember
	}
	return m, err
}

type memberAddIn struct {
	Member jsontext.Value `json:"member" need:"true"`
	TeamID string         `json:"team_id" need:"true"`
	memberLimits
}

// oneOrMore reads a member of a team or an organization, or a list of them.
func oneOrMore[T any](raw jsontext.Value) ([]T, error) {
	var d decoder
	var all []T
	if raw.Kind() == '[' {
		d.value(reflect.ValueOf(&all).Elem(), raw, []any{"body", "member"})
	} else {
		all = make([]T, 1)
		d.value(reflect.ValueOf(&all[0]).Elem(), raw, []any{"body"})
	}
	if len(d.faults) > 0 {
		return nil, d.faults
	}
	if len(all) == 0 {
		return nil, llm.Invalid("member", "member is an empty list")
	}
	return all, nil
}

func (a *API) memberAdd(ctx context.Context, c *caller, in *memberAddIn) (any, error) {
	all, err := oneOrMore[memberIn](in.Member)
	if err != nil {
		return nil, err
	}
	for _, m := range all { // before the team is looked for, as every fault of the body
		if m.UserID == "" && m.Email == "" {
			return nil, wrong("Either user id or user email must be provided")
		}
	}
	var t *account.Team
	var added []account.Member
	err = a.edit(ctx, c, func(e *edit) (err error) {
		if t, err = e.teamToJoin(ctx, c, in.TeamID, "/team/member_add", all); err != nil {
			return err
		}
		for i := range all {
			m, _, err := e.addMember(ctx, t, &all[i], &in.memberLimits)
			if err != nil {
				return err
			}
			added = append(added, *m)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	v, err := a.viewTeams(ctx, *t)
	if err != nil {
		return nil, err
	}
	return v.withAdded(ctx, t, added)
}

// teamToJoin is the team that the caller may add these members to: as its admin, or themselves to a team that is open to all.
func (e *edit) teamToJoin(ctx context.Context, c *caller, id, path string, members []memberIn) (*account.Team, error) {
	t, h, err := e.getTeam(ctx, c, id, stranger, path)
	var d *detail
	if errors.As(err, &d) && d.status == 404 {
		return nil, &detail{status: 404, text: "Team doesn't exist in db. Team=" + id + ". Create team via `/team/new` call."}
	}
	if err != nil || h >= teamAdmin {
		return t, err
	}
	self := len(members) == 1 && c.user != "" && members[0].UserID == c.user && members[0].Role == roleUser
	if self && e.a.openTeam(id) {
		return t, nil
	}
	return nil, c.forbidden(path)
}

// withAdded is a team's row with the members that were added.
func (v *teamView) withAdded(ctx context.Context, t *account.Team, added []account.Member) (object, error) {
	ids := make([]string, len(added))
	for i := range added {
		ids[i] = added[i].UserID
	}
	rows, err := v.a.userTable(ctx, v.users, ids)
	if err != nil {
		return nil, err
	}
	o := v.plain(t)
	users, places := make([]object, len(added)), make([]object, len(added))
	for i := range added {
		users[i] = rows[added[i].UserID]
		places[i], _ = v.membership(t, &added[i])
	}
	o["updated_users"], o["updated_team_memberships"] = users, places
	return o, nil
}

// userTable is the rows of users as LiteLLM shows them beside a team or an organization.
func (a *API) userTable(ctx context.Context, users map[string]account.User, ids []string) (map[string]object, error) {
	spends, err := a.spends(ctx, account.OfUser, ids...)
	if err != nil {
		return nil, err
	}
	teams := map[string][]string{}
	for chunk := range slices.Chunk(ids, 500) {
		places, _, err := a.Store.Accounts().Members.Find(ctx, store.Query{In: map[string][]string{"user_id": chunk}})
		if err != nil {
			return nil, err
		}
		for _, m := range places {
			teams[m.UserID] = append(teams[m.UserID], m.TeamID)
		}
	}
	out := make(map[string]object, len(ids))
	for _, id := range ids {
		u, s := users[id], spends[id]
		out[id] = object{
			"user_id": id, "user_alias": text(u.Alias), "team_id": nil, "sso_user_id": text(u.SSOID), "organization_id": nil,
			"object_permission_id": nil, "object_permission": nil, "password_reset_required": nil, "last_breach_check_at": nil,
			"teams": list(teams[id]), "user_role": text(u.Role), "max_budget": dollars(u.MaxBudget), "spend": money(s.now),
			"user_email": text(u.Email), "models": list(u.Models), "metadata": withModelLimits(u.Metadata, &u.Limits),
			"max_parallel_requests": number(u.Parallel), "tpm_limit": number(u.TPM), "rpm_limit": number(u.RPM),
			"budget_duration": text(u.BudgetDuration), "budget_reset_at": a.resetOut(s, u.BudgetDuration), "allowed_cache_controls": []string{},
			"policies": []string{}, "model_spend": object{}, "model_max_budget": modelBudgetsOut(u.ModelBudget),
			"created_at": moment(u.Created), "updated_at": moment(u.Updated), "organization_memberships": nil,
		}
	}
	return out, nil
}

type memberBulkIn struct {
	TeamID string          `json:"team_id" need:"true"`
	Items  opt[[]memberIn] `json:"members"`
	All    opt[bool]       `json:"all_users"`
	Budget opt[money]      `json:"max_budget_in_team" min:"0"`
}

// maxBulk is how many members one call may add, as in LiteLLM.
const maxBulk = 500

// memberAddBulk adds each member by itself: one that can't be added does not keep the others out.
func (a *API) memberAddBulk(ctx context.Context, c *caller, in *memberBulkIn) (any, error) {
	all := in.Items.or(nil)
	switch {
	case in.All.or(false) && len(all) > 0:
		return nil, llm.Invalid("members", "members and all_users can't be given together")
	case !in.All.or(false) && len(all) == 0:
		return nil, llm.Invalid("members", "At least one member is required")
	case len(all) > maxBulk:
		return nil, llm.Invalid("members", "Maximum %d members can be added at once. You provided %d", maxBulk, len(all))
	}
	var t *account.Team
	var added []account.Member
	var failed []error
	err := a.edit(ctx, c, func(e *edit) (err error) {
		if t, err = e.teamToJoin(ctx, c, in.TeamID, "/team/bulk_member_add", nil); err != nil {
			return err
		}
		if in.All.or(false) {
			if all, err = e.everyoneElse(ctx, c, t); err != nil {
				return err
			}
		}
		failed = make([]error, len(all))
		for i := range all {
			m, _, err := e.addMember(ctx, t, &all[i], &memberLimits{Budget: in.Budget})
			if err != nil && llm.AsError(err).HTTPStatus() >= 500 && !answered(err) {
				return err
			}
			if failed[i] = err; err == nil {
				added = append(added, *m)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.bulkReply(ctx, t, all, added, failed)
}

// answered says whether an error is one that a client caused and is told about.
func answered(err error) bool {
	var f faults
	var d *detail
	var e *llm.Error
	return errors.As(err, &f) || errors.As(err, &d) || errors.As(err, &e)
}

// everyoneElse are all users who are not yet in a team; only an administrator may add them all.
func (e *edit) everyoneElse(ctx context.Context, c *caller, t *account.Team) ([]memberIn, error) {
	if !c.admin() {
		return nil, denied("all_users", "Only proxy admins may add all users to a team")
	}
	members, _, err := e.Members.Find(ctx, store.Query{Where: map[string]string{"team_id": t.ID}})
	if err != nil {
		return nil, err
	}
	in := map[string]bool{}
	for _, m := range members {
		in[m.UserID] = true
	}
	var out []memberIn
	err = e.Users.Each(ctx, func(u *account.User) error {
		if !in[u.ID] {
			out = append(out, memberIn{UserID: u.ID, Role: roleUser})
		}
		return nil
	})
	return out, err
}

func (a *API) bulkReply(ctx context.Context, t *account.Team, all []memberIn, added []account.Member, failed []error) (any, error) {
	v, err := a.viewTeams(ctx, *t)
	if err != nil {
		return nil, err
	}
	row, err := v.withAdded(ctx, t, added)
	if err != nil {
		return nil, err
	}
	results := make([]object, 0, len(all))
	at := 0
	for i, m := range all {
		o := object{"user_id": text(m.UserID), "user_email": text(m.Email), "success": failed[i] == nil, "error": nil,
			"updated_user": nil, "updated_team_membership": nil}
		if failed[i] != nil {
			o["error"] = failed[i].Error()
		} else {
			user := row["updated_users"].([]object)[at]
			o["user_id"], o["user_email"] = user["user_id"], user["user_email"]
			o["updated_user"], o["updated_team_membership"] = user, row["updated_team_memberships"].([]object)[at]
			at++
		}
		results = append(results, o)
	}
	return object{"team_id": t.ID, "results": results, "total_requested": len(all), "successful_additions": len(added),
		"failed_additions": len(all) - len(added), "updated_team": row}, nil
}

// inviteUser makes the user that a member or an organization's member is to be and is not yet: an internal user with what the
// configuration gives to new ones.
func (e *edit) inviteUser(ctx context.Context, id, email string) (*account.User, error) {
	if err := errors.Join(checkID("user_id", id), checkID("user_email", email)); err != nil {
		return nil, err
	}
	in := &userNewIn{}
	in.UserID, in.Email = opt[string]{true, &id}, opt[string]{true, &email}
	if err := in.defaults(&e.a.Config().LiteLLM); err != nil {
		return nil, err
	}
	if role := in.Role.or(""); role != account.InternalUserViewer {
		role = account.InternalUser
		in.Role = opt[string]{true, &role}
	}
	return e.newUser(ctx, in, false)
}
