package proxy

import (
	"log/slog"
	"time"

	"github.com/weir-gateway/weir/internal/llm"
)

// record settles the call: what was used, what it cost, how it ended, written once to the journal. It is called before the last byte goes
// to the client, so that a call whose end was delivered is never lost; a second call does nothing.
func (c *call) record() {
	if c.recorded {
		return
	}
	c.recorded = true
	c.settle()
	c.unpublish()
	if err := c.p.journal.Append(&c.rec); err != nil {
		c.p.metrics.journalError()
		c.p.log.Error("record not written to the journal", "call_id", c.id, "error", err)
	}
	c.settleLimits()
}

// settle fills in the record's figures from what the tap or the decoder saw.
func (c *call) settle() {
	r := &c.rec
	c.ended = c.p.now()
	r.End = c.ended.UnixMilli()
	if r.Status == 0 {
		r.Status = 200
	}
	if c.seen.Usage != nil {
		r.Usage = *c.seen.Usage
		if said := roughTokens(c.seen.Chars); (r.Incomplete || r.ClientGone) && said > r.Usage.Output {
			r.Usage.Output, r.Usage.Total, r.Usage.Estimated = said, 0, true // it was told at the beginning, and never again
		}
	} else if c.consumed() {
		// The upstream told nothing: count, and say so. Cheap on purpose; the tokenizer is for those who ask to count.
		r.Usage = llm.Usage{Input: roughTokens(c.size), Output: roughTokens(c.seen.Chars), Estimated: true}
	}
	c.meter()
	if c.target != nil {
		r.Cost, r.Priced = c.price(&r.Usage, r.Status < 400)
	}
}

// price is what usage costs, with what is billed otherwise than by the token if the call succeeded.
func (c *call) price(u *llm.Usage, succeeded bool) (llm.Nanos, bool) {
	if !billsUnits(c.op) || !succeeded {
		return c.target.Price.Cost(u, c.tier), c.target.Priced
	}
	return c.target.Price.CostWith(u, c.units, c.tier)
}

// consumed reports whether the upstream did work that it will charge for: it answered, it said a part of its answer before the stream broke,
// or the client left while it was at it.
func (c *call) consumed() bool {
	switch c.op {
	case llm.OpChat, llm.OpCompletion, llm.OpEmbed:
	default:
		return false
	}
	return c.asked && (c.rec.Status < 400 || c.rec.ClientGone || c.answered && c.seen.Chars > 0)
}

// firstByte notes when the first generated content went by.
func (c *call) firstByte() {
	if c.rec.FirstByte == 0 {
		c.rec.FirstByte = c.p.now().UnixMilli()
	}
}

// logLevel keeps a client's mistakes out of the error log.
func logLevel(e *llm.Error) slog.Level {
	if e.HTTPStatus() >= 500 {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// milliseconds formats a duration as LiteLLM's headers do: a float of milliseconds.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// roughTokens estimates the tokens of n bytes of text.
func roughTokens(n int64) int64 { return (n + 3) / 4 }
