package gwtest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const redisInstall = "apt-get install -y redis-server"

// Redis is a Redis or Valkey server of a test's own, reachable through a socket in a temporary directory. It keeps nothing on disk: killed and
// started again it is empty.
type Redis struct {
	bin    string
	socket string
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the running server has ended
}

// StartRedis runs a server until the test ends. Without its program the test is skipped, or fails where CI is set, with the command that
// installs it.
func StartRedis(t testing.TB) *Redis {
	t.Helper()
	bin := ""
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			bin = path
			break
		}
	}
	if bin == "" {
		message := "neither Redis nor Valkey is installed; install one with: " + redisInstall
		if os.Getenv("CI") != "" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	// Not t.TempDir: a socket's path may have 107 bytes only.
	dir, err := os.MkdirTemp("/tmp", "weirredis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &Redis{bin: bin, socket: filepath.Join(dir, "s")}
	t.Cleanup(r.Kill)
	r.Start(t)
	return r
}

// URL is where the server listens, also before Start and after Kill.
func (r *Redis) URL() string { return "unix://" + r.socket }

// Start starts the server, empty, after Kill.
func (r *Redis) Start(t testing.TB) {
	t.Helper()
	cmd := exec.Command(r.bin, "--port", "0", "--unixsocket", r.socket, "--save", "", "--appendonly", "no", "--daemonize", "no")
	cmd.Dir = filepath.Dir(r.socket)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.cmd, r.ended = cmd, make(chan struct{})
	ready := make(chan bool, 1)
	var said []string
	go func() {
		defer close(r.ended)
		told := false
		for lines := bufio.NewScanner(log); lines.Scan(); {
			switch {
			case told:
			case strings.Contains(lines.Text(), "eady to accept connections"):
				told = true
				ready <- true
			default:
				said = append(said, lines.Text())
			}
		}
		if !told {
			ready <- false
		}
	}()
	if !<-ready {
		t.Fatalf("redis did not start:\n%s", strings.Join(said, "\n"))
	}
}

// Kill ends the server at once, with SIGKILL. Killing a killed one does nothing.
func (r *Redis) Kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill() // it may have ended already
	<-r.ended
	_ = r.cmd.Wait()
	r.cmd = nil
}
