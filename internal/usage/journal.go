package usage

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// File is what the journal writes a segment with; *os.File is one. Tests put a full disk in its place.
type File interface {
	Write(p []byte) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// JournalOptions has useful zero values but for Dir.
type JournalOptions struct {
	Dir          string                          // made if absent; one process at a time
	SegmentBytes int64                           // a new file is begun beyond this; 0: 64 MiB
	SyncEvery    time.Duration                   // longest time until fsync; 0: 100 ms
	HeldBytes    int                             // records kept in memory while the disk refuses them; 0: 32 MiB
	Create       func(name string) (File, error) // nil: a new file, opened for appending
	Log          *slog.Logger                    // nil: slog.Default()
	Now          func() time.Time                // nil: time.Now
}

// Position is a place in a journal: everything before it is in SQL.
type Position struct {
	Segment int64
	Offset  int64
}

// Journal is the local append-only log that makes records survive a crash until a Drainer has moved them to SQL. Safe for concurrent
// use.
//
// When Append has returned nil the record is in the operating system's hands: it survives the end of the process by any means, and
// within SyncEvery the end of the machine too. When the disk refuses (full, broken), records are held in memory up to HeldBytes and
// written as soon as it takes them again; Healthy tells, Stats counts what had to be given up.
type Journal struct {
	opts JournalOptions
	id   string
	lock *os.File

	mu      sync.Mutex
	written sync.Cond // a write ended
	buf     []byte    // frames waiting for the next write
	spare   []byte    // the other buffer, while no write is on its way
	queued  uint64    // frames put into buf, ever
	done    uint64    // frames whose write ended, well or not
	writing bool
	closed  bool

	held     [][]byte // frames that the disk refused, oldest first
	heldSize int
	failing  error // why the disk refuses; nil: it does not
	retryAt  time.Time

	file    File
	segment int64 // number of the file being written; 0: none yet
	size    int64 // of the file being written, as far as it is whole
	next    int64 // number of the next file
	dirty   bool  // written since the last fsync

	stats JournalStats
	// position and lagSince are the drainer's: how far SQL has the journal, and since when it lags.
	position Position
	lagSince time.Time

	stop    chan struct{}
	stopped sync.WaitGroup
	wake    chan struct{} // tells the drainer that there is something
}

// JournalStats are the journal's counters since Open, for metrics.
type JournalStats struct {
	Appended int64 // records taken
	Writes   int64 // write calls; fewer than Appended when records share one
	Failures int64 // writes or fsyncs that failed
	Held     int64 // records in memory because the disk refuses them, now
	Lost     int64 // records given up because memory for them was full
	Damaged  int64 // places in old segments that could not be read
	Drained  int64 // records moved to SQL
	LagBytes int64 // bytes not yet moved
	// LagSince is when the oldest record not yet moved was met; zero: none is waiting.
	LagSince time.Time
}

var errClosed = errors.New("the journal is closed")

// OpenJournal opens the journal in a directory, cutting off what a crash left half written. Close it after use.
func OpenJournal(o JournalOptions) (*Journal, error) {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.SyncEvery <= 0 {
		o.SyncEvery = 100 * time.Millisecond
	}
	if o.HeldBytes <= 0 {
		o.HeldBytes = 32 << 20
	}
	if o.Create == nil {
		o.Create = createFile
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the journal's directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(o.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the journal: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("the journal in %s is in use by another process: %w", o.Dir, err), lock.Close())
	}
	j := &Journal{opts: o, lock: lock, stop: make(chan struct{}), wake: make(chan struct{}, 1)}
	j.written.L = &j.mu
	if err := j.recover(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	j.stopped.Add(1)
	go j.background()
	return j, nil
}

func createFile(name string) (File, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
}

// recover reads the journal's id, cuts the torn tail of the newest segment and finds the next segment's number.
func (j *Journal) recover() error {
	name := filepath.Join(j.opts.Dir, "id")
	id, err := os.ReadFile(name)
	switch {
	case err == nil && len(id) > 0:
		j.id = string(id)
	case err == nil || errors.Is(err, os.ErrNotExist):
		j.id = "jrn_" + strings.ToLower(rand.Text())
		if err := os.WriteFile(name, []byte(j.id), 0o600); err != nil {
			return fmt.Errorf("write the journal's id: %w", err)
		}
	default:
		return fmt.Errorf("read the journal's id: %w", err)
	}
	segments, err := j.segments()
	if err != nil {
		return err
	}
	// Numbers only ever grow, even if somebody empties the directory: the position in SQL relies on it.
	j.next = j.opts.Now().UnixMilli()
	if len(segments) == 0 {
		return nil
	}
	j.lagSince = j.opts.Now()
	last := segments[len(segments)-1]
	j.next = max(j.next, last+1)
	return j.cutTail(last)
}

// cutTail shortens a segment to its last whole frame.
func (j *Journal) cutTail(segment int64) error {
	name := j.name(segment)
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	at := 0
	for at < len(text) {
		_, size, whole, ok := frameAt(text[at:])
		if whole && ok {
			at += size
			continue
		}
		skip := resync(text[at:])
		if skip < 0 {
			break
		}
		at += skip
	}
	if at == len(text) {
		return nil
	}
	j.opts.Log.Warn("journal: cut a record that was half written when the process ended", "file", name, "bytes", len(text)-at)
	if err := os.Truncate(name, int64(at)); err != nil {
		return fmt.Errorf("cut the journal: %w", err)
	}
	return nil
}

func (j *Journal) name(segment int64) string {
	return filepath.Join(j.opts.Dir, fmt.Sprintf("%016d.journal", segment))
}

// segments lists the numbers of the files there are, oldest first.
func (j *Journal) segments() ([]int64, error) {
	entries, err := os.ReadDir(j.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("list the journal: %w", err)
	}
	var out []int64
	for _, e := range entries {
		var n int64
		if _, err := fmt.Sscanf(e.Name(), "%016d.journal", &n); err == nil && n > 0 {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// ID names this journal among those of all replicas.
func (j *Journal) ID() string { return j.id }

// Append writes the record to the operating system and returns when it is there. Callers that arrive during a write share the next one.
// An error means that the record is held in memory only, or (after HeldBytes) lost: the journal has logged and counted it, so the caller
// need not.
func (j *Journal) Append(r *Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return errClosed
	}
	start := len(j.buf)
	j.buf = beginFrame(j.buf)
	j.buf = r.Append(j.buf)
	if n := len(j.buf) - start - frameHeader; n > maxFrame {
		j.buf = j.buf[:start]
		return fmt.Errorf("record %s has %d bytes, more than the journal takes", r.ID, n)
	}
	endFrame(j.buf, start)
	j.queued++
	j.stats.Appended++
	mine := j.queued
	for j.done < mine {
		if j.writing {
			j.written.Wait()
			continue
		}
		j.flush()
	}
	return j.failing
}

// flush writes what is queued. j.mu is held on entry and exit, not during the write.
func (j *Journal) flush() {
	buf, upTo := j.buf, j.queued
	if j.failing != nil && j.opts.Now().Before(j.retryAt) {
		j.hold(buf)
		j.buf = j.buf[:0]
		j.done = upTo
		j.news()
		return
	}
	j.writing = true
	j.buf, j.spare = j.spare[:0], nil
	held := j.held
	j.mu.Unlock()
	err := j.write(held, buf)
	j.mu.Lock()
	j.writing = false
	if err != nil {
		j.failed(err)
		j.hold(buf)
	} else {
		j.recovered(len(held))
	}
	const keep = 1 << 20
	if cap(buf) <= keep {
		j.spare = buf[:0]
	}
	j.done = upTo
	j.written.Broadcast()
	j.news()
}

// news wakes the drainer. j.mu is held.
func (j *Journal) news() {
	if j.lagSince.IsZero() {
		j.lagSince = j.opts.Now()
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// write puts held frames and new ones into the segment. Only the caller that set j.writing may call it, so it alone touches the file.
func (j *Journal) write(held [][]byte, buf []byte) error {
	if len(held) > 0 {
		buf = append(slices.Concat(held...), buf...)
	}
	if len(buf) == 0 {
		return nil
	}
	if j.file != nil && j.size >= j.opts.SegmentBytes {
		j.seal()
	}
	if j.file == nil {
		if err := j.begin(); err != nil {
			return err
		}
	}
	n, err := j.file.Write(buf)
	if err == nil && n < len(buf) {
		err = errors.New("short write")
	}
	if err != nil {
		// Half a frame must not stand before the next one. If it can't be cut the segment ends here; a reader skips its tail.
		if n > 0 {
			if terr := j.file.Truncate(j.size); terr != nil {
				j.seal()
			}
		}
		return fmt.Errorf("write the journal: %w", err)
	}
	j.mu.Lock()
	j.size += int64(len(buf))
	j.dirty = true
	j.stats.Writes++
	j.mu.Unlock()
	return nil
}

func (j *Journal) begin() error {
	file, err := j.opts.Create(j.name(j.next))
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			j.next++
		}
		return fmt.Errorf("begin a journal file: %w", err)
	}
	if dir, err := os.Open(j.opts.Dir); err == nil {
		// The file's name must survive the machine too; where directories can't be synced there is nothing better to do.
		_ = dir.Sync()
		_ = dir.Close()
	}
	j.mu.Lock()
	j.file, j.segment, j.size = file, j.next, 0
	j.next++
	j.mu.Unlock()
	return nil
}

// seal ends the segment being written.
func (j *Journal) seal() {
	err := errors.Join(j.file.Sync(), j.file.Close())
	j.mu.Lock()
	defer j.mu.Unlock()
	j.file, j.segment, j.size, j.dirty = nil, 0, 0, false
	if err != nil {
		j.stats.Failures++
		j.opts.Log.Error("journal: a finished file could not be synced", "error", err)
	}
}

// hold keeps the frames in buf in memory, giving up the oldest when there is no room. j.mu is held.
func (j *Journal) hold(buf []byte) {
	for len(buf) > 0 {
		_, size, _, _ := frameAt(buf)
		j.held = append(j.held, slices.Clone(buf[:size]))
		j.heldSize += size
		buf = buf[size:]
	}
	lost := 0
	for j.heldSize > j.opts.HeldBytes {
		j.heldSize -= len(j.held[0])
		j.held = j.held[1:]
		lost++
	}
	if lost > 0 {
		j.stats.Lost += int64(lost)
		j.opts.Log.Error("journal: records of finished calls are lost, the disk refuses them and memory for them is full",
			"lost", lost, "lost_total", j.stats.Lost, "error", j.failing)
	}
}

func (j *Journal) failed(err error) {
	const retry = 250 * time.Millisecond
	j.stats.Failures++
	j.retryAt = j.opts.Now().Add(retry)
	if j.failing == nil {
		j.opts.Log.Error("journal: the disk refuses records of finished calls; they are kept in memory until it takes them",
			"dir", j.opts.Dir, "error", err)
	}
	j.failing = err
}

// recovered drops what was held when the write began and got through.
func (j *Journal) recovered(wrote int) {
	if j.failing == nil && wrote == 0 {
		return
	}
	wrote = min(wrote, len(j.held))
	for _, f := range j.held[:wrote] {
		j.heldSize -= len(f)
	}
	j.held = slices.Clone(j.held[wrote:])
	if j.failing != nil {
		j.opts.Log.Info("journal: the disk takes records again", "written", wrote, "lost_total", j.stats.Lost)
		j.failing = nil
	}
}

// background syncs what was written and retries what was refused.
func (j *Journal) background() {
	defer j.stopped.Done()
	tick := time.NewTicker(j.opts.SyncEvery)
	defer tick.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-tick.C:
			j.sync()
		}
	}
}

// sync retries what the disk refused and makes what was written survive the machine.
func (j *Journal) sync() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.writing {
		j.written.Wait()
	}
	if j.failing != nil && !j.opts.Now().Before(j.retryAt) {
		if len(j.held) == 0 && len(j.buf) == 0 {
			// Nothing to write, but whoever asks Healthy waits to hear that the disk is back: an empty frame tries it.
			j.buf = beginFrame(j.buf)
			endFrame(j.buf, 0)
		}
		j.flush()
		for j.writing {
			j.written.Wait()
		}
	}
	if !j.dirty || j.file == nil {
		return
	}
	// Appends go on meanwhile. One of them may seal the file, which syncs it as well.
	file := j.file
	j.dirty = false
	j.mu.Unlock()
	err := file.Sync()
	j.mu.Lock()
	if err != nil && !errors.Is(err, os.ErrClosed) {
		j.stats.Failures++
		j.opts.Log.Error("journal: fsync failed", "error", err)
	}
}

// Healthy is nil while every finished call's record is safe on disk, else why not.
func (j *Journal) Healthy() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failing != nil {
		return fmt.Errorf("journal: %d records in memory only: %w", len(j.held), j.failing)
	}
	return nil
}

// Stats gives the counters.
func (j *Journal) Stats() JournalStats {
	lag := j.lag()
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stats
	s.Held = int64(len(j.held))
	s.LagSince, s.LagBytes = j.lagSince, lag
	return s
}

// Close writes and syncs what is there and lets go of the directory. Append fails afterwards. An error says that records are lost.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	j.mu.Unlock()
	close(j.stop)
	j.stopped.Wait()
	j.mu.Lock()
	j.retryAt = time.Time{}
	j.mu.Unlock()
	j.sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.writing {
		j.written.Wait()
	}
	var err error
	if len(j.held) > 0 {
		err = fmt.Errorf("journal: %d records were never written: %w", len(j.held), j.failing)
	}
	if j.file != nil {
		err = errors.Join(err, j.file.Sync(), j.file.Close())
	}
	return errors.Join(err, j.lock.Close())
}
