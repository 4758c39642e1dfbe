package wire

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorded reads the files of one folder of recorded traffic, by name.
func recorded(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "recorded", folder, "*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no recorded %s: %v", folder, err)
	}
	m := map[string][]byte{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		m[filepath.Base(p)] = b
	}
	return m
}

func requestBodies(t testing.TB) [][]byte {
	var out [][]byte
	for _, b := range recorded(t, "requests") {
		out = append(out, b)
	}
	return out
}

// largeBody is a chat request of about 200 KB: prose with quotes and line ends, a picture, some text outside ASCII.
func largeBody() []byte {
	var b strings.Builder
	b.WriteString(`{"model":"gpt-4o","messages":[`)
	prose := strings.Repeat(`The gateway said \"no\" to the second caller.\nIt had its reasons, none of which it gave. `, 12)
	for range 100 {
		b.WriteString(`{"role":"user","content":[{"type":"text","text":"` + prose + `"}]},`)
	}
	b.WriteString(`{"role":"user","content":"` + strings.Repeat("Grüße aus Köln. ", 300) + `"},`)
	b.WriteString(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,`)
	b.WriteString(strings.Repeat("iVBORw0KGgoAAAANSUhEUgAA", 3500) + `"}}]}],"temperature":0.7,"stream":true}`)
	return []byte(b.String())
}
