package auth

import (
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// MayRoute is why the key's allowed_routes keep it from a path, of whatever kind; nil: they do not. An entry is a path, which also holds what
// is below it, a path that ends in *, or the name of a group of routes.
func (p *Principal) MayRoute(u *url.URL) *llm.Error {
	k := p.Key
	if k == nil || len(k.AllowedRoutes) == 0 {
		return nil
	}
	path := u.EscapedPath()
	for _, r := range k.AllowedRoutes {
		if allowsRoute(r, path) {
			return nil
		}
	}
	return &llm.Error{Kind: llm.ErrPermission, Type: "auth_error", Message: "Virtual key is not allowed to call this route. Only allowed to call routes: ['" +
		strings.Join(k.AllowedRoutes, "', '") + "']. Tried to call route: " + path}
}

func allowsRoute(r, path string) bool {
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	if !strings.HasPrefix(r, "/") {
		group, ok := routeGroups[r]
		return ok && group(path) || r == "*"
	}
	if head, ok := strings.CutSuffix(r, "*"); ok {
		return strings.HasPrefix(path, head)
	}
	rest, ok := strings.CutPrefix(path, r)
	return ok && (rest == "" || rest[0] == '/') || onPath(r, path)
}

// routeGroups are LiteLLM's names for groups of routes, by what Weir serves.
var routeGroups = map[string]func(path string) bool{
	"llm_api_routes":               isInference,
	"openai_routes":                isOpenAI,
	"anthropic_routes":             isAnthropic,
	"google_routes":                isGoogle,
	"mapped_pass_through_routes":   isPassThrough,
	"passthrough_routes_wildcard":  isPassThrough,
	"info_routes":                  oneOf(infoRoutes),
	"management_routes":            func(p string) bool { return isManaged(p) && !oneOf(spendRoutes)(p) },
	"key_management_routes":        func(p string) bool { return strings.HasPrefix(p, "/key/") || p == "/v2/key/info" },
	"spend_tracking_routes":        oneOf(spendRoutes),
	"global_spend_tracking_routes": oneOf([]string{"/global/spend", "/global/spend/*"}),
	"public_routes":                oneOf(publicRoutes),
}

var (
	infoRoutes = []string{
		"/key/info", "/v2/key/info", "/key/health", "/key/list", "/user/info", "/v2/user/info", "/user/filter/ui", "/team/info", "/team/list",
		"/v2/team/list", "/team/available", "/organization/list", "/model/info", "/v1/model/info", "/v2/model/info", "/model_group/info",
		"/models", "/v1/models", "/models/*", "/v1/models/*", "/health", "/health/services",
	}
	spendRoutes  = []string{"/spend/*", "/global/*", "/cost/estimate", "/provider/budgets"}
	publicRoutes = []string{"/", "/routes", "/test", "/metrics", "/health/liveliness", "/health/liveness", "/health/readiness", "/public/*"}
	// openAIRoutes are OpenAI's and those in its style, as they stand behind /v1 and the other prefixes.
	openAIRoutes = []string{
		"/chat/completions", "/completions", "/embeddings", "/responses", "/responses/*", "/moderations", "/images/*", "/audio/*", "/rerank",
		"/realtime", "/realtime/*", "/batches", "/batches/*", "/files", "/files/*", "/fine_tuning/*", "/assistants", "/assistants/*", "/threads",
		"/threads/*", "/vector_stores", "/vector_stores/*", "/videos", "/videos/*", "/containers", "/containers/*", "/ocr", "/search", "/search/*",
		"/models", "/models/{model}", "/utils/token_counter", "/utils/transform_request",
	}
	passThroughs = []string{
		"/bedrock/*", "/model/{model}/converse", "/model/{model}/converse-stream", "/model/{model}/invoke", "/model/{model}/count-tokens",
		"/model/{model}/invoke-with-response-stream", "/vertex_ai/*", "/vertex-ai/*", "/gemini/*", "/anthropic/*", "/openai/*",
		"/openai_passthrough/*", "/azure/*", "/azure_ai/*", "/cohere/*", "/mistral/*", "/vllm/*",
	}
)

func oneOf(patterns []string) func(string) bool {
	return func(path string) bool {
		for _, p := range patterns {
			if onPath(p, path) {
				return true
			}
		}
		return false
	}
}

// isOpenAI knows the prefixes under which the gateway serves OpenAI's routes.
func isOpenAI(path string) bool {
	if rest, ok := strings.CutPrefix(path, "/v2/serve"); ok {
		path = rest
	}
	path = strings.TrimPrefix(path, "/cursor")
	if path == "/v2/rerank" {
		return true
	}
	if strings.HasPrefix(path, "/openai/deployments/") || strings.HasPrefix(path, "/engines/") {
		return true
	}
	if rest, ok := strings.CutPrefix(path, "/openai"); ok && strings.HasPrefix(rest, "/v1/") {
		path = rest
	}
	return oneOf(openAIRoutes)(strings.TrimPrefix(path, "/v1"))
}

func isInference(path string) bool {
	return isOpenAI(path) || isAnthropic(path) || isGoogle(path) || isPassThrough(path)
}

func isAnthropic(path string) bool {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "/v2/serve"), "/anthropic")
	return path == "/v1/messages" || path == "/v1/messages/count_tokens" || path == "/messages" || path == "/messages/count_tokens"
}

// isGoogle knows Gemini's paths by the verb behind their last colon.
func isGoogle(path string) bool {
	i := strings.LastIndexByte(path, ':')
	if i < 0 || !strings.Contains(path[:i], "/models/") {
		return false
	}
	switch path[i+1:] {
	case "generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents":
		return true
	}
	return false
}

func isPassThrough(path string) bool { return oneOf(passThroughs)(path) }

// isManaged reports whether a path is in the table of management routes, other than those that inference clients call too.
func isManaged(path string) bool {
	for i := range management {
		if onPath(management[i].path, path) {
			return !isOpenAI(path) && !strings.HasPrefix(path, "/health") && path != "/routes"
		}
	}
	for _, p := range []string{"/credentials", "/access_group", "/config", "/customer", "/end_user", "/tag", "/budget", "/fallback", "/router"} {
		if path == p || strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return false
}
