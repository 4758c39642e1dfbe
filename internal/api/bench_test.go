package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// bench is a whole API on a database of its own.
type bench struct {
	*testing.T
	store  *store.Store
	cfg    *config.Config
	api    *API
	server *httptest.Server
	now    time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s := openStore(t)
	b := &bench{T: t, store: s, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	b.cfg = config.Default(func(name string) string {
		if name == "UP_KEY" {
			return "sk-from-variable"
		}
		return ""
	})
	b.cfg.Models = []config.Model{
		{Name: "m1", Params: config.Params{Model: "openai/gpt-4o-mini", APIBase: "http://user:pass@127.0.0.1:9110/v1?k=v", APIKey: "sk-file-secret"}, Info: config.ModelInfo{ID: "dep-m1"}, RPM: 100, TPM: 1000},
		{Name: "m1", Params: config.Params{Model: "anthropic/claude-sonnet-4-5", APIKey: "sk-file-secret"}, Info: config.ModelInfo{ID: "dep-m1b"}, RPM: 50},
		{Name: "priced", Params: config.Params{Model: "openai/my-model", APIKey: "sk-file-secret", Cost: map[string]float64{"input_cost_per_token": 0.01, "output_cost_per_token": 0.02}}, Info: config.ModelInfo{ID: "dep-priced"}},
		{Name: "emb", Params: config.Params{Model: "openai/text-embedding-ada-002", APIKey: "sk-file-secret"}, Info: config.ModelInfo{ID: "dep-emb"}},
		{Name: "old", Params: config.Params{Model: "openai/gpt-image-1", APIKey: "sk-file-secret"}, Info: config.ModelInfo{ID: "dep-old"}},
	}
	b.cfg.Credentials = []config.Credential{{Name: "filed", Values: map[string]config.Secret{"api_key": "sk-filed-credential"}}}
	sealer, err := store.NewSealer("sk-salt")
	if err != nil {
		t.Fatal(err)
	}
	b.api = New(Options{Store: s, Config: func() *config.Config { return b.cfg }, Now: func() time.Time { return b.now }, Seal: func(s string) (string, error) { return sealer.Seal(s), nil }, Unseal: sealer.Open,
		Identify: b.identify})
	mux := http.NewServeMux()
	b.api.Register(mux)
	b.server = httptest.NewServer(mux)
	t.Cleanup(b.server.Close)
	return b
}

// user adds a user with a role, and a key of theirs.
func (b *bench) user(key, id, role, team string, models ...string) {
	b.Helper()
	b.edit(func(e *store.Edit) error {
		return errors.Join(e.Users.Put(b.Context(), &account.User{ID: id, Role: role, Email: id + "@example.com"}),
			e.Keys.Put(b.Context(), &account.Key{Hash: auth.Hash(key), Name: "sk-..." + key[len(key)-4:], Alias: id + "-key", UserID: id, TeamID: team, Models: models}))
	})
}

// identify asks a directory of what is in the database.
func (b *bench) identify(r *http.Request) (*auth.Principal, *llm.Error) {
	in := b.store.Accounts()
	var rows auth.Rows
	err := errors.Join(every(r.Context(), in.Keys, &rows.Keys), every(r.Context(), in.Users, &rows.Users), every(r.Context(), in.Teams, &rows.Teams),
		every(r.Context(), in.Members, &rows.Members), every(r.Context(), in.Orgs, &rows.Orgs), every(r.Context(), in.OrgMembers, &rows.OrgMembers))
	if err != nil {
		return nil, llm.AsError(err)
	}
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	return auth.NewDirectory(auth.Options{Master: "sk-master"}, rows).Authenticate(key, b.now)
}

func every[T any](ctx context.Context, rows store.Rows[T], into *[]T) error {
	return rows.Each(ctx, func(row *T) error {
		*into = append(*into, *row)
		return nil
	})
}

func (b *bench) edit(f func(*store.Edit) error) {
	b.Helper()
	if err := b.store.Edit(b.Context(), f); err != nil {
		b.Fatal(err)
	}
}

// call makes a request and gives the status and the decoded body; a body that is no JSON fails the test.
func (b *bench) call(key, method, path, body string) (int, any) {
	b.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := b.server.Client().Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		b.Fatal(err)
	}
	for _, secret := range []string{"sk-file-secret", "sk-up-secret", "sk-cred-secret", "sk-filed-credential", "pass@", "sk-from-variable", "weir1:"} {
		if bytes.Contains(text.Bytes(), []byte(secret)) {
			b.Errorf("%s %s shows a secret: %s", method, path, text.Bytes())
		}
	}
	var out any
	if err := json.Unmarshal(text.Bytes(), &out); err != nil {
		b.Fatalf("%s %s: %d, no JSON: %q", method, path, resp.StatusCode, text.Bytes())
	}
	return resp.StatusCode, out
}

// want makes a request as key and compares the status, and what the dotted paths lead to with JSON values.
func (b *bench) want(key, method, path, body string, status int, paths ...string) any {
	b.Helper()
	got, out := b.call(key, method, path, body)
	if got != status {
		b.Errorf("%s %s %s: %d %v, want %d", method, path, body, got, out, status)
		return out
	}
	for _, p := range paths {
		at, text, _ := strings.Cut(p, "=")
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			b.Fatalf("%s is no JSON", text)
		}
		if have := dig(out, at); !reflect.DeepEqual(have, value) {
			b.Errorf("%s %s: %s is %v, want %s", method, path, at, have, text)
		}
	}
	return out
}

// missing stands for a member that is not there.
const missing = "(missing)"

func dig(v any, path string) any {
	for part := range strings.SplitSeq(path, ".") {
		switch t := v.(type) {
		case map[string]any:
			have, ok := t[part]
			if !ok {
				return missing
			}
			v = have
		case []any:
			if part == "len" {
				return float64(len(t))
			}
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(t) {
				return missing
			}
			v = t[i]
		default:
			return missing
		}
	}
	return v
}
