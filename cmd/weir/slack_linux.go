package main

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

const (
	slack  = time.Millisecond
	slacky = "WEIR_SLACK_SET" // in the environment of the program's second start

	prSetTimerSlack = 29
	prGetTimerSlack = 30
)

// relax lets the kernel wake this program's timers up to a millisecond late. The Go runtime's own watchman asks to be woken every 20
// microseconds while anything runs, which was an eighth of what a stream cost; nothing here needs timers that exact. A thread inherits its
// slack from the one that makes it and keeps it over exec, and the watchman's thread is made before main: so the program sets its own and
// starts itself anew, in the same process. Where that fails everything stays as it was. Programs that Weir starts inherit the slack.
func relax() {
	if os.Getenv(slacky) != "" {
		_ = os.Unsetenv(slacky) // never fails with this name
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := timerSlack()
	path, err := os.Executable()
	if err != nil || before >= slack || !setTimerSlack(slack) {
		return
	}
	_ = syscall.Exec(path, os.Args, append(os.Environ(), slacky+"=1")) // it returns only if it failed
	setTimerSlack(before)
}

// timerSlack is the calling thread's.
func timerSlack() time.Duration {
	n, _, _ := syscall.RawSyscall(syscall.SYS_PRCTL, prGetTimerSlack, 0, 0)
	return time.Duration(n)
}

func setTimerSlack(d time.Duration) bool {
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, uintptr(d), 0)
	return errno == 0
}
