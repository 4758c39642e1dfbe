package proxy

import (
	"context"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/llm"
)

// Asleep is a model of the fleet that is known and does not serve now.
type Asleep struct {
	Status string // Creating, Stopped, Failed ...
	Wakes  bool   // a call starts it
	Groups []string
}

// heartbeat is how often a streaming client that waits for a model to wake is told that somebody is there.
const heartbeat = 10 * time.Second

// awaken is for a model that has no route now: one that sleeps and may be woken is started, once for all who want it, and the call held until
// it serves. nil: it serves by now.
func (c *call) awaken(name string) *llm.Error {
	asleep, known := c.snap.Asleep[name]
	if c.snap.Blocked[name] {
		return &llm.Error{Kind: llm.ErrPermission, Param: "model", Message: "Model is blocked"}
	}
	if !known {
		return llm.Invalid("model", "Invalid model name passed in model=%s. Call `/v1/models` to view available models for your key.", c.model)
	}
	if !c.principal.In(asleep.Groups) {
		return c.principal.Denied(c.model)
	}
	if !asleep.Wakes || c.p.wake == nil {
		return &llm.Error{Kind: llm.ErrNotFound, Param: "model", Code: "model_not_found",
			Message: "The model " + c.model + " is not in service: its status is " + asleep.Status + ". An administrator can start it."}
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.snap.Settings.WakeTimeout)
	defer cancel()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for asked := false; ; {
		swapped := *c.p.swapped.Load()
		snap := c.p.snap.Load()
		if _, serves := snap.Routes.Find(name); serves {
			c.snap = snap
			return nil
		}
		now := snap.Asleep[name]
		if !now.Wakes {
			return c.stillAsleep(now.Status)
		}
		if !asked || now.Status == "Stopped" {
			on, err := c.p.wake(ctx, name)
			if err != nil && ctx.Err() == nil {
				return &llm.Error{Kind: llm.ErrUnavailable, Message: "the model " + c.model + " could not be started", Cause: err, RetryAfter: heartbeat}
			}
			if asked && !on {
				return c.stillAsleep(now.Status)
			}
			asked = true
		}
		select {
		case <-swapped:
		case <-beat.C:
			if err := c.beat(); err != nil {
				return err
			}
		case <-ctx.Done():
			if c.ctx.Err() != nil {
				return &llm.Error{Kind: llm.ErrClientGone, Message: "the client closed the connection"}
			}
			return c.stillAsleep(now.Status)
		}
	}
}

func (c *call) stillAsleep(status string) *llm.Error {
	return &llm.Error{Kind: llm.ErrUnavailable, RetryAfter: 30 * time.Second,
		Message: "the model " + c.model + " is not in service yet: its status is " + status + ". Try again later."}
}

// beat sends a comment to a client that streams server-sent events. The status line goes out with the first.
func (c *call) beat() *llm.Error {
	if !c.stream || c.array || c.served.ContentType(true) != "text/event-stream" {
		return nil
	}
	if !c.sent {
		c.sent = true
		h := c.w.Header()
		c.commonHeaders(h)
		h["Content-Type"] = streamTypes["text/event-stream"]
		h["Cache-Control"] = noCache
		h["X-Accel-Buffering"] = noBuffering
		c.w.WriteHeader(http.StatusOK)
	}
	_, err := c.w.Write([]byte(": waiting for the model to start\n\n"))
	if err == nil {
		err = http.NewResponseController(c.w).Flush()
	}
	if err != nil {
		return &llm.Error{Kind: llm.ErrClientGone, Message: "the client closed the connection", Cause: err}
	}
	return nil
}
