package api

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/store"
)

// A key, a password, an AWS secret and the secrets of a log sink show in no audit row, no log, and no answer but the one that made them.
func TestSecrets(t *testing.T) {
	b := newBench(t)
	var logged bytes.Buffer
	b.api.Log = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b.api.SaltKey = []byte("canary-salt-key")
	secrets := []string{"canary-salt-key", "canary-password-1", "canary-sink-secret", "canary-api-key"}
	body := `{"metadata":{"logging":[{"callback_name":"x","callback_vars":{"x_secret_key":"canary-sink-secret","api_key":"canary-api-key"}}]},"aws_credentials":true`
	made := b.want("sk-master", "POST", "/key/generate", body+`}`, 200)
	key := dig(made, "key").(string)
	user := b.want("sk-master", "POST", "/user/new", `{"user_id":"ann","password":"canary-password-1","user_role":"internal_user"}`, 200)
	again := b.want("sk-master", "POST", "/key/"+key+"/aws-credentials", "", 200)
	next := b.want("sk-master", "POST", "/key/regenerate", `{"key":"`+key+`","grace_period":"1h"}`, 200)
	secrets = append(secrets, key, dig(made, "aws_secret_access_key").(string), dig(user, "key").(string), dig(again, "aws_secret_access_key").(string), dig(next, "key").(string))
	b.want("sk-master", "POST", "/user/update", `{"user_id":"ann","password":"canary-password-1"}`, 200)
	for _, path := range []string{"/key/update", "/key/block", "/key/unblock"} {
		b.want("sk-master", "POST", path, `{"key":"`+dig(next, "key").(string)+`"}`, 200)
	}
	hidden := secrets[:2:2] // what no answer but its own shows; the sink's secrets stand in the owner's metadata
	hidden = append(hidden, secrets[4:]...)
	for _, path := range []string{"/key/list?return_full_object=true", "/key/info?key=" + auth.Hash(dig(next, "key").(string)), "/user/info?user_id=ann", "/user/list", "/user/info"} {
		_, out := b.call("sk-master", "GET", path, "")
		text, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range append(hidden, "argon2id", `"password_hash"`) {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%s shows %q", path, s)
			}
		}
	}
	// Errors say nothing of what was sent.
	for _, path := range []string{"/key/generate", "/user/new"} {
		_, out := b.call("sk-master", "POST", path, `{"password":"canary-password-1","key":"canary-api-key-without-prefix","max_budget":-1}`)
		if text, _ := json.Marshal(out); bytes.Contains(text, []byte("canary-password-1")) || bytes.Contains(text, []byte("canary-api-key")) {
			t.Errorf("%s: %s", path, text)
		}
	}
	rows, _, err := b.store.Accounts().Audits.Find(t.Context(), store.Query{})
	if err != nil || len(rows) < 8 {
		t.Fatalf("%d audit rows, %v", len(rows), err)
	}
	for i := range rows {
		text, err := json.Marshal(&rows[i])
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("the audit row of %s shows %q: %s", rows[i].Action, s, text)
			}
		}
	}
	for _, s := range secrets {
		if strings.Contains(logged.String(), s) {
			t.Errorf("the log shows %q", s)
		}
	}
}

// Every change leaves a row that tells who, what, before and after, on whose behalf.
func TestAudit_keys(t *testing.T) {
	b := newBench(t)
	b.user("sk-ann-key-0001", "ann", account.InternalUser, "")
	key := b.generate("sk-ann-key-0001", `{"rpm_limit":1}`)
	body := `{"key":"` + key + `"`
	b.want("sk-ann-key-0001", "POST", "/key/update", body+`,"rpm_limit":2}`, 200)
	b.want("sk-master", "POST", "/key/block", body+`}`, 200)
	b.want("sk-master", "POST", "/key/unblock", body+`}`, 200)
	b.want("sk-master", "POST", "/key/regenerate", body+`,"new_key":"sk-the-next-one"}`, 200)
	b.want("sk-master", "POST", "/key/delete", `{"keys":["sk-the-next-one"]}`, 200)
	rows, _, err := b.store.Accounts().Audits.Find(t.Context(), store.Query{Where: map[string]string{"table_name": keyTable}})
	if err != nil {
		t.Fatal(err)
	}
	byAction := map[string]account.Audit{}
	for _, r := range rows {
		byAction[r.Action] = r
	}
	f := func(action, by, byKey, before, after string) {
		t.Helper()
		r, ok := byAction[action]
		if !ok || r.By != by || r.ByKey != byKey || !strings.Contains(string(r.Before), before) || !strings.Contains(string(r.After), after) || r.At == 0 {
			t.Errorf("%s: %+v", action, r)
		}
	}
	f("created", "ann", auth.Hash("sk-ann-key-0001"), `null`, `"rpm_limit":1`)
	f("updated", "ann", auth.Hash("sk-ann-key-0001"), `"rpm_limit":1`, `"rpm_limit":2`)
	f("blocked", auth.MasterUser, masterKey, `"rpm_limit":2`, `"blocked":true`)
	f("unblocked", auth.MasterUser, masterKey, `"blocked":true`, `"rpm_limit":2`)
	f("rotated", auth.MasterUser, masterKey, auth.Hash(key), auth.Hash("sk-the-next-one"))
	f("deleted", auth.MasterUser, masterKey, auth.Hash("sk-the-next-one"), `null`)
	// What was refused leaves none.
	before := len(rows)
	b.want("sk-ann-key-0001", "POST", "/key/generate", `{"user_id":"bob"}`, 403)
	if rows, _, err = b.store.Accounts().Audits.Find(t.Context(), store.Query{Where: map[string]string{"table_name": keyTable}}); err != nil || len(rows) != before {
		t.Errorf("%d rows, want %d; %v", len(rows), before, err)
	}
}
