package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// Accounts is every kind of account. IDs: a key's is its hash, a member's account.MemberID(team, user), an organization member's
// account.MemberID(org, user), a tag's, credential's and access group's its name.
type Accounts struct {
	Keys         Rows[account.Key]
	Users        Rows[account.User]
	Teams        Rows[account.Team]
	Members      Rows[account.Member]
	Orgs         Rows[account.Organization]
	OrgMembers   Rows[account.OrgMember]
	Budgets      Rows[account.Budget]
	Customers    Rows[account.Customer]
	Tags         Rows[account.Tag]
	Models       Rows[account.Model]
	Credentials  Rows[account.Credential]
	AccessGroups Rows[account.AccessGroup]
	Audits       Rows[account.Audit]
	Archive      Rows[Deleted]
}

// Deleted is a key or a team that is no more, as it was.
type Deleted struct {
	Kind   Kind           `json:"kind"` // Keys or Teams
	ID     string         `json:"id"`
	Alias  string         `json:"alias,omitempty"`
	UserID string         `json:"user_id,omitempty"`
	TeamID string         `json:"team_id,omitempty"`
	OrgID  string         `json:"organization_id,omitempty"`
	Spent  llm.Nanos      `json:"spent"` // in the window that ran when it was deleted
	At     int64          `json:"deleted_at"`
	By     string         `json:"deleted_by,omitempty"`
	Doc    jsontext.Value `json:"doc"` // the account.Key or account.Team
}

// Accounts reads accounts as they are committed.
func (s *Store) Accounts() *Accounts { return newAccounts(s.read, nil) }

func newAccounts(q querier, e *Edit) *Accounts {
	n := &nouns
	return &Accounts{
		Keys: Rows[account.Key]{&n.keys, q, e}, Users: Rows[account.User]{&n.users, q, e}, Teams: Rows[account.Team]{&n.teams, q, e},
		Members: Rows[account.Member]{&n.members, q, e}, Orgs: Rows[account.Organization]{&n.orgs, q, e},
		OrgMembers: Rows[account.OrgMember]{&n.orgMembers, q, e}, Budgets: Rows[account.Budget]{&n.budgets, q, e},
		Customers: Rows[account.Customer]{&n.customers, q, e}, Tags: Rows[account.Tag]{&n.tags, q, e},
		Models: Rows[account.Model]{&n.models, q, e}, Credentials: Rows[account.Credential]{&n.credentials, q, e},
		AccessGroups: Rows[account.AccessGroup]{&n.accessGroups, q, e}, Audits: Rows[account.Audit]{&n.audits, q, e},
		Archive: Rows[Deleted]{&n.archive, q, e},
	}
}

// nouns says of every kind of account what its columns are.
var nouns = struct {
	keys         noun[account.Key]
	users        noun[account.User]
	teams        noun[account.Team]
	members      noun[account.Member]
	orgs         noun[account.Organization]
	orgMembers   noun[account.OrgMember]
	budgets      noun[account.Budget]
	customers    noun[account.Customer]
	tags         noun[account.Tag]
	models       noun[account.Model]
	credentials  noun[account.Credential]
	accessGroups noun[account.AccessGroup]
	audits       noun[account.Audit]
	archive      noun[Deleted]
}{
	keys: noun[account.Key]{kind: Keys, spends: account.OfKey, id: func(k *account.Key) string { return k.Hash },
		texts: []text[account.Key]{
			{"alias", func(k *account.Key) string { return k.Alias }, true},
			{"name", func(k *account.Key) string { return k.Name }, false},
			{"user_id", func(k *account.Key) string { return k.UserID }, false},
			{"team_id", func(k *account.Key) string { return k.TeamID }, false},
			{"org_id", func(k *account.Key) string { return k.OrgID }, false},
			{"budget_id", func(k *account.Key) string { return k.BudgetID }, false},
			{"created_by", func(k *account.Key) string { return k.CreatedBy }, false}},
		nums: append([]num[account.Key]{{"expires", func(k *account.Key) int64 { return k.Expires }}},
			limited(func(k *account.Key) *account.Limits { return &k.Limits }, func(k *account.Key) *account.Stamp { return &k.Stamp })...),
		keep: func(k *account.Key) Deleted {
			return Deleted{Kind: Keys, ID: k.Hash, Alias: k.Alias, UserID: k.UserID, TeamID: k.TeamID, OrgID: k.OrgID}
		}},
	users: noun[account.User]{kind: Users, spends: account.OfUser, id: func(u *account.User) string { return u.ID },
		texts: []text[account.User]{
			{"email", func(u *account.User) string { return strings.ToLower(u.Email) }, true},
			{"alias", func(u *account.User) string { return u.Alias }, false},
			{"sso_id", func(u *account.User) string { return u.SSOID }, true},
			{"role", func(u *account.User) string { return u.Role }, false},
			{"budget_id", func(u *account.User) string { return u.BudgetID }, false}},
		nums: limited(func(u *account.User) *account.Limits { return &u.Limits }, func(u *account.User) *account.Stamp { return &u.Stamp })},
	teams: noun[account.Team]{kind: Teams, spends: account.OfTeam, id: func(t *account.Team) string { return t.ID },
		texts: []text[account.Team]{
			{"alias", func(t *account.Team) string { return t.Alias }, false},
			{"org_id", func(t *account.Team) string { return t.OrgID }, false},
			{"budget_id", func(t *account.Team) string { return t.BudgetID }, false},
			{"member_budget_id", func(t *account.Team) string { return t.MemberBudgetID }, false}},
		nums: limited(func(t *account.Team) *account.Limits { return &t.Limits }, func(t *account.Team) *account.Stamp { return &t.Stamp }),
		keep: func(t *account.Team) Deleted {
			return Deleted{Kind: Teams, ID: t.ID, Alias: t.Alias, TeamID: t.ID, OrgID: t.OrgID}
		}},
	members: noun[account.Member]{kind: Members, spends: account.OfMember, id: memberID,
		texts: []text[account.Member]{
			{"team_id", func(m *account.Member) string { return m.TeamID }, false},
			{"user_id", func(m *account.Member) string { return m.UserID }, false},
			{"role", func(m *account.Member) string { return m.Role }, false},
			{"budget_id", func(m *account.Member) string { return m.BudgetID }, false}},
		nums: stamped(func(m *account.Member) *account.Stamp { return &m.Stamp })},
	orgs: noun[account.Organization]{kind: Orgs, spends: account.OfOrg, id: func(o *account.Organization) string { return o.ID },
		texts: []text[account.Organization]{
			{"alias", func(o *account.Organization) string { return o.Alias }, false},
			{"budget_id", func(o *account.Organization) string { return o.BudgetID }, false}},
		nums: limited(func(o *account.Organization) *account.Limits { return &o.Limits }, func(o *account.Organization) *account.Stamp { return &o.Stamp })},
	orgMembers: noun[account.OrgMember]{kind: OrgMembers, id: func(m *account.OrgMember) string { return account.MemberID(m.OrgID, m.UserID) },
		texts: []text[account.OrgMember]{
			{"org_id", func(m *account.OrgMember) string { return m.OrgID }, false},
			{"user_id", func(m *account.OrgMember) string { return m.UserID }, false},
			{"role", func(m *account.OrgMember) string { return m.Role }, false},
			{"budget_id", func(m *account.OrgMember) string { return m.BudgetID }, false}},
		nums: stamped(func(m *account.OrgMember) *account.Stamp { return &m.Stamp })},
	budgets: noun[account.Budget]{kind: Budgets, id: func(b *account.Budget) string { return b.ID },
		nums: limited(func(b *account.Budget) *account.Limits { return &b.Limits }, func(b *account.Budget) *account.Stamp { return &b.Stamp })},
	customers: noun[account.Customer]{kind: Customers, spends: account.OfCustomer, id: func(c *account.Customer) string { return c.ID },
		texts: []text[account.Customer]{
			{"alias", func(c *account.Customer) string { return c.Alias }, false},
			{"budget_id", func(c *account.Customer) string { return c.BudgetID }, false}},
		nums: limited(func(c *account.Customer) *account.Limits { return &c.Limits }, func(c *account.Customer) *account.Stamp { return &c.Stamp })},
	tags: noun[account.Tag]{kind: Tags, spends: account.OfTag, id: func(t *account.Tag) string { return t.Name },
		texts: []text[account.Tag]{{"budget_id", func(t *account.Tag) string { return t.BudgetID }, false}},
		nums:  limited(func(t *account.Tag) *account.Limits { return &t.Limits }, func(t *account.Tag) *account.Stamp { return &t.Stamp })},
	models: noun[account.Model]{kind: Models, id: func(m *account.Model) string { return m.ID },
		texts: []text[account.Model]{
			{"name", func(m *account.Model) string { return m.Name }, false},
			{"team_id", func(m *account.Model) string { return m.TeamID }, false}},
		nums: stamped(func(m *account.Model) *account.Stamp { return &m.Stamp })},
	credentials: noun[account.Credential]{kind: Credentials, id: func(c *account.Credential) string { return c.Name },
		nums: stamped(func(c *account.Credential) *account.Stamp { return &c.Stamp })},
	accessGroups: noun[account.AccessGroup]{kind: AccessGroups, id: func(g *account.AccessGroup) string { return g.Name },
		nums: stamped(func(g *account.AccessGroup) *account.Stamp { return &g.Stamp })},
	audits: noun[account.Audit]{kind: Audits, quiet: true, id: func(a *account.Audit) string { return a.ID },
		texts: []text[account.Audit]{
			{"changed_by", func(a *account.Audit) string { return a.By }, false},
			{"by_key", func(a *account.Audit) string { return a.ByKey }, false},
			{"action", func(a *account.Audit) string { return a.Action }, false},
			{"table_name", func(a *account.Audit) string { return a.Table }, false},
			{"object_id", func(a *account.Audit) string { return a.Object }, false}},
		nums: []num[account.Audit]{{"created", func(a *account.Audit) int64 { return a.At }}}},
	archive: noun[Deleted]{kind: Archive, quiet: true,
		id: func(d *Deleted) string { return string(d.Kind) + "\x1f" + d.ID + "\x1f" + strconv.FormatInt(d.At, 10) },
		texts: []text[Deleted]{
			{"kind", func(d *Deleted) string { return string(d.Kind) }, false},
			{"object_id", func(d *Deleted) string { return d.ID }, false},
			{"alias", func(d *Deleted) string { return d.Alias }, false},
			{"user_id", func(d *Deleted) string { return d.UserID }, false},
			{"team_id", func(d *Deleted) string { return d.TeamID }, false},
			{"org_id", func(d *Deleted) string { return d.OrgID }, false}},
		nums: []num[Deleted]{{"created", func(d *Deleted) int64 { return d.At }}}},
}

func memberID(m *account.Member) string { return account.MemberID(m.TeamID, m.UserID) }

// stamped are the columns of what has a Stamp.
func stamped[T any](of func(*T) *account.Stamp) []num[T] {
	return []num[T]{{"created", func(row *T) int64 { return of(row).Created }}, {"updated", func(row *T) int64 { return of(row).Updated }}}
}

// limited are the columns of what has Limits too. No budget counts as -1, so that it sorts before a budget of 0.
func limited[T any](limits func(*T) *account.Limits, stamp func(*T) *account.Stamp) []num[T] {
	return append(stamped(stamp), num[T]{"max_budget", func(row *T) int64 {
		if b := limits(row).MaxBudget; b != nil {
			return int64(*b)
		}
		return -1
	}})
}

// keep puts a row that is being deleted into Archive.
func (e *Edit) keep(ctx context.Context, d Deleted, spent llm.Nanos, row any) error {
	doc, err := json.Marshal(row, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("archive %s: %w", d.Kind, err)
	}
	d.Doc, d.At, d.By, d.Spent = doc, e.At, e.By, spent
	return e.Archive.Put(ctx, &d)
}
