package store

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/usage"
)

// TestRecords_byRequestID: a call is found by the id that its client saw, chosen or ours, and without reading all calls.
func TestRecords_byRequestID(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "weir.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.InsertRecords(t.Context(), []usage.Record{{ID: "a", RequestID: "a"}, {ID: "b", RequestID: "chosen"}, {ID: "c", RequestID: "chosen"},
		{ID: "d", RequestID: "a"}, {ID: "e", RequestID: "e"}}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"a": "d a", "chosen": "c b", "b": "", "e": "e", "x": ""} {
		records, _, err := s.Records(t.Context(), RecordFilter{RequestID: id}, 10, "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range records {
			got = append(got, records[i].ID)
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s: records %q, want %q", id, g, want)
		}
	}
	f := RecordFilter{RequestID: "a"}
	where, args := f.where()
	var plan []string
	rows, err := s.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN SELECT * FROM records WHERE "+where+" ORDER BY started DESC, id DESC", args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n any
		var step string
		if err := rows.Scan(&n, &n, &n, &step); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, step)
	}
	if text := strings.Join(plan, "\n"); rows.Err() != nil || strings.Contains(text, "SCAN") || !strings.Contains(text, "records_request (request_id=?)") {
		t.Errorf("%v, the plan is\n%s", rows.Err(), text)
	}
}
