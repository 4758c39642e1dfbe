package stock

import (
	"fmt"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/fleet"
)

// Models remember what was last seen of each model, since the fleet asks far more often than a cloud likes to be asked, and hold what else a
// host keeps of it. Every and Now are set before use. Safe for concurrent use.
type Models[S any] struct {
	Every time.Duration // how long what was seen counts; 0: it is looked each time
	Now   func() time.Time

	mu  sync.Mutex
	all map[string]*Model[S]
}

// Model is one model. The lock guards State.
type Model[S any] struct {
	sync.Mutex
	State S

	at   time.Time
	spec string // what was seen of: generation and number; empty: nothing that counts
	seen fleet.Observed
}

// Hold gives a model, locked.
func (m *Models[S]) Hold(id string) *Model[S] {
	m.mu.Lock()
	if m.all == nil {
		m.all = map[string]*Model[S]{}
	}
	one := m.all[id]
	if one == nil {
		one = &Model[S]{}
		m.all[id] = one
	}
	m.mu.Unlock()
	one.Lock()
	return one
}

// Ensure gives what was seen of as many servers of that generation if it still counts, else what look finds. The model is locked meanwhile.
func (m *Models[S]) Ensure(spec fleet.Spec, look func(*S) (fleet.Observed, error)) (fleet.Observed, error) {
	one := m.Hold(spec.ModelID)
	defer one.Unlock()
	now, same := m.Now(), fmt.Sprintf("%d/%d", spec.Generation, spec.Replicas)
	if m.Every > 0 && one.spec == same && now.Sub(one.at) < m.Every {
		return one.seen, nil
	}
	one.Forget()
	seen, err := look(&one.State)
	if err != nil {
		return fleet.Observed{}, err
	}
	one.at, one.spec, one.seen = now, same, seen
	return seen, nil
}

// Forget makes what was seen count no more. The model is locked.
func (m *Model[S]) Forget() { m.spec = "" }
