package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// models reads model_list. A wrong entry is reported and left out.
func (l *loader) models(root *node) {
	list := root.get("model_list")
	if list.null() {
		return
	}
	if list.kind != sequence {
		l.report(Problem{Severity: Error, File: list.file, Line: list.line, Path: "model_list", Message: "model_list: must be a list, not " + list.what()})
		return
	}
	credentials := map[string]*node{}
	if creds := root.get("credential_list"); !creds.null() {
		for _, c := range creds.items {
			if name := c.get("credential_name"); name != nil {
				credentials[name.text] = c.get("credential_values")
			}
		}
	}
	ids := map[string]int{}
	for i, item := range list.items {
		path := fmt.Sprintf("model_list[%d]", i)
		for _, variant := range perOrganization(item) {
			d := &decoder{lookup: l.lookup, report: l.report, sev: Entry}
			m := d.model(variant, path, credentials)
			if d.failed {
				break
			}
			if line, dup := ids[m.Info.ID]; dup {
				base := m.Info.ID
				for n := 2; dup; n++ {
					m.Info.ID = fmt.Sprintf("%s-%d", base, n)
					_, dup = ids[m.Info.ID]
				}
				if variant == item {
					l.report(Problem{Severity: Warning, File: item.file, Line: item.line, Path: path,
						Message: fmt.Sprintf("%s (line %d) has the id of the entry on line %d, or is a copy of it; its id is now %s", path, item.line, line, m.Info.ID)})
				}
			}
			ids[m.Info.ID] = m.Line
			l.cfg.Models = append(l.cfg.Models, m)
		}
	}
}

// perOrganization makes an entry of each organization, where a list of them is given.
func perOrganization(item *node) []*node {
	params := item.get("litellm_params")
	org := params.get("organization")
	if org == nil || org.kind != sequence || len(org.items) == 0 {
		return []*node{item}
	}
	out := make([]*node, len(org.items))
	for i, o := range org.items {
		out[i] = item.with("litellm_params", params.with("organization", o))
	}
	return out
}

// with is a copy of a mapping in which key has another value.
func (n *node) with(key string, val *node) *node {
	c := *n
	c.keys = slices.Clone(n.keys)
	for i := range c.keys {
		if c.keys[i].key == key {
			c.keys[i].val = val
			return &c
		}
	}
	c.keys = append(c.keys, entry{key: key, line: val.line, file: val.file, val: val})
	return &c
}

// model reads one entry; d.failed says that it can't be used.
func (d *decoder) model(n *node, path string, credentials map[string]*node) Model {
	m := Model{Line: n.line, File: n.file}
	if n.kind != mapping {
		d.fail(n, path, "must be a mapping, not %s", n.what())
		return m
	}
	var params, info *node
	var weight *node
	for _, e := range n.keys {
		at := path + "." + e.key
		switch e.key {
		case "model_name":
			d.value(e.val, reflect.ValueOf(&m.Name).Elem(), at)
		case "litellm_params":
			params = e.val
		case "model_info":
			info = e.val
		case "tpm":
			d.value(e.val, reflect.ValueOf(&m.TPM).Elem(), at)
			d.report(laterNote(e, at, "tokens a minute"))
		case "rpm":
			d.value(e.val, reflect.ValueOf(&m.RPM).Elem(), at)
			d.report(laterNote(e, at, "requests a minute"))
		case "weight":
			weight = e.val
		default:
			d.unknown(e, path, reflect.TypeFor[Model]())
		}
	}
	if m.Name == "" {
		d.fail(n, path, "model_name is required")
	}
	switch {
	case params.null():
		d.fail(n, path, "litellm_params is required")
		return m
	case params.kind != mapping:
		d.fail(params, path+".litellm_params", "must be a mapping, not %s", params.what())
		return m
	}
	params = d.withCredential(params, path+".litellm_params", credentials)
	d.params(params, path+".litellm_params", &m)
	if weight != nil && m.Params.Weight == nil {
		d.value(weight, reflect.ValueOf(&m.Params.Weight).Elem(), path+".weight")
	}
	if !info.null() {
		d.info(info, path+".model_info", &m)
	}
	d.checkModel(params, path+".litellm_params", &m)
	if m.Info.ID == "" {
		m.Info.ID = hashID(m.Name, params)
	}
	return m
}

// withCredential fills in what the entry leaves to a named credential.
func (d *decoder) withCredential(params *node, path string, credentials map[string]*node) *node {
	name := params.get("litellm_credential_name")
	if name.null() {
		return params
	}
	resolved, ok := d.resolve(name, path+".litellm_credential_name")
	if !ok {
		return params
	}
	values, ok := credentials[resolved.text]
	if !ok {
		d.fail(name, path+".litellm_credential_name", "credential_list has no %q", resolved.text)
		return params
	}
	if values == nil {
		return params
	}
	for _, e := range values.keys {
		if params.get(e.key).null() {
			params = params.with(e.key, e.val)
		}
	}
	return params
}

// params reads litellm_params; what is no setting of ours is a default request parameter.
func (d *decoder) params(n *node, path string, m *Model) {
	for _, e := range d.fields(n, reflect.ValueOf(&m.Params).Elem(), path) {
		at := path + "." + e.key
		switch {
		case e.key == "tpm" && m.TPM == 0:
			d.value(e.val, reflect.ValueOf(&m.TPM).Elem(), at)
			d.report(laterNote(e, at, "tokens a minute"))
		case e.key == "rpm" && m.RPM == 0:
			d.value(e.val, reflect.ValueOf(&m.RPM).Elem(), at)
			d.report(laterNote(e, at, "requests a minute"))
		case e.key == "tpm", e.key == "rpm":
		case isCostKey(e.key):
			d.cost(e, at, m, true)
		case laterParam(e.key) != "":
			d.report(laterNote(e, at, laterParam(e.key)))
		default:
			d.requestDefault(e, at, m)
		}
	}
	if k := m.Params.APIKey; k != "" && (m.Params.Provider == "bedrock" || strings.HasPrefix(m.Params.Model, "bedrock/")) {
		m.Params.AWS.BearerToken = k
	}
}

func (d *decoder) requestDefault(e entry, at string, m *Model) {
	if !slices.Contains(requestParams, e.key) {
		names := append(fieldNames(reflect.TypeFor[Params]()), requestParams...)
		if near := nearest(e.key, names); near != "" {
			p := unknownKey(e, at, near)
			p.Message += " As it stands it is sent upstream as a request parameter."
			d.report(p)
		}
	}
	v := d.any(e.val, at)
	if v == nil {
		return
	}
	if m.Params.Defaults == nil {
		m.Params.Defaults = map[string]any{}
	}
	m.Params.Defaults[e.key] = v
}

// cost keeps a price override. replace says that it wins over one already there (litellm_params over model_info).
func (d *decoder) cost(e entry, at string, m *Model, replace bool) {
	if e.val.kind != scalar {
		d.report(laterNote(e, at, "prices other than plain numbers"))
		return
	}
	var f *float64
	d.value(e.val, reflect.ValueOf(&f).Elem(), at)
	if f == nil {
		return
	}
	if *f < 0 || *f > 1e6 {
		d.fail(e.val, at, "must be a price in USD, not negative")
		return
	}
	if m.Params.Cost == nil {
		m.Params.Cost = map[string]float64{}
	}
	if _, have := m.Params.Cost[e.key]; have && !replace {
		return
	}
	m.Params.Cost[e.key] = *f
}

func isCostKey(key string) bool {
	return strings.Contains(key, "_cost_per_") || strings.HasPrefix(key, "cache_") && strings.Contains(key, "_cost") || key == "tiered_pricing" ||
		key == "cost_per_second"
}

// info reads model_info; keys it does not know are the user's own and kept.
func (d *decoder) info(n *node, path string, m *Model) {
	if n.kind != mapping {
		d.fail(n, path, "must be a mapping, not %s", n.what())
		return
	}
	for _, e := range d.fields(n, reflect.ValueOf(&m.Info).Elem(), path) {
		at := path + "." + e.key
		switch {
		case e.key == "tpm" && m.TPM == 0:
			d.value(e.val, reflect.ValueOf(&m.TPM).Elem(), at)
			d.report(laterNote(e, at, "tokens a minute"))
		case e.key == "rpm" && m.RPM == 0:
			d.value(e.val, reflect.ValueOf(&m.RPM).Elem(), at)
			d.report(laterNote(e, at, "requests a minute"))
		case isCostKey(e.key) && e.val.kind == scalar:
			d.cost(e, at, m, false)
		}
		if m.Info.Extra == nil {
			m.Info.Extra = map[string]any{}
		}
		m.Info.Extra[e.key] = d.any(e.val, at)
	}
}

func (d *decoder) checkModel(params *node, path string, m *Model) {
	p := &m.Params
	if p.Model == "" && !d.failed {
		d.fail(params, path, "model is required")
	}
	if p.APIBase != "" {
		u, err := url.Parse(p.APIBase)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			at := params.get("api_base")
			if at == nil {
				at = params.get("base_url")
			}
			d.fail(at, path+".api_base", "must be an http:// or https:// address")
		}
	}
	if p.Weight != nil && *p.Weight < 0 {
		d.fail(params.get("weight"), path+".weight", "must not be negative")
	}
	if strings.Contains(p.Model, "*") && !strings.Contains(m.Name, "*") {
		d.fail(params.get("model"), path+".model", "has a * but model_name has none to take its place from")
	}
}

// hashID is the id of an entry that names none. It depends on what the file says, not on the values of variables, so that a rotated
// key leaves it as it is.
func hashID(name string, params *node) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q", name)
	hashNode(h, params)
	return "mdl_" + hex.EncodeToString(h.Sum(nil)[:10])
}

func hashNode(h hash.Hash, n *node) {
	switch n.kind {
	case sequence:
		_, _ = fmt.Fprintf(h, "[%d", len(n.items))
		for _, item := range n.items {
			hashNode(h, item)
		}
	case mapping:
		keys := slices.Clone(n.keys)
		slices.SortFunc(keys, func(a, b entry) int { return strings.Compare(a.key, b.key) })
		_, _ = fmt.Fprintf(h, "{%d", len(keys))
		for _, e := range keys {
			_, _ = fmt.Fprintf(h, "%q", e.key)
			hashNode(h, e.val)
		}
	default:
		_, _ = fmt.Fprintf(h, "%T%q", n.value, n.text)
	}
}
