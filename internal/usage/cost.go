package usage

import (
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// unit is what a price is for, as far as llm.Usage counts it.
type unit uint8

const (
	unitNone unit = iota
	unitInput
	unitOutput
	unitCacheRead
	unitCacheWrite
	unitCacheWrite1h
	unitReasoning
	unitInputAudio
	unitOutputAudio
	unitInputImage
	unitOutputImage
	unitRequest
	unitSearch
)

var unitNames = map[string]unit{
	"input_cost_per_token": unitInput, "output_cost_per_token": unitOutput, "cache_read_input_token_cost": unitCacheRead,
	"input_cost_per_token_cache_hit": unitCacheRead, "cache_creation_input_token_cost": unitCacheWrite,
	"output_cost_per_reasoning_token": unitReasoning, "input_cost_per_audio_token": unitInputAudio, "output_cost_per_audio_token": unitOutputAudio,
	"input_cost_per_image_token": unitInputImage, "output_cost_per_image_token": unitOutputImage, "input_cost_per_request": unitRequest,
	"search_context_cost_per_query_medium": unitSearch,
}

// field is a number's name, taken apart: input_cost_per_token_above_200k_tokens_priority is for input tokens, in prompts of more than
// 200,000 tokens, at service tier priority.
type field struct {
	name  string
	unit  unit
	above int64
	tier  string
}

var tiers = []string{"flex", "priority", "batches", "balanced", "ultrafast", "decisions"}

func parseField(name string) field {
	f := field{name: name}
	rest := name
	for _, tier := range tiers {
		if cut, ok := strings.CutSuffix(rest, "_"+tier); ok {
			rest, f.tier = cut, tier
			break
		}
	}
	if i := strings.LastIndex(rest, "_above_"); i >= 0 {
		if count, ok := strings.CutSuffix(rest[i+len("_above_"):], "_tokens"); ok {
			factor := int64(1)
			if k, thousand := strings.CutSuffix(count, "k"); thousand {
				count, factor = k, 1000
			}
			n, err := strconv.ParseInt(count, 10, 32)
			if err != nil {
				return f
			}
			rest, f.above = rest[:i], n*factor
		}
	}
	hour := false
	if cut, ok := strings.CutSuffix(rest, "_above_1hr"); ok {
		rest, hour = cut, true
	}
	f.unit = unitNames[rest]
	if hour {
		f.unit = unitNone
		if rest == "cache_creation_input_token_cost" {
			f.unit = unitCacheWrite1h
		}
	}
	return f
}

// Breakdown is a call's cost by kind. Total is rounded once, from the exact sum, so the parts may miss it by some nano-USD.
type Breakdown struct {
	Total      llm.Nanos
	Input      llm.Nanos // text, image and audio tokens that were not cached
	CacheRead  llm.Nanos
	CacheWrite llm.Nanos
	Output     llm.Nanos // reasoning included
	Reasoning  llm.Nanos // the part of Output
	Tools      llm.Nanos // searches
	Request    llm.Nanos // a price per call
}

// Cost is what a call costs, in nano-USD: the sum is exact, in integers of 1e-15 USD, and rounded half up once. tier is the service tier
// the upstream says it used ("" and "default": standard; batch counts as batches). A prompt above one of the model's thresholds is
// priced as a whole at the rate beyond it. Kinds without a price of their own cost what plain input or output does.
func (p *Price) Cost(u *llm.Usage, tier string) llm.Nanos {
	return p.Breakdown(u, tier).Total
}

// Breakdown is Cost in its parts.
func (p *Price) Breakdown(u *llm.Usage, tier string) Breakdown {
	if p == nil || u == nil {
		return Breakdown{}
	}
	q := query{price: p, tier: standardTier(tier), above: p.threshold(u.Input)}
	// A model that only hears or draws may have a price for that alone, while its upstream reports plain tokens.
	input := q.rate(unitInput, q.rate(unitInputAudio, q.rate(unitInputImage, 0)))
	output := q.rate(unitOutput, q.rate(unitOutputAudio, q.rate(unitOutputImage, 0)))

	read := clamp(u.CacheRead, u.Input)
	write := clamp(u.CacheWrite, u.Input-read)
	write1h := clamp(u.CacheWrite1h, write)
	audio := clamp(u.InputAudio, u.Input-read-write)
	image := clamp(u.InputImage, u.Input-read-write-audio)
	text := u.Input - read - write - audio - image

	thought := clamp(u.Reasoning, u.Output)
	outAudio := clamp(u.OutputAudio, u.Output-thought)
	outImage := clamp(u.OutputImage, u.Output-thought-outAudio)
	said := u.Output - thought - outAudio - outImage

	var in, cached, written, out, reasoned, tools, request sum
	in.add(max(text, 0), input)
	in.add(audio, q.rate(unitInputAudio, input))
	in.add(image, q.rate(unitInputImage, input))
	cached.add(read, q.rate(unitCacheRead, input))
	write5m := q.rate(unitCacheWrite, input)
	written.add(write-write1h, write5m)
	written.add(write1h, q.rate(unitCacheWrite1h, write5m))
	reasoned.add(thought, q.rate(unitReasoning, output))
	out.add(max(said, 0), output)
	out.add(outAudio, q.rate(unitOutputAudio, output))
	out.add(outImage, q.rate(unitOutputImage, output))
	out.plus(reasoned)
	tools.add(max(u.WebSearches, 0), q.rate(unitSearch, 0))
	request.add(1, q.rate(unitRequest, 0))

	var total sum
	for _, s := range [...]sum{in, cached, written, out, tools, request} {
		total.plus(s)
	}
	return Breakdown{Total: total.nanos(), Input: in.nanos(), CacheRead: cached.nanos(), CacheWrite: written.nanos(), Output: out.nanos(),
		Reasoning: reasoned.nanos(), Tools: tools.nanos(), Request: request.nanos()}
}

// standardTier is the price map's word for a service tier as upstreams write it; empty: the standard one.
func standardTier(tier string) string {
	switch tier {
	case "default", "auto", "standard", "standard_only", "on_demand", "ON_DEMAND":
		return ""
	case "batch":
		return "batches"
	}
	return tier
}

func clamp(n, limit int64) int64 { return max(min(n, limit), 0) }

// threshold is the highest of the model's prompt lengths that this prompt goes beyond; 0: none.
func (p *Price) threshold(prompt int64) int64 {
	above := int64(0)
	for i := range p.rates {
		if f := &p.rates[i].field; f.unit != unitNone && f.above < prompt {
			above = max(above, f.above)
		}
	}
	return above
}

// query asks a price for rates at one service tier and prompt length.
type query struct {
	price *Price
	tier  string
	above int64
}

// rate is the best match: tier and length, then length alone, then tier alone, then the standard rate, then fallback.
func (q *query) rate(u unit, fallback int64) int64 {
	best, value := -1, fallback
	for i := range q.price.rates {
		r := &q.price.rates[i]
		if r.field.unit != u || r.field.above != 0 && r.field.above != q.above || r.field.tier != "" && r.field.tier != q.tier {
			continue
		}
		score := 0
		if r.field.above != 0 {
			score += 2
		}
		if r.field.tier != "" {
			score++
		}
		if score > best {
			best, value = score, r.femto
		}
	}
	return value
}

// has says that the entry has a rate for the unit, zero included; positive, that it has one above zero.
func (q *query) has(u unit) bool { return q.rate(u, -1) >= 0 }

func (q *query) positive(u unit) bool { return q.rate(u, 0) > 0 }

// sum adds products exactly, in 128 bits.
type sum struct{ hi, lo uint64 }

// add takes n units at a rate of 1e-15 USD each; neither is negative.
func (s *sum) add(n, rate int64) {
	hi, lo := bits.Mul64(uint64(n), uint64(rate))
	s.plus(sum{hi, lo})
}

func (s *sum) plus(t sum) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, t.lo, 0)
	s.hi, carry = bits.Add64(s.hi, t.hi, carry)
	if carry != 0 {
		s.hi, s.lo = math.MaxUint64, math.MaxUint64
	}
}

// nanos rounds half up; what no int64 holds is the largest there is.
func (s sum) nanos() llm.Nanos { return s.over(1) }

// over is nanos of a per-th of the sum.
func (s sum) over(per uint64) llm.Nanos {
	femtoPerNano := 1_000_000 * per
	t := s
	t.plus(sum{0, femtoPerNano / 2})
	if t.hi >= femtoPerNano {
		return math.MaxInt64
	}
	n, _ := bits.Div64(t.hi, t.lo, femtoPerNano)
	if n > math.MaxInt64 {
		return math.MaxInt64
	}
	return llm.Nanos(n)
}
