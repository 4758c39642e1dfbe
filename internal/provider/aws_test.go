package provider

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
)

var (
	testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	testKeys = config.AWS{Region: "eu-west-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret}
)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// verify checks a Signature Version 4 as AWS documents it, on what came over the wire: an implementation of its own, so that signer and
// checker can't share a mistake. The path is encoded once more than it was sent, as for every service but S3.
func verify(t *testing.T, g *got, host, region, service, key string) {
	t.Helper()
	auth := g.header.Get("Authorization")
	var scope, names, signature string
	for _, part := range strings.Split(strings.TrimPrefix(auth, "AWS4-HMAC-SHA256 "), ", ") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "Credential":
			_, scope, _ = strings.Cut(value, "/")
		case "SignedHeaders":
			names = value
		case "Signature":
			signature = value
		}
	}
	date := g.header.Get("X-Amz-Date")
	if want := date[:8] + "/" + region + "/" + service + "/aws4_request"; scope != want {
		t.Errorf("scope %s, want %s", scope, want)
	}
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", g.method, encodeOnce(g.path), g.query)
	for _, name := range strings.Split(names, ";") {
		value := g.header.Get(name)
		if name == "host" {
			value = host
		}
		if name == "content-length" {
			value = fmt.Sprint(len(g.body))
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, value)
	}
	sum := sha256.Sum256([]byte(g.body))
	fmt.Fprintf(&canonical, "\n%s\n%s", names, hex.EncodeToString(sum[:]))
	sum = sha256.Sum256([]byte(canonical.String()))
	toSign := "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	k := []byte("AWS4" + key)
	for _, part := range append(strings.Split(scope, "/"), toSign) {
		h := hmac.New(sha256.New, k)
		h.Write([]byte(part))
		k = h.Sum(nil)
	}
	if got := hex.EncodeToString(k); got != signature {
		t.Errorf("signature of %s is wrong; canonical request:\n%s", g.path, canonical.String())
	}
	for _, name := range []string{"host", "x-amz-date"} {
		if !slices.Contains(strings.Split(names, ";"), name) {
			t.Errorf("%s is not signed: %s", name, names)
		}
	}
}

// encodeOnce is AWS's URI encoding of a path.
func encodeOnce(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c == '/' || c == '-' || c == '.' || c == '_' || c == '~' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func TestBedrock_signature(t *testing.T) {
	srv, g := upstreamServer(t)
	f := func(model, region, path string, op llm.Op, d llm.Dialect, stream bool) {
		t.Helper()
		u, err := Factory{Now: at(testTime)}.New(config.Params{Model: model, AWS: testKeys}, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		meant := send(t, srv, u, op, d, stream, `{"messages":[{"role":"user","content":"ü"}]}`)
		if want := "bedrock-runtime." + region + ".amazonaws.com"; meant.Host != want || u.Base != "https://"+want || meant.Scheme != "https" {
			t.Errorf("%s goes to %s, base %s, want %s", model, meant.Host, u.Base, want)
		}
		if g.path != path {
			t.Errorf("%s: path\n     %s\nwant %s", model, g.path, path)
		}
		verify(t, g, meant.Host, region, "bedrock", secret)
	}
	chat := llm.OpChat
	f("bedrock/amazon.nova-lite-v1:0", "eu-west-1", "/model/amazon.nova-lite-v1%3A0/converse", chat, llm.Converse, false)
	f("us.anthropic.claude-sonnet-4-20250514-v1:0", "eu-west-1", "/model/us.anthropic.claude-sonnet-4-20250514-v1%3A0/converse-stream", chat, llm.Converse, true)
	f("us.anthropic.claude-sonnet-4-20250514-v1:0", "eu-west-1", "/model/anthropic.claude-sonnet-4-20250514-v1%3A0/count-tokens", llm.OpCount, llm.Converse, false)
	f("bedrock/us-west-2/amazon.nova-lite-v1:0", "us-west-2", "/model/amazon.nova-lite-v1%3A0/converse", chat, llm.Converse, false)
	f("bedrock/us-west-2/1-month-commitment/amazon.nova-lite-v1:0", "us-west-2", "/model/amazon.nova-lite-v1%3A0/converse", chat, llm.Converse, false)
	f("bedrock/converse/us.meta.llama3-1-8b-instruct-v1:0", "eu-west-1", "/model/us.meta.llama3-1-8b-instruct-v1%3A0/converse", chat, llm.Converse, false)
	f("bedrock/us-gov-west-1/converse/a.b", "us-gov-west-1", "/model/a.b/converse", chat, llm.Converse, false)
	f("bedrock/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", "eu-west-1",
		"/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/converse", chat, llm.Converse, false)
	f("bedrock/invoke/eu.anthropic.claude-3-haiku-20240307-v1:0", "eu-west-1", "/model/eu.anthropic.claude-3-haiku-20240307-v1%3A0/invoke", chat, llm.Anthropic, false)
	f("bedrock/invoke/eu.anthropic.claude-3-haiku-20240307-v1:0", "eu-west-1", "/model/eu.anthropic.claude-3-haiku-20240307-v1%3A0/invoke-with-response-stream", chat, llm.Anthropic, true)
	f("bedrock/amazon.titan-embed-text-v2:0", "eu-west-1", "/model/amazon.titan-embed-text-v2%3A0/invoke", llm.OpEmbed, llm.Converse, false)
	f("bedrock/odd name+$&=@,;!*'()", "eu-west-1", "/model/odd%20name%2B%24%26%3D%40%2C%3B%21%2A%27%28%29/converse", chat, llm.Converse, false)
}

// TestSignature_vector is the worked example of AWS's documentation (get-vanilla with these keys), to tie the checker above to it.
func TestSignature_vector(t *testing.T) {
	g := &got{method: "GET", path: "/", header: http.Header{"X-Amz-Date": {"20150830T123600Z"}, "Authorization": {
		"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, " +
			"Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"}}}
	verify(t, g, "example.amazonaws.com", "us-east-1", "service", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
}

func TestBedrock_region(t *testing.T) {
	f := func(p config.Params, env map[string]string, want string) {
		t.Helper()
		if p.AWS.AccessKeyID == "" {
			env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = "AKIDEXAMPLE", secret
		}
		got := addressOf(t, p, env, llm.OpChat, false)
		if !strings.HasPrefix(got, want) {
			t.Errorf("%+v: %s, want %s", p.Model, got, want)
		}
	}
	e := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	f(config.Params{Model: "bedrock/m"}, e(), "https://bedrock-runtime.us-west-2.amazonaws.com/")
	f(config.Params{Model: "bedrock/m"}, e("AWS_REGION", "ap-south-1"), "https://bedrock-runtime.ap-south-1.amazonaws.com/")
	f(config.Params{Model: "bedrock/m", AWS: testKeys}, e("AWS_REGION", "ap-south-1"), "https://bedrock-runtime.eu-west-1.amazonaws.com/")
	f(config.Params{Model: "bedrock/arn:aws:bedrock:us-east-2:1:inference-profile/x"}, e("AWS_REGION", "ap-south-1"), "https://bedrock-runtime.us-east-2.amazonaws.com/")
	f(config.Params{Model: "bedrock/cn-north-1/m"}, e(), "https://bedrock-runtime.cn-north-1.amazonaws.com.cn/")
	f(config.Params{Model: "bedrock/m", AWS: config.AWS{RuntimeEndpoint: "http://vpce:8/x/"}}, e(), "http://vpce:8/x/model/m/converse")
	f(config.Params{Model: "bedrock/m"}, e("AWS_BEDROCK_RUNTIME_ENDPOINT", "http://vpce"), "http://vpce/model/m/converse")

	// A wildcard deployment takes what stands before the id from each model.
	u, err := Factory{}.New(config.Params{Model: "bedrock/*", AWS: testKeys}, config.ModelInfo{})
	if err != nil {
		t.Fatal(err)
	}
	v := u.WithModel("us-west-2/invoke/anthropic.claude-v2")
	if v.Model != "anthropic.claude-v2" || v.Base != "https://bedrock-runtime.us-west-2.amazonaws.com" || v.Dialects[0] != llm.Anthropic || u.Model != "*" {
		t.Errorf("%v at %s speaks %v", v, v.Base, v.Dialects)
	}
}

func TestBedrock_ops(t *testing.T) {
	f := func(model string, want ...llm.Op) {
		t.Helper()
		u, err := Factory{}.New(config.Params{Model: model, AWS: testKeys}, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, u.Ops.List()); diff != "" {
			t.Errorf("%s: %s", model, diff)
		}
	}
	f("bedrock/amazon.nova-lite-v1:0", llm.OpChat)
	f("bedrock/anthropic.claude-v2", llm.OpChat, llm.OpCount)
	f("bedrock/cohere.embed-english-v3", llm.OpEmbed)
}

func TestBedrock_bearer(t *testing.T) {
	srv, g := upstreamServer(t)
	f := func(p config.Params, env map[string]string, want string) {
		t.Helper()
		p.Model = "bedrock/amazon.nova-lite-v1:0"
		u, err := Factory{Env: envOf(env), Now: at(testTime)}.New(p, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		send(t, srv, u, llm.OpChat, llm.Converse, true, "{}")
		if a := g.header.Get("Authorization"); !strings.HasPrefix(a, want) {
			t.Errorf("%s, want %s", a, want)
		}
		if g.header.Get("Accept") != "application/vnd.amazon.eventstream" || !u.EventStream(llm.Converse) {
			t.Errorf("no event stream: %v", g.header)
		}
	}
	env := map[string]string{"AWS_BEARER_TOKEN_BEDROCK": "env-token", "AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "s"}
	f(config.Params{APIKey: secret}, nil, "Bearer "+secret)
	f(config.Params{AWS: config.AWS{BearerToken: secret}}, env, "Bearer "+secret)
	f(config.Params{}, env, "Bearer env-token")
	f(config.Params{AWS: testKeys}, env, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
	delete(env, "AWS_BEARER_TOKEN_BEDROCK")
	f(config.Params{}, env, "AWS4-HMAC-SHA256 Credential=AK/")
}

func TestSageMaker(t *testing.T) {
	srv, g := upstreamServer(t)
	f := func(model string, op llm.Op, stream bool, path string, own bool) {
		t.Helper()
		u, err := Factory{Now: at(testTime)}.New(config.Params{Model: model, AWS: testKeys}, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		meant := send(t, srv, u, op, llm.OpenAI, stream, "{}")
		if g.path != path || meant.Host != "runtime.sagemaker.eu-west-1.amazonaws.com" {
			t.Errorf("%s: %s%s", model, meant.Host, g.path)
		}
		verify(t, g, meant.Host, "eu-west-1", "sagemaker", secret)
		if (u.Codec(llm.OpenAI) != nil) != own || u.EventStream(llm.OpenAI) || u.Unwrap(llm.OpenAI, http.NoBody) == nil {
			t.Errorf("%s: wrong codec or framing", model)
		}
	}
	f("sagemaker/my-endpoint", llm.OpChat, false, "/endpoints/my-endpoint/invocations", true)
	f("sagemaker/my-endpoint", llm.OpChat, true, "/endpoints/my-endpoint/invocations-response-stream", true)
	f("sagemaker_chat/my-endpoint", llm.OpChat, true, "/endpoints/my-endpoint/invocations-response-stream", false)
	f("sagemaker/my-endpoint", llm.OpEmbed, false, "/endpoints/my-endpoint/invocations", true)
}

func TestAWS_wrongSettings(t *testing.T) {
	f := func(a config.AWS, want string) {
		t.Helper()
		_, err := Factory{}.New(config.Params{Model: "bedrock/m", AWS: a}, config.ModelInfo{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	f(config.AWS{AccessKeyID: "AK"}, "litellm_params.aws_secret_access_key")
	f(config.AWS{SecretAccessKey: secret}, "litellm_params.aws_access_key_id")
	f(config.AWS{WebIdentityToken: secret}, "litellm_params.aws_role_name")
	f(config.AWS{RuntimeEndpoint: "host"}, "aws_bedrock_runtime_endpoint")
	f(config.AWS{BearerToken: secret + "\n"}, "api_key")
}

// fakeSTS answers AssumeRole and AssumeRoleWithWebIdentity with numbered keys that live an hour.
func fakeSTS(t *testing.T, now func() time.Time) (srv *httptest.Server, calls *atomic.Int32, form *atomic.Value) {
	t.Helper()
	calls, form = &atomic.Int32{}, &atomic.Value{}
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		q, err := url.ParseQuery(string(b))
		if err != nil {
			t.Error(err)
		}
		form.Store(q)
		n, action := calls.Add(1), q.Get("Action")
		w.Header().Set("Content-Type", "text/xml")
		fmt.Fprintf(w, `<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%sResult><Credentials><AccessKeyId>ROLE%d</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>`+
			`<SessionToken>session%d</SessionToken><Expiration>%s</Expiration></Credentials></%sResult></%sResponse>`,
			action, action, n, n, now().Add(time.Hour).UTC().Format(time.RFC3339), action, action)
	}))
	t.Cleanup(srv.Close)
	return srv, calls, form
}

func TestAWS_assumedRole(t *testing.T) {
	clock := &atomic.Int64{}
	clock.Store(time.Now().UnixNano())
	now := func() time.Time { return time.Unix(0, clock.Load()) }
	stsServer, calls, form := fakeSTS(t, now)
	srv, g := upstreamServer(t)
	a := testKeys
	a.RoleARN, a.ExternalID, a.SessionName, a.STSEndpoint = "arn:aws:iam::123456789012:role/r", "ext", "me", stsServer.URL
	u, err := Factory{Now: now, HTTP: stsServer.Client()}.New(config.Params{Model: "bedrock/m", AWS: a}, config.ModelInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if calls.Load() != 0 {
		t.Error("the role is assumed before it is needed")
	}
	key := func() string {
		t.Helper()
		meant := send(t, srv, u, llm.OpChat, llm.Converse, false, "{}")
		verify(t, g, meant.Host, "eu-west-1", "bedrock", "role-secret")
		_, after, _ := strings.Cut(g.header.Get("Authorization"), "Credential=")
		id, _, _ := strings.Cut(after, "/")
		if want := strings.Replace(id, "ROLE", "session", 1); g.header.Get("X-Amz-Security-Token") != want {
			t.Errorf("session token %q, want %q", g.header.Get("X-Amz-Security-Token"), want)
		}
		return id
	}
	if k := key(); k != "ROLE1" {
		t.Errorf("signed by %s", k)
	}
	q := form.Load().(url.Values)
	if q.Get("RoleArn") != a.RoleARN || q.Get("ExternalId") != "ext" || q.Get("RoleSessionName") != "me" {
		t.Errorf("asked for %v", q)
	}
	if k := key(); k != "ROLE1" || calls.Load() != 1 {
		t.Errorf("%s after %d calls", k, calls.Load())
	}
	// Close to its end it is renewed in the background, and the call does not wait.
	clock.Add(int64(56 * time.Minute))
	if k := key(); k != "ROLE1" {
		t.Errorf("signed by %s", k)
	}
	waitFlight(u.driver.(*bedrockDriver).auth.creds)
	if k := key(); k != "ROLE2" || calls.Load() != 2 {
		t.Errorf("%s after %d calls", k, calls.Load())
	}
	// Past its end the call waits.
	clock.Add(int64(2 * time.Hour))
	if k := key(); k != "ROLE3" {
		t.Errorf("signed by %s", k)
	}
}

// waitFlight waits for a renewal that is under way.
func waitFlight[T any](c *cached[T]) {
	c.mu.Lock()
	f := c.flight
	c.mu.Unlock()
	if f != nil {
		<-f.done
	}
}

func TestAWS_webIdentity(t *testing.T) {
	stsServer, _, form := fakeSTS(t, time.Now)
	srv, g := upstreamServer(t)
	f := func(token, want string) {
		t.Helper()
		u, err := Factory{HTTP: stsServer.Client()}.New(config.Params{Model: "bedrock/m", AWS: config.AWS{Region: "eu-west-1", RoleARN: "arn:aws:iam::1:role/r",
			WebIdentityToken: config.Secret(token), STSEndpoint: stsServer.URL}}, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		meant := send(t, srv, u, llm.OpChat, llm.Converse, false, "{}")
		verify(t, g, meant.Host, "eu-west-1", "bedrock", "role-secret")
		if q := form.Load().(url.Values); q.Get("WebIdentityToken") != want || q.Get("Action") != "AssumeRoleWithWebIdentity" {
			t.Errorf("asked for %v", q)
		}
	}
	f("token-itself", "token-itself")
	f(writeFile(t, "token-in-file\n"), "token-in-file")
}

func TestAWS_refusedRole(t *testing.T) {
	stsServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`)
	}))
	defer stsServer.Close()
	a := testKeys
	a.RoleARN, a.STSEndpoint = "arn:aws:iam::1:role/r", stsServer.URL
	u, err := Factory{HTTP: stsServer.Client()}.New(config.Params{Model: "bedrock/m", AWS: a}, config.ModelInfo{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = u.Request(context.Background(), llm.OpChat, llm.Converse, false, []byte("{}"))
	if e := llm.AsError(err); e.Kind != llm.ErrAuth || strings.Contains(err.Error(), secret) || !strings.Contains(e.Message, "bedrock") {
		t.Errorf("%v", err)
	}
}

func TestAWS_profile(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "")
	t.Setenv("AWS_CONFIG_FILE", writeFile(t, "[profile work]\nregion = ap-south-1\n"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", writeFile(t, "[work]\naws_access_key_id = AKPROFILE\naws_secret_access_key = "+secret+"\n"))
	srv, g := upstreamServer(t)
	u, err := Factory{HTTP: srv.Client()}.New(config.Params{Model: "bedrock/m", AWS: config.AWS{Profile: "work"}}, config.ModelInfo{})
	if err != nil {
		t.Fatal(err)
	}
	meant := send(t, srv, u, llm.OpChat, llm.Converse, false, "{}")
	if meant.Host != "bedrock-runtime.ap-south-1.amazonaws.com" || !strings.Contains(g.header.Get("Authorization"), "Credential=AKPROFILE/") {
		t.Errorf("%s %v", meant, g.header)
	}
	verify(t, g, meant.Host, "ap-south-1", "bedrock", secret)
	if u, err = (Factory{HTTP: srv.Client()}).New(config.Params{Model: "bedrock/m", AWS: config.AWS{Profile: "absent"}}, config.ModelInfo{}); err != nil {
		t.Fatal(err)
	}
	if _, err = u.Request(context.Background(), llm.OpChat, llm.Converse, false, nil); llm.AsError(err).Kind != llm.ErrAuth {
		t.Errorf("a profile that is not there: %v", err)
	}
}
