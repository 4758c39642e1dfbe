package limit

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// What is the thing that a limit counts. Its text stands in messages and in the rate_limit_type header.
type What string

// What limits count.
const (
	Requests What = "requests"
	Tokens   What = "tokens"
	Parallel What = "max_parallel_requests"
	Budget   What = "budget"
	// Unreachable is no limit: limits are shared, whoever shares them is gone, and the policy is Closed.
	Unreachable What = "unreachable"
)

// Refusal says which limit refused a call.
type Refusal struct {
	Subject account.Subject
	Alias   string
	Name    string // of a key: its masked form
	What    What
	// Limit and Used are in what What counts, of a budget in nano-dollars; Used includes Held, what calls in flight have reserved.
	Limit, Used, Held int64
	Window            string // of a budget: Rule.Window
	// ResetAt is when the limit's window ends, Unix ms; 0: never, or not known.
	ResetAt    int64
	RetryAfter time.Duration // when to ask again; 0: no use
}

// Remaining is what was left.
func (f *Refusal) Remaining() int64 { return max(0, f.Limit-f.Used) }

// refuse makes the refusal of a dim that is used and held as told; of money that is what was ever spent. The meter is locked.
func (l *Limiter) refuse(e *entry, d dim, limit, used, held, now int64) *Refusal {
	f := &Refusal{Subject: e.m.subject, Alias: e.alias, Name: e.name, What: whats[d], Limit: limit, Used: used + held, Held: held}
	c := &e.m.counts[d]
	switch {
	case d == dMoney:
		_, b := e.ceiling(now, l.zone)
		p := &e.m.purses[b.purse]
		f.Limit, f.Used, f.Window, f.ResetAt = int64(b.limit(now)), f.Used-int64(p.base), p.window, p.resetAt
		if f.Used-f.Held < f.Limit {
			f.RetryAfter = time.Second // calls in flight will give back what they do not use
			return f
		}
		if p.resetAt == 0 {
			return f
		}
	case d == dParallel:
		f.ResetAt = now + 1000 // a call may end at any moment
	case c.end != 0:
		f.ResetAt = c.end
	default:
		f.ResetAt = now + minute
	}
	f.RetryAfter = max(time.Second, time.Duration(f.ResetAt-now)*time.Millisecond)
	return f
}

// worse is the refusal to name of two: a budget before a rate, then in the order in which LiteLLM asks.
func worse(a, b *Refusal) *Refusal {
	if a == nil || b.rank() < a.rank() {
		return b
	}
	return a
}

func (f *Refusal) rank() int {
	n := 0
	for i, k := range [...]account.Kind{account.OfKey, account.OfUser, account.OfTeam, account.OfMember, account.OfCustomer, account.OfOrg,
		account.OfTag, account.OfGateway} {
		if f.Subject.Kind == k {
			n = i
		}
	}
	n *= 2
	if f.Subject.Model != "" {
		n++
	}
	if f.What != Budget {
		n += 100
	}
	return n
}

// scope is what LiteLLM calls the kind of limit: api_key, team, model_per_key ...
func scope(s account.Subject) string {
	if s.Model == "" {
		return string(s.Kind)
	}
	switch s.Kind {
	case account.OfKey:
		return "model_per_key"
	case account.OfUser:
		return "model_per_user"
	case account.OfTeam:
		return "model_per_team"
	case account.OfMember:
		return "model_per_team_member"
	case account.OfOrg:
		return "model_per_organization"
	case account.OfCustomer:
		return "model_per_end_user"
	case account.OfTag:
		return "model_per_tag"
	}
	return "model_per_gateway"
}

// member splits the id of a team's member.
func member(id string) (team, user string) {
	team, user, _ = strings.Cut(id, "\x1f")
	return team, user
}

// Err is the refusal as an answer, in LiteLLM's words.
func (f *Refusal) Err() *llm.Error {
	switch f.What {
	case Budget:
		return f.budgetErr()
	case Unreachable:
		e := llm.Errorf(llm.ErrUnavailable, "limits and budgets can't be checked at the moment, try again later")
		e.RetryAfter = f.RetryAfter
		return e
	}
	value := f.Subject.ID
	if f.Subject.Kind == account.OfMember {
		team, user := member(value)
		value = team + ":" + user
	}
	if f.Subject.Model != "" {
		value += ":" + f.Subject.Model
	}
	e := llm.Errorf(llm.ErrRateLimit, "Rate limit exceeded for %s: %s. Limit type: %s. Current limit: %d, Remaining: %d.", scope(f.Subject), value,
		f.What, f.Limit, f.Remaining())
	e.RetryAfter = f.RetryAfter
	e.Header = http.Header{"Rate_limit_type": {string(f.What)}}
	if f.ResetAt != 0 {
		at := time.UnixMilli(f.ResetAt + 999).UTC().Format("2006-01-02 15:04:05 UTC")
		e.Message += " Limit resets at: " + at
		e.Header["Reset_at"] = []string{at}
	}
	return e
}

func (f *Refusal) budgetErr() *llm.Error {
	cost, limit := usd(f.Used), usd(f.Limit)
	current := " Current cost: " + cost + ", Max budget: " + limit
	id := f.Subject.ID
	var text string
	switch f.Subject.Kind {
	case account.OfKey:
		alias := f.Alias
		if alias == "" {
			alias = "key"
		}
		text = "Budget has been exceeded! Key=" + alias + " (" + f.Name + ")" + current
		if f.Subject.Model != "" {
			text = "LiteLLM Virtual Key: " + id + ", key_alias: " + f.Alias + ", exceeded budget for model=" + f.Subject.Model + "." + current
		}
	case account.OfUser:
		text = "ExceededBudget: User=" + id + " over budget. Spend=" + cost + ", Budget=" + limit
	case account.OfCustomer:
		text = "ExceededBudget: End User=" + id + " over budget. Spend=" + cost + ", Budget=" + limit
	case account.OfTeam:
		text = "Budget has been exceeded! Team=" + id + current
	case account.OfMember:
		team, user := member(id)
		text = "Budget has been exceeded! User=" + user + " in Team=" + team + current
	case account.OfOrg:
		text = "Budget has been exceeded! Organization=" + id + current
	case account.OfTag:
		text = "Budget has been exceeded! Tag=" + id + current
	default:
		text = "Budget has been exceeded! The gateway's own." + current
	}
	if f.Subject.Model != "" && f.Subject.Kind != account.OfKey {
		text += ", Model=" + f.Subject.Model
	}
	if f.Window != "" {
		text += ", per " + f.Window
	}
	e := &llm.Error{Kind: llm.ErrBudget, RetryAfter: f.RetryAfter}
	if f.Used-f.Held < f.Limit {
		text += " (" + usd(f.Held) + " of it is reserved by calls in flight)"
	} else {
		// The SDKs obey it: asking again does not help.
		e.Header = http.Header{"X-Should-Retry": {"false"}}
	}
	e.Message = text
	return e
}

// usd writes an amount as LiteLLM's Python does: 0.0, 0.2.
func usd(n int64) string {
	s := strconv.FormatFloat(llm.Nanos(n).USD(), 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
