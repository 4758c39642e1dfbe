package wire

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Edit is one change that Splice makes to a top-level field.
type Edit struct {
	// Name of the field, as unescaped text.
	Name string
	// Value is the JSON to put there; nil deletes the field, or with Rename keeps its value.
	Value []byte
	// Rename is the field's new name. If the body has a field of that name already, that one stays and this one goes.
	Rename string
	// Default says that the edit only counts if the body has no such field.
	Default bool
}

// Splice appends the body with the edits made and every other byte untouched, order and white space included. Fields that the body
// lacks come at the end, in the order of the edits. Of several edits for one field the first counts, and the result never has a name
// twice. Values are trusted to be JSON. dst must not overlap the body; it needs no edit to copy.
func (d *Doc) Splice(dst []byte, edits ...Edit) []byte {
	size := len(d.Body)
	for i := range edits {
		size += len(edits[i].Name) + len(edits[i].Value) + len(edits[i].Rename) + 8
	}
	dst = slices.Grow(dst, size)
	if len(d.Fields) == 0 {
		open := 0
		for d.Body[open] != '{' {
			open++
		}
		dst = append(dst, d.Body[:open+1]...)
		dst, _ = d.appendNew(dst, edits, false)
		return append(dst, d.Body[open+1:]...)
	}
	dst = append(dst, d.Body[:d.Fields[0].NameStart]...)
	some := false
	for i := range d.Fields {
		f := &d.Fields[i]
		e := d.editOf(edits, f)
		if e != nil && d.drops(edits, e) {
			continue
		}
		if some { // the separator that stood before this field
			dst = append(dst, d.Body[d.Fields[i-1].End:f.NameStart]...)
		}
		some = true
		switch {
		case e == nil:
			dst = append(dst, d.Body[f.NameStart:f.End]...)
			continue
		case e.Rename != "":
			dst = appendName(dst, e.Rename)
		default:
			dst = append(dst, d.Body[f.NameStart:f.NameEnd]...)
		}
		dst = append(dst, d.Body[f.NameEnd:f.Start]...)
		if e.Value != nil {
			dst = append(dst, e.Value...)
		} else {
			dst = append(dst, d.Body[f.Start:f.End]...)
		}
	}
	dst, _ = d.appendNew(dst, edits, some)
	return append(dst, d.Body[d.Fields[len(d.Fields)-1].End:]...)
}

// editOf is the edit that counts for a field of the body.
func (d *Doc) editOf(edits []Edit, f *Field) *Edit {
	for i := range edits {
		if !edits[i].Default && edits[i].Name == string(f.Name) {
			return &edits[i]
		}
	}
	return nil
}

// drops tells whether an edit makes its field disappear: it is a deletion, or a renaming to a name that is taken.
func (d *Doc) drops(edits []Edit, e *Edit) bool {
	if e.Rename == "" {
		return e.Value == nil
	}
	return d.taken(edits, e)
}

// taken tells whether the new name of a renaming is that of another field of the body that keeps its name, or was given to one by an
// earlier edit.
func (d *Doc) taken(edits []Edit, e *Edit) bool {
	if e.Rename == e.Name {
		return false
	}
	if f := d.field(e.Rename); f != nil {
		o := d.editOf(edits, f)
		if o == nil || o.Rename == o.Name || o.Rename == "" && o.Value != nil {
			return true
		}
	}
	for i := range edits {
		o := &edits[i]
		if o == e {
			break
		}
		if o.Rename == e.Rename && d.applies(edits, o) {
			return true
		}
	}
	return false
}

// applies tells whether an edit is the one that counts for a field of the body.
func (d *Doc) applies(edits []Edit, e *Edit) bool {
	f := d.field(e.Name)
	return f != nil && d.editOf(edits, f) == e
}

// appendNew appends the fields that edits add; some says that a field stands before them.
func (d *Doc) appendNew(dst []byte, edits []Edit, some bool) ([]byte, bool) {
	for i := range edits {
		e := &edits[i]
		if e.Value == nil || d.field(e.Name) != nil || d.present(edits, i) {
			continue
		}
		if some {
			dst = append(dst, ',')
		}
		some = true
		dst = appendName(dst, e.newName())
		dst = append(dst, ':')
		dst = append(dst, e.Value...)
	}
	return dst, some
}

func (e *Edit) newName() string {
	if e.Rename != "" {
		return e.Rename
	}
	return e.Name
}

// present tells whether the name that edit n would add stands in the result already: from the body, or by an earlier edit.
func (d *Doc) present(edits []Edit, n int) bool {
	name := edits[n].newName()
	if f := d.field(name); f != nil {
		if e := d.editOf(edits, f); e == nil || !d.drops(edits, e) && e.newName() == name {
			return true
		}
	}
	for i := range edits {
		e := &edits[i]
		switch {
		case d.field(e.Name) != nil:
			if d.applies(edits, e) && e.newName() == name && !d.drops(edits, e) {
				return true
			}
		case i < n && e.Value != nil && (e.Name == edits[n].Name || e.newName() == name):
			return true
		}
	}
	return false
}

// appendName appends a quoted name. Names are the gateway's own words; one that is not UTF-8 is mended by the quoting.
func appendName(dst []byte, name string) []byte {
	out, err := jsontext.AppendQuote(dst, name)
	if err != nil { // invalid UTF-8, already replaced in out
		return out
	}
	return out
}
