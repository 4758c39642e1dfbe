package gemini

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// partReader turns parts into the vocabulary's and gives ids to calls that have none, pairing results with them by name and order.
type partReader struct {
	prefix string // of invented ids, unique to the answer or turn being read
	calls  int
	open   []openCall
}

type openCall struct{ id, name string }

// read gives the part; where names it in errors.
func (r *partReader) read(p *part, where func() string) (llm.Part, error) {
	if n := dataFields(p); n > 1 {
		return llm.Part{}, llm.Invalid(where(), "%s: a part holds one kind of data; split it into several parts", where())
	} else if n == 0 && len(p.Other) == 0 && p.ThoughtSignature == "" && !p.Thought {
		return llm.Part{}, llm.Invalid(where(), "%s: empty part; set text, inlineData, fileData, functionCall or functionResponse", where())
	}
	out := llm.Part{Kind: llm.KindText, Signature: p.ThoughtSignature}
	if out.Signature != "" {
		out.SignedBy = llm.Gemini
	}
	if p.Thought {
		out.Kind = llm.KindReasoning
	}
	var err error
	switch {
	case p.Text != nil:
		out.Text = *p.Text
	case p.InlineData != nil:
		out.Kind, out.Media, err = readBlob(p.InlineData, where)
	case p.FileData != nil:
		out.Kind, out.Media, err = readFile(p.FileData, where)
	case p.FunctionCall != nil:
		out.Kind = llm.KindToolCall
		out.Call, err = r.call(p.FunctionCall, where)
	case p.FunctionResponse != nil:
		out.Kind = llm.KindToolResult
		out.Result, err = r.result(p.FunctionResponse, where)
		for k, v := range p.FunctionResponse.Other {
			out.Extra = llm.WithExtra(out.Extra, responsePlace+camel(k), v)
		}
	case len(p.Other) > 0:
		raw, werr := json.Marshal(p, writeOptions)
		if werr != nil {
			return out, llm.Invalid(where(), "%s: %v", where(), werr)
		}
		return llm.Part{Kind: llm.KindNative, Raw: raw}, nil
	}
	for k, v := range p.Other {
		out.Extra = llm.WithExtra(out.Extra, camel(k), v)
	}
	return out, err
}

// responsePlace is where the Extra of a tool result keeps the unknown members of its functionResponse, apart from the part's own.
const responsePlace = "functionResponse."

func dataFields(p *part) (n int) {
	for _, set := range [...]bool{p.Text != nil, p.InlineData != nil, p.FileData != nil, p.FunctionCall != nil, p.FunctionResponse != nil} {
		if set {
			n++
		}
	}
	return n
}

func extra(other unknown) unknown {
	if len(other) == 0 {
		return nil
	}
	out := make(unknown, len(other))
	for k, v := range other {
		out[camel(k)] = v
	}
	return out
}

func readBlob(b *blob, where func() string) (llm.Kind, *llm.Media, error) {
	data, ok := standard64(b.Data)
	if !ok {
		field := where() + ".inlineData.data"
		return "", nil, llm.Invalid(field, "%s: not base64; send the bytes base64-encoded, without a data: prefix or line breaks", field)
	}
	if data == "" {
		field := where() + ".inlineData.data"
		return "", nil, llm.Invalid(field, "%s: empty; send the bytes base64-encoded", field)
	}
	return mediaKind(b.MimeType, ""), &llm.Media{MIME: b.MimeType, Data: data, Name: b.DisplayName}, nil
}

func readFile(f *fileData, where func() string) (llm.Kind, *llm.Media, error) {
	if f.FileURI == "" {
		field := where() + ".fileData.fileUri"
		return "", nil, llm.Invalid(field, "%s: empty; send the file's URI", field)
	}
	m := &llm.Media{MIME: f.MimeType, Name: f.DisplayName}
	switch {
	case isFilesAPI(f.FileURI):
		m.FileID = f.FileURI
	default:
		m.URL = f.FileURI
	}
	return mediaKind(f.MimeType, f.FileURI), m, nil
}

// isFilesAPI says that Gemini itself keeps the file.
func isFilesAPI(uri string) bool {
	return strings.HasPrefix(uri, "files/") || strings.HasPrefix(uri, "https://generativelanguage.googleapis.com/")
}

func isYouTube(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil {
		return false
	}
	host := strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(u.Hostname()), "www."), "m.")
	return host == "youtube.com" || host == "youtu.be"
}

var extensions = map[string]string{
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif", ".heic": "image/heic",
	".heif": "image/heif", ".bmp": "image/bmp", ".svg": "image/svg+xml", ".pdf": "application/pdf", ".txt": "text/plain",
	".md": "text/markdown", ".html": "text/html", ".csv": "text/csv", ".xml": "text/xml", ".json": "application/json", ".mp3": "audio/mp3",
	".wav": "audio/wav", ".aac": "audio/aac", ".ogg": "audio/ogg", ".flac": "audio/flac", ".m4a": "audio/m4a", ".mp4": "video/mp4",
	".mov": "video/mov", ".webm": "video/webm", ".mpeg": "video/mpeg", ".mpg": "video/mpg", ".avi": "video/avi",
}

// guessMIME goes by the extension of a URL's path, empty when that tells nothing.
func guessMIME(uri string) string {
	if u, err := url.Parse(uri); err == nil {
		uri = u.Path
	}
	return extensions[strings.ToLower(filepath.Ext(uri))]
}

func mediaKind(mime, uri string) llm.Kind {
	if mime == "" && uri != "" {
		if isYouTube(uri) {
			return llm.KindVideo
		}
		mime = guessMIME(uri)
	}
	switch family, _, _ := strings.Cut(strings.ToLower(mime), "/"); family {
	case "image":
		return llm.KindImage
	case "audio":
		return llm.KindAudio
	case "video":
		return llm.KindVideo
	}
	return llm.KindDocument
}

func (r *partReader) call(c *functionCall, where func() string) (*llm.ToolCall, error) {
	if c.Name == "" {
		field := where() + ".functionCall.name"
		return nil, llm.Invalid(field, "%s: empty; name the function that was called", field)
	}
	args := string(c.Args)
	switch c.Args.Kind() {
	case '{':
	case 'n', 0:
		args = "{}"
	default:
		field := where() + ".functionCall.args"
		return nil, llm.Invalid(field, "%s: want an object with the arguments by name", field)
	}
	id := c.ID
	if id == "" {
		id = fmt.Sprintf("%s%s%d", invented, r.prefix, r.calls)
	}
	r.calls++
	r.open = append(r.open, openCall{id, c.Name})
	return &llm.ToolCall{ID: id, Name: c.Name, Arguments: args}, nil
}

func (r *partReader) result(f *functionResponse, where func() string) (*llm.ToolResult, error) {
	if f.Name == "" && f.ID == "" {
		field := where() + ".functionResponse.name"
		return nil, llm.Invalid(field, "%s: empty; name the function that answers", field)
	}
	res := &llm.ToolResult{CallID: f.ID, Name: f.Name}
	at := -1
	for i, c := range r.open {
		if f.ID != "" && c.id == f.ID || f.ID == "" && c.name == f.Name {
			at = i
			break
		}
	}
	switch {
	case at >= 0:
		res.CallID = r.open[at].id
		if res.Name == "" {
			res.Name = r.open[at].name
		}
		r.open = append(r.open[:at:at], r.open[at+1:]...)
	case f.ID == "":
		res.CallID = fmt.Sprintf("%s%sr%d", invented, r.prefix, r.calls)
		r.calls++
	}
	content, isError, ok := readResponse(f.Response)
	if !ok {
		field := where() + ".functionResponse.response"
		return nil, llm.Invalid(field, "%s: want an object; wrap other values as {\"result\": ...}", field)
	}
	res.Parts, res.IsError = append(res.Parts, content), isError
	for i := range f.Parts {
		p, err := r.read(&f.Parts[i], func() string { return fmt.Sprintf("%s.functionResponse.parts[%d]", where(), i) })
		if err != nil {
			return nil, err
		}
		res.Parts = append(res.Parts, p)
	}
	return res, nil
}

// readResponse reads the conventions that Google's clients follow: {"result": text} and {"output": text} are plain text,
// {"error": ...} says that the function failed, any other object is the result itself.
func readResponse(raw llm.Raw) (p llm.Part, isError, ok bool) {
	switch raw.Kind() {
	case 'n', 0:
		return llm.Part{Kind: llm.KindJSON, Raw: llm.Raw("{}")}, false, true
	case '{':
	default:
		return p, false, false
	}
	var members map[string]llm.Raw
	if json.Unmarshal(raw, &members, upstreamOptions) == nil && len(members) == 1 {
		for _, key := range [...]string{"result", "output", "error"} {
			v, has := members[key]
			if !has {
				continue
			}
			isError = key == "error"
			if v.Kind() == '"' {
				text, _ := jsontext.AppendUnquote(nil, v) // mangled UTF-8 becomes U+FFFD, as it does everywhere on input
				return llm.Part{Kind: llm.KindText, Text: string(text)}, isError, true
			}
			if isError || key == "result" && v.Kind() != '{' {
				return llm.Part{Kind: llm.KindJSON, Raw: v}, isError, true
			}
		}
	}
	return llm.Part{Kind: llm.KindJSON, Raw: raw}, false, true
}
