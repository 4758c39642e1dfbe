package main

import (
	"context"
	"database/sql"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/weir-gateway/weir/test/gwtest"
)

// TestImport brings a database of LiteLLM's over as an operator would, twice, and calls the gateway with a key of those days.
func TestImport(t *testing.T) {
	pg := gwtest.StartPostgres(t)
	old := pg.Database(t)
	db, err := sql.Open("pgx", old+"&default_query_exec_mode=simple_protocol")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(gwtest.ReadDump(t, "../../internal/store/litellm/testdata/litellm-1.106.2.sql.gz")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	env := map[string]string{"LITELLM_MASTER_KEY": "sk-master", "LITELLM_SALT_KEY": "sk-salt"}
	for _, want := range []string{"      8 brought over,      0 there already", "      0 brought over,      8 there already"} {
		out, stderr, err := weir(t, env, "import", "litellm", "--database-url", old, "--data-dir", dir)
		if err != nil || !strings.Contains(out, want) || strings.Contains(out, "secret") {
			t.Errorf("%v %s\n%s", err, stderr, out)
		}
	}
	var out, errs gwtest.Buffer
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--host", "127.0.0.1", "--port", "0", "--data-dir", dir}, &out, &errs, func(name string) string { return env[name] })
	}()
	line := regexp.MustCompile(`is listening on (\S+)`)
	for deadline := time.Now().Add(20 * time.Second); !line.MatchString(out.String()); {
		if time.Now().After(deadline) || len(done) > 0 {
			t.Fatalf("no banner: %s %s", out.String(), errs.String())
		}
	}
	g := &gwtest.Gateway{URL: line.FindStringSubmatch(out.String())[1]}
	get := func(path, key string, status int, want string) {
		t.Helper()
		if a := g.Get(t, path, "Authorization", "Bearer "+key); a.Status != status || !strings.Contains(string(a.Body), want) {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	get("/v1/models", "sk-fixture-bob-0004", 200, `"dyn"`)
	get("/v1/models", "sk-fixture-expired-0006", 401, "")
	get("/v1/models", "sk-fixture-nobody", 401, "")
	get("/model/info", "sk-master", 200, "dyn-id-1")
	get("/key/info", "sk-fixture-ann-0001", 200, `"spend":0.00001305`)
	if strings.Contains(errs.String(), "left out") {
		t.Errorf("what was brought over is not taken: %s", errs.String())
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stop: %v", err)
	}
}
