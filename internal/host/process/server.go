package process

import (
	"bytes"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/fleet"
)

// server is one child process, as kept in a file beside its log. The fields are guarded by the model's lock.
type server struct {
	ID         string    `json:"id"`
	PID        int       `json:"pid"`
	Born       string    `json:"born"` // what the system says of when the process began: another one with the same pid has another
	Port       int       `json:"port"`
	Generation int64     `json:"generation"`
	Started    time.Time `json:"started"`
	WasReady   bool      `json:"was_ready"`

	Ready    bool `json:"-"`
	file     string
	log      string
	stopping time.Time
	leaving  bool // others of its model stay: it may have calls
	killed   bool
	ended    *atomic.Bool // of our own child: it was waited for; nil: it is adopted
}

// names of directories are the ids in an alphabet that every file system takes.
var names = base32.HexEncoding.WithPadding(base32.NoPadding)

func dirName(id string) string { return "m_" + strings.ToLower(names.EncodeToString([]byte(id))) }

func modelOf(dir string) (string, bool) {
	text, ok := strings.CutPrefix(dir, "m_")
	if !ok {
		return "", false
	}
	id, err := names.DecodeString(strings.ToUpper(text))
	return string(id), err == nil
}

func (s *server) url() string { return "http://127.0.0.1:" + strconv.Itoa(s.Port) }

// launch starts a server in a session of its own, so that it neither hears the gateway's signals nor dies with it.
func launch(dir string, p Profile, spec fleet.Spec, now time.Time) (*server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	id := now.UTC().Format("20060102T150405.000000") + "-" + strconv.Itoa(port)
	s := &server{ID: id, Port: port, Generation: spec.Generation, Started: now, file: filepath.Join(dir, id+".json"),
		log: filepath.Join(dir, id+".log"), ended: new(atomic.Bool)}
	fill := strings.NewReplacer("{port}", strconv.Itoa(port), "{model}", spec.ModelName, "{modelId}", spec.ModelID, "{dir}", dir)
	args := make([]string, len(p.Command))
	for i, a := range p.Command {
		args[i] = fill.Replace(a)
	}
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the child has its own
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port), mark+s.file)
	if spec.ContainerConfig != nil {
		for name, value := range spec.ContainerConfig.Environment {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	s.save() // before it runs: a gateway that dies right after the start finds it by its mark
	if err := cmd.Start(); err != nil {
		s.forget()
		return nil, fmt.Errorf("the server could not be started: %w", err)
	}
	s.PID = cmd.Process.Pid
	s.Born = born(s.PID)
	s.save()
	go func() {
		_ = cmd.Wait() // how it ended stands in its log
		s.ended.Store(true)
	}()
	return s, nil
}

// freePort finds a port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, errors.Join(errNoPort, err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// save keeps what is needed to adopt the server. A server that can't be saved still runs; only its adoption would be lost.
func (s *server) save() {
	b, err := json.Marshal(s)
	if err == nil {
		tmp := s.file + ".tmp"
		if err = os.WriteFile(tmp, b, 0o600); err == nil {
			_ = os.Rename(tmp, s.file)
		}
	}
}

// forget removes the state of a server that is gone; its log stays until the model does, the last few of them.
func (s *server) forget() {
	_ = os.Remove(s.file)
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(s.log), "*.log"))
	if err != nil {
		return
	}
	slices.Sort(logs)
	for _, old := range logs[:max(0, len(logs)-keepLogs)] {
		_ = os.Remove(old)
	}
}

// keepLogs is how many servers' logs are kept of a model.
const keepLogs = 10

// adopt reads the servers that an earlier life started and that still run.
func adopt(dir string) ([]*server, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var out []*server
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		s := &server{}
		if json.Unmarshal(b, s) != nil {
			_ = os.Remove(f) // half written when the machine went down
			continue
		}
		if s.PID <= 1 {
			if s.PID = marked(f); s.PID <= 1 {
				_ = os.Remove(f) // the gateway died before it was started
				continue
			}
			s.Born = born(s.PID)
		}
		s.file, s.log = f, strings.TrimSuffix(f, ".json")+".log"
		if !s.alive() {
			s.forget()
			continue
		}
		out = append(out, s)
	}
	return out, nil
}

// mark names, in a server's environment, the file of its state.
const mark = "WEIR_SERVER_STATE="

// marked finds the process that was started with a state file, 0 if there is none: the one that leads its session, for its workers have the
// mark too.
func marked(file string) int {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	want := []byte(mark + file)
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile("/proc/" + p.Name() + "/environ")
		if err != nil {
			continue
		}
		fields := stat(pid)
		if len(fields) > 3 && fields[3] == p.Name() && slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return bytes.Equal(v, want) }) {
			return pid
		}
	}
	return 0
}

// alive reports whether the process still runs, and is the one that was started.
func (s *server) alive() bool {
	if s.ended != nil {
		return !s.ended.Load()
	}
	return syscall.Kill(s.PID, 0) == nil && born(s.PID) == s.Born && !zombie(s.PID)
}

// born is what the system says of when a process began; empty where it does not tell.
func born(pid int) string {
	fields := stat(pid)
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

func zombie(pid int) bool {
	fields := stat(pid)
	return len(fields) > 0 && fields[0] == "Z"
}

// stat is /proc/<pid>/stat from the state on: what comes before may hold spaces.
func stat(pid int) []string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return nil
	}
	return strings.Fields(string(b[i+1:]))
}

// maxTail is how much of a log is looked at for its last lines, in bytes.
const maxTail = 64 << 10

// tail gives the last lines of a file.
func tail(file string, lines int) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > maxTail {
		if _, err := f.Seek(-maxTail, io.SeekEnd); err != nil {
			return nil
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTail))
	if err != nil {
		return nil
	}
	text := strings.TrimRight(strings.ToValidUTF8(string(b), "?"), "\n")
	if text == "" {
		return nil
	}
	all := strings.Split(text, "\n")
	return all[max(0, len(all)-lines):]
}
