package hosttest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// EndProcesses kills, when the test is over, whatever became of it, every process that works in a directory or below: model servers outlive
// the gateway that started them. Call it right after dir was made and before anything starts there.
func EndProcesses(t testing.TB, dir string) {
	t.Helper()
	t.Cleanup(func() {
		for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
			left := Processes(t, dir)
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("processes of %s do not end: %v", dir, left)
				return
			}
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
			}
		}
	})
}

// Processes are the processes whose working directory is dir, an absolute one, or below it. A zombie has none. Where there is no /proc nothing
// is found.
func Processes(t testing.TB, dir string) []int {
	t.Helper()
	if !filepath.IsAbs(dir) || filepath.Clean(dir) == "/" {
		t.Fatalf("the processes of %q are not the test's", dir)
	}
	all, _ := os.ReadDir("/proc")
	var out []int
	for _, p := range all {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		cwd, err := os.Readlink("/proc/" + p.Name() + "/cwd")
		if err == nil && strings.HasPrefix(strings.TrimSuffix(cwd, " (deleted)")+"/", filepath.Clean(dir)+"/") {
			out = append(out, pid)
		}
	}
	return out
}
