package gateway

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/mock"
	"github.com/weir-gateway/weir/test/gwtest"
)

// TestHTTP2 holds that HTTP/2 with prior knowledge works on plain http, streamed and not.
func TestHTTP2(t *testing.T) {
	g := gwtest.Start(t, "")
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: p}}
	defer client.CloseIdleConnections()
	for _, stream := range []bool{false, true} {
		path, body := ask("converse", "demo", stream)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+gwtest.MasterKey)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK || !bytes.Contains(b, []byte("demo")) {
			t.Errorf("stream %v: %s %d %v: %s", stream, resp.Proto, resp.StatusCode, err, b)
		}
	}
}

// certificate writes a self-signed pair with a serial number.
func certificate(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestTLS holds that HTTPS works over HTTP/1.1 and HTTP/2, and that a renewed certificate is taken up without a restart.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, 1)
	var later atomic.Int64 // the gateway's clock runs this far ahead
	g := gwtest.StartIn(t, t.TempDir(), "", app.Options{TLSCert: cert, TLSKey: key, Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	serial := func() int64 {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
		defer client.CloseIdleConnections()
		resp, err := client.Get(g.URL + "/health/liveliness")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
			t.Errorf("%s %d", resp.Proto, resp.StatusCode)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Errorf("serial %d", n)
	}
	certificate(t, dir, 2)
	future := time.Now().Add(time.Minute)
	for _, f := range []string{cert, key} {
		if err := os.Chtimes(f, future, future); err != nil {
			t.Fatal(err)
		}
	}
	later.Store(int64(2 * time.Second))
	if n := serial(); n != 2 {
		t.Errorf("after the renewal: serial %d", n)
	}
}

// TestCompressedBody holds that gzip bodies are taken, and that what they inflate to is bounded.
func TestCompressedBody(t *testing.T) {
	g := gwtest.Start(t, "weir: {limits: {max_body_mb: 1}}\n")
	zip := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, s)
		z.Close()
		return b.String()
	}
	path, body := ask("openai", "demo", false)
	if a := g.Post(t, path, zip(body), "Content-Encoding", "gzip"); a.Status != http.StatusOK {
		t.Errorf("gzip: %d %s", a.Status, a.Body)
	}
	bomb := zip(`{"model":"demo","messages":[{"role":"user","content":"` + strings.Repeat("a", 4<<20) + `"}]}`)
	if a := g.Post(t, path, bomb, "Content-Encoding", "gzip"); a.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body that inflates beyond the limit: %d %s", a.Status, a.Body)
	}
	if a := g.Post(t, path, strings.Repeat(" ", 2<<20)); a.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body beyond the limit: %d %s", a.Status, a.Body)
	}
}

// TestNoSecretsInLogs plants secrets everywhere and looks for them in everything the gateway says.
func TestNoSecretsInLogs(t *testing.T) {
	url := mockServer(t, mock.Options{})
	yaml := strings.ReplaceAll(config(url), "sk-up", "sk-canary-upstream") + "\n- model_name: dead\n  litellm_params: {model: hosted_vllm/x, api_base: 'http://127.0.0.1:1/v1', api_key: sk-canary-upstream}\n"
	g := gwtest.StartIn(t, t.TempDir(), yaml, app.Options{MasterKey: "sk-canary-master"})
	auth := []string{"Authorization", "Bearer sk-canary-master"}
	var said bytes.Buffer
	for _, model := range append([]string{"dead", "nope", "passthrough/x?fault=401", "passthrough/x?fault=cut"}, "m-openai", "m-converse") {
		for _, in := range dialects[:3] {
			for _, stream := range []bool{false, true} {
				path, body := ask(in, model, stream)
				a := g.Post(t, path, strings.Replace(body, "hello", "canary-prompt", 1), auth...)
				said.Write(a.Body)
				for name, values := range a.Header {
					said.WriteString(name + strings.Join(values, ""))
				}
			}
		}
	}
	said.Write(g.Post(t, "/v1/chat/completions", `{}`, "Authorization", "Bearer sk-canary-wrong-key-000").Body)
	said.Write(g.Get(t, "/metrics").Body)
	said.Write(g.Get(t, "/health", auth...).Body)
	for _, canary := range []string{"sk-canary-upstream", "sk-canary-master", "sk-canary-wrong-key"} {
		if strings.Contains(said.String(), canary) {
			t.Errorf("%s in an answer", canary)
		}
		if strings.Contains(g.Log.String(), canary) {
			t.Errorf("%s in the log", canary)
		}
	}
	if strings.Contains(g.Log.String(), "canary-prompt") {
		t.Error("a prompt in the log")
	}
}

// TestWrongMethod holds that a known path with a method it does not take is a 405 that says which it takes, whichever those are.
func TestWrongMethod(t *testing.T) {
	g := gwtest.Start(t, "")
	f := func(method, path string, want int, allow string) {
		t.Helper()
		if a := g.Do(t, method, path, ""); a.Status != want || a.Header.Get("Allow") != allow {
			t.Errorf("%s %s: %d, Allow %q; want %d, %q: %s", method, path, a.Status, a.Header.Get("Allow"), want, allow, a.Body)
		}
	}
	f(http.MethodGet, "/key/generate", http.StatusMethodNotAllowed, "POST")
	f(http.MethodPost, "/metrics", http.StatusMethodNotAllowed, "GET")
	f(http.MethodGet, "/v1/chat/completions", http.StatusMethodNotAllowed, "POST")
	f(http.MethodGet, "/no/such/path", http.StatusNotFound, "")
}
