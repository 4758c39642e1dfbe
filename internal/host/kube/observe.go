package kube

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weir-gateway/weir/internal/fleet"
)

// observe tells what runs. live is the workload, nil where nothing should run.
func (w *work) observe(ctx context.Context, spec fleet.Spec, live *unstructured.Unstructured) (fleet.Observed, error) {
	out := fleet.Observed{Generation: spec.Generation}
	all, err := w.list(ctx, pods, w.chosen())
	if err != nil {
		return out, err
	}
	all = slices.DeleteFunc(all, func(p unstructured.Unstructured) bool { return ended(&p) })
	for i := range all {
		p := &all[i]
		if p.GetLabels()[workerIndex] != "" && p.GetLabels()[workerIndex] != "0" {
			continue // of a group of pods that is one server, and not the one that answers
		}
		s := fleet.Server{ID: p.GetName(), Generation: generationOf(p), Started: p.GetCreationTimestamp().Time}
		if ip := text(p, "status", "podIP"); ip != "" {
			s.URL = "http://" + net.JoinHostPort(ip, strconv.Itoa(port))
			s.Ready = condition(p, "Ready").Status == "True" && p.GetDeletionTimestamp() == nil
		}
		out.Servers = append(out.Servers, s)
	}
	slices.SortFunc(out.Servers, func(a, b fleet.Server) int { return strings.Compare(a.ID, b.ID) })
	if live != nil && live.GetDeletionTimestamp() == nil {
		out.Failure = w.why(ctx, spec, live, all)
	}
	return out, nil
}

// ended reports whether a pod runs no more, and never will again.
func ended(p *unstructured.Unstructured) bool {
	phase := text(p, "status", "phase")
	return phase == "Succeeded" || phase == "Failed"
}

func generationOf(u *unstructured.Unstructured) int64 {
	n, _ := strconv.ParseInt(u.GetLabels()[labelGeneration], 10, 64) // of a foreign one: 0
	return n
}

// state is a condition of an object.
type state struct {
	Type, Status, Reason, Message string
	Since                         time.Time
}

// conditions are an object's.
func conditions(u *unstructured.Unstructured) []state {
	var out []state
	each(u.Object, func(c *unstructured.Unstructured) {
		at, _ := time.Parse(time.RFC3339, text(c, "lastTransitionTime")) // none: long ago
		out = append(out, state{text(c, "type"), text(c, "status"), text(c, "reason"), text(c, "message"), at})
	}, "status", "conditions")
	return out
}

func condition(u *unstructured.Unstructured, kind string) state {
	for _, c := range conditions(u) {
		if c.Type == kind {
			return c
		}
	}
	return state{}
}

// hopeless are the reasons for which a container waits that no patience helps.
var hopeless = []string{"InvalidImageName", "ErrImageNeverPull"}

// stuck are those that may pass by themselves, and mostly do not.
var stuck = []string{"ImagePullBackOff", "ErrImagePull", "CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "ImageInspectError", "RegistryUnavailable"}

// why is what the cluster says of servers of the generation that will not come up; empty while they still may.
func (w *work) why(ctx context.Context, spec fleet.Spec, live *unstructured.Unstructured, all []unstructured.Unstructured) string {
	now := w.o.Now()
	current := number(live, "status", "observedGeneration") >= live.GetGeneration()
	for _, c := range conditions(live) {
		// A Deployment's is ReplicaFailure: its pods are refused, by a quota or by who admits them.
		if c.Type == "ReplicaFailure" && c.Status == "True" && current && now.Sub(c.Since) >= w.o.Patience {
			return strings.TrimSpace(c.Reason + ": " + c.Message)
		}
	}
	for i := range all {
		p := &all[i]
		if generationOf(p) != spec.Generation || p.GetDeletionTimestamp() != nil {
			continue
		}
		ready := condition(p, "Ready")
		if ready.Status == "True" {
			continue
		}
		since := p.GetCreationTimestamp().Time
		if ready.Since.After(since) {
			since = ready.Since
		}
		waits := now.Sub(since)
		for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
			words := ""
			each(p.Object, func(c *unstructured.Unstructured) {
				reason := text(c, "state", "waiting", "reason")
				if slices.Contains(hopeless, reason) || slices.Contains(stuck, reason) && waits >= w.o.Patience && (reason != "CrashLoopBackOff" || number(c, "restartCount") >= 3) {
					words = cmp.Or(words, w.container(ctx, p, c))
				}
			}, "status", field)
			if words != "" {
				return words
			}
		}
		if waits < w.o.Deadline {
			continue
		}
		if c := condition(p, "PodScheduled"); c.Status == "False" {
			return c.Reason + ": " + c.Message
		}
		words := []string{fmt.Sprintf("not ready after %v", w.o.Deadline), ready.Message}
		return joined(append(words, w.warnings(ctx, p.GetName())...))
	}
	return ""
}

// container is what is known of one that will not run: why it waits, how it ended and what it said last.
func (w *work) container(ctx context.Context, p, c *unstructured.Unstructured) string {
	words := []string{text(c, "state", "waiting", "reason") + ": " + text(c, "state", "waiting", "message")}
	if last := "lastState"; text(c, last, "terminated", "reason") != "" {
		words = append(words, fmt.Sprintf("container %s ended with code %d (%s)", text(c, "name"), number(c, last, "terminated", "exitCode"), text(c, last, "terminated", "reason")),
			text(c, last, "terminated", "message"))
		lines, err := w.lines(ctx, p.GetName(), text(c, "name"), 3, true)
		if err == nil { // without them the rest is said all the same
			for _, l := range lines {
				words = append(words, l.text)
			}
		}
	}
	return joined(words)
}

// warnings are the last that the cluster has of an object.
func (w *work) warnings(ctx context.Context, name string) []string {
	some, err := w.client.Resource(events.GroupVersionResource).Namespace(w.o.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning,involvedObject.name=" + name})
	if err != nil {
		return nil // they say more, but nothing depends on them
	}
	var out []string
	for i := range some.Items {
		out = append(out, text(&some.Items[i], "reason")+": "+text(&some.Items[i], "message"))
	}
	return out[max(0, len(out)-2):]
}

// joined is all there is to say, once each.
func joined(words []string) string {
	var out []string
	for _, s := range words {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(out, s) && len(out) < 6 {
			out = append(out, s)
		}
	}
	return strings.Join(out, " | ")
}
