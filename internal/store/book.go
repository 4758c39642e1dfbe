package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
)

// book is what a batch of records comes to: every row of spend, of daily and of the metrics is touched once, whatever the number of records.
type book struct {
	moved moves
	spend map[account.Subject]llm.Nanos
	daily map[day]*daySums
	meter meter
}

// day is the dimensions of a row of daily.
type day struct {
	number                                                                            int64 // days since 1970, UTC
	tag, key, user, team, org, endUser, model, deployment, provider, upstream, op, in string
}

type daySums struct {
	spend, input, output, total, cacheRead, cacheWrite, calls, failed, timeMS, timed int64
}

// moves is who has another id now, as far as is known.
type moves map[account.Subject]string

func newBook(moved moves) *book {
	return &book{moved: moved, spend: map[account.Subject]llm.Nanos{}, daily: map[day]*daySums{}, meter: newMeter()}
}

// add books a record, or with sign -1 takes it back.
func (b *book) add(r *usage.Record, sign int64) {
	if r.Cost != 0 {
		Subjects(r, func(s account.Subject) {
			for {
				into, ok := b.moved[account.Subject{Kind: s.Kind, ID: s.ID}]
				if !ok {
					break
				}
				s.ID = into
			}
			b.spend[s] += r.Cost * llm.Nanos(sign)
		})
	}
	d := day{floorDiv(r.Start, 86_400_000), "", r.Key, r.User, r.Team, r.Org, r.EndUser, r.Model, r.Deployment, r.Provider, r.Upstream, string(r.Op), string(r.In)}
	b.addDay(d, r, sign)
	for i, tag := range r.Tags {
		if d.tag = tag; tag != "" && !slices.Contains(r.Tags[:i], tag) {
			b.addDay(d, r, sign)
		}
	}
	b.meter.add(r, sign)
}

func floorDiv(a, b int64) int64 {
	if a < 0 {
		return -((b - 1 - a) / b)
	}
	return a / b
}

func (b *book) addDay(d day, r *usage.Record, sign int64) {
	sums := b.daily[d]
	if sums == nil {
		sums = new(daySums)
		b.daily[d] = sums
	}
	sums.spend += sign * int64(r.Cost)
	sums.input += sign * r.Usage.Input
	sums.output += sign * r.Usage.Output
	sums.total += sign * r.Usage.Sum()
	sums.cacheRead += sign * r.Usage.CacheRead
	sums.cacheWrite += sign * r.Usage.CacheWrite
	sums.calls += sign
	if r.ErrorKind != "" {
		sums.failed += sign
	} else if r.End >= r.Start && !r.Lost {
		sums.timeMS += sign * (r.End - r.Start)
		sums.timed += sign
	}
}

// Subjects calls f with everybody whom a record is charged to: each account for all models, and for the model of the record.
func Subjects(r *usage.Record, f func(account.Subject)) {
	charge := func(kind account.Kind, id string) {
		if id == "" {
			return
		}
		f(account.Subject{Kind: kind, ID: id})
		if r.Model != "" {
			f(account.Subject{Kind: kind, ID: id, Model: r.Model})
		}
	}
	f(account.Subject{Kind: account.OfGateway})
	charge(account.OfKey, r.Key)
	charge(account.OfUser, r.User)
	charge(account.OfTeam, r.Team)
	charge(account.OfOrg, r.Org)
	charge(account.OfCustomer, r.EndUser)
	if r.Team != "" && r.User != "" {
		charge(account.OfMember, account.MemberID(r.Team, r.User))
	}
	for i, tag := range r.Tags {
		if !slices.Contains(r.Tags[:i], tag) {
			charge(account.OfTag, tag)
		}
	}
}

// errAgain says that what a transaction had read was no longer true when it wrote: do it once more.
var errAgain = errors.New("others were at it at the same time")

// booked runs f in one transaction; f learns who has moved as it goes. Rows are always taken in the same order (replicas, records, open_calls,
// spend, daily, the metrics, each by its key), so replicas wait for each other but hardly ever in a circle.
func (s *Store) booked(ctx context.Context, f func(*sql.Tx, moves) ([]account.Spend, error)) (spends []account.Spend, err error) {
	moved := moves{}
	err = s.retried(ctx, func(tx *sql.Tx) error {
		spends, err = f(tx, moved)
		return err
	})
	if err != nil {
		return nil, err
	}
	return spends, nil
}

// retried runs f in one transaction, and again where the database ended it because of others, or f says errAgain.
func (s *Store) retried(ctx context.Context, f func(*sql.Tx) error) (err error) {
	for range 10 {
		err = s.tx(ctx, f)
		var pg *pgconn.PgError
		if !errors.Is(err, errAgain) && !(errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001")) {
			break
		}
	}
	return err
}

// bookIn stores records and books those that were not in yet.
func (s *Store) bookIn(ctx context.Context, tx *sql.Tx, records []usage.Record, moved moves) ([]account.Spend, error) {
	fresh, gone, err := s.insertRecords(ctx, tx, records)
	if err != nil {
		return nil, err
	}
	if err := s.closeCalls(ctx, tx, fresh); err != nil {
		return nil, err
	}
	return s.bookAll(ctx, tx, moved, fresh, gone)
}

// bookAll adds what fresh records come to and takes back what gone ones did.
func (s *Store) bookAll(ctx context.Context, tx *sql.Tx, moved moves, fresh []*usage.Record, gone []usage.Record) ([]account.Spend, error) {
	b := newBook(moved)
	for _, r := range fresh {
		b.add(r, 1)
	}
	for i := range gone {
		b.add(&gone[i], -1)
	}
	spends, err := b.saveSpend(ctx, tx, s.engine)
	if err != nil {
		return nil, err
	}
	if err := b.saveDaily(ctx, tx, s.engine); err != nil {
		return nil, err
	}
	return spends, b.meter.save(ctx, tx, s.engine)
}

const addSpend = ` ON CONFLICT (kind, id, model) DO UPDATE SET total = spend.total + excluded.total RETURNING ` + spendColumns

func (b *book) saveSpend(ctx context.Context, tx *sql.Tx, engine string) ([]account.Spend, error) {
	order := slices.SortedFunc(maps.Keys(b.spend), compareSubjects)
	var out []account.Spend
	found := false
	take := func(r *spendRow) {
		if r.moved != "" {
			b.moved[account.Subject{Kind: r.Kind, ID: r.ID}], found = r.moved, true
		}
		out = r.spends(out)
	}
	rows := func(yield func([]any) bool) {
		for _, s := range order {
			if b.spend[s] != 0 && !yield([]any{string(s.Kind), s.ID, s.Model, int64(b.spend[s]), int64(0), int64(0), "", "", int64(0), ""}) {
				return
			}
		}
	}
	err := upsert(ctx, tx, engine, "spend (kind, id, model, total, base, reset_at, period, windows, due, moved)", addSpend, rows,
		func(row *sql.Rows) error {
			r, err := scanSpend(row)
			if err == nil {
				take(r)
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("book spend: %w", err)
	}
	if found {
		return nil, errAgain
	}
	return out, nil
}

const dayColumns = `id, date, tag, key_hash, user_id, team_id, org_id, end_user, model, deployment, provider, upstream, op, dialect_in, spend, input,
	output, total, cache_read, cache_write, calls, failed, time_ms, timed`

// addDay adds every sum to the row that is there.
var addDay = func() string {
	var sets []string
	for _, c := range []string{"spend", "input", "output", "total", "cache_read", "cache_write", "calls", "failed", "time_ms", "timed"} {
		sets = append(sets, c+" = daily."+c+" + excluded."+c)
	}
	return " ON CONFLICT (id) DO UPDATE SET " + strings.Join(sets, ", ")
}()

func (b *book) saveDaily(ctx context.Context, tx *sql.Tx, engine string) error {
	type row struct {
		id string
		day
	}
	order := make([]row, 0, len(b.daily))
	for d := range b.daily {
		order = append(order, row{d.id(), d})
	}
	slices.SortFunc(order, func(a, b row) int { return cmp.Compare(a.id, b.id) })
	rows := func(yield func([]any) bool) {
		for _, d := range order {
			s := b.daily[d.day]
			if *s != (daySums{}) && !yield([]any{d.id, d.date(), d.tag, d.key, d.user, d.team, d.org, d.endUser, d.model, d.deployment, d.provider, d.upstream,
				d.op, d.in, s.spend, s.input, s.output, s.total, s.cacheRead, s.cacheWrite, s.calls, s.failed, s.timeMS, s.timed}) {
				return
			}
		}
	}
	if err := upsert(ctx, tx, engine, "daily ("+dayColumns+")", addDay, rows, nil); err != nil {
		return fmt.Errorf("book the day: %w", err)
	}
	return nil
}

func (d *day) id() string {
	h := sha256.New()
	for _, s := range [...]string{strconv.FormatInt(d.number, 10), d.tag, d.key, d.user, d.team, d.org, d.endUser, d.model, d.deployment, d.provider,
		d.upstream, d.op, d.in} {
		_, _ = h.Write(strconv.AppendInt(nil, int64(len(s)), 10)) // a hash takes everything
		_, _ = h.Write([]byte(":" + s))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (d *day) date() string {
	return time.Unix(d.number*86_400, 0).UTC().Format(time.DateOnly)
}

// upsertChunk is how many rows one statement carries on PostgreSQL.
const upsertChunk = 100

// upsert writes rows in their order. took, if set, reads what RETURNING gives.
func upsert(ctx context.Context, tx *sql.Tx, engine, into, tail string, rows iter.Seq[[]any], took func(*sql.Rows) error) error {
	if engine == "sqlite" {
		return upsertOneByOne(ctx, tx, into, tail, rows, took)
	}
	var chunk [][]any
	flush := func() error {
		return queryEach(took, func() (*sql.Rows, error) {
			return tx.QueryContext(ctx, upsertText(into, tail, len(chunk), len(chunk[0])), slices.Concat(chunk...)...)
		})
	}
	for row := range rows {
		if chunk = append(chunk, row); len(chunk) == upsertChunk {
			if err := flush(); err != nil {
				return err
			}
			chunk = chunk[:0]
		}
	}
	if len(chunk) > 0 {
		return flush()
	}
	return nil
}

// upsertOneByOne is for SQLite: see insertOne and insertOneByOne.
func upsertOneByOne(ctx context.Context, tx *sql.Tx, into, tail string, rows iter.Seq[[]any], took func(*sql.Rows) error) (err error) {
	ctx = context.WithoutCancel(ctx)
	var insert *sql.Stmt
	defer func() {
		if insert != nil {
			err = errors.Join(err, insert.Close())
		}
	}()
	for row := range rows {
		if insert == nil {
			if insert, err = tx.PrepareContext(ctx, "INSERT INTO "+into+" VALUES ("+strings.Repeat("?,", len(row)-1)+"?)"+tail); err != nil {
				return err
			}
		}
		if err := queryEach(took, func() (*sql.Rows, error) { return insert.QueryContext(ctx, row...) }); err != nil {
			return err
		}
	}
	return nil
}

func upsertText(into, tail string, rows, columns int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + into + " VALUES ")
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("(" + marks(i*columns+1, columns) + ")")
	}
	b.WriteString(tail)
	return b.String()
}

func queryEach(took func(*sql.Rows) error, query func() (*sql.Rows, error)) error {
	rows, err := query()
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	for rows.Next() {
		if took != nil {
			if err := took(rows); err != nil {
				return err
			}
		}
	}
	return rows.Err()
}
