package usage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func sample(id string) *Record {
	return &Record{ID: id, RequestID: "req-" + id, Start: 1, FirstByte: 2, End: 3, Key: "hash", KeyAlias: "alias", User: "u", Team: "t", Org: "o",
		EndUser: "eu", Model: "m", Deployment: "dep", Provider: "openai", Upstream: "gpt-4o", APIBase: "https://api.openai.com/v1",
		In: llm.Anthropic, Out: llm.OpenAI, Op: llm.OpChat, Stream: true, Lost: true, Status: 200, ErrorKind: llm.ErrTimeout, Incomplete: true,
		ClientGone: true, Attempts: 2, Cost: 123456, Priced: true, Session: "s", Tags: []string{"a", "b"}, Dropped: []string{"seed"},
		Prompts: 2, Retrieved: true, Tools: []llm.ToolUse{{Name: "t", Calls: 3}, {Name: "u", Calls: 1}}, Thread: 1 << 63, Groups: []string{"g"},
		Usage: llm.Usage{Input: 11, Output: 5, Total: 16, CacheRead: 4, CacheWrite: 3, CacheWrite1h: 2, Reasoning: 1, InputAudio: 6, OutputAudio: 7,
			InputImage: 8, OutputImage: 9, ToolInput: 10, WebSearches: 12, Accepted: 13, Rejected: 14, Estimated: true, ReasoningKnown: true, CacheKnown: true}}
}

func TestRecord_roundTrip(t *testing.T) {
	f := func(r *Record) {
		t.Helper()
		var got Record
		if err := got.Decode(r.Append(nil)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(*r, got); d != "" {
			t.Error(d)
		}
	}
	f(sample("a"))
	f(&Record{})
	var got Record
	if err := got.Decode((&Record{Model: "a\x00b\xff"}).Append(nil)); err != nil || got.Model != "ab�" {
		t.Errorf("%q, %v", got.Model, err)
	}
	whole := sample("a").Append(nil)
	older := len(whole) - len(sample("a").appendMetrics(nil))
	for i := range whole {
		if err := got.Decode(whole[:i]); err == nil && i != older {
			t.Fatalf("the first %d of %d bytes pass for a record", i, len(whole))
		}
	}
	if err := got.Decode(whole[:older]); err != nil || got.Lost != true || got.Prompts != 0 {
		t.Errorf("a record of before there were metrics: %+v, %v", got, err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(sample("a").Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Record
		if r.Decode(b) != nil {
			return
		}
		if err := again.Decode(r.Append(nil)); err != nil {
			t.Fatal(err)
		}
	})
}

// memorySink is SQL in memory.
type memorySink struct {
	mu    sync.Mutex
	ids   map[string]int
	order []string
	pos   map[string]Position
	err   error
	// lateErr is returned after the records were stored, as when the answer to a commit is lost.
	lateErr error
}

func newSink() *memorySink { return &memorySink{ids: map[string]int{}, pos: map[string]Position{}} }

func (s *memorySink) JournalPosition(_ context.Context, journal string) (Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pos[journal], s.err
}

func (s *memorySink) SaveRecords(_ context.Context, journal string, upTo Position, records []Record) ([]account.Spend, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	var sum llm.Nanos
	for _, r := range records {
		if s.ids[r.ID] == 0 {
			s.order = append(s.order, r.ID)
		}
		s.ids[r.ID]++
		sum += r.Cost
	}
	s.pos[journal] = upTo
	return []account.Spend{{Subject: account.Subject{Kind: account.OfGateway}, Total: sum}}, s.lateErr
}

func open(t *testing.T, o JournalOptions) *Journal {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Log = quiet()
	j, err := OpenJournal(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func add(t *testing.T, j *Journal, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := j.Append(sample(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestJournal_drain(t *testing.T) {
	ctx := context.Background()
	j := open(t, JournalOptions{SegmentBytes: 2000})
	sink := newSink()
	d := NewDrainer(j, sink, quiet())
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint("r", i))
	}
	add(t, j, want...)
	if j.Stats().LagBytes == 0 {
		t.Error("no lag before draining")
	}
	sink.err = errors.New("away")
	if err := d.Drain(ctx); err == nil {
		t.Error("drained into a dead database")
	}
	sink.err, sink.lateErr = nil, errors.New("answer lost")
	if err := d.Drain(ctx); err == nil {
		t.Error("no error")
	}
	sink.lateErr = nil
	if err := d.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, sink.order); d != "" {
		t.Error(d)
	}
	if s := j.Stats(); s.LagBytes != 0 || !s.LagSince.IsZero() {
		t.Errorf("lag: %+v", s)
	}
	left, err := j.segments()
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
	// A new process goes on where SQL says.
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j2 := open(t, JournalOptions{Dir: j.opts.Dir})
	if j2.ID() != j.ID() {
		t.Error("the journal has another id")
	}
	add(t, j2, "later")
	if err := NewDrainer(j2, sink, quiet()).Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if sink.order[len(sink.order)-1] != "later" || sink.ids["later"] != 1 || sink.ids["r99"] != 2 && sink.ids["r99"] != 1 {
		t.Errorf("after reopening: %v", sink.order[len(sink.order)-3:])
	}
}

func TestJournal_onlyOneProcess(t *testing.T) {
	j := open(t, JournalOptions{})
	if _, err := OpenJournal(JournalOptions{Dir: j.opts.Dir, Log: quiet()}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second open: %v", err)
	}
}

// TestJournal_damage cuts and overwrites a file everywhere and sees that all whole records come back.
func TestJournal_damage(t *testing.T) {
	src := open(t, JournalOptions{})
	add(t, src, "a", "b", "c")
	name := src.name(src.segment)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	size := len(whole) / 3
	f := func(text []byte, want ...string) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%016d.journal", 7)), text, 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, JournalOptions{Dir: dir})
		add(t, j, "new")
		sink := newSink()
		if err := NewDrainer(j, sink, quiet()).Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(append(want, "new"), sink.order); d != "" {
			t.Error(d)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f(whole, "a", "b", "c")
	for _, cut := range []int{1, 11, 13, size - 1} {
		f(whole[:2*size+cut], "a", "b")
	}
	for _, at := range []int{0, 5, 9, 20, size - 1} {
		bad := append([]byte{}, whole...)
		bad[size+at] ^= 0xff
		f(bad, "a", "c")
	}
	f(append(append([]byte{}, whole...), make([]byte, 100)...), "a", "b", "c")
}

// FuzzJournal drains a file of any bytes: it ends, and keeps what is written afterwards.
func FuzzJournal(f *testing.F) {
	whole := beginFrame(nil)
	whole = sample("a").Append(whole)
	endFrame(whole, 0)
	f.Add(whole)
	f.Add(append(whole[:len(whole)-1:len(whole)-1], whole...))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%016d.journal", 7)), text, 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, JournalOptions{Dir: dir})
		add(t, j, "new")
		sink := newSink()
		if err := NewDrainer(j, sink, quiet()).Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		if sink.ids["new"] != 1 || j.Stats().LagBytes != 0 {
			t.Fatalf("%v, %+v", sink.order, j.Stats())
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestDrain_chunks drains records larger than the drainer's buffer, and more of them than one batch takes.
func TestDrain_chunks(t *testing.T) {
	j := open(t, JournalOptions{})
	var want []string
	for i := range drainBatch + 20 {
		r := sample(fmt.Sprint("r", i))
		if i%100 == 7 {
			r.Session = strings.Repeat("x", drainChunk+i)
		}
		want = append(want, r.ID)
		if err := j.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	tooLarge := sample("huge")
	tooLarge.Session = strings.Repeat("x", maxFrame)
	if err := j.Append(tooLarge); err == nil {
		t.Error("a record larger than a frame was taken")
	}
	sink := newSink()
	if err := NewDrainer(j, sink, quiet()).Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, sink.order); d != "" {
		t.Error(d)
	}
}

// fullDisk fails writes while full, after taking half of what it was given, as a real one does.
type fullDisk struct {
	*os.File
	full *bool
	mu   *sync.Mutex
}

func (f *fullDisk) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *f.full {
		n, err := f.File.Write(p[:len(p)/2])
		if err == nil {
			err = syscall.ENOSPC
		}
		return n, err
	}
	return f.File.Write(p)
}

func TestJournal_fullDisk(t *testing.T) {
	ctx := context.Background()
	var mu sync.Mutex
	full := false
	now := time.Unix(1e9, 0)
	j := open(t, JournalOptions{HeldBytes: 1000, SyncEvery: time.Hour, Now: func() time.Time { return now }, Create: func(name string) (File, error) {
		f, err := createFile(name)
		if err != nil {
			return nil, err
		}
		return &fullDisk{File: f.(*os.File), full: &full, mu: &mu}, nil
	}})
	set := func(v bool) {
		mu.Lock()
		full = v
		mu.Unlock()
		now = now.Add(time.Second)
	}
	add(t, j, "before")
	set(true)
	for i := range 2 {
		if err := j.Append(sample(fmt.Sprint("held", i))); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Append on a full disk: %v", err)
		}
	}
	if err := j.Healthy(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Healthy: %v", err)
	}
	if s := j.Stats(); s.Held != 2 || s.Lost != 0 || s.Failures == 0 {
		t.Errorf("%+v", s)
	}
	set(false)
	add(t, j, "after")
	if err := j.Healthy(); err != nil {
		t.Errorf("Healthy: %v", err)
	}
	sink := newSink()
	d := NewDrainer(j, sink, quiet())
	if err := d.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"before", "held0", "held1", "after"}, sink.order); d != "" {
		t.Error(d)
	}
	// More than memory holds: the oldest go, and are counted.
	set(true)
	for i := range 10 {
		_ = j.Append(sample(fmt.Sprint("many", i)))
	}
	s := j.Stats()
	if s.Held == 0 || s.Lost == 0 || s.Held+s.Lost != 10 {
		t.Errorf("%+v", s)
	}
	// The database takes what the disk refuses.
	if err := d.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if sink.ids["many9"] != 1 || sink.ids["many0"] != 0 || j.Stats().Held != 0 {
		t.Errorf("after draining memory: %v, %+v", sink.order, j.Stats())
	}
	j.opts.HeldBytes = 1 << 20
	for i := range drainBatch + 1 {
		_ = j.Append(sample(fmt.Sprint("more", i)))
	}
	if err := d.Drain(ctx); err != nil || sink.ids[fmt.Sprint("more", drainBatch)] != 1 {
		t.Errorf("more than a batch in memory: %v", err)
	}
	// The disk comes back while nothing is to be written: that is noticed.
	set(false)
	j.sync()
	if err := j.Healthy(); err != nil {
		t.Errorf("Healthy: %v", err)
	}
	if err := d.Drain(ctx); err != nil || j.Stats().Damaged != 0 {
		t.Errorf("%v, %+v", err, j.Stats())
	}
}

func TestJournal_concurrent(t *testing.T) {
	j := open(t, JournalOptions{SegmentBytes: 10000, SyncEvery: time.Millisecond})
	sink := newSink()
	ctx, cancel := context.WithCancel(context.Background())
	d := NewDrainer(j, sink, quiet())
	ran := make(chan struct{})
	go func() { d.Run(ctx); close(ran) }()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				if err := j.Append(sample(fmt.Sprintf("%d-%d", g, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	<-ran
	if err := d.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(sink.ids) != 1600 {
		t.Errorf("%d records", len(sink.ids))
	}
	for id, n := range sink.ids {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

// TestJournal_kill lets a child process append and name each record once Append returned, kills it with SIGKILL and looks for every
// record that was named.
func TestJournal_kill(t *testing.T) {
	if dir := os.Getenv("WEIR_TEST_JOURNAL"); dir != "" {
		appendForever(dir)
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestJournal_kill$")
	cmd.Env = append(os.Environ(), "WEIR_TEST_JOURNAL="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var named []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "done "); ok {
			named = append(named, id)
		}
		if len(named) == 2000 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	if len(named) < 2000 {
		t.Fatalf("the child named %d records only", len(named))
	}
	j := open(t, JournalOptions{Dir: dir})
	sink := newSink()
	if err := NewDrainer(j, sink, quiet()).Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, id := range named {
		if sink.ids[id] != 1 {
			t.Errorf("record %s is there %d times", id, sink.ids[id])
		}
	}
}

func appendForever(dir string) {
	j, err := OpenJournal(JournalOptions{Dir: dir, SegmentBytes: 50_000})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", g, i)
				if err := j.Append(sample(id)); err == nil {
					_, _ = os.Stdout.WriteString("done " + id + "\n")
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkJournal_Append(b *testing.B) {
	j, err := OpenJournal(JournalOptions{Dir: b.TempDir(), Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := sample("some-id-of-usual-length-0123456789")
		for pb.Next() {
			if err := j.Append(r); err != nil {
				b.Error(err)
			}
		}
	})
}
