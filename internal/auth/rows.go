package auth

import "github.com/weir-gateway/weir/internal/account"

// Rows are account rows, all of them or some that changed. The directory keeps pointers into the slices: they must not be written to later.
type Rows struct {
	Keys         []account.Key
	Users        []account.User
	Teams        []account.Team
	Members      []account.Member
	Orgs         []account.Organization
	OrgMembers   []account.OrgMember
	Budgets      []account.Budget
	Customers    []account.Customer
	Tags         []account.Tag
	AccessGroups []account.AccessGroup
}

// IDs name rows: a key by its hash, a member by account.MemberID(team, user), an organization's by account.MemberID(org, user), a tag and
// an access group by name.
type IDs struct {
	Keys, Users, Teams, Members, Orgs, OrgMembers, Budgets, Customers, Tags, AccessGroups []string
}

// Changes are what happened since: rows that are new or differ, and rows that are gone. A row in both is there.
type Changes struct {
	Rows
	Gone IDs
}

// books are the tables of a directory.
type books struct {
	keys       *table[digest, *entry]
	users      *table[id, *account.User]
	teams      *table[id, *account.Team]
	members    *table[id, *account.Member]
	orgs       *table[id, *account.Organization]
	orgMembers *table[id, *account.OrgMember]
	budgets    *table[id, *account.Budget]
	customers  *table[id, *held[account.Customer]]
	tags       *table[id, *held[account.Tag]]
	groups     *table[id, *account.AccessGroup]
	signers    *table[id, digest]  // access key id of issued AWS credentials -> the key they stand for
	places     *table[id, *places] // by user
}

// places are what a user belongs to.
type places struct {
	teams []*account.Member
	orgs  []*account.OrgMember
}

func newBooks() books {
	return books{
		&table[digest, *entry]{}, &table[id, *account.User]{}, &table[id, *account.Team]{}, &table[id, *account.Member]{},
		&table[id, *account.Organization]{}, &table[id, *account.OrgMember]{}, &table[id, *account.Budget]{},
		&table[id, *held[account.Customer]]{}, &table[id, *held[account.Tag]]{}, &table[id, *account.AccessGroup]{}, &table[id, digest]{},
		&table[id, *places]{},
	}
}

// noun is how one sort of row is told apart, what it leans on, and how a table holds it.
type noun[V, H any] struct {
	sort  sort
	name  func(*V) string
	needs func(*V) []node
	hold  func(*V) H
	row   func(H) *V
}

func plain[V any](s sort, name func(*V) string, needs func(*V) []node) noun[V, *V] {
	same := func(v *V) *V { return v }
	return noun[V, *V]{s, name, needs, same, same}
}

func payer[V any](s sort, name func(*V) string, needs func(*V) []node) noun[V, *held[V]] {
	return noun[V, *held[V]]{s, name, needs, func(v *V) *held[V] { return &held[V]{row: v} }, func(h *held[V]) *V { return h.row }}
}

var (
	users      = plain(aUser, func(u *account.User) string { return u.ID }, userNeeds)
	teams      = plain(aTeam, func(t *account.Team) string { return t.ID }, teamNeeds)
	members    = plain(aMember, func(m *account.Member) string { return account.MemberID(m.TeamID, m.UserID) }, memberNeeds)
	orgs       = plain(anOrg, func(o *account.Organization) string { return o.ID }, orgNeeds)
	orgMembers = plain(anOrgMember, func(m *account.OrgMember) string { return account.MemberID(m.OrgID, m.UserID) }, nothing)
	budgets    = plain(aBudget, func(b *account.Budget) string { return b.ID }, nothing)
	groups     = plain(aGroup, func(g *account.AccessGroup) string { return g.Name }, nothing)
	customers  = payer(aCustomer, func(c *account.Customer) string { return c.ID }, customerNeeds)
	tags       = payer(aTag, func(t *account.Tag) string { return t.Name }, tagNeeds)
)

// change puts rows into a copy of a table and takes others out, keeps the index, and adds every row that is or leans on one of them to
// touched. Nothing to do gives the table itself.
func change[V, H any](n noun[V, H], t *table[id, H], rows []V, gone []string, x index, touched map[node]bool) *table[id, H] {
	if len(rows)+len(gone) == 0 {
		return t
	}
	t = t.next()
	forget := func(name string) {
		if old, ok := t.get(id(name)); ok {
			x.unlink(node{n.sort, name}, n.needs(n.row(old))...)
		}
		touched[node{n.sort, name}] = true
		x.reach(node{n.sort, name}, touched)
	}
	for _, name := range gone {
		forget(name)
		t.del(id(name))
	}
	for i := range rows {
		name := n.name(&rows[i])
		forget(name)
		x.link(node{n.sort, name}, n.needs(&rows[i])...)
		t.put(id(name), n.hold(&rows[i]))
	}
	return t
}

// relink adds a table's rows to an index that is built anew.
func relink[V, H any](n noun[V, H], t *table[id, H], x index) {
	t.each(func(name id, h H) { x.link(node{n.sort, string(name)}, n.needs(n.row(h))...) })
}

// renewed gives a table in which a row, if it is there, is held anew, so that what was made of it is made again.
func renewed[V, H any](n noun[V, H], t *table[id, H], name string) *table[id, H] {
	h, ok := t.get(id(name))
	if !ok {
		return t
	}
	t = t.next()
	t.put(id(name), n.hold(n.row(h)))
	return t
}

// allRenewed is renewed for every row.
func allRenewed[V, H any](n noun[V, H], t *table[id, H]) *table[id, H] {
	fresh := &table[id, H]{}
	t.each(func(name id, h H) { fresh.put(name, n.hold(n.row(h))) })
	return fresh
}
