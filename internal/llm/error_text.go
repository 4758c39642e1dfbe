package llm

import (
	"bytes"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// FieldMessage is the message with the field at fault before it, unless the message names it already. An upstream's own words stay as
// they are.
func (e *Error) FieldMessage() string {
	if e.Param == "" || e.Upstream || strings.Contains(e.Message, e.Param) {
		return e.Message
	}
	return e.Param + ": " + e.Message
}

// MaxErrorText bounds what is kept of an upstream's error text, in bytes.
const MaxErrorText = 2000

// Explain gives an upstream's error the message that it needs: what a person would read of the body where the dialect found none in it,
// cut to MaxErrorText.
func (e *Error) Explain(body []byte) {
	if e.Message == "" {
		e.Message = PlainText(body)
	}
	if e.Message == "" || e.Message == "{}" {
		e.Message = "the provider answered with status " + strconv.Itoa(e.Status) + " and no text"
		if e.Type != "" {
			e.Message += ": " + e.Type
		}
	}
	e.Message = Cut(e.Message, MaxErrorText)
}

var (
	htmlHidden = regexp.MustCompile(`(?is)<(script|style|head)\b.*?</(script|style|head)>`)
	htmlTag    = regexp.MustCompile(`<[^>]*>`)
)

// PlainText is what a person would read of an error page.
func PlainText(body []byte) string {
	if bytes.HasPrefix(body, []byte("<")) {
		body = htmlHidden.ReplaceAll(body, nil)
		body = htmlTag.ReplaceAll(body, []byte(" "))
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(body), "\uFFFD")), " ")
}

// Cut shortens s to at most n bytes without splitting a character.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// RetryAfter reads how long an upstream asks to wait: milliseconds (OpenAI), seconds or a date; 0 if it does not say.
func RetryAfter(h http.Header) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("retry-after-ms"), 64); err == nil && ms > 0 && ms < 1e10 {
		return time.Duration(ms * float64(time.Millisecond))
	}
	v := h.Get("retry-after")
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		if s > 0 && s < 1e7 {
			return time.Duration(s * float64(time.Second))
		}
		return 0
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}
