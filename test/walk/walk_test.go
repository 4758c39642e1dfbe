// Package walk follows the documentation of the systems that Weir replaces, example by example, against a whole gateway, and compares what
// comes back with what the documents show. A file per document; testdata has the examples as they stand there.
package walk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/test/gwtest"
)

// weir is the program, built once: its mock is what the model servers are.
var weir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "weir-walk")
	if err == nil {
		weir = filepath.Join(dir, "weir")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", weir, "github.com/weir-gateway/weir/cmd/weir").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build weir:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// example is a block of JSON of a document.
func example(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func parsed(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// differences are the places where an answer is not as a document shows it. More keys than the document has are no difference; a longer
// list is. What stands in kinds is not compared, only that it is there and of the same kind.
func differences(at string, want, got any, kinds ...string) (out []string) {
	for _, name := range kinds {
		if strings.HasSuffix(at, "."+name) {
			if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
				return []string{fmt.Sprintf("%s is %T, want %T", at, got, want)}
			}
			return nil
		}
	}
	switch want := want.(type) {
	case map[string]any:
		is, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %v, want an object", at, got)}
		}
		for name, v := range want {
			one, there := is[name]
			if !there {
				out = append(out, at+"."+name+" is not there")
				continue
			}
			out = append(out, differences(at+"."+name, v, one, kinds...)...)
		}
	case []any:
		is, ok := got.([]any)
		if !ok || len(is) != len(want) {
			return []string{fmt.Sprintf("%s is %v, want %v", at, got, want)}
		}
		for i := range want {
			out = append(out, differences(fmt.Sprintf("%s[%d]", at, i), want[i], is[i], kinds...)...)
		}
	default:
		if want != got {
			out = append(out, fmt.Sprintf("%s is %v, want %v", at, got, want))
		}
	}
	return out
}

// shows holds an answer to a status and to what a document shows.
func shows(t *testing.T, a *gwtest.Answer, status int, document string, kinds ...string) {
	t.Helper()
	if a.Status != status {
		t.Fatalf("%d %s\nwant %d", a.Status, a.Body, status)
	}
	for _, d := range differences("", parsed(t, document), parsed(t, string(a.Body)), kinds...) {
		t.Errorf("not as documented: %s\n%s", d, a.Body)
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
