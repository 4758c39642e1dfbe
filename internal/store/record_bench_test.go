package store

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
)

// BenchmarkSaveRecords is what one record costs on its way from the journal into SQLite, by the size of the batch.
func BenchmarkSaveRecords(b *testing.B) {
	for _, size := range []int{1, 50, 500} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, err := Open(b.Context(), filepath.Join(b.TempDir(), "weir.db"), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			batch := make([]usage.Record, size)
			n := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				for i := range batch {
					n++
					id := fmt.Sprintf("019aa5c0-%04x-7%03x-%s", n>>12&0xffff, n&0xfff, rand.Text()[:17])
					batch[i] = usage.Record{ID: id, RequestID: id, Start: 1763700000000 + n, FirstByte: 1763700000100 + n, End: 1763700000200 + n,
						Key: "62a1c0b8d7f6a5e4d3c2b1a0f9e8d7c6b5a4f3e2d1c0b9a8f7e6d5c4b3a29180", KeyAlias: "bench", User: "u", Team: "t",
						Model: "gpt-4o", Deployment: "mdl_41006388e3ef3386e204", Provider: "openai", Upstream: "gpt-4o",
						APIBase: "https://api.openai.com/v1", In: llm.OpenAI, Out: llm.OpenAI, Op: llm.OpChat, Status: 200, Attempts: 1,
						Usage: llm.Usage{Input: 500, Output: 120}, Cost: 12345, Priced: true}
				}
				if _, err := s.SaveRecords(b.Context(), "jrn_1", usage.Position{Segment: 1, Offset: n}, batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
		})
	}
}
