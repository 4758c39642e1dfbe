package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testEnv(name string) string {
	return map[string]string{"HOME_KEY": "sk-home", "AZURE_API_KEY": "az"}[name]
}

func TestDefault(t *testing.T) {
	c := Default(testEnv)
	if c.Weir.Listen != ":4000" || !c.LiteLLM.DropParams || c.Weir.Timeouts.Connect != 10*time.Second || c.MaxBody() != 100<<20 ||
		c.Weir.Log.Format != "auto" || c.Weir.ShutdownTimeout != 30*time.Second {
		t.Errorf("defaults: %+v", c)
	}
	if got := c.Env("HOME_KEY"); got != "sk-home" {
		t.Errorf("Env = %q", got)
	}
}

// TestLoad_bad loads one small file per mistake; the file's last line says what must be reported.
func TestLoad_bad(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var severity, message string
			var line int
			_, want, ok := strings.Cut(string(text), "# want: ")
			if _, err := fmt.Sscanf(want, "%s %d", &severity, &line); !ok || err != nil {
				t.Fatalf("no want line: %v", err)
			}
			message = strings.TrimSpace(strings.SplitN(want, " ", 3)[2])
			cfg, problems, err := Load(file, testEnv)
			if (err != nil) != (severity == "error") || (cfg == nil) != (err != nil) {
				t.Errorf("config %v, error %v", cfg != nil, err)
			}
			if len(problems) != 1 {
				t.Fatalf("problems: %v", problems)
			}
			p := problems[0]
			if p.Severity.String() != severity || p.Line != line || !strings.Contains(p.Message, message) || p.File != file {
				t.Errorf("got  %s line %d %q\nwant %s line %d %q", p.Severity, p.Line, p.Message, severity, line, message)
			}
		})
	}
}

func TestLoad_entryDoesNotStopOthers(t *testing.T) {
	c, _, err := Load("testdata/unset_variable.bad.yaml", testEnv)
	if err != nil || len(c.Models) != 1 || c.Models[0].Name != "b" {
		t.Errorf("%v, %+v", err, c)
	}
}

func TestLoad_good(t *testing.T) {
	files, err := filepath.Glob("testdata/captures/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d captures, %v", len(files), err)
	}
	for _, file := range append(files, "testdata/genai-gateway.good.yaml") {
		c, problems, err := Load(file, testEnv)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for _, p := range problems {
			if p.Severity > Note && !strings.Contains(p.Message, "id of the entry") {
				t.Error(p)
			}
		}
		if len(c.Models) == 0 {
			t.Errorf("%s: no models", file)
		}
	}
}

func TestLoad_full(t *testing.T) {
	c, problems, err := Load("testdata/full.good.yaml", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if p.Severity > Note && p.Path != "defaults" {
			t.Error(p)
		}
	}
	m := map[string]*Model{}
	for i := range c.Models {
		m[c.Models[i].Name] = &c.Models[i]
	}
	plain := m["plain"]
	f := func(got, want any) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
	f(c.ModelNames(), []string{"plain", "orgs", "by-credential", "bed", "from-include"})
	f(plain.Params.APIKey.Reveal(), "sk-from-file")
	f(plain.Params.APIBase, "http://127.0.0.1:9110/v1")
	f(plain.Params.Timeout, 2500*time.Millisecond)
	f(plain.Params.StreamTimeout, 30*time.Second)
	f(plain.Params.Headers, map[string]string{"x-a": "b", "x-c": "1"})
	f(*plain.Params.DropParams, false)
	f(plain.Params.Defaults, map[string]any{"temperature": 0.5, "max_tokens": int64(77), "stop": []any{"END"},
		"extra_body": map[string]any{"xb": []any{int64(1), "two", 3.5}}})
	f(plain.Params.Cost, map[string]float64{"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6})
	f(plain.Info, ModelInfo{ID: "dep-plain", BaseModel: "gpt-4o-mini", MaxOutputTokens: 200,
		Extra: map[string]any{"supports_vision": true, "my_own": "zzz", "tpm": int64(5), "output_cost_per_token": 0.000002}})
	f(plain.TPM, int64(5))
	f([]string{c.Models[1].Params.Organization, c.Models[2].Params.Organization}, []string{"org-1", "org-2"})
	f(c.Models[1].Info.ID != c.Models[2].Info.ID, true)
	f(m["by-credential"].Params.APIKey.Reveal()+" "+m["by-credential"].Params.APIBase, "sk-home https://shared.example/v1")
	f(m["bed"].RPM, int64(7))
	f(m["bed"].Params.AWS, AWS{Region: "eu-west-1", BearerToken: "bearer"})
	f(m["bed"].Params.Vertex.Credentials.Reveal(), `{"n":1,"type":"service_account"}`)
	f(c.LiteLLM, LiteLLM{RequestTimeout: 30 * time.Second, ModifyParams: true, Timezone: "UTC"})
	f(c.MaxBody(), int64(1<<19))
	f(c.Router, Router{Timeout: time.Minute, ModelGroupAlias: map[string]Alias{"short": {Model: "plain"}, "hidden": {Model: "plain", Hidden: true}}})
	f(c.Weir.Timeouts, Timeouts{Connect: 3 * time.Second, FirstByte: 20 * time.Second, Idle: time.Minute, Total: 2 * time.Minute, Client: 2 * time.Minute})
	f(c.Weir.Keys[0], Key{Key: "sk-one", Alias: "one", UserID: "u1", TeamID: "t1", Models: []string{"plain", "openai/*"},
		Metadata: map[string]any{"a": int64(1)}, Line: c.Weir.Keys[0].Line})
	f(c.Weir.Keys[1].Key.Reveal(), "sk-home")
	f(c.Files, []string{"testdata/full.good.yaml", "testdata/included.yaml"})
	f(c.Env("COPY"), "sk-home")
	f(c.TotalTimeout(plain), 2500*time.Millisecond)
	f(c.TotalTimeout(m["orgs"]), time.Minute)
	f(c.Drops(m["orgs"]), false)
	again, _, err := Load("testdata/full.good.yaml", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	f(again.Digest, c.Digest)
	f(again.Models[1].Info.ID, c.Models[1].Info.ID)
}

func TestSecret_neverPrints(t *testing.T) {
	c, _, err := Load("testdata/full.good.yaml", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v %#v", c, c, *c)
	for _, secret := range []string{"sk-home", "sk-one", "sk-master", "bearer", "sk-from-file"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is printed", secret)
		}
	}
}

func TestReference(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range Reference() {
		if e.Path == "" || e.Doc == "" || e.Type == "" || seen[e.Path] {
			t.Errorf("incomplete or repeated: %+v", e)
		}
		seen[e.Path] = true
	}
	for _, want := range []string{"model_list[].litellm_params.aws_region_name", "weir.timeouts.connect", "router_settings.fallbacks", "guardrails"} {
		if !seen[want] {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestNearest(t *testing.T) {
	f := func(word, want string) {
		t.Helper()
		if got := nearest(word, []string{"drop_params", "timeout", "top_k", "api_base"}); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
	f("drop_parms", "drop_params")
	f("timeuot", "timeout")
	f("to", "")
	f("apibase", "api_base")
	f("weather", "")
}

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, problems, err := Load(file, testEnv)
		if (c == nil) != (err != nil) {
			t.Fatalf("config %v beside error %v", c, err)
		}
		for _, p := range problems {
			if p.Message == "" || p.File != file {
				t.Fatalf("empty problem: %+v", p)
			}
		}
	})
}
