package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/weir-gateway/weir/internal/llm"
)

const (
	exampleID     = "AKIDEXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// request makes what a server sees of a request, its target untouched.
func request(method, target, host string, h map[string][]string, body string) *http.Request {
	r := &http.Request{Method: method, RequestURI: target, Host: host, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)), URL: &url.URL{}}
	for name, values := range h {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	return r
}

func check(r *http.Request, secret, body string, now time.Time, o *SigV4) *llm.Error {
	s, signed, err := ParseSigV4(r)
	if err != nil {
		return err
	}
	if !signed {
		return MissingSignature()
	}
	if s.AccessKeyID != exampleID {
		return UnknownAccessKey()
	}
	return s.Verify(r, secret, sha256.Sum256([]byte(body)), now, o)
}

// TestSigV4_published holds against the signatures that AWS published in its Signature Version 4 test suite and documentation.
func TestSigV4_published(t *testing.T) {
	now := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	f := func(name, method, target string, extra map[string][]string, signed, body, signature string) {
		t.Helper()
		h := map[string][]string{"X-Amz-Date": {"20150830T123600Z"}, "Authorization": {"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, " +
			"SignedHeaders=" + signed + ", Signature=" + signature}}
		for k, v := range extra {
			h[k] = v
		}
		if err := check(request(method, target, "example.amazonaws.com", h, body), exampleSecret, body, now, &SigV4{Service: "service"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("get-vanilla", "GET", "/", nil, "host;x-amz-date", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
	f("get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", nil, "host;x-amz-date", "", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500")
	f("get-vanilla-empty-query-key", "GET", "/?Param1=value1", nil, "host;x-amz-date", "", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb")
	f("get-vanilla-query-unreserved", "GET", "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
		nil, "host;x-amz-date", "", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197")
	f("get-vanilla-utf8-query", "GET", "/?ሴ=bar", nil, "host;x-amz-date", "", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04")
	f("get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", nil, "host;x-amz-date", "",
		"07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f")
	f("get-utf8", "GET", "/ሴ", nil, "host;x-amz-date", "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85")
	f("get-space", "GET", "/example space/", nil, "host;x-amz-date", "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741")
	f("get-header-key-duplicate", "GET", "/", map[string][]string{"My-Header1": {"value2", "value2", "value1"}}, "host;my-header1;x-amz-date", "",
		"c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea")
	f("get-header-value-order", "GET", "/", map[string][]string{"My-Header1": {"value4", "value1", "value3", "value2"}}, "host;my-header1;x-amz-date", "",
		"08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01")
	f("get-header-value-trim", "GET", "/", map[string][]string{"My-Header1": {" value1"}, "My-Header2": {` "a   b   c"`}}, "host;my-header1;my-header2;x-amz-date", "",
		"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736")
	f("post-vanilla", "POST", "/", nil, "host;x-amz-date", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b")
	f("post-header-key-sort", "POST", "/", map[string][]string{"My-Header1": {"value1"}}, "host;my-header1;x-amz-date", "",
		"c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c")
	f("post-header-value-case", "POST", "/", map[string][]string{"My-Header1": {"VALUE1"}}, "host;my-header1;x-amz-date", "",
		"cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d")
	f("post-x-www-form-urlencoded", "POST", "/", map[string][]string{"Content-Type": {"application/x-www-form-urlencoded"}}, "content-type;host;x-amz-date", "Param1=value1",
		"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a")

	h := map[string][]string{"X-Amz-Date": {"20150830T123600Z"}, "Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"},
		"Authorization": {"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, " +
			"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"}}
	if err := check(request("GET", "/?Action=ListUsers&Version=2010-05-08", "iam.amazonaws.com", h, ""), exampleSecret, "", now, &SigV4{Service: "iam"}); err != nil {
		t.Errorf("the documentation's example: %v", err)
	}
}

var signedAt = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

// paths are what AWS SDKs make of model ids, and worse.
var paths = []string{
	"/bedrock/model/demo/converse",
	"/model/anthropic.claude-sonnet-4-20250514-v1%3A0/converse-stream",
	"/model/anthropic.claude-sonnet-4-20250514-v1:0/converse",
	"/bedrock/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse",
	"/model/openai%2Fgpt-4o%20mini/converse",
	"/model/a%25b/converse",
	"/model/f-openai%3Ffault%3D429/converse",
	"/model/%E6%A8%A1%E5%9E%8B/converse",
	"/model/x/converse/",
	"/model/(x)!*'/converse",
	"/model/x/converse?b=2&a=1&a=0&c=%20%2F~",
	"/model/x/converse?flag&z=",
}

// sign signs with AWS's own signer and gives what a server sees.
func sign(t testing.TB, target, host, body string, presign bool, h http.Header) *http.Request {
	t.Helper()
	out, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+host+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range h {
		out.Header[k] = v
	}
	sum := sha256.Sum256([]byte(body))
	creds := aws.Credentials{AccessKeyID: exampleID, SecretAccessKey: exampleSecret}
	if presign {
		q := out.URL.Query()
		q.Set("X-Amz-Expires", "900")
		out.URL.RawQuery = q.Encode()
		uri, signed, err := v4.NewSigner().PresignHTTP(context.Background(), creds, out, hex.EncodeToString(sum[:]), "bedrock", "us-east-1", signedAt)
		if err != nil {
			t.Fatal(err)
		}
		if out, err = http.NewRequest(http.MethodPost, uri, strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		out.Header = signed
	} else if err := v4.NewSigner().SignHTTP(context.Background(), creds, out, hex.EncodeToString(sum[:]), "bedrock", "us-east-1", signedAt); err != nil {
		t.Fatal(err)
	}
	if out.Host == "" {
		out.Host = out.URL.Host
	}
	r := request(out.Method, out.URL.RequestURI(), out.Host, out.Header, body)
	return r
}

func TestSigV4_sdk(t *testing.T) {
	o := &SigV4{}
	for _, body := range []string{"", `{"messages":[]}`} {
		for _, presign := range []bool{false, true} {
			for _, host := range []string{"weir.example", "127.0.0.1:4000"} {
				for _, p := range paths {
					h := http.Header{"Content-Type": {"application/json"}, "X-Amz-User-Agent": {"aws-sdk   x/1"}}
					r := sign(t, p, host, body, presign, h)
					if err := check(r, exampleSecret, body, signedAt.Add(time.Minute), o); err != nil {
						t.Errorf("presigned %v, %s%s: %v", presign, host, p, err)
					}
					if err := check(r, exampleSecret+"x", body, signedAt, o); err == nil || err.Type != "InvalidSignatureException" {
						t.Errorf("%s: another secret gives %v", p, err)
					}
				}
			}
		}
	}
}

// TestSigV4_mutations changes every byte of everything that is signed.
func TestSigV4_mutations(t *testing.T) {
	const body = `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`
	o := &SigV4{}
	now := signedAt.Add(time.Minute)
	h := http.Header{"Content-Type": {"application/json"}, "X-Amz-Meta-Note": {"one two"}}
	sum := sha256.Sum256([]byte(body))
	h["X-Amz-Content-Sha256"] = []string{hex.EncodeToString(sum[:])}
	tried := 0
	refused := func(what string, r *http.Request, body string) {
		t.Helper()
		tried++
		switch err := check(r, exampleSecret, body, now, o); {
		case err == nil:
			t.Errorf("taken in spite of %s", what)
		case err.HTTPStatus() != 403 && err.HTTPStatus() != 400:
			t.Errorf("%s: status %d", what, err.HTTPStatus())
		}
	}
	// flips gives a text with one byte replaced, by three others each.
	flips := func(s string, f func(at int, changed string)) {
		for i := range len(s) {
			for _, c := range []byte{s[i] ^ 1, s[i] ^ 0x20, 'x'} {
				if c != s[i] {
					f(i, s[:i]+string(rune(c))+s[i+1:])
				}
			}
		}
	}
	for _, presign := range []bool{false, true} {
		r := sign(t, "/bedrock/model/arn%3Aaws%2Fx/converse?b=2&a=1", "weir.example:4000", body, presign, h)
		if err := check(r, exampleSecret, body, now, o); err != nil {
			t.Fatalf("unchanged: %v", err)
		}
		with := func(change func(*http.Request)) *http.Request {
			c := r.Clone(t.Context())
			c.RequestURI = r.RequestURI
			change(c)
			return c
		}
		flips(body, func(_ int, changed string) { refused("body "+changed, r, changed) })
		flips(r.RequestURI, func(i int, changed string) {
			if i > 0 { // the slash that begins every path
				refused("target "+changed, with(func(c *http.Request) { c.RequestURI = changed }), body)
			}
		})
		for _, target := range []string{"/bedrock//model/arn%3Aaws%2Fx/converse?", "/bedrock/./model/arn%3Aaws%2Fx/converse?", "/bedrock/model/arn:aws%2Fx/converse?",
			"/bedrock/model/arn%3Aaws/x/converse?", "/bedrock/model/arn%3aaws%2Fx/converse?", "/bedrock/model/arn%3Aaws%2Fx/converse/?"} {
			_, query, _ := strings.Cut(r.RequestURI, "?")
			refused("target "+target, with(func(c *http.Request) { c.RequestURI = target + query }), body)
		}
		refused("more query", with(func(c *http.Request) { c.RequestURI += "&c=3" }), body)
		flips(r.Host, func(_ int, changed string) {
			refused("host "+changed, with(func(c *http.Request) { c.Host = changed }), body)
		})
		refused("x-forwarded-host", with(func(c *http.Request) {
			c.Host, c.Header["X-Forwarded-Host"] = "elsewhere", []string{"weir.example:4000"}
		}), body)
		for _, method := range []string{"GET", "PUT", "post"} {
			refused("method "+method, with(func(c *http.Request) { c.Method = method }), body)
		}
		for name, values := range r.Header {
			if name == "Host" {
				continue // the SDK's list of what it signed; a server has it in r.Host
			}
			flips(values[0], func(_ int, changed string) {
				if strings.TrimSpace(changed) == strings.TrimSpace(values[0]) {
					return
				}
				refused(name+" "+changed, with(func(c *http.Request) { c.Header[name] = []string{changed} }), body)
			})
			if name != "Authorization" {
				refused("without "+name, with(func(c *http.Request) {
					delete(c.Header, name)
					if name == "Content-Length" {
						c.ContentLength = -1 // as a server has it then
					}
				}), body)
				refused("twice "+name, with(func(c *http.Request) { c.Header[name] = append(c.Header[name], "x") }), body)
			}
		}
	}
	if tried < 1000 {
		t.Errorf("%d changes tried", tried)
	}
}

func TestSigV4_refusals(t *testing.T) {
	const body = "{}"
	f := func(change func(*http.Request, *SigV4, *time.Time), status int, word, message string) {
		t.Helper()
		r := sign(t, "/model/x/converse", "weir.example", body, false, http.Header{})
		o, now := &SigV4{}, signedAt
		change(r, o, &now)
		err := check(r, exampleSecret, body, now, o)
		if err == nil {
			t.Errorf("taken; want %s", message)
			return
		}
		if err.Status != status || err.Type != word || !strings.Contains(err.Message, message) {
			t.Errorf("%d %s: %s\nwant %d %s: %s", err.Status, err.Type, err.Message, status, word, message)
		}
		if strings.Contains(err.Error(), exampleSecret) || strings.Contains(err.Error(), hex.EncodeToString([]byte("sig"))) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	edit := func(old, new string) func(*http.Request, *SigV4, *time.Time) {
		return func(r *http.Request, _ *SigV4, _ *time.Time) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	f(func(_ *http.Request, _ *SigV4, now *time.Time) { *now = now.Add(5*time.Minute + time.Second) }, 403, "InvalidSignatureException",
		"Signature expired: 20261121T093000Z is now earlier than 20261121T093001Z (20261121T093501Z - 5 min.)")
	f(func(_ *http.Request, _ *SigV4, now *time.Time) { *now = now.Add(-5*time.Minute - time.Second) }, 403, "InvalidSignatureException",
		"Signature not yet current: 20261121T093000Z is still later than 20261121T092959Z (20261121T092459Z + 5 min.)")
	f(func(_ *http.Request, o *SigV4, _ *time.Time) { o.Regions = []string{"eu-west-1"} }, 403, "InvalidSignatureException", "not 'us-east-1'")
	f(func(_ *http.Request, o *SigV4, _ *time.Time) { o.Service = "s3" }, 403, "InvalidSignatureException", "correct service: 's3'")
	f(edit("/20261121/", "/20261120/"), 403, "InvalidSignatureException", "'20261120' != '20261121', from '20261121T093000Z'")
	f(edit("aws4_request", "aws5_request"), 403, "InvalidSignatureException", "valid terminator")
	f(edit("/bedrock/", "/"), 400, "IncompleteSignatureException", "exactly 5 slash-delimited")
	f(edit("AKIDEXAMPLE", "AKID EXAMPLE"), 403, "UnrecognizedClientException", "security token")
	f(edit("Signature=", "Sig="), 400, "IncompleteSignatureException", "requires 'Signature'")
	f(edit("SignedHeaders=", "Signature=a, SignedHeaders="), 400, "IncompleteSignatureException", "each once")
	f(edit("host;", ""), 403, "InvalidSignatureException", "':authority' must be a 'SignedHeader'")
	f(edit("host;", "Host;"), 400, "IncompleteSignatureException", "lower case")
	f(edit("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), 400, "IncompleteSignatureException", "AWS4-ECDSA-P256-SHA256")
	f(func(r *http.Request, _ *SigV4, _ *time.Time) { r.Header.Del("X-Amz-Date") }, 400, "IncompleteSignatureException", "'X-Amz-Date' or a 'Date'")
	f(func(r *http.Request, _ *SigV4, _ *time.Time) { r.Header.Set("X-Amz-Date", "yesterday") }, 400, "IncompleteSignatureException", "Got 'yesterday'")
	f(func(r *http.Request, _ *SigV4, _ *time.Time) {
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-EVENTS")
	}, 403, "InvalidSignatureException", "STREAMING-AWS4-HMAC-SHA256-EVENTS is not supported")
	f(func(r *http.Request, _ *SigV4, _ *time.Time) {
		r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	}, 403, "InvalidSignatureException", "not allowed here")
	f(func(r *http.Request, _ *SigV4, _ *time.Time) { r.Header.Set("X-Amz-Content-Sha256", "abcd") }, 400, "IncompleteSignatureException", "SHA-256")
	f(func(r *http.Request, _ *SigV4, _ *time.Time) { r.Header.Add("Authorization", "Bearer sk-1") }, 400, "IncompleteSignatureException", "one signature")
	f(func(r *http.Request, _ *SigV4, _ *time.Time) { r.RequestURI += "?X-Amz-Signature=00" }, 400, "IncompleteSignatureException", "one signature")
}

func TestSigV4_presignedEnds(t *testing.T) {
	r := sign(t, "/model/x/converse", "weir.example", "{}", true, http.Header{})
	o := &SigV4{}
	f := func(after time.Duration, want string) {
		t.Helper()
		err := check(r, exampleSecret, "{}", signedAt.Add(after), o)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Message, want)) {
			t.Errorf("after %v: %v, want %q", after, err, want)
		}
	}
	f(0, "")
	f(15*time.Minute, "")
	f(15*time.Minute+time.Second, "Signature expired: 20261121T094500Z is now earlier than 20261121T094501Z")
	f(-6*time.Minute, "Signature not yet current")
	for _, expires := range []string{"0", "604801", "-1", "x", ""} {
		c := r.Clone(t.Context())
		c.RequestURI = strings.Replace(r.RequestURI, "X-Amz-Expires=900", "X-Amz-Expires="+expires, 1)
		if err := check(c, exampleSecret, "{}", signedAt, o); err == nil || err.Type != "IncompleteSignatureException" {
			t.Errorf("X-Amz-Expires=%s gives %v", expires, err)
		}
	}
}

// TestSigV4_unsignedPayload holds that an unsigned body passes only where that is allowed.
func TestSigV4_unsignedPayload(t *testing.T) {
	out, _ := http.NewRequest(http.MethodPost, "http://weir.example/model/x/converse", nil)
	out.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
	creds := aws.Credentials{AccessKeyID: exampleID, SecretAccessKey: exampleSecret}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, out, unsignedPayload, "bedrock", "us-east-1", signedAt); err != nil {
		t.Fatal(err)
	}
	r := request(out.Method, out.URL.RequestURI(), "weir.example", out.Header, "anything")
	if err := check(r, exampleSecret, "anything", signedAt, &SigV4{}); err == nil {
		t.Error("taken without the setting")
	}
	if err := check(r, exampleSecret, "anything", signedAt, &SigV4{AllowUnsigned: true}); err != nil {
		t.Errorf("refused with the setting: %v", err)
	}
	r.Host = "inner"
	if err := check(r, exampleSecret, "", signedAt, &SigV4{AllowUnsigned: true, Hosts: []string{"weir.example"}}); err != nil {
		t.Errorf("a host of the settings: %v", err)
	}
}

// TestSigV4_server goes through a real server: what net/http does to path, Host and headers must not break a signature.
func TestSigV4_server(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, signed, err := ParseSigV4(r)
		if err == nil && !signed {
			err = MissingSignature()
		}
		if err == nil {
			sum := SumBody(r.Body)
			_, _ = io.Copy(io.Discard, sum)
			err = s.Verify(r, exampleSecret, sum.Sum(), time.Now(), &SigV4{})
		}
		if err != nil {
			http.Error(w, err.Error(), err.HTTPStatus())
		}
	}))
	defer srv.Close()
	creds := aws.Credentials{AccessKeyID: exampleID, SecretAccessKey: exampleSecret, SessionToken: "ignored"}
	for _, p := range paths {
		for _, body := range [][]byte{nil, []byte(`{"a":1}`)} {
			req, err := http.NewRequest(http.MethodPost, srv.URL+p, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(body)
			if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, hex.EncodeToString(sum[:]), "bedrock", "eu-west-1", time.Now()); err != nil {
				t.Fatal(err)
			}
			res, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != 200 {
				t.Errorf("%s with %d bytes: %d %s", p, len(body), res.StatusCode, text)
			}
		}
	}
}

// TestSigV4_authority: over HTTP/2 the JavaScript SDK signs :authority where others sign host.
func TestSigV4_authority(t *testing.T) {
	canonical := "POST\n/model/a%253A0/converse\n\n:authority:weir.example:4000\nx-amz-date:20261121T093000Z\n\n:authority;x-amz-date\n" +
		hex.EncodeToString(sha256.New().Sum(nil))
	s := &Signed{Date: "20261121", Region: "us-east-1", Service: "bedrock", Time: signedAt}
	signature := s.signature(s.signingKey(exampleSecret), []byte(canonical))
	r := request("POST", "/model/a%3A0/converse", "weir.example:4000", map[string][]string{"X-Amz-Date": {"20261121T093000Z"}, "Authorization": {
		"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/us-east-1/bedrock/aws4_request, SignedHeaders=:authority;x-amz-date, Signature=" + hex.EncodeToString(signature[:])}}, "")
	if err := check(r, exampleSecret, "", signedAt, &SigV4{}); err != nil {
		t.Error(err)
	}
	r.Host = "elsewhere"
	if err := check(r, exampleSecret, "", signedAt, &SigV4{}); err == nil {
		t.Error("taken at another host")
	}
}

func TestParseSigV4_others(t *testing.T) {
	for _, credential := range []string{"", "Bearer sk-1234", "AWS AKID:c2ln", "Basic eDp5"} {
		r := request("POST", "/model/x/converse?a=b", "h", map[string][]string{"Authorization": {credential}}, "")
		if s, signed, err := ParseSigV4(r); s != nil || signed || err != nil {
			t.Errorf("%q is taken for a signature: %v %v", credential, s, err)
		}
	}
	r := sign(t, "/model/x/converse", "h", "{}", false, http.Header{})
	r.Header.Set("x-litellm-api-key", "sk-1234")
	if _, signed, err := ParseSigV4(r); signed || err != nil {
		t.Errorf("a signature before x-litellm-api-key: %v %v", signed, err)
	}
}

func TestIssueAWS(t *testing.T) {
	salt := []byte("sk-salt")
	seen := map[string]bool{}
	for range 1000 {
		id, secret, err := IssueAWS(salt)
		if err != nil || len(id) != 20 || !isWord(id) || len(secret) != 40 || seen[id] || seen[secret] {
			t.Fatalf("id %q, secret of %d, error %v", id, len(secret), err)
		}
		seen[id], seen[secret] = true, true
		again, _ := AWSSecret(salt, id)
		other, _ := AWSSecret([]byte("sk-salt2"), id)
		if again != secret || other == secret {
			t.Fatal("the secret follows from salt and id alone")
		}
	}
	if _, _, err := IssueAWS(nil); err == nil {
		t.Error("secrets that anybody could derive")
	}
	// What was issued by an earlier version must stay valid.
	if s, _ := AWSSecret([]byte("sk-salt-1234"), "AKIAWEIRABCDEFGHIJKL"); s != goldenSecret {
		t.Errorf("the derivation changed: %s", s)
	}
}

// goldenSecret is what the first version derived.
const goldenSecret = "R1g1cRIEicpj9XmcSafNQTKwZaSlSWB8UDsPK1eZ"

// FuzzParseSigV4 holds that no bytes panic, and that nothing unsigned verifies.
func FuzzParseSigV4(f *testing.F) {
	for _, presign := range []bool{false, true} {
		r := sign(f, "/bedrock/model/a%3Ab/converse?x=1", "h", "{}", presign, http.Header{})
		f.Add(r.Header.Get("Authorization"), r.Header.Get("X-Amz-Date"), "", r.RequestURI)
	}
	f.Add("AWS4-HMAC-SHA256 Credential=/////,SignedHeaders=;,Signature=", "", "UNSIGNED-PAYLOAD", "http://x?X-Amz-Algorithm=")
	f.Add("AWS4-", "Mon, 02 Jan 2006 15:04:05 GMT", "STREAMING-", "*")
	f.Fuzz(func(t *testing.T, authorization, date, hash, target string) {
		h := map[string][]string{"X-Amz-Date": {date}}
		if authorization != "" {
			h["Authorization"] = []string{authorization}
		}
		if hash != "" {
			h["X-Amz-Content-Sha256"] = []string{hash}
		}
		r := request("POST", target, "h", h, "")
		s, signed, err := ParseSigV4(r)
		if err != nil && (!signed || err.Type == "" || err.Status < 400) {
			t.Fatalf("error %+v, signed %v", err, signed)
		}
		if s == nil || err != nil {
			return
		}
		if e := s.Verify(r, "another secret", sha256.Sum256(nil), s.Time, &SigV4{Service: s.Service, AllowUnsigned: true}); e == nil {
			t.Fatal("verified without the secret")
		}
	})
}

func BenchmarkSigV4(b *testing.B) {
	r := sign(b, "/bedrock/model/anthropic.claude%3A0/converse", "weir.example:4000", "{}", false, http.Header{"Content-Type": {"application/json"}})
	sum := sha256.Sum256([]byte("{}"))
	o := &SigV4{}
	b.ReportAllocs()
	for b.Loop() {
		s, _, err := ParseSigV4(r)
		if err == nil {
			err = s.Verify(r, exampleSecret, sum, signedAt, o)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleParseSigV4() {
	r := request("POST", "/model/x/converse", "h", map[string][]string{"Authorization": {"AWS4-HMAC-SHA256 Credential=AKID/x"}}, "")
	_, signed, err := ParseSigV4(r)
	fmt.Println(signed, err.Status, err.Type)
	// Output: true 400 IncompleteSignatureException
}
