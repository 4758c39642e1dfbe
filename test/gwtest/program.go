package gwtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/host/hosttest"
)

// built is the program, built once for a test binary. It stays in the temporary directory until the machine clears that.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weir-program")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "weir")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/weir-gateway/weir/cmd/weir").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build weir: %w: %s", err, out)
	}
	return bin, nil
})

// Build builds weir and gives its path.
func Build(t testing.TB) string {
	t.Helper()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Program is a running weir, for tests that must kill it.
type Program struct {
	URL string // of the user door
	Log *Buffer

	cmd  *exec.Cmd
	done chan struct{} // closed once it has ended
	err  error         // how
}

// StartProgram starts weir with a configuration file, a data directory and further variables, and waits for its banner. It dies with the
// test, and so do its model servers.
func StartProgram(t testing.TB, bin, config, data string, env ...string) *Program {
	t.Helper()
	p := &Program{Log: &Buffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(bin, "serve", "--config", config, "--host", "127.0.0.1", "--port", "0", "--admin-listen", "127.0.0.1:0", "--data-dir", data)
	p.cmd.Env = append([]string{"WEIR_MASTER_KEY=" + MasterKey, "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.Stderr = p.Log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if _, rest, ok := strings.Cut(lines.Text(), "is listening on "); ok {
				url, _, _ := strings.Cut(rest, " ")
				ready <- url
			}
		}
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	hosttest.EndProcesses(t, data)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended unless the test failed
		<-p.done
	})
	select {
	case p.URL = <-ready:
	case <-p.done:
		t.Fatalf("weir ended: %v\n%s", p.err, p.Log)
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // which says where it is
		<-p.done
		t.Fatalf("weir did not start\n%s", p.Log)
	}
	return p
}

// PID is its process.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Stop sends a signal and waits for the end, which must be a clean one unless the signal kills.
func (p *Program) Stop(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
		if p.err != nil && signal != syscall.SIGKILL {
			t.Fatalf("weir ended with %v\n%s", p.err, p.Log)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("weir did not end after signal %v\n%s", signal, p.Log)
	}
}
