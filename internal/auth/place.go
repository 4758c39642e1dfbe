package auth

import (
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/account"
)

// teamAdmin is the Role of a Member who administers the team.
const teamAdmin = "admin"

// Teams are the memberships of a user in teams, in no order; not to be changed.
func (d *Directory) Teams(user string) []*account.Member {
	if p, ok := d.places.get(id(user)); ok {
		return p.teams
	}
	return nil
}

// TeamNames are the aliases of a user's teams, in order.
func (d *Directory) TeamNames(user string) []string {
	var names []string
	for _, m := range d.Teams(user) {
		if t, ok := d.teams.get(id(m.TeamID)); ok && t.Alias != "" {
			names = append(names, t.Alias)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Orgs are the memberships of a user in organizations, in no order; not to be changed.
func (d *Directory) Orgs(user string) []*account.OrgMember {
	if p, ok := d.places.get(id(user)); ok {
		return p.orgs
	}
	return nil
}

// place brings the users' places up to date with the memberships among the rows that were touched.
func (b *books) place(touched map[node]bool) {
	own := map[id]*places{} // those that are ours to write to
	of := func(user string) *places {
		p := own[id(user)]
		if p == nil {
			p = &places{}
			if was, ok := b.places.get(id(user)); ok {
				p.teams, p.orgs = slices.Clone(was.teams), slices.Clone(was.orgs)
			}
			own[id(user)] = p
		}
		return p
	}
	for n := range touched {
		group, user, _ := strings.Cut(n.id, "\x1f")
		switch n.sort {
		case aMember:
			p := of(user)
			p.teams = slices.DeleteFunc(p.teams, func(m *account.Member) bool { return m.TeamID == group })
			if m, ok := b.members.get(id(n.id)); ok {
				p.teams = append(p.teams, m)
			}
		case anOrgMember:
			p := of(user)
			p.orgs = slices.DeleteFunc(p.orgs, func(m *account.OrgMember) bool { return m.OrgID == group })
			if m, ok := b.orgMembers.get(id(n.id)); ok {
				p.orgs = append(p.orgs, m)
			}
		}
	}
	if len(own) == 0 {
		return
	}
	b.places = b.places.next()
	for user, p := range own {
		if len(p.teams)+len(p.orgs) == 0 {
			b.places.del(user)
			continue
		}
		b.places.put(user, p)
	}
}
