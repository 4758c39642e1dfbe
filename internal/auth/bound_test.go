package auth

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/llm"
)

func ptr[T any](v T) *T { return &v }

// refusal says which limit refuses a call of a model that costs 1 after one that cost spent: kind, id and what; "none" if none does.
func refusal(l *limit.Limiter, model string, at time.Time, spent llm.Nanos, bounds ...*limit.Bound) string {
	for _, cost := range []llm.Nanos{spent, 1} {
		var r limit.Reservation
		if f := l.Reserve(context.Background(), &r, limit.Need{Model: model, Cost: cost, Tokens: 10, Start: at.UnixMilli()}, bounds...); f != nil {
			return strings.TrimSuffix(fmt.Sprint(f.Subject.Kind, " ", strings.ReplaceAll(f.Subject.ID, "\x1f", "+"), " ", f.What, " ", f.Window), " ")
		}
		r.Settle(10, cost)
	}
	return "none"
}

func TestBound(t *testing.T) {
	type setup struct {
		gateway, org, team, member, all, user, key, keys account.Limits // all: the team's for its members
		options                                          Options
		edit                                             func(*account.Key)
	}
	f := func(s setup, model string, spent llm.Nanos, want string) {
		t.Helper()
		l := limit.New(limit.Options{Now: func() time.Time { return noon }})
		k := account.Key{Hash: Hash("sk-1"), UserID: "u", TeamID: "t", Limits: s.key}
		if s.edit != nil {
			s.edit(&k)
		}
		o := s.options
		o.Limiter, o.Gateway, o.KeyLimits, o.Master = l, s.gateway, s.keys, "sk-master"
		d := NewDirectory(o, Rows{
			Keys:    []account.Key{k},
			Users:   []account.User{{ID: "u", Limits: s.user}},
			Teams:   []account.Team{{ID: "t", OrgID: "o", Limits: s.team, MemberBudgetID: "all"}},
			Members: []account.Member{{TeamID: "t", UserID: "u", Limits: s.member}},
			Orgs:    []account.Organization{{ID: "o", Limits: s.org}},
			Budgets: []account.Budget{{ID: "all", Limits: s.all}, {ID: "b", Limits: account.Limits{MaxBudget: ptr(llm.Nanos(50)), RPM: ptr(int64(1))}}},
		})
		p, err := d.Authenticate("sk-1", noon)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Replace(refusal(l, model, noon, spent, p.Bound), Hash("sk-1"), "k", 1)
		if got != want {
			t.Errorf("%+v: refused by %s, want %s", s, got, want)
		}
		master, _ := d.Authenticate("sk-master", noon)
		if got := refusal(l, model, noon, spent, master.Bound); got != "none" {
			t.Errorf("the master key is refused by %s", got)
		}
	}
	budget := func(n int64) account.Limits { return account.Limits{MaxBudget: ptr(llm.Nanos(n))} }
	f(setup{}, "m", 1e9, "none")
	f(setup{gateway: budget(100)}, "m", 99, "none")
	f(setup{gateway: budget(100)}, "m", 100, "gateway  budget")
	f(setup{org: budget(100)}, "m", 100, "organization o budget")
	f(setup{team: budget(100)}, "m", 100, "team t budget")
	f(setup{member: budget(100)}, "m", 100, "team_member t+u budget")
	f(setup{all: budget(100)}, "m", 100, "team_member t+u budget")
	f(setup{all: budget(100), member: budget(200)}, "m", 100, "none")
	f(setup{user: budget(100)}, "m", 100, "user u budget")
	f(setup{user: budget(100), options: Options{UserBudgetWithoutTeams: true}}, "m", 100, "none")
	f(setup{user: account.Limits{RPM: ptr(int64(1))}, options: Options{UserBudgetWithoutTeams: true}}, "m", 1, "user u requests")
	f(setup{user: budget(100), options: Options{UserBudgetWithoutTeams: true}, edit: func(k *account.Key) { k.TeamID = "" }}, "m", 100, "user u budget")
	f(setup{key: budget(100)}, "m", 100, "api_key k budget")
	f(setup{key: budget(0)}, "m", 0, "api_key k budget")
	f(setup{keys: budget(100)}, "m", 100, "api_key k budget")
	f(setup{keys: budget(100), key: budget(200)}, "m", 100, "none")
	f(setup{key: account.Limits{TPM: ptr(int64(10))}}, "m", 1, "api_key k tokens")
	f(setup{key: account.Limits{Parallel: ptr(int64(0))}}, "m", 1, "api_key k max_parallel_requests")
	f(setup{key: account.Limits{BudgetID: "b"}}, "m", 1, "api_key k requests")
	f(setup{key: account.Limits{BudgetID: "b", RPM: ptr(int64(9))}}, "m", 50, "api_key k budget")
	f(setup{key: account.Limits{BudgetID: "b", RPM: ptr(int64(9)), MaxBudget: ptr(llm.Nanos(60))}}, "m", 50, "none")
	f(setup{key: account.Limits{BudgetID: "gone"}}, "m", 50, "none")
	f(setup{key: account.Limits{Windows: []account.Window{{Duration: "1h", MaxBudget: 100}, {Duration: "30d", MaxBudget: 500}}}}, "m", 100, "api_key k budget 1h")
	f(setup{key: account.Limits{Windows: []account.Window{{Duration: "1h", MaxBudget: 900}, {Duration: "30d", MaxBudget: 500}}}}, "m", 500, "api_key k budget 30d")
	f(setup{key: account.Limits{ModelRPM: map[string]int64{"m": 1}}}, "m", 1, "api_key k requests")
	f(setup{key: account.Limits{ModelRPM: map[string]int64{"m": 1}}}, "n", 1, "none")
	f(setup{team: account.Limits{ModelTPM: map[string]int64{"m": 1}}}, "m", 1, "team t tokens")
	f(setup{key: account.Limits{ModelBudget: map[string]account.ModelBudget{"m": {Limit: 100, Period: "1d"}}}}, "m", 100, "api_key k budget")
	f(setup{key: account.Limits{ModelBudget: map[string]account.ModelBudget{"m": {Limit: 100, RPM: ptr(int64(1))}}}}, "m", 1, "api_key k requests")
	f(setup{key: budget(100), edit: func(k *account.Key) { k.TempIncrease, k.TempExpiry = 50, noon.UnixMilli()+1 }}, "m", 149, "none")
	f(setup{key: budget(100), edit: func(k *account.Key) { k.TempIncrease, k.TempExpiry = 50, noon.UnixMilli()+1 }}, "m", 150, "api_key k budget")
	f(setup{key: budget(100), edit: func(k *account.Key) { k.TempIncrease, k.TempExpiry = 50, noon.UnixMilli() }}, "m", 100, "api_key k budget")
}

// What was spent stays when limits change, and the new limits hold at once.
func TestBound_changes(t *testing.T) {
	l := limit.New(limit.Options{Now: func() time.Time { return noon }})
	d := NewDirectory(Options{Limiter: l, CustomerLimits: account.Limits{BudgetID: "c"}}, Rows{
		Keys:      []account.Key{{Hash: Hash("sk-1"), TeamID: "t", UserID: "u"}, {Hash: Hash("sk-2"), TeamID: "t"}},
		Teams:     []account.Team{{ID: "t", Limits: account.Limits{BudgetID: "b"}, MemberBudgetID: "mb"}},
		Budgets:   []account.Budget{{ID: "b", Limits: account.Limits{MaxBudget: ptr(llm.Nanos(100))}}},
		Customers: []account.Customer{{ID: "eve", Limits: account.Limits{MaxBudget: ptr(llm.Nanos(5))}}},
		Tags:      []account.Tag{{Name: "x", Limits: account.Limits{BudgetID: "tb"}}},
	})
	f := func(c Changes, key string, spent llm.Nanos, want string) {
		t.Helper()
		d = d.Apply(c)
		p, err := d.Authenticate(key, noon)
		if err != nil {
			t.Fatal(err)
		}
		if got := refusal(l, "m", noon, spent, p.Bound); got != want {
			t.Errorf("%s is refused by %s, want %s", key, got, want)
		}
	}
	shared := func(id string, n int64) Changes {
		return Changes{Rows: Rows{Budgets: []account.Budget{{ID: id, Limits: account.Limits{MaxBudget: ptr(llm.Nanos(n))}}}}}
	}
	f(Changes{}, "sk-1", 98, "none")
	f(Changes{}, "sk-2", 1, "team t budget")
	f(shared("b", 200), "sk-2", 10, "none")
	f(shared("b", 90), "sk-1", 1, "team t budget")
	f(shared("b", 1000), "sk-1", 1, "none")
	f(shared("mb", 1), "sk-1", 1, "team_member t+u budget")
	f(Changes{}, "sk-2", 1, "none") // of no user
	f(Changes{Rows: Rows{Members: []account.Member{{TeamID: "t", UserID: "u", Limits: account.Limits{MaxBudget: ptr(llm.Nanos(1e6))}}}}}, "sk-1", 1, "none")
	f(Changes{Gone: IDs{Members: []string{account.MemberID("t", "u")}}}, "sk-1", 1, "team_member t+u budget")

	g := func(c Changes, p func() *Payer, spent llm.Nanos, want string) {
		t.Helper()
		d = d.Apply(c)
		var b *limit.Bound
		if p := p(); p != nil {
			b = p.Bound
		}
		if got := refusal(l, "m", noon, spent, b); got != want {
			t.Errorf("refused by %s, want %s", got, want)
		}
	}
	customer := func(id string) func() *Payer { return func() *Payer { return d.Customer(id) } }
	g(Changes{}, customer("eve"), 5, "end_user eve budget")
	g(Changes{}, customer("new"), 5, "none")
	g(Changes{}, customer(""), 5, "none")
	g(shared("c", 3), customer("new"), 3, "end_user new budget")
	g(Changes{Gone: IDs{Customers: []string{"eve"}}}, customer("eve"), 1, "end_user eve budget")
	g(Changes{}, func() *Payer { return d.Tag("x") }, 100, "none")
	g(shared("tb", 7), func() *Payer { return d.Tag("x") }, 7, "tag x budget")
	if d.Tag("y") != nil {
		t.Error("a tag without a row bounds nothing")
	}
}

// What SQL books on an account must have been counted with it, whoever called: otherwise it would be taken off what others' calls settled.
func TestBound_countsWhatIsBooked(t *testing.T) {
	f := func(o Options, user account.Limits, other string, subject account.Subject) {
		t.Helper()
		l := limit.New(limit.Options{Now: func() time.Time { return noon }})
		o.Limiter, o.Master = l, "sk-master"
		d := NewDirectory(o, Rows{
			Keys:  []account.Key{{Hash: Hash("sk-own"), UserID: "u"}, {Hash: Hash("sk-team"), UserID: "u", TeamID: "t"}, {Hash: Hash("sk-as-master"), UserID: MasterUser}},
			Users: []account.User{{ID: "u", Limits: user}, {ID: MasterUser}},
			Teams: []account.Team{{ID: "t"}},
		})
		d = d.Apply(Changes{Rows: Rows{Users: []account.User{{ID: MasterUser, Limits: user}}}})
		call := func(key string, cost llm.Nanos) {
			p, err := d.Authenticate(key, noon)
			if err != nil {
				t.Fatal(err)
			}
			var r limit.Reservation
			if refused := l.Reserve(t.Context(), &r, limit.Need{Model: "m", Start: noon.UnixMilli()}, p.Bound); refused != nil {
				t.Fatalf("%+v", refused)
			}
			r.Settle(1, cost)
		}
		own := "sk-own"
		if subject.ID == MasterUser {
			own = "sk-as-master"
		}
		call(own, 30)
		call(other, 20)
		l.Drained([]account.Spend{{Subject: subject, Total: 20}}, []limit.Charge{{Subject: subject, Cost: 20, Start: noon.UnixMilli()}})
		if st, _ := l.State(subject); st.Spent != 50 {
			t.Errorf("%v: with a call of %s in SQL, %d are spent, want 50", subject, other, st.Spent)
		}
	}
	budgets := account.Limits{MaxBudget: ptr(llm.Nanos(1000)), ModelBudget: map[string]account.ModelBudget{"m": {Limit: 900}}}
	u := account.Subject{Kind: account.OfUser, ID: "u"}
	f(Options{}, budgets, "sk-team", u)
	f(Options{UserBudgetWithoutTeams: true}, budgets, "sk-team", u)
	u.Model = "m"
	f(Options{UserBudgetWithoutTeams: true}, budgets, "sk-team", u)
	f(Options{Gateway: account.Limits{MaxBudget: ptr(llm.Nanos(1000))}}, account.Limits{}, "sk-master", account.Subject{Kind: account.OfGateway})
	f(Options{}, budgets, "sk-master", account.Subject{Kind: account.OfUser, ID: MasterUser})
}

// A user of a token is bounded by the organization that the token names, as those who hold its keys are.
func TestBound_organizationOfToken(t *testing.T) {
	l := limit.New(limit.Options{Now: func() time.Time { return noon }})
	d := NewDirectory(Options{Limiter: l}, Rows{Orgs: []account.Organization{{ID: "o", Limits: account.Limits{MaxBudget: ptr(llm.Nanos(100))}}},
		Users: []account.User{{ID: "ann"}}})
	p, err := verifier(t, &OIDC{Issuer: "http://i"}, newClock()).Principal(d, &Claims{Subject: "ann", Org: "o"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := refusal(l, "m", noon, 100, p.Bound); got != "organization o budget" {
		t.Errorf("refused by %s", got)
	}
}

// Customers without a row are many, and strangers choose their names: what is kept of them is bounded.
func TestCustomer_unknown(t *testing.T) {
	seeded := 0
	l := limit.New(limit.Options{Now: func() time.Time { return noon }, Cache: 10, Seed: func(_ context.Context, s []account.Subject) ([]account.Spend, error) {
		seeded += len(s)
		return nil, nil
	}})
	d := NewDirectory(Options{Limiter: l, CustomerLimits: account.Limits{MaxBudget: ptr(llm.Nanos(5))}}, Rows{})
	first := d.Customer("new").Bound
	if d.Customer("new").Bound != first || seeded != 1 {
		t.Errorf("bound anew at each call; SQL asked %d times", seeded)
	}
	for i := range 100 {
		d.Customer(fmt.Sprint("stranger ", i))
	}
	if _, ok := l.State(account.Subject{Kind: account.OfCustomer, ID: "new"}); ok {
		t.Error("the counters of every stranger are kept")
	}
	if got := refusal(l, "m", noon, 5, d.Customer("new").Bound); got != "end_user new budget" {
		t.Errorf("refused by %s", got)
	}
}
