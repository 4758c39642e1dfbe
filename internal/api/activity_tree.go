package api

import (
	"cmp"
	"context"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
)

// activityTree sums rows up by day, and within a day by model, provider, endpoint, key and entity.
type activityTree struct {
	entity store.Dim
	total  metrics
	days   map[string]*activityDay
	order  []string        // of the days, as met
	keys   map[string]bool // hashes that are listed; nil: all
	facts  map[string]keyFacts
	named  map[string]object // metadata of entities
	prices map[string]*usage.Price
	api    *API
}

type activityDay struct {
	metrics
	parts [len(partNames)]map[string]*activityPart
}

// partNames are what a day is broken down by, as the reply calls it.
var partNames = [...]string{"models", "model_groups", "providers", "endpoints", "api_keys", "entities"}

const (
	keysPart     = 4
	entitiesPart = 5
)

type activityPart struct {
	metrics
	keys map[string]*metrics
}

// metrics is what calls come to, and what prompt caching saved on them.
type metrics struct {
	store.Sums
	saved llm.Nanos
}

func (m *metrics) add(s *store.Sums, saved llm.Nanos) {
	m.Spend += s.Spend
	m.Input += s.Input
	m.Output += s.Output
	m.Total += s.Total
	m.CacheRead += s.CacheRead
	m.CacheWrite += s.CacheWrite
	m.Calls += s.Calls
	m.Failed += s.Failed
	m.TimeMS += s.TimeMS
	m.Timed += s.Timed
	m.saved += saved
}

// metricNames are the numbers of LiteLLM's that stand for things Weir does not do.
var metricNames = []string{"flat_cost", "compression_savings_spend", "gateway_injected_caching_savings_spend", "autorouter_savings_spend"}

func (m *metrics) json() object {
	o := object{"spend": money(m.Spend), "prompt_tokens": m.Input, "completion_tokens": m.Output, "cache_read_input_tokens": m.CacheRead,
		"cache_creation_input_tokens": m.CacheWrite, "compression_saved_tokens": 0, "prompt_caching_savings_spend": money(m.saved),
		"total_tokens": m.Total, "successful_requests": m.Calls - m.Failed, "failed_requests": m.Failed, "api_requests": m.Calls,
		"total_response_time_ms": m.TimeMS, "timed_requests": m.Timed}
	for _, name := range metricNames {
		o[name] = money(0)
	}
	return o
}

func newActivityTree(entity store.Dim) *activityTree {
	return &activityTree{entity: entity, days: map[string]*activityDay{}, facts: map[string]keyFacts{}, named: map[string]object{}, prices: map[string]*usage.Price{}}
}

// name looks up what the rows' keys and entities are called. Rows of keys alone have one name each.
func (t *activityTree) name(ctx context.Context, a *API, rows []store.Group) error {
	t.api = a
	var hashes, entities []string
	for i := range rows {
		names := rows[i].Names
		if len(names) == 1 {
			hashes = append(hashes, names[0])
			continue
		}
		if t.keys == nil {
			hashes = append(hashes, names[6])
		}
		entities = append(entities, names[7])
	}
	facts, err := a.keyFacts(ctx, unique(hashes))
	if err != nil {
		return err
	}
	for hash, f := range facts {
		t.facts[hash] = f
	}
	return t.nameEntities(ctx, a, unique(entities))
}

func (t *activityTree) nameEntities(ctx context.Context, a *API, ids []string) error {
	in := a.Store.Accounts()
	switch t.entity {
	case store.ByUser:
		users, err := a.users(ctx, ids)
		for id, u := range users {
			t.named[id] = object{"user_email": text(u.Email), "user_alias": text(u.Alias)}
		}
		return err
	case store.ByTeam:
		aliases, err := a.teamAliases(ctx, ids)
		for id, alias := range aliases {
			t.named[id] = object{"team_alias": text(alias)}
		}
		return err
	case store.ByOrg:
		rows, err := in.Orgs.List(ctx, ids...)
		for i := range rows {
			t.named[rows[i].ID] = object{"organization_alias": text(rows[i].Alias)}
		}
		return err
	case store.ByEndUser:
		rows, err := in.Customers.List(ctx, ids...)
		for i := range rows {
			t.named[rows[i].ID] = object{"alias": text(rows[i].Alias)}
		}
		return err
	}
	return nil
}

// add books a row of activityDims and the entity.
func (t *activityTree) add(g *store.Group) {
	date, provider, upstream, model, op, in, key, entity := g.Names[0], g.Names[1], g.Names[2], g.Names[3], g.Names[4], g.Names[5], g.Names[6], g.Names[7]
	d := t.days[date]
	if d == nil {
		d = &activityDay{}
		for i := range d.parts {
			d.parts[i] = map[string]*activityPart{}
		}
		t.days[date] = d
		t.order = append(t.order, date)
	}
	saved := t.savings(provider, upstream, g.CacheRead)
	t.total.add(&g.Sums, saved)
	d.add(&g.Sums, saved)
	listed := t.keys == nil || t.keys[key]
	names := [...]string{modelPath(provider, upstream, cmp.Or(model, unknownName)), cmp.Or(model, unknownName), cmp.Or(provider, unknownName),
		endpoint(llm.Op(op), llm.Dialect(in)), key, cmp.Or(entity, unassigned)}
	for i, name := range names {
		if i == keysPart && !listed {
			continue
		}
		p := d.parts[i][name]
		if p == nil {
			p = &activityPart{keys: map[string]*metrics{}}
			d.parts[i][name] = p
		}
		p.add(&g.Sums, saved)
		if i == keysPart || !listed {
			continue
		}
		if p.keys[key] == nil {
			p.keys[key] = &metrics{}
		}
		p.keys[key].add(&g.Sums, saved)
	}
}

// savings is how much less cached input tokens cost than others do.
func (t *activityTree) savings(provider, upstream string, tokens int64) llm.Nanos {
	if tokens <= 0 || upstream == "" {
		return 0
	}
	id := provider + "/" + upstream
	p, known := t.prices[id]
	if !known {
		p, _ = t.api.Prices.Lookup(provider, upstream)
		t.prices[id] = p
	}
	if p == nil {
		return 0
	}
	return p.Cost(&llm.Usage{Input: tokens}, "") - p.Cost(&llm.Usage{Input: tokens, CacheRead: tokens}, "")
}

func (t *activityTree) results() []object {
	out := []object{}
	for _, date := range t.order {
		d := t.days[date]
		breakdown := object{"mcp_servers": object{}}
		for i, part := range partNames {
			named := object{}
			for name, p := range d.parts[i] {
				named[t.label(i, name)] = t.part(i, name, p)
			}
			breakdown[part] = named
		}
		out = append(out, object{"date": date, "metrics": d.json(), "breakdown": breakdown})
	}
	return out
}

func (t *activityTree) label(part int, name string) string {
	if part == keysPart {
		return keyName(name)
	}
	return name
}

func (t *activityTree) part(i int, name string, p *activityPart) object {
	o := object{"metrics": p.json(), "metadata": object{}}
	if i == keysPart {
		o["metadata"] = t.keyMetadata(name)
		return o
	}
	if i == entitiesPart && t.named[name] != nil {
		o["metadata"] = t.named[name]
	}
	keys := object{}
	for key, m := range p.keys {
		keys[keyName(key)] = object{"metrics": m.json(), "metadata": t.keyMetadata(key)}
	}
	o["api_key_breakdown"] = keys
	return o
}

func (t *activityTree) keyMetadata(hash string) object {
	f := t.facts[hash]
	return object{"key_alias": text(f.alias), "team_id": text(f.team), "user_id": text(f.user), "user_email": text(f.email), "key_exists": f.exists}
}

// metadata is the sums of the page and where it stands.
func (t *activityTree) metadata(page, last int64, more bool, keyLimit, keyTotal any) object {
	o := object{"page": page, "total_pages": last, "has_more": more, "api_key_limit": keyLimit, "total_api_keys": keyTotal, "entity_total_api_keys": nil}
	for name, v := range t.total.json() {
		switch name {
		case "total_tokens", "total_response_time_ms":
			o[name] = v
		default:
			o["total_"+name] = v
		}
	}
	return o
}
