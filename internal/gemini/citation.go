package gemini

import (
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

type groundingMetadata struct {
	GroundingChunks   []groundingChunk   `json:"groundingChunks,omitzero"`
	GroundingSupports []groundingSupport `json:"groundingSupports,omitzero"`
}

type groundingChunk struct {
	Web              *source `json:"web,omitzero"`
	RetrievedContext *source `json:"retrievedContext,omitzero"`
	Maps             *source `json:"maps,omitzero"`
}

type source struct {
	URI   string `json:"uri,omitzero"`
	Title string `json:"title,omitzero"`
}

type groundingSupport struct {
	Segment               segment `json:"segment"`
	GroundingChunkIndices []int   `json:"groundingChunkIndices,omitzero"`
}

// segment counts bytes of the part's text.
type segment struct {
	PartIndex  int    `json:"partIndex,omitzero"`
	StartIndex int64  `json:"startIndex,omitzero"`
	EndIndex   int64  `json:"endIndex,omitzero"`
	Text       string `json:"text,omitzero"`
}

type citationMetadata struct {
	CitationSources []citationSource `json:"citationSources"` // the Gemini API
	Citations       []citationSource `json:"citations"`       // Vertex
}

type citationSource struct {
	StartIndex int64  `json:"startIndex"`
	EndIndex   int64  `json:"endIndex"`
	URI        string `json:"uri"`
	Title      string `json:"title"`
}

// cite hangs a candidate's sources on its text parts.
func cite(parts []llm.Part, c *candidate) {
	var texts []*llm.Part
	for i := range parts {
		if parts[i].Kind == llm.KindText {
			texts = append(texts, &parts[i])
		}
	}
	if len(texts) == 0 {
		return
	}
	for _, f := range citations(c) {
		p := texts[len(texts)-1]
		if f.part < len(parts) && parts[f.part].Kind == llm.KindText {
			p = &parts[f.part]
		}
		f.Start, f.End = runes(p.Text, f.Start), runes(p.Text, f.End)
		p.Citations = append(p.Citations, f.Citation)
	}
}

// runes turns a byte offset into a count of characters, which is how the vocabulary counts.
func runes(s string, n int64) int64 {
	if n <= 0 {
		return 0
	}
	return int64(utf8.RuneCountInString(s[:min(n, int64(len(s)))]))
}

type found struct {
	llm.Citation
	part int
}

// citations reads both kinds of sources; their offsets are still bytes.
func citations(c *candidate) []found {
	var out []found
	var g groundingMetadata
	if len(c.GroundingMetadata) > 0 && json.Unmarshal(c.GroundingMetadata, &g, upstreamOptions) == nil {
		for _, s := range g.GroundingSupports {
			for _, i := range s.GroundingChunkIndices {
				if i < 0 || i >= len(g.GroundingChunks) {
					continue
				}
				src := g.GroundingChunks[i].source()
				if src == nil {
					continue
				}
				out = append(out, found{llm.Citation{Kind: "url", URL: src.URI, Title: src.Title, Start: s.Segment.StartIndex,
					End: s.Segment.EndIndex, From: llm.Gemini}, max(s.Segment.PartIndex, 0)})
			}
		}
	}
	var m citationMetadata
	if len(c.CitationMetadata) > 0 && json.Unmarshal(c.CitationMetadata, &m, upstreamOptions) == nil {
		for _, s := range append(m.CitationSources, m.Citations...) {
			if s.URI == "" && s.Title == "" {
				continue
			}
			out = append(out, found{llm.Citation{Kind: "url", URL: s.URI, Title: s.Title, Start: s.StartIndex, End: s.EndIndex,
				From: llm.Gemini}, 0})
		}
	}
	return out
}

func (g *groundingChunk) source() *source {
	switch {
	case g.Web != nil:
		return g.Web
	case g.RetrievedContext != nil:
		return g.RetrievedContext
	}
	return g.Maps
}

// grounding writes the citations of an answer's text parts, nil if there are none with an address.
func grounding(parts []llm.Part) llm.Raw {
	var g groundingMetadata
	for i := range parts {
		for _, c := range parts[i].Citations {
			g.add(&c, i, parts[i].Text)
		}
	}
	return g.raw()
}

func (g *groundingMetadata) add(c *llm.Citation, partIndex int, text string) {
	if c.URL == "" && c.Title == "" {
		return
	}
	g.GroundingChunks = append(g.GroundingChunks, groundingChunk{Web: &source{URI: c.URL, Title: c.Title}})
	seg := segment{PartIndex: partIndex}
	if c.Kind == "url" && c.End > c.Start && c.Start >= 0 {
		seg.StartIndex, seg.EndIndex = offset(text, c.Start), offset(text, c.End)
		seg.Text = text[seg.StartIndex:seg.EndIndex]
	} else {
		seg.EndIndex = int64(len(text))
		seg.Text = text
	}
	g.GroundingSupports = append(g.GroundingSupports, groundingSupport{Segment: seg,
		GroundingChunkIndices: []int{len(g.GroundingChunks) - 1}})
}

// offset is runes' inverse.
func offset(s string, n int64) int64 {
	var i int64
	for at := range s {
		if i == n {
			return int64(at)
		}
		i++
	}
	return int64(len(s))
}

func (g *groundingMetadata) raw() llm.Raw {
	if len(g.GroundingChunks) == 0 {
		return nil
	}
	raw, err := json.Marshal(g, writeOptions)
	if err != nil {
		return nil
	}
	return raw
}

type logprobsResult struct {
	ChosenCandidates []tokenLogprob `json:"chosenCandidates,omitzero"`
	TopCandidates    []topLogprobs  `json:"topCandidates,omitzero"`
}

type topLogprobs struct {
	Candidates []tokenLogprob `json:"candidates,omitzero"`
}

type tokenLogprob struct {
	Token          string  `json:"token"`
	LogProbability float64 `json:"logProbability"`
}

func (l *logprobsResult) tokens() []llm.TokenLogprob {
	if l == nil {
		return nil
	}
	var out []llm.TokenLogprob
	for i, c := range l.ChosenCandidates {
		t := llm.TokenLogprob{Token: c.Token, Logprob: c.LogProbability}
		if i < len(l.TopCandidates) {
			for _, top := range l.TopCandidates[i].Candidates {
				t.Top = append(t.Top, llm.TokenLogprob{Token: top.Token, Logprob: top.LogProbability})
			}
		}
		out = append(out, t)
	}
	return out
}

func writeLogprobs(tokens []llm.TokenLogprob) *logprobsResult {
	if len(tokens) == 0 {
		return nil
	}
	l := &logprobsResult{}
	alternatives := false
	for _, t := range tokens {
		l.ChosenCandidates = append(l.ChosenCandidates, tokenLogprob{t.Token, t.Logprob})
		var top topLogprobs
		for _, a := range t.Top {
			alternatives = true
			top.Candidates = append(top.Candidates, tokenLogprob{a.Token, a.Logprob})
		}
		l.TopCandidates = append(l.TopCandidates, top)
	}
	if !alternatives {
		l.TopCandidates = nil
	}
	return l
}
