package api_test

import (
	"testing"

	"github.com/weir-gateway/weir/internal/api"
	"github.com/weir-gateway/weir/test/gwtest"
)

func TestSpend_sums(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { api.SumsTest(t, "") })
	t.Run("postgresql", func(t *testing.T) {
		pg := gwtest.StartPostgres(t)
		api.SumsTest(t, pg.Database(t))
	})
}
