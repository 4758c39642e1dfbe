package litellm_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/store/litellm"
	"github.com/weir-gateway/weir/test/gwtest"
)

// dump is a database as LiteLLM 1.106.2 left it: see testdata/README.md.
const dump = "testdata/litellm-1.106.2.sql.gz"

// more is what the dump has none of.
const more = `SET search_path = public;
CREATE TABLE "LiteLLM_OrganizationMembership" (user_id text, organization_id text, user_role text, spend double precision DEFAULT 0, budget_id text,
	created_at timestamp(3) DEFAULT '2026-01-02', updated_at timestamp(3) DEFAULT '2026-01-02');
CREATE TABLE "LiteLLM_TagTable" (tag_name text, description text, models text[], model_info jsonb, spend double precision, budget_id text);
INSERT INTO "LiteLLM_OrganizationTable" (organization_id, organization_alias, budget_id, models, spend, created_by, updated_by)
	VALUES ('org-1', 'Org', 'std', '{m1}', 7.25, 'x', 'x');
INSERT INTO "LiteLLM_OrganizationMembership" (user_id, organization_id, user_role) VALUES ('ann', 'org-1', 'org_admin');
INSERT INTO "LiteLLM_TagTable" VALUES ('t1', 'a tag', '{m2}', NULL, 0.5, 'gone');
INSERT INTO "LiteLLM_ModelTable" (id, aliases, created_by, updated_by) VALUES (3, '"{\"fast\": \"m1\"}"', 'x', 'x');
INSERT INTO "LiteLLM_TeamTable" (team_id, organization_id, members, members_with_roles, metadata, model_id, max_budget, budget_limits, model_max_budget, model_spend, spend)
	VALUES ('team-odd', 'org-1', '{ann,bob}', '[{"role":"admin","user_id":null,"user_email":"ANN@example.com"},{"role":"user","user_id":null,"user_email":"no@body"}]',
	'{"tags":["a"],"guardrails":["g"],"team_member_budget_id":"std","model_rpm_limit":{"m1":4},"own":1}', 3, 1.5,
	'[{"budget_duration":"1h","max_budget":0.25},{"budget_duration":"1 fortnight","max_budget":1}]', '{"m1":{"budget_limit":2,"time_period":"1d"},"m2":3}',
	'{"m1":0.75}', 0.125);`

// load runs many statements at once.
func load(t *testing.T, address, text string) {
	t.Helper()
	db, err := sql.Open("pgx", address+"&default_query_exec_mode=simple_protocol")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(text); err != nil {
		t.Fatal(err)
	}
}

func from(t *testing.T, s *store.Store, address, salt string) (*litellm.Report, error) {
	t.Helper()
	sealer, err := store.NewSealer("new salt")
	if err != nil {
		t.Fatal(err)
	}
	return litellm.Import(context.Background(), s, litellm.Options{DatabaseURL: address, SaltKey: salt, Now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		Seal: func(text string) (string, error) { return sealer.Seal(text), nil },
		SealParams: func(v jsontext.Value) (jsontext.Value, error) {
			return jsontext.Value(fmt.Sprintf(`{"sealed":%q}`, sealer.Seal(string(v)))), nil
		}})
}

func counts(r *litellm.Report) string {
	var b strings.Builder
	for _, c := range r.Counts {
		fmt.Fprintf(&b, "%s %d+%d, ", c.What, c.Added, c.There)
	}
	return b.String()
}

func TestImport(t *testing.T) {
	pg := gwtest.StartPostgres(t)
	old := pg.Database(t)
	load(t, old, gwtest.ReadDump(t, dump)+more)
	for name, address := range map[string]string{"sqlite": filepath.Join(t.TempDir(), "weir.db"), "postgresql": pg.Database(t), "the same database": old} {
		t.Run(name, func(t *testing.T) { testImport(t, old, address) })
	}
}

func testImport(t *testing.T, old, address string) {
	ctx := context.Background()
	s, err := store.Open(ctx, address, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := from(t, s, old, "sk-wrong"); err == nil || !strings.Contains(err.Error(), "salt key") {
		t.Errorf("wrong salt key: %v", err)
	}
	if n, err := s.Revision(ctx); err != nil || n != 0 {
		t.Errorf("a wrong salt key changed something: %d, %v", n, err)
	}
	first, err := from(t, s, old, "sk-salt")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("spend records 18+0, budgets 2+0, organizations 1+0, organization memberships 1+0, users 4+0, teams 3+0, team memberships 5+0, "+
		"customers 2+0, tags 1+0, keys 8+0, credentials 1+0, models 1+0, ", counts(first)); d != "" {
		t.Error(d)
	}
	if len(first.Notes) != 3 { // an unknown email, duration and budget
		t.Errorf("%q", first.Notes)
	}
	checkAccounts(t, s)
	checkSpend(t, s)
	before := state(t, s)
	second, err := from(t, s, old, "sk-salt")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range second.Counts {
		if c.Added != 0 || c.There == 0 {
			t.Errorf("the second time: %+v", c)
		}
	}
	if d := cmp.Diff(before, state(t, s)); d != "" {
		t.Errorf("the second time changed: %s", d)
	}
	var out strings.Builder
	if err := second.Write(&out); err != nil || !strings.Contains(out.String(), "keys                            0 brought over,      8 there already") {
		t.Errorf("%v\n%s", err, &out)
	}
}

// state is what an import could change.
func state(t *testing.T, s *store.Store) []any {
	t.Helper()
	ctx := context.Background()
	spends, err := s.AllSpends(ctx)
	if err != nil {
		t.Fatal(err)
	}
	keys, _, err := s.Accounts().Keys.Find(ctx, store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	models, _, err := s.Accounts().Models.Find(ctx, store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	days, _, err := s.Daily(ctx, store.DailyQuery{By: []store.Dim{store.ByDate, store.ByUser, store.ByKey}})
	if err != nil {
		t.Fatal(err)
	}
	return []any{spends, keys, models, days}
}

func checkAccounts(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := context.Background()
	db := s.Accounts()
	sealer, err := store.NewSealer("new salt")
	if err != nil {
		t.Fatal(err)
	}
	keys, _, err := db.Keys.Find(ctx, store.Query{Where: map[string]string{"alias": "limits-per-model"}})
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	want := account.Key{Hash: "0b0cf9423b763a879be241023e5661c1df5907384bc912dab487909bc8083175", Name: "sk-...0007", Alias: "limits-per-model", UserID: "bob",
		Limits:  account.Limits{ModelRPM: map[string]int64{"m1": 3}, ModelTPM: map[string]int64{"m1": 3000}},
		Aliases: map[string]string{"fast": "m1"}, AllowedRoutes: []string{"/v1/chat/completions"},
		Stamp: account.Stamp{Created: 1795254415967, CreatedBy: "default_user_id", Updated: 1795254415967, UpdatedBy: "default_user_id"},
		Extra: account.Extra{"key_type": jsontext.Value(`"default"`)}}
	if d := cmp.Diff(want, keys[0]); d != "" {
		t.Error(d)
	}
	for alias, f := range map[string]func(*account.Key) bool{
		"expired":        func(k *account.Key) bool { return k.Expires == 1795254416936 },
		"blocked":        func(k *account.Key) bool { return k.Blocked },
		"with-budget-id": func(k *account.Key) bool { return k.BudgetID == "std" },
		"red-service": func(k *account.Key) bool {
			return k.TeamID == "team-red" && *k.RPM == 60 && *k.TPM == 60000 && *k.Parallel == 4
		},
		"ann-laptop": func(k *account.Key) bool {
			return *k.MaxBudget == 2e9 && k.BudgetDuration == "7d" && k.Models[0] == "m1" && k.Metadata["app"] == "notebook"
		},
	} {
		got, _, err := db.Keys.Find(ctx, store.Query{Where: map[string]string{"alias": alias}})
		if err != nil || len(got) != 1 || !f(&got[0]) {
			t.Errorf("%s: %+v, %v", alias, got, err)
		}
	}
	cred, err := db.Credentials.Get(ctx, "cred-1")
	if err != nil {
		t.Fatal(err)
	}
	if secret, err := sealer.Open(cred.Values["api_key"]); err != nil || secret != "sk-cred-secret" {
		t.Errorf("%q, %v", secret, err)
	}
	model, err := db.Models.Get(ctx, "dyn-id-1")
	if err != nil {
		t.Fatal(err)
	}
	sealed := strings.TrimSuffix(strings.TrimPrefix(string(model.Params), `{"sealed":"`), `"}`)
	params, err := sealer.Open(sealed)
	if d := cmp.Diff(`{"api_base":"http://127.0.0.1:9110/v1","api_key":"sk-up-secret","model":"openai/gpt-4o-mini","rpm":77}`, params); d != "" || err != nil || model.Name != "dyn" {
		t.Error(d, err)
	}
	team, err := db.Teams.Get(ctx, "team-odd")
	if err != nil {
		t.Fatal(err)
	}
	five := llm.Nanos(15e8)
	wantTeam := account.Team{ID: "team-odd", OrgID: "org-1", MemberBudgetID: "std", Tags: []string{"a"}, ModelAliases: map[string]string{"fast": "m1"},
		Metadata: map[string]any{"own": 1.0}, Extra: account.Extra{"guardrails": jsontext.Value(`["g"]`)}, Stamp: team.Stamp,
		Limits: account.Limits{MaxBudget: &five, ModelRPM: map[string]int64{"m1": 4}, Windows: []account.Window{{Duration: "1h", MaxBudget: 25e7}},
			ModelBudget: map[string]account.ModelBudget{"m1": {Limit: 2e9, Period: "1d"}, "m2": {Limit: 3e9}}}}
	if d := cmp.Diff(&wantTeam, team); d != "" {
		t.Error(d)
	}
	for id, role := range map[string]string{account.MemberID("team-odd", "ann"): "admin", account.MemberID("team-odd", "bob"): "user",
		account.MemberID("team-red", "cy"): "user", account.MemberID("team-red", "default_user_id"): "admin"} {
		if m, err := db.Members.Get(ctx, id); err != nil || m.Role != role {
			t.Errorf("%q: %+v, %v", id, m, err)
		}
	}
	if m, err := db.OrgMembers.Get(ctx, account.MemberID("org-1", "ann")); err != nil || m.Role != account.OrgAdmin {
		t.Errorf("%+v, %v", m, err)
	}
	if u, err := db.Users.Get(ctx, "cy"); err != nil || u.Role != account.InternalUserViewer || *u.RPM != 10 || u.Email != "cy@example.com" {
		t.Errorf("%+v, %v", u, err)
	}
	if c, err := db.Customers.Get(ctx, "cust-2"); err != nil || c.Alias != "Customer Two" || c.BudgetID != "std" {
		t.Errorf("%+v, %v", c, err)
	}
}

func checkSpend(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := context.Background()
	december, monday := int64(1796083200000), int64(1795392000000)
	f := func(kind account.Kind, id, window string, spent llm.Nanos, reset int64) {
		t.Helper()
		spends, err := s.Spends(ctx, account.Subject{Kind: kind, ID: id})
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range spends {
			if got.Window == window {
				if got.Spent() != spent || got.ResetAt != reset {
					t.Errorf("%s %s %q: %d until %d, want %d until %d", kind, id, window, got.Spent(), got.ResetAt, spent, reset)
				}
				return
			}
		}
		t.Errorf("%s %s %q: no spend", kind, id, window)
	}
	f(account.OfUser, "ann", "", 158050, december)
	f(account.OfUser, "bob", "", 105e7, 0)
	f(account.OfTeam, "team-red", "", 158050, december)
	f(account.OfKey, "10590e0cab0fd238fe08558374f0d2db93bf5c1ba1fc24f3058e053401d2def1", "", 13050, monday)
	f(account.OfKey, "76dd82ce3d31c06a5446bbc835c7911d907af994d6921a232dc3d3490fa7a379", "", 105e7, 0)
	f(account.OfKey, "0938d15eece432e94e2eb30e4607d0fca40d1d95b684027d7c37b2add976baa0", "", 0, december)
	f(account.OfCustomer, "cust-1", "", 13050, 0)
	f(account.OfCustomer, "cust-2", "", 0, december)
	f(account.OfOrg, "org-1", "", 725e7, december)
	f(account.OfTag, "t1", "", 5e8, 0)
	f(account.OfTeam, "team-odd", "", 125e6, 0)
	f(account.OfTeam, "team-odd", "1h", 0, 1795266000000) // LiteLLM keeps no books of it: it begins now
	f(account.OfMember, account.MemberID("team-odd", "bob"), "", 0, december)
	if m, err := s.Spends(ctx, account.Subject{Kind: account.OfTeam, ID: "team-odd", Model: "m1"}); err != nil || len(m) != 1 || m[0].Spent() != 75e7 || m[0].ResetAt != 1795305600000 {
		t.Errorf("%+v, %v", m, err)
	}
	sum, err := s.SumRecords(ctx, store.RecordFilter{})
	if err != nil || sum.Calls != 18 || sum.Cost != 1050171100 {
		t.Errorf("%+v, %v", sum, err)
	}
	got, _, err := s.Records(ctx, store.RecordFilter{ID: "chatcmpl-mock-000001"}, 1, "")
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	r := got[0]
	if r.RequestID == "" || r.Start != 1795254418650 || r.End != 1795254419099 || r.User != "ann" || r.KeyAlias != "ann-laptop" || r.Model != "m1" ||
		r.Upstream != "gpt-4o-mini" || r.Provider != "openai" || r.Deployment != "dep-m1" || r.Op != llm.OpChat || r.In != llm.OpenAI || r.Cost != 4350 ||
		r.Usage.Input != 11 || r.Usage.Output != 5 || r.Usage.CacheRead != 4 || r.Status != 200 || r.ErrorKind != "" {
		t.Errorf("%+v", r)
	}
}

func TestImport_refuses(t *testing.T) {
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "weir.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, address := range []string{"postgres://litellm:hunter2@127.0.0.1:1/db", "postgres://litellm:hunter2@127.0.0.1:notaport/db"} {
		if _, err := from(t, s, address, "x"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}
