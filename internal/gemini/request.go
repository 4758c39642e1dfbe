package gemini

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

type requestBody struct {
	Model             string            `json:"model,omitzero"` // countTokens' inner request has it
	Contents          list[content]     `json:"contents,omitzero"`
	SystemInstruction *content          `json:"systemInstruction,omitzero"`
	Tools             list[unknown]     `json:"tools,omitzero"`
	ToolConfig        *toolConfig       `json:"toolConfig,omitzero"`
	GenerationConfig  *genConfig        `json:"generationConfig,omitzero"`
	ServiceTier       string            `json:"serviceTier,omitzero"`
	Labels            map[string]string `json:"labels,omitzero"`
	Other             unknown           `json:",embed"`
}

type genConfig struct {
	Temperature        *float64        `json:"temperature,omitzero"`
	TopP               *float64        `json:"topP,omitzero"`
	TopK               *whole          `json:"topK,omitzero"`
	CandidateCount     *whole          `json:"candidateCount,omitzero"`
	MaxOutputTokens    *whole          `json:"maxOutputTokens,omitzero"`
	StopSequences      list[string]    `json:"stopSequences,omitzero"`
	Seed               *whole          `json:"seed,omitzero"`
	PresencePenalty    *float64        `json:"presencePenalty,omitzero"`
	FrequencyPenalty   *float64        `json:"frequencyPenalty,omitzero"`
	ResponseLogprobs   *bool           `json:"responseLogprobs,omitzero"`
	Logprobs           *whole          `json:"logprobs,omitzero"`
	ResponseMimeType   string          `json:"responseMimeType,omitzero"`
	ResponseSchema     llm.Raw         `json:"responseSchema,omitzero"`
	ResponseJSONSchema llm.Raw         `json:"responseJsonSchema,omitzero"`
	ResponseModalities list[enum]      `json:"responseModalities,omitzero"`
	ThinkingConfig     *thinkingConfig `json:"thinkingConfig,omitzero"`
	SpeechConfig       llm.Raw         `json:"speechConfig,omitzero"`
	Other              unknown         `json:",embed"`
}

type thinkingConfig struct {
	IncludeThoughts *bool   `json:"includeThoughts,omitzero"`
	ThinkingBudget  *whole  `json:"thinkingBudget,omitzero"`
	ThinkingLevel   enum    `json:"thinkingLevel,omitzero"`
	Other           unknown `json:",embed"`
}

// voiceOnly is the speechConfig that the vocabulary can say.
type voiceOnly struct {
	VoiceConfig struct {
		PrebuiltVoiceConfig struct {
			VoiceName string  `json:"voiceName"`
			Other     unknown `json:",embed"`
		} `json:"prebuiltVoiceConfig"`
		Other unknown `json:",embed"`
	} `json:"voiceConfig"`
	Other unknown `json:",embed"`
}

// DecodeRequest reads a generateContent body, Google's or Vertex's; the model and whether to stream stand in the path.
func (dialect) DecodeRequest(body []byte) (*llm.Request, error) {
	var b requestBody
	if err := json.Unmarshal(body, &b, readOptions); err != nil {
		return nil, badBody(err)
	}
	req, err := b.request()
	if err != nil {
		return nil, err
	}
	return req, nil
}

func (b *requestBody) request() (*llm.Request, error) {
	if len(b.Contents) == 0 {
		return nil, llm.Invalid("contents", "contents: empty; send at least one message: [{\"role\": \"user\", \"parts\": [{\"text\": ...}]}]")
	}
	req := &llm.Request{From: llm.Gemini, Model: strings.TrimPrefix(b.Model, "models/"), ServiceTier: b.ServiceTier, Metadata: b.Labels}
	reader := &partReader{}
	if b.SystemInstruction != nil {
		m, err := readContent(reader, b.SystemInstruction, "systemInstruction", 0)
		if err != nil {
			return nil, err
		}
		m.Role = llm.RoleSystem
		req.Messages = append(req.Messages, m)
	}
	for i := range b.Contents {
		m, err := readContent(reader, &b.Contents[i], fmt.Sprintf("contents[%d]", i), i)
		if err != nil {
			return nil, err
		}
		req.Messages = append(req.Messages, m)
	}
	keep(req, "", b.Other)
	if err := readTools(req, b.Tools, b.ToolConfig); err != nil {
		return nil, err
	}
	if b.GenerationConfig != nil {
		if err := readConfig(req, b.GenerationConfig); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// keep puts unknown members into the request's Extra under their dotted place.
func keep(req *llm.Request, place string, other unknown) {
	for k, v := range other {
		if req.Extra == nil {
			req.Extra = unknown{}
		}
		req.Extra[place+camel(k)] = v
	}
}

func readContent(reader *partReader, c *content, where string, n int) (llm.Message, error) {
	m := llm.Message{Role: llm.RoleUser, Extra: extra(c.Other)}
	switch strings.ToLower(c.Role) {
	case "", "user", "function", "tool", "system":
	case "model":
		m.Role = llm.RoleAssistant
	default:
		return m, llm.Invalid(where+".role", "%s.role: %q is not a role; use user or model", where, c.Role)
	}
	if len(c.Parts) == 0 {
		return m, llm.Invalid(where+".parts", "%s.parts: empty; send at least one part, such as {\"text\": ...}", where)
	}
	reader.prefix, reader.calls = fmt.Sprintf("c%d_", n), 0
	for i := range c.Parts {
		p, err := reader.read(&c.Parts[i], func() string { return fmt.Sprintf("%s.parts[%d]", where, i) })
		if err != nil {
			return m, err
		}
		m.Parts = append(m.Parts, p)
	}
	return m, nil
}

func readConfig(req *llm.Request, g *genConfig) error {
	req.Temperature, req.TopP = g.Temperature, g.TopP
	req.PresencePenalty, req.FrequencyPenalty = g.PresencePenalty, g.FrequencyPenalty
	req.TopK, req.N, req.MaxTokens, req.Seed = number(g.TopK), number(g.CandidateCount), number(g.MaxOutputTokens), number(g.Seed)
	req.Stop, req.Logprobs, req.TopLogprobs = g.StopSequences, g.ResponseLogprobs, number(g.Logprobs)
	for _, m := range g.ResponseModalities {
		req.Modalities = append(req.Modalities, strings.ToLower(m.in(outModes)))
	}
	if t := g.ThinkingConfig; t != nil {
		req.Reasoning = &llm.Reasoning{Budget: number(t.ThinkingBudget), Include: t.IncludeThoughts,
			Effort: strings.ToLower(t.ThinkingLevel.in(levels))}
		if req.Reasoning.Effort == "thinking_level_unspecified" {
			req.Reasoning.Effort = ""
		}
		keep(req, "generationConfig.thinkingConfig.", t.Other)
	}
	if err := readFormat(req, g); err != nil {
		return err
	}
	if llm.IsSet(g.SpeechConfig) {
		var v voiceOnly
		name := &v.VoiceConfig.PrebuiltVoiceConfig
		if err := json.Unmarshal(g.SpeechConfig, &v, readOptions); err == nil && name.VoiceName != "" &&
			len(v.Other)+len(v.VoiceConfig.Other)+len(name.Other) == 0 {
			req.Audio = &llm.AudioOutput{Voice: name.VoiceName}
		} else {
			keep(req, "generationConfig.", unknown{"speechConfig": g.SpeechConfig})
		}
	}
	keep(req, "generationConfig.", g.Other)
	return nil
}

func number(w *whole) *int64 { return (*int64)(w) }

const jsonMIME = "application/json"

func readFormat(req *llm.Request, g *genConfig) error {
	schema := g.ResponseJSONSchema
	if k := g.ResponseSchema.Kind(); k != 0 && k != 'n' {
		s, err := fromSchema(g.ResponseSchema)
		if err != nil {
			return llm.Invalid("generationConfig.responseSchema", "generationConfig.responseSchema: %v", err)
		}
		schema = s
	}
	switch {
	case g.ResponseMimeType == "text/plain":
		req.Format = &llm.Format{Type: "text"}
	case g.ResponseMimeType != "" && g.ResponseMimeType != jsonMIME:
		// text/x.enum constrains the answer to one of a schema's values: no other dialect has it.
		keep(req, "generationConfig.", unknown{"responseMimeType": llm.Quote(g.ResponseMimeType)})
		if schema != nil {
			keep(req, "generationConfig.", unknown{"responseJsonSchema": schema})
		}
	case schema != nil && schema.Kind() != 'n':
		req.Format = &llm.Format{Type: "json_schema", Schema: schema}
	case g.ResponseMimeType == jsonMIME:
		req.Format = &llm.Format{Type: "json_object"}
	}
	return nil
}
