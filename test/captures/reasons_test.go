package captures

import (
	"strings"
	"sync/atomic"
)

// Classes of differences that are meant.
const (
	better = "better on purpose"
	later  = "later"
)

// reason explains differences: of the records of a file whose names fit, in the fields that fit. * stands for any text, | for or. A field
// with a colon is held against the whole difference, both values.
type reason struct {
	file, record, field string
	class, why          string
	// values explains other values only: that a field is missing, or the status another, it does not.
	values bool
	// soon allows the reason to go unused: what it waits for may come any day.
	soon bool

	used atomic.Bool
}

// anything is every field: the record as a whole differs.
const anything = "*"

// reasons is what differs on purpose or is still to come.
var reasons = append(databaseReasons, []*reason{
	{file: "*", record: "*", field: "header llm_provider-x-ratelimit-*", class: better, why: "The upstream never sent these: Anthropic's own limits are passed on under its names, and as x-ratelimit-*."},
	{file: "*", record: "*", field: "body.usage.completion_tokens_details*|body.usage.*details.text_tokens|body.usage.*details.cache_creation_tokens|body.usage.*details.cache_write_tokens|body.usage.cache_creation_input_tokens", class: better, why: "Zeros that the upstream did not report, and text tokens worked out from the rest."},
	{file: "*", record: "*", field: "body.choices*.message.tool_calls*.index", class: better, why: "OpenAI's whole answers number no tool calls; only its streams do."},
	{file: "*", record: "*", field: "upstream body.tools*.type|upstream body.tools*.description", class: better, why: "Anthropic's default type is not spelt out, an empty description not sent."},
	{file: "embeddings|routes_chat_alias", record: "*", field: "body.usage.completion_tokens", class: better, why: "OpenAI's embeddings have no output to count."},
	{file: "*", record: "*fallback*|mock_testing_context_fallbacks|mock_testing_content_policy_fallbacks|mock_timeout", field: anything, class: later, why: "Fallbacks belong to the router."},
	{file: "auth|models", record: "wrong-key*|via-*-bearer|models-wrong-key|basic-auth", field: "status|body.error.code|body.error.type", class: better, why: "Weir always has a database, so a wrong key is unknown (401), not unknowable (400)."},
	{file: "auth", record: "no-auth-malformed-json", field: "status|body.error.*", class: better, why: "Who calls is checked before the body is read."},
	{file: "auth", record: "no-auth-messages|wrong-key-messages", field: "body.error.code|body.error.type", class: better, why: "An error is written in the dialect of the route: Anthropic's here."},
	{file: "chat", record: "pair-group-weighted", field: "header *|upstream body.model", class: better, why: "A weighted draw: either deployment may answer.", soon: true},
	{file: "chat", record: "all-openai-params|no-drop-params-unsupported-openai-param|reasoning_effort-on-non-reasoning|drop_params-model", field: anything, class: better, why: "An upstream of the client's own dialect judges its parameters itself: the body passes as it is."},
	{file: "drop_params_global", record: "unsupported-dropped", field: "upstream body.thinking", class: better, why: "An upstream of the client's own dialect judges its parameters itself: the body passes as it is."},
	{file: "chat", record: "metadata-dict", field: "upstream body.metadata", class: better, why: "Metadata of texts is OpenAI's own, and reaches it."},
	{file: "chat", record: "system-developer-and-parts", field: "upstream body.messages*.role", class: better, why: "Roles pass as they are."},
	{file: "chat", record: "upstream-no-usage", field: "body.usage", class: better, why: "What an upstream did not count is not reported as zero."},
	{file: "chat_errors", record: "upstream-again-err-401", field: anything, class: better, why: "One 401 does not cool down a group's only deployment."},
	{file: "chat_errors|anthropic_messages", record: "anthropic-upstream-err-529", field: "status|body.error.*", class: better, why: "An upstream's status is kept."},
	{file: "chat_stream", record: "stream-slow-chunks-stream_timeout-1s", field: "stream error", class: better, why: "A timeout in mid-stream is called one."},
	{file: "chat_stream", record: "stream-connection-cut-mid-stream", field: anything, class: better, why: "What came before the cut has reached the client; the stream ends with an error."},
	{file: "chat_stream", record: "stream-ok-badjson|stream-upstream-ignores-stream-flag-html", field: anything, class: better, why: "An unreadable answer is an error, not an empty success."},
	{file: "chat_stream", record: "stream-string-true", field: anything, class: better, why: "A stream that is asked for with a text is refused by name, not quietly left out."},
	{file: "text_completions", record: "*-stream", field: "stream usage", class: better, why: "Chunks carry no usage that nobody asked for, least of all zeros."},
	{file: "text_completions", record: "upstream-err-*", field: "upstream path", class: better, why: "A chat deployment is asked for a chat."},
	{file: "routes_chat_alias|text_completions", record: "openai-deployments*|engines*|query-model|deployments-embeddings|route-engines|route-deployments", field: "body.model", class: better, why: "The answer names the model the client asked for, also where it stood in the path."},
	{file: "routes_chat_alias", record: "openai-v1-chat-completions-passthrough", field: anything, class: better, why: "Azure's newer addresses work."},
	{file: "routes_chat_alias", record: "trailing-slash", field: anything, class: better, why: "A slash at the end needs no second request."},
	{file: "embeddings|other_llm", record: "upstream-err-429|moderations-err", field: "upstream count|body.error.type", class: better, why: "One call upstream for one call, and the same word for the error everywhere."},
	{file: "other_llm", record: "moderations-no-model", field: "status|body.error.code", class: better, why: "What is missing is the client's mistake, and named."},
	{file: "other_llm", record: "rerank-v2-return_documents", field: "body.results*|upstream body.return_documents", class: better, why: "Cohere's second version has no return_documents; its answers point into the list the client has."},
	{file: "other_llm", record: "rerank-on-openai-model", field: anything, class: better, why: "Compatible servers do rerank (vLLM): the upstream is asked."},
	{file: "other_llm", record: "transcriptions-no-file", field: "status|body.detail", class: better, why: "What is missing is named, in the dialect's own form."},
	{file: "other_llm", record: "batches-list|files-list|fine_tuning-list|assistants-list", field: anything, class: later, why: "Files, batches, fine-tuning and assistants."},
	{file: "other_llm", record: "gemini-generateContent", field: "header x-litellm-key-spend", class: better, why: "The call's cost counts in every dialect."},
	{file: "other_llm|anthropic_messages", record: "*count*okens*", field: "body.totalTokens|body.input_tokens|upstream count|upstream header anthropic-beta|upstream body.messages*|upstream body.system", class: better, why: "Another tokenizer's estimate; no upstream is asked that has no such endpoint; count_tokens left beta."},
	{file: "anthropic_messages", record: "count_tokens-wrong-model", field: anything, class: better, why: "An unknown model has no tokens."},
	{file: "anthropic_messages", record: "*stream*", field: "stream order", class: better, why: "Anthropic's own streams have a ping after the start."},
	{file: "anthropic_messages", record: "*", field: "upstream body.include|upstream body.store", class: better, why: "A dialect that stores nothing asks OpenAI not to."},
	{file: "anthropic_messages", record: "*", field: "upstream body.input*|upstream body.instructions", class: better, why: "The same items in their short form: a text instead of a list of one."},
	{file: "anthropic_messages", record: "openai-deployment-system-metadata-stop", field: anything, class: better, why: "Responses have no stop sequences: refused by name where drop_params is false, never lost in silence."},
	{file: "anthropic_messages", record: "openai-deployment-thinking", field: anything, class: better, why: "Whether a model reasons is for the upstream to say."},
	{file: "anthropic_messages", record: "hosted-vllm-deployment-chat-bridge-system-metadata-stop", field: "upstream body.user", class: better, why: "metadata.user_id is OpenAI's user."},
	{file: "anthropic_messages", record: "malformed-json", field: "body.error.code|body.error.param", class: better, why: "An error is written in the dialect of the route: Anthropic's here."},
	{file: "anthropic_messages", record: "anthropic-passthrough", field: anything, class: better, why: "Under /anthropic stands the same Messages API, with the same keys."},
	{file: "responses", record: "*stream*", field: "stream done", class: better, why: "OpenAI's Responses streams do not end with [DONE]."},
	{file: "responses", record: "*stream*", field: "stream model", class: better, why: "The answer names the model the client asked for, streamed too."},
	{file: "responses", record: "chat-bridge-stream-err-mid|chat-bridge-reasoning-stream", field: "upstream body.stream", class: better, why: "A stream is asked for as a stream, not made up afterwards."},
	{file: "responses", record: "anthropic-deployment-chat-bridge*", field: "body.parallel_tool_calls|body.output*.id", class: better, why: "Anthropic calls in parallel unless told not to; an id that the client sends back tells the upstream's."},
	{file: "responses", record: "anthropic-deployment-chat-bridge-instructions-params", field: anything, class: better, why: "What Anthropic can't take is refused by name where drop_params is false."},
	{file: "responses", record: "get-unknown|delete-unknown|input_items-unknown|cancel-unknown", field: anything, class: later, why: "Stored responses."},
	{file: "*", record: "*", field: "body.data[openai/gpt-4o].max_*", class: better, why: "One deployment's limits do not change another's."},
	{file: "models", record: "*", field: "body.data[claude-err-*|body.data[mod].max_output_tokens", class: better, why: "Limits that nobody knows are not made up."},
	{file: "models", record: "models-only_model_access_groups", field: anything, class: later, why: "Access groups."},
	{file: "models", record: "models-include_metadata|models-fallback_type-bad", field: anything, class: later, why: "Fallbacks belong to the router."},
	{file: "models", record: "models-by-id-alias|models-by-id-wildcard*", field: anything, class: better, why: "What is listed can be asked for by name."},
	{file: "models|misc|health", record: "head-models|liveliness-head", field: "status|header allow", class: better, why: "HEAD is GET without the body."},
	{file: "health", record: "readiness*", field: "body.db", class: better, why: "Weir always has a database."},
	{file: "health|small_config_listing", record: "readiness-details|*readiness/details", field: anything, class: later, why: "Details of readiness."},
	{file: "health", record: "health-services*|health-history|health-latest|health-shared-status|health-license|health-backlog|health-test_connection*|active-callbacks|test", field: anything, class: later, why: "The management API."},
	{file: "health|small_config_listing", record: "health-model*|GET /health", field: "body.healthy_endpoints*|upstream body.*", class: better, why: "A probe says whether it worked, and asks for as little as it can."},
	{file: "health|small_config_listing", record: "health-model-err|GET /health", field: "body.unhealthy_endpoints*.raw_request_typed_dict", class: better, why: "Errors do not print the request that was made."},
	{file: "small_config_listing", record: "GET /health", field: "upstream count", class: better, why: "One probe for one deployment."},
	{file: "small_config_listing", record: "GET /model/info|GET /v1/model/info|GET /model_group/info*|GET /router/settings", field: anything, class: later, why: "The management API."},
	{file: "misc", record: "root|redoc|get-favicon|robots|ui|ui-slash|ui-login|login-post|v2-login|well-known-ui-config", field: anything, class: later, why: "The UI and its API pages."},
	{file: "misc", record: "metrics|metrics-no-auth", field: anything, class: better, why: "Metrics need no callback to be set up, and a scraper no key."},
	{file: "misc", record: "405-get-key-generate|routes|get-config-yaml|get-config-callbacks|config-list|config-field-info|cache-ping|callbacks-list|public-*|spend-calculate*|cost-estimate|provider-budgets|in_flight_requests|guardrails-list|credentials", field: anything, class: later, why: "The management API."},
	{file: "misc", record: "mcp-list", field: anything, class: later, why: "MCP."},
	{file: "misc", record: "queue", field: anything, class: later, why: "The priority queue."},
	{file: "settings_variants", record: "enforce_user_param-missing", field: anything, class: later, why: "enforce_user_param comes with budgets of end users."},
	{file: "settings_variants", record: "forward_client_headers", field: "upstream header *", class: later, why: "forward_client_headers_to_llm_api."},
	{file: "settings_variants", record: "client-side-credentials|user_config-style-api_key-only", field: anything, class: later, why: "allow_client_side_credentials."},
	{file: "settings_variants", record: "mock_testing_rate_limit_error", field: anything, class: later, why: "Simulated failures are for fallbacks, which belong to the router."},
	{file: "settings_variants", record: "pre_call_checks-context-window-exceeded|request-too-large", field: anything, class: better, why: "max_request_size_mb works without a licence."},
	{file: "settings_variants", record: "pass-through-*", field: anything, class: later, why: "Routes passed on as they are."},
}...)

// explain sorts a record's differences: open is what no reason covers, class the weightiest of the reasons that were used.
func explain(file, record string, diffs []string) (class string, open []string) {
	for _, d := range diffs {
		field, _, _ := strings.Cut(d, ": ")
		known := false
		for _, r := range reasons {
			if fits(r.file, file) && fits(r.record, record) && (fits(r.field, field) || strings.Contains(r.field, ": ") && fits(r.field, d)) &&
				!(r.values && (field == "status" || strings.HasSuffix(d, ", not nothing"))) {
				r.used.Store(true)
				known = true
				if class != later {
					class = r.class
				}
				break
			}
		}
		if !known {
			open = append(open, d)
		}
	}
	return class, open
}

// fits matches a pattern of alternatives.
func fits(pattern, s string) bool {
	for _, p := range strings.Split(pattern, "|") {
		if glob(p, s) {
			return true
		}
	}
	return false
}

func glob(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	for i := 0; i <= len(s); i++ {
		if glob(rest, s[i:]) {
			return true
		}
	}
	return false
}
