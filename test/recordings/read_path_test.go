package recordings

import (
	"regexp"
	"strconv"

	"github.com/weir-gateway/weir/internal/llm"
)

// pathCalls reads a Gemini stream whose arguments come piece by piece: a call begins with its name, each piece names its place by a JSON
// path, and strings grow until a piece without willContinue.
func pathCalls(stream []byte) (out []call) {
	r := &reader{}
	for _, e := range r.events(llm.Gemini, stream) {
		for _, c := range array(e.Data["candidates"]) {
			for _, p := range array(at(c, "content", "parts")) {
				f := object(at(p, "functionCall"))
				if name := text(f["name"]); name != "" {
					out = append(out, call{name, m{}})
					if args := object(f["args"]); args != nil {
						out[len(out)-1].Args = args
					}
				}
				for _, piece := range array(f["partialArgs"]) {
					last := &out[len(out)-1]
					last.Args = grow(last.Args, steps.FindAllString(text(at(piece, "jsonPath")), -1), object(piece))
				}
			}
		}
	}
	return out
}

var steps = regexp.MustCompile(`[A-Za-z_]\w*|\d+`)

// grow puts a piece at its place in v and gives what v has become.
func grow(v any, path []string, piece m) any {
	if len(path) == 0 {
		for _, name := range []string{"numberValue", "boolValue"} {
			if x, ok := piece[name]; ok {
				return x
			}
		}
		if _, ok := piece["nullValue"]; ok {
			return nil
		}
		return text(v) + text(piece["stringValue"])
	}
	if n, err := strconv.Atoi(path[0]); err == nil {
		list := array(v)
		for len(list) <= n {
			list = append(list, nil)
		}
		list[n] = grow(list[n], path[1:], piece)
		return list
	}
	o := object(v)
	if o == nil {
		o = m{}
	}
	o[path[0]] = grow(o[path[0]], path[1:], piece)
	return o
}
