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
	customers  *table[id, *account.Customer]
	tags       *table[id, *account.Tag]
	groups     *table[id, *account.AccessGroup]
}

func newBooks() books {
	return books{
		&table[digest, *entry]{}, &table[id, *account.User]{}, &table[id, *account.Team]{}, &table[id, *account.Member]{},
		&table[id, *account.Organization]{}, &table[id, *account.OrgMember]{}, &table[id, *account.Budget]{}, &table[id, *account.Customer]{},
		&table[id, *account.Tag]{}, &table[id, *account.AccessGroup]{},
	}
}

// noun is how one sort of row is told apart and what it leans on.
type noun[V any] struct {
	sort  sort
	name  func(*V) string
	needs func(*V) []node
}

var (
	users      = noun[account.User]{aUser, func(u *account.User) string { return u.ID }, userNeeds}
	teams      = noun[account.Team]{aTeam, func(t *account.Team) string { return t.ID }, teamNeeds}
	members    = noun[account.Member]{aMember, func(m *account.Member) string { return account.MemberID(m.TeamID, m.UserID) }, memberNeeds}
	orgs       = noun[account.Organization]{anOrg, func(o *account.Organization) string { return o.ID }, orgNeeds}
	orgMembers = noun[account.OrgMember]{anOrgMember, func(m *account.OrgMember) string { return account.MemberID(m.OrgID, m.UserID) }, nothing[account.OrgMember]}
	budgets    = noun[account.Budget]{aBudget, func(b *account.Budget) string { return b.ID }, nothing[account.Budget]}
	customers  = noun[account.Customer]{aCustomer, func(c *account.Customer) string { return c.ID }, customerNeeds}
	tags       = noun[account.Tag]{aTag, func(t *account.Tag) string { return t.Name }, tagNeeds}
	groups     = noun[account.AccessGroup]{aGroup, func(g *account.AccessGroup) string { return g.Name }, nothing[account.AccessGroup]}
)

// change puts rows into a copy of a table and takes others out, keeps the index, and adds every row that is or leans on one of them to
// touched. Nothing to do gives the table itself.
func change[V any](n noun[V], t *table[id, *V], rows []V, gone []string, x index, touched map[node]bool) *table[id, *V] {
	if len(rows)+len(gone) == 0 {
		return t
	}
	t = t.next()
	forget := func(name string) {
		if old, ok := t.get(id(name)); ok {
			x.unlink(node{n.sort, name}, n.needs(old)...)
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
		t.put(id(name), &rows[i])
	}
	return t
}

// relink adds a table's rows to an index that is built anew.
func relink[V any](n noun[V], t *table[id, *V], x index) {
	t.each(func(name id, row *V) { x.link(node{n.sort, string(name)}, n.needs(row)...) })
}
