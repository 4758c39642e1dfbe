package auth

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// world is all rows, as a database would have them.
type world struct {
	keys    map[string]account.Key
	users   map[string]account.User
	teams   map[string]account.Team
	members map[string]account.Member
	orgs    map[string]account.Organization
	budgets map[string]account.Budget
}

func newWorld() *world {
	return &world{map[string]account.Key{}, map[string]account.User{}, map[string]account.Team{}, map[string]account.Member{},
		map[string]account.Organization{}, map[string]account.Budget{}}
}

func (w *world) rows() Rows {
	return Rows{Keys: slices.Collect(maps.Values(w.keys)), Users: slices.Collect(maps.Values(w.users)), Teams: slices.Collect(maps.Values(w.teams)),
		Members: slices.Collect(maps.Values(w.members)), Orgs: slices.Collect(maps.Values(w.orgs)), Budgets: slices.Collect(maps.Values(w.budgets))}
}

// change makes one random change, here and in c.
func (w *world) change(r *rand.Rand, c *Changes) {
	name := func(kind string, n int) string { return kind + fmt.Sprint(r.IntN(n)) }
	some := func(kind string, n int) string {
		if r.IntN(4) == 0 {
			return ""
		}
		return name(kind, n)
	}
	limits := account.Limits{BudgetID: some("b", 3)}
	gone := r.IntN(4) == 0
	switch r.IntN(6) {
	case 0:
		k := account.Key{Hash: Hash(name("sk-", 8)), UserID: some("u", 3), TeamID: some("t", 3), OrgID: some("o", 2), Limits: limits, Alias: name("a", 99)}
		for range r.IntN(3) {
			k.Previous = append(k.Previous, account.Previous{Hash: Hash(name("sk-old-", 4) + k.Hash), Until: noon.UnixMilli() + int64(r.IntN(3)-1)})
		}
		if put(w.keys, k.Hash, k, gone) {
			c.Keys = append(c.Keys, k)
		} else {
			c.Gone.Keys = append(c.Gone.Keys, k.Hash)
		}
	case 1:
		u := account.User{ID: name("u", 3), Email: name("m", 99), Limits: limits, Blocked: r.IntN(5) == 0}
		if put(w.users, u.ID, u, gone) {
			c.Users = append(c.Users, u)
		} else {
			c.Gone.Users = append(c.Gone.Users, u.ID)
		}
	case 2:
		t := account.Team{ID: name("t", 3), Alias: name("T", 99), OrgID: some("o", 2), Limits: limits, MemberBudgetID: some("b", 3)}
		if put(w.teams, t.ID, t, gone) {
			c.Teams = append(c.Teams, t)
		} else {
			c.Gone.Teams = append(c.Gone.Teams, t.ID)
		}
	case 3:
		m := account.Member{TeamID: name("t", 3), UserID: name("u", 3), Role: name("r", 99), Limits: limits}
		id := account.MemberID(m.TeamID, m.UserID)
		if put(w.members, id, m, gone) {
			c.Members = append(c.Members, m)
		} else {
			c.Gone.Members = append(c.Gone.Members, id)
		}
	case 4:
		o := account.Organization{ID: name("o", 2), Alias: name("O", 99), Limits: limits}
		if put(w.orgs, o.ID, o, gone) {
			c.Orgs = append(c.Orgs, o)
		} else {
			c.Gone.Orgs = append(c.Gone.Orgs, o.ID)
		}
	case 5:
		b := account.Budget{ID: name("b", 3), Limits: account.Limits{MaxBudget: ptr(llm.Nanos(r.IntN(99)))}}
		if put(w.budgets, b.ID, b, gone) {
			c.Budgets = append(c.Budgets, b)
		} else {
			c.Gone.Budgets = append(c.Gone.Budgets, b.ID)
		}
	}
}

// put changes one map, and reports whether the row is there then.
func put[V any](m map[string]V, id string, v V, gone bool) bool {
	if gone {
		delete(m, id)
		return false
	}
	m[id] = v
	return true
}

// told is everything about who a key is, with the limits that would be bound.
func told(d *Directory, key string) string {
	p, err := d.Authenticate(key, noon)
	if err != nil {
		return err.Message
	}
	text := fmt.Sprint(p.KeyHash, p.KeyAlias, p.UserEmail, p.TeamAlias, p.OrgID, p.Role, " key ", budgetOf(d.Limits(p.Key.Limits)))
	if p.User != nil {
		text += fmt.Sprint(" user ", budgetOf(d.Limits(p.User.Limits)))
	}
	if p.Team != nil {
		text += fmt.Sprint(" team ", budgetOf(d.Limits(p.Team.Limits)), budgetOf(d.memberLimits(p.Team, p.Member)))
	}
	if p.Member != nil {
		text += p.Member.Role
	}
	if p.Org != nil {
		text += p.Org.Alias
	}
	return text
}

func budgetOf(l account.Limits) int64 {
	if l.MaxBudget == nil {
		return -1
	}
	return int64(*l.MaxBudget)
}

// However changes come, a directory says the same as one built anew of the rows that there are, and the one before says what it said.
func TestApply_random(t *testing.T) {
	var keys []string
	for i := range 8 {
		key := fmt.Sprint("sk-", i)
		keys = append(keys, key)
		for j := range 4 {
			keys = append(keys, fmt.Sprint("sk-old-", j)+Hash(key))
		}
	}
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 1))
		w, d := newWorld(), NewDirectory(Options{}, Rows{})
		for range 60 {
			var before []string
			for _, key := range keys {
				before = append(before, told(d, key)) // and makes the principals
			}
			var c Changes
			w.change(r, &c)
			next := d.Apply(c)
			for i, key := range keys {
				if got := told(d, key); got != before[i] {
					t.Fatalf("seed %d: %s changed by a change to its successor: %s, was %s", seed, key, got, before[i])
				}
			}
			d = next
			fresh := NewDirectory(Options{}, w.rows())
			for _, key := range keys {
				if got, want := told(d, key), told(fresh, key); got != want {
					t.Fatalf("seed %d, after %+v: %s is\n%s, want\n%s", seed, c, key, got, want)
				}
			}
		}
	}
}

// Calls go on while changes are applied.
func TestApply_concurrent(t *testing.T) {
	d := NewDirectory(Options{}, Rows{Keys: []account.Key{{Hash: Hash("sk-0"), UserID: "u0"}}})
	var wg sync.WaitGroup
	next := make(chan *Directory, 4)
	for range 4 {
		wg.Go(func() {
			for d := range next {
				for range 20 {
					if p, err := d.Authenticate("sk-0", noon); err != nil || !p.MayCall("m") {
						t.Error(err)
					}
				}
			}
		})
	}
	for i := range 200 {
		d = d.Apply(Changes{Rows: Rows{Users: []account.User{{ID: "u0", Email: fmt.Sprint(i)}}}})
		for range 4 {
			next <- d
		}
	}
	close(next)
	wg.Wait()
}
