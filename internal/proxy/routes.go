package proxy

import (
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/anthropic"
	"github.com/weir-gateway/weir/internal/converse"
	"github.com/weir-gateway/weir/internal/gemini"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/openai"
)

// codec is both halves of a dialect.
type codec interface {
	llm.Spoken
	llm.Served
}

// codecs is where a dialect is registered.
var codecs = map[llm.Dialect]codec{
	llm.OpenAI:    openai.Chat,
	llm.Responses: openai.Responses,
	llm.Anthropic: anthropic.Messages,
	llm.Converse:  converse.Converse,
	llm.Gemini:    gemini.Generate,
}

// endpoint is what a path asks for.
type endpoint struct {
	op      llm.Op
	dialect llm.Dialect
	// model and stream come from the path where the dialect has them there.
	model     string
	pathModel bool
	stream    bool
	// array: Gemini's stream without alt=sse, one JSON array.
	array bool
	// batch: Gemini's batchEmbedContents.
	batch bool
	// queryKey: the credential may stand in ?key= (Gemini).
	queryKey bool
}

// fixed maps the paths that name no model. Each also stands under /v1 and under LISA's /v2/serve, with and without v1.
var fixed = map[string]endpoint{
	"/chat/completions":      {op: llm.OpChat, dialect: llm.OpenAI},
	"/completions":           {op: llm.OpCompletion, dialect: llm.OpenAI},
	"/embeddings":            {op: llm.OpEmbed, dialect: llm.OpenAI},
	"/responses":             {op: llm.OpChat, dialect: llm.Responses},
	"/moderations":           {op: llm.OpModerate, dialect: llm.OpenAI},
	"/images/generations":    {op: llm.OpImage, dialect: llm.OpenAI},
	"/audio/speech":          {op: llm.OpSpeech, dialect: llm.OpenAI},
	"/audio/transcriptions":  {op: llm.OpTranscribe, dialect: llm.OpenAI},
	"/audio/translations":    {op: llm.OpTranslation, dialect: llm.OpenAI},
	"/images/edits":          {op: llm.OpImageEdit, dialect: llm.OpenAI},
	"/rerank":                {op: llm.OpRerank, dialect: llm.OpenAI},
	"/messages":              {op: llm.OpChat, dialect: llm.Anthropic},
	"/messages/count_tokens": {op: llm.OpCount, dialect: llm.Anthropic},
}

// match finds the endpoint of a path, which must be as it stood in the request line (escaped): Bedrock's model ids hold slashes.
func match(u *url.URL) (endpoint, bool) {
	path := u.EscapedPath()
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	if e, ok := matchFixed(path); ok {
		return e, true
	}
	if e, ok := matchBedrock(path); ok {
		return e, true
	}
	if e, ok := matchAzure(path); ok {
		return e, true
	}
	return matchGemini(path, u.RawQuery)
}

func matchFixed(path string) (endpoint, bool) {
	path = strings.TrimPrefix(path, "/v2/serve")
	path = strings.TrimPrefix(path, "/cursor")
	if rest, ok := strings.CutPrefix(path, "/anthropic"); ok && strings.HasPrefix(rest, "/v1/messages") {
		path = rest
	}
	if rest, ok := strings.CutPrefix(path, "/openai"); ok && strings.HasPrefix(rest, "/v1/") {
		path = rest // Azure's newer form of address
	}
	if path == "/v2/rerank" {
		path = "/rerank"
	}
	path = strings.TrimPrefix(path, "/v1")
	e, ok := fixed[path]
	return e, ok
}

// matchBedrock knows /bedrock/model/{id}/converse and, for AWS clients that are given the bare address, /model/{id}/converse.
func matchBedrock(path string) (endpoint, bool) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "/bedrock"), "/model/")
	if !ok {
		return endpoint{}, false
	}
	e := endpoint{op: llm.OpChat, dialect: llm.Converse, pathModel: true}
	switch {
	case strings.HasSuffix(rest, "/converse"):
		rest = strings.TrimSuffix(rest, "/converse")
	case strings.HasSuffix(rest, "/converse-stream"):
		rest, e.stream = strings.TrimSuffix(rest, "/converse-stream"), true
	case strings.HasSuffix(rest, "/count-tokens"):
		rest, e.op = strings.TrimSuffix(rest, "/count-tokens"), llm.OpCount
	default:
		return endpoint{}, false
	}
	return e, e.unescape(rest)
}

// matchAzure knows /openai/deployments/{model}/... and /engines/{model}/...
func matchAzure(path string) (endpoint, bool) {
	rest, ok := strings.CutPrefix(path, "/openai/deployments/")
	if !ok {
		rest, ok = strings.CutPrefix(path, "/engines/")
	}
	if !ok {
		return endpoint{}, false
	}
	for suffix, e := range fixed {
		if model, ok := strings.CutSuffix(rest, suffix); ok && e.dialect == llm.OpenAI && model != "" && (suffix != "/completions" || !strings.HasSuffix(model, "/chat")) {
			e.pathModel = true
			return e, e.unescape(model)
		}
	}
	return endpoint{}, false
}

// geminiMethods are the verbs behind the colon of Gemini's paths.
var geminiMethods = map[string]endpoint{
	"generateContent":       {op: llm.OpChat},
	"streamGenerateContent": {op: llm.OpChat, stream: true},
	"countTokens":           {op: llm.OpCount},
	"embedContent":          {op: llm.OpEmbed},
	"batchEmbedContents":    {op: llm.OpEmbed, batch: true},
}

// matchGemini knows /v1beta/models/{model}:{method}, also under /gemini, /v1, /v1beta1 and Vertex's publisher paths.
func matchGemini(path, query string) (endpoint, bool) {
	i := strings.LastIndexByte(path, ':')
	if i < 0 {
		return endpoint{}, false
	}
	e, ok := geminiMethods[path[i+1:]]
	if !ok {
		return endpoint{}, false
	}
	j := strings.Index(path, "/models/")
	if j < 0 {
		return endpoint{}, false
	}
	switch prefix := path[:j]; {
	case prefix == "", prefix == "/v1", prefix == "/v1beta", prefix == "/v1beta1", strings.HasPrefix(prefix, "/gemini"), strings.HasPrefix(prefix, "/vertex"),
		strings.HasPrefix(prefix, "/v1/projects/"), strings.HasPrefix(prefix, "/v1beta1/projects/"), strings.HasPrefix(prefix, "/v1/publishers/"),
		strings.HasPrefix(prefix, "/v1beta1/publishers/"):
	default:
		return endpoint{}, false
	}
	e.dialect, e.pathModel, e.queryKey = llm.Gemini, true, true
	if e.stream {
		e.array = !strings.Contains("&"+query, "&alt=sse")
	}
	return e, e.unescape(path[j+len("/models/") : i])
}

func (e *endpoint) unescape(model string) bool {
	m, err := url.PathUnescape(model)
	e.model = m
	return err == nil && m != ""
}
