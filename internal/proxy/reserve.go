package proxy

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
	"github.com/weir-gateway/weir/internal/wire"
)

// maxBounds is how many sets of limits a call finds without allocating: its key's, its customer's and those of some tags.
const maxBounds = 6

// reserve holds what the call may use of every limit and budget that applies to it, at once, or refuses it with the one that is used up.
// What is held is given back when the record is written.
func (c *call) reserve() *llm.Error {
	if !c.target.Priced && c.snap.Settings.RefuseUnpriced && c.op != llm.OpCount {
		return llm.Invalid("model", "no price is known for model=%s, and calls without a price are refused (weir.limits.unpriced_models). "+
			"Give it input_cost_per_token and output_cost_per_token.", c.model)
	}
	var room [maxBounds]*limit.Bound
	bounds := append(room[:0], c.principal.Bound)
	if payer := c.snap.Auth.Customer(c.rec.EndUser); payer != nil {
		if payer.Customer != nil && payer.Customer.Blocked {
			return &llm.Error{Kind: llm.ErrAuth, Type: "auth_error", Param: "user",
				Message: "Authentication Error, End User=" + c.rec.EndUser + " is blocked. Update via `/customer/unblock` if you're an admin."}
		}
		bounds = append(bounds, payer.Bound)
	} else if c.rec.EndUser == "" && c.snap.Settings.EnforceUser && !c.principal.Admin {
		return &llm.Error{Kind: llm.ErrAuth, Type: "auth_error", Param: "user",
			Message: "Authentication Error, 'user' param not passed in. 'enforce_user_param'=True"}
	}
	for _, tag := range c.rec.Tags {
		if payer := c.snap.Auth.Tag(tag); payer != nil {
			bounds = append(bounds, payer.Bound)
		}
	}
	need := limit.Need{Model: c.rec.Model, Start: c.rec.Start}
	if c.op != llm.OpCount {
		in, out := c.worstInput(), c.askedOutput()
		need.Tokens = in + max(out, 0)
		if out < 0 {
			out = c.target.Price.MaxOutput
		}
		c.estimate = llm.Usage{Input: in, Output: out, Estimated: true}
		need.Cost, _ = c.price(&c.estimate, true)
		need.Free = c.target.Priced && need.Cost == 0
	}
	if refused := c.p.limits.Reserve(c.ctx, &c.held, need, bounds...); refused != nil {
		err := refused.Err()
		if err.Kind == llm.ErrBudget {
			err.Status = c.snap.Settings.BudgetStatus
		}
		return err
	}
	c.publish(need.Cost)
	return nil
}

// publish lists the call among those in flight, where somebody watches them.
func (c *call) publish(cost llm.Nanos) {
	if c.p.open == nil || c.op == llm.OpCount {
		return
	}
	c.inFlight = &usage.OpenCall{Record: c.rec}
	r := &c.inFlight.Record
	r.Usage, r.Cost, r.Priced = c.estimate, cost, c.target.Priced
	c.p.open.Begin(c.inFlight, c.started)
}

// unpublish takes the call off the list of those in flight. It comes before the record: by the time this has reached the database, the limits
// have to know what else is charged there.
func (c *call) unpublish() {
	if c.inFlight != nil && c.p.open.End(c.inFlight) {
		c.held.Reported(c.rec.ID)
	}
}

// settleLimits gives back what was held and not used. The record is written already.
func (c *call) settleLimits() {
	u := &c.rec.Usage
	tokens := u.Total
	if tokens == 0 {
		tokens = u.Input + u.Output
	}
	switch c.snap.Settings.TokensCounted {
	case "input":
		tokens = u.Input
	case "output":
		tokens = u.Output
	}
	c.held.Settle(tokens, c.rec.Cost)
}

// longRun is how many bytes of a string without a space are text at most; more is data: an image, a file.
const longRun = 1 << 10

// mediaTokens is what such data is taken for.
const mediaTokens = 1500

// worstInput is how many tokens the body has at most, or nearly: a token for every three bytes, data apart. The tokenizer would be right more
// closely and cost more than the rest of the call; the truth is settled when the call ends.
func (c *call) worstInput() int64 {
	n := c.size
	if n < 16*longRun {
		return (n + 2) / 3
	}
	var media int64
	for b := c.body; ; {
		i := bytes.IndexByte(b, '"')
		if i < 0 {
			break
		}
		b = b[i+1:]
		end := bytes.IndexByte(b, '"')
		if end < 0 {
			break
		}
		if end > longRun && bytes.IndexByte(b[:longRun], ' ') < 0 {
			media++
			n -= int64(end)
		}
		b = b[end+1:]
	}
	return (n+2)/3 + media*mediaTokens
}

// askedOutput is how many tokens the client lets the model write, for all choices; -1: it did not say.
func (c *call) askedOutput() int64 {
	if c.op != llm.OpChat && c.op != llm.OpCompletion {
		return 0
	}
	var raw []byte
	switch c.dialect {
	case llm.OpenAI:
		if raw, _ = c.doc.Get("max_completion_tokens"); raw == nil {
			raw, _ = c.doc.Get("max_tokens")
		}
	case llm.Responses:
		raw, _ = c.doc.Get("max_output_tokens")
	case llm.Anthropic:
		raw, _ = c.doc.Get("max_tokens")
	case llm.Converse:
		config, _ := c.doc.Get("inferenceConfig")
		raw = member(config, "maxTokens")
	case llm.Gemini:
		config, _ := c.doc.Get("generationConfig")
		raw = member(config, "maxOutputTokens")
	}
	if raw == nil {
		return -1
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	if choices, ok := c.doc.Get("n"); ok && c.dialect == llm.OpenAI {
		if k, err := strconv.ParseInt(string(choices), 10, 16); err == nil && k > 1 {
			n *= k
		}
	}
	return min(n, 1<<40)
}

// member is a member's value as it stands in an object; nil if it is not there, or that is no object.
func member(object []byte, name string) []byte {
	if len(object) == 0 || object[0] != '{' {
		return nil
	}
	from, to := wire.FindValue(object, name)
	if from < 0 {
		return nil
	}
	return object[from:to]
}

// limitHeaders tell what is left of the limits that apply (contract litellm.md 2.4).
func (c *call) limitHeaders(h http.Header) {
	if c.target == nil {
		return // it never came to limits
	}
	c.held.Quotas(func(q *limit.Quota) {
		h[q.LimitHeader] = []string{strconv.FormatInt(q.Limit, 10)}
		h[q.RemainingHeader] = []string{strconv.FormatInt(q.Remaining, 10)}
	})
	if k := c.principal.Key; k != nil {
		if k.RPM != nil {
			h["X-Litellm-Key-Rpm-Limit"] = []string{strconv.FormatInt(*k.RPM, 10)}
		}
		if k.TPM != nil {
			h["X-Litellm-Key-Tpm-Limit"] = []string{strconv.FormatInt(*k.TPM, 10)}
		}
		if k.MaxBudget != nil {
			h["X-Litellm-Key-Max-Budget"] = []string{formatFloat(k.MaxBudget.USD())}
		}
	}
}
