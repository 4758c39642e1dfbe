package api

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// office is the API on a real database, with a directory of its accounts that follows every change.
type office struct {
	t      *testing.T
	store  *store.Store
	dir    atomic.Pointer[auth.Directory]
	url    string
	config *config.Config
}

const officeMaster = "sk-master"

// TestPostgres is the variable with the URL of a PostgreSQL database: where it is set, tests keep their tables there.
const TestPostgres = "WEIR_TEST_POSTGRES"

var schemas atomic.Int64

// openStore opens an empty database of the test's own.
func openStore(t *testing.T) *store.Store {
	t.Helper()
	address := os.Getenv(TestPostgres)
	if address == "" {
		address = filepath.Join(t.TempDir(), "weir.db")
	} else {
		address = newSchema(t, address)
	}
	s, err := store.Open(t.Context(), address, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// newSchema makes room for tables of a test's own, which takes PostgreSQL far less time than a database.
func newSchema(t *testing.T, address string) string {
	t.Helper()
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	name := fmt.Sprintf("test%d", schemas.Add(1))
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// officeTime is a Saturday.
var officeTime = time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)

func newOffice(t *testing.T) *office {
	t.Helper()
	s := openStore(t)
	o := &office{t: t, store: s, config: &config.Config{}}
	o.follow(t.Context())
	mux := http.NewServeMux()
	New(Options{Store: s, Identify: o.identify, Config: func() *config.Config { return o.config }, Changed: o.follow,
		Now: func() time.Time { return officeTime }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Seal:   func(s string) (string, error) { return "sealed:" + strings.ToUpper(s), nil },
		Unseal: func(s string) (string, error) { return strings.ToLower(strings.TrimPrefix(s, "sealed:")), nil }}).Register(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

func (o *office) identify(r *http.Request) (*auth.Principal, *llm.Error) {
	key, err := auth.Credential(r.Header, "")
	if err != nil {
		return nil, err
	}
	return o.dir.Load().Authenticate(key, officeTime)
}

func (o *office) follow(ctx context.Context) {
	in := o.store.Accounts()
	var rows auth.Rows
	for _, err := range []error{
		readAll(ctx, in.Keys, &rows.Keys), readAll(ctx, in.Users, &rows.Users), readAll(ctx, in.Teams, &rows.Teams),
		readAll(ctx, in.Members, &rows.Members), readAll(ctx, in.Orgs, &rows.Orgs), readAll(ctx, in.OrgMembers, &rows.OrgMembers),
		readAll(ctx, in.Budgets, &rows.Budgets), readAll(ctx, in.Customers, &rows.Customers), readAll(ctx, in.Tags, &rows.Tags),
		readAll(ctx, in.AccessGroups, &rows.AccessGroups),
	} {
		if err != nil {
			o.t.Error(err)
			return
		}
	}
	o.dir.Store(auth.NewDirectory(auth.Options{Master: officeMaster}, rows))
}

func readAll[T any](ctx context.Context, rows store.Rows[T], into *[]T) error {
	return rows.Each(ctx, func(row *T) error {
		*into = append(*into, *row)
		return nil
	})
}

// edit changes the database behind the API's back.
func (o *office) edit(f func(*store.Edit) error) {
	o.t.Helper()
	if err := o.store.Edit(o.t.Context(), f); err != nil {
		o.t.Fatal(err)
	}
	o.follow(o.t.Context())
}

// hire makes a user with a role and a key, and returns the key.
func (o *office) hire(id, role string) string {
	o.t.Helper()
	key := "sk-" + id
	o.edit(func(e *store.Edit) error {
		stamp := account.Stamp{Created: e.At, Updated: e.At}
		if err := e.Users.Put(o.t.Context(), &account.User{ID: id, Email: id + "@example.com", Role: role, Stamp: stamp}); err != nil {
			return err
		}
		return e.Keys.Put(o.t.Context(), &account.Key{Hash: auth.Hash(key), Name: "sk-..." + id, UserID: id, Stamp: stamp})
	})
	return key
}

// call makes a request; path is "METHOD /path". The reply may be read by at.
func (o *office) call(key, path, body string) (status int, reply any) {
	o.t.Helper()
	method, path, _ := strings.Cut(path, " ")
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.url+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &reply); err != nil {
		o.t.Fatalf("%s %s answered %d with no JSON: %s", method, path, res.StatusCode, text)
	}
	return res.StatusCode, reply
}

// ok is a call by the master key that must succeed.
func (o *office) ok(path, body string) any {
	o.t.Helper()
	status, reply := o.call(officeMaster, path, body)
	if status != http.StatusOK {
		o.t.Fatalf("%s %s: %d %s", path, body, status, show(reply))
	}
	return reply
}

// expect checks a call's status, and that each of want, as path=value, is in the reply.
func (o *office) expect(key, path, body string, status int, want ...string) {
	o.t.Helper()
	got, reply := o.call(key, path, body)
	if got != status {
		o.t.Errorf("%s %s: status %d, want %d: %s", path, body, got, status, show(reply))
		return
	}
	check(o.t, reply, want...)
}

// check looks values up in a reply: "a.0.b=value" with the value as JSON, "a.b~text" for one that contains the text.
func check(t *testing.T, reply any, want ...string) {
	t.Helper()
	for _, w := range want {
		path, value, ok := strings.Cut(w, "=")
		if !ok || strings.Contains(path, "~") {
			path, value, _ = strings.Cut(w, "~")
			if got := show(at(reply, path)); !strings.Contains(got, value) {
				t.Errorf("%s is %s, want it to contain %s", path, got, value)
			}
			continue
		}
		if got := show(at(reply, path)); got != value {
			t.Errorf("%s is %s, want %s", path, got, value)
		}
	}
}

// at finds a value by its path; "#" is the length of a list. What is not there is "absent".
func at(v any, path string) any {
	for part := range strings.SplitSeq(path, ".") {
		switch t := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = t[part]; !ok {
				return "absent"
			}
		case []any:
			i := 0
			for _, c := range part {
				i = i*10 + int(c-'0')
			}
			switch {
			case part == "#":
				v = len(t)
			case i < len(t):
				v = t[i]
			default:
				return "absent"
			}
		default:
			return "absent"
		}
	}
	return v
}

func show(v any) string {
	text, err := json.Marshal(v, json.Deterministic(true), jsontext.EscapeForHTML(false))
	if err != nil {
		return err.Error()
	}
	return string(text)
}
