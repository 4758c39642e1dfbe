package fleet

import (
	"context"
	"errors"
	"slices"
	"time"
)

// countOrphans is how often the hosts are asked for what nobody owns.
const countOrphans = time.Minute

// Orphan is a model of which a host holds something although it is not in the fleet, or is elsewhere.
type Orphan struct{ Host, ModelID string }

// Orphans are those that were found when the hosts were last asked. They are reported, never removed: another gateway may own them.
func (f *Fleet) Orphans() []Orphan {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.orphans)
}

// findOrphans compares what the hosts hold with what the store knows. What looks like an orphan is asked for once more: it may just have been
// deleted, or made.
func (f *Fleet) findOrphans(ctx context.Context) {
	models, err := f.o.Store.Models(ctx)
	if err != nil {
		return // the round says so
	}
	owned := map[Orphan]bool{}
	for i := range models {
		owned[Orphan{f.hostName(&models[i]), models[i].ModelID}] = true
	}
	var found []Orphan
	for name, h := range f.o.Hosts {
		ids, err := h.List(ctx)
		var still []string
		if err == nil && slices.ContainsFunc(ids, func(id string) bool { return !owned[Orphan{name, id}] }) {
			still, err = h.List(ctx)
		}
		if err != nil && ctx.Err() == nil {
			f.o.Log.Warn("a host does not tell what it holds", "host", name, "error", err)
		}
		for _, id := range still {
			if owned[Orphan{name, id}] || !slices.Contains(ids, id) {
				continue
			}
			if m, err := f.o.Store.Model(ctx, id); errors.Is(err, ErrNotFound) || err == nil && f.hostName(m) != name {
				found = append(found, Orphan{name, id})
			}
		}
	}
	f.mu.Lock()
	known := f.orphans
	f.orphans = found
	f.mu.Unlock()
	for _, o := range found {
		if !slices.Contains(known, o) {
			f.o.Log.Warn("a host holds servers or data of a model that is not in the fleet", "host", o.Host, "model", o.ModelID)
		}
	}
}
