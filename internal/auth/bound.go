package auth

import (
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/llm"
)

// Payer is a customer or a tag that calls are charged to beside the principal. Immutable.
type Payer struct {
	Bound    *limit.Bound      // nil: nothing bounds it
	Customer *account.Customer // nil for a tag, and for a customer without a row
	Tag      *account.Tag      // nil for a customer
}

// held is a row with what it pays by, made at first use.
type held[V any] struct {
	row  *V
	made atomic.Pointer[Payer]
}

// Customer is how the end user of a call pays; nil: there is no such row and no limit for unknown ones.
func (d *Directory) Customer(user string) *Payer {
	h, ok := d.customers.get(id(user))
	if !ok {
		l := d.Limits(d.o.CustomerLimits)
		if user == "" || d.o.Limiter == nil || unlimited(l) {
			return nil
		}
		s := account.Subject{Kind: account.OfCustomer, ID: user}
		// There may be any number of them: only those that called last are kept. The rules change with what they come from.
		return &Payer{Bound: d.o.Limiter.Cached(s, d.rules, func() []limit.Rule { return rulesFor(nil, s, names{}, l) })}
	}
	return pay(h, func(c *account.Customer) *Payer {
		l := d.Limits(c.Limits).Or(d.Limits(d.o.CustomerLimits))
		return &Payer{Customer: c, Bound: d.bindOne(account.Subject{Kind: account.OfCustomer, ID: c.ID}, c.Alias, l)}
	})
}

// Tag is how a tag of a call pays; nil: there is no such row, so nothing bounds it.
func (d *Directory) Tag(name string) *Payer {
	h, ok := d.tags.get(id(name))
	if !ok {
		return nil
	}
	return pay(h, func(t *account.Tag) *Payer {
		return &Payer{Tag: t, Bound: d.bindOne(account.Subject{Kind: account.OfTag, ID: t.Name}, t.Name, d.Limits(t.Limits))}
	})
}

// bindOne binds the rules of a single account, which is counted even if it has no limits.
func (d *Directory) bindOne(s account.Subject, alias string, l account.Limits) *limit.Bound {
	if d.o.Limiter == nil {
		return nil
	}
	return d.o.Limiter.Bind(rulesFor(nil, s, names{alias: alias}, l))
}

func pay[V any](h *held[V], make func(*V) *Payer) *Payer {
	if p := h.made.Load(); p != nil {
		return p
	}
	p := make(h.row)
	h.made.Store(p)
	return p
}

// bind collects what bounds a principal, and finds its counters.
func (d *Directory) bind(p *Principal) *limit.Bound {
	if d.o.Limiter == nil {
		return nil
	}
	var rules []limit.Rule
	add := func(kind account.Kind, id string, n names, l account.Limits) {
		if !unlimited(l) || kind == account.OfKey { // a key is always counted: answers say what it has spent
			rules = rulesFor(rules, account.Subject{Kind: kind, ID: id}, n, l)
		}
	}
	add(account.OfGateway, "", names{}, d.Limits(d.o.Gateway))
	if o := p.Org; o != nil {
		add(account.OfOrg, o.ID, names{alias: o.Alias}, d.Limits(o.Limits))
	}
	if t := p.Team; t != nil {
		add(account.OfTeam, t.ID, names{alias: t.Alias}, d.Limits(t.Limits))
		if p.UserID != "" {
			add(account.OfMember, account.MemberID(t.ID, p.UserID), names{alias: t.Alias}, d.memberLimits(t, p.Member))
		}
	}
	if u := p.User; u != nil {
		from := len(rules)
		add(account.OfUser, u.ID, names{alias: u.Alias}, d.Limits(u.Limits))
		if p.TeamID != "" && d.o.UserBudgetWithoutTeams {
			for i := range rules[from:] { // what the call costs is booked on the user all the same, so it must be counted
				rules[from+i].Budget, rules[from+i].Soft = nil, nil
			}
		}
	}
	if k := p.Key; k != nil {
		add(account.OfKey, k.Hash, names{alias: k.Alias, name: k.Name, increase: k.TempIncrease, until: k.TempExpiry},
			d.Limits(k.Limits).Or(d.Limits(d.o.KeyLimits)))
	}
	return d.o.Limiter.Bind(rules)
}

// bindMaster finds the counters of those whom the master key's calls are booked on, and who bound others. Nothing bounds the master key.
func (d *Directory) bindMaster() *limit.Bound {
	if d.o.Limiter == nil {
		return nil
	}
	var rules []limit.Rule
	count := func(s account.Subject, l account.Limits) {
		if unlimited(l) {
			return
		}
		from := len(rules)
		rules = rulesFor(rules, s, names{}, l)
		for i := range rules[from:] {
			r := &rules[from+i]
			*r = limit.Rule{Subject: r.Subject, RPM: limit.None, TPM: limit.None, Parallel: limit.None, Window: r.Window, Period: r.Period}
		}
	}
	count(account.Subject{Kind: account.OfGateway}, d.Limits(d.o.Gateway))
	if u, ok := d.users.get(id(MasterUser)); ok {
		count(account.Subject{Kind: account.OfUser, ID: MasterUser}, d.Limits(u.Limits))
	}
	if len(rules) == 0 {
		return nil
	}
	return d.o.Limiter.Bind(rules)
}

// memberLimits are what bounds a member within the team: their own, else what the team has for all.
func (d *Directory) memberLimits(t *account.Team, m *account.Member) account.Limits {
	var own account.Limits
	if m != nil {
		own = d.Limits(m.Limits)
	}
	return own.Or(d.Limits(account.Limits{BudgetID: t.MemberBudgetID}))
}

// Limits are an account's own limits with those of the Budget it names where it has none.
func (d *Directory) Limits(own account.Limits) account.Limits {
	if own.BudgetID == "" {
		return own
	}
	b, ok := d.budgets.get(id(own.BudgetID))
	if !ok {
		return own
	}
	return own.Or(b.Limits)
}

func unlimited(l account.Limits) bool {
	return l.MaxBudget == nil && l.SoftBudget == nil && l.RPM == nil && l.TPM == nil && l.Parallel == nil && len(l.ModelRPM) == 0 &&
		len(l.ModelTPM) == 0 && len(l.ModelBudget) == 0 && len(l.Windows) == 0
}

// names are how messages call an account, and what adds to its budget for a while.
type names struct {
	alias, name string
	increase    llm.Nanos
	until       int64
}

// rulesFor appends the rules of one account: its own, one more for each further budget, and one for each model that has limits within it.
func rulesFor(rules []limit.Rule, s account.Subject, n names, l account.Limits) []limit.Rule {
	base := limit.Unlimited(s)
	base.Alias, base.Name = n.alias, n.name
	r := base
	r.RPM, r.TPM, r.Parallel = rate(l.RPM), rate(l.TPM), rate(l.Parallel)
	r.Budget, r.Soft, r.Period = l.MaxBudget, l.SoftBudget, period(l.BudgetDuration)
	r.Increase, r.IncreaseUntil = n.increase, n.until
	rules = append(rules, r)
	for i := range l.Windows {
		w := base
		w.Window, w.Period, w.Budget = l.Windows[i].Duration, period(l.Windows[i].Duration), &l.Windows[i].MaxBudget
		rules = append(rules, w)
	}
	models := map[string]*limit.Rule{}
	of := func(model string) *limit.Rule {
		if models[model] == nil {
			m := base
			m.Subject.Model = model
			models[model] = &m
		}
		return models[model]
	}
	for model, n := range l.ModelRPM {
		of(model).RPM = n
	}
	for model, n := range l.ModelTPM {
		of(model).TPM = n
	}
	for model, b := range l.ModelBudget {
		m := of(model)
		m.Budget, m.Period = &b.Limit, period(b.Period)
		if b.RPM != nil {
			m.RPM = *b.RPM
		}
		if b.TPM != nil {
			m.TPM = *b.TPM
		}
	}
	for _, m := range models {
		rules = append(rules, *m)
	}
	return rules
}

func rate(n *int64) int64 {
	if n == nil {
		return limit.None
	}
	return *n
}

// period reads a duration that was checked when it was written; one that can't be read never ends.
func period(s string) account.Period {
	p, err := account.ParsePeriod(s)
	if err != nil {
		return account.Period{}
	}
	return p
}
