package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/gwtest"
)

// TestRest holds the target of docs/performance.md: once started, Weir has no more than 25 MiB in memory while nobody calls.
func TestRest(t *testing.T) {
	const target = 25 << 10 // KiB
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte("model_list: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := gwtest.StartProgram(t, gwtest.Build(t), file, filepath.Join(dir, "data"))
	resident := regexp.MustCompile(`VmRSS:\s+(\d+) kB`)
	kib, status := 0, []byte(nil)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(50 * time.Millisecond) {
		var err error
		if status, err = os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID())); err != nil {
			t.Fatal(err)
		}
		if kib, err = strconv.Atoi(string(resident.FindSubmatch(status)[1])); err != nil {
			t.Fatal(err)
		}
		if kib <= target {
			return
		}
	}
	t.Errorf("%.1f MiB in memory at rest, the target is %d\n%s", float64(kib)/(1<<10), target>>10, status)
}
