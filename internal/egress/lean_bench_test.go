//go:build unix

package egress

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// upstream answers on loopback with as little work as it can, so that what is measured is the client.
func upstream(b *testing.B, reply string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReaderSize(c, 64<<10)
				for {
					size := 0
					for {
						line, err := r.ReadSlice('\n')
						if err != nil {
							return
						}
						if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
							size, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
						}
						if len(line) == 2 {
							break
						}
					}
					if _, err := r.Discard(size); err != nil {
						return
					}
					io.WriteString(c, reply)
				}
			}()
		}
	}()
	b.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// cpu is the processor time of this process, of which the upstream has an equal share with both clients.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkCall(b *testing.B) {
	var chunks bytes.Buffer
	for range 100 {
		chunks.WriteString("50\r\n" + string(bytes.Repeat([]byte("x"), 0x50)) + "\r\n")
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nX-Request-Id: req_1\r\n"
	whole := head + "Content-Length: 1000\r\n\r\n" + string(bytes.Repeat([]byte("y"), 1000))
	stream := head + "Transfer-Encoding: chunked\r\n\r\n" + chunks.String() + "0\r\n\r\n"
	run := func(name, reply string, size int) {
		body := bytes.Repeat([]byte("z"), size)
		url := upstream(b, reply)
		call := func(b *testing.B, do func(*http.Request) (*http.Response, error)) {
			buf := make([]byte, 8<<10)
			b.ReportAllocs()
			start := cpu()
			for b.Loop() {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url+"/v1/chat/completions", nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header["Authorization"] = []string{"Bearer sk-1"}
				req.Header["Content-Type"] = []string{"application/json"}
				SetBody(req, body)
				resp, err := do(req)
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = resp.Body.Read(buf)
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				resp.Body.Close()
			}
			b.ReportMetric(float64(cpu()-start)/float64(b.N)/1000, "cpu-us/op")
		}
		c := New(Options{})
		defer c.Close()
		t := Timeouts{FirstByte: 10 * time.Minute, Idle: time.Minute}
		b.Run(name+"/lean", func(b *testing.B) {
			call(b, func(r *http.Request) (*http.Response, error) { return c.Do(r, t) })
		})
		b.Run(name+"/net-http", func(b *testing.B) { call(b, c.std.RoundTrip) })
		b.Run(name+"/net-http-timeouts", func(b *testing.B) {
			call(b, func(r *http.Request) (*http.Response, error) { return watched(c.std, r, t) })
		})
	}
	run("2KB", whole, 2000)
	run("200KB", whole, 200000)
	run("stream", stream, 2000)

	// What the upstream and the kernel cost alone: a bare connection that writes and reads the same bytes.
	b.Run("2KB/floor", func(b *testing.B) {
		url := upstream(b, whole)
		c, err := net.Dial("tcp", url[len("http://"):])
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		req := append([]byte("POST / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n"), bytes.Repeat([]byte("z"), 2000)...)
		buf := make([]byte, 8<<10)
		start := cpu()
		for b.Loop() {
			c.Write(req)
			if _, err := io.ReadFull(c, buf[:len(whole)]); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(cpu()-start)/float64(b.N)/1000, "cpu-us/op")
	})
}
