package captures

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/test/gwtest"
)

// databaseFiles were made one after the other against one process with a database: what one made the next ones use.
var databaseFiles = []string{"db_keys", "db_users", "db_teams", "db_models", "db_enforcement", "db_spend", "db_misc"}

// before is what was done between the recorded calls, by file and record.
var before = map[string]func(*walk){
	"db_enforcement/no-auth": func(w *walk) { // by captures of budgets and customers, which were not kept
		w.post("/budget/new", `{"budget_id":"bud-1","max_budget":0.4}`)
		w.post("/customer/new", `{"user_id":"cust-1","max_budget":0.2}`)
	},
	"db_enforcement/max-parallel-second-call": func(w *walk) { w.background("{{kmp}}", "slow") },
	"db_enforcement/max-parallel-after":       func(w *walk) { w.join() },
	"db_enforcement/expired-key":              func(w *walk) { w.until("/v1/models", "{{kx}}", func(a *gwtest.Answer) bool { return a.Status == 401 }) },
	"db_enforcement/budget-exceeded-key-info": func(w *walk) {
		w.until("/key/info", "{{kb}}", func(a *gwtest.Answer) bool { return strings.Contains(string(a.Body), `"spend":0.21`) })
	},
	"db_enforcement/customer-info-after-autocreate": func(w *walk) {
		w.until("/customer/info?end_user_id=brand-new-cust", gwtest.MasterKey, func(a *gwtest.Answer) bool { return a.Status == 200 })
	},
	"db_spend/spend-call-2-stream": (*walk).tick,
	"db_spend/spend-call-3-err":    (*walk).tick,
	"db_spend/spend-call-4-embed":  (*walk).tick,
	"db_spend/key-info-after-spend": func(w *walk) {
		w.until("/spend/logs?api_key={{ks}}", gwtest.MasterKey, func(a *gwtest.Answer) bool { return strings.Count(string(a.Body), `"request_id"`) == 2 })
		w.until("/spend/logs", gwtest.MasterKey, func(a *gwtest.Answer) bool { return strings.Count(string(a.Body), `"model_id":"dep-embed"`) == 2 })
	},
}

// after undoes what Weir did and LiteLLM refused for want of a licence, so that both go on from the same state.
var after = map[string]func(*walk, object){
	"db_keys/generate-custom-key-duplicate": func(w *walk, _ object) { w.names["k_custom_dup_hash"] = w.names["k_custom_hash"] },
	"db_keys/generate-tags":                 (*walk).deleteKey,
	"db_keys/generate-guardrails":           (*walk).deleteKey,
	"db_keys/generate-model_max_budget":     (*walk).deleteKey,
	"db_enforcement/mk-model_max_budget":    (*walk).deleteKey,
	"db_models/tag-new-with-config-model":   func(w *walk, _ object) { w.post("/tag/delete", `{"name":"tag-cm"}`) },
	"db_teams/new-tags":                     func(w *walk, _ object) { w.post("/team/delete", `{"team_ids":["team-tags"]}`) },
	"db_teams/member_add-list-email": func(w *walk, _ object) {
		w.post("/team/member_delete", `{"team_id":"team-1","user_email":"new-member@example.com"}`)
		w.post("/team/member_delete", `{"team_id":"team-1","user_id":"iviewer-6"}`)
		w.post("/user/delete", `{"user_ids":["`+w.userID("new-member@example.com")+`"]}`)
	},
	"db_teams/member_update": func(w *walk, _ object) {
		w.post("/team/member_update", `{"team_id":"team-1","user_id":"viewer-5","role":"user","max_budget_in_team":2.5,"tpm_limit":null,"rpm_limit":null}`)
	},
}

// alsoBound are names that the captures use and no record's registers say where from: a record, and the name.
var alsoBound = map[string]string{
	"regenerate-by-path": "k_all", "regenerate-body": "k_all", "mk-user-budget": "user_b_key", "mk-user-rpm": "user_r_key", "mk-user-models": "user_m_key", "mk-user-no-default-models": "user_n_key",
}

// walk is one gateway that the database files are replayed against, and what its answers gave the names of the captures for.
type walk struct {
	t      *testing.T
	up     *upstream
	gw     *gwtest.Gateway
	client *http.Client
	names  map[string]string
	done   chan error
}

// replayDatabase makes the calls of the database files in order, on a database (empty: SQLite), and adds up how each compares.
func replayDatabase(t *testing.T, database string) map[string]tally {
	up := startUpstream(t)
	there := strings.NewReplacer("127.0.0.1:9110", up.addr, "127.0.0.1:9111", deadAddress(t))
	config, err := os.ReadFile("testdata/config-db.yaml")
	if err != nil {
		t.Fatal(err)
	}
	env := func(name string) string {
		return map[string]string{"LITELLM_SALT_KEY": "sk-salt", "DATABASE_URL": database}[name]
	}
	w := &walk{t: t, up: up, names: map[string]string{}, gw: gwtest.StartIn(t, t.TempDir(), refusing(there.Replace(string(config))), app.Options{Env: env}),
		client: &http.Client{
			Transport:     &http.Transport{DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
	defer w.client.CloseIdleConnections()
	if files, _ := filepath.Glob(filepath.Join(w.gw.DataDir, "*.db")); (len(files) > 0) != (database == "") {
		t.Fatalf("the database is %q, and beside it are %v", database, files)
	}
	out := map[string]tally{}
	for _, name := range databaseFiles {
		raw, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var g struct {
			Records []jsontext.Value `json:"records"`
		}
		if err := json.Unmarshal([]byte(there.Replace(string(raw))), &g); err != nil {
			t.Fatal(err)
		}
		var n tally
		for _, raw := range g.Records {
			w.replay(name, raw, &n)
		}
		out[name] = n
	}
	return out
}

// replay makes one recorded call and compares.
func (w *walk) replay(file string, raw jsontext.Value, n *tally) {
	var head struct {
		Name      string            `json:"name"`
		Registers map[string]string `json:"registers"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		w.t.Fatal(err)
	}
	if do := before[file+"/"+head.Name]; do != nil {
		do(w)
	}
	w.up.take()
	got := call(w.t, w.client, w.gw.URL, w.record(raw))
	w.bind(file+"/"+head.Name, head.Registers, got)
	rec := w.record(raw)
	diffs, sent := []string(nil), w.up.take()
	if inference.MatchString(rec.Request.Path) && rec.Response.Status == 200 {
		diffs = compare(rec, got, sent)
	} else {
		diffs = compareReply(rec, got, sent)
	}
	switch class, open := explain(file, head.Name, diffs); {
	case len(open) > 0:
		n.differ++
		w.t.Errorf("%s/%s: %s %s\n\t%s\n\tLiteLLM: %d %.600s\n\tWeir:    %d %.600s", file, head.Name, rec.Request.Method, rec.Request.Path, strings.Join(open, "\n\t"),
			rec.Response.Status, show(rec.Response.Body), got.status, got.body)
	case class == later:
		n.later++
	case class == better:
		n.better++
	default:
		n.agree++
	}
}

// record is a record with what is known in the place of names.
func (w *walk) record(raw jsontext.Value) *record {
	var rec record
	if err := json.Unmarshal([]byte(w.concrete(string(raw))), &rec); err != nil {
		w.t.Fatal(err)
	}
	return &rec
}

func (w *walk) concrete(text string) string {
	return registered.ReplaceAllStringFunc(text, func(m string) string {
		if v, ok := w.names[m[2:len(m)-2]]; ok {
			return v
		}
		return m
	})
}

// bind gives the names that a record registers their values here: a key, its hash, and how it is shown.
func (w *walk) bind(record string, registers map[string]string, got *answer) {
	var reply object
	if err := json.Unmarshal(got.body, &reply); err != nil {
		return
	}
	if undo := after[record]; undo != nil {
		defer undo(w, reply)
	}
	record = path.Base(record)
	if record == "spend-call-1" { // rows are found by the id that the call has here: an upstream's may repeat
		w.names["spend_call_1_id"] = got.header.Get("x-litellm-call-id")
	}
	key, _ := reply["key"].(string)
	if key == "" {
		return
	}
	bindKey := func(name string) {
		sum := sha256.Sum256([]byte(key))
		w.names[name], w.names[name+"_hash"], w.names[name+"_masked"] = key, hex.EncodeToString(sum[:]), "sk-..."+key[len(key)-4:]
	}
	for name, from := range registers {
		if from == "response.body.key" {
			bindKey(name)
		}
	}
	if name := alsoBound[record]; name != "" {
		bindKey(name)
	}
}

// post makes a call that was not recorded.
func (w *walk) post(path, body string) {
	if a := w.gw.Post(w.t, path, body); a.Status != 200 {
		w.t.Fatalf("%s %s: %d %s", path, body, a.Status, a.Body)
	}
}

func (w *walk) deleteKey(made object) { w.post("/key/delete", `{"keys":["`+made["key"].(string)+`"]}`) }

// userID is the id of the user with an address.
func (w *walk) userID(email string) string {
	var list struct {
		Users []struct {
			ID string `json:"user_id"`
		} `json:"users"`
	}
	if a := w.gw.Get(w.t, "/user/list?user_email="+email); json.Unmarshal(a.Body, &list) != nil || len(list.Users) != 1 {
		w.t.Fatalf("the user %s: %d %s", email, a.Status, a.Body)
	}
	return list.Users[0].ID
}

// tick waits for the next millisecond: what began in the same one has no order.
func (w *walk) tick() {
	for now := time.Now().UnixMilli(); now == time.Now().UnixMilli(); {
	}
}

// background starts a call that is still going on when the next one is made.
func (w *walk) background(key, model string) {
	seen := len(w.up.arrived())
	w.done = make(chan error, 1)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.gw.URL+"/v1/chat/completions",
		strings.NewReader(fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}]}`, model)))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.concrete(key))
	go func() {
		resp, err := w.client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		w.done <- err
	}()
	for deadline := time.Now().Add(5 * time.Second); len(w.up.arrived()) == seen; {
		if time.Now().After(deadline) {
			w.t.Fatal("the call in the background does not reach the upstream")
		}
	}
}

// join waits for the call in the background.
func (w *walk) join() {
	if err := <-w.done; err != nil {
		w.t.Fatal(err)
	}
}

// until asks again and again, for at most ten seconds.
func (w *walk) until(path, key string, ok func(*gwtest.Answer) bool) {
	for deadline := time.Now().Add(10 * time.Second); ; {
		a := w.gw.Get(w.t, w.concrete(path), "Authorization", "Bearer "+w.concrete(key))
		if ok(a) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Errorf("%s: still %d %.600s", path, a.Status, a.Body)
			return
		}
	}
}

// inference are the routes whose answers are compared as in the other files, all the way down.
var inference = regexp.MustCompile(`^(/v1)?/(chat/completions|embeddings|messages|responses|models)`)

// registered is a name of the captures; varying one, or a placeholder.
var (
	registered = regexp.MustCompile(`\{\{\w+\}\}`)
	varying    = regexp.MustCompile(`\{\{\w+\}\}|<[a-z0-9-]+>`)
)

// compareReply is compare for the management API: fields two levels deep, nulls included, since its clients look for them.
func compareReply(rec *record, got *answer, upstream []sent) []string {
	d := &differences{}
	if rec.Response.Status != got.status {
		d.add("status", rec.Response.Status, got.status)
	}
	compareHeaders(d, rec, got)
	switch rec.Response.Kind {
	case "sse":
		compareStreams(d, show(rec.Response.Body), string(got.body))
	case "json":
		var body any
		if err := json.Unmarshal(got.body, &body); err != nil {
			d.add("body", "JSON", string(got.body[:min(len(got.body), 80)]))
			break
		}
		compareFields(d, "body", rec.Response.Body, body, 2, trimmedLists(rec))
	}
	compareUpstream(d, rec, upstream)
	return d.list
}

// compareFields checks that each field of LiteLLM's is there with the same value, down to a depth; lists are no level of their own.
func compareFields(d *differences, path string, want, got any, depth int, trimmed map[string]bool) {
	switch want := want.(type) {
	case nil: // that the field is there is all that null says
	case object:
		g, ok := got.(object)
		if !ok {
			d.add(path, want, got)
			return
		}
		if depth == 0 {
			return
		}
		for _, k := range sortedKeys(want) {
			v, ok := g[k]
			switch {
			case ignoredFields[k]:
			case !ok:
				d.add(path+"."+k, want[k], "nothing")
			case isProse(path, k) && isText(want[k]) && isText(v) && v != "":
			default:
				compareFields(d, path+"."+k, want[k], v, depth-1, trimmed)
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) && !trimmed[path] {
			d.add(path, want, got)
			return
		}
		for i := range min(len(want), len(g)) {
			compareFields(d, fmt.Sprintf("%s[%d]", path, i), want[i], g[i], depth, trimmed)
		}
	case string:
		if want != "None" && !alike(want, got) { // null in Python
			d.add(path, want, got)
		}
	default:
		compareJSON(d, path, want, got, trimmed)
	}
}

// isProse reports whether a field is for people to read.
func isProse(path, field string) bool {
	return field == "message" || field == "msg" || field == "detail" && path == "body" || strings.HasSuffix(path, ".detail") && field == "error"
}

// alike compares texts of which some parts vary.
func alike(want string, got any) bool {
	g, ok := got.(string)
	switch {
	case want == "<iso-ts>":
		_, err := time.Parse("2006-01-02T15:04:05.999999999Z07:00", g)
		_, noZone := time.Parse("2006-01-02T15:04:05.999999999", g)
		return ok && (err == nil || noZone == nil)
	case varying.MatchString(want):
		return got != nil && got != ""
	}
	return ok && (g == want || sameJSONText(want, g))
}
