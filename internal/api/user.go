package api

import (
	"context"
	"errors"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func (a *API) userRoutes() []route {
	return []route{
		{"POST", "/user/new", editors, typed(a.userNew)},
		{"GET", "/user/info", anyone, typed(a.userInfo)},
		{"GET", "/v2/user/info", anyone, typed(a.userInfoV2)},
		{"POST", "/user/update", editors, typed(a.userUpdate)},
		{"POST", "/user/bulk_update", admins, typed(a.userBulkUpdate)},
		{"POST", "/user/delete", editors, typed(a.userDelete)},
		{"GET", "/user/list", anyone, typed(a.userList)},
		{"GET", "/user/get_users", anyone, typed(a.userList)},
		{"GET", "/user/filter/ui", anyone, typed(a.userFilter)},
		{"GET", "/user/available_roles", anyone, typed(a.userRoles)},
		{"GET", "/user/available_users", readers, typed(a.userCounts)},
	}
}

// userRoles tells which roles there are, for forms.
func (a *API) userRoles(context.Context, *caller, *struct{}) (any, error) {
	role := func(label, description string) object { return object{"ui_label": label, "description": description} }
	return object{
		account.ProxyAdmin:         role("Admin (All Permissions)", "admin over the gateway, has all permissions"),
		account.ProxyAdminViewer:   role("Admin (View Only)", "view all keys, view all spend"),
		account.InternalUser:       role("Internal User (Create/Delete/View)", "view/create/delete their own keys, view their own spend"),
		account.InternalUserViewer: role("Internal User (View Only)", "view their own keys, view their own spend"),
	}, nil
}

// roleOf checks a role that a request names.
func roleOf(in opt[string]) error {
	switch in.or("") {
	case "", account.ProxyAdmin, account.ProxyAdminViewer, account.InternalUser, account.InternalUserViewer:
		return nil
	}
	return unknownValue("user_role", "Input should be 'proxy_admin', 'proxy_admin_viewer', 'internal_user' or 'internal_user_viewer'")
}

// userFields are what a request says of a user, beside what users and keys have in common.
type userFields struct {
	keyFields
	Email     opt[string] `json:"user_email"`
	UserAlias opt[string] `json:"user_alias"`
	Role      opt[string] `json:"user_role"`
	SSOID     opt[string] `json:"sso_user_id"`
	Password  opt[string] `json:"password"`
}

// apply puts the fields that were given into u.
func (in *userFields) apply(u *account.User) error {
	if err := roleOf(in.Role); err != nil {
		return err
	}
	if err := in.limitFields.apply(&u.Limits); err != nil {
		return err
	}
	in.Email.put(&u.Email)
	in.UserAlias.put(&u.Alias)
	in.Role.put(&u.Role)
	in.SSOID.put(&u.SSOID)
	in.keyFields.Models.put(&u.Models)
	in.Blocked.put(&u.Blocked)
	if in.Password.Value != nil {
		hash, err := hashPassword(*in.Password.Value)
		if err != nil {
			return err
		}
		u.PasswordHash = hash
	}
	if err := keepExtras(&in.keyExtraFields, &u.Extra); err != nil {
		return err
	}
	var err error
	u.Metadata, err = in.keyMetaFields.metadata(u.Metadata, in.Metadata, &u.Limits)
	return err
}

// putUser writes a user, with the budget's periods and the audit row. before is nil for a new one.
func (e *edit) putUser(ctx context.Context, action string, before, u *account.User) error {
	if err := checkID("user_id", u.ID); err != nil {
		return err
	}
	if err := e.budgetID(ctx, &u.Limits); err != nil {
		return err
	}
	e.stamp(&u.Stamp)
	if err := e.Users.Put(ctx, u); err != nil {
		var taken *store.ExistsError
		if errors.As(err, &taken) {
			if taken.Field == "email" {
				return conflict("user_email", "User with email %s already exists", taken.Value)
			}
			return conflict("sso_user_id", "User with sso_user_id %s already exists", taken.Value)
		}
		return err
	}
	var was *account.Limits
	var old any
	if before != nil {
		was, old = &before.Limits, before
	}
	if err := e.windows(ctx, account.Subject{Kind: account.OfUser, ID: u.ID}, was, &u.Limits); err != nil {
		return err
	}
	return e.audit(ctx, action, userTable, u.ID, old, u)
}

// findUser is the user with the id, or with the email where there is no id; nil if there is none.
func findUser(ctx context.Context, db *store.Accounts, id, email string) (*account.User, error) {
	if id != "" || email == "" {
		return get(ctx, db.Users, id)
	}
	rows, _, err := db.Users.Find(ctx, store.Query{Where: map[string]string{"email": lower(email)}, Limit: 1})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// runsUser reports whether the caller is an admin of an organization that the user is in. Nobody runs an administrator so.
func runsUser(ctx context.Context, db *store.Accounts, c *caller, u *account.User) (bool, error) {
	if c.user == "" || u.Role == account.ProxyAdmin || u.Role == account.ProxyAdminViewer {
		return false, nil
	}
	of, _, err := db.OrgMembers.Find(ctx, store.Query{Where: map[string]string{"user_id": u.ID}})
	if err != nil {
		return false, err
	}
	for i := range of {
		if ok, err := runsOrg(ctx, db, c, of[i].OrgID); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

type userUpdateIn struct {
	userFields
}

// userUpdate changes a user, named by id or email; one that is not there is made, as LiteLLM does.
func (a *API) userUpdate(ctx context.Context, c *caller, in *userUpdateIn) (any, error) {
	var u *account.User
	err := a.edit(ctx, c, func(e *edit) (err error) {
		u, err = e.updateUser(ctx, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a.userChanged(ctx, u)
}

func (a *API) userChanged(ctx context.Context, u *account.User) (object, error) {
	v, err := a.viewUsers(ctx, *u)
	if err != nil {
		return nil, err
	}
	return object{"user_id": u.ID, "data": v.row(u)}, nil
}

func (e *edit) updateUser(ctx context.Context, in *userUpdateIn) (*account.User, error) {
	id, email := in.UserID.or(""), in.Email.or("")
	if id == "" && email == "" {
		return nil, wrong("Either user id or user email must be provided")
	}
	before, err := findUser(ctx, e.Accounts, id, email)
	if err != nil {
		return nil, err
	}
	if err := e.mayUpdate(ctx, before, in); err != nil {
		return nil, err
	}
	ignoreEmpty(in)
	if before == nil {
		if id == "" {
			return nil, notFound("user_email", "User not found, passed user_email=%s", email)
		}
		u := &account.User{ID: id}
		if err := in.apply(u); err != nil {
			return nil, err
		}
		return u, e.putUser(ctx, "created", nil, u)
	}
	u := *before
	if err := in.apply(&u); err != nil {
		return nil, err
	}
	if err := e.putUser(ctx, "updated", before, &u); err != nil {
		return nil, err
	}
	if in.Spend.Value != nil {
		e.SetSpent(account.Subject{Kind: account.OfUser, ID: u.ID}, llm.Nanos(*in.Spend.Value))
	}
	return &u, nil
}

// mayUpdate: administrators may change users, and an organization's admin those of it, but not what they are to the gateway.
func (e *edit) mayUpdate(ctx context.Context, u *account.User, in *userUpdateIn) error {
	if e.c.admin() {
		return nil
	}
	if u == nil || u.ID == e.c.user {
		return e.c.forbidden("/user/update")
	}
	if ok, err := runsUser(ctx, e.Accounts, e.c, u); err != nil || !ok {
		if err != nil {
			return err
		}
		return e.c.forbidden("/user/update")
	}
	switch role := in.Role.or(""); {
	case role == account.ProxyAdmin || role == account.ProxyAdminViewer:
		return denied("user_role", "Only proxy admins can make somebody %s.", role)
	case in.Spend.Set, in.BudgetID.Set, in.Password.Set, in.SSOID.Set, in.Email.Set && lower(in.Email.or("")) != lower(u.Email):
		return denied("user_id", "Only proxy admins can change spend, budget_id, password, sso_user_id and user_email.")
	}
	return nil
}

// ignoreEmpty forgets what LiteLLM's update of users ignores: null and empty values, other than a null max_budget. Its forms send them all.
func ignoreEmpty(in *userUpdateIn) {
	unset(in, "max_budget")
}

type userBulkUpdateIn struct {
	Users   opt[[]userUpdateIn] `json:"users"`
	All     opt[bool]           `json:"all_users"`
	Updates opt[userUpdateIn]   `json:"user_updates"`
}

// userBulkUpdate changes many users, each for itself, or all of them alike.
func (a *API) userBulkUpdate(ctx context.Context, c *caller, in *userBulkUpdateIn) (any, error) {
	users := in.Users.or(nil)
	if in.All.or(false) {
		if in.Updates.Value == nil {
			return nil, wrong("user_updates must be provided when all_users is True")
		}
		err := a.Store.Accounts().Users.Each(ctx, func(u *account.User) error {
			one := *in.Updates.Value
			one.UserID, one.Email = opt[string]{Set: true, Value: &u.ID}, opt[string]{}
			users = append(users, one)
			return nil
		})
		if err != nil {
			return nil, err
		}
	} else if len(users) == 0 || len(users) > maxKeys {
		return nil, llm.Invalid("users", "users must have 1 to %d entries", maxKeys)
	}
	results, failed := []object{}, 0
	for i := range users {
		one := &users[i]
		row := object{"user_id": text(one.UserID.or("")), "user_email": text(one.Email.or("")), "success": true, "error": nil, "updated_user": nil}
		results = append(results, row)
		var u *account.User
		err := a.edit(ctx, c, func(e *edit) (err error) {
			u, err = e.updateUser(ctx, one)
			return err
		})
		if err != nil {
			reason, err := reasonOf(err)
			if err != nil {
				return nil, err
			}
			row["success"], row["error"] = false, reason
			failed++
			continue
		}
		if row["updated_user"], err = a.userChanged(ctx, u); err != nil {
			return nil, err
		}
	}
	return object{"results": results, "total_requested": len(users), "successful_updates": len(users) - failed, "failed_updates": failed}, nil
}

type userDeleteIn struct {
	IDs []string `json:"user_ids" need:"true"`
}

// userDelete deletes users, all or none, with their keys and memberships. It answers how many.
func (a *API) userDelete(ctx context.Context, c *caller, in *userDeleteIn) (any, error) {
	if len(in.IDs) == 0 || len(in.IDs) > maxKeys {
		return nil, llm.Invalid("user_ids", "user_ids must have 1 to %d entries", maxKeys)
	}
	err := a.edit(ctx, c, func(e *edit) error {
		for _, id := range in.IDs {
			u, err := get(ctx, e.Users, id)
			if err != nil {
				return err
			}
			if u == nil && !c.admin() {
				return c.forbidden("/user/delete")
			}
			if u == nil {
				return &detail{status: 404, text: "User not found, passed user_id=" + id}
			}
			if ok, err := runsUser(ctx, e.Accounts, c, u); !c.admin() && !ok {
				return errors.Join(err, c.forbidden("/user/delete"))
			}
			if err := e.deleteUser(ctx, u); err != nil {
				return err
			}
		}
		return nil
	})
	return len(in.IDs), err
}

func (e *edit) deleteUser(ctx context.Context, u *account.User) error {
	mine := store.Query{Where: map[string]string{"user_id": u.ID}}
	keys, _, err := e.Keys.Find(ctx, mine)
	if err != nil {
		return err
	}
	for i := range keys {
		if _, err := e.Keys.Delete(ctx, keys[i].Hash); err != nil {
			return err
		}
		if err := e.audit(ctx, "deleted", keyTable, keys[i].Hash, &keys[i], nil); err != nil {
			return err
		}
	}
	members, _, err := e.Members.Find(ctx, mine)
	if err != nil {
		return err
	}
	for i := range members {
		if err := e.removeMember(ctx, &members[i]); err != nil {
			return err
		}
	}
	of, _, err := e.OrgMembers.Find(ctx, mine)
	if err != nil {
		return err
	}
	for i := range of {
		if err := e.removeOrgMember(ctx, &of[i]); err != nil {
			return err
		}
	}
	if _, err := e.Users.Delete(ctx, u.ID); err != nil {
		return err
	}
	return e.audit(ctx, "deleted", userTable, u.ID, u, nil)
}
