package api

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/store"
)

// TestModel_captures follows what was observed of LiteLLM, step by step.
func TestModel_captures(t *testing.T) {
	b := newBench(t)
	b.user("sk-u2", "user-2", account.InternalUser, "")
	b.want("sk-master", "POST", "/model/new", `{"model_name":"dyn-1","litellm_params":{"model":"openai/gpt-4o-mini","api_base":"http://127.0.0.1:9110/v1",
		"api_key":"sk-up-secret","rpm":10,"input_cost_per_token":0.001},"model_info":{"id":"dyn-id-1","mode":"chat"}}`, 200,
		`model_id="dyn-id-1"`, `model_name="dyn-1"`, `litellm_params.rpm=10`, `litellm_params.input_cost_per_token=0.001`, `litellm_params.api_key="********"`,
		`litellm_params.use_in_pass_through=false`, `model_info.mode="chat"`, `model_info.id="dyn-id-1"`, `blocked=false`, `created_by="default_user_id"`)
	b.want("sk-master", "POST", "/model/new", `{"model_name":"dyn-2","litellm_params":{"model":"openai/gpt-4o","api_key":"sk-up-secret"},"model_info":{}}`, 200)
	b.want("sk-master", "POST", "/model/new", `{"model_name":"dyn-1","litellm_params":{"model":"openai/gpt-4o"},"model_info":{"id":"dyn-id-1"}}`, 409, `error.param="model_info.id"`)
	b.want("sk-master", "POST", "/model/new", `{"model_name":"x"}`, 422, `detail.0.loc.1="litellm_params"`)
	b.want("sk-master", "POST", "/model/new", `{"litellm_params":{"model":"openai/x"},"model_info":{}}`, 422, `detail.0.loc.1="model_name"`)
	b.want("sk-master", "POST", "/model/new", `{"model_name":"x","litellm_params":{},"model_info":{}}`, 422, `detail.0.loc.2="model"`, `detail.0.type="missing"`)
	b.want("sk-u2", "POST", "/model/new", `{"model_name":"x","litellm_params":{"model":"openai/x"},"model_info":{}}`, 403, `error.type="auth_error"`, `error.code="403"`)
	b.want("sk-master", "GET", "/v1/model/info?litellm_model_id=dyn-id-1", "", 200, `data.len=1`, `data.0.model_name="dyn-1"`, `data.0.litellm_params.rpm=10`,
		`data.0.litellm_params.api_key="(missing)"`, `data.0.litellm_params.api_base="http://127.0.0.1:9110/v1"`, `data.0.model_info.db_model=true`,
		`data.0.model_info.input_cost_per_token=0.001`, `data.0.model_info.output_cost_per_token=6e-7`, `data.0.model_info.key="gpt-4o-mini"`,
		`data.0.model_info.max_input_tokens=128000`, `data.0.model_info.pricing_overrides=["input_cost_per_token"]`, `data.0.model_info.blocked=false`)
	b.want("sk-master", "GET", "/v2/model/info?page=1&size=3", "", 200, `data.len=3`, `data.0.model_name="m1"`, `total_count=7`, `total_pages=3`, `current_page=1`, `size=3`)
	b.want("sk-master", "GET", "/v2/model/info?search=dyn", "", 200, `data.len=2`)
	b.want("sk-master", "GET", "/v2/model/info?modelId=dyn-id-1", "", 200, `data.len=1`)
	b.want("sk-master", "POST", "/model/update", `{"model_name":"dyn-1","litellm_params":{"model":"openai/gpt-4o","api_base":"http://127.0.0.1:9110/v1"},"model_info":{"id":"dyn-id-1"}}`, 200,
		`litellm_params.rpm=10`, `litellm_params.model="openai/gpt-4o"`, `model_info.mode="chat"`)
	b.want("sk-master", "PATCH", "/model/dyn-id-1/update", `{"model_name":"dyn-1b","litellm_params":{"rpm":20}}`, 200, `model_name="dyn-1b"`, `litellm_params.rpm=20`)
	b.want("sk-master", "PATCH", "/model/nope/update", `{"model_name":"q"}`, 404, `error.type="not_found_error"`)
	b.want("sk-master", "PATCH", "/model/dep-m1/update", `{"litellm_params":{"rpm":20}}`, 400, `error.type="validation_error"`)
	b.want("sk-master", "POST", "/model/update", `{"litellm_params":{"model":"openai/gpt-4o"},"model_info":{"id":"dep-m1"}}`, 400, `error.type="auth_error"`)
	b.want("sk-master", "POST", "/model/update", `{"litellm_params":{"model":"openai/gpt-4o"},"model_info":{"id":"nope"}}`, 400, `error.type="auth_error"`)
	b.want("sk-master", "POST", "/model/block", `{"model_id":"dyn-id-1"}`, 200, `blocked=true`)
	b.want("sk-master", "POST", "/model/block", `{}`, 422, `detail.0.loc.1="model_id"`)
	b.want("sk-master", "POST", "/model/unblock", `{"model_id":"dyn-id-1"}`, 200, `blocked=false`)
	b.want("sk-master", "POST", "/model/delete", `{"id":"dyn-id-1"}`, 200, `message="Model: dyn-id-1 deleted successfully"`)
	b.want("sk-master", "POST", "/model/delete", `{"id":"dyn-id-1"}`, 400, `error.type="auth_error"`)
	b.want("sk-master", "POST", "/model/delete", `{"id":"dep-m1"}`, 400, `error.type="auth_error"`)
	rows, _, err := b.store.Accounts().Audits.Find(t.Context(), store.Query{Where: map[string]string{"object_id": "dyn-id-1"}})
	if err != nil || len(rows) != 6 {
		t.Errorf("%d audit rows, %v", len(rows), err)
	}
	for _, row := range rows {
		if text := string(row.Before) + string(row.After); strings.Contains(text, "sk-up-secret") || strings.Contains(text, "weir1:") || !strings.Contains(text, "openai/gpt-4o") {
			t.Errorf("audit: %s", text)
		}
	}
}

func TestModel_wrong(t *testing.T) {
	b := newBench(t)
	f := func(params string, status int, field string) {
		t.Helper()
		out := b.want("sk-master", "POST", "/model/new", `{"model_name":"x","litellm_params":`+params+`}`, status)
		if got := dig(out, "error.param"); status == 400 && got != field {
			t.Errorf("%s: %v, want %s", params, out, field)
		}
	}
	f(`"a"`, 422, "")
	f(`[]`, 422, "")
	f(`{"model":7}`, 422, "")
	f(`{"model":"openai/x","api_base":"ftp://h"}`, 400, "litellm_params.api_base")
	f(`{"model":"openai/x","rpm":"many"}`, 400, "litellm_params.rpm")
	f(`{"model":"openai/x","timeout":-1}`, 400, "litellm_params.timeout")
	f(`{"model":"openai/x","weight":-1}`, 400, "litellm_params.weight")
	f(`{"model":"openai/x","input_cost_per_token":-0.1}`, 400, "litellm_params.input_cost_per_token")
	f(`{"model":"openai/x","api_key":"os.environ/NOT_THERE"}`, 400, "litellm_params.api_key")
	f(`{"model":"openai/x","litellm_credential_name":"nope"}`, 400, "litellm_params.litellm_credential_name")
	f(`{"model":"nobody-knows-this","api_key":"k"}`, 400, "litellm_params.model")
	f(`{"model":"openai/*","api_key":"k"}`, 400, "litellm_params.model")
	b.want("sk-master", "POST", "/model/new", `{"model_name":"","litellm_params":{"model":"openai/x"}}`, 400, `error.param="model_name"`)
	b.want("sk-master", "POST", "/model/new", `{"model_name":"x","litellm_params":{"model":"openai/x"},"model_info":[]}`, 422)
	b.want("sk-master", "POST", "/model/new", `{"model_name":"x","litellm_params":{"model":"openai/x"},"model_info":{"team_id":"none"}}`, 404, `error.param="model_info.team_id"`)
	b.want("sk-master", "POST", "/model/new", `{"model_name":"x","litellm_params":{"model":"openai/x"},"model_info":{"id":"dep-m1"}}`, 409)
	b.want("sk-master", "POST", "/model/update", `{"model_info":{}}`, 422)
	b.want("sk-master", "GET", "/model/info?litellm_model_id=nope", "", 400, `detail.error="Model id = nope not found on litellm proxy"`)
	b.want("sk-master", "GET", "/v2/model/info?page=0", "", 422)
	b.want("sk-master", "GET", "/v2/model/info?size=100000", "", 422)
	b.want("sk-master", "GET", "/v2/model/info?sortBy=secret", "", 422)
	if n, _, err := b.store.Accounts().Models.Find(t.Context(), store.Query{}); err != nil || len(n) != 0 {
		t.Errorf("%d models were kept, %v", len(n), err)
	}
}

func TestModel_team(t *testing.T) {
	b := newBench(t)
	b.edit(func(e *store.Edit) error {
		for _, m := range []account.Member{{TeamID: "red", UserID: "boss", Role: "admin"}, {TeamID: "red", UserID: "hand", Role: "user"}} {
			if err := e.Members.Put(t.Context(), &m); err != nil {
				return err
			}
		}
		return errors.Join(e.Teams.Put(t.Context(), &account.Team{ID: "red", Models: []string{"emb"}}), e.Teams.Put(t.Context(), &account.Team{ID: "blue"}))
	})
	b.user("sk-boss", "boss", account.InternalUser, "red")
	b.user("sk-hand", "hand", account.InternalUser, "red")
	b.user("sk-view", "viewer", account.ProxyAdminViewer, "")
	b.user("sk-blue", "blueone", account.InternalUser, "blue")
	add := func(key, name, params, team string, status int, paths ...string) {
		t.Helper()
		b.want(key, "POST", "/model/new", `{"model_name":"`+name+`","litellm_params":`+params+`,"model_info":{"id":"t-`+name+`","team_id":"`+team+`"}}`, status, paths...)
	}
	own := `{"model":"openai/gpt-4o","api_key":"sk-up-secret"}`
	add("sk-hand", "theirs", own, "red", 403)
	add("sk-boss", "theirs", own, "blue", 403)
	add("sk-view", "theirs", own, "red", 401)
	add("sk-boss", "m1", own, "red", 409, `error.param="model_name"`)
	add("sk-boss", "theirs", `{"model":"openai/gpt-4o"}`, "red", 403, `error.param="litellm_params.api_key"`)
	add("sk-boss", "theirs", `{"model":"openai/gpt-4o","api_key":"os.environ/UP_KEY"}`, "red", 403, `error.param="litellm_params.api_key"`)
	add("sk-boss", "theirs", `{"model":"openai/gpt-4o","api_key":"k","extra_headers":{"a":"os.environ/UP_KEY"}}`, "red", 403, `error.param="litellm_params.extra_headers"`)
	add("sk-boss", "theirs", `{"model":"openai/gpt-4o","api_key":"k","litellm_credential_name":"filed"}`, "red", 403, `error.param="litellm_params.litellm_credential_name"`)
	add("sk-boss", "theirs", `{"model":"bedrock/x","aws_profile_name":"prod","api_key":"k"}`, "red", 403, `error.param="litellm_params.aws_profile_name"`)
	add("sk-boss", "theirs", `{"model":"vertex_ai/x","vertex_credentials":"/etc/key.json"}`, "red", 403, `error.param="litellm_params.vertex_credentials"`)
	add("sk-boss", "theirs", own, "red", 200, `model_info.team_id="red"`)
	add("sk-master", "theirs2", own, "", 200)
	b.want("sk-boss", "PATCH", "/model/t-theirs2/update", `{"litellm_params":{"rpm":1}}`, 403)
	b.want("sk-boss", "PATCH", "/model/t-theirs/update", `{"litellm_params":{"rpm":1}}`, 200, `litellm_params.rpm=1`)
	b.want("sk-boss", "PATCH", "/model/t-theirs/update", `{"model_info":{"team_id":""}}`, 403)
	b.want("sk-boss", "PATCH", "/model/t-theirs/update", `{"model_name":"theirs2"}`, 409)
	b.want("sk-boss", "PATCH", "/model/t-theirs/update", `{"litellm_params":{"api_key":""}}`, 403)
	b.want("sk-boss", "PATCH", "/model/t-theirs/update", `{"blocked":true}`, 403, `error.param="blocked"`)
	b.want("sk-blue", "POST", "/model/delete", `{"id":"t-theirs"}`, 403)
	b.want("sk-boss", "GET", "/model/info?litellm_model_id=t-theirs", "", 200, `data.len=1`, `data.0.model_info.team_id="red"`)
	b.want("sk-blue", "GET", "/model/info?litellm_model_id=t-theirs", "", 400)
	b.want("sk-view", "GET", "/model/info?litellm_model_id=t-theirs", "", 200, `data.len=1`)
	team, err := b.store.Accounts().Teams.Get(t.Context(), "red")
	if err != nil || !reflect.DeepEqual(team.Models, []string{"emb", "theirs"}) {
		t.Errorf("%+v %v", team, err)
	}
	b.want("sk-boss", "POST", "/model/delete", `{"id":"t-theirs"}`, 200)
}

// TestModel_sealed: what the database holds shows no secret, and what it gives back is what was put in.
func TestModel_sealed(t *testing.T) {
	b := newBench(t)
	b.want("sk-master", "POST", "/model/new", `{"model_name":"a","litellm_params":{"model":"openai/gpt-4o","api_key":"sk-up-secret","api_base":"http://h.example/v1",
		"extra_headers":{"X-Auth":"sk-up-secret"},"temperature":0.25,"rpm":7,"input_cost_per_token":0.0000015,"someones_token":"sk-up-secret"},"model_info":{"id":"a","x":1}}`, 200)
	b.want("sk-master", "PATCH", "/model/a/update", `{"litellm_params":{"api_key":"********","extra_headers":null,"temperature":0.5}}`, 200)
	rows, _, err := b.store.Accounts().Models.Find(t.Context(), store.Query{})
	if err != nil || len(rows) != 1 || bytes.Contains(rows[0].Params, []byte("secret")) || bytes.Contains(rows[0].Params, []byte("h.example")) {
		t.Fatalf("%v %s", err, rows[0].Params)
	}
	models, problems := RunTimeModels(b.cfg, rows, nil, b.api.Unseal)
	if len(problems) > 0 || len(models) != 1 {
		t.Fatalf("%v", problems)
	}
	m := models[0]
	if m.Params.APIKey.Reveal() != "sk-up-secret" || m.Params.APIBase != "http://h.example/v1" || m.Params.Headers["X-Auth"] != "sk-up-secret" || m.RPM != 7 ||
		m.Params.Defaults["temperature"] != 0.5 || m.Info.ID != "a" || m.Params.Cost["input_cost_per_token"] != 1.5e-6 || m.Name != "a" {
		t.Errorf("%+v", m)
	}
	b.want("sk-master", "GET", "/model/info?litellm_model_id=a", "", 200, `data.0.litellm_params.temperature=0.5`, `data.0.litellm_params.extra_headers="(missing)"`,
		`data.0.litellm_params.someones_token="(missing)"`, `data.0.model_info.x=1`)
	rows[0].Params = []byte(`{"model":"openai/x","api_key":"not sealed"}`)
	if models, problems := RunTimeModels(b.cfg, rows, nil, b.api.Unseal); len(models) != 0 || len(problems) != 1 || strings.Contains(problems[0].Message, "not sealed\"") {
		t.Errorf("%v %v", models, problems)
	}
}

func TestModelInfo(t *testing.T) {
	b := newBench(t)
	b.user("sk-ukey", "u", account.InternalUser, "", "emb")
	b.want("sk-ukey", "GET", "/model/info", "", 200, `data.len=1`, `data.0.model_name="emb"`)
	b.want("sk-master", "GET", "/model/info", "", 200, `data.len=5`, `data.0.litellm_params.api_base="http://127.0.0.1:9110/v1"`, `data.0.litellm_params.model="openai/gpt-4o-mini"`,
		`data.0.model_info.mode="chat"`, `data.2.model_info.input_cost_per_token=0.01`, `data.2.model_info.max_tokens=null`, `data.2.model_info.key=null`)
	out := b.want("sk-master", "GET", "/model/info", "", 200)
	text, err := json.Marshal(out)
	if err != nil || len(text) > 5*2500 {
		t.Errorf("%d bytes for five models: too many", len(text))
	}
	b.want("sk-master", "GET", "/model_group/info?model_group=m1", "", 200, `data.len=1`, `data.0.rpm=150`, `data.0.tpm=1000`, `data.0.max_input_tokens=200000`,
		`data.0.input_cost_per_token=0.000003`, `data.0.providers=["openai","anthropic"]`, `data.0.supports_vision=true`, `data.0.mode="chat"`, `data.0.health_status=null`)
	b.want("sk-master", "GET", "/model_group/info?model_group=nope", "", 200, `data=[]`)
	b.cfg.Router.ModelGroupAlias = map[string]config.Alias{"alias-m1": {Model: "m1"}, "secret": {Model: "m1", Hidden: true}}
	b.want("sk-master", "GET", "/model_group/info", "", 200, `data.len=5`, `data.0.model_group="alias-m1"`, `data.1.model_group="m1"`)
	b.want("sk-master", "GET", "/model_group/info?model_group=alias-m1", "", 200, `data.len=1`, `data.0.rpm=150`)
	b.want("sk-master", "GET", "/model/deprecations", "", 200, `deprecated.0.model_name="old"`, `deprecated.0.days_until_deprecation=-29`, `warn_within_days=30`)
	b.want("sk-master", "GET", "/utils/model_info?model=gpt-4o-mini", "", 200, `model_info.max_input_tokens=128000`, `custom_llm_provider="openai"`)
	b.want("sk-master", "GET", "/utils/model_info?model=nobody", "", 400, `error.param="model"`)
	b.want("sk-nobody", "GET", "/model/info", "", 401)
}

func TestCredential(t *testing.T) {
	b := newBench(t)
	b.user("sk-u", "u", account.InternalUser, "")
	b.user("sk-view", "v", account.ProxyAdminViewer, "")
	const body = `{"credential_name":"cred1","credential_values":{"api_key":"sk-cred-secret-value"},"credential_info":{"custom_llm_provider":"openai"}}`
	b.want("sk-u", "POST", "/credentials", body, 401)
	b.want("sk-view", "POST", "/credentials", body, 401)
	b.want("sk-master", "POST", "/credentials", body, 200, `success=true`, `message="Credential created successfully"`)
	b.want("sk-master", "POST", "/credentials", body, 409, `error.param="credential_name"`)
	b.want("sk-view", "GET", "/credentials", "", 200, `success=true`, `credentials.len=2`, `credentials.0.credential_name="cred1"`, `credentials.0.credential_values.api_key="sk****ue"`,
		`credentials.0.source="db"`, `credentials.0.display_name=null`, `credentials.0.credential_info.custom_llm_provider="openai"`, `credentials.1.source="config"`)
	b.want("sk-u", "GET", "/credentials", "", 401)
	b.want("sk-master", "GET", "/credentials/by_name/cred1", "", 200, `credential_values.api_key="sk****ue"`)
	b.want("sk-master", "GET", "/credentials/by_name/filed", "", 200, `source="config"`)
	b.want("sk-master", "GET", "/credentials/by_name/none", "", 404)
	b.want("sk-master", "GET", "/credentials/by_model/dep-m1", "", 200, `credential_values.api_key="sk****et"`)
	b.want("sk-master", "GET", "/credentials/by_model/none", "", 404)
	b.want("sk-master", "PATCH", "/credentials/cred1", `{"credential_name":"cred1","credential_values":{"api_base":"http://x.example/v1","api_key":"sk****ue"},"credential_info":{},"display_name":"One"}`, 200)
	b.want("sk-master", "GET", "/credentials/by_name/cred1", "", 200, `credential_values.api_base="http://x.example/v1"`, `credential_values.api_key="sk****ue"`, `display_name="One"`)
	b.want("sk-master", "PATCH", "/credentials/cred1", `{"credential_name":"other","credential_info":{}}`, 400)
	b.want("sk-master", "PATCH", "/credentials/filed", `{"credential_info":{}}`, 400)
	b.want("sk-master", "PATCH", "/credentials/none", `{"credential_info":{}}`, 404)
	b.want("sk-master", "POST", "/credentials", `{"credential_name":"c2","credential_info":{}}`, 400, `error.param="credential_values"`)
	b.want("sk-master", "POST", "/credentials", `{"credential_name":"c2"}`, 422)
	b.want("sk-master", "POST", "/credentials", `{"credential_name":"","credential_info":{},"credential_values":{"a":"b"}}`, 400)
	b.want("sk-master", "POST", "/credentials", `{"credential_name":"c2","credential_info":{},"credential_values":[]}`, 422)
	b.want("sk-master", "POST", "/credentials", `{"credential_name":"c2","credential_info":{},"model_id":"nope"}`, 404)
	b.want("sk-master", "POST", "/credentials", `{"credential_name":"c2","credential_info":{},"model_id":"dep-m1"}`, 200)

	b.want("sk-master", "POST", "/model/new", `{"model_name":"by-cred","litellm_params":{"model":"openai/gpt-4o","litellm_credential_name":"cred1"},"model_info":{"id":"by-cred"}}`, 200,
		`litellm_params.litellm_credential_name="cred1"`)
	models, _, err := b.store.Accounts().Models.Find(t.Context(), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	creds, _, err := b.store.Accounts().Credentials.Find(t.Context(), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	entries, problems := RunTimeModels(b.cfg, models, creds, b.api.Unseal)
	if len(problems) > 0 || len(entries) != 1 || entries[0].Params.APIKey.Reveal() != "sk-cred-secret-value" || entries[0].Params.APIBase != "http://x.example/v1" {
		t.Errorf("%+v %v", entries, problems)
	}
	for _, c := range creds {
		for _, v := range c.Values {
			if !strings.HasPrefix(v, "weir1:") {
				t.Errorf("%s is not sealed", c.Name)
			}
		}
	}
	b.want("sk-master", "DELETE", "/credentials/cred1", "", 200, `message="Credential deleted successfully"`)
	b.want("sk-master", "DELETE", "/credentials/cred1", "", 404, `error.type="internal_server_error"`, `error.code="404"`)
	audits, _, err := b.store.Accounts().Audits.Find(t.Context(), store.Query{})
	if err != nil || len(audits) != 5 {
		t.Errorf("%d audit rows, %v", len(audits), err)
	}
	for _, a := range audits {
		if strings.Contains(string(a.Before)+string(a.After), "secret") && a.Table == "LiteLLM_CredentialsTable" {
			t.Errorf("audit: %s %s", a.Before, a.After)
		}
	}
}
