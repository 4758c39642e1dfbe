package egress

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// watch keeps the time of a call over a RoundTripper that knows no phases: a timer for the phase that is on and one for the whole call
// cancel its context, with the reason as the cause.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	t      Timeouts
	body   io.ReadCloser // of the request
	total  *time.Timer

	mu    sync.Mutex
	phase *time.Timer
	ended bool
}

// watched makes a call with timeouts.
func watched(rt http.RoundTripper, req *http.Request, t Timeouts) (*http.Response, error) {
	w := &watch{t: t, body: req.Body}
	w.ctx, w.cancel = context.WithCancelCause(req.Context())
	if t.Total > 0 {
		w.total = time.AfterFunc(t.Total, func() { w.cancel(&TimeoutError{PhaseTotal, t.Total}) })
	}
	w.begin(PhaseConnect, t.Connect)
	ctx := w.ctx
	if t.Connect > 0 || t.FirstByte > 0 {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GotConn: func(httptrace.GotConnInfo) { w.begin(PhaseFirstByte, t.FirstByte) },
		})
	}
	resp, err := rt.RoundTrip(req.WithContext(ctx))
	w.begin("", 0)
	if err != nil {
		err = w.reason(err)
		w.end()
		return nil, err
	}
	resp.Body = &watchedBody{w: w, body: resp.Body}
	return resp, nil
}

// begin starts the clock of a phase in place of the last one's; 0 starts none.
func (w *watch) begin(phase string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase != nil {
		w.phase.Stop()
		w.phase = nil
	}
	if d > 0 && !w.ended {
		w.phase = time.AfterFunc(d, func() { w.cancel(&TimeoutError{phase, d}) })
	}
}

// reason is why the call failed: what cancelled it, if anything did.
func (w *watch) reason(err error) error {
	if cause := context.Cause(w.ctx); cause != nil && err != io.EOF {
		return cause
	}
	return err
}

func (w *watch) end() {
	w.mu.Lock()
	w.ended = true
	if w.phase != nil {
		w.phase.Stop()
	}
	w.mu.Unlock()
	if w.total != nil {
		w.total.Stop()
	}
	w.cancel(context.Canceled)
	giveBack(w.body)
}

type watchedBody struct {
	w    *watch
	body io.ReadCloser
	idle *time.Timer
	once sync.Once
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if d := b.w.t.Idle; d > 0 {
		if b.idle == nil {
			b.idle = time.AfterFunc(d, func() { b.w.cancel(&TimeoutError{PhaseIdle, d}) })
		} else {
			b.idle.Reset(d)
		}
		defer b.idle.Stop()
	}
	n, err := b.body.Read(p)
	if err != nil {
		err = b.w.reason(err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	err := b.body.Close()
	b.once.Do(b.w.end)
	return err
}
