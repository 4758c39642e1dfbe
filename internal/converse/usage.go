package converse

import "github.com/weir-gateway/weir/internal/llm"

// wireUsage is Bedrock's count, in which cached input stands beside inputTokens, not inside.
type wireUsage struct {
	Input      int64              `json:"inputTokens"`
	Output     int64              `json:"outputTokens"`
	Total      int64              `json:"totalTokens"`
	CacheRead  *int64             `json:"cacheReadInputTokens"`
	CacheWrite *int64             `json:"cacheWriteInputTokens"`
	Details    []wireCacheDetail  `json:"cacheDetails"`
	Extra      map[string]llm.Raw `json:",embed"`
}

type wireCacheDetail struct {
	TTL   string `json:"ttl"`
	Input int64  `json:"inputTokens"`
}

func value(p *int64) int64 {
	if p == nil || *p < 0 {
		return 0
	}
	return *p
}

// usage nests the counts as llm does.
func (u *wireUsage) usage() *llm.Usage {
	out := &llm.Usage{
		Output: max(0, u.Output), Total: max(0, u.Total), CacheRead: value(u.CacheRead), CacheWrite: value(u.CacheWrite),
		CacheKnown: u.CacheRead != nil || u.CacheWrite != nil,
	}
	var details int64
	for _, d := range u.Details {
		details += max(0, d.Input)
		if d.TTL == "1h" {
			out.CacheWrite1h += max(0, d.Input)
		}
	}
	out.CacheWrite = max(out.CacheWrite, details)
	out.Input = max(0, u.Input) + out.CacheRead + out.CacheWrite
	for k, v := range u.Extra {
		switch k {
		case "cacheReadInputTokenCount", "cacheWriteInputTokenCount": // older names of the same
		default:
			if string(v) != "{}" && llm.IsSet(v) {
				out.Extra = llm.WithExtra(out.Extra, k, v)
			}
		}
	}
	return out
}

// Names in the Usage.Extra of a stream: what its last event says beside the usage.
const (
	traceKey       = "trace"
	performanceKey = "performanceConfig"
	tierKey        = "serviceTier"
)

// usage writes the member of that name. Bedrock's clients want one, with zeros if nobody counted. Extra is written for an answer of this
// dialect only.
func (w *writer) usage(u *llm.Usage, own bool) {
	if u == nil {
		u = &llm.Usage{}
	}
	w.Object("usage")
	w.Int("inputTokens", max(0, u.Input-u.CacheRead-u.CacheWrite))
	w.Int("outputTokens", max(0, u.Output))
	w.Int("totalTokens", max(0, u.Sum()))
	if u.CacheKnown || u.CacheRead > 0 || u.CacheWrite > 0 {
		w.Int("cacheReadInputTokens", max(0, u.CacheRead))
		w.Int("cacheWriteInputTokens", max(0, u.CacheWrite))
	}
	if u.CacheWrite1h > 0 {
		w.Array("cacheDetails")
		w.cacheDetail("1h", u.CacheWrite1h)
		if rest := u.CacheWrite - u.CacheWrite1h; rest > 0 {
			w.cacheDetail("5m", rest)
		}
		w.End("]")
	}
	if own {
		w.Extra(u.Extra, traceKey, performanceKey, tierKey)
	}
	w.End("}")
}

func (w *writer) cacheDetail(ttl string, n int64) {
	w.Object("")
	w.Str("ttl", ttl)
	w.Int("inputTokens", n)
	w.End("}")
}
