package gemini

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// partWriter turns the vocabulary's parts into Gemini's, for requests and answers alike.
type partWriter struct {
	native  bool // the conversation was Gemini's all along
	vertex  bool
	gen     int  // of the target model, see generation
	answer  bool // an answer is being written, not a request
	names   map[string]string
	dropped []string
}

func (w *partWriter) drop(what string) {
	if !slices.Contains(w.dropped, what) {
		w.dropped = append(w.dropped, what)
	}
}

// write appends what says p: mostly one part, none for what Gemini has no word for, more for a tool result with media.
func (w *partWriter) write(dst []part, p *llm.Part, field string) ([]part, error) {
	out := part{}
	if p.SignedBy == llm.Gemini {
		out.ThoughtSignature = p.Signature
	}
	if w.native {
		out.Other = p.Extra
	}
	switch p.Kind {
	case llm.KindText, llm.KindRefusal:
		if p.Text == "" && out.ThoughtSignature == "" && !w.native {
			return dst, nil
		}
		out.Text = &p.Text
	case llm.KindReasoning:
		// Another model's thoughts prove nothing to Gemini; its own clients leave unsigned ones out as well.
		if !w.native && out.ThoughtSignature == "" && !w.answer {
			return dst, nil
		}
		out.Text, out.Thought = &p.Text, true
	case llm.KindImage, llm.KindAudio, llm.KindVideo, llm.KindDocument:
		if err := w.media(&out, p, field); err != nil {
			return dst, err
		}
	case llm.KindToolCall:
		if p.Call == nil {
			return dst, nil
		}
		out.FunctionCall = &functionCall{ID: sentID(p.Call.ID), Name: p.Call.Name, Args: p.Call.ArgumentsObject()}
	case llm.KindToolResult:
		return w.result(dst, p, out, field)
	case llm.KindJSON:
		text := string(p.Raw)
		out.Text = &text
	case llm.KindNative:
		if !w.native || !p.Raw.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) || p.Raw.Kind() != '{' {
			w.drop("native content")
			return dst, nil
		}
		out.Other = members(p.Raw)
		out.ThoughtSignature = ""
	default: // redacted reasoning is for its own provider alone
		return dst, nil
	}
	return append(dst, out), nil
}

// sentID leaves out the ids that the decoder invented: Gemini never saw them.
func sentID(id string) string {
	if strings.HasPrefix(id, invented) {
		return ""
	}
	return id
}

func (w *partWriter) media(out *part, p *llm.Part, field string) error {
	m := p.Media
	if m == nil {
		return llm.Invalid(field, "%s: no content; send data or a URL", field)
	}
	name := ""
	if w.native || w.vertex {
		name = m.Name
	}
	switch {
	case m.Text != "":
		out.InlineData = &blob{MimeType: "text/plain", Data: base64.StdEncoding.EncodeToString([]byte(m.Text)), DisplayName: name}
	case m.Data != "":
		mime := m.MIME
		if mime == "" && !w.native {
			mime = defaultMIME(p.Kind)
		}
		out.InlineData = &blob{MimeType: mime, Data: m.Data, DisplayName: name}
	case m.URL != "", m.FileID != "":
		uri := m.URL
		if uri == "" {
			uri = m.FileID
		}
		if m.URL == "" && !w.native && !isFilesAPI(uri) {
			return llm.Invalid(field, "%s: file %q is kept by another provider; send its content or a URL", field, uri)
		}
		if strings.HasPrefix(uri, "s3://") {
			return llm.Invalid(field, "%s: Gemini can't read s3:// addresses; send the content, an https or a gs address", field)
		}
		mime := m.MIME
		if mime == "" && !w.native && !isYouTube(uri) && !isFilesAPI(uri) {
			if mime = guessMIME(uri); mime == "" {
				mime = defaultMIME(p.Kind)
			}
		}
		out.FileData = &fileData{MimeType: mime, FileURI: uri, DisplayName: name}
	default:
		return llm.Invalid(field, "%s: no content; send data or a URL", field)
	}
	return nil
}

func defaultMIME(k llm.Kind) string {
	switch k {
	case llm.KindImage:
		return "image/jpeg"
	case llm.KindAudio:
		return "audio/wav"
	case llm.KindVideo:
		return "video/mp4"
	}
	return "application/pdf"
}

// result writes a tool result. Before Gemini 3 a functionResponse held no media: they follow it in the same turn.
func (w *partWriter) result(dst []part, p *llm.Part, out part, field string) ([]part, error) {
	r := p.Result
	if r == nil {
		return dst, nil
	}
	name := r.Name
	if name == "" {
		name = w.names[r.CallID]
	}
	if name == "" {
		return dst, llm.Invalid(field, "%s: the result answers call %q, which is not in the conversation; send the assistant's call before it",
			field, r.CallID)
	}
	fr := &functionResponse{ID: sentID(r.CallID), Name: name, Response: response(r)}
	var beside []part
	for i := range r.Parts {
		switch q := &r.Parts[i]; q.Kind {
		case llm.KindImage, llm.KindAudio, llm.KindVideo, llm.KindDocument:
			var m part
			if err := w.media(&m, q, field); err != nil {
				return dst, err
			}
			if w.native || w.gen >= 30 {
				fr.Parts = append(fr.Parts, m)
			} else {
				beside = append(beside, m)
			}
		}
	}
	out.FunctionResponse, out.Other = fr, nil
	if w.native {
		for k, v := range p.Extra {
			if name, ok := strings.CutPrefix(k, responsePlace); ok {
				fr.Other = llm.WithExtra(fr.Other, name, v)
			} else {
				out.Other = llm.WithExtra(out.Other, k, v)
			}
		}
	}
	return append(append(dst, out), beside...), nil
}

// response is the result as an object, see readResponse.
func response(r *llm.ToolResult) llm.Raw {
	var text []byte
	var value llm.Raw
	texts := 0
	for i := range r.Parts {
		switch p := &r.Parts[i]; p.Kind {
		case llm.KindText, llm.KindRefusal:
			if texts++; texts > 1 {
				text = append(text, '\n')
			}
			text = append(text, p.Text...)
		case llm.KindJSON:
			if value == nil && texts == 0 && p.Raw.IsValid() {
				value = p.Raw
				continue
			}
			if texts++; texts > 1 {
				text = append(text, '\n')
			}
			text = append(text, p.Raw...)
		}
	}
	key := "result"
	if r.IsError {
		key = "error"
	}
	if value != nil && texts == 0 {
		if value.Kind() == '{' && !r.IsError {
			return value
		}
		return llm.Raw(`{"` + key + `":` + string(value) + `}`)
	}
	if value != nil {
		text = append(append(append([]byte(nil), value...), '\n'), text...)
	}
	quoted, err := jsontext.AppendQuote([]byte(`{"`+key+`":`), text)
	if err != nil { // invalid UTF-8: AppendQuote has replaced it
		quoted = append([]byte(`{"`+key+`":`), llm.Quote(string(text))...)
	}
	return append(quoted, '}')
}

// NeedsInline says that Gemini can't fetch the part's URL itself, so that the caller must fetch it and put the bytes in its place
// before encoding. Files that Gemini keeps, YouTube and Cloud Storage addresses are its own business.
func NeedsInline(p *llm.Part) bool {
	if p.Media == nil || p.Media.URL == "" || p.Media.Data != "" {
		return false
	}
	u := p.Media.URL
	if !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") {
		return false
	}
	return !isFilesAPI(u) && !isYouTube(u)
}
