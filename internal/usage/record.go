// Package usage keeps the books of calls: what a model costs (Prices), how many tokens a text has (Estimate), the single account of a
// finished call (Record), and the Journal that makes records survive a crash until they are in SQL. It imports llm and account; proxy, store,
// log sinks and app import it. Journal.Append and Price.Cost are on the hot path.
package usage

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/llm"
)

// Record is the single account of a finished call, written once, from which spend, metrics and logs follow.
type Record struct {
	// ID is the gateway's own id of the call. It must be unique: a second record with the same id is taken for a repetition and dropped.
	// So it is never a client's or an upstream's id; those may repeat.
	ID string
	// RequestID is the id that the client sees and may have chosen (x-litellm-call-id).
	RequestID string

	Start     int64 // Unix milliseconds UTC, as are all times
	FirstByte int64 // first generated content; 0: none came
	End       int64

	Key      string // SHA-256 of the key in hex, never the key
	KeyAlias string
	User     string
	Team     string
	Org      string
	EndUser  string

	Model      string // public name as asked for
	Deployment string
	Provider   string
	Upstream   string // the upstream's own name of the model
	APIBase    string // upstream address without query or credentials

	In     llm.Dialect // of the client
	Out    llm.Dialect // of the upstream
	Op     llm.Op
	Stream bool

	Status     int           // HTTP status the client got, or would have got
	ErrorKind  llm.ErrorKind // empty: none
	Incomplete bool          // the stream stopped short of its terminal event
	ClientGone bool
	Attempts   int

	Usage  llm.Usage // Usage.Extra is not kept; Usage.Estimated tells counted by us from reported
	Cost   llm.Nanos
	Priced bool // false: no price is known, Cost is 0

	Session string
	Tags    []string
	Dropped []string // parameters the upstream's dialect could not express

	// Lost marks a record made up for a call of a replica that never came back: Cost is what was reserved for the call. The call's own
	// record takes its place should it come after all.
	Lost bool

	// What a chat adds to its user's metrics; nothing if the client got no answer.
	Prompts   int64         // new user messages, without the history sent along
	Retrieved bool          // it was given context that somebody had looked up
	Tools     []llm.ToolUse // the tools that the answer calls
	// Thread stands for the conversation where the client names no Session: a hash of how it begins. 0: none.
	Thread uint64
	// Groups are the caller's at the time of the call. They are not kept with the record, only with the user.
	Groups []string
}

// recordVersion begins every encoded record. Fields are only ever added at the end, so that an older journal is still read.
const recordVersion = 1

var errRecord = errors.New("not a record of this journal's version")

// Append encodes the record to dst, without allocating unless dst must grow.
func (r *Record) Append(dst []byte) []byte {
	dst = append(dst, recordVersion)
	for _, s := range [...]string{r.ID, r.RequestID, r.Key, r.KeyAlias, r.User, r.Team, r.Org, r.EndUser, r.Model, r.Deployment, r.Provider,
		r.Upstream, r.APIBase, string(r.In), string(r.Out), string(r.Op), string(r.ErrorKind), r.Session} {
		dst = appendText(dst, s)
	}
	u := &r.Usage
	for _, n := range [...]int64{r.Start, r.FirstByte, r.End, int64(r.Status), int64(r.Attempts), int64(r.Cost), u.Input, u.Output, u.Total,
		u.CacheRead, u.CacheWrite, u.CacheWrite1h, u.Reasoning, u.InputAudio, u.OutputAudio, u.InputImage, u.OutputImage, u.ToolInput,
		u.WebSearches, u.Accepted, u.Rejected} {
		dst = binary.AppendVarint(dst, n)
	}
	var flags uint64
	for i, b := range [...]bool{r.Stream, r.Incomplete, r.ClientGone, r.Priced, u.Estimated, u.ReasoningKnown, u.CacheKnown, r.Lost} {
		if b {
			flags |= 1 << i
		}
	}
	dst = binary.AppendUvarint(dst, flags)
	dst = appendTexts(dst, r.Tags)
	dst = appendTexts(dst, r.Dropped)
	return r.appendMetrics(dst)
}

// appendMetrics encodes the fields that came with users' metrics.
func (r *Record) appendMetrics(dst []byte) []byte {
	dst = binary.AppendVarint(dst, r.Prompts)
	var flags uint64
	if r.Retrieved {
		flags = 1
	}
	dst = binary.AppendUvarint(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(len(r.Tools)))
	for i := range r.Tools {
		dst = appendText(dst, r.Tools[i].Name)
		dst = binary.AppendVarint(dst, r.Tools[i].Calls)
	}
	dst = binary.AppendUvarint(dst, r.Thread)
	return appendTexts(dst, r.Groups)
}

func (r *Record) decodeMetrics(d *decoder) {
	if len(d.b) == 0 {
		return // written before there were any
	}
	r.Prompts = d.varint()
	r.Retrieved = d.uvarint()&1 != 0
	n := d.uvarint()
	d.bad = d.bad || n > uint64(len(d.b))
	for ; n > 0 && !d.bad; n-- {
		r.Tools = append(r.Tools, llm.ToolUse{Name: d.text(), Calls: d.varint()})
	}
	r.Thread = d.uvarint()
	r.Groups = d.texts()
}

// appendText writes a string that every database takes: valid UTF-8 without NUL.
func appendText(dst []byte, s string) []byte {
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "")
	}
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendTexts(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendText(dst, s)
	}
	return dst
}

// Decode reads what Append wrote; strings are copies. Any other bytes give an error.
func (r *Record) Decode(b []byte) error {
	d := decoder{b: b}
	if len(b) == 0 || b[0] != recordVersion {
		return errRecord
	}
	d.b = b[1:]
	*r = Record{}
	var in, out, op, kind string
	for _, s := range [...]*string{&r.ID, &r.RequestID, &r.Key, &r.KeyAlias, &r.User, &r.Team, &r.Org, &r.EndUser, &r.Model, &r.Deployment,
		&r.Provider, &r.Upstream, &r.APIBase, &in, &out, &op, &kind, &r.Session} {
		*s = d.text()
	}
	r.In, r.Out, r.Op, r.ErrorKind = llm.Dialect(in), llm.Dialect(out), llm.Op(op), llm.ErrorKind(kind)
	var status, attempts, cost int64
	u := &r.Usage
	for _, n := range [...]*int64{&r.Start, &r.FirstByte, &r.End, &status, &attempts, &cost, &u.Input, &u.Output, &u.Total, &u.CacheRead,
		&u.CacheWrite, &u.CacheWrite1h, &u.Reasoning, &u.InputAudio, &u.OutputAudio, &u.InputImage, &u.OutputImage, &u.ToolInput,
		&u.WebSearches, &u.Accepted, &u.Rejected} {
		*n = d.varint()
	}
	r.Status, r.Attempts, r.Cost = int(status), int(attempts), llm.Nanos(cost)
	flags := d.uvarint()
	for i, b := range [...]*bool{&r.Stream, &r.Incomplete, &r.ClientGone, &r.Priced, &u.Estimated, &u.ReasoningKnown, &u.CacheKnown, &r.Lost} {
		*b = flags&(1<<i) != 0
	}
	r.Tags, r.Dropped = d.texts(), d.texts()
	r.decodeMetrics(&d)
	if d.bad {
		return errRecord
	}
	return nil
}

// decoder reads the parts of a record; once something does not fit, bad is set and all further parts are zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) text() string {
	n := d.uvarint()
	if n > math.MaxInt32 || int(n) > len(d.b) {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) texts() []string {
	n := d.uvarint()
	if n == 0 || n > uint64(len(d.b)) {
		d.bad = d.bad || n != 0
		return nil
	}
	out := make([]string, 0, min(n, 64))
	for range n {
		out = append(out, d.text())
		if d.bad {
			return nil
		}
	}
	return out
}
