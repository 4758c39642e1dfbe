package ecs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
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
	streams, err := w.logs.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String(w.group()), OrderBy: types.OrderByLastEventTime, Descending: aws.Bool(true)})
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
	for _, s := range streams.LogStreams {
		if !strings.HasPrefix(aws.ToString(s.LogStreamName), prefix) || looked == maxStreams {
			continue
		}
		looked++
		out, err := w.logs.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String(w.group()), LogStreamName: s.LogStreamName, Limit: within(int64(n), 1, 10000), StartFromHead: aws.Bool(false)})
		if is(err, "ResourceNotFoundException") {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range out.Events {
			all = append(all, line{aws.ToInt64(e.Timestamp), strings.TrimRight(aws.ToString(e.Message), "\n")})
		}
	}
	slices.SortStableFunc(all, func(a, b line) int { return int(a.at - b.at) })
	var out []string
	for _, l := range all[max(0, len(all)-n):] {
		out = append(out, l.text)
	}
	return out, nil
}
