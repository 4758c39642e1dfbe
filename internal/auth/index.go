package auth

import (
	"github.com/weir-gateway/weir/internal/account"
)

// sort is what kind of row a node is.
type sort uint8

const (
	aKey sort = iota
	aUser
	aTeam
	aMember
	anOrg
	aBudget
	aCustomer
	aTag
	anOrgMember
	aGroup
)

// node is a row as the index knows it.
type node struct {
	sort sort
	id   string
}

// index says which rows lean on a row, so that a change of it re-makes those alone. Rows need not exist to be leant on: a key may name a
// user who is made later.
type index map[node][]node

func (x index) link(leans node, on ...node) {
	for _, n := range on {
		if n.id != "" {
			x[n] = append(x[n], leans)
		}
	}
}

func (x index) unlink(leans node, on ...node) {
	for _, n := range on {
		if n.id == "" {
			continue
		}
		list := x[n]
		for i := len(list) - 1; i >= 0; i-- { // what is changed is most often what is new
			if list[i] != leans {
				continue
			}
			last := len(list) - 1
			list[i], list[last] = list[last], node{}
			if x[n] = list[:last]; last == 0 {
				delete(x, n)
			}
			break
		}
	}
}

// reach adds to out all that leans on n, however far.
func (x index) reach(n node, out map[node]bool) {
	for _, leans := range x[n] {
		if !out[leans] {
			out[leans] = true
			x.reach(leans, out)
		}
	}
}

// What each row leans on. A key's place in its team is not linked: Apply looks through its user's keys when a member changes.

func keyNeeds(k *account.Key) []node {
	return []node{{aUser, k.UserID}, {aTeam, k.TeamID}, {anOrg, k.OrgID}, {aBudget, k.BudgetID}}
}

// nothing is what rows lean on that lean on none.
func nothing[V any](*V) []node { return nil }

func userNeeds(u *account.User) []node { return []node{{aBudget, u.BudgetID}} }

func teamNeeds(t *account.Team) []node {
	return []node{{anOrg, t.OrgID}, {aBudget, t.BudgetID}, {aBudget, t.MemberBudgetID}}
}

func memberNeeds(m *account.Member) []node { return []node{{aBudget, m.BudgetID}} }

func orgNeeds(o *account.Organization) []node { return []node{{aBudget, o.BudgetID}} }

func customerNeeds(c *account.Customer) []node { return []node{{aBudget, c.BudgetID}} }

func tagNeeds(t *account.Tag) []node { return []node{{aBudget, t.BudgetID}} }
