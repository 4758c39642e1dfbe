package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestRelax holds that the program starts itself anew once, in the same process, with relaxed timers in every thread.
func TestRelax(t *testing.T) {
	if os.Getenv("WEIR_TEST_RELAX") != "" {
		relax()
		slacks := make(chan any, 1)
		go func() { slacks <- timerSlack() }()
		fmt.Printf("relaxed: %d %v %q\n", os.Getpid(), <-slacks, os.Getenv(slacky))
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRelax$", "-test.v")
	cmd.Env = append(os.Environ(), "WEIR_TEST_RELAX=1")
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("relaxed: %d %v %q\n", cmd.Process.Pid, slack, ""); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v\n%s\nwant %s", err, out, want)
	}
}
