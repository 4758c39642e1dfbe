package proxy

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// readOwn reads what of a request is meant for the gateway: on whose behalf the call is made, its tags and session, how long it may take.
// Fields of the body win over headers (contract litellm.md 2.3).
func (c *call) readOwn() *llm.Error {
	for i := range c.doc.Fields {
		f := &c.doc.Fields[i]
		v := c.body[f.Start:f.End]
		switch string(f.Name) {
		case "api_base", "base_url", "api_key":
			return refusedCredential(string(f.Name))
		case "user", "safety_identifier":
			if c.rec.EndUser == "" {
				c.rec.EndUser = text(v)
			}
		case "tags":
			c.addTags(v)
		case "metadata", "litellm_metadata":
			c.readMetadata(v)
		case "litellm_session_id", "litellm_trace_id", "session_id":
			if c.rec.Session == "" {
				c.rec.Session = text(v)
			}
		case "timeout":
			if d, ok := seconds(string(bytes.Trim(v, `"`))); ok {
				c.patience = d
			}
		case "mock_timeout", "mock_testing_fallbacks", "mock_testing_context_fallbacks", "mock_testing_context_window_fallbacks",
			"mock_testing_content_policy_fallbacks", "mock_testing_rate_limit_error":
			if !c.snap.Settings.MockTesting && string(v) != "null" {
				return llm.Invalid(string(f.Name), "Mock testing request params are disabled on this proxy: %s. An administrator enables them with `general_settings.dangerously_allow_mock_testing_request_params: true`.", f.Name)
			}
		}
	}
	c.readOwnHeaders()
	if c.snap.Settings.RejectTags && len(c.rec.Tags) > len(c.principal.Tags) && !c.principal.Admin {
		e := llm.Invalid("metadata.tags", "tags in a request are refused here (general_settings.reject_clientside_metadata_tags); the tags of your key and team apply")
		e.Type = "bad_request_error"
		return e
	}
	return nil
}

func (c *call) readOwnHeaders() {
	h := c.r.Header
	for _, name := range [...]string{"X-Litellm-End-User-Id", "X-Litellm-Customer-Id"} {
		if v := h[name]; len(v) > 0 && c.rec.EndUser == "" {
			c.rec.EndUser = cut(v[0])
		}
	}
	for _, name := range [...]string{"X-Session-Id", "X-Litellm-Session-Id", "X-Litellm-Trace-Id", "Session_id"} { // the last is Codex's
		if v := h[name]; len(v) > 0 && c.rec.Session == "" {
			c.rec.Session = cut(v[0])
		}
	}
	if v := h["X-Litellm-Tags"]; len(v) > 0 {
		for tag := range strings.SplitSeq(v[0], ",") {
			c.addTag(strings.TrimSpace(tag))
		}
	}
	if v := h["X-Litellm-Timeout"]; len(v) > 0 && c.patience == 0 {
		c.patience, _ = seconds(v[0])
	}
	if v := h["X-Litellm-Stream-Timeout"]; len(v) > 0 {
		c.streamPatience, _ = seconds(v[0])
	}
}

// readMetadata takes tags, session and (Anthropic's) user out of a metadata object.
func (c *call) readMetadata(v []byte) {
	if v[0] != '{' {
		return
	}
	if from, to := wire.FindValue(v, "tags"); from >= 0 {
		c.addTags(v[from:to])
	}
	for _, name := range [...]string{"session_id", "trace_id"} {
		if from, to := wire.FindString(v, name); from >= 0 && c.rec.Session == "" {
			c.rec.Session = text(v[from:to])
		}
	}
	if from, to := wire.FindString(v, "user_id"); from >= 0 && c.rec.EndUser == "" && c.dialect == llm.Anthropic {
		c.rec.EndUser = text(v[from:to])
		if c.rec.Session == "" {
			c.rec.Session = claudeSession(c.rec.EndUser)
		}
	}
}

// maxTags and maxTag bound what a client may have written into each record of its calls.
const (
	maxTags = 64
	maxTag  = 256
)

func (c *call) addTags(v []byte) {
	var tags []string
	if json.Unmarshal(v, &tags) != nil {
		return // not a list of texts: nobody's tags
	}
	for _, tag := range tags {
		c.addTag(tag)
	}
}

func (c *call) addTag(tag string) {
	if tag == "" || len(tag) > maxTag || len(c.rec.Tags) >= maxTags {
		return
	}
	for _, have := range c.rec.Tags {
		if have == tag {
			return
		}
	}
	c.rec.Tags = append(c.rec.Tags, tag)
}

// text is a JSON string's content, cut to what a record may hold; empty if it is something else.
func text(v []byte) string {
	if len(v) < 2 || v[0] != '"' {
		return ""
	}
	var s string
	if bytes.IndexByte(v, '\\') < 0 {
		s = string(v[1 : len(v)-1])
	} else if json.Unmarshal(v, &s) != nil {
		return ""
	}
	return cut(s)
}

// cut bounds what a client says of itself.
func cut(s string) string { return s[:min(len(s), maxTag)] }

// seconds reads a positive number of seconds.
func seconds(s string) (time.Duration, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || f <= 0 || math.IsNaN(f) || f > 1e6 {
		return 0, false
	}
	return time.Duration(f * float64(time.Second)), true
}

// timeouts are the deployment's, shortened to what the client is ready to wait; never lengthened.
func (c *call) timeouts() egress.Timeouts {
	t := c.target.Timeouts
	if c.stream {
		t = c.target.Stream
		t.FirstByte = shorter(t.FirstByte, c.streamPatience)
	}
	t.Total = shorter(t.Total, c.patience)
	return t
}

// shorter is the shorter of two bounds, of which 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

func refusedCredential(name string) *llm.Error {
	return &llm.Error{Kind: llm.ErrAuth, Type: "auth_error", Param: name, Message: "Authentication Error, Rejected Request: " + name +
		" is not allowed in request body: the credentials of upstreams are the gateway's."}
}
