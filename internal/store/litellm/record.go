package litellm

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
)

type logRow struct {
	ID         string         `json:"request_id"`
	CallID     string         `json:"litellm_call_id"`
	CallType   string         `json:"call_type"`
	Key        string         `json:"api_key"`
	Spend      float64        `json:"spend"`
	Total      int64          `json:"total_tokens"`
	Prompt     int64          `json:"prompt_tokens"`
	Completion int64          `json:"completion_tokens"`
	Start      moment         `json:"startTime"`
	End        moment         `json:"endTime"`
	FirstByte  moment         `json:"completionStartTime"`
	Model      string         `json:"model"`
	Deployment string         `json:"model_id"`
	Group      string         `json:"model_group"`
	Provider   string         `json:"custom_llm_provider"`
	APIBase    string         `json:"api_base"`
	User       string         `json:"user"`
	Metadata   jsontext.Value `json:"metadata"`
	Tags       jsontext.Value `json:"request_tags"`
	Team       string         `json:"team_id"`
	Org        string         `json:"organization_id"`
	EndUser    string         `json:"end_user"`
	Session    string         `json:"session_id"`
	Status     string         `json:"status"`
}

type logMeta struct {
	Alias  string `json:"user_api_key_alias"`
	OrgID  string `json:"user_api_key_org_id"`
	Status string `json:"status"`
	Error  *struct {
		Code  jsontext.Value `json:"error_code"`
		Class string         `json:"error_class"`
	} `json:"error_information"`
	Usage *struct {
		CacheRead  int64 `json:"cache_read_input_tokens"`
		CacheWrite int64 `json:"cache_creation_input_tokens"`
		Prompt     *struct {
			Cached int64 `json:"cached_tokens"`
			Audio  int64 `json:"audio_tokens"`
		} `json:"prompt_tokens_details"`
		Completion *struct {
			Reasoning int64 `json:"reasoning_tokens"`
			Audio     int64 `json:"audio_tokens"`
		} `json:"completion_tokens_details"`
	} `json:"usage_object"`
}

// records brings the history over. Records keep LiteLLM's ids, so those that are in already are not booked again.
func (im *importer) records(ctx context.Context) error {
	count := Count{What: "spend records"}
	batch := make([]usage.Record, 0, 500)
	flush := func() error {
		added, err := im.dst.AddRecords(ctx, batch)
		if err != nil {
			return err
		}
		count.Added += added
		count.There += len(batch) - added
		batch = batch[:0]
		return nil
	}
	err := each(ctx, im, "SpendLogs", func(r *logRow, _ map[string]jsontext.Value) error {
		if batch = append(batch, im.record(r)); len(batch) == cap(batch) {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	im.report.Counts = append(im.report.Counts, count)
	return err
}

func (im *importer) record(l *logRow) usage.Record {
	var meta logMeta
	if err := decode(l.Metadata, &meta); err != nil {
		im.note("spend record %s: its metadata is left out: %v", l.ID, err)
	}
	r := usage.Record{ID: l.ID, RequestID: l.CallID, Start: int64(l.Start), FirstByte: int64(l.FirstByte), End: int64(l.End), Key: l.Key, KeyAlias: meta.Alias,
		User: l.User, Team: l.Team, Org: l.Org, EndUser: l.EndUser, Model: l.Group, Deployment: l.Deployment, Provider: l.Provider, Upstream: l.Model,
		APIBase: publicURL(l.APIBase), Status: 200, Attempts: 1, Cost: nanos(l.Spend), Priced: true, Session: l.Session,
		Usage: llm.Usage{Input: l.Prompt, Output: l.Completion, Total: l.Total}}
	if r.RequestID == "" {
		r.RequestID = l.ID
	}
	if r.Org == "" {
		r.Org = meta.OrgID
	}
	if r.Model == "" {
		r.Model = l.Model
	}
	if l.Provider != "" {
		r.Upstream = strings.TrimPrefix(l.Model, l.Provider+"/")
	}
	r.Op, r.In = operation(l.CallType)
	if err := decode(l.Tags, &r.Tags); err != nil {
		im.note("spend record %s: its tags are left out: %v", l.ID, err)
	}
	if u := meta.Usage; u != nil {
		r.Usage.CacheRead, r.Usage.CacheWrite = u.CacheRead, u.CacheWrite
		if p := u.Prompt; p != nil {
			r.Usage.CacheRead, r.Usage.InputAudio = max(r.Usage.CacheRead, p.Cached), p.Audio
		}
		if c := u.Completion; c != nil {
			r.Usage.Reasoning, r.Usage.OutputAudio = c.Reasoning, c.Audio
		}
	}
	if l.Status == "failure" || l.Status == "" && meta.Status == "failure" {
		r.Status, r.ErrorKind = failure(&meta)
	}
	return r
}

// failure is the status and kind of a call that failed.
func failure(meta *logMeta) (int, llm.ErrorKind) {
	status := 500
	if e := meta.Error; e != nil {
		if n, err := strconv.Atoi(strings.Trim(string(e.Code), `"`)); err == nil && n >= 400 && n < 600 {
			status = n
		}
		switch {
		case strings.Contains(e.Class, "BudgetExceeded"):
			return status, llm.ErrBudget
		case strings.Contains(e.Class, "ContextWindow"):
			return status, llm.ErrContextWindow
		case strings.Contains(e.Class, "ContentPolicy"):
			return status, llm.ErrPolicy
		case strings.Contains(e.Class, "Connection"):
			return status, llm.ErrConnection
		}
	}
	switch status {
	case 400:
		return status, llm.ErrInvalid
	case 401:
		return status, llm.ErrAuth
	case 403:
		return status, llm.ErrPermission
	case 404:
		return status, llm.ErrNotFound
	case 408, 504:
		return status, llm.ErrTimeout
	case 429:
		return status, llm.ErrRateLimit
	case 503:
		return status, llm.ErrUnavailable
	}
	return status, llm.ErrUpstream
}

// operation is what a call_type of LiteLLM's was; the asynchronous ones begin with an a.
func operation(callType string) (llm.Op, llm.Dialect) {
	switch t := strings.TrimPrefix(callType, "a"); {
	case callType == "anthropic_messages":
		return llm.OpChat, llm.Anthropic
	case t == "completion" || t == "responses" || t == "cached_completion":
		return llm.OpChat, llm.OpenAI
	case t == "text_completion":
		return llm.OpCompletion, llm.OpenAI
	case t == "embedding":
		return llm.OpEmbed, llm.OpenAI
	case t == "image_generation":
		return llm.OpImage, llm.OpenAI
	case t == "image_edit":
		return llm.OpImageEdit, llm.OpenAI
	case t == "moderation":
		return llm.OpModerate, llm.OpenAI
	case t == "rerank":
		return llm.OpRerank, llm.OpenAI
	case t == "speech":
		return llm.OpSpeech, llm.OpenAI
	case t == "transcription":
		return llm.OpTranscribe, llm.OpenAI
	case strings.Contains(t, "generate_content"):
		return llm.OpChat, llm.Gemini
	}
	return llm.Op(callType), ""
}

// publicURL is an address without what may be a secret in it.
func publicURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
