package usage

import (
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// Units is what of a call providers bill otherwise than by the token. The zero value is none.
type Units struct {
	Images      int64  // pictures drawn
	Width       int64  // of each, in pixels; 0: not said
	Height      int64  //
	Resolution  string // of video or pictures where that is priced by class: 480p, 720p, 1080p, 1K, 2K, 4K
	InputImages int64  // pictures given, for models that bill each (multimodal embeddings, edits)

	InputAudio  int64 // milliseconds heard
	OutputAudio int64 // milliseconds spoken
	InputVideo  int64 // milliseconds seen
	Video       int64 // milliseconds of video made

	Characters       int64 // of the text given (speech)
	OutputCharacters int64 // of the text that came back, for models billed by them
	Queries          int64 // searches to rerank or to search
	Pages            int64 // read by OCR
	Annotated        int64 // of those, pages with annotations
	Elapsed          int64 // milliseconds the upstream took, for machines billed by time
}

// CostWith is what a call costs by tokens and by everything else; priced is false where the entry has no price for what was used, so that
// nothing becomes free by accident. Where a model has both a price per token and one per unit for the same thing, tokens count if the
// upstream reported them and units if not: no call is charged twice.
func (p *Price) CostWith(u *llm.Usage, n Units, tier string) (cost llm.Nanos, priced bool) {
	if p == nil {
		return 0, false
	}
	tier = standardTier(tier)
	if u == nil {
		u = &llm.Usage{}
	}
	tokens := u.Input > 0 || u.Output > 0 || u.WebSearches > 0
	q := query{price: p, tier: tier, above: p.threshold(u.Input)}
	byToken := tokens && p.byToken(&q)
	b := p.Breakdown(u, tier)
	total, priced := b.Total, byToken
	if !byToken {
		total = b.Request + b.Tools
		priced = b.Request > 0
	}
	add := func(count int64, per llm.Nanos, ok bool) {
		if ok && count > 0 {
			total += per
			priced = true
		}
	}
	c := counter{p, tier}
	if !tokens || !q.positive(unitOutputImage) && !q.positive(unitOutput) {
		per, ok := c.images(n)
		add(n.Images, per, ok)
	}
	if !byToken || p.Mode == "embedding" {
		c.sum(add, n.InputImages, 1, "input_cost_per_image")
	}
	if !byToken {
		c.sum(add, n.InputAudio, 1000, "input_cost_per_audio_per_second", "input_cost_per_second", "output_cost_per_second")
		c.sum(add, n.OutputAudio, 1000, "output_cost_per_second")
		c.sum(add, n.Video, 1000, "output_cost_per_second_"+n.Resolution, "output_cost_per_video_per_second", "output_cost_per_second")
		c.sum(add, n.Characters, 1, "input_cost_per_character")
		c.sum(add, n.OutputCharacters, 1, "output_cost_per_character")
		c.sum(add, n.Elapsed, 1000, "cost_per_second", timeOfMachine(p))
	}
	c.sum(add, n.InputVideo, 1000, "input_cost_per_video_per_second")
	c.sum(add, n.Queries, 1, "input_cost_per_query")
	c.sum(add, n.Pages, 1, "ocr_cost_per_page")
	c.sum(add, n.Annotated, 1, "annotation_cost_per_page")
	return total, priced
}

// byToken says that the entry has a price, zero included, for the tokens of text, sound or pictures.
func (p *Price) byToken(q *query) bool {
	for _, u := range [...]unit{unitInput, unitOutput, unitInputAudio, unitOutputAudio, unitInputImage, unitOutputImage} {
		if q.positive(u) {
			return true
		}
	}
	// A price of zero per token beside a price per unit says that the unit is what costs.
	for _, name := range [...]string{"input_cost_per_query", "input_cost_per_second", "output_cost_per_second", "input_cost_per_character",
		"output_cost_per_image", "input_cost_per_image", "input_cost_per_pixel", "cost_per_second", "ocr_cost_per_page"} {
		if usd, ok := p.femto(name); ok && usd > 0 {
			return false
		}
	}
	return q.has(unitInput) || q.has(unitOutput)
}

// timeOfMachine is the name of a price per second of the upstream's time: for a model of text, whose input has no length in seconds.
func timeOfMachine(p *Price) string {
	switch p.Mode {
	case "chat", "completion", "embedding", "":
		return "input_cost_per_second"
	}
	return ""
}

// femto is a rate by its full name, in 1e-15 USD.
func (p *Price) femto(name string) (int64, bool) {
	for i := range p.rates {
		if p.rates[i].field.name == name {
			return p.rates[i].femto, true
		}
	}
	return 0, false
}

// counter multiplies counts with rates that have no place in a token's.
type counter struct {
	price *Price
	tier  string
}

// rate is the first of the names that the entry has a price above zero for, the service tier's own before the standard one.
func (c counter) rate(names ...string) (int64, bool) {
	known := false
	for _, name := range names {
		for _, full := range [...]string{name + "_" + c.tier, name} {
			if n, ok := c.price.femto(full); ok && name != "" {
				known = true
				if n > 0 {
					return n, true
				}
			}
		}
	}
	return 0, known
}

// sum adds count at the rate of the first name that has one; per is how many of count the rate is for.
func (c counter) sum(add func(int64, llm.Nanos, bool), count, per int64, names ...string) {
	if count <= 0 {
		return
	}
	rate, ok := c.rate(names...)
	add(count, product(count, rate, per), ok)
}

// images is what the drawn pictures cost: by their class, each, or by the pixel.
func (c counter) images(n Units) (llm.Nanos, bool) {
	if n.Images <= 0 {
		return 0, false
	}
	if n.Resolution != "" {
		if rate, ok := c.rate("output_cost_per_image_" + n.Resolution); ok {
			return product(n.Images, rate, 1), true
		}
	}
	// Older entries of pure drawing models call the price of a drawn picture input_cost_per_image.
	if rate, ok := c.rate("output_cost_per_image", "input_cost_per_image"); ok {
		return product(n.Images, rate, 1), true
	}
	if rate, ok := c.rate("output_cost_per_pixel", "input_cost_per_pixel"); ok && n.Width > 0 && n.Height > 0 {
		return product(n.Images*n.Width*n.Height, rate, 1), true
	}
	return 0, false
}

// product is count*rate/per, rounded half up.
func product(count, rate, per int64) llm.Nanos {
	var s sum
	s.add(count, rate)
	return s.over(uint64(per))
}

// Size reads a picture's size as clients write it: 1024x1024. Nothing readable is 0, 0.
func Size(s string) (width, height int64) {
	w, h, ok := strings.Cut(strings.ToLower(s), "x")
	if !ok {
		return 0, 0
	}
	width, err := strconv.ParseInt(w, 10, 32)
	if err != nil || width <= 0 {
		return 0, 0
	}
	height, err = strconv.ParseInt(h, 10, 32)
	if err != nil || height <= 0 {
		return 0, 0
	}
	return width, height
}

// Image is the price of a model's pictures of one quality and size, where the map lists those apart (high/1024-x-1536/gpt-image-1); the
// deployment's own price otherwise. Empty quality and size mean the provider's defaults. It looks names up: some microseconds.
func (p *Prices) Image(own *Price, provider, model, quality, size string) *Price {
	if own != nil && own.own {
		return own
	}
	width, height := Size(size)
	if width == 0 {
		width, height = 1024, 1024
	}
	dims := strconv.FormatInt(width, 10) + "-x-" + strconv.FormatInt(height, 10)
	model = strings.TrimPrefix(model, provider+"/")
	names := []string{quality + "/" + dims + "/" + model, dims + "/" + model, dims + "/50-steps/" + model, "standard/" + dims + "/" + model,
		"medium/" + dims + "/" + model}
	if quality == "" || quality == "auto" {
		names = names[1:]
	}
	for _, name := range names {
		if found, ok := p.exact(provider, name); ok {
			return found
		}
	}
	return own
}

func (p *Prices) exact(provider, name string) (*Price, bool) {
	for _, t := range []*table{p.user, p.base()} {
		if t == nil {
			continue
		}
		if found, ok := t.spelled(provider, name); ok {
			return found, true
		}
	}
	return nil, false
}
