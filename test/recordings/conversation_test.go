package recordings

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weir-gateway/weir/internal/llm"
)

// kinds are the conversations that were recorded on several providers, by test folder: an OpenAI-form request of from, sent through the
// gateway, must say to the upstream what the provider's own client in to said. Folders name their kind; models stand below them.
var kinds = []struct{ from, to []string }{
	{
		[]string{"TestOpenAICommon", "TestOpenAICompatibleCommon", "TestOpenRouterCommon", "TestVercelCommon", "TestAzureCommon"},
		[]string{"TestAnthropicCommon", "TestBedrockCommon", "TestGoogleCommon", "TestOpenAIResponsesCommon", "TestAzureResponsesCommon"},
	},
	{ // with marks for the prompt cache
		[]string{"TestOpenRouterCommonWithAnthropicCache", "TestVercelCommonWithAnthropicCache"},
		[]string{"TestAnthropicCommonWithCacheControl"},
	},
	{ // a schema for the answer
		[]string{"TestOpenAIObjectGeneration"},
		[]string{"TestGoogleObjectGeneration", "TestGoogleVertexObjectGeneration/vertex-gemini", "TestOpenAIResponsesObjectGeneration"},
	},
	{ // a tool that must be called, for want of a schema
		[]string{"TestOpenAICompatObjectGeneration"},
		[]string{"TestAnthropicObjectGeneration", "TestGoogleVertexObjectGeneration/vertex-claude"},
	},
	{
		[]string{"TestOpenAICompatibleThinking", "TestVercelThinking", "TestOpenRouterThinking", "TestAzureThinking"},
		[]string{"TestAnthropicThinking", "TestGoogleThinking", "TestOpenAIResponsesWithSummaryThinking", "TestAzureResponsesWithSummaryThinking"},
	},
	{
		[]string{"TestImageUploadAgent/openai-", "TestImageUploadAgentStreaming/openai-"},
		[]string{"TestImageUploadAgent/", "TestImageUploadAgentStreaming/"},
	},
}

// named gives the exchanges of fantasy's folders that begin with one of the names; a name without a slash is a whole folder's.
func named(all []*exchange, names []string) (out []*exchange) {
	for _, x := range all {
		rest, ok := strings.CutPrefix(x.Name, "charmbracelet-fantasy/")
		for _, n := range names {
			if !strings.Contains(n, "/") {
				n += "/"
			}
			if ok && strings.HasPrefix(rest, n) {
				out = append(out, x)
				break
			}
		}
	}
	return out
}

// TestConversations sends one client's OpenAI-form request to upstreams of the other dialects.
func TestConversations(t *testing.T) {
	all, _ := corpus()
	for _, d := range []llm.Dialect{llm.Responses, llm.Anthropic, llm.Gemini} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			l := newLane(t, d)
			same, other := 0, 0
			for _, k := range kinds {
				for _, to := range named(all, k.to) {
					if to.Dialect != d {
						continue
					}
					for _, from := range named(all, k.from) {
						if from.Dialect != llm.OpenAI || lastOf(from.Name) != lastOf(to.Name) || from.Stream != to.Stream {
							continue
						}
						switch comparable, equal := converses(t, l, from, to); {
						case !comparable:
							other++
						case equal:
							same++
						}
					}
				}
			}
			t.Logf("%s: %d requests said what the provider's own client said; in %d more the models had taken other ways", d, same, other)
			if same < 20 {
				t.Errorf("only %d requests were compared", same)
			}
		})
	}
}

// lastOf is the conversation's name: the file's, or for the images, which name the model there, the place of the call.
func lastOf(name string) string {
	name = filepath.Base(name)
	if i := strings.IndexByte(name, '#'); strings.HasPrefix(name, "openai-") || strings.HasPrefix(name, "anthropic-") || strings.HasPrefix(name, "gemini-") {
		return name[i:]
	}
	return name
}

// converses sends from's request to to's provider and compares. The model's own turns are from's; all else must be as to's client said
// it. It is not
// comparable where the two models had not done the same so far, so that the conversations differ.
func converses(t *testing.T, l *lane, from, to *exchange) (comparable, equal bool) {
	t.Helper()
	source, err := hear(llm.OpenAI, from.Request)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hear(to.Dialect, to.Request)
	if err != nil {
		t.Fatal(err)
	}
	if len(source.Turns) != len(want.Turns) {
		return false, false
	}
	for i := range want.Turns {
		if want.Turns[i].Role != source.Turns[i].Role {
			return false, false
		}
		if want.Turns[i].Role == "assistant" {
			if calls(want.Turns[i]) != calls(source.Turns[i]) {
				return false, false
			}
			want.Turns[i] = source.Turns[i]
		}
		for j, p := range want.Turns[i].Parts { // what is worth caching is for each client to say
			if j < len(source.Turns[i].Parts) && strings.TrimSuffix(p, marked) == strings.TrimSuffix(source.Turns[i].Parts[j], marked) {
				want.Turns[i].Parts[j] = source.Turns[i].Parts[j]
			}
		}
	}
	if source.Max == 0 { // not said: the provider's default, or what Anthropic requires
		want.Max = 0
	}
	return true, t.Run(fmt.Sprintf("%s as %s", strings.TrimPrefix(from.Name, "charmbracelet-fantasy/"), strings.TrimPrefix(to.Name, "charmbracelet-fantasy/")), func(t *testing.T) {
		_, seen := l.call(t, t.Errorf, to, route(llm.OpenAI, opChat, "", false, false), from.Request)
		if seen == nil {
			return
		}
		got, err := hear(to.Dialect, seen.Body)
		if err != nil {
			t.Fatal(err)
		}
		if source.Max == 0 {
			got.Max = 0
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("request (-their client +ours):\n%s\n%.2000s", diff, seen.Body)
		}
	})
}

// calls are the names of the tools that a turn calls.
func calls(t turn) (s string) {
	for _, p := range t.Parts {
		if name, ok := strings.CutPrefix(p, "call "); ok {
			name, _, _ = strings.Cut(name, " ")
			s += name + " "
		}
	}
	return s
}
