package usage

import (
	"math"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/llm"
	"pgregory.net/rapid"
)

func TestPrices_embedded(t *testing.T) {
	p := NewPrices()
	if err := p.Err(); err != nil || p.Date() == "" {
		t.Fatal(p.Date(), err)
	}
	n := 0
	for line := range strings.SplitSeq(strings.TrimSuffix(string(p.base().models), "\n"), "\n") {
		name, _, _ := strings.Cut(line, "\t")
		got, ok := p.Lookup("", name)
		if !ok || got.Name != name {
			t.Fatalf("Lookup(%q) = %+v, %v", name, got, ok)
		}
		n++
	}
	if n < 4000 {
		t.Errorf("%d models", n)
	}
}

func TestPrices_Lookup(t *testing.T) {
	p := NewPrices()
	f := func(provider, model, want string) {
		t.Helper()
		got, ok := p.Lookup(provider, model)
		switch {
		case !ok && want != "":
			t.Errorf("Lookup(%q, %q): nothing, want %s", provider, model, want)
		case ok && got.Name != want:
			t.Errorf("Lookup(%q, %q) = %s, want %q", provider, model, got.Name, want)
		}
	}
	f("openai", "gpt-4o-mini", "gpt-4o-mini")
	f("openai", "openai/gpt-4o-mini", "gpt-4o-mini")
	f("openai", "gpt-4o-mini-2031-01-31", "gpt-4o-mini")
	f("openai", "GPT-4o-mini", "gpt-4o-mini")
	f("openai", "ft:gpt-4o-mini-2024-07-18:org::id", "ft:gpt-4o-mini-2024-07-18")
	f("azure", "gpt-4o-mini", "azure/gpt-4o-mini")
	f("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929")
	f("anthropic", "claude-sonnet-4-5-20310101", "claude-sonnet-4-5")
	f("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0")
	f("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0")
	f("bedrock", "sa.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0")
	f("bedrock", "converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0")
	f("bedrock", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
		"us.anthropic.claude-sonnet-4-5-20250929-v1:0")
	f("bedrock", "us-gov-east-1/anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock/us-gov-east-1/anthropic.claude-sonnet-4-5-20250929-v1:0")
	f("bedrock", "eu-south-9/anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0")
	f("vertex_ai", "claude-sonnet-4-5@20310101", "vertex_ai/claude-sonnet-4-5")
	f("gemini", "gemini-2.5-flash", "gemini/gemini-2.5-flash")
	f("hosted_vllm", "gpt-4o-mini", "")
	f("openai", "unknown-model-x", "")
	f("", "", "")
	f("openai", "a\tb", "")
}

func TestPrice_facts(t *testing.T) {
	p, ok := NewPrices().Lookup("openai", "gpt-4o")
	if !ok || p.MaxInput != 128000 || p.MaxOutput != 16384 || p.Mode != "chat" || p.Provider != "openai" || !p.Priced() {
		t.Errorf("%+v", p)
	}
	if yes, known := p.Supports("vision"); !yes || !known {
		t.Error("gpt-4o does not see")
	}
	if _, known := p.Supports("flying"); known {
		t.Error("flying is known")
	}
	if usd, ok := p.USD("input_cost_per_token"); !ok || usd != 2.5e-6 {
		t.Errorf("input: %v", usd)
	}
	if usd, supports := p.All(); usd["output_cost_per_token"] != 1e-5 || !supports["supports_vision"] || usd["max_tokens"] != 0 {
		t.Errorf("%v %v", usd, supports)
	}
}

// TestCost_captures compares with what LiteLLM charged for the same calls.
func TestCost_captures(t *testing.T) {
	text, err := os.ReadFile("testdata/costs.tsv")
	if err != nil {
		t.Fatal(err)
	}
	prices := NewPrices()
	rows := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		c := strings.Split(strings.TrimSpace(line), "\t")
		num := func(s string) float64 {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		var own map[string]float64
		if c[2] != "" {
			own = map[string]float64{"input_cost_per_token": num(c[2]), "output_cost_per_token": num(c[3])}
		}
		p, ok := prices.Deployment(c[0], c[1], "", own)
		if !ok {
			t.Errorf("no price: %s", line)
			continue
		}
		u := &llm.Usage{Input: int64(num(c[4])), Output: int64(num(c[5])), CacheRead: int64(num(c[6]))}
		if got, want := p.Cost(u, ""), llm.Nanos(math.Round(num(c[7])*1e9)); got != want {
			t.Errorf("%s/%s: %d, want %d", c[0], c[1], got, want)
		}
		rows++
	}
	if rows < 9 {
		t.Errorf("%d rows", rows)
	}
}

func TestCost_kinds(t *testing.T) {
	prices, skipped, err := NewPrices().WithMap([]byte(`{
		"mine/model": {"litellm_provider": "mine", "mode": "chat", "max_input_tokens": 1000000,
			"input_cost_per_token": 1e-6, "output_cost_per_token": "2e-6", "cache_read_input_token_cost": 1e-7,
			"cache_creation_input_token_cost": 1.25e-6, "cache_creation_input_token_cost_above_1hr": 2e-6,
			"input_cost_per_audio_token": 5e-6, "output_cost_per_audio_token": 7e-6, "output_cost_per_reasoning_token": 3e-6,
			"input_cost_per_image_token": 4e-6, "output_cost_per_image_token": 9e-6, "input_cost_per_request": 0.001,
			"search_context_cost_per_query": {"search_context_size_medium": 0.01},
			"input_cost_per_token_above_200k_tokens": 2e-6, "input_cost_per_token_flex": 5e-7,
			"input_cost_per_token_above_200k_tokens_flex": 1e-6, "input_cost_per_token_batches": 6e-7},
		"mine/tiny": {"litellm_provider": "mine", "input_cost_per_token": 1e-9, "output_cost_per_token": 2.5e-10},
		"mine/tiered": {"litellm_provider": "mine", "tiered_pricing": [{"range": [0, 256000.0], "input_cost_per_token": 1e-6},
			{"range": [256000.0, 1e6], "input_cost_per_token": 2e-6}]},
		"broken": 7, "gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 1}}`))
	if err != nil || len(skipped) != 1 || skipped[0] != "broken" {
		t.Fatal(skipped, err)
	}
	f := func(model, tier string, u llm.Usage, want llm.Nanos) {
		t.Helper()
		p, ok := prices.Lookup("", model)
		if !ok {
			t.Fatalf("no %s", model)
		}
		b := p.Breakdown(&u, tier)
		if b.Total != want {
			t.Errorf("%s %s %+v: %d, want %d", model, tier, u, b.Total, want)
		}
		if parts := b.Input + b.CacheRead + b.CacheWrite + b.Output + b.Tools + b.Request; b.Total < math.MaxInt64 && (parts-b.Total > 6 || b.Total-parts > 6) {
			t.Errorf("parts make %d, the total is %d", parts, b.Total)
		}
	}
	const request = 1_000_000
	f("mine/model", "", llm.Usage{}, request)
	f("mine/model", "", llm.Usage{Input: 10}, request+10_000)
	f("mine/model", "default", llm.Usage{Input: 10, CacheRead: 4}, request+6_000+400)
	f("mine/model", "", llm.Usage{Input: 10, CacheWrite: 4, CacheWrite1h: 1}, request+6_000+3*1250+2000)
	f("mine/model", "", llm.Usage{Input: 10, InputAudio: 2, InputImage: 3}, request+5_000+10_000+12_000)
	f("mine/model", "", llm.Usage{Output: 10, Reasoning: 4, OutputAudio: 1, OutputImage: 2}, request+3*2000+4*3000+7000+2*9000)
	f("mine/model", "", llm.Usage{WebSearches: 2}, request+20_000_000)
	f("mine/model", "flex", llm.Usage{Input: 10, Output: 1}, request+5_000+2_000)
	f("mine/model", "batch", llm.Usage{Input: 10}, request+6_000)
	f("mine/model", "", llm.Usage{Input: 200_000}, request+200_000_000)
	f("mine/model", "", llm.Usage{Input: 200_001}, request+400_002_000)
	f("mine/model", "flex", llm.Usage{Input: 200_001}, request+200_001_000)
	f("mine/model", "", llm.Usage{Input: 1, CacheRead: 100}, request+100)
	f("mine/tiny", "", llm.Usage{Input: 1, Output: 1}, 1)
	f("mine/tiny", "", llm.Usage{Output: 2}, 1)
	f("mine/tiny", "", llm.Usage{Output: 1}, 0)
	f("mine/tiered", "", llm.Usage{Input: 256_000}, 256_000_000)
	f("mine/tiered", "", llm.Usage{Input: 256_001}, 512_002_000)
	f("gpt-4o", "", llm.Usage{Input: 1}, 1_000_000_000)
	f("mine/model", "", llm.Usage{Input: math.MaxInt64}, math.MaxInt64)
	if p, _ := prices.Deployment("x", "unknown", "gpt-4o-mini", nil); p == nil || p.Name != "gpt-4o-mini" {
		t.Errorf("base model: %+v", p)
	}
	var none *Price
	if none.Cost(&llm.Usage{Input: 1}, "") != 0 {
		t.Error("no price costs something")
	}
}

// TestCost_exact compares with rational arithmetic.
func TestCost_exact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, out := rapid.Int64Range(0, 1e12).Draw(t, "in"), rapid.Int64Range(0, 1e12).Draw(t, "out")
		n, m := rapid.Int64Range(0, 1e7).Draw(t, "n"), rapid.Int64Range(0, 1e7).Draw(t, "m")
		p := &Price{rates: []rate{{field: parseField("input_cost_per_token"), femto: in}, {field: parseField("output_cost_per_token"), femto: out}}}
		exact := new(big.Int).Add(new(big.Int).Mul(big.NewInt(in), big.NewInt(n)), new(big.Int).Mul(big.NewInt(out), big.NewInt(m)))
		exact.Quo(exact.Add(exact, big.NewInt(500_000)), big.NewInt(1_000_000))
		want := llm.Nanos(math.MaxInt64)
		if exact.IsInt64() {
			want = llm.Nanos(exact.Int64())
		}
		if got := p.Cost(&llm.Usage{Input: n, Output: m}, ""); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
	})
}

func FuzzCompilePrices(f *testing.F) {
	f.Add([]byte(`{"a": {"litellm_provider": "b", "input_cost_per_token": 1e-6, "tiered_pricing": [{"range": [0, 1]}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, _, err := NewPrices().WithMap(text)
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(string(p.user.models), "\n") {
			name, _, _ := strings.Cut(line, "\t")
			if price, ok := p.user.price(name); ok && price.Cost(&llm.Usage{Input: 10, Output: 10, CacheRead: 1}, "flex") < 0 {
				t.Fatalf("%q costs less than nothing", name)
			}
		}
	})
}

func BenchmarkPrices_Lookup(b *testing.B) {
	p := NewPrices()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := p.Lookup("openai", "gpt-4o-mini"); !ok {
			b.Fatal("none")
		}
	}
}

func BenchmarkPrice_Cost(b *testing.B) {
	p, _ := NewPrices().Lookup("openai", "gpt-5.4")
	if p == nil {
		p, _ = NewPrices().Lookup("openai", "gpt-4o")
	}
	u := &llm.Usage{Input: 1000, Output: 100, CacheRead: 10}
	b.ReportAllocs()
	for b.Loop() {
		_ = p.Cost(u, "")
	}
}
