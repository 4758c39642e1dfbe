package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/llm"
)

// AWS Signature Version 4, seen from the server. A client signs with a secret that both sides know; nothing of it travels.
const (
	sigV4Algorithm  = "AWS4-HMAC-SHA256"
	sigV4Terminator = "aws4_request"
	sigV4Time       = "20060102T150405Z"
	sigV4Day        = "20060102"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	authority       = ":authority" // what HTTP/2 has in Host's place, and what the JavaScript SDK signs then
	// maxPresigned is how long AWS lets a presigned address live.
	maxPresigned = 7 * 24 * time.Hour
)

// SigV4 is what signatures are held to. The zero value takes every region, the service bedrock, five minutes of clock skew, and no
// unsigned bodies.
type SigV4 struct {
	Regions []string // regions a signature may be scoped to; empty: any, as long as it is the one that was signed
	Service string   // empty: bedrock
	Skew    time.Duration
	// AllowUnsigned takes UNSIGNED-PAYLOAD: signatures that say nothing about the body.
	AllowUnsigned bool
	// Hosts are names that clients know the gateway by where a proxy in front puts another one into Host. x-forwarded-host is never
	// believed: whoever sends it could make a signature for one gateway hold at another.
	Hosts []string
}

func (o *SigV4) service() string {
	if o.Service == "" {
		return "bedrock"
	}
	return o.Service
}

func (o *SigV4) skew() time.Duration {
	if o.Skew == 0 {
		return 5 * time.Minute
	}
	return o.Skew
}

// Signed is what a signed request says of its signature. Nothing of it is proven before Verify.
type Signed struct {
	AccessKeyID   string
	Date          string // day of the scope, 20060102
	Region        string
	Service       string
	SignedHeaders []string // lower case, ascending
	Signature     [sha256.Size]byte
	Time          time.Time
	Presigned     bool
	Expires       time.Duration // of a presigned address
	// PayloadHash is x-amz-content-sha256 as it was sent; empty: the hash of the body was signed without being sent.
	PayloadHash string
}

// ParseSigV4 reads the signature of a request, from its Authorization header or its query. false: the request is not signed that way,
// and some other credential may stand in it; x-litellm-api-key comes before a signature, as before all else, so that clients which sign
// with credentials of AWS itself and can't leave that can still bring a key.
func ParseSigV4(r *http.Request) (*Signed, bool, *llm.Error) {
	if len(r.Header["X-Litellm-Api-Key"]) > 0 {
		return nil, false, nil
	}
	values := r.Header["Authorization"]
	inHeader := len(values) > 0 && strings.HasPrefix(values[0], "AWS4-")
	_, query := requestTarget(r)
	inQuery := strings.Contains(query, "X-Amz-Signature=") || strings.Contains(query, "X-Amz-Algorithm=")
	switch {
	case !inHeader && !inQuery:
		return nil, false, nil
	case inHeader && inQuery, len(values) > 1:
		return nil, true, incomplete("a request carries one signature: in the Authorization header or in the query, not in both")
	case inQuery && len(values) > 0:
		return nil, true, incomplete("a request carries one credential: a signed query and an Authorization header exclude each other")
	}
	var s *Signed
	var err *llm.Error
	if inHeader {
		s, err = parseSigned(values[0], r.Header)
	} else {
		s, err = parsePresigned(query, r.Header)
	}
	return s, true, err
}

func parseSigned(value string, h http.Header) (*Signed, *llm.Error) {
	algorithm, rest, _ := strings.Cut(value, " ")
	if algorithm != sigV4Algorithm {
		return nil, incomplete("Unsupported AWS 'algorithm': '%.40s'.", algorithm)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, v, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := fields[name]; !ok || twice {
			return nil, incomplete("The Authorization header is malformed: it is a list of Credential=, SignedHeaders= and Signature=, each once.")
		}
		fields[name] = v
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if fields[name] == "" {
			return nil, incomplete("Authorization header requires '%s' parameter.", name)
		}
	}
	s := &Signed{}
	if err := s.read(fields["Credential"], fields["SignedHeaders"], fields["Signature"]); err != nil {
		return nil, err
	}
	date := h["X-Amz-Date"]
	if len(date) == 0 {
		date = h["Date"]
	}
	if len(date) != 1 {
		return nil, incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	var ok bool
	if s.Time, ok = signingTime(date[0]); !ok {
		return nil, incomplete("Date must be in ISO-8601 'basic format'. Got '%.40s'. See http://en.wikipedia.org/wiki/ISO_8601", date[0])
	}
	return s, s.payload(h["X-Amz-Content-Sha256"])
}

func parsePresigned(query string, h http.Header) (*Signed, *llm.Error) {
	fields := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		v, err := url.PathUnescape(value)
		if _, twice := fields[name]; err != nil || twice {
			return nil, incomplete("The query parameter %.60s is malformed or given twice.", name)
		}
		fields[name] = v
	}
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"} {
		if fields[name] == "" {
			return nil, incomplete("AWS query-string parameters must include '%s'. Re-examine the query-string parameters.", name)
		}
	}
	if a := fields["X-Amz-Algorithm"]; a != sigV4Algorithm {
		return nil, incomplete("Unsupported AWS 'algorithm': '%.40s'.", a)
	}
	s := &Signed{Presigned: true}
	if err := s.read(fields["X-Amz-Credential"], fields["X-Amz-SignedHeaders"], fields["X-Amz-Signature"]); err != nil {
		return nil, err
	}
	var ok bool
	if s.Time, ok = signingTime(fields["X-Amz-Date"]); !ok {
		return nil, incomplete("X-Amz-Date must be in ISO-8601 'basic format'. Got '%.40s'.", fields["X-Amz-Date"])
	}
	seconds, err := strconv.ParseUint(fields["X-Amz-Expires"], 10, 32)
	if s.Expires = time.Duration(seconds) * time.Second; err != nil || seconds == 0 || s.Expires > maxPresigned {
		return nil, incomplete("X-Amz-Expires must be a number of seconds from 1 to %d.", int(maxPresigned.Seconds()))
	}
	hash := h["X-Amz-Content-Sha256"]
	if v := fields["X-Amz-Content-Sha256"]; v != "" {
		hash = append(slices.Clip(hash), v)
	}
	return s, s.payload(hash)
}

// read takes the three texts that both forms have.
func (s *Signed) read(credential, headers, signature string) *llm.Error {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term")
	}
	s.AccessKeyID, s.Date, s.Region, s.Service = parts[0], parts[1], parts[2], parts[3]
	if parts[4] != sigV4Terminator {
		return badSignature("Credential should be scoped with a valid terminator: '%s', not '%.40s'.", sigV4Terminator, parts[4])
	}
	if !isWord(s.AccessKeyID) || len(s.AccessKeyID) > 128 {
		return UnknownAccessKey()
	}
	raw, err := hex.DecodeString(signature)
	if err != nil || len(raw) != len(s.Signature) || strings.ToLower(signature) != signature {
		return badSignature(signatureMismatch)
	}
	copy(s.Signature[:], raw)
	s.SignedHeaders = strings.Split(headers, ";")
	for i, name := range s.SignedHeaders {
		if name == "" || name != strings.ToLower(name) || i > 0 && name <= s.SignedHeaders[i-1] {
			return incomplete("SignedHeaders must be lower case, in ascending order, each once.")
		}
	}
	if !slices.Contains(s.SignedHeaders, "host") && !slices.Contains(s.SignedHeaders, authority) {
		return badSignature("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

// payload takes what was said of the body.
func (s *Signed) payload(values []string) *llm.Error {
	switch len(values) {
	case 0:
		return nil
	case 1:
	default:
		return incomplete("x-amz-content-sha256 must be given once.")
	}
	v := values[0]
	if strings.HasPrefix(v, "STREAMING-") {
		return badSignature("x-amz-content-sha256: %.60s is not supported here: sign the whole body.", v)
	}
	if _, err := hex.DecodeString(v); v != unsignedPayload && (err != nil || len(v) != hex.EncodedLen(sha256.Size)) {
		return incomplete("x-amz-content-sha256 must be the SHA-256 of the body in hex.")
	}
	s.PayloadHash = v
	return nil
}

// signingTime reads x-amz-date, or the Date header in either of the forms clients write.
func signingTime(v string) (time.Time, bool) {
	if t, err := time.Parse(sigV4Time, v); err == nil {
		return t, true
	}
	t, err := http.ParseTime(v)
	return t.UTC(), err == nil
}

// Check holds the signature to what needs neither the secret nor the body: scope and time. It comes before the body is read, so that a
// stale or misdirected request costs nothing.
func (s *Signed) Check(now time.Time, o *SigV4) *llm.Error {
	if s.Service != o.service() {
		return badSignature("Credential should be scoped to correct service: '%s'.", o.service())
	}
	if s.Region == "" || len(o.Regions) > 0 && !slices.Contains(o.Regions, s.Region) {
		return badSignature("Credential should be scoped to a valid region, not '%.40s'.", s.Region)
	}
	at := s.Time.Format(sigV4Time)
	if day := s.Time.Format(sigV4Day); s.Date != day {
		return badSignature("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%.40s' != '%s', from '%s'.", s.Date, day, at)
	}
	now = now.UTC()
	minutes := strconv.FormatFloat(o.skew().Minutes(), 'f', -1, 64)
	if latest := now.Add(o.skew()); s.Time.After(latest) {
		return badSignature("Signature not yet current: %s is still later than %s (%s + %s min.)", at, latest.Format(sigV4Time), now.Format(sigV4Time), minutes)
	}
	if s.Presigned {
		if end := s.Time.Add(s.Expires); now.After(end) {
			return badSignature("Signature expired: %s is now earlier than %s (%s + %d s.)", end.Format(sigV4Time), now.Format(sigV4Time), at, int(s.Expires.Seconds()))
		}
	} else if earliest := now.Add(-o.skew()); s.Time.Before(earliest) {
		return badSignature("Signature expired: %s is now earlier than %s (%s - %s min.)", at, earliest.Format(sigV4Time), now.Format(sigV4Time), minutes)
	}
	if s.PayloadHash == unsignedPayload && !o.AllowUnsigned {
		return badSignature("x-amz-content-sha256: UNSIGNED-PAYLOAD is not allowed here: sign the body.")
	}
	return nil
}

// Verify holds the request to its signature: Check, then the body's hash (sum, of the bytes as they were sent, before any inflation),
// then method, path, query, headers, date and scope. The path is taken as sent and never normalized, so that what was signed is what
// is routed. nil means that whoever sent it has the secret.
func (s *Signed) Verify(r *http.Request, secret string, sum [sha256.Size]byte, now time.Time, o *SigV4) *llm.Error {
	if err := s.Check(now, o); err != nil {
		return err
	}
	payload := s.PayloadHash
	switch body := hex.EncodeToString(sum[:]); {
	case payload == "":
		payload = body
	case payload != unsignedPayload && payload != body:
		return badSignature("The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	key := s.signingKey(secret)
	path, query := requestTarget(r)
	if !plainPath(path) {
		return badSignature("the path must not have empty or dot segments")
	}
	canonicalQuery := s.canonicalQuery(query)
	for i := -1; i < len(o.Hosts); i++ {
		host := r.Host
		if i >= 0 {
			host = o.Hosts[i]
		}
		canonical, ok := s.canonicalRequest(r, path, canonicalQuery, host, payload)
		if !ok {
			break
		}
		want := s.signature(key, canonical)
		if hmac.Equal(want[:], s.Signature[:]) {
			return nil
		}
	}
	return badSignature(signatureMismatch)
}

// canonicalRequest is the request as AWS writes it down for signing; false if a signed header is not there.
func (s *Signed) canonicalRequest(r *http.Request, path, query, host, payload string) ([]byte, bool) {
	b := make([]byte, 0, 1024)
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendEscaped(b, path, '/')
	b = append(b, '\n')
	b = append(b, query...)
	b = append(b, '\n')
	for _, name := range s.SignedHeaders {
		b = append(b, name...)
		b = append(b, ':')
		var values []string
		switch name {
		case "host", authority:
			values = []string{host}
		case "content-length":
			if values = r.Header["Content-Length"]; len(values) == 0 && r.ContentLength >= 0 {
				values = []string{strconv.FormatInt(r.ContentLength, 10)}
			}
		case "transfer-encoding":
			values = r.TransferEncoding
		default:
			values = r.Header[http.CanonicalHeaderKey(name)]
		}
		if len(values) == 0 {
			return nil, false
		}
		for i, v := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendTrimmed(b, v)
		}
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, strings.Join(s.SignedHeaders, ";")...)
	b = append(b, '\n')
	return append(b, payload...), true
}

// canonicalQuery sorts the query's parameters, without the signature that a presigned one ends in.
func (s *Signed) canonicalQuery(query string) string {
	if query == "" {
		return ""
	}
	type param struct{ name, value string }
	var params []param
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if s.Presigned && name == "X-Amz-Signature" {
			continue
		}
		params = append(params, param{string(appendEscaped(nil, name, '%')), string(appendEscaped(nil, value, '%'))})
	}
	slices.SortFunc(params, func(a, b param) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	var b strings.Builder
	for i, p := range params {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String()
}

// signingKey is the secret narrowed to a day, a region and a service.
func (s *Signed) signingKey(secret string) []byte {
	key := hmacSHA256([]byte("AWS4"+secret), s.Date)
	key = hmacSHA256(key, s.Region)
	key = hmacSHA256(key, s.Service)
	return hmacSHA256(key, sigV4Terminator)
}

func (s *Signed) signature(key, canonical []byte) (out [sha256.Size]byte) {
	sum := sha256.Sum256(canonical)
	copy(out[:], hmacSHA256(key, sigV4Algorithm+"\n"+s.Time.Format(sigV4Time)+"\n"+
		s.Date+"/"+s.Region+"/"+s.Service+"/"+sigV4Terminator+"\n"+hex.EncodeToString(sum[:])))
	return out
}

func hmacSHA256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// requestTarget is path and query as they stood in the request line, which is what was signed.
func requestTarget(r *http.Request) (path, query string) {
	target := r.RequestURI
	if target == "" {
		return r.URL.EscapedPath(), r.URL.RawQuery
	}
	if !strings.HasPrefix(target, "/") {
		if i := strings.Index(target, "://"); i >= 0 {
			rest := target[i+3:]
			j := strings.IndexAny(rest, "/?")
			if j < 0 {
				return "/", ""
			}
			target = rest[j:]
		}
	}
	path, query, _ = strings.Cut(target, "?")
	if path == "" {
		path = "/"
	}
	return path, query
}

// plainPath reports that a path has no empty, . or .. segment. AWS signs such a path in its normal form; but what was signed must be what
// is routed, and no client of a model needs one.
func plainPath(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return !strings.Contains(path, "//")
}

// appendEscaped appends s with everything percent-encoded but RFC 3986's unreserved characters. keep '/' leaves slashes, as in paths,
// where what is encoded already is encoded once more; keep '%' leaves what is encoded already as it was sent, as in queries.
func appendEscaped(b []byte, s string, keep byte) []byte {
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isWordByte(c), c == '-', c == '.', c == '~', c == '/' && keep == '/',
			c == '%' && keep == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// appendTrimmed appends a header's value without the space around it, inner runs of spaces made one.
func appendTrimmed(b []byte, v string) []byte {
	v = strings.Trim(v, " \t")
	space := false
	for i := 0; i < len(v); i++ {
		if v[i] == ' ' || v[i] == '\t' {
			space = true
			continue
		}
		if space {
			b, space = append(b, ' '), false
		}
		b = append(b, v[i])
	}
	return b
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

func isWord(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// BodySum hashes a request's body while it is read, for Verify. It stands in the body's place before anything else reads from it.
type BodySum struct {
	body io.ReadCloser
	hash hash.Hash
}

// SumBody wraps a body.
func SumBody(body io.ReadCloser) *BodySum { return &BodySum{body: body, hash: sha256.New()} }

// Read reads from the body.
func (b *BodySum) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.hash.Write(p[:n])
	return n, err
}

// Close closes the body.
func (b *BodySum) Close() error { return b.body.Close() }

// Sum is the hash of all that was read so far: of the whole body once Read gave io.EOF.
func (b *BodySum) Sum() (out [sha256.Size]byte) {
	b.hash.Sum(out[:0])
	return out
}

const signatureMismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key " +
	"and signing method. Consult the service documentation for details."

// UnknownAccessKey is AWS's error for an access key id that nobody has.
func UnknownAccessKey() *llm.Error {
	return awsError(http.StatusForbidden, "UnrecognizedClientException", "The security token included in the request is invalid.")
}

// MissingSignature is AWS's error for a call without any credential.
func MissingSignature() *llm.Error {
	return awsError(http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")
}

func incomplete(format string, args ...any) *llm.Error {
	return awsError(http.StatusBadRequest, "IncompleteSignatureException", format, args...)
}

func badSignature(format string, args ...any) *llm.Error {
	return awsError(http.StatusForbidden, "InvalidSignatureException", format, args...)
}

// awsError is an error whose Type is AWS's word for it, which the Converse dialect sends in x-amzn-ErrorType.
func awsError(status int, word, format string, args ...any) *llm.Error {
	return &llm.Error{Kind: llm.ErrAuth, Status: status, Type: word, Message: fmt.Sprintf(format, args...)}
}
