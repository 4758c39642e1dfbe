// Package test holds what is true of the tree as a whole: the import law and the house rules.
package test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

const module = "github.com/weir-gateway/weir"

// pkg is what `go list -json` tells of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Doc        string
	Name       string
}

func packages(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Doc,Name", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]pkg{}
	for _, one := range strings.SplitAfter(string(out), "\n}\n") {
		if strings.TrimSpace(one) == "" {
			continue
		}
		var p pkg
		if err := json.Unmarshal([]byte(one), &p); err != nil {
			t.Fatalf("go list's output: %v\n%s", err, one)
		}
		all[strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")] = p
	}
	return all
}

// TestImportLaw holds the law of docs/architecture.md: who may import whom.
func TestImportLaw(t *testing.T) {
	all := packages(t)
	ours := func(name string) []string {
		var out []string
		for _, i := range all[name].Imports {
			if strings.HasPrefix(i, module+"/") {
				out = append(out, strings.TrimPrefix(i, module+"/"))
			}
		}
		return out
	}
	only := func(name string, allowed ...string) {
		t.Helper()
		if _, ok := all[name]; !ok {
			t.Fatalf("no package %s: the law names what does not exist", name)
		}
		for _, i := range ours(name) {
			ok := false
			for _, a := range allowed {
				ok = ok || i == a
			}
			if !ok {
				t.Errorf("%s imports %s; it may import only %v", name, i, allowed)
			}
		}
	}
	only("internal/llm")
	only("internal/wire")
	only("internal/config")
	only("internal/account", "internal/llm")
	only("internal/limit", "internal/account", "internal/llm")
	only("internal/cluster", "internal/usage")
	for _, dialect := range []string{"openai", "anthropic", "converse", "gemini"} {
		only("internal/"+dialect, "internal/llm", "internal/wire")
	}
	only("internal/fleet")
	only("internal/host/process", "internal/fleet")
	only("internal/host/ecs", "internal/fleet", "internal/host/stock")
	only("internal/host/kube", "internal/fleet", "internal/host/stock")
	only("internal/host/stock", "internal/fleet")
	only("internal/lisa", "internal/account", "internal/auth", "internal/fleet", "internal/llm", "internal/store")
	only("internal/http1")
	only("internal/sock")
	only("internal/egress", "internal/http1", "internal/sock")
	only("internal/ingress", "internal/http1", "internal/sock")
	for name := range all {
		for _, i := range ours(name) {
			if i == "internal/app" && name != "cmd/weir" && !strings.HasPrefix(name, "test/") {
				t.Errorf("%s imports internal/app; only cmd and tests may", name)
			}
			if name == "internal/proxy" && (i == "internal/store" || i == "internal/api" || i == "internal/fleet" || strings.HasPrefix(i, "internal/host")) {
				t.Errorf("the hot path imports %s", i)
			}
		}
	}
	cloud := map[string]bool{"internal/provider": true, "internal/app": true, "internal/guard": true, "internal/history": true, "internal/logsink": true}
	for name, p := range all {
		for _, i := range p.Imports {
			sdk := strings.HasPrefix(i, "github.com/aws/aws-sdk-go-v2/") || strings.HasPrefix(i, "k8s.io/")
			if sdk && !cloud[name] && !strings.HasPrefix(name, "internal/host/") && !strings.HasPrefix(name, "test/") {
				t.Errorf("%s imports the cloud SDK %s", name, i)
			}
			if i == "text/template" || i == "html/template" {
				t.Errorf("%s imports %s: where it is linked, the program keeps every exported method of every type", name, i)
			}
			service, ok := strings.CutPrefix(i, "github.com/aws/aws-sdk-go-v2/service/")
			if ok && service != "sts" && name != "internal/host/ecs/awstest" && !strings.HasPrefix(name, "test/") {
				t.Errorf("%s imports AWS's client of %s, which keeps all its operations in memory from the start", name, service)
			}
			if strings.HasPrefix(i, "k8s.io/") && name != "internal/host/kube" && !strings.HasPrefix(name, "test/") {
				t.Errorf("%s imports %s; only the kube host may", name, i)
			}
		}
	}
}

// TestPackageComments holds that a package says what it is for.
func TestPackageComments(t *testing.T) {
	for name, p := range packages(t) {
		if p.Doc == "" && p.Name != "" && !strings.HasPrefix(name, "test") {
			t.Errorf("%s has no package comment", name)
		}
	}
}
