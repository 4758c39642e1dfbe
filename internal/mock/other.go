package mock

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/anthropic"
	"github.com/weir-gateway/weir/internal/gemini"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/openai"
)

// dimensions of the mock's vectors when the request names none.
const dimensions = 8

// other answers what is not a chat: embeddings, counting, the model list. It reports whether the request was one of those.
func (s *Server) other(w http.ResponseWriter, r *http.Request, body []byte) bool {
	path := r.URL.Path
	switch {
	case strings.HasSuffix(path, "/models") && r.Method == http.MethodGet:
		reply(w, []byte(`{"object":"list","data":[{"id":"mock","object":"model","created":1700000000,"owned_by":"weir"}]}`))
	case strings.HasSuffix(path, "/embeddings"):
		embed(w, openai.Embeddings, body)
	case strings.HasSuffix(path, ":embedContent"), strings.HasSuffix(path, ":batchEmbedContents"):
		embed(w, gemini.Embeddings, body)
	case strings.HasSuffix(path, "/count_tokens"):
		count(w, anthropic.Messages, anthropic.Messages.DecodeCount, anthropic.Messages.AppendCount, body)
	case strings.HasSuffix(path, ":countTokens"):
		count(w, gemini.Generate, gemini.DecodeCount, gemini.AppendCount, body)
	case strings.HasSuffix(path, "/health"):
		_, _ = io.WriteString(w, "ok")
	default:
		return false
	}
	return true
}

func reply(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func refuse(w http.ResponseWriter, d llm.Served, err error) {
	e := llm.AsError(err)
	body := d.EncodeError(nil, w.Header(), e)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.HTTPStatus())
	_, _ = w.Write(body)
}

func count(w http.ResponseWriter, d llm.Served, decode func([]byte) (*llm.Request, error), add func([]byte, int64) []byte, body []byte) {
	req, err := decode(body)
	if err != nil {
		refuse(w, d, err)
		return
	}
	x := exchange{req: req}
	reply(w, add(nil, x.inputTokens()))
}

func embed(w http.ResponseWriter, d llm.ServedEmbed, body []byte) {
	req, err := d.DecodeEmbedRequest(body)
	if err != nil {
		refuse(w, openai.Chat, err)
		return
	}
	resp := &llm.EmbedResponse{Model: req.Model, Usage: &llm.Usage{}}
	n := dimensions
	if req.Dimensions != nil && *req.Dimensions > 0 && *req.Dimensions <= 4096 {
		n = int(*req.Dimensions)
	}
	for i := range req.Inputs {
		resp.Vectors = append(resp.Vectors, vector(&req.Inputs[i], n))
		resp.Usage.Input += tokens(len(req.Inputs[i].Text)) + int64(len(req.Inputs[i].Tokens))
	}
	reply(w, d.EncodeEmbedResponse(nil, resp, req, req.Model))
}

// vector is a unit vector that depends on nothing but the input, so that equal texts are equal.
func vector(in *llm.EmbedInput, n int) []float32 {
	text := in.Text
	if len(in.Tokens) > 0 {
		b, _ := json.Marshal(in.Tokens) // a list of integers always encodes
		text = string(b)
	}
	out := make([]float32, n)
	var sum float64
	for i := range out {
		h := fnv.New64a()
		_ = binary.Write(h, binary.LittleEndian, int64(i)) // a hash takes everything
		_, _ = io.WriteString(h, text)
		v := float64(h.Sum64()%2001)/1000 - 1
		out[i], sum = float32(v), sum+v*v
	}
	norm := float32(math.Sqrt(sum))
	if norm == 0 {
		norm = 1
	}
	for i := range out {
		out[i] /= norm
	}
	return out
}
