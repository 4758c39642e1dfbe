package egress

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/http1"
)

// appendHead appends the request line and the header fields of a request with a body of known length.
func appendHead(dst []byte, req *http.Request) ([]byte, error) {
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	if !http1.ValidName(method) {
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
		if !http1.ValidName(k) {
			return dst, fmt.Errorf("invalid header name %q", k)
		}
		for _, v := range vs {
			if !http1.ValidValue(v) {
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
	if resp.Header, err = http1.Fields(rest); err != nil {
		return framing{}, err
	}
	return frameOf(resp)
}

func parseStatus(line string, resp *http.Response) error {
	proto, status, ok := strings.Cut(line, " ")
	if !ok || len(proto) != len("HTTP/1.1") || proto[:7] != "HTTP/1." || proto[7] != '0' && proto[7] != '1' {
		return http1.Malformed("status line %.60q", line)
	}
	status = strings.TrimLeft(status, " ")
	if len(status) < 3 || len(status) > 3 && status[3] != ' ' || !http1.ValidValue(status) {
		return http1.Malformed("status line %.60q", line)
	}
	code := 0
	for _, c := range []byte(status[:3]) {
		if c < '0' || c > '9' {
			return http1.Malformed("status line %.60q", line)
		}
		code = code*10 + int(c-'0')
	}
	if code < 100 {
		return http1.Malformed("status line %.60q", line)
	}
	resp.Proto, resp.ProtoMajor, resp.ProtoMinor = proto, 1, int(proto[7]-'0')
	resp.Status, resp.StatusCode = status, code
	return nil
}

// frameOf applies RFC 9112 section 6.3. Where a length and chunks are both given the chunks count and the connection is not used again.
func frameOf(resp *http.Response) (framing, error) {
	f := framing{length: -1}
	old := resp.ProtoMinor == 0
	f.close = old
	for _, v := range resp.Header["Connection"] {
		if http1.HasToken(v, "close") {
			f.close = true
			delete(resp.Header, "Connection")
			break
		}
		if old && http1.HasToken(v, "keep-alive") {
			f.close = false
		}
	}
	if v, ok := resp.Header["Transfer-Encoding"]; ok {
		delete(resp.Header, "Transfer-Encoding")
		f.close = f.close || old
		if !old {
			if len(v) != 1 || !strings.EqualFold(v[0], "chunked") {
				return f, http1.Malformed("transfer encoding %.60q", v)
			}
			f.chunked = true
			resp.TransferEncoding = chunkedOnly
		}
	}
	if v, ok := resp.Header["Content-Length"]; ok {
		n, err := http1.ContentLength(v)
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
