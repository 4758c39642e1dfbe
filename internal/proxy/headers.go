package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// commonHeaders are on every answer, errors too (contract litellm.md 2.4, those that mean something here).
func (c *call) commonHeaders(h http.Header) {
	h["X-Litellm-Call-Id"] = c.headerValue(c.id)
	h["X-Request-Id"] = c.headerValue(c.requestID())
	h["X-Litellm-Version"] = c.p.version
	if c.principal != nil {
		h["X-Litellm-Key-Spend"] = c.keySpend(zero)
	}
	if c.target == nil {
		return
	}
	h["X-Litellm-Model-Id"] = c.headerValue(c.target.ID)
	h["X-Litellm-Model-Group"] = c.headerValue(sanitize(c.named))
	h["X-Litellm-Model-Api-Base"] = c.headerValue(c.target.Upstream.Base)
	h["X-Litellm-Attempted-Retries"] = zero
	h["X-Litellm-Attempted-Fallbacks"] = zero
	h["X-Litellm-Overhead-Duration-Ms"] = c.headerValue(formatFloat(milliseconds(c.overhead)))
}

// headerValue is the list that a header with one value is. Those of a call lie in the call, one behind the other.
func (c *call) headerValue(v string) []string {
	i := c.valuesUsed
	if i == len(c.values) {
		return []string{v}
	}
	c.valuesUsed++
	c.values[i] = v
	return c.values[i : i+1 : i+1]
}

var zero = []string{"0"}

// requestID is the client's x-request-id if it sent a decent one, else the call's id.
func (c *call) requestID() string {
	if v := c.r.Header["X-Request-Id"]; len(v) > 0 && plainID(v[0]) {
		return v[0]
	}
	return c.id
}

// keySpend is what the key has spent, this call included once it is settled. The master key's, which nobody counts, is own.
func (c *call) keySpend(own []string) []string {
	if spent, counted := c.held.Spent(account.OfKey); counted {
		return c.headerValue(formatFloat(spent.USD()))
	}
	return own
}

// costHeaders tell what a whole answer cost; a stream's head goes out before anyone knows. The master key is said to have spent this call's
// cost, as LiteLLM says of a key that no database knows.
func (c *call) costHeaders(h http.Header) {
	cost := c.headerValue(formatFloat(c.rec.Cost.USD()))
	h["X-Litellm-Response-Cost"], h["X-Litellm-Key-Spend"] = cost, c.keySpend(cost)
	c.limitHeaders(h)
	c.durationHeader(h, c.ended)
}

// durationHeader tells how long the answer took, or a stream's first byte.
func (c *call) durationHeader(h http.Header, until time.Time) {
	h["X-Litellm-Response-Duration-Ms"] = c.headerValue(formatFloat(milliseconds(until.Sub(c.started))))
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// upstreamHeaders passes the upstream's own headers on under a prefix, and its rate limits and request id as they are.
func (c *call) upstreamHeaders(dst, src http.Header) {
	for name, values := range src {
		switch name {
		case "Set-Cookie", "Connection", "Transfer-Encoding", "Keep-Alive", "Content-Encoding":
			continue
		}
		dst[prefixed(name)] = values
		if strings.HasPrefix(name, "X-Ratelimit-") || name == "Retry-After" {
			dst[name] = values
		} else if common := anthropicLimits[name]; common != "" {
			dst[common] = values
		}
	}
}

// anthropicLimits are the limits that Anthropic names in its own way, under the names that clients of OpenAI look for.
var anthropicLimits = map[string]string{
	"Anthropic-Ratelimit-Requests-Limit": "X-Ratelimit-Limit-Requests", "Anthropic-Ratelimit-Requests-Remaining": "X-Ratelimit-Remaining-Requests",
	"Anthropic-Ratelimit-Tokens-Limit": "X-Ratelimit-Limit-Tokens", "Anthropic-Ratelimit-Tokens-Remaining": "X-Ratelimit-Remaining-Tokens",
}

// prefixed names are remembered: upstreams send the same few. The bound keeps an upstream that makes names up from filling memory.
var prefixedNames = struct {
	sync.RWMutex
	m map[string]string
}{m: map[string]string{}}

func prefixed(name string) string {
	prefixedNames.RLock()
	s, ok := prefixedNames.m[name]
	prefixedNames.RUnlock()
	if ok {
		return s
	}
	s = "Llm_provider-" + name
	prefixedNames.Lock()
	if len(prefixedNames.m) < 1024 {
		prefixedNames.m[name] = s
	}
	prefixedNames.Unlock()
	return s
}

// reply sends a whole answer. The record is written first: a client that has the last byte has a call that is on the books.
func (c *call) reply(head http.Header, body []byte) *llm.Error {
	c.firstByte()
	c.record()
	h := c.w.Header()
	c.commonHeaders(h)
	c.costHeaders(h)
	c.upstreamHeaders(h, head)
	h["Content-Type"] = contentJSON
	if c.contentType != nil {
		h["Content-Type"] = c.contentType
	}
	h["Content-Length"] = c.headerValue(strconv.Itoa(len(body)))
	c.sent = true
	c.w.WriteHeader(http.StatusOK)
	if _, err := c.w.Write(body); err != nil {
		c.p.log.Debug("client went before the answer was written", "call_id", c.id, "error", err)
	}
	return nil
}
