package usage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/weir-gateway/weir/internal/account"
)

// Sink is where a Drainer puts records: the SQL store.
type Sink interface {
	// JournalPosition is how far the records of a journal are in; zero for one never seen.
	JournalPosition(ctx context.Context, journal string) (Position, error)
	// SaveRecords stores records and the position behind them in one transaction, books what they cost and gives the new sums of all
	// who were charged. Records that are in already are left as they are and charge nobody.
	SaveRecords(ctx context.Context, journal string, upTo Position, records []Record) ([]account.Spend, error)
}

const (
	drainEvery = 250 * time.Millisecond
	// Many records in one transaction touch the pages of the indexes once; so many hold others up for less than a tenth of a second.
	drainBatch  = 2000
	drainChunk  = 512 << 10
	maxBackoff  = 5 * time.Second
	callTimeout = 30 * time.Second
)

// Drainer moves a journal's records to SQL, each exactly once, and deletes the files it has moved. Run it in one goroutine; call Drain
// only when Run has ended.
type Drainer struct {
	// Saved is called, if set before Run, after each batch that is in SQL: the records, whether or not they were in before, and the sums
	// that SaveRecords gave. It must not keep the records.
	Saved func(records []Record, spends []account.Spend)

	j      *Journal
	sink   Sink
	log    *slog.Logger
	loaded bool
	buf    []byte
	recs   []Record
	broken map[int64]bool // segments whose damage was reported
}

// NewDrainer makes one; log may be nil.
func NewDrainer(j *Journal, sink Sink, log *slog.Logger) *Drainer {
	if log == nil {
		log = slog.Default()
	}
	return &Drainer{j: j, sink: sink, log: log, broken: map[int64]bool{}}
}

// Run drains every quarter of a second until ctx ends. While SQL is away it tries again, less and less often; the journal keeps what
// comes meanwhile. Call Drain afterwards to move the rest.
func (d *Drainer) Run(ctx context.Context) {
	timer := time.NewTimer(drainEvery)
	defer timer.Stop()
	wait := drainEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		// Nothing appended since the last complete round: nothing to look for.
		if wait == drainEvery && d.loaded {
			select {
			case <-d.j.wake:
			case <-ctx.Done():
				return
			}
		}
		err := d.Drain(ctx)
		switch {
		case err == nil:
			if wait > drainEvery {
				d.log.Info("journal: the database takes records again")
			}
			wait = drainEvery
		case ctx.Err() != nil:
			return
		default:
			if wait == drainEvery {
				d.log.Error("journal: the database takes no records; they wait in the journal", "error", err)
			}
			wait = min(wait*2, maxBackoff)
		}
		timer.Reset(wait)
	}
}

// Drain moves everything that is in the journal now.
func (d *Drainer) Drain(ctx context.Context) error {
	if err := d.load(ctx); err != nil {
		return err
	}
	segments, err := d.j.segments()
	if err != nil {
		return err
	}
	for i, segment := range segments {
		// Asked before reading: what is sealed now is read to its end below. The newest file stays, so that numbers go on from it.
		finished := i < len(segments)-1 && d.j.sealed(segment)
		pos := d.j.drained()
		if segment > pos.Segment {
			d.j.setDrained(Position{Segment: segment}, 0)
		}
		if segment >= pos.Segment {
			if err := d.segment(ctx, segment); err != nil {
				return err
			}
		}
		if finished {
			if err := os.Remove(d.j.name(segment)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove a drained journal file: %w", err)
			}
		}
	}
	return d.held(ctx)
}

func (d *Drainer) load(ctx context.Context) error {
	if d.loaded {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pos, err := d.sink.JournalPosition(ctx, d.j.ID())
	if err != nil {
		return fmt.Errorf("read the journal's position: %w", err)
	}
	d.j.setDrained(pos, 0)
	d.loaded = true
	return nil
}

// segment moves the rest of one file.
func (d *Drainer) segment(ctx context.Context, segment int64) error {
	f, err := os.Open(d.j.name(segment))
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	limit := d.j.limit(segment, info.Size())
	at := d.j.drained().Offset
	for at < limit {
		next, err := d.batch(f, segment, at, limit)
		if err != nil {
			return err
		}
		if next == at {
			return fmt.Errorf("read the journal: %s ends before its %d bytes", f.Name(), limit)
		}
		if err := d.save(ctx, Position{Segment: segment, Offset: next}); err != nil {
			return err
		}
		at = next
	}
	return nil
}

// batch reads records from at on into d.recs and gives the offset behind them. The limit is the end of a whole frame, or of a file that
// nobody writes any more.
func (d *Drainer) batch(f *os.File, segment, at, limit int64) (int64, error) {
	d.recs = d.recs[:0]
	if d.buf == nil {
		d.buf = make([]byte, drainChunk)
	}
	for {
		n, err := f.ReadAt(d.buf[:min(int64(len(d.buf)), limit-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return at, fmt.Errorf("read the journal: %w", err)
		}
		last := err != nil || at+int64(n) >= limit
		used, need := d.frames(d.buf[:n], segment, at, last)
		if used > 0 || last {
			return at + int64(used), nil
		}
		d.buf = make([]byte, max(need, 2*len(d.buf)))
	}
}

// frames decodes the frames in b and gives how many bytes they have. When not even the first is whole, need is its size.
func (d *Drainer) frames(b []byte, segment, at int64, last bool) (used, need int) {
	for used < len(b) && len(d.recs) < drainBatch {
		payload, size, whole, ok := frameAt(b[used:])
		if whole && ok {
			if len(payload) > 0 { // an empty frame only tries the disk
				d.decode(payload)
			}
			used += size
			continue
		}
		if !whole && !last {
			return used, size
		}
		d.damage(segment, at+int64(used))
		skip := resync(b[used:])
		if skip < 0 {
			// Nothing readable in the rest; but a frame may begin in it and end behind it.
			if !last && used > 0 {
				return used, 0
			}
			skip = len(b) - used
		}
		used += skip
	}
	return used, 0
}

func (d *Drainer) decode(payload []byte) {
	d.recs = append(d.recs, Record{})
	if err := d.recs[len(d.recs)-1].Decode(payload); err != nil {
		d.recs = d.recs[:len(d.recs)-1]
		d.j.countDamage()
		d.log.Error("journal: a record can't be read and is left out", "error", err)
	}
}

func (d *Drainer) damage(segment, at int64) {
	if d.broken[segment] {
		return
	}
	d.broken[segment] = true
	d.j.countDamage()
	d.log.Error("journal: a file is damaged; what can be read behind the damage is kept", "file", d.j.name(segment), "offset", at)
}

func (d *Drainer) save(ctx context.Context, upTo Position) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	spends, err := d.sink.SaveRecords(ctx, d.j.ID(), upTo, d.recs)
	if err != nil {
		return fmt.Errorf("save %d records: %w", len(d.recs), err)
	}
	d.j.setDrained(upTo, len(d.recs))
	if d.Saved != nil {
		d.Saved(d.recs, spends)
	}
	return nil
}

// held moves what the disk refuses straight from memory; should the disk take it in the same moment, the store drops the repetition.
func (d *Drainer) held(ctx context.Context) error {
	for {
		frames := d.j.heldFrames()
		if len(frames) == 0 {
			d.j.caughtUp()
			return nil
		}
		frames = frames[:min(len(frames), drainBatch)]
		d.recs = d.recs[:0]
		for _, f := range frames {
			if len(f) > frameHeader {
				d.decode(f[frameHeader:])
			}
		}
		if err := d.save(ctx, d.j.drained()); err != nil {
			return err
		}
		d.j.dropHeld(frames)
	}
}

// What a Drainer does to its Journal.

func (j *Journal) drained() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.position
}

func (j *Journal) setDrained(p Position, records int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.position = p
	j.stats.Drained += int64(records)
}

// caughtUp notes that SQL has everything, unless something came meanwhile.
func (j *Journal) caughtUp() {
	j.mu.Lock()
	writes := j.stats.Writes
	j.mu.Unlock()
	lag := j.lag()
	j.mu.Lock()
	defer j.mu.Unlock()
	if lag == 0 && writes == j.stats.Writes {
		j.lagSince = time.Time{}
	}
}

func (j *Journal) countDamage() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.Damaged++
}

// sealed says that a segment gets no more records.
func (j *Journal) sealed(segment int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return segment != j.segment
}

// limit is how far a segment may be read: as far as it is whole while it is being written, to its end afterwards.
func (j *Journal) limit(segment, size int64) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if segment == j.segment {
		return j.size
	}
	return size
}

func (j *Journal) heldFrames() [][]byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.held
}

// dropHeld forgets held frames that SQL has.
func (j *Journal) dropHeld(frames [][]byte) {
	saved := make(map[*byte]bool, len(frames))
	for _, f := range frames {
		saved[&f[0]] = true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.writing {
		j.written.Wait()
	}
	var rest [][]byte
	for _, f := range j.held {
		if saved[&f[0]] {
			j.heldSize -= len(f)
		} else {
			rest = append(rest, f)
		}
	}
	j.held = rest
}

// lag is how many bytes SQL does not have yet.
func (j *Journal) lag() int64 {
	j.mu.Lock()
	active, size, pos, lag := j.segment, j.size, j.position, int64(j.heldSize)
	j.mu.Unlock()
	segments, err := j.segments()
	if err != nil {
		return lag
	}
	for _, s := range segments {
		n := size
		if s != active {
			info, err := os.Stat(j.name(s))
			if err != nil {
				continue
			}
			n = info.Size()
		}
		switch {
		case s > pos.Segment:
			lag += n
		case s == pos.Segment:
			lag += max(n-pos.Offset, 0)
		}
	}
	return lag
}
