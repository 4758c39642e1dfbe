package lisa

import (
	"bytes"
	_ "embed"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

//go:embed openapi.json
var openapiText []byte

// openapi answers the OpenAPI document with this gateway's version, and with the prefix under which it was asked for as its server.
func (a *API) openapi(c *call) (any, error) {
	doc := map[string]jsontext.Value{}
	if err := json.Unmarshal(openapiText, &doc); err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	info := map[string]any{}
	if err := json.Unmarshal(doc["info"], &info); err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	if a.Version != "" {
		info["version"] = a.Version
	}
	prefix := strings.TrimSuffix(strings.TrimSuffix(c.r.URL.Path, "/"), "/openapi.json")
	if prefix == "" {
		prefix = "/"
	}
	out := make(map[string]any, len(doc))
	for name, v := range doc {
		out[name] = v
	}
	out["info"], out["servers"] = info, []map[string]string{{"url": prefix}}
	return out, nil
}

const docsHead = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>%[1]s</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2024;background:#fff}
h2{margin:2.2rem 0 .2rem;font-size:1.05rem}code{font-family:ui-monospace,monospace}.m{display:inline-block;min-width:4.5rem;font-weight:700}
p{margin:.2rem 0}ul{margin:.2rem 0}pre{background:#f3f4f6;padding:.8rem;overflow:auto}
@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#16181b}pre{background:#22262b}}
</style></head><body>
<h1>%[1]s</h1><p>%[2]s The same for programs: <a href="openapi.json">openapi.json</a>.</p>
`

type operation struct {
	ID, Summary, Description string
	Parameters               []parameter
	Answers                  []answer
}

type parameter struct {
	Ref         string `json:"$ref"`
	Name        string `json:"name"`
	In          string `json:"in"`
	Description string `json:"description"`
}

type answer struct{ Status, Text string }

// described is what the page needs of the document.
type described struct {
	Info struct {
		Title       string `json:"title"`
		Description string `json:"description"`
	} `json:"info"`
	Paths      map[string]map[string]jsontext.Value `json:"paths"`
	Components struct {
		Schemas    map[string]jsontext.Value `json:"schemas"`
		Parameters map[string]parameter      `json:"parameters"`
		Responses  map[string]struct {
			Description string `json:"description"`
		} `json:"responses"`
	} `json:"components"`
}

// docs shows the document to people; the page asks nobody else for anything. It is not made by html/template: where that is linked, the program
// keeps every exported method of every type, which is a quarter of it.
func (a *API) docs(*call) (any, error) {
	var doc described
	if err := json.Unmarshal(openapiText, &doc); err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	var out bytes.Buffer
	write := func(markup string, text ...any) {
		for i := range text {
			text[i] = html.EscapeString(text[i].(string))
		}
		fmt.Fprintf(&out, markup, text...)
	}
	write(docsHead, doc.Info.Title, doc.Info.Description)
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range []string{"get", "post", "put", "delete"} {
			v, ok := doc.Paths[path][method]
			if !ok {
				continue
			}
			op, err := doc.operation(v)
			if err != nil {
				return nil, err
			}
			write(`<h2 id="%s"><span class="m">%s</span> <code>%s</code></h2>`+"\n<p>%s. %s</p><ul>", op.ID, strings.ToUpper(method), path, op.Summary, op.Description)
			for _, p := range op.Parameters {
				write("<li><code>%s</code> in the %s", p.Name, p.In)
				if p.Description != "" {
					write(": %s", p.Description)
				}
				write("</li>")
			}
			for _, answer := range op.Answers {
				write("<li><code>%s</code> %s</li>", answer.Status, answer.Text)
			}
			write("</ul>\n")
		}
	}
	write("<h1>Schemas</h1>\n")
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		write(`<h2 id="schema-%[1]s">%[1]s</h2><pre>%[2]s</pre>`+"\n", name, string(doc.Components.Schemas[name]))
	}
	write("</body></html>\n")
	return page{"text/html; charset=utf-8", out.Bytes()}, nil
}

func (d *described) operation(v jsontext.Value) (operation, error) {
	var in struct {
		ID          string      `json:"operationId"`
		Summary     string      `json:"summary"`
		Description string      `json:"description"`
		Parameters  []parameter `json:"parameters"`
		Responses   map[string]struct {
			Ref         string `json:"$ref"`
			Description string `json:"description"`
		} `json:"responses"`
	}
	if err := json.Unmarshal(v, &in); err != nil {
		return operation{}, fmt.Errorf("docs: %w", err)
	}
	op := operation{ID: in.ID, Summary: in.Summary, Description: in.Description}
	for _, p := range in.Parameters {
		if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
			p = d.Components.Parameters[name]
		}
		op.Parameters = append(op.Parameters, p)
	}
	for _, status := range slices.Sorted(maps.Keys(in.Responses)) {
		said := in.Responses[status]
		if name, ok := strings.CutPrefix(said.Ref, "#/components/responses/"); ok {
			said.Description = d.Components.Responses[name].Description
		}
		op.Answers = append(op.Answers, answer{status, said.Description})
	}
	return op, nil
}
