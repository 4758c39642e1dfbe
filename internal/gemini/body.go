package gemini

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// unknown catches the members that the vocabulary has no field for, by the name they came with.
type unknown = map[string]llm.Raw

type content struct {
	Parts list[part] `json:"parts,omitzero"`
	Role  string     `json:"role,omitzero"`
	Other unknown    `json:",embed"`
}

type part struct {
	Text             *string           `json:"text,omitzero"`
	Thought          bool              `json:"thought,omitzero"`
	InlineData       *blob             `json:"inlineData,omitzero"`
	FileData         *fileData         `json:"fileData,omitzero"`
	FunctionCall     *functionCall     `json:"functionCall,omitzero"`
	FunctionResponse *functionResponse `json:"functionResponse,omitzero"`
	ThoughtSignature string            `json:"thoughtSignature,omitzero"`
	Other            unknown           `json:",embed"`
}

type blob struct {
	MimeType    string `json:"mimeType,omitzero"`
	Data        string `json:"data"`
	DisplayName string `json:"displayName,omitzero"`
}

type fileData struct {
	MimeType    string `json:"mimeType,omitzero"`
	FileURI     string `json:"fileUri"`
	DisplayName string `json:"displayName,omitzero"`
}

type functionCall struct {
	ID   string  `json:"id,omitzero"`
	Name string  `json:"name,omitzero"`
	Args llm.Raw `json:"args,omitzero"`
	// PartialArgs and WillContinue are Vertex's streamed arguments.
	PartialArgs  []partialArg `json:"partialArgs,omitzero"`
	WillContinue bool         `json:"willContinue,omitzero"`
}

type functionResponse struct {
	ID       string     `json:"id,omitzero"`
	Name     string     `json:"name"`
	Response llm.Raw    `json:"response"`
	Parts    list[part] `json:"parts,omitzero"`
	Other    unknown    `json:",embed"`
}

// list reads a repeated field as Google does: an array, or the one element bare.
type list[T any] []T

// UnmarshalJSONFrom reads either form.
func (l *list[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case '[':
		return json.UnmarshalDecode(dec, (*[]T)(l))
	case 'n':
		*l = nil
		return dec.SkipValue()
	}
	var one T
	if err := json.UnmarshalDecode(dec, &one); err != nil {
		return err
	}
	*l = list[T]{one}
	return nil
}

// whole reads an integer as protobuf's JSON does: 40, 40.0 or "40".
type whole int64

var errWhole = errors.New("want a whole number")

// UnmarshalJSONFrom reads any of the forms.
func (w *whole) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	s := string(v)
	switch v.Kind() {
	case 'n':
		return nil
	case '"':
		s = strings.Trim(s, `"`)
	case '0':
	default:
		return errWhole
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		*w = whole(n)
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<62 {
		return errWhole
	}
	*w = whole(f)
	return nil
}

// enum reads an enumerated value by name or, from clients of the old REST transport (enum-encoding=int), by number.
type enum string

var errEnum = errors.New("want the name of an enumerated value")

// UnmarshalJSONFrom keeps a number as its text; in resolves it.
func (e *enum) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	tok, err := dec.ReadToken()
	if err != nil {
		return err
	}
	switch tok.Kind() {
	case '"', '0':
		*e = enum(tok.String())
	case 'n':
	default:
		return errEnum
	}
	return nil
}

// in is the upper-case name; names gives those that numbers stand for, from 0.
func (e enum) in(names []string) string {
	if e == "" {
		return ""
	}
	if e[0] >= '0' && e[0] <= '9' {
		if n, err := strconv.Atoi(string(e)); err == nil && n < len(names) {
			return names[n]
		}
	}
	return strings.ToUpper(string(e))
}

// The numbers of Google's enumerations, Vertex's where the two differ.
var (
	schemaTypes = []string{"TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"}
	modalities  = []string{"MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT"}
	choiceModes = []string{"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"}
	finishWords = []string{"FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST",
		"PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "MODEL_ARMOR"}
	blockWords = []string{"BLOCKED_REASON_UNSPECIFIED", "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "MODEL_ARMOR"}
	outModes   = []string{"MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO"}
	levels     = []string{"THINKING_LEVEL_UNSPECIFIED", "LOW", "HIGH"}
)

// badBody turns a JSON failure in a client's body into an error that names the field and the fix.
func badBody(err error) *llm.Error {
	var syn *jsontext.SyntacticError
	if errors.As(err, &syn) {
		return &llm.Error{Kind: llm.ErrInvalid, Param: wire.FieldPath("", syn.JSONPointer), Message: "the body is not valid JSON: " + syn.Error() +
			"; send one JSON object with contents", Cause: err}
	}
	var sem *json.SemanticError
	if errors.As(err, &sem) {
		field := wire.FieldPath("", sem.JSONPointer)
		want := "another type"
		if sem.GoType != nil {
			want = wanted(sem.GoType.String())
		}
		msg := field + ": unexpected JSON value"
		if k := sem.JSONKind; k != 0 {
			msg = field + ": unexpected JSON " + k.String()
		}
		return &llm.Error{Kind: llm.ErrInvalid, Param: field, Message: strings.TrimPrefix(msg, ": ") + "; send " + want, Cause: err}
	}
	return &llm.Error{Kind: llm.ErrInvalid, Message: "the body can't be read: " + err.Error(), Cause: err}
}

func wanted(goType string) string {
	switch {
	case strings.HasSuffix(goType, "whole"):
		return "a whole number"
	case strings.HasSuffix(goType, "enum"), strings.HasSuffix(goType, "string"):
		return "a string"
	case strings.HasSuffix(goType, "float64"), strings.HasSuffix(goType, "int64"):
		return "a number"
	case strings.HasSuffix(goType, "bool"):
		return "true or false"
	case strings.HasPrefix(goType, "[]"):
		return "an array"
	}
	return "an object"
}

// standard64 checks base64 and gives its standard, padded form: Google's clients also send the URL-safe alphabet.
func standard64(s string) (string, bool) {
	rewrite := false
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		switch c := body[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/':
		case c == '-', c == '_':
			rewrite = true
		default:
			return "", false
		}
	}
	if len(body)%4 == 1 || len(s)-len(body) > 2 {
		return "", false
	}
	if pad := (4 - len(body)%4) % 4; len(s)-len(body) != pad {
		s = body + "=="[:pad]
	}
	if rewrite {
		s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	}
	return s, true
}
