package fleet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"testing"
)

// The tiny model's tokens are three of its own and one for each byte; its vectors have a place for each token.
const (
	tokenUnknown, tokenBegin, tokenEnd, tokenByte = 0, 1, 2, 3

	vocabulary = tokenByte + 256
	width      = 260 // not less than the vocabulary, and a multiple of twice the heads
	heads      = 2
	inner      = 32
)

// writeModel writes a language model in the GGUF format that llama.cpp reads: a llama of one layer which answers every chat with one word, whose
// letters all differ. Each token is a vector of its own, attention and feed-forward add nothing, and the output leads from each letter to
// the next one, from the colon that ends a prompt to the first, and from the last to the end.
func writeModel(t *testing.T, file, word string) {
	t.Helper()
	embed, output := make([]float32, width*vocabulary), make([]float32, width*vocabulary)
	for token := range vocabulary {
		embed[token*width+token] = 1
	}
	last := tokenByte + int(':')
	for _, c := range []byte(word) {
		output[(tokenByte+int(c))*width+last] = 10
		last = tokenByte + int(c)
	}
	output[tokenEnd*width+last] = 10
	ones := make([]float32, width)
	for i := range ones {
		ones[i] = 1
	}
	tensors := []struct {
		name   string
		dims   []uint64
		values []float32
	}{
		{"token_embd.weight", []uint64{width, vocabulary}, embed}, {"output.weight", []uint64{width, vocabulary}, output},
		{"output_norm.weight", []uint64{width}, ones}, {"blk.0.attn_norm.weight", []uint64{width}, ones}, {"blk.0.ffn_norm.weight", []uint64{width}, ones},
		{"blk.0.attn_q.weight", []uint64{width, width}, nil}, {"blk.0.attn_k.weight", []uint64{width, width}, nil},
		{"blk.0.attn_v.weight", []uint64{width, width}, nil}, {"blk.0.attn_output.weight", []uint64{width, width}, nil},
		{"blk.0.ffn_gate.weight", []uint64{width, inner}, nil}, {"blk.0.ffn_up.weight", []uint64{width, inner}, nil},
		{"blk.0.ffn_down.weight", []uint64{inner, width}, nil},
	}
	tokens, kinds := []string{"<unk>", "<s>", "</s>"}, []int32{2, 3, 3} // unknown, control
	for b := range 256 {
		tokens, kinds = append(tokens, fmt.Sprintf("<0x%02X>", b)), append(kinds, 6) // byte
	}
	settings := []struct {
		name  string
		value any
	}{
		{"general.architecture", "llama"}, {"general.name", "tiny"}, {"llama.context_length", uint32(512)}, {"llama.embedding_length", uint32(width)},
		{"llama.block_count", uint32(1)}, {"llama.feed_forward_length", uint32(inner)}, {"llama.attention.head_count", uint32(heads)},
		{"llama.attention.layer_norm_rms_epsilon", float32(1e-5)}, {"llama.rope.dimension_count", uint32(width / heads)},
		{"tokenizer.ggml.model", "llama"}, {"tokenizer.ggml.tokens", tokens}, {"tokenizer.ggml.scores", make([]float32, vocabulary)},
		{"tokenizer.ggml.token_type", kinds}, {"tokenizer.ggml.unknown_token_id", uint32(tokenUnknown)}, {"tokenizer.ggml.bos_token_id", uint32(tokenBegin)},
		{"tokenizer.ggml.eos_token_id", uint32(tokenEnd)}, {"tokenizer.ggml.add_space_prefix", false},
		{"tokenizer.chat_template", "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"},
	}
	g := &gguf{}
	g.Write([]byte("GGUF"))
	g.put(uint32(3), uint64(len(tensors)), uint64(len(settings))) // the format's version
	for _, s := range settings {
		g.text(s.name)
		g.setting(s.value)
	}
	var data gguf
	for _, one := range tensors {
		g.text(one.name)
		g.put(uint32(len(one.dims)), one.dims, uint32(0), uint64(data.Len())) // of 32-bit floats
		if one.values == nil {
			one.values = make([]float32, one.dims[0]*one.dims[1])
		}
		data.put(one.values)
		data.align()
	}
	g.align()
	g.Write(data.Bytes())
	if err := os.WriteFile(file, g.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// gguf is a file of the format in the making.
type gguf struct{ bytes.Buffer }

func (g *gguf) put(values ...any) {
	for _, v := range values {
		if err := binary.Write(g, binary.LittleEndian, v); err != nil {
			panic(err) // of a kind that has no size
		}
	}
}

func (g *gguf) text(s string) { g.put(uint64(len(s)), []byte(s)) }

// setting is a value with its type before it.
func (g *gguf) setting(v any) {
	switch v := v.(type) {
	case uint32:
		g.put(uint32(4), v)
	case float32:
		g.put(uint32(6), v)
	case bool:
		g.put(uint32(7), v)
	case string:
		g.put(uint32(8))
		g.text(v)
	case []int32:
		g.put(uint32(9), uint32(5), uint64(len(v)), v)
	case []float32:
		g.put(uint32(9), uint32(6), uint64(len(v)), v)
	case []string:
		g.put(uint32(9), uint32(8), uint64(len(v)))
		for _, s := range v {
			g.text(s)
		}
	default:
		panic(fmt.Sprintf("%T", v))
	}
}

func (g *gguf) align() {
	for g.Len()%32 != 0 {
		g.WriteByte(0)
	}
}
