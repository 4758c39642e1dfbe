// Package route knows the models and their deployments, and which deployment a call goes to.
//
// A Table is immutable and read on the hot path; app builds a new one when the configuration changes. proxy and app import it.
package route

import (
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/provider"
	"github.com/weir-gateway/weir/internal/usage"
	"github.com/weir-gateway/weir/internal/wire"
)

// Deployment is one upstream that can answer for a model. Immutable but for what it learns about the upstream. NewDeployment makes one.
type Deployment struct {
	ID       string
	Group    string // the public name it stands under; for a wildcard, the pattern
	Upstream *provider.Upstream
	Price    *usage.Price // never nil
	Priced   bool
	Timeouts egress.Timeouts // of a call that does not stream
	Stream   egress.Timeouts // of one that does
	// DropParams: what the target can't express is dropped with a warning; false: refused.
	DropParams bool
	// Defaults are the deployment's own request parameters, as edits of an OpenAI body and as a body to decode.
	Defaults []wire.Edit
	Weight   float64
	// Mode is model_info.mode: what the model is for; empty: chat.
	Mode   string
	Info   config.ModelInfo
	Params config.Params

	// Groups may call it, a group of the caller's at least; empty: everybody.
	Groups []string
	// Running counts its model's calls in flight; nil: nobody wants to know.
	Running *atomic.Int64
	// Created is when the model was made, in Unix seconds; 0: not known.
	Created int64

	// missing has a bit for each dialect whose path the upstream answered 404: a wrong guess is learnt, not repeated.
	missing *atomic.Uint32
}

// NewDeployment makes a deployment ready for calls.
func NewDeployment(d Deployment) *Deployment {
	d.missing = new(atomic.Uint32)
	return &d
}

// Dialect chooses what to speak to the upstream for a call that came in as in: the same if the upstream speaks it, else its best.
func (d *Deployment) Dialect(in llm.Dialect) llm.Dialect {
	best := llm.Dialect("")
	for _, s := range d.Upstream.Dialects {
		if d.missing.Load()&dialectBit(s) != 0 {
			continue
		}
		if s == in {
			return in
		}
		if best == "" {
			best = s
		}
	}
	if best == "" && len(d.Upstream.Dialects) > 0 {
		best = d.Upstream.Dialects[0]
	}
	return best
}

// Forget notes that the upstream has no such path for a dialect. It reports whether another dialect is left to try.
func (d *Deployment) Forget(s llm.Dialect) bool {
	d.missing.Or(dialectBit(s))
	for _, other := range d.Upstream.Dialects {
		if d.missing.Load()&dialectBit(other) == 0 {
			return true
		}
	}
	d.missing.And(^dialectBit(s)) // the last one: the 404 is about something else
	return false
}

func dialectBit(d llm.Dialect) uint32 {
	for i, x := range llm.Dialects {
		if x == d {
			return 1 << i
		}
	}
	return 0
}

// Model is a public name with the deployments behind it.
type Model struct {
	Name        string
	Deployments []*Deployment
	weight      float64
	hidden      bool
}

// Plan gives the deployments in the order to try them: for now a weighted draw first (simple-shuffle), the rest after it.
func (m *Model) Plan() *Deployment {
	if len(m.Deployments) == 1 {
		return m.Deployments[0]
	}
	at := rand.Float64() * m.weight
	for _, d := range m.Deployments {
		if at -= d.Weight; at < 0 {
			return d
		}
	}
	return m.Deployments[len(m.Deployments)-1]
}

// Table maps names to models. Immutable but for a bounded cache of names that matched a wildcard; safe for concurrent use.
type Table struct {
	models   map[string]*Model
	ids      map[string]*Model
	wild     []*Model // most specific pattern first
	names    []string
	all      []*Deployment
	price    func(*provider.Upstream, config.Model) (*usage.Price, bool)
	resolved sync.Map // name -> *Model, for wildcards
	cached   atomic.Int64
}

// maxResolved bounds the names remembered for wildcards: clients choose them.
const maxResolved = 4096

// NewTable builds a table. aliases maps further public names to groups; price looks a wildcard's model up when it is first asked for.
func NewTable(deployments []*Deployment, aliases map[string]config.Alias, price func(*provider.Upstream, config.Model) (*usage.Price, bool)) *Table {
	t := &Table{models: map[string]*Model{}, ids: map[string]*Model{}, all: deployments, price: price}
	for _, d := range deployments {
		m := t.models[d.Group]
		if m == nil {
			m = &Model{Name: d.Group}
			t.models[d.Group] = m
			if strings.Contains(d.Group, "*") {
				t.wild = append(t.wild, m)
			}
		}
		m.Deployments = append(m.Deployments, d)
		m.weight += d.Weight
		t.ids[d.ID] = &Model{Name: d.Group, Deployments: []*Deployment{d}, weight: d.Weight}
	}
	sort.SliceStable(t.wild, func(i, j int) bool { return len(t.wild[i].Name) > len(t.wild[j].Name) })
	for name, a := range aliases {
		if m := t.models[a.Model]; m != nil {
			t.models[name] = &Model{Name: a.Model, Deployments: m.Deployments, weight: m.weight, hidden: a.Hidden}
		}
	}
	for name, m := range t.models {
		if !m.hidden {
			t.names = append(t.names, name)
		}
	}
	sort.Strings(t.names)
	return t
}

// Names lists the public names in order, wildcards included.
func (t *Table) Names() []string { return t.names }

// Group gives the model that stands under a configured name, wildcards included; nil if there is none.
func (t *Table) Group(name string) *Model { return t.models[name] }

// Find gives the model for a name a client asked for: by name, by a deployment's id, then by the most specific wildcard.
func (t *Table) Find(name string) (*Model, bool) {
	if m, ok := t.models[name]; ok && !strings.Contains(name, "*") {
		return m, true
	}
	if m, ok := t.ids[name]; ok {
		return m, true
	}
	if m, ok := t.resolved.Load(name); ok {
		return m.(*Model), true
	}
	for _, w := range t.wild {
		if part, ok := Match(w.Name, name); ok {
			return t.resolve(w, name, part), true
		}
	}
	return nil, false
}

// resolve makes the concrete model behind a wildcard: the part the * matched takes the place of the * in each deployment's model.
func (t *Table) resolve(w *Model, name, part string) *Model {
	m := &Model{Name: w.Name, weight: w.weight}
	for _, d := range w.Deployments {
		c := *d
		c.Upstream = d.Upstream.WithModel(strings.Replace(d.Upstream.Model, "*", part, 1))
		entry := config.Model{Name: name, Params: d.Params, Info: d.Info}
		c.Price, c.Priced = t.price(c.Upstream, entry)
		m.Deployments = append(m.Deployments, &c)
	}
	if t.cached.Add(1) <= maxResolved {
		t.resolved.Store(name, m)
	}
	return m
}

// Match reports whether name fits a pattern with one *, and what the * stands for.
func Match(pattern, name string) (string, bool) {
	head, tail, _ := strings.Cut(pattern, "*")
	if len(name) < len(head)+len(tail) || !strings.HasPrefix(name, head) || !strings.HasSuffix(name, tail) {
		return "", false
	}
	return name[len(head) : len(name)-len(tail)], true
}

// Deployments lists every configured deployment once, in the order of the configuration.
func (t *Table) Deployments() []*Deployment { return t.all }

// Wildcard reports whether the deployment stands for a pattern of names rather than one.
func (d *Deployment) Wildcard() bool { return strings.Contains(d.Group, "*") }
