package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/llm"
)

// Options are what a directory holds beside the rows.
type Options struct {
	// Master is the master key in the clear: an administrator without limits; empty: there is none.
	Master string
	// Own are the configuration's keys; Hash is set. They stand before rows with the same hash, and no change of rows touches them.
	Own []account.Key
	// Groups are the access groups that model_info.access_groups makes: the models of each by its name. AccessGroup rows add to them.
	Groups map[string][]string
	// ProviderOf names the provider of a model by its public name, so that openai/* in a list of models holds gpt-4o; empty: not known.
	// nil: patterns hold names as they stand.
	ProviderOf func(model string) string
	// ModelDenied is the HTTP status of a refused model; 0: 403.
	ModelDenied int
	// Limiter counts; nil: nothing is counted and nothing limited, and every Bound is nil.
	Limiter *limit.Limiter
	// Gateway bounds all calls together but the master key's.
	Gateway account.Limits
	// KeyLimits hold for keys that have none of their own, CustomerLimits for customers, also for those who have no row.
	KeyLimits, CustomerLimits account.Limits
	// UserBudgetWithoutTeams: a user's budget counts calls with keys of no team only, as in LiteLLM.
	UserBudgetWithoutTeams bool
	// UserModelsWithoutTeams: a user's list of models holds for keys of no team only, as in LiteLLM.
	UserModelsWithoutTeams bool
}

// leanOn reports whether the options name one of the budgets.
func (o *Options) leanOn(touched map[node]bool) bool {
	for _, l := range [...]*account.Limits{&o.Gateway, &o.KeyLimits, &o.CustomerLimits} {
		if l.BudgetID != "" && touched[node{aBudget, l.BudgetID}] {
			return true
		}
	}
	return false
}

// Directory is everyone who may call. It is immutable and safe for concurrent use: Apply and With give the next one, which shares all that
// did not change.
type Directory struct {
	o     Options
	own   map[digest]*account.Key // nil: the master key
	rules *rules
	books
	line *line
}

// entry is one hash that is taken, and whom it stands for. Directories share entries, and so principals, as long as nothing that the
// principal is made of has changed.
type entry struct {
	key    *account.Key // nil: the master key
	hidden *account.Key // the row with the hash of one of the configuration's keys
	until  int64        // a hash the key had before: taken until then, Unix ms; 0: the key's own hash
	made   atomic.Pointer[Principal]
}

// line is what the directories that follow from one another share: an index of which rows lean on which, true for the newest of them.
type line struct {
	mu     sync.Mutex
	newest *Directory
	index  index
}

// NewDirectory builds a directory of all rows.
func NewDirectory(o Options, rows Rows) *Directory {
	d := &Directory{books: newBooks(), line: &line{index: index{}}}
	d.line.newest = d
	return d.With(o).Apply(Changes{Rows: rows})
}

// With gives the directory with other options. It re-makes every principal, which takes some 20 ms for 200,000 keys.
func (d *Directory) With(o Options) *Directory {
	d.line.mu.Lock()
	defer d.line.mu.Unlock()
	next := &Directory{o: o, own: map[digest]*account.Key{}, books: d.books, line: d.follow()}
	x := next.line.index
	for i := range o.Own {
		if at, ok := parseDigest(o.Own[i].Hash); ok {
			next.own[at] = &o.Own[i]
		}
	}
	if o.Master != "" {
		next.own[sha256.Sum256([]byte(o.Master))] = nil
	}
	next.keys, next.signers = next.keys.next(), next.signers.next()
	var hidden []*account.Key
	for at := range d.own {
		e, _ := d.keys.get(at)
		next.drop(at, e, x)
		if e.hidden != nil {
			hidden = append(hidden, e.hidden)
		}
	}
	for at, k := range next.own {
		e := &entry{key: k}
		if row, ok := next.keys.get(at); ok {
			if row.until == 0 {
				e.hidden = row.key
			}
			next.drop(at, row, x)
		}
		if k != nil {
			x.link(node{aKey, k.Hash}, keyNeeds(k)...)
		}
		next.keys.put(at, e)
	}
	for _, k := range hidden {
		next.putKey(k, x)
	}
	next.setRules()
	next.line.newest = next
	return next
}

// Apply gives the directory with the changes in it; the receiver stays as it is. It costs what the changes touch: the keys given, and the
// keys of the users, teams, members, organizations and budgets given. Apply to the newest: to an older one it works as well, but slowly.
func (d *Directory) Apply(c Changes) *Directory {
	d.line.mu.Lock()
	defer d.line.mu.Unlock()
	next := &Directory{o: d.o, own: d.own, rules: d.rules, books: d.books, line: d.follow()}
	x := next.line.index
	touched := map[node]bool{}
	b := &next.books
	b.users = change(users, b.users, c.Users, c.Gone.Users, x, touched)
	b.teams = change(teams, b.teams, c.Teams, c.Gone.Teams, x, touched)
	b.members = change(members, b.members, c.Members, c.Gone.Members, x, touched)
	b.orgs = change(orgs, b.orgs, c.Orgs, c.Gone.Orgs, x, touched)
	b.orgMembers = change(orgMembers, b.orgMembers, c.OrgMembers, c.Gone.OrgMembers, x, touched)
	b.budgets = change(budgets, b.budgets, c.Budgets, c.Gone.Budgets, x, touched)
	b.customers = change(customers, b.customers, c.Customers, c.Gone.Customers, x, touched)
	b.tags = change(tags, b.tags, c.Tags, c.Gone.Tags, x, touched)
	b.groups = change(groups, b.groups, c.AccessGroups, c.Gone.AccessGroups, x, touched)
	b.keys, b.signers = b.keys.next(), b.signers.next()
	b.place(touched)
	for n := range touched {
		switch n.sort {
		case aKey:
			next.renew(n.id)
		case aMember:
			next.renewMember(n.id, x)
		case aUser:
			if n.id == MasterUser {
				next.renewMaster()
			}
		case aCustomer:
			b.customers = renewed(customers, b.customers, n.id)
		case aTag:
			b.tags = renewed(tags, b.tags, n.id)
		}
	}
	for _, hash := range c.Gone.Keys {
		next.dropKey(hash, x)
	}
	for i := range c.Keys {
		next.dropKey(c.Keys[i].Hash, x)
		next.putKey(&c.Keys[i], x)
	}
	if len(c.AccessGroups)+len(c.Gone.AccessGroups) > 0 || next.o.leanOn(touched) {
		next.setRules()
	}
	next.line.newest = next
	return next
}

// follow gives the line that what follows from d belongs to: d's own if it is the newest, else a new one. The line is locked.
func (d *Directory) follow() *line {
	if d.line.newest == d {
		return d.line
	}
	x := index{}
	relink(users, d.users, x)
	relink(teams, d.teams, x)
	relink(members, d.members, x)
	relink(orgs, d.orgs, x)
	relink(customers, d.customers, x)
	relink(tags, d.tags, x)
	d.keys.each(func(_ digest, e *entry) {
		if e.key != nil && e.until == 0 {
			x.link(node{aKey, e.key.Hash}, keyNeeds(e.key)...)
		}
	})
	return &line{index: x}
}

// putKey adds a key's row with the hashes it had before. A configuration's key with its hash hides it.
func (d *Directory) putKey(k *account.Key, x index) {
	at, ok := parseDigest(k.Hash)
	if !ok {
		return // nobody can hold a key with such a hash
	}
	if own, ok := d.own[at]; ok {
		d.keys.put(at, &entry{key: own, hidden: k})
		return
	}
	d.keys.put(at, &entry{key: k})
	if k.AWSAccessKeyID != "" {
		d.signers.put(id(k.AWSAccessKeyID), at)
	}
	x.link(node{aKey, k.Hash}, keyNeeds(k)...)
	for _, old := range k.Previous {
		at, ok := parseDigest(old.Hash)
		if e, taken := d.keys.get(at); ok && (!taken || e.until != 0) {
			d.keys.put(at, &entry{key: k, until: old.Until})
		}
	}
}

// dropKey takes a key's row out.
func (d *Directory) dropKey(hash string, x index) {
	at, ok := parseDigest(hash)
	if !ok {
		return
	}
	e, ok := d.keys.get(at)
	switch {
	case !ok || e.until != 0: // unknown, or the former hash of another
	case e.hidden != nil:
		d.keys.put(at, &entry{key: e.key})
	case e.key != nil && d.own[at] == nil:
		d.drop(at, e, x)
	}
}

// drop takes out an entry with the hashes its key had before.
func (d *Directory) drop(at digest, e *entry, x index) {
	d.keys.del(at)
	if e.key == nil || e.until != 0 {
		return
	}
	if signer, ok := d.signers.get(id(e.key.AWSAccessKeyID)); ok && signer == at {
		d.signers.del(id(e.key.AWSAccessKeyID))
	}
	x.unlink(node{aKey, e.key.Hash}, keyNeeds(e.key)...)
	for _, old := range e.key.Previous {
		if at, ok := parseDigest(old.Hash); ok {
			if was, ok := d.keys.get(at); ok && was.until != 0 && was.key == e.key {
				d.keys.del(at)
			}
		}
	}
}

// renew lets a key's principal be made anew at its next use.
func (d *Directory) renew(hash string) {
	at, _ := parseDigest(hash)
	e, ok := d.keys.get(at)
	if !ok || e.key == nil || e.until != 0 {
		return
	}
	d.keys.put(at, &entry{key: e.key, hidden: e.hidden})
	for _, old := range e.key.Previous {
		at, _ := parseDigest(old.Hash)
		if was, ok := d.keys.get(at); ok && was.until != 0 && was.key == e.key {
			d.keys.put(at, &entry{key: e.key, until: was.until})
		}
	}
}

// renewMaster lets the master key's principal be made anew at its next use.
func (d *Directory) renewMaster() {
	for at, k := range d.own {
		if k == nil {
			e, _ := d.keys.get(at)
			d.keys.put(at, &entry{hidden: e.hidden})
		}
	}
}

// renewMember renews the keys that a user has in a team.
func (d *Directory) renewMember(member string, x index) {
	team, user, _ := strings.Cut(member, "\x1f")
	for _, n := range x[node{aUser, user}] {
		if n.sort != aKey {
			continue
		}
		at, _ := parseDigest(n.id)
		if e, ok := d.keys.get(at); ok && e.key != nil && e.key.TeamID == team {
			d.renew(n.id)
		}
	}
}

// setRules makes the rules anew, and with them everything that was made of rows.
func (d *Directory) setRules() {
	d.rules = newRules(d.o, d.groups)
	fresh := &table[digest, *entry]{}
	d.keys.each(func(at digest, e *entry) {
		fresh.put(at, &entry{key: e.key, hidden: e.hidden, until: e.until})
	})
	d.keys = fresh
	d.customers = allRenewed(customers, d.customers)
	d.tags = allRenewed(tags, d.tags)
}

// Authenticate finds who holds the key. The look-up goes by the key's hash, so that its time says nothing about other keys. A key that is
// known but blocked or expired is an error too, as is one of a blocked user or team.
func (d *Directory) Authenticate(key string, now time.Time) (*Principal, *llm.Error) {
	e, ok := d.keys.get(sum(key))
	if !ok || e.until != 0 && now.UnixMilli() >= e.until {
		return nil, unknownKey(key)
	}
	return d.principal(e).admit(now)
}

// Knows reports whether the key is there at all, in force or not.
func (d *Directory) Knows(key string) bool {
	_, ok := d.keys.get(sum(key))
	return ok
}

// BySigner finds who holds the key that AWS credentials were issued for, by their access key id; the signature is not looked at.
func (d *Directory) BySigner(accessKeyID string, now time.Time) (*Principal, *llm.Error) {
	at, ok := d.signers.get(id(accessKeyID))
	if !ok {
		return nil, UnknownAccessKey()
	}
	e, ok := d.keys.get(at)
	if !ok {
		return nil, UnknownAccessKey()
	}
	return d.principal(e).admit(now)
}

// principal gives whom an entry stands for, made at its first use. Two calls at once may both make it, and make the same.
func (d *Directory) principal(e *entry) *Principal {
	if p := e.made.Load(); p != nil {
		return p
	}
	p := d.make(e.key)
	e.made.Store(p)
	return p
}

// Len is how many keys there are, former hashes included.
func (d *Directory) Len() int { return d.keys.len }

// sum hashes a key without allocating for the keys that there are.
func sum(key string) digest {
	var buf [128]byte
	if len(key) > len(buf) {
		return sha256.Sum256([]byte(key))
	}
	return sha256.Sum256(buf[:copy(buf[:], key)])
}

func parseDigest(hash string) (digest, bool) {
	var at digest
	if len(hash) != hex.EncodedLen(len(at)) {
		return at, false
	}
	_, err := hex.Decode(at[:], []byte(hash))
	return at, err == nil
}
