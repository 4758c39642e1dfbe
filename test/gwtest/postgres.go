// Package gwtest starts the real things that tests run against. Only tests import it.
package gwtest

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

const postgresInstall = "apt-get install -y postgresql"

// Postgres is a PostgreSQL server of a test's own, reachable through a socket in a temporary directory.
type Postgres struct {
	bin   string
	dir   string
	proc  *syscall.SysProcAttr
	count atomic.Int64
	cmd   *exec.Cmd
	ended chan struct{} // closed when the running server has said its last
}

// StartPostgres runs a server until the test ends. Without PostgreSQL's programs the test is skipped, or fails where CI is set, with the
// command that installs them.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	bin := postgresBin()
	if bin == "" {
		message := "PostgreSQL's server programs are not installed; install them with: " + postgresInstall
		if os.Getenv("CI") != "" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	// Not t.TempDir: a socket's path may have 107 bytes only.
	dir, err := os.MkdirTemp("/tmp", "weirpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &Postgres{bin: bin, dir: dir, proc: &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}}
	if os.Getuid() == 0 {
		p.dropRoot(t)
	}
	p.run(t, "initdb", "-D", filepath.Join(dir, "data"), "-A", "trust", "-U", "weir", "-E", "UTF8", "--locale=C", "--no-sync")
	t.Cleanup(p.Stop)
	p.Start(t)
	return p
}

// postgresBin is the directory of the newest server's programs, "" if there is none.
func postgresBin() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		// A link to the program alone does not bring the others along.
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return ""
	}
	version := func(path string) int {
		n, err := strconv.Atoi(strings.Split(path, "/")[4])
		if err != nil {
			return 0
		}
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }))
}

// dropRoot makes the server run as somebody else, since it refuses to run as root.
func (p *Postgres) dropRoot(t testing.TB) {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			t.Fatalf("no user to run PostgreSQL as: %v", err)
		}
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(p.dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	p.proc.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (p *Postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "HOME=" + p.dir}
	cmd.SysProcAttr = p.proc
	return cmd
}

func (p *Postgres) run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := p.command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// Start starts the server after Stop, with what it had.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	cmd := p.command("postgres", "-D", filepath.Join(p.dir, "data"), "-k", p.dir, "-c", "listen_addresses=", "-c", "fsync=off",
		"-c", "shared_buffers=16MB", "-c", "max_connections=50")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan bool, 1)
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	var said []string
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(log)
		told := false
		for lines.Scan() {
			if !told && strings.Contains(lines.Text(), "ready to accept connections") {
				told = true
				ready <- true
			}
			if !told {
				said = append(said, lines.Text())
			}
		}
		if !told {
			ready <- false
		}
	}()
	if !<-ready {
		t.Fatalf("postgres did not start:\n%s", strings.Join(said, "\n"))
	}
}

// Stop ends the server at once, connections and all, as a crash would. Stopping a stopped one does nothing.
func (p *Postgres) Stop() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended already
	<-p.ended
	_ = p.cmd.Wait()
	p.cmd = nil
}

// Database makes an empty database and gives its URL.
func (p *Postgres) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("weir%d", p.count.Add(1))
	p.run(t, "createdb", "-h", p.dir, "-U", "weir", name)
	return fmt.Sprintf("postgres://weir@/%s?host=%s", name, p.dir)
}

// ReadDump is the SQL of a gzipped dump of pg_dump's, without the commands that only psql knows.
func ReadDump(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, `\`) {
			out.WriteString(line)
		}
	}
	return out.String()
}
