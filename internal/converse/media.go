package converse

import (
	"encoding/base64"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/llm"
)

// format pairs Bedrock's word with a MIME type. Of several with one MIME type the first is written.
type format struct{ word, mime string }

// formats are Bedrock's words by kind of part.
var formats = map[llm.Kind][]format{
	llm.KindImage: {{"png", "image/png"}, {"jpeg", "image/jpeg"}, {"gif", "image/gif"}, {"webp", "image/webp"}},
	llm.KindDocument: {
		{"pdf", "application/pdf"}, {"csv", "text/csv"}, {"doc", "application/msword"},
		{"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"}, {"xls", "application/vnd.ms-excel"},
		{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}, {"html", "text/html"}, {"txt", "text/plain"},
		{"md", "text/markdown"},
	},
	llm.KindVideo: {
		{"mkv", "video/x-matroska"}, {"mov", "video/quicktime"}, {"mp4", "video/mp4"}, {"webm", "video/webm"}, {"flv", "video/x-flv"},
		{"mpeg", "video/mpeg"}, {"mpg", "video/mpg"}, {"wmv", "video/x-ms-wmv"}, {"three_gp", "video/3gpp"},
	},
	llm.KindAudio: {
		{"mp3", "audio/mp3"}, {"mpeg", "audio/mpeg"}, {"mpga", "audio/mpga"}, {"opus", "audio/opus"}, {"wav", "audio/wav"},
		{"aac", "audio/aac"}, {"x-aac", "audio/x-aac"}, {"flac", "audio/flac"}, {"mp4", "audio/mp4"}, {"ogg", "audio/ogg"},
		{"mkv", "audio/x-matroska"}, {"mka", "audio/mka"}, {"m4a", "audio/m4a"}, {"pcm", "audio/pcm"}, {"webm", "audio/webm"},
	},
}

// aliases are other names of MIME types above.
var aliases = map[string]string{
	"image/jpg": "image/jpeg", "audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "audio/x-m4a": "audio/m4a", "audio/x-flac": "audio/flac",
	"audio/pcm16": "audio/pcm", "audio/l16": "audio/pcm", "text/x-markdown": "text/markdown", "video/mov": "video/quicktime",
	"video/wmv": "video/x-ms-wmv", "video/3gp": "video/3gpp", "application/csv": "text/csv",
}

func mimeOf(kind llm.Kind, word string) string {
	for _, f := range formats[kind] {
		if f.word == word {
			return f.mime
		}
	}
	return ""
}

// wordOf is Bedrock's word for a part's media, from its MIME type, its name or its first bytes; empty if there is none.
func wordOf(kind llm.Kind, m *llm.Media) string {
	mime, _, _ := strings.Cut(strings.ToLower(m.MIME), ";")
	mime = strings.TrimSpace(mime)
	if a, ok := aliases[mime]; ok {
		mime = a
	}
	for _, f := range formats[kind] {
		if f.mime == mime {
			return f.word
		}
	}
	generic := mime == "" || mime == "application/octet-stream" || strings.HasSuffix(mime, "/*")
	if generic {
		if w := wordOfBytes(kind, m); w != "" {
			return w
		}
	}
	if kind != llm.KindDocument {
		return ""
	}
	if m.Text != "" || strings.HasPrefix(mime, "text/") {
		return "txt"
	}
	switch mime {
	case "application/json", "application/xml", "application/yaml", "application/x-yaml", "application/javascript":
		return "txt"
	}
	if generic && plain(m.Data) {
		return "txt"
	}
	return ""
}

// magic are the first letters, in base64, of formats that clients send without a type.
var magic = []struct{ prefix, word string }{
	{"iVBORw0KGgo", "png"}, {"/9j/", "jpeg"}, {"R0lGOD", "gif"}, {"UklGR", "webp"}, {"JVBERi", "pdf"}, {"SUQz", "mp3"},
}

func wordOfBytes(kind llm.Kind, m *llm.Media) string {
	names := []string{m.Name, m.URL}
	for _, n := range names {
		ext := strings.ToLower(strings.TrimPrefix(path.Ext(n), "."))
		switch ext {
		case "jpg":
			ext = "jpeg"
		case "htm":
			ext = "html"
		case "3gp":
			ext = "three_gp"
		}
		if ext != "" && mimeOf(kind, ext) != "" {
			return ext
		}
	}
	for _, g := range magic {
		word := g.word
		if kind == llm.KindAudio && word == "webp" {
			word = "wav" // both are RIFF files
		}
		if strings.HasPrefix(m.Data, g.prefix) && mimeOf(kind, word) != "" {
			return word
		}
	}
	return ""
}

// plain says whether base64 holds text, judged by its first kilobyte.
func plain(data string) bool {
	head := data[:min(len(data), 1024)]
	b, err := base64.StdEncoding.DecodeString(head)
	if err != nil || len(b) == 0 {
		return false
	}
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && len(b) >= utf8.UTFMax || r == 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// NeedsInline says that Bedrock can't fetch the part's URL itself, so that the caller must fetch it and put the bytes in its place before
// encoding. Addresses in S3 are Bedrock's own business; data URLs the encoder takes apart.
func NeedsInline(p *llm.Part) bool {
	if p.Media == nil || p.Media.Data != "" {
		return false
	}
	return strings.HasPrefix(p.Media.URL, "http://") || strings.HasPrefix(p.Media.URL, "https://")
}

// docNames gives every document of a request a name of its own that Bedrock takes.
type docNames map[string]bool

const maxDocName = 200

// pick is name with what Bedrock refuses taken out: it knows letters, digits, single spaces, hyphens, parentheses and square brackets.
func (d docNames) pick(name, word string) string {
	if ext := path.Ext(name); ext != "" && strings.EqualFold(ext, "."+word) {
		name = strings.TrimSuffix(name, ext)
	}
	var b strings.Builder
	space := true // none at the start
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-()[]", r):
			b.WriteRune(r)
			space = false
		case unicode.IsSpace(r) || r == '_' || r == '.':
			if !space {
				b.WriteByte(' ')
			}
			space = true
		default:
			b.WriteByte('-')
			space = false
		}
		if b.Len() >= maxDocName-10 {
			break
		}
	}
	clean := strings.TrimSpace(b.String())
	if strings.Trim(clean, "-") == "" {
		clean = "document"
	}
	unique := clean
	for n := 2; d[unique]; n++ {
		unique = clean + " (" + strconv.Itoa(n) + ")"
	}
	d[unique] = true
	return unique
}

// splitDataURL takes a data URL apart into MIME type and base64; ok is false if it is none or not in base64.
func splitDataURL(url string) (mime, data string, ok bool) {
	rest, ok := strings.CutPrefix(url, "data:")
	if !ok {
		return "", "", false
	}
	head, data, ok := strings.Cut(rest, ",")
	mime, isBase64 := strings.CutSuffix(head, ";base64")
	return mime, data, ok && isBase64
}
