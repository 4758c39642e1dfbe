package usage

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed prices.gz
var embedded []byte

const femtoPerUSD = 1_000_000_000_000_000

// Prices tells what models cost and hold. The tables stay in their compact text form, half a megabyte for four thousand models; an entry
// is parsed when it is asked for, which takes some microseconds: keep the Price of a deployment rather than looking it up for every
// call. Safe for concurrent use.
type Prices struct {
	user *table // the user's own map, consulted first; nil: none
	base func() *table
}

// table is one compiled map.
type table struct {
	date    string
	fields  []field
	flags   []string
	models  []byte // lines sorted by name
	invalid error
}

// NewPrices gives the built-in prices, unpacked when first asked for.
func NewPrices() *Prices {
	return &Prices{base: sync.OnceValue(func() *table {
		z, err := gzip.NewReader(bytes.NewReader(embedded))
		if err != nil {
			return &table{invalid: err}
		}
		text, err := io.ReadAll(z)
		if err != nil {
			return &table{invalid: err}
		}
		return readTable(slices.Clip(text))
	})}
}

// WithMap gives the same prices with a map of the user's own over them, in LiteLLM's JSON schema. skipped names entries that can't be read.
func (p *Prices) WithMap(text []byte) (with *Prices, skipped []string, err error) {
	compact, skipped, err := CompilePrices(text, "")
	if err != nil {
		return nil, nil, err
	}
	t := readTable(compact)
	if t.invalid != nil {
		return nil, nil, t.invalid
	}
	return &Prices{user: t, base: p.base}, skipped, nil
}

// Date is the day of the built-in prices.
func (p *Prices) Date() string { return p.base().date }

// Err says why the built-in prices can't be read; nil in any build whose tests passed.
func (p *Prices) Err() error { return p.base().invalid }

func readTable(text []byte) *table {
	head, models, _ := bytes.Cut(text, []byte("\n"))
	parts := strings.Split(string(head), "\t")
	if len(parts) != 4 || parts[0] != "weir-prices-1" {
		return &table{invalid: fmt.Errorf("not a table of prices")}
	}
	t := &table{date: parts[1], models: models}
	for name := range strings.SplitSeq(parts[2], ",") {
		t.fields = append(t.fields, parseField(name))
	}
	t.flags = strings.Split(parts[3], ",")
	return t
}

// find gives the rest of a model's line by binary search.
func (t *table) find(model string) (line string, ok bool) {
	if strings.ContainsAny(model, "\t\n") || model == "" {
		return "", false
	}
	lo, hi := 0, len(t.models)
	for lo < hi {
		mid := (lo + hi) / 2
		start := lo + bytes.LastIndexByte(t.models[lo:mid], '\n') + 1
		end := start + bytes.IndexByte(t.models[start:], '\n')
		if end < start {
			end = len(t.models)
		}
		name, rest, _ := bytes.Cut(t.models[start:end], []byte("\t"))
		switch strings.Compare(string(name), model) {
		case 0:
			return string(rest), true
		case -1:
			lo = min(end+1, hi)
		default:
			hi = start
		}
	}
	return "", false
}

// Price is what is known of one model. It is not changed once made and safe for concurrent use.
type Price struct {
	Name       string // the entry's own
	Provider   string // in the map's words (bedrock_converse, vertex_ai-language-models ...)
	Mode       string // chat, embedding ...; empty: not known
	Deprecated string // YYYY-MM-DD when the provider takes it away; empty: not known

	MaxInput  int64 // tokens; 0: not known
	MaxOutput int64
	MaxTokens int64 // either limit, in entries that do not tell them apart

	rates   []rate
	yes, no []string
	own     bool // the deployment's own prices are in it
}

// rate is one of an entry's numbers. Its value is in 1e-15 USD.
type rate struct {
	field field
	femto int64
}

// Supports says whether the model has an ability, named as in the map without "supports_" (vision, function_calling); known is false
// where the map says nothing.
func (p *Price) Supports(ability string) (yes, known bool) {
	f := func(list []string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.TrimPrefix(s, "supports_") == ability })
	}
	if f(p.yes) {
		return true, true
	}
	return false, f(p.no)
}

// Priced says whether anything is known of the price, a price of zero included.
func (p *Price) Priced() bool {
	return slices.ContainsFunc(p.rates, func(r rate) bool { return r.field.unit != unitNone || strings.Contains(r.field.name, "cost") })
}

// USD is one of the map's prices by its full name (output_cost_per_image), for showing and for units that llm.Usage does not count.
func (p *Price) USD(name string) (usd float64, ok bool) {
	for _, r := range p.rates {
		if r.field.name == name {
			return float64(r.femto) / femtoPerUSD, true
		}
	}
	return 0, false
}

// All lists every price by name, and every ability that is known, for listings.
func (p *Price) All() (usd map[string]float64, supports map[string]bool) {
	usd, supports = map[string]float64{}, map[string]bool{}
	for _, r := range p.rates {
		if strings.Contains(r.field.name, "cost") {
			usd[r.field.name] = float64(r.femto) / femtoPerUSD
		}
	}
	for _, s := range p.yes {
		supports[s] = true
	}
	for _, s := range p.no {
		supports[s] = false
	}
	return usd, supports
}

// Models lists what the map knows of a provider, by the provider's own names for its models (Price.Name), in order. Fine-tuned variants
// and sizes of pictures are prices, not models. It reads the whole map: not for the hot path.
func (p *Prices) Models(provider string) []*Price {
	var out []*Price
	seen := map[string]bool{}
	for _, t := range []*table{p.user, p.base()} {
		if t == nil {
			continue
		}
		for line := range bytes.Lines(t.models) {
			name, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"))
			owner, _, _ := bytes.Cut(rest, []byte("\t"))
			own := strings.TrimPrefix(string(name), provider+"/")
			if string(owner) != provider || seen[own] || strings.HasPrefix(own, "ft:") || strings.ContainsAny(own, "*") {
				continue
			}
			found, ok := t.parse(string(name), string(rest))
			if !ok || found.Mode == "image_generation" && strings.Contains(own, "/") {
				continue
			}
			seen[own] = true
			found.Name = own
			out = append(out, found)
		}
	}
	return out
}

func (t *table) price(name string) (*Price, bool) {
	line, ok := t.find(name)
	if !ok {
		return nil, false
	}
	return t.parse(name, line)
}

func (t *table) parse(name, line string) (*Price, bool) {
	parts := strings.Split(line, "\t")
	if len(parts) != 6 {
		return nil, false
	}
	p := &Price{Name: name, Provider: parts[0], Mode: parts[1], Deprecated: parts[2]}
	for item := range strings.SplitSeq(parts[3], ",") {
		index, value, _ := strings.Cut(item, "=")
		i, err := strconv.ParseInt(index, 36, 32)
		if err != nil || int(i) >= len(t.fields) {
			continue
		}
		p.set(t.fields[i], value)
	}
	p.yes, p.no = t.names(parts[4]), t.names(parts[5])
	return p, true
}

func (p *Price) set(f field, value string) {
	whole := strings.HasPrefix(value, "w")
	n, ok := long(strings.TrimPrefix(value, "w"))
	if !ok {
		return
	}
	units := n
	if !whole {
		units = n / femtoPerUSD
	}
	switch f.name {
	case "max_input_tokens":
		p.MaxInput = units
	case "max_output_tokens":
		p.MaxOutput = units
	case "max_tokens":
		p.MaxTokens = units
	default:
		if !whole {
			p.rates = append(p.rates, rate{field: f, femto: n})
		}
	}
}

// long undoes short.
func long(s string) (int64, bool) {
	digits, zeros, _ := strings.Cut(s, "e")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, false
	}
	if zeros == "" {
		return n, true
	}
	z, err := strconv.Atoi(zeros)
	if err != nil || z < 0 || z > 18 {
		return 0, false
	}
	for range z {
		n *= 10
	}
	return n, true
}

func (t *table) names(list string) []string {
	if list == "" {
		return nil
	}
	var out []string
	for item := range strings.SplitSeq(list, ",") {
		if i, err := strconv.ParseInt(item, 36, 32); err == nil && int(i) < len(t.flags) {
			out = append(out, t.flags[i])
		}
	}
	return out
}

// Override gives the price with single rates replaced, in the map's own names and USD per unit (config.Params.Cost). p may be nil.
func (p *Price) Override(cost map[string]float64) *Price {
	out := &Price{}
	if p != nil {
		*out = *p
		out.rates = slices.Clone(p.rates)
	}
	out.own = out.own || len(cost) > 0
	for name, usd := range cost {
		text, ok := femto(strconv.FormatFloat(usd, 'g', -1, 64))
		n, fits := long(text)
		if !ok || !fits {
			continue
		}
		f := parseField(name)
		out.rates = slices.DeleteFunc(out.rates, func(r rate) bool { return r.field.name == name })
		out.rates = append(out.rates, rate{field: f, femto: n})
	}
	return out
}

// Deployment is the price of a configured deployment: base (model_info.base_model) is looked up before the model itself, and cost goes
// over what is found. ok is false if nothing at all is known.
func (p *Prices) Deployment(provider, model, base string, cost map[string]float64) (_ *Price, ok bool) {
	var found *Price
	if base != "" {
		found, ok = p.Lookup(provider, base)
		if !ok {
			found, ok = p.Lookup("", base)
		}
	}
	if !ok {
		found, ok = p.Lookup(provider, model)
	}
	if len(cost) > 0 {
		return found.Override(cost), true
	}
	return found, ok
}
