package clients

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
)

var issued = aws.Credentials{AccessKeyID: os.Getenv("WEIR_AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("WEIR_AWS_SECRET_ACCESS_KEY")}

// signedClient is the SDK as it comes: credentials that the gateway issued, an address, and nothing else.
func signedClient(endpoint string, c aws.Credentials) *bedrockruntime.Client {
	return bedrockruntime.New(bedrockruntime.Options{Region: "us-east-2", BaseEndpoint: &endpoint, RetryMaxAttempts: 1, HTTPClient: wholeBody{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })})
}

func helloThere() []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "hello there"}}}}
}

func TestBedrock_signed(t *testing.T) {
	for _, endpoint := range []string{url, url + "/bedrock"} {
		client := signedClient(endpoint, issued)
		for _, model := range append([]string{"f-openai:0", "f-openai/a b", "f-openai(x)!*'~$&=+,;", "f-openai模型"}, models...) {
			t.Run(endpoint+" "+model, func(t *testing.T) {
				r := must(client.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: &model, Messages: helloThere()}))(t)
				says(t, r.Output.(*types.ConverseOutputMemberMessage).Value.Content[0].(*types.ContentBlockMemberText).Value)
				s := must(client.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: &model, Messages: helloThere()}))(t)
				text := ""
				for e := range s.GetStream().Events() {
					if d, ok := e.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
						text += d.Value.Delta.(*types.ContentBlockDeltaMemberText).Value
					}
				}
				if err := s.GetStream().Err(); err != nil {
					t.Error(err)
				}
				says(t, text)
			})
		}
	}
}

func TestBedrock_signedErrors(t *testing.T) {
	f := func(c aws.Credentials, model, code string) {
		t.Helper()
		_, err := signedClient(url+"/bedrock", c).Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: &model, Messages: helloThere()})
		var e smithy.APIError
		if !errors.As(err, &e) || e.ErrorCode() != code {
			t.Errorf("%s: %v, want %s", model, err, code)
		}
	}
	f(aws.Credentials{AccessKeyID: issued.AccessKeyID, SecretAccessKey: strings.Repeat("x", 40)}, "demo", "InvalidSignatureException")
	f(aws.Credentials{AccessKeyID: "AKIAWEIRAAAAAAAAAAAA", SecretAccessKey: issued.SecretAccessKey}, "demo", "UnrecognizedClientException")
	f(issued, "nope", "ValidationException")
}

// TestBedrock_presigned sends a signature in the query, and then the same with one thing changed.
func TestBedrock_presigned(t *testing.T) {
	const body = `{"messages":[{"role":"user","content":[{"text":"hello there"}]}]}`
	presign := func(at time.Time, hash string) string {
		t.Helper()
		r := must(http.NewRequest(http.MethodPost, url+"/bedrock/model/f-openai%3A0/converse?X-Amz-Expires=60&a=1", strings.NewReader(body)))(t)
		return must2(v4.NewSigner().PresignHTTP(t.Context(), issued, r, hash, "bedrock", "us-east-1", at))(t)
	}
	send := func(method, target, body string) (int, string, string) {
		t.Helper()
		r := must(http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader([]byte(body))))(t)
		res := must(http.DefaultClient.Do(r))(t)
		defer res.Body.Close()
		text := must(io.ReadAll(res.Body))(t)
		return res.StatusCode, res.Header.Get("X-Amzn-Errortype"), string(text)
	}
	sum := sha256.Sum256([]byte(body))
	hash := hex.EncodeToString(sum[:])
	good := presign(time.Now(), hash)
	if status, _, text := send(http.MethodPost, good, body); status != 200 || !strings.Contains(text, "hello there") {
		t.Fatalf("%d %s", status, text)
	}
	refused := func(what, target, body, says string) {
		t.Helper()
		if status, kind, text := send(http.MethodPost, target, body); status != 403 || kind != "InvalidSignatureException" || !strings.Contains(text, says) {
			t.Errorf("%s: %d %s %s", what, status, kind, text)
		}
	}
	refused("body", good, body+" ", "does not match")
	refused("path", strings.Replace(good, "%3A0", "%3A1", 1), body, "does not match")
	refused("query", strings.Replace(good, "a=1", "a=2", 1), body, "does not match")
	refused("expiry", strings.Replace(good, "Expires=60", "Expires=61", 1), body, "does not match")
	refused("expired", presign(time.Now().Add(-2*time.Minute), hash), body, "Signature expired")
	refused("of tomorrow", presign(time.Now().Add(10*time.Minute), hash), body, "not yet current")
	refused("unsigned body", presign(time.Now(), "UNSIGNED-PAYLOAD"), body, "does not match")
}

// must2 is must for what gives a second value that doesn't matter.
func must2[T, U any](v T, _ U, err error) func(*testing.T) T { return must(v, err) }
