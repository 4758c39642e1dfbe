package api

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/openai"
	"github.com/weir-gateway/weir/internal/usage"
)

type spendCalculateIn struct {
	Model    opt[string]    `json:"model"`
	Messages jsontext.Value `json:"messages"`
	Response jsontext.Value `json:"completion_response"`
}

// spendCalculate is what a call would cost or has cost: of messages, the input alone, counted here; of an answer, what its usage says.
func (a *API) spendCalculate(ctx context.Context, c *caller, in *spendCalculateIn) (any, error) {
	name := in.Model.or("")
	var used *llm.Usage
	tier := ""
	switch {
	case present(in.Response):
		resp, err := openai.Chat.DecodeResponse(in.Response)
		if err != nil || resp.Usage == nil {
			return nil, llm.Invalid("completion_response", "completion_response must be a chat completion with its usage")
		}
		if used, tier = resp.Usage, resp.ServiceTier; name == "" {
			name = resp.Model
		}
	case present(in.Messages):
		if name == "" {
			return nil, llm.Invalid("model", "model is required with messages")
		}
		body, err := json.Marshal(map[string]any{"model": name, "messages": in.Messages})
		if err != nil {
			return nil, llm.Invalid("messages", "messages must be a list of messages")
		}
		req, err := openai.Chat.DecodeRequest(body)
		if err != nil {
			return nil, llm.AsError(err)
		}
		used = &llm.Usage{Input: usage.EstimateRequest(req)}
	default:
		return nil, llm.Invalid("completion_response", "either completion_response or model and messages are required")
	}
	if name == "" {
		return nil, llm.Invalid("model", "model is required: the answer does not name one")
	}
	price, _, err := a.priceOf(ctx, c, name)
	if err != nil {
		return nil, err
	}
	return object{"cost": money(price.Cost(used, tier))}, nil
}

func present(v jsontext.Value) bool { return len(v) > 0 && v.Kind() != 'n' }

// priceOf is what a model costs: one that is configured, by its public name, or any that the price map knows.
func (a *API) priceOf(ctx context.Context, c *caller, name string) (price *usage.Price, provider string, err error) {
	configured, err := a.deployments(ctx, c, name, "")
	if err != nil {
		return nil, "", err
	}
	for i := range configured {
		if d := &configured[i]; d.price.Priced() {
			return d.price, d.provider, nil
		}
	}
	found, ok := a.Prices.Lookup("", name)
	if !ok {
		p, m, _ := strings.Cut(name, "/")
		found, ok = a.Prices.Lookup(p, m)
	}
	if !ok || !found.Priced() {
		return nil, "", &llm.Error{Kind: llm.ErrNotFound, Type: "not_found_error", Param: "model", Message: "no price is known for the model " + name}
	}
	return found, found.Provider, nil
}

type costEstimateIn struct {
	Model      string `json:"model" need:"true"`
	Input      int64  `json:"input_tokens" need:"true" min:"0" max:"1000000000000"`
	Output     int64  `json:"output_tokens" need:"true" min:"0" max:"1000000000000"`
	CacheRead  int64  `json:"cache_read_input_tokens" min:"0" max:"1000000000000"`
	CacheWrite int64  `json:"cache_creation_input_tokens" min:"0" max:"1000000000000"`
	Reasoning  int64  `json:"reasoning_tokens" min:"0" max:"1000000000000"`
	PerDay     *int64 `json:"num_requests_per_day" min:"0" max:"1000000000"`
	PerMonth   *int64 `json:"num_requests_per_month" min:"0" max:"1000000000"`
}

// costEstimate is what calls of a size cost, each and in a day or a month.
func (a *API) costEstimate(ctx context.Context, c *caller, in *costEstimateIn) (any, error) {
	price, provider, err := a.priceOf(ctx, c, in.Model)
	if err != nil {
		return nil, err
	}
	b := price.Breakdown(&llm.Usage{Input: in.Input, Output: in.Output, CacheRead: in.CacheRead, CacheWrite: in.CacheWrite, Reasoning: in.Reasoning}, "")
	parts := map[string]llm.Nanos{"cost": b.Total, "input_cost": b.Input + b.CacheRead + b.CacheWrite + b.Request, "output_cost": b.Output + b.Tools,
		"margin_cost": 0, "cache_read_cost": b.CacheRead, "cache_creation_cost": b.CacheWrite, "reasoning_cost": b.Reasoning}
	out := object{"model": in.Model, "input_tokens": in.Input, "output_tokens": in.Output, "cache_read_input_tokens": in.CacheRead,
		"cache_creation_input_tokens": in.CacheWrite, "reasoning_tokens": in.Reasoning, "num_requests_per_day": number(in.PerDay),
		"num_requests_per_month": number(in.PerMonth), "provider": text(provider)}
	for name, n := range parts {
		out[name+"_per_request"] = money(n)
		out["daily_"+name] = times(n, in.PerDay)
		out["monthly_"+name] = times(n, in.PerMonth)
	}
	for _, name := range []string{"input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost", "cache_creation_input_token_cost",
		"output_cost_per_reasoning_token"} {
		out[name] = nil
		if usd, ok := price.USD(name); ok {
			out[name] = usd
		}
	}
	return out, nil
}

// times is an amount for many calls; null for no number of calls, and where it would be more than an amount can be.
func times(n llm.Nanos, calls *int64) any {
	if calls == nil || *calls > 0 && int64(n) > (1<<62) / *calls {
		return nil
	}
	return money(n * llm.Nanos(*calls))
}
