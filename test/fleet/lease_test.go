package fleet

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/test/gwtest"
)

// TestLease holds that a gateway that ends in good order leaves the fleet to the next one at once.
func TestLease(t *testing.T) {
	dir := t.TempDir()
	g := gwtest.StartIn(t, dir, "", app.Options{})
	ok(t, g.Post(t, "/api/models", `{"modelId":"m","modelName":"demo/demo","modelType":"textgen"}`))
	awaits(t, g, "m", "InService") // so it has the lease
	g.Stop(t)
	s, err := store.Open(t.Context(), filepath.Join(dir, "weir.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	now := time.Now()
	if free, err := s.TryLease(t.Context(), "fleet", "another", now.UnixMilli(), now.Add(time.Second).UnixMilli()); err != nil || !free {
		t.Errorf("the lease is free: %v, %v", free, err)
	}
}
