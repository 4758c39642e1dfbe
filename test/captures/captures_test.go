// Package captures replays what was asked of LiteLLM 1.106.2 against Weir with the same configuration and the same upstream, and holds
// the answers against each other. What differs on purpose stands in reasons_test.go, a line each.
package captures

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/test/gwtest"
)

// group is one file of captures: calls in the order they were made against one process.
type group struct {
	Group   string   `json:"group"`
	Config  string   `json:"config"`
	Records []record `json:"records"`
}

type record struct {
	Name    string `json:"name"`
	Request struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Headers map[string]string `json:"headers"`
		Body    any               `json:"body"`
	} `json:"request"`
	Response struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Kind    string            `json:"body_kind"`
		Body    any               `json:"body"`
	} `json:"response"`
	Upstream []struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Headers map[string]string `json:"headers"`
		Body    any               `json:"body"`
	} `json:"upstream_requests"`
	Trimmed map[string]int `json:"lists_trimmed_from"`
}

// tally counts the records of a file by how they compare.
type tally struct{ agree, better, later, differ int }

func TestCaptures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	var mu sync.Mutex
	tallies := map[string]tally{}
	t.Run("files", func(t *testing.T) {
		t.Run("database", func(t *testing.T) {
			t.Parallel()
			n := replayDatabase(t, "")
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(tallies, n)
		})
		t.Run("database on PostgreSQL", func(t *testing.T) {
			t.Parallel()
			replayDatabase(t, gwtest.StartPostgres(t).Database(t))
		})
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".json")
			if slices.Contains(databaseFiles, name) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				n := replay(t, name, file)
				mu.Lock()
				tallies[name] = n
				mu.Unlock()
			})
		}
	})
	var sum tally
	var table strings.Builder
	names := make([]string, 0, len(tallies))
	for name := range tallies {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		n := tallies[name]
		fmt.Fprintf(&table, "%-24s %6d %18d %6d %7d\n", name, n.agree, n.better, n.later, n.differ)
		sum.agree, sum.better, sum.later, sum.differ = sum.agree+n.agree, sum.better+n.better, sum.later+n.later, sum.differ+n.differ
	}
	t.Logf("\n%-24s %6s %18s %6s %7s\n%s%-24s %6d %18d %6d %7d", "file", "agree", "better on purpose", "later", "differ", table.String(),
		"all", sum.agree, sum.better, sum.later, sum.differ)
	if len(tallies) == len(files) && !t.Failed() {
		for i := range reasons {
			if !reasons[i].used.Load() && !reasons[i].soon {
				t.Errorf("no difference is explained by this reason any more; remove it: %s %s %s: %s", reasons[i].file, reasons[i].record, reasons[i].field, reasons[i].why)
			}
		}
	}
}

// replay makes the calls of one file against a gateway of its own and compares what comes back.
func replay(t *testing.T, name, file string) (n tally) {
	up := startUpstream(t)
	dead := deadAddress(t)
	there := strings.NewReplacer("127.0.0.1:9110", up.addr, "127.0.0.1:9111", dead)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var g group
	if err := json.Unmarshal([]byte(there.Replace(string(raw))), &g); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join("testdata", g.Config))
	if err != nil {
		t.Fatal(err)
	}
	text := refusing(there.Replace(string(config)))
	switch name {
	case "anthropic_messages":
		text = speakingResponses(text, "openai/")
	case "responses":
		text = speakingResponses(text, "openai/|hosted_vllm/")
	}
	gw := gwtest.Start(t, text)
	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	for i := range g.Records {
		rec := &g.Records[i]
		up.take()
		got := call(t, client, gw.URL, rec)
		diffs := compare(rec, got, up.take())
		switch class, open := explain(name, rec.Name, diffs); {
		case len(open) > 0:
			n.differ++
			t.Errorf("%s/%s: %s %s\n\t%s\n\tLiteLLM: %d %.600s\n\tWeir:    %d %.600s", name, rec.Name, rec.Request.Method, rec.Request.Path, strings.Join(open, "\n\t"),
				rec.Response.Status, show(rec.Response.Body), got.status, got.body)
		case class == later:
			n.later++
		case class == better:
			n.better++
		default:
			n.agree++
		}
	}
	return n
}

// refusing is the configuration with drop_params spelt out where it is not: LiteLLM's default is to refuse, Weir's to drop.
func refusing(config string) string {
	if strings.Contains(config, "\n  drop_params:") {
		return config
	}
	if strings.Contains(config, "litellm_settings: {}") {
		return strings.Replace(config, "litellm_settings: {}", "litellm_settings:\n  drop_params: false", 1)
	}
	return strings.Replace(config, "litellm_settings:\n", "litellm_settings:\n  drop_params: false\n", 1)
}

// speakingResponses says of every deployment of the providers what LiteLLM takes for granted: that the address speaks the Responses API.
// Weir believes it of OpenAI's own address alone.
func speakingResponses(config, providers string) string {
	of := regexp.MustCompile(`model: (` + providers + `)`)
	entries := strings.SplitAfter(config, "\n- model_name: ")
	for i, e := range entries {
		if of.MatchString(e) && !strings.Contains(e, "    mode: ") {
			entries[i] = strings.Replace(e, "  model_info:\n", "  model_info:\n    mode: responses\n", 1)
		}
	}
	return strings.Join(entries, "")
}

// deadAddress is one where nobody listens.
func deadAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// answer is what Weir said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func call(t *testing.T, client *http.Client, url string, rec *record) *answer {
	var body io.Reader
	switch b := rec.Request.Body.(type) {
	case nil:
	case string:
		body = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), rec.Request.Method, url+rec.Request.Path, body)
	if err != nil {
		t.Fatalf("%s: %v", rec.Name, err)
	}
	for name, v := range rec.Request.Headers {
		req.Header.Set(name, concrete(v))
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", rec.Name, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		raw = append(raw, []byte("\n(broken off: "+err.Error()+")")...)
	}
	return &answer{resp.StatusCode, resp.Header, raw}
}

// concrete replaces the placeholders of the captures that stand in requests.
func concrete(v string) string {
	return strings.NewReplacer("<virtual-key>", "sk-1234567890abcdefghij", "<uuid>", "0b0d6c5e-5f7c-4a52-9d5a-3f6f4b9f8a10").Replace(v)
}

func show(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err.Error()
	}
	return string(b)
}
