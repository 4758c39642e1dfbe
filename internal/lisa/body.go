package lisa

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxBody is the largest body in bytes, as at LISA's gateway.
const maxBody = 1 << 20

// form collects what is wrong with a body, so that a client is told of everything at once.
type form struct {
	missing, broken []detail
}

// err is the whole of it. What is missing comes first: the rules are for bodies that are complete.
func (f *form) err() error {
	switch {
	case len(f.missing) > 0:
		return malformed(f.missing...)
	case len(f.broken) > 0:
		return broken(f.broken...)
	}
	return nil
}

func (f *form) breaks(field, message string) { f.broken = append(f.broken, detail{field, message}) }

// object is one JSON object of a body. Its methods read a member each; what is absent or null is nil.
type object struct {
	*form
	at      string // where it stands, with a dot at the end; empty: the body itself
	members map[string]jsontext.Value
}

// readBody reads the body, which must be one JSON object. Names that stand twice in an object are refused.
func readBody(r *http.Request) (object, error) {
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return object{}, &problem{status: http.StatusRequestEntityTooLarge, name: "PayloadTooLargeError",
			message: fmt.Sprintf("Request body size exceeds maximum allowed size of %d bytes", maxBody)}
	case err != nil:
		return object{}, malformed(detail{"body", "The body could not be read."})
	}
	return parse(text)
}

func parse(text []byte) (object, error) {
	o := object{form: &form{}}
	if err := json.Unmarshal(text, &o.members); err != nil {
		var bad *jsontext.SyntacticError
		if errors.As(err, &bad) {
			return o, malformed(detail{"body", fmt.Sprintf("The body is not valid JSON: %v (at byte %d)", bad.Err, bad.ByteOffset)})
		}
		return o, malformed(detail{"body", "The body must be a JSON object."})
	}
	if o.members == nil {
		return o, malformed(detail{"body", "The body must be a JSON object."})
	}
	return o, nil
}

// null reports whether a member is there and null.
func (o object) null(name string) bool { v, ok := o.members[name]; return ok && v.Kind() == 'n' }

// get finds a member of a kind (see jsontext.Kind), which may be any of several.
func (o object) get(name string, need bool, kinds, what string) (jsontext.Value, bool) {
	v, ok := o.members[name]
	switch {
	case !ok || v.Kind() == 'n':
		if need {
			o.missing = append(o.missing, detail{o.at + name, "Field required"})
		}
		return nil, false
	case strings.IndexByte(kinds, byte(v.Kind())) < 0:
		o.breaks(o.at+name, "Input should be "+what)
		return nil, false
	}
	return v, true
}

func textOf(v jsontext.Value) string {
	var s string
	_ = json.Unmarshal(v, &s) // a value of kind '"' that was parsed once
	return s
}

// text reads a string; one that is needed must not be empty.
func (o object) text(name string, need bool) *string {
	v, ok := o.get(name, need, `"`, "a valid string")
	if !ok {
		return nil
	}
	s := textOf(v)
	if need && strings.TrimSpace(s) == "" {
		o.breaks(o.at+name, "String should have at least 1 character")
	}
	return &s
}

// choice reads a string that is one of several.
func (o object) choice(name string, need bool, of ...string) *string {
	s := o.text(name, need)
	if s != nil && !slices.Contains(of, *s) {
		if *s != "" || !need {
			o.breaks(o.at+name, "Input should be '"+strings.Join(of[:len(of)-1], "', '")+"' or '"+of[len(of)-1]+"'")
		}
		return nil
	}
	return s
}

func (o object) flag(name string) *bool {
	v, ok := o.get(name, false, "tf", "a valid boolean")
	if !ok {
		return nil
	}
	b := v.Kind() == 't'
	return &b
}

// maxNumber bounds every number; more would overflow somewhere below.
const maxNumber = math.MaxInt32

// number reads an integer of at least least.
func (o object) number(name string, need bool, least int64) *int64 {
	v, ok := o.get(name, need, "0", "a valid integer")
	if !ok {
		return nil
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(string(v), 64)
		if err == nil && f != math.Trunc(f) {
			o.breaks(o.at+name, "Input should be a valid integer")
			return nil
		}
		n = int64(min(max(f, -maxNumber-1), maxNumber+1)) // 1.0 and 1e3 are integers, what is out of range stays so
	}
	switch {
	case n < least && least == 1:
		o.breaks(o.at+name, "Input should be greater than 0")
	case n < least:
		o.breaks(o.at+name, "Input should be greater than or equal to "+strconv.FormatInt(least, 10))
	case n > maxNumber:
		o.breaks(o.at+name, "Input should be less than or equal to "+strconv.Itoa(maxNumber))
	default:
		return &n
	}
	return nil
}

// child reads an object.
func (o object) child(name string, need bool) (object, bool) {
	v, ok := o.get(name, need, "{", "a valid object")
	if !ok {
		return object{}, false
	}
	return o.inside(name, v), true
}

// inside makes an object of a value that is one.
func (o object) inside(name string, v jsontext.Value) object {
	c := object{form: o.form, at: o.at + name + "."}
	_ = json.Unmarshal(v, &c.members) // a value of kind '{' that was parsed once
	return c
}

// list reads an array.
func (o object) list(name string) ([]jsontext.Value, bool) {
	v, ok := o.get(name, false, "[", "a valid list")
	if !ok {
		return nil, false
	}
	out := []jsontext.Value{}
	_ = json.Unmarshal(v, &out) // a value of kind '[' that was parsed once
	return out, true
}

// texts reads an array of strings; nil if it is absent.
func (o object) texts(name string) []string {
	values, ok := o.list(name)
	if !ok {
		return nil
	}
	out := make([]string, 0, len(values))
	for i, v := range values {
		if v.Kind() != '"' {
			o.breaks(fmt.Sprintf("%s%s.%d", o.at, name, i), "Input should be a valid string")
			continue
		}
		out = append(out, textOf(v))
	}
	return out
}
