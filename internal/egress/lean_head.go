package egress

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// ProtocolError says that the upstream's answer is not HTTP/1.x, or not safely so.
type ProtocolError struct{ Message string }

func (e *ProtocolError) Error() string { return "malformed HTTP answer: " + e.Message }

func malformed(format string, args ...any) error {
	return &ProtocolError{fmt.Sprintf(format, args...)}
}

// field characters, by RFC 9110: what a name may consist of, and what a value may not.
const (
	nameChar = 1 << iota
	badValue
)

var charClass = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0 && c != 0:
			t[c] = nameChar
		case c < ' ' && c != '\t', c == 0x7f:
			t[c] = badValue
		}
	}
	return t
}()

func validName(s string) bool {
	for i := range len(s) {
		if charClass[s[i]]&nameChar == 0 {
			return false
		}
	}
	return s != ""
}

func validValue(s string) bool {
	for i := range len(s) {
		if charClass[s[i]]&badValue != 0 {
			return false
		}
	}
	return true
}

// appendHead appends the request line and the header fields of a request with a body of known length.
func appendHead(dst []byte, req *http.Request) ([]byte, error) {
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	if !validName(method) {
		return dst, fmt.Errorf("invalid method %q", method)
	}
	dst = append(dst, method...)
	dst = append(dst, ' ')
	from := len(dst)
	dst = appendTarget(dst, req)
	for _, c := range dst[from:] {
		if c <= ' ' || c == 0x7f {
			return dst, errors.New("the URL has a space or a control character")
		}
	}
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	if host == "" || strings.ContainsAny(host, " \t\r\n/\x00") {
		return dst, errors.New("the URL has no valid host")
	}
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	dst = append(dst, "\r\n"...)
	for k, vs := range req.Header {
		switch k {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			continue
		}
		if !validName(k) {
			return dst, fmt.Errorf("invalid header name %q", k)
		}
		for _, v := range vs {
			if !validValue(v) {
				return dst, fmt.Errorf("invalid value of header %q", k) // not the value: it may be a secret
			}
			dst = append(dst, k...)
			dst = append(dst, ": "...)
			dst = append(dst, textproto.TrimString(v)...)
			dst = append(dst, "\r\n"...)
		}
	}
	if req.Close {
		dst = append(dst, "Connection: close\r\n"...)
	}
	if req.ContentLength > 0 || method != http.MethodGet && method != http.MethodHead && method != http.MethodDelete {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, max(req.ContentLength, 0), 10)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...), nil
}

func appendTarget(dst []byte, req *http.Request) []byte {
	u := req.URL
	if u.Opaque != "" {
		return append(dst, u.RequestURI()...)
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	dst = append(dst, path...)
	if u.ForceQuery || u.RawQuery != "" {
		dst = append(dst, '?')
		dst = append(dst, u.RawQuery...)
	}
	return dst
}

// headEnd finds the blank line that ends a head: the index behind it, or -1. from is how far an earlier search got.
func headEnd(b []byte, from int) int {
	for i := max(from-3, 0); ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n + 1
		if i < len(b) && b[i] == '\n' {
			return i + 1
		}
		if i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n' {
			return i + 2
		}
	}
}

// framing says how the body of an answer ends.
type framing struct {
	length  int64 // -1: not known
	chunked bool
	close   bool // the connection can't be used again
}

// parseHead reads a whole head, blank line included, into resp.
func parseHead(b []byte, resp *http.Response) (framing, error) {
	text := string(b)
	line, rest, _ := strings.Cut(text, "\n")
	if err := parseStatus(strings.TrimSuffix(line, "\r"), resp); err != nil {
		return framing{}, err
	}
	var err error
	if resp.Header, err = parseFields(rest); err != nil {
		return framing{}, err
	}
	return frameOf(resp)
}

func parseStatus(line string, resp *http.Response) error {
	proto, status, ok := strings.Cut(line, " ")
	if !ok || len(proto) != len("HTTP/1.1") || proto[:7] != "HTTP/1." || proto[7] != '0' && proto[7] != '1' {
		return malformed("status line %.60q", line)
	}
	status = strings.TrimLeft(status, " ")
	if len(status) < 3 || len(status) > 3 && status[3] != ' ' || !validValue(status) {
		return malformed("status line %.60q", line)
	}
	code := 0
	for _, c := range []byte(status[:3]) {
		if c < '0' || c > '9' {
			return malformed("status line %.60q", line)
		}
		code = code*10 + int(c-'0')
	}
	if code < 100 {
		return malformed("status line %.60q", line)
	}
	resp.Proto, resp.ProtoMajor, resp.ProtoMinor = proto, 1, int(proto[7]-'0')
	resp.Status, resp.StatusCode = status, code
	return nil
}

// parseFields reads header or trailer fields up to the blank line. The header's strings are parts of text.
func parseFields(text string) (http.Header, error) {
	n := strings.Count(text, "\n") - 1
	h := make(http.Header, n)
	values := make([]string, 0, n)
	for {
		line, rest, ok := strings.Cut(text, "\n")
		if !ok {
			return nil, malformed("header without an end")
		}
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			return h, nil
		}
		text = rest
		if line[0] == ' ' || line[0] == '\t' {
			return nil, malformed("folded header line")
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !validName(name) {
			return nil, malformed("header line %.60q", line)
		}
		if value = strings.Trim(value, " \t"); !validValue(value) {
			return nil, malformed("control character in header %.60q", name)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if vs := h[name]; vs != nil {
			h[name] = append(vs, value)
			continue
		}
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
}

// frameOf applies RFC 9112 section 6.3. Where a length and chunks are both given the chunks count and the connection is not used again.
func frameOf(resp *http.Response) (framing, error) {
	f := framing{length: -1}
	old := resp.ProtoMinor == 0
	f.close = old
	for _, v := range resp.Header["Connection"] {
		if hasToken(v, "close") {
			f.close = true
			delete(resp.Header, "Connection")
			break
		}
		if old && hasToken(v, "keep-alive") {
			f.close = false
		}
	}
	if v, ok := resp.Header["Transfer-Encoding"]; ok {
		delete(resp.Header, "Transfer-Encoding")
		f.close = f.close || old
		if !old {
			if len(v) != 1 || !strings.EqualFold(v[0], "chunked") {
				return f, malformed("transfer encoding %.60q", v)
			}
			f.chunked = true
			resp.TransferEncoding = chunkedOnly
		}
	}
	if v, ok := resp.Header["Content-Length"]; ok {
		n, err := contentLength(v)
		if err != nil {
			return f, err
		}
		if f.chunked {
			delete(resp.Header, "Content-Length")
			f.close = true
		} else {
			f.length = n
			resp.Header["Content-Length"] = v[:1]
		}
	}
	return f, nil
}

var chunkedOnly = []string{"chunked"}

func contentLength(values []string) (int64, error) {
	for _, v := range values[1:] {
		if v != values[0] {
			return 0, malformed("differing content lengths")
		}
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil {
		return 0, malformed("content length %.60q", values[0])
	}
	return int64(n), nil
}

// hasToken tells whether a comma-separated list has the word, in any case.
func hasToken(list, word string) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ",")
		if strings.EqualFold(textproto.TrimString(item), word) {
			return true
		}
	}
	return false
}
