package wire

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func BenchmarkScan(b *testing.B) {
	run := func(name string, body []byte) {
		b.Run(name, func(b *testing.B) {
			var d Doc
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := Scan(&d, body, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/jsontext", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if !jsontext.Value(body).IsValid() {
					b.Fatal("invalid")
				}
			}
		})
	}
	run("openai", recorded(b, "requests")["openai_chat-completions.json"])
	run("anthropic", recorded(b, "requests")["anthropic_messages.json"])
	run("200KB", largeBody())
	run("prose", []byte(`{"model":"gpt-4o","messages":[{"role":"user","content":"`+strings.Repeat("All work and no play makes Jack a dull boy. ", 4654)+`"}]}`))
}

func BenchmarkSplice(b *testing.B) {
	body := largeBody()
	var d Doc
	if err := Scan(&d, body, Limits{}); err != nil {
		b.Fatal(err)
	}
	value := []byte(`"gpt-4o-2024-11-20"`)
	var dst []byte
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		dst = d.Splice(dst[:0], Edit{Name: "model", Value: value}, Edit{Name: "metadata"})
	}
}
