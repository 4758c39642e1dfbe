// Package litellm brings the database of a LiteLLM proxy over into a Store: budgets, organizations, users, teams, memberships, customers,
// tags, keys (their hashes, so every key goes on working), models and credentials, and the spend with its history. It reads the old database
// and never writes to it. What is in the Store already stays as it is, so doing it twice changes nothing. cmd and app import it; it imports
// store, account, usage and llm.
package litellm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	_ "github.com/jackc/pgx/v5/stdlib" // the database/sql driver "pgx"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/store"
)

// Options say where from and how.
type Options struct {
	DatabaseURL string // LiteLLM's PostgreSQL
	SaltKey     string // LiteLLM's LITELLM_SALT_KEY, or its master key if it had none
	// SealParams seals the secrets of a litellm_params object for the Store, Seal those of a credential.
	SealParams func(jsontext.Value) (jsontext.Value, error)
	Seal       func(string) (string, error)
	Now        time.Time
}

// Count is what became of the rows of one kind.
type Count struct {
	What  string
	Added int
	There int // were there already
}

// Report is what an import did.
type Report struct {
	Counts []Count
	Notes  []string // what could not be brought over as it was
}

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	for _, c := range r.Counts {
		if _, err := fmt.Fprintf(w, "%-26s %6d brought over, %6d there already\n", c.What, c.Added, c.There); err != nil {
			return err
		}
	}
	for _, n := range r.Notes {
		if _, err := fmt.Fprintln(w, "note: "+n); err != nil {
			return err
		}
	}
	return nil
}

// Import brings everything over. A wrong salt key is found before anything is written.
func Import(ctx context.Context, s *store.Store, o Options) (*Report, error) {
	db, err := sql.Open("pgx", store.PostgresURL(o.DatabaseURL))
	if err != nil {
		return nil, fmt.Errorf("open LiteLLM's database: %w", err)
	}
	defer func() { _ = db.Close() }() // only read
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("open LiteLLM's database: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // only read
	im := &importer{o: o, src: tx, dst: s, report: new(Report), budgets: map[string]*budgetRow{}}
	if err := im.read(ctx); err != nil {
		return nil, err
	}
	// The history first: what is set as spent afterwards is then what LiteLLM says, whatever the sum of its rows.
	if err := im.records(ctx); err != nil {
		return nil, err
	}
	if err := im.write(ctx); err != nil {
		return nil, err
	}
	return im.report, nil
}

// importer is one import on its way: everything but the history is read before anything is written.
type importer struct {
	o      Options
	src    *sql.Tx
	dst    *store.Store
	report *Report

	budgets    map[string]*budgetRow
	emails     map[string]string // lower-case email -> user
	writes     []write
	permission map[string]jsontext.Value
}

// write puts one row, if it is not there, and sets what it has spent.
type write struct {
	what string
	put  func(context.Context, *store.Edit) error
	book []booking
}

// booking is what LiteLLM says that somebody has spent, and the windows of the budgets.
type booking struct {
	subject  account.Subject
	spent    float64
	duration string
	reset    moment
	windows  []account.Window
	models   map[string]account.ModelBudget
	byModel  map[string]float64
}

func (im *importer) note(format string, args ...any) {
	im.report.Notes = append(im.report.Notes, fmt.Sprintf(format, args...))
}

// add plans to write a row.
func add[T any](im *importer, what string, rows func(*store.Edit) store.Rows[T], row T, book ...booking) {
	im.writes = append(im.writes, write{what, func(ctx context.Context, e *store.Edit) error { return rows(e).Add(ctx, &row) }, book})
}

// write does all that is planned, in one edit.
func (im *importer) write(ctx context.Context) error {
	counts := map[string]*Count{}
	var order []*Count
	err := im.dst.Import(ctx, func(e *store.Edit) error {
		for _, w := range im.writes {
			c := counts[w.what]
			if c == nil {
				c = &Count{What: w.what}
				counts[w.what] = c
				order = append(order, c)
			}
			err := w.put(ctx, e)
			if errors.Is(err, store.ErrExists) {
				c.There++
				continue
			}
			if err != nil {
				return err
			}
			c.Added++
			for i := range w.book {
				im.book(e, &w.book[i])
			}
		}
		return nil
	})
	for _, c := range order {
		im.report.Counts = append(im.report.Counts, *c)
	}
	return err
}

func (im *importer) book(e *store.Edit, b *booking) {
	start := func(s account.Subject, window, duration string, reset moment) {
		p, err := account.ParsePeriod(duration)
		if err != nil {
			return
		}
		if int64(reset) <= im.o.Now.UnixMilli() {
			reset = moment(p.NextReset(im.o.Now).UnixMilli())
		}
		e.StartWindow(s, window, duration, int64(reset))
	}
	e.SetSpent(b.subject, nanos(b.spent))
	start(b.subject, "", b.duration, b.reset)
	for _, w := range b.windows {
		start(b.subject, w.Duration, w.Duration, 0)
	}
	for model, budget := range b.models {
		s := account.Subject{Kind: b.subject.Kind, ID: b.subject.ID, Model: model}
		if spent, ok := b.byModel[model]; ok {
			e.SetSpent(s, nanos(spent))
		}
		start(s, "", budget.Period, 0)
	}
}

// each calls f with every row of a table of LiteLLM's, and its fields as they stand. A table that its version does not have is empty. A row
// is read as JSON by the names of its columns, so those that a version has or lacks do no harm.
func each[T any](ctx context.Context, im *importer, table string, f func(*T, map[string]jsontext.Value) error) error {
	table = `"LiteLLM_` + table + `"`
	var there bool
	if err := im.src.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, table).Scan(&there); err != nil {
		return fmt.Errorf("read LiteLLM's %s: %w", table, err)
	}
	if !there {
		return nil
	}
	rows, err := im.src.QueryContext(ctx, `SELECT CAST(to_jsonb(t) - 'messages' - 'response' - 'proxy_server_request' AS text) FROM `+table+` t`)
	if err != nil {
		return fmt.Errorf("read LiteLLM's %s: %w", table, err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			return fmt.Errorf("read LiteLLM's %s: %w", table, err)
		}
		var row T
		fields := map[string]jsontext.Value{}
		if err := errors.Join(json.Unmarshal(text, &row), json.Unmarshal(text, &fields)); err != nil {
			return fmt.Errorf("read LiteLLM's %s: %w", table, err)
		}
		if err := f(&row, fields); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read LiteLLM's %s: %w", table, err)
	}
	return nil
}
