package gemini

import (
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

var finishReasons = map[string]llm.FinishReason{
	"FINISH_REASON_UNSPECIFIED": llm.FinishStop, "STOP": llm.FinishStop, "MAX_TOKENS": llm.FinishLength,
	"SAFETY": llm.FinishFilter, "RECITATION": llm.FinishFilter, "LANGUAGE": llm.FinishFilter, "BLOCKLIST": llm.FinishFilter,
	"PROHIBITED_CONTENT": llm.FinishFilter, "SPII": llm.FinishFilter, "MODEL_ARMOR": llm.FinishFilter, "IMAGE_SAFETY": llm.FinishFilter,
	"IMAGE_PROHIBITED_CONTENT": llm.FinishFilter, "IMAGE_RECITATION": llm.FinishFilter,
	"MALFORMED_FUNCTION_CALL": llm.FinishMalformed, "UNEXPECTED_TOOL_CALL": llm.FinishMalformed, "TOO_MANY_TOOL_CALLS": llm.FinishMalformed,
	"MALFORMED_RESPONSE": llm.FinishMalformed, "MISSING_THOUGHT_SIGNATURE": llm.FinishMalformed,
	"OTHER": llm.FinishError, "NO_IMAGE": llm.FinishError, "IMAGE_OTHER": llm.FinishError,
}

// stopOf reads a candidate's reason; calls says that the candidate called a function, which Gemini reports as STOP.
func stopOf(c *candidate, calls bool) llm.Stop {
	word := c.FinishReason.in(finishWords)
	s := llm.Stop{Raw: word, Reason: finishReasons[word]}
	if s.Reason == "" {
		s.Reason = llm.FinishError
	}
	if s.Reason == llm.FinishStop && calls {
		s.Reason = llm.FinishToolCalls
	}
	if c.FinishMessage != "" || len(c.SafetyRatings) > 0 {
		s.Details, _ = json.Marshal(stopDetails{c.FinishMessage, c.SafetyRatings}, writeOptions) // both were read as JSON
	}
	return s
}

// stopDetails is what a candidate says about its end beside the reason.
type stopDetails struct {
	FinishMessage string  `json:"finishMessage,omitzero"`
	SafetyRatings llm.Raw `json:"safetyRatings,omitzero"`
}

// finishWord is Gemini's word for a stop, the upstream's own where that was Gemini.
func finishWord(s llm.Stop, native bool) string {
	if native && s.Raw != "" && s.Raw == strings.ToUpper(s.Raw) {
		return s.Raw
	}
	switch s.Reason {
	case llm.FinishLength, llm.FinishContext:
		return "MAX_TOKENS"
	case llm.FinishFilter, llm.FinishRefusal:
		return "SAFETY"
	case llm.FinishMalformed:
		return "MALFORMED_FUNCTION_CALL"
	case llm.FinishError, llm.FinishIncomplete:
		return "OTHER"
	}
	return "STOP"
}

// blocked reads a prompt that was refused before any candidate was made.
func blocked(feedback llm.Raw) (llm.Stop, bool) {
	var f struct {
		BlockReason enum `json:"blockReason"`
	}
	if len(feedback) == 0 || json.Unmarshal(feedback, &f, upstreamOptions) != nil || f.BlockReason == "" {
		return llm.Stop{}, false
	}
	return llm.Stop{Reason: llm.FinishFilter, Raw: f.BlockReason.in(blockWords), Details: feedback}, true
}

// feedbackOf finds a refused prompt's feedback in a stop that blocked made.
func feedbackOf(s llm.Stop, native bool) llm.Raw {
	if !native {
		return nil
	}
	if _, ok := blocked(s.Details); ok {
		return s.Details
	}
	return nil
}
