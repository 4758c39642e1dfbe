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
	var room [16][]byte
	for _, piece := range d.Pieces(room[:0], edits...) {
		dst = append(dst, piece...)
	}
	return dst
}

// Pieces appends the pieces of which Splice's result consists: runs of the body, as long as they can be, and what the edits put between
// them. They are parts of the body and of the edits, so that a large body is edited without a copy.
func (d *Doc) Pieces(dst [][]byte, edits ...Edit) [][]byte {
	p := splicer{list: dst, body: d.Body}
	if len(d.Fields) == 0 {
		open := 0
		for d.Body[open] != '{' {
			open++
		}
		p.keep(0, open+1)
		d.appendNew(&p, edits, false)
		return p.end(open + 1)
	}
	p.keep(0, d.Fields[0].NameStart)
	some := false
	for i := range d.Fields {
		f := &d.Fields[i]
		e := d.editOf(edits, f)
		if e != nil && d.drops(edits, e) {
			continue
		}
		if some { // the separator that stood before this field
			p.keep(d.Fields[i-1].End, f.NameStart)
		}
		some = true
		switch {
		case e == nil:
			p.keep(f.NameStart, f.End)
			continue
		case e.Rename != "":
			p.add(quotedName(e.Rename))
		default:
			p.keep(f.NameStart, f.NameEnd)
		}
		p.keep(f.NameEnd, f.Start)
		if e.Value != nil {
			p.add(e.Value)
		} else {
			p.keep(f.Start, f.End)
		}
	}
	d.appendNew(&p, edits, some)
	return p.end(d.Fields[len(d.Fields)-1].End)
}

// splicer gathers a spliced body. The run body[from:to] is the last piece, not yet in the list.
type splicer struct {
	list     [][]byte
	body     []byte
	from, to int
}

// keep adds a run of the body, to the last one if it goes on where that ends.
func (p *splicer) keep(from, to int) {
	if from != p.to || p.from == p.to {
		p.add(nil)
		p.from = from
	}
	p.to = to
}

// add adds other bytes.
func (p *splicer) add(b []byte) {
	if p.from < p.to {
		p.list = append(p.list, p.body[p.from:p.to])
	}
	p.from = p.to
	if len(b) > 0 {
		p.list = append(p.list, b)
	}
}

// end adds the body's rest and gives the list.
func (p *splicer) end(from int) [][]byte {
	p.keep(from, len(p.body))
	p.add(nil)
	return p.list
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

// comma and colon stand around added fields.
var comma, colon = []byte{','}, []byte{':'}

// appendNew adds the fields that edits add; some says that a field stands before them.
func (d *Doc) appendNew(p *splicer, edits []Edit, some bool) {
	for i := range edits {
		e := &edits[i]
		if e.Value == nil || d.field(e.Name) != nil || d.present(edits, i) {
			continue
		}
		if some {
			p.add(comma)
		}
		some = true
		p.add(quotedName(e.newName()))
		p.add(colon)
		p.add(e.Value)
	}
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

// quotedName is a name in quotes. Names are the gateway's own words; one that is not UTF-8 is mended by the quoting.
func quotedName(name string) []byte {
	out, err := jsontext.AppendQuote(make([]byte, 0, len(name)+2), name)
	if err != nil { // invalid UTF-8, already replaced in out
		return out
	}
	return out
}
