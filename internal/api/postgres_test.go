package api_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/api"
	"github.com/weir-gateway/weir/test/gwtest"
)

// TestOnPostgres runs all tests of the API once more, by this program in a process of its own, with every store in a PostgreSQL.
func TestOnPostgres(t *testing.T) {
	if os.Getenv(api.TestPostgres) != "" {
		return // this is that process
	}
	pg := gwtest.StartPostgres(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v")
	cmd.Env = append(os.Environ(), api.TestPostgres+"="+pg.Database(t))
	out, err := cmd.CombinedOutput()
	if passed := strings.Count(string(out), "--- PASS: Test"); err != nil || passed < 50 {
		t.Errorf("%d tests passed on PostgreSQL: %v\n%s", passed, err, out)
	}
}
