package api

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// generate makes a key as by, and gives it.
func (b *bench) generate(by, body string) string {
	b.Helper()
	out := b.want(by, "POST", "/key/generate", body, 200)
	key, _ := dig(out, "key").(string)
	if len(key) < 8 || !strings.HasPrefix(key, "sk-") {
		b.Fatalf("key %q of %v", key, out)
	}
	return key
}

func (b *bench) keyRow(key string) *account.Key {
	b.Helper()
	k, err := b.store.Accounts().Keys.Get(b.Context(), auth.Hash(key))
	if err != nil {
		b.Fatal(err)
	}
	return k
}

func TestKeyGenerate(t *testing.T) {
	b := newBench(t)
	out := b.want("sk-master", "POST", "/key/generate", `{}`, 200, "key_alias=null", "models=[]", "spend=0", "max_budget=null", "user_id=null",
		"max_parallel_requests=null", "metadata={}", "model_rpm_limit=null", "model_tpm_limit=null", "model_max_budget={}", "aliases={}", "config={}",
		"permissions={}", "blocked=null", "guardrails=null", "expires=null", "key_type=\"default\"", "litellm_budget_table=null",
		"created_by=\"default_user_id\"", "router_settings.model_group_alias={}", "router_settings.fallbacks=null", "duration=null", "tags=null",
		"policies=null", "access_group_ids=[]", "budget_fallbacks={}", "send_invite_email=null", "soft_budget=null", "object_permission=null")
	key := dig(out, "key").(string)
	if len(key) != 3+22 || dig(out, "token") != auth.Hash(key) || dig(out, "token_id") != auth.Hash(key) || dig(out, "key_name") != "sk-..."+key[len(key)-4:] {
		t.Errorf("key %q, token %v, name %v", key, dig(out, "token"), dig(out, "key_name"))
	}
	b.want("sk-master", "POST", "/key/generate", `{"key_alias":"all","duration":"30d","models":["m1","m2"],"max_budget":10.5,"budget_duration":"1d",
		"max_parallel_requests":4,"tpm_limit":1000000,"rpm_limit":1000,"metadata":{"team":"core","nested":{"a":1}},"aliases":{"mine":"m1"},
		"allowed_cache_controls":["no-cache"],"blocked":false,"spend":0.5,"soft_budget":8,"unknown":[1]}`, 200,
		"key_alias=\"all\"", "models=[\"m1\",\"m2\"]", "max_budget=10.5", "max_parallel_requests=4", "tpm_limit=1000000", "rpm_limit=1000",
		"budget_duration=\"1d\"", "metadata={\"team\":\"core\",\"nested\":{\"a\":1}}", "aliases={\"mine\":\"m1\"}", "blocked=false", "spend=0.5",
		"expires=\"2026-12-21T12:00:00.000000Z\"", "allowed_cache_controls=[\"no-cache\"]", "soft_budget=8")
	// What the seed calls bugs is right: the limits come back as values, and in the metadata as LiteLLM shows them.
	b.want("sk-master", "POST", "/key/generate", `{"model_rpm_limit":{"m1":2},"model_tpm_limit":{"m1":1000}}`, 200, "model_rpm_limit={\"m1\":2}",
		"model_tpm_limit={\"m1\":1000}", "metadata={\"model_rpm_limit\":{\"m1\":2},\"model_tpm_limit\":{\"m1\":1000}}")
	b.want("sk-master", "POST", "/key/generate", `{"metadata":{"model_rpm_limit":{"m1":3}}}`, 200, "model_rpm_limit={\"m1\":3}")
	b.want("sk-master", "POST", "/key/generate", `{"key":"sk-my-custom-key-0001"}`, 200, "key=\"sk-my-custom-key-0001\"", "key_name=\"sk-...0001\"")
	b.want("sk-master", "POST", "/key/generate", `{"key_type":"management"}`, 200, "allowed_routes=[\"management_routes\"]", "key_type=\"management\"")
	b.want("sk-master", "POST", "/key/generate", `{"key_type":"llm_api"}`, 200, "allowed_routes=[\"llm_api_routes\"]")
	b.want("sk-master", "POST", "/key/generate", `{"key_type":"read_only"}`, 200, "allowed_routes=[\"info_routes\"]")
	b.want("sk-master", "POST", "/key/generate", `{"enforced_params":["user"],"rpm_limit_type":"dynamic","guardrails":["g"],"tags":["t"]}`, 200,
		"metadata={\"enforced_params\":[\"user\"],\"rpm_limit_type\":\"dynamic\",\"guardrails\":[\"g\"],\"tags\":[\"t\"]}", "tags=[\"t\"]")
	b.want("sk-master", "POST", "/key/generate", `{"model_max_budget":{"m1":{"budget_limit":0.1,"time_period":"1d"}}}`, 200,
		"model_max_budget={\"m1\":{\"budget_limit\":0.1,\"time_period\":\"1d\"}}")
	b.want("sk-master", "POST", "/key/generate", `{"budget_limits":[{"budget_duration":"1h","max_budget":1},{"budget_duration":"30d","max_budget":10}]}`,
		200, "budget_limits.0.max_budget=1", "budget_limits.0.reset_at=\"2026-11-21T13:00:00.000000Z\"", "budget_limits.1.reset_at=\"2026-12-01T00:00:00.000000Z\"")
	b.want("sk-master", "POST", "/key/generate", `{"team_id":"team-nope"}`, 200, "team_id=\"team-nope\"")
	b.want("sk-master", "POST", "/key/generate", `{"user_id":"user-nope","duration":null,"max_budget":""}`, 200, "user_id=\"user-nope\"")
	b.want("sk-master", "POST", "/key/service-account/generate", `{"team_id":"t","key_alias":"sa"}`, 200, "user_id=null", "team_id=\"t\"")
}

func TestKeyGenerate_wrong(t *testing.T) {
	b := newBench(t)
	b.want("sk-master", "POST", "/key/generate", `{"key_alias":"taken","key":"sk-taken-key-1"}`, 200)
	f := func(body string, status int, field string) {
		t.Helper()
		got, out := b.call("sk-master", "POST", "/key/generate", body)
		if text := fmt.Sprint(out); got != status || !strings.Contains(text, field) {
			t.Errorf("%s: %d %s, want %d naming %s", body, got, text, status, field)
		}
	}
	f(`{"key_alias":"taken"}`, 400, "key_alias")
	f(`{"key":"sk-taken-key-1"}`, 400, "key")
	f(`{"key":"mykey-without-prefix"}`, 400, "must start with 'sk-'")
	f(`{"key":"sk-"}`, 400, "characters")
	f(`{"key":"sk-with space"}`, 400, "punctuation")
	f(`{"duration":"soon"}`, 400, "duration")
	f(`{"duration":"-1"}`, 400, "duration")
	f(`{"max_budget":1,"budget_duration":"xx"}`, 400, "budget_duration")
	f(`{"max_budget":-1}`, 400, "max_budget")
	f(`{"rpm_limit":-1}`, 400, "rpm_limit")
	f(`{"spend":-1}`, 400, "spend")
	f(`{"model_rpm_limit":{"m1":-1}}`, 400, "model_rpm_limit")
	f(`{"model_rpm_limit":{"m1":"x"}}`, 422, "model_rpm_limit")
	f(`{"model_max_budget":{"m1":{}}}`, 400, "model_max_budget")
	f(`{"model_max_budget":{"m1":{"budget_limit":1,"time_period":"soon"}}}`, 400, "model_max_budget")
	f(`{"budget_limits":[{"budget_duration":"1y","max_budget":1}]}`, 400, "budget_limits")
	f(`{"budget_limits":[{"budget_duration":"1h","max_budget":1},{"budget_duration":"1h","max_budget":2}]}`, 400, "budget_limits")
	f(`{"max_budget":"abc"}`, 422, "float_parsing")
	f(`{"models":"m1"}`, 422, "list_type")
	f(`{"metadata":[1]}`, 422, "dict_type")
	f(`{"metadata":{"model_rpm_limit":{"m1":-1}}}`, 422, "model_rpm_limit")
	f(`{"key_type":"zzz"}`, 422, "key_type")
	f(`{"budget_id":"b-nope"}`, 404, "budget_id")
	f(`{"organization_id":"org-nope"}`, 404, "organization_id")
	f(`{"temp_budget_increase":5}`, 422, "temp_budget_expiry")
	f(`{"temp_budget_increase":5,"temp_budget_expiry":"soon"}`, 400, "temp_budget_expiry")
	f(`{"metadata":{"service_account_id":"sa1"}}`, 400, "team_id")
	f(`{"aws_credentials":true}`, 400, "aws_credentials")
	f(`{"key_alias":"a\u0000b"}`, 400, "control")
	f("", 422, "missing")
	f(`[]`, 422, "body")
	f(`{"a":`, 400, "line 1, column 6")
	b.want("sk-master", "POST", "/key/service-account/generate", `{}`, 400, "detail=\"team_id is required for service account keys. Please specify `team_id` in the request body.\"")
}

func TestKeyInfo(t *testing.T) {
	b := newBench(t)
	key := b.generate("sk-master", `{"key_alias":"a","max_budget":10,"budget_duration":"1d","spend":0.5}`)
	hash := auth.Hash(key)
	b.want("sk-master", "GET", "/key/info?key="+key, "", 200, "key="+quote(key), "info.key_alias=\"a\"", "info.spend=0.5", "info.total_spend=0",
		"info.max_budget=10", "info.status=\"active\"", "info.budget_reset_at=\"2026-11-22T00:00:00.000000Z\"", "info.token="+quote(missing),
		"info.rotation_count=0", "info.auto_rotate=false", "info.soft_budget_cooldown=false", "info.model_spend={}", "info.last_active=null",
		"info.litellm_organization_table=null", "info.settings_updated_at=null", "info.jwt_key_mappings=null", "info.tpd_limit=null")
	b.want("sk-master", "GET", "/key/info?key="+hash, "", 200, "key="+quote(hash))
	b.want(key, "GET", "/key/info", "", 200, "key="+quote(hash), "info.key_alias=\"a\"")
	b.want("sk-master", "GET", "/key/info", "", 404)
	b.want("sk-master", "GET", "/key/info?key=sk-none-such", "", 404, "error.type=\"not_found_error\"", "error.param=\"key\"", "error.code=\"404\"")
	other := b.generate("sk-master", `{}`)
	b.want(other, "GET", "/key/info?key="+key, "", 403)
	b.want("sk-master", "POST", "/v2/key/info", `{"keys":["`+other+`","`+key+`","sk-none-such"]}`, 200, "info.len=2", "info.1.key_alias=\"a\"")
	b.want(other, "POST", "/v2/key/info", `{"keys":["`+key+`"]}`, 200, "info=[]")
	b.want(key, "POST", "/key/health", "", 200, "key=\"healthy\"", "logging_callbacks=null")
}

func quote(s string) string { return `"` + s + `"` }

func TestKeyUpdate(t *testing.T) {
	b := newBench(t)
	key := b.generate("sk-master", `{}`)
	b.generate("sk-master", `{"key_alias":"taken"}`)
	at := func(rest string) string { return `{"key":"` + key + `"` + rest + `}` }
	b.want("sk-master", "POST", "/key/update", at(`,"key_alias":"renamed","models":["m1"],"max_budget":5,"metadata":{"x":1},"tpm_limit":100000,"rpm_limit":100,"duration":"7d"`),
		200, "key="+quote(key), "token="+quote(auth.Hash(key)), "key_alias=\"renamed\"", "max_budget=5", "metadata={\"x\":1}", "rpm_limit=100",
		"expires=\"2026-11-28T12:00:00.000000Z\"", "models=[\"m1\"]", "litellm_budget_table=null")
	b.want("sk-master", "POST", "/key/update", at(`,"max_budget":null,"tpm_limit":null,"duration":null`), 200, "max_budget=null", "tpm_limit=null",
		"expires=null", "rpm_limit=100", "key_alias=\"renamed\"", "metadata={\"x\":1}")
	b.want("sk-master", "POST", "/key/update", `{"key_alias":"renamed","rpm_limit":7}`, 200, "rpm_limit=7")
	b.want("sk-master", "POST", "/key/update", `{"key":"`+auth.Hash(key)+`","spend":3.25}`, 200, "spend=3.25")
	b.want("sk-master", "POST", "/key/update", at(`,"duration":"-1"`), 200, "expires=null")
	b.want("sk-master", "POST", "/key/update", at(`,"temp_budget_increase":5,"temp_budget_expiry":"10d"`), 200,
		"metadata.temp_budget_increase=5", "metadata.temp_budget_expiry=\"2026-12-01T12:00:00.000000Z\"")
	b.want("sk-master", "POST", "/key/update", at(`,"enforced_params":["user"]`), 200, "metadata.enforced_params=[\"user\"]", "metadata.x=1")
	// New metadata does not drop what other fields keep there.
	b.want("sk-master", "POST", "/key/update", at(`,"metadata":{"y":2}`), 200, "metadata.enforced_params=[\"user\"]", "metadata.x="+quote(missing), "metadata.y=2")
	b.want("sk-master", "POST", "/key/update", at(`,"enforced_params":null`), 200, "metadata.enforced_params="+quote(missing))
	b.want("sk-master", "POST", "/key/update", `{"key":"sk-does-not-exist","max_budget":1}`, 404, "error.message=\"Key not found.\"", "error.param=\"key\"")
	b.want("sk-master", "POST", "/key/update", `{"max_budget":1}`, 422, "detail.0.type=\"value_error\"")
	b.want("sk-master", "POST", "/key/update", at(`,"key_alias":"taken"`), 400, "error.param=\"key_alias\"", "error.type=\"bad_request_error\"")
	b.want("sk-master", "POST", "/key/update", at(`,"duration":"abc"`), 400, "error.param=\"duration\"")
	b.want("sk-master", "POST", "/key/update", at(`,"team_id":"team-nope"`), 404, "error.param=\"team_id\"")
	b.want("sk-master", "POST", "/key/bulk_update", `{"keys":[{"key":"`+key+`","max_budget":7},{"key":"sk-does-not-exist","max_budget":1}]}`, 200,
		"total_requested=2", "successful_updates.0.key_info.max_budget=7", "failed_updates.0.failed_reason=\"Key not found.\"", "failed_updates.len=1")
	b.want("sk-master", "POST", "/key/bulk_update", `{"keys":[]}`, 400, "error.param=\"keys\"")
	b.want("sk-master", "POST", "/key/"+key+"/reset_spend", `{"reset_to":0}`, 200, "spend=0", "previous_spend=3.25", "max_budget=7", "key_hash="+quote(auth.Hash(key)))
	b.want("sk-master", "POST", "/key/"+key+"/reset_spend", `{"reset_to":1}`, 400, "error.param=\"reset_to\"")
	b.want("sk-master", "POST", "/key/"+key+"/reset_spend", `{}`, 422)
}

func TestKeyBlockDelete(t *testing.T) {
	b := newBench(t)
	key := b.generate("sk-master", `{"key_alias":"k"}`)
	body := `{"key":"` + key + `"}`
	b.want("sk-master", "POST", "/key/block", body, 200, "blocked=true", "token="+quote(auth.Hash(key)), "org_id=null")
	b.want(key, "GET", "/key/info", "", 401)
	b.want("sk-master", "GET", "/key/info?key="+key, "", 200, "info.status=\"revoked\"", "info.blocked=true")
	b.want("sk-master", "POST", "/key/unblock", body, 200, "blocked=false")
	b.want(key, "GET", "/key/info", "", 200)
	b.want("sk-master", "POST", "/key/block", `{"key":"sk-none-such"}`, 404, "error.message=\"Key not found.\"")
	b.want("sk-master", "POST", "/key/block", `{}`, 422, "detail.0.type=\"missing\"")
	b.want("sk-master", "POST", "/key/delete", `{"keys":["`+key+`"]}`, 200, "deleted_keys=["+quote(key)+"]")
	b.want(key, "GET", "/key/info", "", 401)
	b.want("sk-master", "POST", "/key/delete", `{"keys":["`+key+`"]}`, 404)
	b.want("sk-master", "GET", "/key/info?key="+key, "", 404)
	b.want("sk-master", "GET", "/key/list?status=deleted", "", 200, "keys=["+quote(auth.Hash(key))+"]")
	b.want("sk-master", "GET", "/key/list?status=deleted&return_full_object=true", "", 200, "keys.0.key_alias=\"k\"", "keys.0.status=\"deleted\"")
	b.generate("sk-master", `{"key_alias":"k"}`) // the alias is free again
	b.want("sk-master", "POST", "/key/delete", `{"key_aliases":["k","none"]}`, 200, "deleted_keys=[\"k\"]")
	b.want("sk-master", "POST", "/key/delete", `{"keys":[]}`, 422)
	b.want("sk-master", "POST", "/key/delete", `{}`, 422, "detail.0.loc=[\"body\"]")
}

func TestKeyRegenerate(t *testing.T) {
	b := newBench(t)
	b.api.SaltKey = []byte("salt")
	key := b.generate("sk-master", `{"key_alias":"k","max_budget":10,"budget_duration":"1d","spend":4,"model_max_budget":{"m1":{"budget_limit":1,"time_period":"1h"}}}`)
	aws := b.want("sk-master", "POST", "/key/"+key+"/aws-credentials", "", 200, "key_alias=\"k\"")
	if id, secret := dig(aws, "aws_access_key_id").(string), dig(aws, "aws_secret_access_key").(string); len(id) != 20 || len(secret) != 40 {
		t.Errorf("AWS credentials %q %q", id, secret)
	}
	out := b.want("sk-master", "POST", "/key/"+key+"/regenerate", `{"grace_period":"1h","rpm_limit":9}`, 200, "key_alias=\"k\"", "max_budget=10", "spend=4", "rpm_limit=9")
	next := dig(out, "key").(string)
	if next == key {
		t.Error("the key stayed")
	}
	b.want(next, "GET", "/key/info", "", 200, "info.spend=4", "info.rotation_count=1", "info.budget_reset_at=\"2026-11-22T00:00:00.000000Z\"")
	b.want(key, "GET", "/key/info", "", 200, "info.key_alias=\"k\"") // in its grace period
	if k := b.keyRow(next); k.AWSAccessKeyID != dig(aws, "aws_access_key_id") {
		t.Error("AWS credentials ended with the rotation")
	}
	third := dig(b.want("sk-master", "POST", "/key/regenerate", `{"key":"`+next+`","new_key":"sk-chosen-by-me-3"}`, 200, "spend=4"), "key").(string)
	b.want(next, "GET", "/key/info", "", 401)
	b.want(third, "GET", "/key/info", "", 200, "info.rotation_count=2")
	b.want("sk-master", "POST", "/key/regenerate?key="+third, "", 200)
	b.want("sk-master", "POST", "/key/regenerate", `{}`, 422)
	b.want("sk-master", "POST", "/key/sk-none-such/regenerate", "", 404)
	b.want("sk-master", "POST", "/key/sk-none-such/regenerate", `{"grace_period":"x"}`, 404)
	made := b.want("sk-master", "POST", "/key/generate", `{"aws_credentials":true}`, 200)
	if secret, err := auth.AWSSecret([]byte("salt"), dig(made, "aws_access_key_id").(string)); err != nil || secret != dig(made, "aws_secret_access_key") {
		t.Errorf("secret %v, want %s %v", dig(made, "aws_secret_access_key"), secret, err)
	}
}

func TestKeyList(t *testing.T) {
	b := newBench(t)
	var hashes []string
	for i := range 5 {
		hashes = append(hashes, auth.Hash(b.generate("sk-master", fmt.Sprintf(`{"key_alias":"alias-%d","max_budget":%d,"user_id":"u%d"}`, i, 5-i, i%2))))
		b.now = b.now.Add(1e9)
	}
	b.want("sk-master", "GET", "/key/list", "", 200, "keys.0="+quote(hashes[4]), "total_count=5", "current_page=1", "total_pages=1")
	b.want("sk-master", "GET", "/key/list?page=2&size=2", "", 200, "keys=["+quote(hashes[2])+","+quote(hashes[1])+"]", "total_pages=3")
	b.want("sk-master", "GET", "/key/list?return_full_object=true&size=2&sort_by=created_at&sort_order=asc", "", 200, "keys.0.token="+quote(hashes[0]),
		"keys.0.team_blocked=false", "keys.0.is_session_token=false", "keys.0.team_models=[]", "keys.0.org_id=null")
	b.want("sk-master", "GET", "/key/list?sort_by=max_budget&sort_order=asc&size=1", "", 200, "keys.0="+quote(hashes[4]))
	b.want("sk-master", "GET", "/key/list?key_alias=alias-3", "", 200, "keys=["+quote(hashes[3])+"]")
	b.want("sk-master", "GET", "/key/list?key_alias=ALIAS&substring_matching=true", "", 200, "total_count=5")
	b.want("sk-master", "GET", "/key/list?key_alias=zzz", "", 200, "keys=[]", "total_pages=0")
	b.want("sk-master", "GET", "/key/list?key_hash="+hashes[2], "", 200, "keys=["+quote(hashes[2])+"]")
	b.want("sk-master", "GET", "/key/list?user_id=u1", "", 200, "total_count=2")
	b.want("sk-master", "GET", "/key/list?size=1000", "", 422, "detail.0.type=\"less_than_equal\"", "detail.0.loc=[\"query\",\"size\"]")
	b.want("sk-master", "GET", "/key/list?page=0", "", 422, "detail.0.type=\"greater_than_equal\"")
	b.want("sk-master", "GET", "/key/list?sort_by=bogus", "", 400, "error.param=\"sort_by\"")
	b.generate("sk-master", `{}`) // without an alias
	b.want("sk-master", "GET", "/key/aliases?size=2", "", 200, "aliases=[\"alias-0\",\"alias-1\"]", "total_count=5", "total_pages=3", "size=2")
	b.want("sk-master", "GET", "/key/aliases?search=S-3", "", 200, "aliases=[\"alias-3\"]")
	nobody := b.generate("sk-master", `{}`)
	b.want(nobody, "GET", "/key/list", "", 403, "error.param=\"user_id\"", "error.type=\"bad_request_error\"")
}

// What a user may do with keys, and what not.
func TestKey_own(t *testing.T) {
	b := newBench(t)
	b.user("sk-ann-key-0001", "ann", account.InternalUser, "")
	b.user("sk-bob-key-0001", "bob", account.InternalUser, "")
	b.user("sk-cyn-key-0001", "cyn", account.InternalUserViewer, "")
	b.user("sk-vic-key-0001", "vic", account.ProxyAdminViewer, "")
	ten, rate := llm.Nanos(10e9), int64(100)
	b.edit(func(e *store.Edit) error {
		return e.Users.Put(t.Context(), &account.User{ID: "ann", Role: account.InternalUser, Models: []string{"m1", "openai/*"},
			Limits: account.Limits{MaxBudget: &ten, RPM: &rate, ModelTPM: map[string]int64{"m1": 50}}})
	})
	const ann, bob, cyn, vic = "sk-ann-key-0001", "sk-bob-key-0001", "sk-cyn-key-0001", "sk-vic-key-0001"
	mine := b.generate(ann, `{"key_alias":"mine"}`)
	if k := b.keyRow(mine); k.UserID != "ann" || k.CreatedBy != "ann" {
		t.Errorf("made %+v", k)
	}
	refused := func(by, path, body, field string) {
		t.Helper()
		if status, out := b.call(by, "POST", path, body); status != 403 || dig(out, "error.param") != field {
			t.Errorf("%s %s: %d %v, want 403 on %s", path, body, status, out, field)
		}
	}
	refused(ann, "/key/generate", `{"user_id":"bob"}`, "user_id")
	refused(ann, "/key/generate", `{"max_budget":10.01}`, "max_budget")
	refused(ann, "/key/generate", `{"rpm_limit":101}`, "rpm_limit")
	refused(ann, "/key/generate", `{"model_tpm_limit":{"m1":51}}`, "model_tpm_limit")
	refused(ann, "/key/generate", `{"models":["m1","m2"]}`, "models")
	refused(ann, "/key/generate", `{"models":["*"]}`, "models")
	refused(ann, "/key/generate", `{"models":["all-proxy-models"]}`, "models")
	refused(ann, "/key/generate", `{"spend":1}`, "spend")
	refused(ann, "/key/generate", `{"team_id":"t"}`, "team_id")
	refused(ann, "/key/generate", `{"temp_budget_increase":1,"temp_budget_expiry":"1d"}`, "temp_budget_increase")
	refused(ann, "/key/generate", `{"disable_global_guardrails":true}`, "disable_global_guardrails")
	at := func(rest string) string { return `{"key":"` + mine + `"` + rest + `}` }
	refused(ann, "/key/update", at(`,"user_id":"bob"`), "user_id")
	refused(ann, "/key/update", at(`,"user_id":null`), "user_id")
	refused(ann, "/key/update", at(`,"spend":0`), "spend")
	refused(ann, "/key/update", at(`,"max_budget":11`), "max_budget")
	refused(ann, "/key/update", at(`,"models":["gpt-9"]`), "models")
	refused(ann, "/key/regenerate", at(`,"max_budget":11`), "max_budget")
	refused(ann, "/key/regenerate", at(`,"user_id":"bob"`), "user_id")
	for _, path := range []string{"/key/update", "/key/block", "/key/unblock", "/key/regenerate"} {
		refused(bob, path, at(``), "key")
	}
	refused(bob, "/key/delete", `{"keys":["`+mine+`"]}`, "key")
	refused(bob, "/key/"+mine+"/aws-credentials", "", "key")
	refused(ann, "/key/"+mine+"/reset_spend", `{"reset_to":0}`, "key")
	b.want(bob, "GET", "/key/info?key="+mine, "", 403)
	b.want(bob, "GET", "/key/list?user_id=ann", "", 403)
	b.want(bob, "GET", "/key/list?key_hash="+auth.Hash(mine), "", 200, "keys=[]")
	b.want(ann, "GET", "/key/list", "", 200, "total_count=2")
	b.want(ann, "GET", "/key/aliases", "", 200, "aliases=[\"ann-key\",\"mine\"]")
	b.want(vic, "GET", "/key/list", "", 200, "total_count=5")
	b.want(ann, "POST", "/key/generate", `{"max_budget":10,"models":["m1","openai/gpt-4*"],"rpm_limit":100}`, 200, "user_id=\"ann\"")
	b.want(ann, "POST", "/key/update", at(`,"max_budget":9,"key_alias":"still mine"`), 200)
	b.want("sk-master", "POST", "/key/block", at(``), 200)
	refused(ann, "/key/unblock", at(``), "blocked")
	refused(ann, "/key/update", at(`,"blocked":false`), "blocked")
	b.want(ann, "POST", "/key/delete", `{"keys":["`+mine+`"]}`, 200)
	for _, viewer := range []string{cyn, vic} {
		b.want(viewer, "POST", "/key/generate", `{}`, 401, "error.type=\"auth_error\"", "error.param=\"None\"")
	}
	nobody := b.generate("sk-master", `{}`)
	b.want(nobody, "POST", "/key/generate", `{}`, 401)
	b.want(nobody, "POST", "/key/update", `{"key":"`+nobody+`","rpm_limit":null}`, 403)
}

func TestKey_team(t *testing.T) {
	b := newBench(t)
	hundred := llm.Nanos(100e9)
	for id, role := range map[string]string{"boss": account.InternalUser, "mem": account.InternalUser, "out": account.InternalUser, "org": account.InternalUser} {
		b.user("sk-"+id+"-key-0001", id, role, "")
	}
	permit := func(permissions ...string) {
		b.edit(func(e *store.Edit) error {
			return e.Teams.Put(t.Context(), &account.Team{ID: "red", OrgID: "acme", Models: []string{"m1"}, Limits: account.Limits{MaxBudget: &hundred}, MemberPermissions: permissions})
		})
	}
	permit()
	b.edit(func(e *store.Edit) error {
		if err := e.Orgs.Put(t.Context(), &account.Organization{ID: "acme"}); err != nil {
			return err
		}
		if err := e.OrgMembers.Put(t.Context(), &account.OrgMember{OrgID: "acme", UserID: "org", Role: account.OrgAdmin}); err != nil {
			return err
		}
		if err := e.Members.Put(t.Context(), &account.Member{TeamID: "red", UserID: "boss", Role: "admin"}); err != nil {
			return err
		}
		return e.Members.Put(t.Context(), &account.Member{TeamID: "red", UserID: "mem", Role: "user"})
	})
	const boss, mem, out, org = "sk-boss-key-0001", "sk-mem-key-0001", "sk-out-key-0001", "sk-org-key-0001"
	b.want(boss, "POST", "/key/generate", `{"team_id":"red","max_budget":100,"models":["all-team-models"]}`, 200, "user_id=\"boss\"", "team_id=\"red\"")
	b.want(boss, "POST", "/key/generate", `{"team_id":"red","max_budget":101}`, 403, "error.param=\"max_budget\"")
	b.want(boss, "POST", "/key/generate", `{"team_id":"red","models":["m2"]}`, 403, "error.type=\"team_model_access_denied\"")
	b.want(boss, "POST", "/key/generate", `{"team_id":"red","user_id":"out"}`, 403, "error.param=\"user_id\"")
	b.want(boss, "POST", "/key/service-account/generate", `{"team_id":"red"}`, 200, "user_id=null")
	b.want(org, "POST", "/key/generate", `{"team_id":"red","user_id":"mem","key_alias":"by org"}`, 200)
	theirs := b.generate(boss, `{"team_id":"red","user_id":"mem","max_budget":5}`)
	at := func(rest string) string { return `{"key":"` + theirs + `"` + rest + `}` }
	b.want(mem, "POST", "/key/generate", `{"team_id":"red"}`, 403, "error.param=\"team_id\"")
	b.want(out, "POST", "/key/generate", `{"team_id":"red"}`, 403, "error.param=\"team_id\"")
	b.want(mem, "POST", "/key/update", at(`,"max_budget":50`), 403, "error.param=\"key\"")
	b.want(mem, "GET", "/key/info?key="+theirs, "", 200)
	b.want(boss, "GET", "/key/info?key="+theirs, "", 200)
	b.want(org, "GET", "/key/info?key="+theirs, "", 200)
	b.want(out, "GET", "/key/info?key="+theirs, "", 403)
	b.want(boss, "GET", "/key/list?team_id=red", "", 200, "total_count=4")
	b.want(org, "GET", "/key/list?include_team_keys=true", "", 200, "total_count=5")
	b.want(boss, "GET", "/key/list?user_id=mem", "", 200, "keys.len=2")
	b.want(mem, "GET", "/key/list?team_id=red", "", 200, "keys.len=2")
	b.want(out, "GET", "/key/list?team_id=red", "", 403)
	b.want(boss, "POST", "/key/update", at(`,"max_budget":50`), 200)
	b.want(boss, "POST", "/key/update", at(`,"team_id":"blue"`), 404)
	b.want(boss, "POST", "/key/update", at(`,"team_id":null`), 403)
	permit("/key/generate", "/key/update")
	b.want(mem, "POST", "/key/generate", `{"team_id":"red"}`, 200, "user_id=\"mem\"")
	b.want(mem, "POST", "/key/generate", `{"team_id":"red","user_id":"boss"}`, 403)
	b.want(mem, "POST", "/key/update", at(`,"max_budget":99`), 200)
	b.want(mem, "POST", "/key/delete", `{"keys":["`+theirs+`"]}`, 200)
}

func TestKey_settings(t *testing.T) {
	b := newBench(t)
	b.user("sk-ann-key-0001", "ann", account.InternalUser, "")
	s := &b.cfg.LiteLLM
	s.KeyDefaults = map[string]any{"max_budget": 3, "models": []any{"m1"}, "metadata": map[string]any{"from": "config"}}
	s.KeyBounds = map[string]any{"max_budget": 5, "duration": "30d", "rpm_limit": int64(10)}
	b.want("sk-master", "POST", "/key/generate", `{}`, 200, "max_budget=3", "models=[\"m1\"]", "rpm_limit=10", "expires=\"2026-12-21T12:00:00.000000Z\"", "metadata.from=\"config\"")
	b.want("sk-master", "POST", "/key/generate", `{"max_budget":5,"models":[],"duration":"1d"}`, 200, "max_budget=5", "models=[]")
	b.want("sk-master", "POST", "/key/generate", `{"max_budget":5.5}`, 400, "error.param=\"max_budget\"")
	b.want("sk-master", "POST", "/key/generate", `{"duration":"31d"}`, 400, "error.param=\"duration\"")
	b.want("sk-master", "POST", "/key/generate", `{"duration":"2mo"}`, 400, "error.param=\"duration\"")
	key := b.generate("sk-ann-key-0001", `{}`)
	b.want("sk-ann-key-0001", "POST", "/key/update", `{"key":"`+key+`","rpm_limit":11}`, 400, "error.param=\"rpm_limit\"")
	b.want("sk-ann-key-0001", "POST", "/key/update", `{"key":"`+key+`","rpm_limit":null}`, 200, "rpm_limit=10")
	b.want("sk-ann-key-0001", "POST", "/key/update", `{"key":"`+key+`","duration":"-1"}`, 400, "error.param=\"duration\"")
	s.KeyDefaults, s.KeyBounds = map[string]any{"max_budget": "much"}, nil
	b.want("sk-master", "POST", "/key/generate", `{}`, 500, "error.message=\"the configuration is wrong\"")
	s.KeyDefaults = nil
	s.CheckAliases = true
	for alias, status := range map[string]int{"team/ann@example.com": 200, "a": 400, "_x_": 400, "with space": 400, strings.Repeat("a", 255): 200, strings.Repeat("a", 256): 400} {
		b.want("sk-master", "POST", "/key/generate", `{"key_alias":"`+alias+`"}`, status)
	}
	s.KeyGeneration.Personal.Roles = []string{account.ProxyAdmin}
	b.want("sk-ann-key-0001", "POST", "/key/generate", `{}`, 403)
	s.KeyGeneration.Personal.Roles = nil
	s.KeyGeneration.Personal.Required = []string{"tags"}
	b.want("sk-ann-key-0001", "POST", "/key/generate", `{}`, 400, "error.param=\"tags\"")
	b.want("sk-ann-key-0001", "POST", "/key/generate", `{"tags":["a"]}`, 200)
	b.cfg.General.NoPersonalKeys = true
	b.want("sk-ann-key-0001", "POST", "/key/generate", `{"tags":["a"]}`, 403, "error.param=\"team_id\"")
}

// 100 updates of one key at once: each changes its own entry and none is lost.
func TestKeyUpdate_concurrent(t *testing.T) {
	b := newBench(t)
	key := b.generate("sk-master", `{}`)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			err := b.api.edit(t.Context(), &caller{p: &auth.Principal{Admin: true}, role: account.ProxyAdmin}, func(e *edit) error {
				k, err := e.find(t.Context(), key, "")
				if err != nil {
					return err
				}
				aliases := map[string]string{fmt.Sprint("a", i): "m1"}
				for name, model := range k.Aliases {
					aliases[name] = model
				}
				in := &keyUpdateIn{Key: key}
				in.Aliases = opt[map[string]string]{Set: true, Value: &aliases}
				_, err = e.updateKey(t.Context(), in)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(b.keyRow(key).Aliases); n != 100 {
		t.Errorf("%d of 100 updates are there", n)
	}
	// Over HTTP, of fields of their own.
	fields := []string{`"rpm_limit":1`, `"tpm_limit":2`, `"max_parallel_requests":3`, `"max_budget":4`, `"key_alias":"five"`, `"models":["six"]`}
	for _, f := range fields {
		wg.Go(func() { b.want("sk-master", "POST", "/key/update", `{"key":"`+key+`",`+f+`}`, http.StatusOK) })
	}
	wg.Wait()
	b.want("sk-master", "GET", "/key/info?key="+key, "", 200, "info.rpm_limit=1", "info.tpm_limit=2", "info.max_parallel_requests=3", "info.max_budget=4",
		"info.key_alias=\"five\"", "info.models=[\"six\"]")
}
