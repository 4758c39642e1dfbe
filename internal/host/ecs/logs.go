package ecs

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// maxStreams is how many servers' logs are looked at, the last that wrote.
const maxStreams = 10

// Logs are the last lines that a model's servers wrote, oldest first.
func (h *Host) Logs(ctx context.Context, id string, lines int) ([]string, error) {
	out, err := h.work(id).lines(ctx, "", lines)
	if err != nil {
		return nil, fmt.Errorf("ecs host: logs: %w", err)
	}
	return out, nil
}

// lines are the last lines of the streams whose names begin with prefix.
func (w *work) lines(ctx context.Context, prefix string, n int) ([]string, error) {
	var streams struct {
		All []struct {
			Name string `json:"logStreamName"`
		} `json:"logStreams"`
	}
	err := w.call(ctx, logsAPI, "DescribeLogStreams", params{"logGroupName": w.group(), "orderBy": "LastEventTime", "descending": true}, &streams)
	if is(err, "ResourceNotFoundException") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	type line struct {
		at   int64
		text string
	}
	var all []line
	looked := 0
	for _, s := range streams.All {
		if !strings.HasPrefix(s.Name, prefix) || looked == maxStreams {
			continue
		}
		looked++
		var out struct {
			Events []struct {
				Timestamp int64  `json:"timestamp"` // Unix ms
				Message   string `json:"message"`
			} `json:"events"`
		}
		err := w.call(ctx, logsAPI, "GetLogEvents", params{"logGroupName": w.group(), "logStreamName": s.Name, "limit": within(int64(n), 1, 10000), "startFromHead": false}, &out)
		if is(err, "ResourceNotFoundException") {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range out.Events {
			all = append(all, line{e.Timestamp, strings.TrimRight(e.Message, "\n")})
		}
	}
	slices.SortStableFunc(all, func(a, b line) int { return int(a.at - b.at) })
	var out []string
	for _, l := range all[max(0, len(all)-n):] {
		out = append(out, l.text)
	}
	return out, nil
}
