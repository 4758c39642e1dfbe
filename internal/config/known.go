package config

import "strings"

// laterKeys are LiteLLM's settings that are accepted but have no effect yet, by section, each with what it will do. What moves into a
// struct leaves this table.
var laterKeys = map[string]map[string]string{
	"": {
		"guardrails": "checks before, during and after the model", "mcp_servers": "MCP servers", "vector_store_registry": "vector stores",
		"search_tools": "search tools", "prompts": "managed prompts", "policies": "guardrail policies", "agents": "A2A agents",
		"files_settings": "providers of the files API", "finetune_settings": "providers of the fine-tuning API",
		"assistant_settings": "provider of the assistants API", "callback_settings": "settings of log sinks", "skills": "skills",
		"litellm_license": "Weir needs no licence",
	},
	"litellm_settings": {
		"num_retries": "further attempts after a failure", "fallbacks": "models to try when one fails",
		"context_window_fallbacks": "models to try when a prompt is too long", "content_policy_fallbacks": "models to try when one refuses content",
		"default_fallbacks": "models to try when any fails", "allowed_fails": "failures before a cooldown", "cooldown_time": "length of a cooldown",
		"cache": "response cache", "cache_params": "where and how to cache", "success_callback": "sinks of successful calls",
		"failure_callback": "sinks of failed calls", "callbacks": "sinks of all calls", "service_callback": "sinks of service events",
		"service_callbacks": "sinks of service events", "s3_callback_params": "the S3 sink", "datadog_params": "the Datadog sink",
		"gcs_bucket_params": "the GCS sink", "langfuse_default_tags": "the Langfuse sink", "callback_settings": "settings of log sinks",
		"turn_off_message_logging": "keep texts out of sinks", "redact_user_api_key_info": "keep key data out of sinks",
		"redact_messages_in_exceptions": "keep texts out of errors", "json_logs": "weir.log.format is the setting",
		"set_verbose": "weir.log.level is the setting", "debug": "weir.log.level is the setting", "detailed_debug": "weir.log.level is the setting",
		"default_team_params":   "what new teams get",
		"default_team_settings": "settings of single teams",

		"store_audit_logs": "audit log", "disable_end_user_cost_tracking": "spend of end users",
		"disable_end_user_cost_tracking_prometheus_only": "end users in metrics",
		"enable_end_user_cost_tracking_prometheus_only":  "end users in metrics",
		"prometheus_initialize_budget_metrics":           "budget metrics", "prometheus_metrics_config": "choice of metrics",
		"custom_prometheus_metadata_labels": "labels of metrics", "mcp_aliases": "names of MCP servers",
		"model_group_settings": "settings of single models", "add_user_information_to_llm_headers": "tell providers who calls",
		"include_cost_in_streaming_usage": "cost in usage chunks", "force_ipv4": "IPv4 only", "ssl_verify": "check of upstream certificates",
		"enable_json_schema_validation": "check answers against their schema", "disable_hf_tokenizer_download": "nothing is downloaded",
		"public_model_groups": "models shown to everybody", "cost_discount_config": "discounts", "cost_margin_config": "margins",
		"model_alias_map": "other names of models", "ssl_certificate": "client certificate", "token": "log service",
	},
	"general_settings": {
		"database_connection_pool_limit": "database connections", "database_connection_timeout": "wait for a database connection",
		"store_model_in_db": "models made through the API", "store_prompts_in_spend_logs": "texts in the spend log",
		"disable_spend_logs": "no spend log", "disable_spend_updates": "no spend", "disable_error_logs": "no failed calls in the spend log",
		"disable_reset_budget": "no budget periods", "disable_master_key_return": "hide the master key",
		"disable_adding_master_key_hash_to_db": "the master key is never stored", "allow_requests_on_db_unavailable": "serve without a database",
		"proxy_batch_write_at": "how often spend is written; the journal makes it needless", "proxy_budget_rescheduler_min_time": "how often budgets are reset",
		"proxy_budget_rescheduler_max_time": "how often budgets are reset", "proxy_batch_polling_interval": "how often batches are looked at",
		"use_redis_transaction_buffer": "spend through Redis", "maximum_spend_logs_retention_period": "age at which records are deleted",
		"maximum_spend_logs_retention_interval": "how often old records are deleted",
		"max_response_size_mb":                  "largest answer", "completion_model": "model of all completions",
		"embedding_model": "model of all embeddings", "image_generation_model": "model of all images", "moderation_model": "model of all moderations",
		"infer_model_from_keys": "models from the environment's keys",
		"enforced_params":       "parameters calls must have",
		"allowed_routes":        "routes that are served", "public_routes": "routes without a key", "admin_only_routes": "routes for admins",
		"allowed_ips": "addresses that may call", "use_x_forwarded_for": "believe x-forwarded-for",
		"user_header_name": "header of the end user", "user_header_mappings": "headers of users", "forward_client_headers_to_llm_api": "pass client headers on",
		"forward_openai_org_id": "pass the organization on", "forward_llm_provider_auth_headers": "pass provider keys on",
		"allow_client_side_credentials": "clients bring provider keys", "pass_through_endpoints": "routes passed on as they are",
		"use_client_credentials_pass_through_routes": "clients bring provider keys", "custom_auth": "Python code, which Weir can't run",
		"custom_key_generate": "Python code, which Weir can't run", "custom_sso": "Python code, which Weir can't run",
		"enable_oauth2_auth": "OAuth 2", "enable_oauth2_proxy_auth": "OAuth 2",
		"ui_access_mode": "who may use the UI", "background_health_checks": "probe models regularly", "health_check_interval": "how often",
		"health_check_concurrency": "how many at a time", "health_check_details": "details in /health", "alerting": "alerts",
		"alerting_threshold": "alerts", "alert_types": "alerts", "alerting_args": "alerts",
		"spend_report_frequency": "spend reports", "key_management_system": "secret manager", "key_management_settings": "secret manager",
		"user_api_key_cache_ttl":        "keys are never stale",
		"disable_responses_id_security": "responses of other keys", "service_account_settings": "service accounts", "litellm_license": "Weir needs no licence",
		"user_mcp_management_mode": "MCP servers", "mcp_internal_ip_ranges": "MCP servers", "mcp_trusted_proxy_ranges": "MCP servers",
		"mcp_required_fields": "MCP servers", "supported_db_objects": "what the database may hold",
		"enforce_rpm_tpm_on_model_add": "limits of new models",
	},
	"general_settings.litellm_jwtauth": {
		"admin_allowed_routes": "routes of administrators", "team_allowed_routes": "routes of teams", "public_allowed_routes": "routes without a token",
		"team_id_upsert": "create teams that tokens name", "org_id_upsert": "create organizations that tokens name",
		"upsert_sso_user_to_team": "put users into the teams that tokens name", "sync_user_role_and_teams": "keep a user's row as the token says",
		"object_id_jwt_field": "claim that is a user's or a team's id", "scope_mappings": "models and routes of scopes",
		"enforce_scope_based_access": "models and routes of scopes", "enforce_team_based_model_access": "models of teams only",
		"custom_validate": "Python code, which Weir can't run", "oidc_userinfo_endpoint": "claims from the issuer's userinfo",
		"oidc_userinfo_enabled": "claims from the issuer's userinfo", "oidc_userinfo_cache_ttl": "claims from the issuer's userinfo",
		"team_alias_jwt_field": "claim with the team's alias", "org_alias_jwt_field": "claim with the organization's alias",
	},
	"router_settings": {
		"routing_strategy": "how a deployment is chosen", "routing_strategy_args": "how a deployment is chosen",
		"enable_pre_call_checks": "context window and region checks", "enable_pre_call_check": "context window and region checks",
		"optional_pre_call_checks": "further checks", "deployment_affinity_ttl_seconds": "sticky deployments", "fallbacks": "models to try when one fails",
		"context_window_fallbacks": "models to try when a prompt is too long", "content_policy_fallbacks": "models to try when one refuses content",
		"default_fallbacks": "models to try when any fails", "max_fallbacks": "how many", "num_retries": "further attempts after a failure",
		"retry_after": "wait before an attempt", "retry_policy": "attempts by kind of failure", "model_group_retry_policy": "attempts by model",
		"allowed_fails": "failures before a cooldown", "allowed_fails_policy": "failures before a cooldown", "cooldown_time": "length of a cooldown",
		"disable_cooldowns": "no cooldowns", "default_max_parallel_requests": "calls at a time per deployment", "default_priority": "priority queue",
		"polling_interval": "priority queue", "default_litellm_params": "parameters of all deployments", "caching_groups": "models that share a cache",
		"client_ttl": "connections are pooled anyway", "cache_responses": "response cache", "enable_tag_filtering": "tag routing",
		"tag_filtering_match_any": "tag routing", "provider_budget_config": "budgets of providers", "search_tools": "search tools",
		"guardrail_list": "guardrails", "alerting_config": "alerts", "assistants_config": "assistants API", "set_verbose": "weir.log.level is the setting",
		"debug_level": "weir.log.level is the setting", "ignore_invalid_deployments": "always so in Weir",
	},
	"model_list": {},
	"model_list.litellm_params": {
		"cooldown_time": "length of a cooldown", "max_budget": "budget of the deployment", "budget_duration": "period of that budget",
		"tag_regex": "tag routing", "use_in_pass_through": "credentials of passed-through routes", "use_litellm_proxy": "another proxy",
		"configurable_clientside_auth_params": "clients bring provider keys", "gcs_bucket_name": "batch files", "aws_batch_role_arn": "batch files",
		"ssl_verify": "check of the upstream's certificate", "model_info": "belongs beside litellm_params",
		"allowed_openai_params": "parameters to pass on", "additional_drop_params": "parameters to drop", "default_api_key_rpm_limit": "limits per key",
		"default_api_key_tpm_limit": "limits per key", "retry_policy": "attempts by kind of failure",
	},
}

// laterParam is what a key of litellm_params will do, "" if it is none of those without effect.
func laterParam(key string) string {
	if doc := laterKeys["model_list.litellm_params"][key]; doc != "" {
		return doc
	}
	for prefix, doc := range map[string]string{"watsonx_": "watsonx", "s3_": "batch files"} {
		if strings.HasPrefix(key, prefix) {
			return doc
		}
	}
	return ""
}

// requestParams are request parameters that litellm_params may give a default for; others may stand there too, these are only known not
// to be misspelt.
var requestParams = []string{
	"temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "stop", "stream", "stream_options",
	"presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs", "seed", "response_format", "tools",
	"tool_choice", "parallel_tool_calls", "functions", "function_call", "user", "metadata", "store", "service_tier", "modalities", "audio",
	"prediction", "reasoning", "reasoning_effort", "thinking", "verbosity", "web_search_options", "extra_body", "dimensions", "encoding_format",
	"input_type", "truncate", "safety_identifier", "prompt_cache_key", "instructions", "include", "truncation", "context_management", "text",
	"safety_settings", "guardrailConfig", "performanceConfig", "cache_control", "prompt", "suffix", "echo", "best_of", "language", "voice",
	"quality", "size", "style", "typical_p", "transforms", "route", "provider", "num_ctx", "keep_alive", "format", "think", "enable_thinking",
	"chat_template_kwargs", "guided_json", "guided_regex", "guided_choice", "anthropic_beta", "betas", "output_config", "speed", "mcp_servers",
	"container", "documents", "citation_options", "preset", "hf_model_name", "safe_prompt", "random_seed", "search_parameters", "deployment_id",
}
