package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Handler makes an upstream of a handler in this process. An answer streams: what the handler writes reaches the reader when it flushes,
// when a buffer of 4 KiB is full, or when it returns. Cancelling the request or closing the body cancels the handler's context, and
// its writes fail. A handler that panics fails the call, or cuts the answer short.
func Handler(h http.Handler) http.RoundTripper { return local{h} }

type local struct{ h http.Handler }

var errLocal = errors.New("in-process upstream failed")

func (l local) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	in := req.Clone(ctx)
	in.RequestURI = in.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	if in.Host == "" {
		in.Host = in.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	pr, pw := io.Pipe()
	w := &localWriter{header: http.Header{}, pipe: pw, req: req, ready: make(chan *http.Response, 1)}
	w.buf = bufio.NewWriter(commits{w})
	w.body = &localBody{PipeReader: pr, cancel: cancel}
	w.body.stop = context.AfterFunc(ctx, func() { pr.CloseWithError(context.Cause(ctx)) })
	go l.serve(w, in)
	select {
	case resp := <-w.ready:
		if resp == nil {
			w.body.Close()
			return nil, w.failed
		}
		return resp, nil
	case <-ctx.Done():
		w.body.Close()
		return nil, context.Cause(req.Context())
	}
}

func (l local) serve(w *localWriter, in *http.Request) {
	defer in.Body.Close()
	defer func() {
		if r := recover(); r != nil {
			w.fail(fmt.Errorf("%w: %v", errLocal, r))
			return
		}
		w.finish()
	}()
	l.h.ServeHTTP(w, in)
}

// localWriter is the handler's http.ResponseWriter. Only the handler's goroutine uses it.
type localWriter struct {
	header http.Header
	status int
	buf    *bufio.Writer
	pipe   *io.PipeWriter
	body   *localBody
	req    *http.Request
	sent   bool
	ready  chan *http.Response // of the head, or nil when failed says why there is none
	failed error
}

func (w *localWriter) Header() http.Header { return w.header }

func (w *localWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

func (w *localWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.req.Method == http.MethodHead || w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return len(p), nil
	}
	return w.buf.Write(p)
}

// Flush lets the reader have what was written.
func (w *localWriter) Flush() { w.FlushError() }

// FlushError is Flush for http.ResponseController; an error means that the reader is gone.
func (w *localWriter) FlushError() error {
	w.WriteHeader(http.StatusOK)
	w.commit(-1)
	return w.buf.Flush()
}

// commits is what the buffer spills into: the head goes before the first bytes.
type commits struct{ w *localWriter }

func (c commits) Write(p []byte) (int, error) {
	c.w.commit(-1)
	return c.w.pipe.Write(p)
}

// commit gives the head to the caller, once.
func (w *localWriter) commit(length int64) {
	if w.sent {
		return
	}
	w.sent = true
	w.ready <- &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header.Clone(), Body: w.body, ContentLength: length, Request: w.req,
	}
}

func (w *localWriter) finish() {
	w.WriteHeader(http.StatusOK)
	w.commit(int64(w.buf.Buffered())) // nothing went out before: this is all of it
	err := w.buf.Flush()
	w.pipe.CloseWithError(err)
}

func (w *localWriter) fail(err error) {
	if !w.sent {
		w.sent, w.failed = true, err
		w.ready <- nil
	}
	w.pipe.CloseWithError(err)
}

type localBody struct {
	*io.PipeReader
	cancel context.CancelFunc
	stop   func() bool
	once   sync.Once
}

func (b *localBody) Close() error {
	b.once.Do(func() {
		b.stop()
		b.PipeReader.Close()
		b.cancel()
	})
	return nil
}
