package config

import (
	"fmt"
	"strings"
)

// Severity ranks a Problem.
type Severity int

// Severities, mildest first.
const (
	// Note: the key is LiteLLM's and accepted, but has no effect in this version.
	Note Severity = iota
	// Warning: something is probably not meant so (an unknown key); the rest works.
	Warning
	// Entry: one entry of model_list is wrong and was left out; the others are served.
	Entry
	// Error: the configuration can't be used.
	Error
)

var severityNames = [...]string{Note: "note", Warning: "warning", Entry: "entry", Error: "error"}

// String is the severity's name.
func (s Severity) String() string { return severityNames[s] }

// Problem is one complaint about a configuration. It never holds the value of a secret.
type Problem struct {
	Severity Severity
	File     string
	Line     int    // from 1; 0: the file as a whole
	Path     string // where in the document: model_list[2].litellm_params.model
	Message  string
}

// String renders the problem on one line, position first, as compilers do.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	fmt.Fprintf(&b, ": %s: %s", p.Severity, p.Message)
	return b.String()
}

// LoadError says that a configuration can't be used; it lists the problems of severity Error.
type LoadError struct{ Problems []Problem }

// Error gives every fatal problem, a line each.
func (e *LoadError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// nearest finds the candidate that word most likely misspells, or "".
func nearest(word string, candidates []string) string {
	limit := 2
	if len(word) < 6 {
		limit = 1
	}
	if len(word) < 4 {
		return ""
	}
	best := ""
	for _, c := range candidates {
		if d := distance(word, c, limit); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// distance is the number of single-letter edits or swaps of neighbours between a and b, or more than limit if there are more.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
