package api

import (
	"cmp"
	"context"
	"maps"
	"strconv"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
)

// callTypes are LiteLLM's words for what a call did.
var callTypes = map[llm.Op]string{
	llm.OpChat: "acompletion", llm.OpCompletion: "atext_completion", llm.OpEmbed: "aembedding", llm.OpCount: "acount_tokens", llm.OpRerank: "arerank",
	llm.OpModerate: "amoderation", llm.OpImage: "aimage_generation", llm.OpSpeech: "aspeech", llm.OpTranscribe: "atranscription",
	llm.OpImageEdit: "aimage_edit", llm.OpTranslation: "atranslation",
}

func callType(op llm.Op, in llm.Dialect) string {
	if op == llm.OpChat {
		switch in {
		case llm.Anthropic:
			return "anthropic_messages"
		case llm.Responses:
			return "aresponses"
		case llm.Gemini:
			return "agenerate_content"
		}
	}
	if word, ok := callTypes[op]; ok {
		return word
	}
	return "pass_through_endpoint"
}

// endpoints are where the operations of OpenAI's dialect are called.
var endpoints = map[llm.Op]string{
	llm.OpChat: "/chat/completions", llm.OpCompletion: "/completions", llm.OpEmbed: "/embeddings", llm.OpRerank: "/rerank",
	llm.OpModerate: "/moderations", llm.OpImage: "/images/generations", llm.OpSpeech: "/audio/speech", llm.OpTranscribe: "/audio/transcriptions",
	llm.OpImageEdit: "/images/edits", llm.OpTranslation: "/audio/translations", llm.OpCount: "/v1/messages/count_tokens",
}

func endpoint(op llm.Op, in llm.Dialect) string {
	if op == llm.OpChat {
		switch in {
		case llm.Anthropic:
			return "/v1/messages"
		case llm.Responses:
			return "/responses"
		case llm.Converse:
			return "/bedrock"
		case llm.Gemini:
			return "/v1beta/models"
		}
	}
	if path, ok := endpoints[op]; ok {
		return path
	}
	return "pass-through"
}

// modelPath is a model as LiteLLM's rows name it: provider/model; for a call that reached none, the name that was asked for.
func modelPath(provider, upstream, model string) string {
	switch {
	case upstream == "":
		return model
	case provider == "":
		return upstream
	}
	return provider + "/" + upstream
}

// errorClasses are the words that LiteLLM's rows have for kinds of errors.
var errorClasses = map[llm.ErrorKind]string{
	llm.ErrInvalid: "BadRequestError", llm.ErrContextWindow: "ContextWindowExceededError", llm.ErrPolicy: "ContentPolicyViolationError",
	llm.ErrAuth: "AuthenticationError", llm.ErrPermission: "PermissionDeniedError", llm.ErrNotFound: "NotFoundError", llm.ErrTimeout: "Timeout",
	llm.ErrUnprocessable: "UnprocessableEntityError", llm.ErrBudget: "BudgetExceededError", llm.ErrRateLimit: "RateLimitError",
	llm.ErrInternal: "InternalServerError", llm.ErrConnection: "APIConnectionError", llm.ErrUpstream: "APIError",
	llm.ErrUnavailable: "ServiceUnavailableError", llm.ErrOverloaded: "InternalServerError", llm.ErrClientGone: "ClientDisconnectedError",
}

func errorClass(kind llm.ErrorKind) string {
	if word, ok := errorClasses[kind]; ok {
		return word
	}
	return "APIError"
}

// logRows renders records with the names that belong to them.
func (a *API) logRows(ctx context.Context, records []usage.Record) ([]object, error) {
	var teams []string
	for i := range records {
		teams = append(teams, records[i].Team)
	}
	aliases, err := a.teamAliases(ctx, unique(teams))
	if err != nil {
		return nil, err
	}
	out := make([]object, len(records))
	for i := range records {
		out[i] = logRow(&records[i], aliases)
	}
	return out, nil
}

// callID is the id of a call that its client knows.
func callID(r *usage.Record) string {
	if r.RequestID != "" {
		return r.RequestID
	}
	return r.ID
}

// keyOf is the key a call was made with: a hash, the master key's name, or nothing where no credential was accepted.
func keyOf(r *usage.Record) string {
	if r.Key == "" && r.User == "" {
		return ""
	}
	return keyName(r.Key)
}

// logRow is a call as LiteLLM's spend logs show one. Texts of prompts and answers are not kept.
func logRow(r *usage.Record, teams map[string]string) object {
	u := &r.Usage
	status := "success"
	if r.ErrorKind != "" {
		status = "failure"
	}
	o := object{
		"request_id": callID(r), "litellm_call_id": callID(r), "call_type": callType(r.Op, r.In), "api_key": keyOf(r), "spend": money(r.Cost),
		"total_tokens": u.Sum(), "prompt_tokens": u.Input, "completion_tokens": u.Output, "startTime": moment(r.Start), "endTime": moment(r.End),
		"request_duration_ms": max(r.End-r.Start, 0), "completionStartTime": moment(r.FirstByte), "model": modelPath(r.Provider, r.Upstream, r.Model),
		"model_id": r.Deployment, "model_group": r.Model, "custom_llm_provider": r.Provider, "api_base": r.APIBase, "user": r.User,
		"cache_hit": "False", "cache_key": "Cache OFF", "request_tags": list(r.Tags), "team_id": r.Team, "organization_id": r.Org,
		"end_user": r.EndUser, "requester_ip_address": nil, "messages": object{}, "response": object{}, "session_id": cmp.Or(r.Session, callID(r)),
		"status": status, "mcp_namespaced_tool_name": nil, "agent_id": nil, "billing_agent_id": nil, "proxy_server_request": object{},
		"created_at": moment(r.End), "updated_at": moment(r.End), "metadata": logMetadata(r, teams),
	}
	if r.FirstByte == 0 {
		o["completionStartTime"] = moment(r.End)
	}
	return o
}

// absentMetadata are fields of a row's metadata that Weir has nothing to say about and that clients look for.
var absentMetadata = []string{"batch_models", "spend_logs_metadata", "proxy_server_request", "guardrail_information", "model_map_information",
	"mcp_tool_call_metadata", "vector_store_request_metadata", "cold_storage_object_key", "requester_ip_address", "user_api_key_project_id",
	"user_api_key_project_alias", "litellm_overhead_time_ms", "status", "error_information", "cost_breakdown"}

func logMetadata(r *usage.Record, teams map[string]string) object {
	usageObject := usageOf(&r.Usage)
	m := object{}
	for _, name := range absentMetadata {
		m[name] = nil
	}
	maps.Copy(m, object{
		"user_api_key": keyOf(r), "user_api_key_alias": text(r.KeyAlias), "user_api_key_team_id": text(r.Team),
		"user_api_key_team_alias": text(teams[r.Team]), "user_api_key_org_id": text(r.Org), "user_api_key_user_id": text(r.User),
		"usage_object": usageObject, "litellm_call_id": callID(r), "original_model_group": text(r.Model), "attempted_retries": max(r.Attempts-1, 0),
		"max_retries": 0, "attempted_fallbacks": 0, "applied_guardrails": []string{}, "user_agent": "",
		"additional_usage_values": object{"prompt_tokens_details": usageObject["prompt_tokens_details"],
			"completion_tokens_details": usageObject["completion_tokens_details"], "cache_read_input_tokens": r.Usage.CacheRead,
			"cache_creation_input_tokens": r.Usage.CacheWrite},
		"cost_breakdown": object{"total_cost": money(r.Cost), "original_cost": money(r.Cost)},
		"weir": object{"id": r.ID, "stream": r.Stream, "priced": r.Priced, "usage_estimated": r.Usage.Estimated, "incomplete": r.Incomplete,
			"client_gone": r.ClientGone, "lost": r.Lost, "attempts": r.Attempts, "dialect": string(r.In), "upstream_dialect": string(r.Out),
			"dropped_params": list(r.Dropped)},
	})
	if r.ErrorKind != "" {
		m["status"] = "failure"
		m["error_information"] = object{"error_code": strconv.Itoa(r.Status), "error_class": errorClass(r.ErrorKind), "llm_provider": r.Provider,
			"error_message": string(r.ErrorKind), "traceback": ""}
	}
	return m
}

func usageOf(u *llm.Usage) object {
	return object{"prompt_tokens": u.Input, "completion_tokens": u.Output, "total_tokens": u.Sum(),
		"prompt_tokens_details":     object{"cached_tokens": u.CacheRead, "audio_tokens": u.InputAudio},
		"completion_tokens_details": object{"reasoning_tokens": u.Reasoning, "audio_tokens": u.OutputAudio, "accepted_prediction_tokens": u.Accepted, "rejected_prediction_tokens": u.Rejected}}
}
