package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a container may have no time zones of its own
)

// Default is the configuration of a gateway without a file. env looks up process variables (os.Getenv).
func Default(env func(string) string) *Config {
	c := &Config{env: env, Environment: map[string]Secret{}}
	if err := setDefaults(reflect.ValueOf(c).Elem()); err != nil {
		// A default tag that does not fit its field; TestDefault keeps that from shipping.
		panic(err)
	}
	return c
}

// Load reads the file at path with everything it includes. env looks up process variables (os.Getenv); an empty value counts as unset.
//
// Problems come in the order of the files' lines and may be there beside a usable Config: a wrong entry of model_list is left out and
// reported. If anything is of severity Error the Config is nil and the error a *LoadError that lists those.
func Load(path string, env func(string) string) (*Config, []Problem, error) {
	l := &loader{cfg: Default(env), sum: sha256.New(), state: map[string]int{}}
	root := l.read(path, Problem{File: path})
	if root != nil {
		l.decode(root)
	}
	l.cfg.Digest = hex.EncodeToString(l.sum.Sum(nil))
	order := map[string]int{}
	for i, f := range l.cfg.Files {
		order[f] = i
	}
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		if a.File != b.File {
			return order[a.File] - order[b.File]
		}
		return a.Line - b.Line
	})
	var fatal []Problem
	for _, p := range l.problems {
		if p.Severity == Error {
			fatal = append(fatal, p)
		}
	}
	if len(fatal) > 0 {
		return nil, l.problems, &LoadError{Problems: fatal}
	}
	return l.cfg, l.problems, nil
}

type loader struct {
	cfg      *Config
	problems []Problem
	sum      hash.Hash
	state    map[string]int // per absolute path: reading, or read
	noted    map[string]bool
}

const (
	reading = 1
	read    = 2
)

// report keeps a problem. What has no effect yet is said once per key, not once per model.
func (l *loader) report(p Problem) {
	if p.Severity == Note {
		key := sectionOf(p.Path)
		if l.noted[key] {
			return
		}
		if l.noted == nil {
			l.noted = map[string]bool{}
		}
		l.noted[key] = true
	}
	l.problems = append(l.problems, p)
}

// read gives a file with its includes merged in, nil if it can't be read. at is where the file was asked for.
func (l *loader) read(path string, at Problem) *node {
	at.Severity = Error
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	switch l.state[abs] {
	case reading:
		at.Message = fmt.Sprintf("include: %s includes itself", path)
		l.report(at)
		return nil
	case read:
		at.Severity, at.Message = Warning, fmt.Sprintf("include: %s is included already; once is enough", path)
		l.report(at)
		return nil
	}
	l.state[abs] = reading
	defer func() { l.state[abs] = read }()
	l.cfg.Files = append(l.cfg.Files, path)
	text, err := os.ReadFile(path)
	if err != nil {
		at.Message = "can't read the configuration: " + err.Error()
		l.report(at)
		return nil
	}
	_, _ = l.sum.Write(text) // a hash never fails
	_, _ = fmt.Fprintf(l.sum, "\x00%d\x00", len(text))
	root, err := parse(path, text, l.report)
	if err != nil {
		p := Problem{Severity: Error, File: path, Message: "not valid YAML: " + err.Error()}
		var pe *posError
		if errors.As(err, &pe) {
			p.Line = pe.line
		}
		l.report(p)
		return nil
	}
	return l.include(root, path)
}

func (l *loader) include(root *node, path string) *node {
	list := root.get("include")
	if list.null() {
		return root
	}
	var names []string
	d := &decoder{lookup: l.lookup, report: l.report, sev: Error}
	d.value(list, reflect.ValueOf(&names).Elem(), "include")
	for _, name := range names {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		if inc := l.read(name, Problem{File: list.file, Line: list.line, Path: "include"}); inc != nil {
			root = l.merge(root, inc, "")
		}
	}
	return root
}

// merge lays b over a: mappings key by key, lists joined, and of two plain values b's counts, with a warning.
func (l *loader) merge(a, b *node, path string) *node {
	out := &node{kind: mapping, file: a.file, line: a.line, size: a.size + b.size, keys: slices.Clone(a.keys)}
	for _, e := range b.keys {
		i := slices.IndexFunc(out.keys, func(x entry) bool { return x.key == e.key })
		at := join(path, e.key)
		if i < 0 {
			out.keys = append(out.keys, e)
			continue
		}
		if at == "include" {
			continue
		}
		old := out.keys[i].val
		switch {
		case old.null():
			out.keys[i] = e
		case e.val.null():
		case old.kind == mapping && e.val.kind == mapping:
			out.keys[i].val = l.merge(old, e.val, at)
		case old.kind == sequence && e.val.kind == sequence:
			joined := slices.Concat(old.items, e.val.items)
			out.keys[i].val = &node{kind: sequence, file: old.file, line: old.line, size: old.size + e.val.size, items: joined}
		default:
			if old.kind != scalar || e.val.kind != scalar || old.text != e.val.text {
				l.report(Problem{Severity: Warning, File: e.file, Line: e.line, Path: at,
					Message: fmt.Sprintf("%s is set in %s (line %d) too; the included file's value counts", at, old.file, out.keys[i].line)})
			}
			out.keys[i] = e
		}
	}
	return out
}

func (l *loader) lookup(name string) (string, bool) {
	v := l.cfg.Env(name)
	return v, v != ""
}

// decode fills the Config from the merged document.
func (l *loader) decode(root *node) {
	// Variables come first: everything after may refer to them.
	l.environment(root.get("environment_variables"))
	c := l.cfg
	for _, e := range root.keys {
		d := &decoder{lookup: l.lookup, report: l.report, sev: Error}
		var into any
		switch e.key {
		case "environment_variables", "include", "model_list":
			continue
		case "credential_list":
			d.sev = Warning
			into = &c.Credentials
		case "litellm_settings":
			into = &c.LiteLLM
		case "general_settings":
			into = &c.General
		case "router_settings":
			into = &c.Router
		case "fleet":
			into = &c.Fleet
		case "weir":
			into = &c.Weir
		default:
			d.unknown(e, "", reflect.TypeFor[Config]())
			continue
		}
		d.value(e.val, reflect.ValueOf(into).Elem(), e.key)
	}
	l.check(root)
	l.models(root)
	l.aliases(root)
}

func (l *loader) environment(n *node) {
	if n.null() {
		return
	}
	d := &decoder{lookup: l.lookup, report: l.report, sev: Warning}
	if n.kind != mapping {
		d.fail(n, "environment_variables", "must be a mapping, not %s", n.what())
		return
	}
	for _, e := range n.keys {
		v, ok := d.resolve(e.val, "environment_variables."+e.key)
		switch {
		case !ok:
		case v.kind != scalar:
			d.fail(v, "environment_variables."+e.key, "must be a single value, not %s", v.what())
		case v.value == nil:
		default:
			l.cfg.Environment[e.key] = Secret(v.text)
		}
	}
}

// check refuses settings that read well but can't be meant.
func (l *loader) check(root *node) {
	c := l.cfg
	complain := func(sev Severity, n *node, path, format string, args ...any) {
		p := Problem{Severity: sev, Path: path, Message: fmt.Sprintf(format, args...)}
		if n != nil {
			p.File, p.Line = n.file, n.line
		}
		l.report(p)
	}
	weir := root.get("weir")
	if c.Weir.Limits.MaxBodyMB <= 0 || c.Weir.Limits.MaxBodyMB > 4096 {
		complain(Error, weir.get("limits").get("max_body_mb"), "weir.limits.max_body_mb", "weir.limits.max_body_mb: must be above 0 and at most 4096")
	}
	if d := c.Weir.Limits.MaxJSONDepth; d < 1 || d > 10000 {
		complain(Error, weir.get("limits").get("max_json_depth"), "weir.limits.max_json_depth", "weir.limits.max_json_depth: must be from 1 to 10000")
	}
	if g := c.General.MaxRequestMB; g < 0 || g > 4096 {
		complain(Error, root.get("general_settings").get("max_request_size_mb"), "general_settings.max_request_size_mb",
			"general_settings.max_request_size_mb: must be from 0 to 4096")
	}
	oneOf := func(n *node, path, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			complain(Error, n, path, "%s: %q is none of %s", path, value, strings.Join(allowed, ", "))
		}
	}
	oneOf(weir.get("limits").get("unpriced_models"), "weir.limits.unpriced_models", c.Weir.Limits.Unpriced, "allow", "refuse")
	oneOf(weir.get("redis_gone"), "weir.redis_gone", c.Weir.RedisGone, "local", "open", "closed")
	oneOf(root.get("general_settings").get("token_rate_limit_type"), "general_settings.token_rate_limit_type", c.General.TokensCounted,
		"total", "input", "output")
	for name, status := range c.General.ErrorStatus {
		path := "general_settings.error_status." + name
		if oneOf(root.get("general_settings").get("error_status"), path, name, "budget_exceeded", "model_denied"); status < 400 || status > 499 {
			complain(Error, root.get("general_settings").get("error_status"), path, "%s: must be from 400 to 499", path)
		}
	}
	if (c.Weir.TLS.Cert == "") != (c.Weir.TLS.Key == "") {
		complain(Error, weir.get("tls"), "weir.tls", "weir.tls: cert and key come together")
	}
	if k := c.General.MasterKey; k != "" && !strings.HasPrefix(string(k), "sk-") {
		complain(Warning, root.get("general_settings").get("master_key"), "general_settings.master_key",
			"general_settings.master_key: does not begin with sk-, which LiteLLM's clients and tools expect")
	}
	if _, err := time.LoadLocation(c.LiteLLM.Timezone); err != nil {
		complain(Error, root.get("litellm_settings").get("timezone"), "litellm_settings.timezone", "litellm_settings.timezone: %v", err)
	}
	l.checkSignIn(root, complain)
	l.checkKeys(weir.get("keys"), complain)
}

func (l *loader) checkKeys(list *node, complain func(Severity, *node, string, string, ...any)) {
	seen := map[Secret]int{}
	for i := range l.cfg.Weir.Keys {
		k := &l.cfg.Weir.Keys[i]
		path := fmt.Sprintf("weir.keys[%d].key", i)
		at := list.items[i]
		switch first, dup := seen[k.Key]; {
		case k.Key == "":
			complain(Error, at, path, "%s: is required", path)
		case dup:
			complain(Error, at, path, "%s: the same key stands on line %d", path, first)
		case k.Key == l.cfg.General.MasterKey:
			complain(Error, at, path, "%s: is the master key", path)
		}
		seen[k.Key] = k.Line
	}
}

// aliases reports those that lead nowhere.
func (l *loader) aliases(root *node) {
	n := root.get("router_settings").get("model_group_alias")
	names := l.cfg.ModelNames()
	for _, name := range slices.Sorted(maps.Keys(l.cfg.Router.ModelGroupAlias)) {
		target := l.cfg.Router.ModelGroupAlias[name].Model
		served := slices.ContainsFunc(names, func(pattern string) bool {
			prefix, _, wild := strings.Cut(pattern, "*")
			return pattern == target || wild && strings.HasPrefix(target, prefix)
		})
		if !served {
			at := n.get(name)
			l.report(Problem{Severity: Warning, File: at.file, Line: at.line, Path: "router_settings.model_group_alias." + name,
				Message: fmt.Sprintf("router_settings.model_group_alias.%s: no model is named %q", name, target)})
		}
	}
}
