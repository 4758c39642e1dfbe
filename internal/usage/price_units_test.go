package usage

import (
	"os"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/llm"
	"pgregory.net/rapid"
)

// TestPrices_mustHave: nothing that people are known to configure is without a price.
func TestPrices_mustHave(t *testing.T) {
	text, err := os.ReadFile("testdata/must_have.txt")
	if err != nil {
		t.Fatal(err)
	}
	prices, n := NewPrices(), 0
	for line := range strings.Lines(string(text)) {
		provider, model, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || provider == "#" {
			continue
		}
		n++
		p, found := prices.Lookup(provider, model)
		if !found || !p.Priced() {
			t.Errorf("%s/%s has no price", provider, model)
			continue
		}
		u := llm.Usage{Input: 1_000_000, Output: 1_000_000}
		units := Units{Images: 1, Width: 1024, Height: 1024, InputAudio: 60_000, Video: 1000, Characters: 1000, Queries: 1}
		_, byToken := p.CostWith(&u, Units{}, "")
		_, byUnit := p.CostWith(nil, units, "")
		if !byToken && !byUnit {
			t.Errorf("%s/%s (%s): a call of it costs nothing known", provider, model, p.Name)
		}
	}
	if n < 180 {
		t.Errorf("%d models", n)
	}
}

func TestCostWith(t *testing.T) {
	prices, skipped, err := NewPrices().WithMap([]byte(`{
		"u/draw": {"litellm_provider": "u", "mode": "image_generation", "output_cost_per_image": 0.04, "output_cost_per_image_2K": 0.12},
		"u/draw-old": {"litellm_provider": "u", "mode": "image_generation", "input_cost_per_image": 0.02},
		"u/draw-pixel": {"litellm_provider": "u", "mode": "image_generation", "input_cost_per_pixel": 4e-8, "output_cost_per_pixel": 0.0},
		"u/draw-token": {"litellm_provider": "u", "mode": "image_generation", "input_cost_per_token": 5e-6, "input_cost_per_image_token": 1e-5,
			"output_cost_per_image_token": 4e-5},
		"u/draw-both": {"litellm_provider": "u", "mode": "image_generation", "input_cost_per_token": 3e-7, "output_cost_per_image": 0.039,
			"output_cost_per_image_token": 3e-5, "output_cost_per_token": 2.5e-6},
		"u/hear": {"litellm_provider": "u", "mode": "audio_transcription", "input_cost_per_second": 0.0001, "output_cost_per_second": 0.0001},
		"u/hear-zero": {"litellm_provider": "u", "mode": "audio_transcription", "input_cost_per_second": 0.0, "output_cost_per_second": 0.0002},
		"u/hear-token": {"litellm_provider": "u", "mode": "audio_transcription", "input_cost_per_audio_token": 2.5e-6, "input_cost_per_token": 2.5e-6,
			"output_cost_per_token": 1e-5, "input_cost_per_second": 0.0001},
		"u/say": {"litellm_provider": "u", "mode": "audio_speech", "input_cost_per_character": 1.5e-5},
		"u/rank": {"litellm_provider": "u", "mode": "rerank", "input_cost_per_query": 0.002, "input_cost_per_token": 0, "output_cost_per_token": 0},
		"u/film": {"litellm_provider": "u", "mode": "video_generation", "output_cost_per_second": 0.1, "output_cost_per_second_1080p": 0.3},
		"u/read": {"litellm_provider": "u", "mode": "ocr", "ocr_cost_per_page": 0.001, "ocr_cost_per_page_batches": 0.0005, "annotation_cost_per_page": 0.003},
		"u/embed": {"litellm_provider": "u", "mode": "embedding", "input_cost_per_token": 8e-7, "input_cost_per_image": 0.0001, "input_cost_per_character": 2e-7},
		"u/machine": {"litellm_provider": "u", "mode": "chat", "input_cost_per_second": 0.0011},
		"u/chars": {"litellm_provider": "u", "mode": "chat", "input_cost_per_character": 5e-6, "output_cost_per_character": 1.5e-5},
		"u/free": {"litellm_provider": "u", "mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0}}`))
	if err != nil || len(skipped) > 0 {
		t.Fatal(err, skipped)
	}
	f := func(model, tier string, u *llm.Usage, n Units, want llm.Nanos, priced bool) {
		t.Helper()
		p, ok := prices.Lookup("u", model)
		if !ok {
			t.Fatalf("no %s", model)
		}
		if got, known := p.CostWith(u, n, tier); got != want || known != priced {
			t.Errorf("%s %+v %+v: %d %v, want %d %v", model, u, n, got, known, want, priced)
		}
	}
	tokens := func(in, out int64) *llm.Usage { return &llm.Usage{Input: in, Output: out} }
	f("draw", "", nil, Units{Images: 3}, 120_000_000, true)
	f("draw", "", nil, Units{Images: 2, Resolution: "2K"}, 240_000_000, true)
	f("draw", "", nil, Units{Images: 2, Resolution: "8K"}, 80_000_000, true)
	f("draw", "", nil, Units{}, 0, false)
	f("draw-old", "", nil, Units{Images: 3}, 60_000_000, true)
	f("draw-pixel", "", nil, Units{Images: 2, Width: 1024, Height: 1024}, 83_886_080, true)
	f("draw-pixel", "", nil, Units{Images: 2}, 0, false)
	f("draw-token", "", &llm.Usage{Input: 100, Output: 1000, OutputImage: 1000}, Units{Images: 1}, 40_500_000, true)
	f("draw-token", "", nil, Units{Images: 1}, 0, false)
	f("draw-both", "", nil, Units{Images: 2}, 78_000_000, true)
	f("draw-both", "", &llm.Usage{Input: 10, Output: 1290, OutputImage: 1290}, Units{Images: 1}, 38_703_000, true)
	f("hear", "", nil, Units{InputAudio: 90_500}, 9_050_000, true)
	f("hear-zero", "", nil, Units{InputAudio: 10_000}, 2_000_000, true)
	f("hear-token", "", nil, Units{InputAudio: 10_000}, 1_000_000, true)
	f("hear-token", "", &llm.Usage{Input: 100, InputAudio: 100, Output: 10}, Units{InputAudio: 10_000}, 350_000, true)
	f("say", "", nil, Units{Characters: 1000}, 15_000_000, true)
	f("rank", "", tokens(500, 0), Units{Queries: 2}, 4_000_000, true)
	f("film", "", nil, Units{Video: 5000}, 500_000_000, true)
	f("film", "", nil, Units{Video: 5000, Resolution: "1080p"}, 1_500_000_000, true)
	f("read", "", nil, Units{Pages: 10}, 10_000_000, true)
	f("read", "batch", nil, Units{Pages: 10}, 5_000_000, true)
	f("read", "", nil, Units{Pages: 10, Annotated: 1}, 13_000_000, true)
	f("embed", "", tokens(1000, 0), Units{InputImages: 2, Characters: 4000}, 1_000_000, true)
	f("machine", "", tokens(1000, 100), Units{Elapsed: 2000}, 2_200_000, true)
	f("chars", "", tokens(10, 10), Units{Characters: 100, OutputCharacters: 10}, 650_000, true)
	f("free", "", tokens(10, 10), Units{}, 0, true)
	f("say", "", tokens(10, 10), Units{}, 0, false)

	var none *Price
	if cost, known := none.CostWith(tokens(1, 1), Units{}, ""); cost != 0 || known {
		t.Error("no price is a price")
	}
}

// TestCostWith_tokens: a call of tokens alone costs what Cost says.
func TestCostWith_tokens(t *testing.T) {
	prices := NewPrices()
	models := prices.Models("openai")
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(models).Draw(t, "model")
		u := llm.Usage{Input: rapid.Int64Range(0, 400_000).Draw(t, "in"), Output: rapid.Int64Range(0, 10_000).Draw(t, "out")}
		tier := rapid.SampledFrom([]string{"", "flex", "priority", "batch", "default"}).Draw(t, "tier")
		cost, priced := p.CostWith(&u, Units{}, tier)
		if priced && u.Input+u.Output > 0 && cost != p.Cost(&u, tier) {
			t.Fatalf("%s: %d, Cost says %d", p.Name, cost, p.Cost(&u, tier))
		}
		if !priced && cost != 0 {
			t.Fatalf("%s: costs %d without a price", p.Name, cost)
		}
	})
}

func TestImage(t *testing.T) {
	prices := NewPrices()
	f := func(provider, model, quality, size, want string) {
		t.Helper()
		own, _ := prices.Lookup(provider, model)
		got := prices.Image(own, provider, model, quality, size)
		if got == nil || got.Name != want {
			t.Errorf("%s %s %s: %+v, want %s", model, quality, size, got, want)
		}
	}
	f("azure", "gpt-image-1", "high", "1024x1536", "azure/high/1024-x-1536/gpt-image-1")
	f("azure", "azure/gpt-image-1", "", "", "azure/medium/1024-x-1024/gpt-image-1")
	f("azure", "dall-e-3", "hd", "1792x1024", "azure/hd/1792-x-1024/dall-e-3")
	f("azure", "dall-e-3", "auto", "auto", "azure/standard/1024-x-1024/dall-e-3")
	f("bedrock", "stability.stable-diffusion-xl-v1", "", "1024x1024", "1024-x-1024/50-steps/stability.stable-diffusion-xl-v1")
	f("openai", "gpt-image-2", "odd", "7x7", "gpt-image-2")
	own := (*Price)(nil).Override(map[string]float64{"output_cost_per_image": 1})
	if prices.Image(own, "azure", "dall-e-3", "", "") != own {
		t.Error("a deployment's own price gives way")
	}
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"1024x1024", "auto", "", "x", "-1x5", "99999999999999999999x1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if w, h := Size(s); w < 0 || h < 0 || w == 0 != (h == 0) {
			t.Errorf("%q: %d %d", s, w, h)
		}
	})
}
