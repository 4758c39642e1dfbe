package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/google/go-cmp/cmp"
)

// got is a Frame that may be kept.
type got struct {
	Type, Data string
	Exception  bool
	NoData     bool
}

// readAll reads a stream to its end; raw is all Raws together.
func readAll(t *testing.T, r FrameReader) (frames []got, raw string, err error) {
	t.Helper()
	for {
		f, err := r.Next()
		if err != nil {
			if _, again := r.Next(); again != err {
				t.Fatalf("error %v, then %v", err, again)
			}
			return frames, raw, err
		}
		data := string(f.Data)
		r.Buffered() // must not disturb the frame
		if string(f.Data) != data {
			t.Fatalf("Buffered changed %q to %q", data, f.Data)
		}
		frames = append(frames, got{f.Type, data, f.Exception, f.Data == nil})
		raw += string(f.Raw)
	}
}

// cuts are the ways in which a stream may arrive.
var cuts = map[string]func(io.Reader) io.Reader{
	"whole":    func(r io.Reader) io.Reader { return r },
	"bytes":    iotest.OneByteReader,
	"halves":   iotest.HalfReader,
	"with EOF": iotest.DataErrReader,
}

func TestSSE(t *testing.T) {
	f := func(stream string, keepAlives bool, end error, want ...got) {
		t.Helper()
		for name, cut := range cuts {
			r := NewSSEReader(cut(strings.NewReader(stream)), 1<<20)
			r.KeepAlives = keepAlives
			frames, raw, err := readAll(t, r)
			if !errors.Is(err, end) {
				t.Errorf("%q %s: ends with %v, want %v", stream, name, err, end)
			}
			if diff := cmp.Diff(want, frames); diff != "" {
				t.Errorf("%q %s: %s", stream, name, diff)
			}
			if !strings.HasPrefix(stream, raw) {
				t.Errorf("%q %s: raw is %q", stream, name, raw)
			}
		}
	}
	d := func(typ, data string) got { return got{Type: typ, Data: data} }
	f("", false, io.EOF)
	f("data: a\n\ndata: b\n\n", false, io.EOF, d("", "a"), d("", "b"))
	f("data:a\r\n\r\ndata:  b\r\n\r\n", false, io.EOF, d("", "a"), d("", " b"))
	f("data: a\r\rdata: b\r\r", false, io.EOF, d("", "a"), d("", "b"))
	f("\ufeffdata: a\n\n\ufeffdata: b\n\n", false, io.EOF, d("", "a"))
	f("event: e\ndata: a\nid: 1\nretry: 5\nother\n\ndata: b\n\n", false, io.EOF, d("e", "a"), d("", "b"))
	f("data: a\ndata:\ndata\ndata: b\n\n", false, io.EOF, d("", "a\n\n\nb"))
	f("data\r\ndata: b\r\n\r\n", false, io.EOF, d("", "\nb"))
	f("\ufeffdata: a\ndata: b\n\n", false, io.EOF, d("", "a\nb"))
	f("data:\n\n", false, io.EOF, d("", ""))
	f(": hello\n\ndata: a\n\n: bye\n", false, io.EOF, d("", "a"))
	f(": hello\n\ndata: a\n\n: bye\n\n", true, io.EOF, got{NoData: true}, d("", "a"), got{NoData: true})
	f("event: lost\n\ndata: a\n\n", false, io.EOF, d("", "a"))
	f("data: a\n\ndata: [DONE]", false, io.EOF, d("", "a"), d("", "[DONE]"))
	f("data: a\n\ndata: [DONE]\n", false, io.EOF, d("", "a"), d("", "[DONE]"))
	f("event: e\ndata: a\n", false, io.EOF, d("e", "a"))
	f("data: a\n\nevent: e\n", false, io.ErrUnexpectedEOF, d("", "a"))
	f("data: a\n\nevent: e", false, io.ErrUnexpectedEOF, d("", "a"))
	f("data: a\n\ndat", false, io.ErrUnexpectedEOF, d("", "a"))
	f("data: a\nev", false, io.ErrUnexpectedEOF)
	f("data: a\n\nid: 7\n\n\n", false, io.EOF, d("", "a"))
}

func TestSSE_recordings(t *testing.T) {
	for file, stream := range recorded(t, "sse") {
		want, whole, err := readAll(t, NewSSEReader(bytes.NewReader(stream), 0))
		if err != io.EOF || len(want) < 3 || whole != string(stream) {
			t.Errorf("%s: %d frames, %v, raw whole: %v", file, len(want), err, whole == string(stream))
		}
		crlf := bytes.ReplaceAll(bytes.ReplaceAll(stream, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		for _, s := range [][]byte{stream, crlf} {
			// A frame that ends in CR goes out before its LF is here; nothing follows that could carry the last one.
			frames, raw, _ := readAll(t, NewSSEReader(iotest.OneByteReader(bytes.NewReader(s)), 0))
			if diff := cmp.Diff(want, frames); diff != "" || raw != strings.TrimSuffix(string(s), "\r\n")+"\r" && raw != string(s) {
				t.Errorf("%s in bytes: %s", file, diff)
			}
		}
	}
}

func TestSSE_limits(t *testing.T) {
	long := "data: " + strings.Repeat("x", 100<<10) + "\n\n"
	f := func(stream string, limit int, frames int, end error) {
		t.Helper()
		got, _, err := readAll(t, NewSSEReader(strings.NewReader(stream), limit))
		if len(got) != frames || !errors.Is(err, end) {
			t.Errorf("%d frames, %v; want %d, %v", len(got), err, frames, end)
		}
	}
	f(long, 200<<10, 1, io.EOF)
	f("data: a\n\n"+long, 64<<10, 1, ErrFrameTooLarge)
	f(strings.Repeat(": comment\n\n", 100000)+"data: a\n\n", 64<<10, 1, io.EOF)
	f(strings.Repeat("data: a\n\n", 10000), 64<<10, 10000, io.EOF)
	broken := errors.New("broken")
	r := NewSSEReader(io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken)), 0)
	if got, _, err := readAll(t, r); len(got) != 1 || err != broken {
		t.Errorf("%v, %v", got, err)
	}
	r.Reset(strings.NewReader("data: c"))
	if got, _, err := readAll(t, r); len(got) != 1 || err != io.EOF {
		t.Errorf("after Reset: %v, %v", got, err)
	}
	// What one large frame needed is given back.
	r = NewSSEReader(strings.NewReader(long+strings.Repeat("data: a\n\n", 20000)), 0)
	if _, _, err := readAll(t, r); err != io.EOF || len(r.w.buf) > steadyBuffer {
		t.Errorf("%v, buffer of %d bytes", err, len(r.w.buf))
	}
}

func TestBuffered(t *testing.T) {
	pr, pw := io.Pipe()
	r := NewSSEReader(pr, 0)
	defer pw.Close()
	go pw.Write([]byte("data: a\n\ndata: b\n\ndata: c"))
	for _, want := range []bool{true, false} {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if r.Buffered() != want {
			t.Errorf("Buffered is %v, want %v", !want, want)
		}
	}
}

// allocations gives those of reading a stream once more with a reader that has read it before.
func allocations(t *testing.T, stream []byte, next func() error, reset func(io.Reader)) float64 {
	t.Helper()
	src := bytes.NewReader(stream)
	return testing.AllocsPerRun(10, func() {
		src.Reset(stream)
		reset(src)
		for {
			if err := next(); err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestFrames_allocations(t *testing.T) {
	sse := append([]byte("event: own-name\ndata: a\ndata: b\n\n"), recorded(t, "sse")["anthropic_messages.txt"]...)
	s := NewSSEReader(nil, 0)
	if n := allocations(t, sse, func() error { _, err := s.Next(); return err }, s.Reset); n != 0 {
		t.Errorf("server-sent events: %v allocations", n)
	}
	e := NewEventStreamReader(nil, 0)
	aws := recorded(t, "eventstream")["bedrock_invoke-model-stream.bin"]
	if n := allocations(t, aws, func() error { _, err := e.Next(); return err }, e.Reset); n != 0 {
		t.Errorf("event stream: %v allocations", n)
	}
}

// encode makes a message with the AWS SDK's encoder.
func encode(t testing.TB, headers eventstream.Headers, payload string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, eventstream.Message{Headers: headers, Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func allHeaders(last ...eventstream.Header) eventstream.Headers {
	return append(eventstream.Headers{
		{Name: "t", Value: eventstream.BoolValue(true)}, {Name: "f", Value: eventstream.BoolValue(false)},
		{Name: "i8", Value: eventstream.Int8Value(-1)}, {Name: "i16", Value: eventstream.Int16Value(7)},
		{Name: "i32", Value: eventstream.Int32Value(7)}, {Name: "i64", Value: eventstream.Int64Value(7)},
		{Name: "b", Value: eventstream.BytesValue("\x00\x07")}, {Name: "time", Value: eventstream.TimestampValue{}},
		{Name: "id", Value: eventstream.UUIDValue{1, 2, 3}}, {Name: ":event-type", Value: eventstream.BytesValue("not a string")},
	}, last...)
}

func str(name, value string) eventstream.Header {
	return eventstream.Header{Name: name, Value: eventstream.StringValue(value)}
}

func TestEventStream(t *testing.T) {
	var stream []byte
	stream = append(stream, encode(t, allHeaders(str(":message-type", "event"), str(":event-type", "messageStart")), `{"a":1}`)...)
	stream = append(stream, encode(t, nil, "")...)
	stream = append(stream, encode(t, eventstream.Headers{str(":exception-type", "throttlingException"), str(":message-type", "exception")}, `{"message":"slow"}`)...)
	stream = append(stream, encode(t, eventstream.Headers{
		str(":message-type", "error"), str(":error-code", "Internal"), str(":error-message", "a \"b\" \xff"),
	}, "")...)
	stream = AppendEvent(stream, "own", []byte("x"))
	stream = AppendException(stream, "validationException", []byte("y"))
	want := []got{
		{Type: "messageStart", Data: `{"a":1}`}, {},
		{Type: "throttlingException", Data: `{"message":"slow"}`, Exception: true},
		{Type: "Internal", Data: `{"message":"a \"b\" ` + "\ufffd" + `"}`, Exception: true},
		{Type: "own", Data: "x"}, {Type: "validationException", Data: "y", Exception: true},
	}
	for name, cut := range cuts {
		frames, raw, err := readAll(t, NewEventStreamReader(cut(bytes.NewReader(stream)), 0))
		if err != io.EOF || raw != string(stream) {
			t.Errorf("%s: %v, raw whole: %v", name, err, raw == string(stream))
		}
		if diff := cmp.Diff(want, frames); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for n := 1; n < len(encode(t, nil, "abc")); n++ {
		if _, _, err := readAll(t, NewEventStreamReader(bytes.NewReader(encode(t, nil, "abc")[:n]), 0)); err != io.ErrUnexpectedEOF {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	good := encode(t, allHeaders(), "abc")
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 4
		if _, _, err := readAll(t, NewEventStreamReader(bytes.NewReader(bad), 0)); err != ErrChecksum {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	if _, _, err := readAll(t, NewEventStreamReader(bytes.NewReader(good), 64)); err != ErrFrameTooLarge {
		t.Errorf("too large: %v", err)
	}
}

// sameAsSDK compares with the AWS SDK's decoder. The SDK allows messages that we do not read further into, but not the other way.
func sameAsSDK(t *testing.T, stream []byte) {
	t.Helper()
	r := NewEventStreamReader(bytes.NewReader(stream), 0)
	dec, src := eventstream.NewDecoder(), bytes.NewReader(stream)
	for {
		f, err := r.Next()
		if err != nil {
			return
		}
		m, sdkErr := dec.Decode(src, nil)
		if sdkErr != nil {
			t.Fatalf("frame %+v, but the SDK says %v", f, sdkErr)
		}
		kind, _ := m.Headers.Get(":message-type").(eventstream.StringValue)
		if kind == "error" {
			continue
		}
		name := ":event-type"
		if f.Exception {
			name = ":exception-type"
		}
		// Get finds the first header of a name, we keep the last: comparable if it is the only one.
		count := 0
		for _, h := range m.Headers {
			if h.Name == name || h.Name == ":message-type" {
				count++
			}
		}
		typ, _ := m.Headers.Get(name).(eventstream.StringValue)
		if count <= 2 && m.Headers.Get(":message-type") != nil && string(typ) != f.Type || !bytes.Equal(m.Payload, f.Data) {
			t.Fatalf("frame %+v, the SDK reads %+v", f, m)
		}
	}
}

func TestEventStream_recordings(t *testing.T) {
	for file, stream := range recorded(t, "eventstream") {
		sameAsSDK(t, stream)
		frames, raw, err := readAll(t, NewEventStreamReader(bytes.NewReader(stream), 0))
		if err != io.EOF || raw != string(stream) || len(frames) < 3 || frames[0].Type != "chunk" {
			t.Errorf("%s: %d frames, %v", file, len(frames), err)
		}
	}
}

func TestArray(t *testing.T) {
	f := func(stream string, end error, want ...string) {
		t.Helper()
		for name, cut := range cuts {
			frames, raw, err := readAll(t, NewArrayReader(cut(strings.NewReader(stream)), 0))
			if !errors.Is(err, end) || !strings.HasPrefix(stream, raw) {
				t.Errorf("%q %s: ends with %v, want %v; raw %q", stream, name, err, end, raw)
			}
			var datas []string
			for _, f := range frames {
				datas = append(datas, f.Data)
			}
			if diff := cmp.Diff(want, datas); diff != "" {
				t.Errorf("%q %s: %s", stream, name, diff)
			}
		}
	}
	f("[{\"a\":\"}]\\\"\"}\n,\r\n{\"b\":[{}]}]\n", io.EOF, `{"a":"}]\""}`, `{"b":[{}]}`)
	f("[]", io.EOF)
	f(" {\"error\":{}} ", io.EOF, `{"error":{}}`)
	f("", io.ErrUnexpectedEOF)
	f("[", io.ErrUnexpectedEOF)
	f("[{}", io.ErrUnexpectedEOF, "{}")
	f("[{},", io.ErrUnexpectedEOF, "{}")
	f("[{", io.ErrUnexpectedEOF)
	f("[{},]", ErrArray, "{}")
	f("[{}{}]", ErrArray, "{}")
	f("[1]", ErrArray)
	f("<html>", ErrArray)
	f("[{}] x", ErrArray, "{}")
}

func FuzzSSE(f *testing.F) {
	for _, s := range recorded(f, "sse") {
		f.Add(s, uint8(3))
	}
	f.Add([]byte("\ufeffevent: a\r\ndata: b\rdata:c\n\r\n: x\n\ndata"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, n uint8) {
		whole, raw, end := readAll(t, NewSSEReader(bytes.NewReader(stream), 1<<20))
		if len(stream) < maxComments && !bytes.HasPrefix(stream, []byte(raw)) {
			t.Fatalf("raw %q of %q", raw, stream)
		}
		cut := iotest.OneByteReader(bytes.NewReader(stream))
		if n > 0 {
			cut = &pieces{stream, int(n)}
		}
		frames, _, err := readAll(t, NewSSEReader(cut, 1<<20))
		if diff := cmp.Diff(whole, frames); diff != "" || err != end {
			t.Fatalf("in pieces of %d: %v, %v, %s", n, end, err, diff)
		}
	})
}

// pieces reads n bytes at a time.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.n)], p.b)
	p.b = p.b[n:]
	return n, nil
}

func FuzzEventStream(f *testing.F) {
	for _, s := range recorded(f, "eventstream") {
		f.Add(s)
	}
	f.Add(encode(f, allHeaders(str(":message-type", "event"), str(":event-type", "chunk")), "{}"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		sameAsSDK(t, stream)
		// The checksums keep the fuzzer out; so the headers are also tried without.
		readHeaders(stream)
	})
}

func FuzzArray(f *testing.F) {
	f.Add([]byte(`[{"a":"}]\""},{"b":[{}]}]`), uint8(2))
	f.Fuzz(func(t *testing.T, stream []byte, n uint8) {
		whole, raw, end := readAll(t, NewArrayReader(bytes.NewReader(stream), 1<<20))
		if !bytes.HasPrefix(stream, []byte(raw)) {
			t.Fatalf("raw %q of %q", raw, stream)
		}
		frames, _, err := readAll(t, NewArrayReader(&pieces{stream, int(n) + 1}, 1<<20))
		if diff := cmp.Diff(whole, frames); diff != "" || err != end {
			t.Fatalf("in pieces: %v, %v, %s", end, err, diff)
		}
	})
}
