package api

import (
	"context"
	"slices"
)

type modelGroupIn struct {
	Group string `query:"model_group"`
}

// modelGroupInfo is what the deployments under each public name have in common: the largest limits, the highest prices, all abilities.
func (a *API) modelGroupInfo(ctx context.Context, c *caller, in *modelGroupIn) (any, error) {
	aliases := a.Config().Router.ModelGroupAlias
	name := in.Group
	if alias, ok := aliases[name]; ok {
		name = alias.Model
	}
	all, err := a.deployments(ctx, c, name, "")
	if err != nil {
		return nil, err
	}
	groups := map[string][]*listed{}
	var order []string
	for i := range all {
		d := &all[i]
		if groups[d.name] == nil {
			order = append(order, d.name)
		}
		groups[d.name] = append(groups[d.name], d)
	}
	data := []object{}
	for _, alias := range sortedKeys(aliases) {
		to := aliases[alias]
		if members := groups[to.Model]; len(members) > 0 && !to.Hidden && (in.Group == "" || in.Group == alias) {
			data = append(data, groupJSON(alias, members))
		}
	}
	for _, name := range order {
		if (in.Group == "" || in.Group == name) && len(data) < maxListed {
			data = append(data, groupJSON(name, groups[name]))
		}
	}
	return object{"data": data}, nil
}

func groupJSON(name string, members []*listed) object {
	out := object{"model_group": name, "max_input_tokens": nil, "max_output_tokens": nil, "input_cost_per_token": nil, "output_cost_per_token": nil,
		"input_cost_per_pixel": nil, "mode": nil, "tpm": nil, "rpm": nil, "itpm": nil, "otpm": nil, "supported_reasoning_efforts": nil,
		"configurable_clientside_auth_params": nil, "is_public_model_group": false, "health_status": nil, "health_response_time": nil,
		"health_checked_at": nil}
	abilities := []string{"parallel_function_calling", "vision", "web_search", "url_context", "reasoning", "function_calling", "fast_mode"}
	for _, ability := range abilities {
		out["supports_"+ability] = false
	}
	var providers []string
	largest := func(field string, v float64, known bool) {
		if have, ok := out[field].(float64); known && (!ok || v > have) {
			out[field] = v
		}
	}
	var tpm, rpm int64
	for _, d := range members {
		if d.provider != "" && !slices.Contains(providers, d.provider) {
			providers = append(providers, d.provider)
		}
		largest("max_input_tokens", float64(d.price.MaxInput), d.price.MaxInput > 0)
		largest("max_output_tokens", float64(d.price.MaxOutput), d.price.MaxOutput > 0)
		for _, field := range []string{"input_cost_per_token", "output_cost_per_token", "input_cost_per_pixel"} {
			usd, ok := d.price.USD(field)
			largest(field, usd, ok)
		}
		for _, ability := range abilities {
			if yes, _ := d.price.Supports(ability); yes {
				out["supports_"+ability] = true
			}
		}
		if d.entry != nil {
			tpm, rpm = tpm+d.entry.TPM, rpm+d.entry.RPM
			if out["mode"] == nil {
				out["mode"] = text(d.entry.Info.Mode)
			}
		}
		if out["mode"] == nil {
			out["mode"] = text(d.price.Mode)
		}
	}
	if tpm > 0 {
		out["tpm"] = tpm
	}
	if rpm > 0 {
		out["rpm"] = rpm
	}
	out["providers"] = list(providers)
	out["supported_openai_params"] = []string{}
	if mode := out["mode"]; mode == nil || mode == "chat" || mode == "responses" {
		out["supported_openai_params"] = chatParams
	}
	return out
}

// chatParams are the parameters of OpenAI's chat completions that the gateway passes on or translates for every provider.
var chatParams = []string{"frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "max_tokens", "max_completion_tokens", "modalities",
	"prediction", "n", "presence_penalty", "seed", "stop", "stream", "stream_options", "temperature", "top_p", "tools", "tool_choice",
	"function_call", "functions", "parallel_tool_calls", "audio", "web_search_options", "service_tier", "safety_identifier",
	"prompt_cache_key", "prompt_cache_retention", "store", "response_format", "reasoning_effort"}
