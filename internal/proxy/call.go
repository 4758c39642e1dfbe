package proxy

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/route"
	"github.com/weir-gateway/weir/internal/usage"
	"github.com/weir-gateway/weir/internal/wire"
)

// call is the state of one request on its way through. It belongs to one goroutine.
type call struct {
	p    *Proxy
	snap *Snapshot
	w    http.ResponseWriter
	r    *http.Request
	ctx  context.Context
	endpoint
	served llm.Served

	id        string
	started   time.Time
	ended     time.Time
	named     string // the model asked for, once the aliases of key and team are followed
	group     string // the model's configured name: a wildcard's pattern
	tier      string // service tier asked for: some cost more or less
	principal *auth.Principal
	claimed   *auth.Principal // of a signed request, until verify
	signed    *auth.Signed    // nil: the request is not signed
	sum       *auth.BodySum   // of a signed request
	body      []byte
	size      int64           // of the body
	doc       *wire.Doc       // lent like a buffer
	sse       *wire.SSEReader // so too; nil if the answer is no stream of that kind
	target    *route.Deployment
	running   *atomic.Int64 // where this call is counted as running; nil: nowhere
	spoken    llm.Dialect
	// patience and streamPatience are how long the client itself wants to wait, for all and for a stream's first byte; 0: it didn't say.
	patience, streamPatience time.Duration

	several   bool // more than one choice was asked for
	wantUsage bool // an OpenAI stream's client asked for the usage chunk

	turn        turn
	rec         usage.Record
	held        limit.Reservation
	estimate    llm.Usage       // what it may use at most
	inFlight    *usage.OpenCall // nil: nobody watches
	seen        llm.Seen
	thinking    reasoningMerger
	tools       *toolbox
	sent        bool // the status line has gone out
	told        bool // the client has the upstream's own error
	recorded    bool
	asked       bool          // a request went to the upstream
	answered    bool          // and it answered 2xx
	form        []string      // the type of a body that is a form with files
	units       usage.Units   // what is billed otherwise than by the token
	contentType []string      // of a whole answer that isn't JSON (speech)
	overhead    time.Duration // time spent before the upstream was called
	buffers     []*[]byte     // go back to the pool at finish
	lent        [6]*[]byte    // room for buffers
	values      [10]string    // room for the values of headers
	valuesUsed  int
}

// begin makes the call and counts it in.
func (p *Proxy) begin(w http.ResponseWriter, r *http.Request, e endpoint) *call {
	c := &call{p: p, snap: p.snap.Load(), w: w, r: r, ctx: r.Context(), endpoint: e, served: codecs[e.dialect], started: p.now()}
	if e.op == llm.OpCompletion {
		c.served = completions
	}
	// The record's id is always ours: a client that repeats its call id must not make two calls look like one.
	c.rec.ID = newID(c.started)
	c.id = c.rec.ID
	if v := r.Header["X-Litellm-Call-Id"]; len(v) > 0 && plainID(v[0]) {
		c.id = v[0]
	}
	c.rec.RequestID = c.id
	c.rec.Start = c.started.UnixMilli()
	c.rec.In, c.rec.Op = e.dialect, e.op
	c.buffers = c.lent[:0]
	c.doc = docs.Get().(*wire.Doc)
	p.metrics.begin()
	return c
}

// plainID allows ids that are safe in a header, a log and a primary key.
func plainID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// newID is a UUID, version 7: the milliseconds in front keep the records of a time together in the database, which makes inserting them
// twice as fast; 74 bits are random.
func newID(now time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[6:]) // never fails: crypto/rand ends the program instead
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint32(b[:4], uint32(ms>>16))
	binary.BigEndian.PutUint16(b[4:6], uint16(ms))
	b[6], b[8] = b[6]&0x0f|0x70, b[8]&0x3f|0x80
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// Buffers are reused between calls, small ones apart from large ones, so that a short call does not sit on a long one's memory. One that
// grew past maxPooled is left to the collector, so that a burst of large bodies does not stay in memory.
var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, 0, smallBuffer); return &b }}
	largeBuffers = sync.Pool{New: func() any { return new([]byte) }}
)

// docs are scanned bodies' fields.
var docs = sync.Pool{New: func() any { return new(wire.Doc) }}

const (
	smallBuffer = 4 << 10
	maxSmall    = 16 << 10
	maxPooled   = 1 << 20
)

// buffer lends an empty buffer until the call is over. It may grow.
func (c *call) buffer() *[]byte { return c.bufferFor(0) }

// bufferFor lends a buffer for something of about that many bytes.
func (c *call) bufferFor(size int64) *[]byte {
	pool := &smallBuffers
	if size > maxSmall {
		pool = &largeBuffers
	}
	b := pool.Get().(*[]byte)
	*b = (*b)[:0]
	c.buffers = append(c.buffers, b)
	return b
}

// release gives a buffer back before the call is over.
func (c *call) release(b *[]byte) {
	last := len(c.buffers) - 1
	for i := last; i >= 0; i-- {
		if c.buffers[i] == b {
			c.buffers[i] = c.buffers[last]
			c.buffers = c.buffers[:last]
			recycle(b)
			return
		}
	}
}

func recycle(b *[]byte) {
	switch {
	case cap(*b) <= maxSmall:
		smallBuffers.Put(b)
	case cap(*b) <= maxPooled:
		largeBuffers.Put(b)
	}
}

// readBody reads and, if it is compressed, inflates the request's body within the limit.
func (c *call) readBody() *llm.Error {
	limit := c.snap.Settings.MaxBody
	if c.r.ContentLength > limit {
		return tooLarge(limit)
	}
	var src io.Reader = c.r.Body
	switch enc := c.r.Header.Get("Content-Encoding"); enc {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(io.LimitReader(c.r.Body, limit+1))
		if err != nil {
			return llm.Invalid("Content-Encoding", "the body is not gzip, though its Content-Encoding says so")
		}
		src = z
	default:
		e := llm.Invalid("Content-Encoding", "unsupported Content-Encoding %q: send the body plain or as gzip", enc)
		e.Status = http.StatusUnsupportedMediaType
		return e
	}
	b := c.bufferFor(c.r.ContentLength)
	body, err := readAll(src, *b, c.r.ContentLength, limit)
	*b = body
	c.body, c.size = body, int64(len(body))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge):
		return tooLarge(limit)
	case c.ctx.Err() != nil:
		return &llm.Error{Kind: llm.ErrClientGone, Message: "the client closed the connection"}
	}
	return llm.Invalid("", "the request body could not be read: %v", err)
}

func tooLarge(limit int64) *llm.Error {
	return llm.Errorf(llm.ErrTooLarge, "the request body is larger than the limit of %d bytes (weir.limits.max_body_mb)", limit)
}

var errTooLarge = errors.New("too large")

// readAll reads src into dst, growing it to size at once when that is known. More than limit bytes is errTooLarge.
func readAll(src io.Reader, dst []byte, size, limit int64) ([]byte, error) {
	if size > 0 && size <= limit && int64(cap(dst)) <= size {
		dst = make([]byte, 0, size+size/8+1) // with a spare byte, so that the end is found without growing again; and it will be reused
	}
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := src.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if int64(len(dst)) > limit {
			return dst, errTooLarge
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// fail answers with an error in the client's dialect, or ends the stream with one if the answer has begun.
func (c *call) fail(e *llm.Error) {
	if c.ctx.Err() != nil && c.r.Context().Err() != nil {
		e = &llm.Error{Kind: llm.ErrClientGone, Message: "the client closed the connection"}
	}
	c.rec.ErrorKind = e.Kind
	c.rec.Status = e.HTTPStatus()
	if e.Kind == llm.ErrClientGone {
		c.rec.ClientGone = true
		c.record()
		return
	}
	if c.p.log.Enabled(c.ctx, logLevel(e)) {
		c.p.log.Log(c.ctx, logLevel(e), "call failed", "call_id", c.id, "kind", e.Kind, "status", e.HTTPStatus(), "model", c.rec.Model,
			"deployment", c.rec.Deployment, "error", e.Error())
	}
	c.record()
	out := c.buffer()
	if c.told {
		return
	}
	if c.sent {
		*out = c.served.EncodeStreamError(*out, e)
		_, _ = c.w.Write(*out)
		_ = http.NewResponseController(c.w).Flush()
		return
	}
	h := c.w.Header()
	c.commonHeaders(h)
	h["X-Litellm-Response-Cost"] = zero
	c.limitHeaders(h)
	for name, values := range e.Header {
		h[name] = values
	}
	if e.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10)}
	}
	*out = c.served.EncodeError(*out, h, e)
	if h["Content-Type"] == nil {
		h["Content-Type"] = contentJSON
	}
	h["Content-Length"] = []string{strconv.Itoa(len(*out))}
	c.sent = true
	c.w.WriteHeader(e.HTTPStatus())
	_, _ = c.w.Write(*out)
}

// finish counts the call out and gives its buffers back. A call that was never recorded (a panic on the way) is recorded here.
func (c *call) finish() {
	c.record()
	if c.running != nil {
		c.running.Add(-1)
	}
	c.p.metrics.end(c)
	for _, b := range c.buffers {
		recycle(b)
	}
	c.buffers = nil
	c.doc.Reset()
	docs.Put(c.doc)
	if c.sse != nil {
		c.sse.Reset(nil)
		sseReaders.Put(c.sse)
	}
	c.doc, c.sse = nil, nil
}

// transportError says in the gateway's words why an upstream could not be reached or read. It names the deployment, never its key.
func (c *call) transportError(err error) *llm.Error {
	if c.r.Context().Err() != nil {
		return &llm.Error{Kind: llm.ErrClientGone, Message: "the client closed the connection", Cause: err}
	}
	var known *llm.Error
	if errors.As(err, &known) {
		return known
	}
	e := &llm.Error{Kind: llm.ErrConnection, Provider: c.target.Upstream.Provider, Cause: err}
	var timeout *egress.TimeoutError
	switch {
	case errors.As(err, &timeout):
		e.Kind = llm.ErrTimeout
		e.Message = "deployment " + c.target.ID + ": " + timeout.Error()
	default:
		e.Message = "deployment " + c.target.ID + ": connection error"
	}
	return e
}
