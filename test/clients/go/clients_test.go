// Package clients holds the official Go SDKs against a running Weir (WEIR_URL, WEIR_KEY), unchanged but for base URL and key.
package clients

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"google.golang.org/genai"
)

var (
	url    = os.Getenv("WEIR_URL")
	key    = os.Getenv("WEIR_KEY")
	models = []string{"demo", "m-openai", "m-responses", "m-anthropic", "m-converse", "m-gemini"}
)

const question = "what is the weather in Oslo?"

var schema = map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"}}

func each(t *testing.T, f func(t *testing.T, ctx context.Context, model string)) {
	for _, m := range models {
		t.Run(m, func(t *testing.T) { f(t, t.Context(), m) })
	}
}

func says(t *testing.T, text string) {
	t.Helper()
	if !strings.Contains(text, "hello there") {
		t.Errorf("the answer is %q", text)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestOpenAI(t *testing.T) {
	client := openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
	each(t, func(t *testing.T, ctx context.Context, model string) {
		p := openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hello there")}}
		says(t, must(client.Chat.Completions.New(ctx, p))(t).Choices[0].Message.Content)
		s := client.Chat.Completions.NewStreaming(ctx, p)
		acc := openai.ChatCompletionAccumulator{}
		for s.Next() {
			acc.AddChunk(s.Current())
		}
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		says(t, acc.Choices[0].Message.Content)
		p.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage(question)}
		p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "get_weather", Parameters: schema})}
		if calls := must(client.Chat.Completions.New(ctx, p))(t).Choices[0].Message.ToolCalls; len(calls) != 1 || calls[0].Function.Name != "get_weather" {
			t.Errorf("tool calls: %+v", calls)
		}
		r := must(client.Responses.New(ctx, responses.ResponseNewParams{Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("hello there")}}))(t)
		says(t, r.OutputText())
	})
	var e *openai.Error
	_, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{Model: "f-openai?fault=429"})
	if !errors.As(err, &e) {
		t.Errorf("not the SDK's error: %v", err)
	}
}

func TestAnthropic(t *testing.T) {
	client := anthropic.NewClient(anthropicoption.WithBaseURL(url), anthropicoption.WithAPIKey(key), anthropicoption.WithMaxRetries(0))
	each(t, func(t *testing.T, ctx context.Context, model string) {
		p := anthropic.MessageNewParams{Model: model, MaxTokens: 100, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hello there"))}}
		says(t, must(client.Messages.New(ctx, p))(t).Content[0].Text)
		s := client.Messages.NewStreaming(ctx, p)
		var m anthropic.Message
		for s.Next() {
			if err := m.Accumulate(s.Current()); err != nil {
				t.Fatal(err)
			}
		}
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		says(t, m.Content[0].Text)
	})
	var e *anthropic.Error
	_, err := client.Messages.New(t.Context(), anthropic.MessageNewParams{Model: "nope", MaxTokens: 1, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("x"))}})
	if !errors.As(err, &e) || e.StatusCode != 400 {
		t.Errorf("error: %v", err)
	}
}

func TestBedrock(t *testing.T) {
	// Unsigned, with a bearer header, as the seed's clients do: the SDK itself sends bearer tokens over https only.
	client := bedrockruntime.New(bedrockruntime.Options{Region: "us-east-1", BaseEndpoint: aws.String(url + "/bedrock"), RetryMaxAttempts: 1,
		AuthSchemeResolver: unsigned{}, HTTPClient: bearerDoer{}})
	each(t, func(t *testing.T, ctx context.Context, model string) {
		messages := []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "hello there"}}}}
		r := must(client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &model, Messages: messages}))(t)
		says(t, r.Output.(*types.ConverseOutputMemberMessage).Value.Content[0].(*types.ContentBlockMemberText).Value)
		s := must(client.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &model, Messages: messages}))(t)
		text, stopped := "", false
		for e := range s.GetStream().Events() {
			switch e := e.(type) {
			case *types.ConverseStreamOutputMemberContentBlockDelta:
				text += e.Value.Delta.(*types.ContentBlockDeltaMemberText).Value
			case *types.ConverseStreamOutputMemberMessageStop:
				stopped = true
			}
		}
		if err := s.GetStream().Err(); err != nil || !stopped {
			t.Errorf("stopped %v, error %v", stopped, err)
		}
		says(t, text)
	})
	_, err := client.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("nope")})
	var e *types.ValidationException
	if !errors.As(err, &e) {
		t.Errorf("error: %v", err)
	}
}

func TestGenAI(t *testing.T) {
	client := must(genai.NewClient(t.Context(), &genai.ClientConfig{APIKey: key, Backend: genai.BackendGeminiAPI, HTTPOptions: genai.HTTPOptions{BaseURL: url}}))(t)
	each(t, func(t *testing.T, ctx context.Context, model string) {
		says(t, must(client.Models.GenerateContent(ctx, model, genai.Text("hello there"), nil))(t).Text())
		text := ""
		for r, err := range client.Models.GenerateContentStream(ctx, model, genai.Text("hello there"), nil) {
			text += must(r, err)(t).Text()
		}
		says(t, text)
	})
}
