package usage

import (
	"strings"
	"sync"

	"github.com/tiktoken-go/tokenizer/codec"
	"github.com/weir-gateway/weir/internal/llm"
)

// vocabulary is OpenAI's o200k, loaded when somebody first asks for an estimate: it takes 12 MB and 20 ms, and stays.
var vocabulary = sync.OnceValue(codec.NewO200kBase)

const (
	// estimateWhole is how much of a text is counted exactly; a longer one is taken to go on as it begins.
	estimateWhole = 256 << 10
	// What OpenAI's chat format adds, and what its models take for an image or a page at their usual size.
	perMessage = 3
	perReply   = 3
	perTool    = 8
	perImage   = 765
	perPage    = 1500
	perSecond  = 25 // of sound
)

// Estimate is about how many tokens a text has. It counts in OpenAI's o200k whatever the model: other families have vocabularies of their
// own, which are not published or not worth their memory. It is for answers whose usage the upstream kept to itself and for count_tokens where the upstream can't count.
func Estimate(_ string, text string) int64 {
	if text == "" {
		return 0
	}
	part := text
	if len(part) > estimateWhole {
		part = part[:estimateWhole]
	}
	n, err := vocabulary().Count(strings.ToValidUTF8(part, "�"))
	if err != nil {
		// The splitting expression gave up; a token is about four bytes.
		n = len(part)/4 + 1
	}
	if len(part) < len(text) {
		return int64(float64(n) * float64(len(text)) / float64(len(part)))
	}
	return int64(n)
}

// EstimateChars is about how many tokens so many bytes of generated text are, where the text itself was not kept.
func EstimateChars(bytes int64) int64 { return (bytes + 3) / 4 }

// EstimateRequest is about how many input tokens a request has, tools and media included.
func EstimateRequest(req *llm.Request) int64 {
	if req == nil {
		return 0
	}
	e := estimator{model: req.Model}
	for i := range req.Messages {
		m := &req.Messages[i]
		e.total += perMessage
		e.text(m.Name)
		e.parts(m.Parts)
	}
	for i := range req.Tools {
		t := &req.Tools[i]
		e.total += perTool
		e.text(t.Name)
		e.text(t.Description)
		e.text(string(t.Schema))
		if t.Schema == nil {
			e.text(string(t.Raw))
		}
	}
	if req.Format != nil {
		e.text(string(req.Format.Schema))
	}
	if e.total == 0 {
		return 0
	}
	return e.total + perReply
}

// EstimateResponse is about how many output tokens an answer has.
func EstimateResponse(resp *llm.Response) int64 {
	if resp == nil {
		return 0
	}
	e := estimator{model: resp.Model}
	for i := range resp.Choices {
		e.parts(resp.Choices[i].Parts)
	}
	return e.total
}

type estimator struct {
	model string
	total int64
}

func (e *estimator) text(s string) { e.total += Estimate(e.model, s) }

func (e *estimator) parts(parts []llm.Part) {
	for i := range parts {
		p := &parts[i]
		e.text(p.Text)
		if p.Call != nil {
			e.text(p.Call.Name)
			e.text(p.Call.Arguments)
		}
		if p.Result != nil {
			e.parts(p.Result.Parts)
		}
		if p.Kind == llm.KindJSON || p.Kind == llm.KindNative {
			e.text(string(p.Raw))
		}
		if p.Media != nil {
			e.media(p.Kind, p.Media)
		}
	}
}

func (e *estimator) media(kind llm.Kind, m *llm.Media) {
	e.text(m.Text)
	bytes := int64(len(m.Data)) * 3 / 4
	switch kind {
	case llm.KindImage:
		if m.Detail == "low" {
			e.total += 85
			return
		}
		e.total += perImage
	case llm.KindAudio:
		const bytesPerSecond = 16_000
		e.total += max(bytes/bytesPerSecond, 1) * perSecond
	case llm.KindDocument:
		if m.Text == "" {
			const bytesPerPage = 50_000
			e.total += (bytes/bytesPerPage + 1) * perPage
		}
	default:
		e.total += perImage
	}
}
