package openai

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// Embeddings is the embeddings API, both halves.
var Embeddings embeddings

type embeddings struct{}

var (
	_ llm.SpokenEmbed = Embeddings
	_ llm.ServedEmbed = Embeddings
)

type embedRequest struct {
	Model          string                    `json:"model"`
	Input          jsontext.Value            `json:"input"`
	Dimensions     *number                   `json:"dimensions"`
	EncodingFormat string                    `json:"encoding_format"`
	User           string                    `json:"user"`
	Extra          map[string]jsontext.Value `json:",embed"`
}

// DecodeEmbedRequest implements llm.ServedEmbed.
func (embeddings) DecodeEmbedRequest(body []byte) (*llm.EmbedRequest, error) {
	var in embedRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, badRequest(err)
	}
	if !llm.IsSet(in.Input) {
		return nil, llm.Invalid("input", "/embeddings: Missing required parameter: 'input'.")
	}
	req := &llm.EmbedRequest{
		From: llm.OpenAI, Model: in.Model, Dimensions: in.Dimensions.ptr(), User: in.User, Extra: plainExtra(in.Extra),
	}
	switch in.EncodingFormat {
	case "", "float":
	case "base64":
		req.Base64 = true
	default:
		return nil, llm.Invalid("encoding_format", "Invalid value for 'encoding_format': %q. Use float or base64.", in.EncodingFormat)
	}
	if err := decodeInputs(req, in.Input); err != nil {
		return nil, err
	}
	return req, nil
}

// decodeInputs reads a string, a list of strings, a list of token ids or a list of such lists.
func decodeInputs(req *llm.EmbedRequest, v jsontext.Value) *llm.Error {
	var texts list
	if json.Unmarshal(v, &texts) == nil {
		req.Single = v.Kind() == '"'
		for _, t := range texts {
			req.Inputs = append(req.Inputs, llm.EmbedInput{Text: t})
		}
		return nil
	}
	var tokens []int64
	if json.Unmarshal(v, &tokens) == nil {
		req.Single = true
		req.Inputs = []llm.EmbedInput{{Tokens: tokens}}
		return nil
	}
	var lists [][]int64
	if json.Unmarshal(v, &lists) == nil {
		for i, l := range lists {
			if l == nil {
				at := "input[" + strconv.Itoa(i) + "]"
				return llm.Invalid(at, "Invalid type for '%s': it must be a list of token ids, got null.", at)
			}
			req.Inputs = append(req.Inputs, llm.EmbedInput{Tokens: l})
		}
		return nil
	}
	return llm.Invalid("input", "Invalid type for 'input': it must be a string, a list of strings, a list of token ids or a list of such lists.")
}

// EncodeEmbed implements llm.SpokenEmbed.
func (embeddings) EncodeEmbed(dst []byte, req *llm.EmbedRequest, t *llm.Target) ([]byte, []string, error) {
	var dropped []string
	w := writer{dst}
	w.begin('{')
	w.str("model", t.Model)
	w.key("input")
	if req.Single && len(req.Inputs) == 1 {
		w.embedInput(&req.Inputs[0])
	} else {
		w.begin('[')
		for i := range req.Inputs {
			w.comma()
			w.embedInput(&req.Inputs[i])
		}
		w.raw("]")
	}
	w.intPtr("dimensions", req.Dimensions)
	if req.Base64 {
		w.str("encoding_format", "base64")
	}
	w.text("user", req.User)
	if req.From == llm.OpenAI {
		w.extra(req.Extra)
	} else {
		dropped = sortedKeys(req.Extra)
	}
	if req.TaskType != "" {
		dropped = append(dropped, "task_type")
	}
	if req.Title != "" {
		dropped = append(dropped, "title")
	}
	w.raw("}")
	return w.b, dropped, nil
}

func (w *writer) embedInput(in *llm.EmbedInput) {
	if in.Tokens == nil {
		w.quote(in.Text)
		return
	}
	w.begin('[')
	for _, t := range in.Tokens {
		w.comma()
		w.b = strconv.AppendInt(w.b, t, 10)
	}
	w.raw("]")
}

// vector is a list of numbers or, in base64, of little-endian 32-bit floats.
type vector []float32

func (v *vector) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '"' {
		return json.UnmarshalDecode(d, (*[]float32)(v))
	}
	var s string
	if err := json.UnmarshalDecode(d, &s); err != nil {
		return err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b)%4 != 0 {
		return want("numbers or base64 of 32-bit floats")
	}
	*v = make(vector, len(b)/4)
	for i := range *v {
		(*v)[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return nil
}

// DecodeEmbed implements llm.SpokenEmbed.
func (embeddings) DecodeEmbed(body []byte) (*llm.EmbedResponse, error) {
	var in struct {
		Model string `json:"model"`
		Data  []struct {
			Index     *number `json:"index"`
			Embedding vector  `json:"embedding"`
		} `json:"data"`
		Usage jsontext.Value `json:"usage"`
		Error jsontext.Value `json:"error"`
	}
	if err := wire.Unmarshal(body, &in); err != nil {
		return nil, unread(body, err)
	}
	if llm.IsSet(in.Error) {
		return nil, inbandError(body)
	}
	if in.Data == nil {
		return nil, unread(body, nil)
	}
	resp := &llm.EmbedResponse{Model: in.Model, Vectors: make([][]float32, len(in.Data)), Usage: decodeUsage(in.Usage)}
	for i := range in.Data {
		at := i
		if n := in.Data[i].Index; n != nil && *n >= 0 && int(*n) < len(in.Data) && resp.Vectors[*n] == nil {
			at = int(*n)
		}
		if resp.Vectors[at] != nil {
			return nil, unread(body, nil)
		}
		resp.Vectors[at] = in.Data[i].Embedding
		if resp.Vectors[at] == nil {
			resp.Vectors[at] = []float32{}
		}
	}
	return resp, nil
}

// EncodeEmbedResponse implements llm.ServedEmbed.
func (embeddings) EncodeEmbedResponse(dst []byte, resp *llm.EmbedResponse, req *llm.EmbedRequest, model string) []byte {
	w := writer{dst}
	w.raw(`{"object":"list","data":[`)
	for i, v := range resp.Vectors {
		w.open('{')
		w.raw(`"object":"embedding"`)
		w.int("index", int64(i))
		w.key("embedding")
		if req != nil && req.Base64 {
			w.base64(v)
		} else {
			w.floats(v)
		}
		w.raw("}")
	}
	w.raw("]")
	w.str("model", model)
	u := resp.Usage
	if u == nil {
		u = &llm.Usage{}
	}
	w.raw(`,"usage":{`)
	w.int("prompt_tokens", u.Input)
	w.int("total_tokens", max(u.Sum(), u.Input))
	w.raw("}}")
	return w.b
}

func (w *writer) base64(v []float32) {
	raw := make([]byte, 0, 4*len(v))
	for _, f := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
	}
	w.raw(`"`)
	w.b = base64.StdEncoding.AppendEncode(w.b, raw)
	w.raw(`"`)
}

func (w *writer) floats(v []float32) {
	w.begin('[')
	for _, f := range v {
		w.comma()
		switch {
		case f != f:
			f = 0
		case f > math.MaxFloat32:
			f = math.MaxFloat32
		case f < -math.MaxFloat32:
			f = -math.MaxFloat32
		}
		w.b = strconv.AppendFloat(w.b, float64(f), 'g', -1, 32)
	}
	w.raw("]")
}
