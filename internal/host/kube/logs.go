package kube

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	maxPods = 10       // how many servers' logs are looked at, the newest
	maxText = 16 << 20 // bytes of one pod's
)

// line is one that a server wrote.
type line struct{ at, text string }

// Logs are the last lines that a model's servers wrote, oldest first.
func (h *Host) Logs(ctx context.Context, id string, lines int) ([]string, error) {
	w := h.work(id, nil)
	all, err := w.list(ctx, pods, w.chosen())
	if err != nil {
		return nil, fmt.Errorf("kube host: logs: %w", err)
	}
	slices.SortFunc(all, func(a, b unstructured.Unstructured) int {
		return b.GetCreationTimestamp().Compare(a.GetCreationTimestamp().Time)
	})
	var said []line
	for _, p := range all[:min(len(all), maxPods)] {
		for _, field := range []string{"initContainers", "containers"} {
			each(p.Object, func(c *unstructured.Unstructured) {
				some, failed := w.lines(ctx, p.GetName(), text(c, "name"), lines, false)
				if failed != nil {
					err = failed
				}
				said = append(said, some...)
			}, "spec", field)
		}
	}
	if err != nil && len(said) == 0 {
		return nil, fmt.Errorf("kube host: logs: %w", err)
	}
	slices.SortStableFunc(said, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	var out []string
	for _, l := range said[max(0, len(said)-lines):] {
		out = append(out, l.text)
	}
	return out, nil
}

// lines are the last of one container; ended asks for those of the one before it. None where it has not started yet.
func (w *work) lines(ctx context.Context, pod, container string, n int, ended bool) ([]line, error) {
	query := url.Values{"container": {container}, "tailLines": {strconv.Itoa(max(n, 1))}, "timestamps": {"true"}}
	if ended {
		query.Set("previous", "true")
	}
	at := fmt.Sprintf("%s/api/v1/namespaces/%s/pods/%s/log?%s", w.url, url.PathEscape(w.o.Namespace), url.PathEscape(pod), query.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxText))
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusBadRequest, http.StatusNotFound: // it has not started, or is gone by now
		return nil, nil
	default:
		return nil, fmt.Errorf("pod %s: %s: %s", pod, resp.Status, body)
	}
	var out []line
	scan := bufio.NewScanner(strings.NewReader(string(body)))
	scan.Buffer(nil, maxText)
	for scan.Scan() {
		when, said, _ := strings.Cut(scan.Text(), " ")
		out = append(out, line{when, said})
	}
	return out, scan.Err()
}
