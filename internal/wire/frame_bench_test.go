package wire

import (
	"bytes"
	"io"
	"testing"
)

func BenchmarkFrames(b *testing.B) {
	run := func(name string, stream []byte, r FrameReader, reset func(io.Reader)) {
		b.Run(name, func(b *testing.B) {
			src := bytes.NewReader(nil)
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			frames := 0
			for b.Loop() {
				src.Reset(stream)
				reset(src)
				for {
					if _, err := r.Next(); err != nil {
						break
					}
					frames++
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(frames), "ns/frame")
		})
	}
	s := NewSSEReader(nil, 0)
	run("openai", recorded(b, "sse")["openai_chat-completions.txt"], s, s.Reset)
	run("anthropic", recorded(b, "sse")["anthropic_messages.txt"], s, s.Reset)
	e := NewEventStreamReader(nil, 0)
	run("bedrock", recorded(b, "eventstream")["bedrock_invoke-model-stream.bin"], e, e.Reset)
}
