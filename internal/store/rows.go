package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
)

// Kind names a table of accounts, in changes and errors; account.Kind is what calls are charged to.
type Kind string

// The kinds of accounts.
const (
	Keys         Kind = "keys"
	Users        Kind = "users"
	Teams        Kind = "teams"
	Members      Kind = "members"
	Orgs         Kind = "orgs"
	OrgMembers   Kind = "org_members"
	Budgets      Kind = "budgets"
	Customers    Kind = "customers"
	Tags         Kind = "tags"
	Models       Kind = "models"
	Credentials  Kind = "credentials"
	AccessGroups Kind = "access_groups"
	Audits       Kind = "audits"
	Archive      Kind = "archive"
	SpendOf      Kind = "spend" // only in changes: windows that began anew, amounts that were set; see Change.Subject
)

// ErrExists is what every ExistsError is.
var ErrExists = errors.New("exists already")

// ExistsError says that another row has a value that must be its own.
type ExistsError struct {
	Kind  Kind
	Field string // id, alias, email ...: the column
	Value string
	ID    string // of the row that has it
}

func (e *ExistsError) Error() string {
	return fmt.Sprintf("%s: %s %q exists already", e.Kind, e.Field, e.Value)
}

// Is makes errors.Is(err, ErrExists) hold.
func (e *ExistsError) Is(target error) bool { return target == ErrExists }

var errReadOnly = errors.New("accounts are changed within Edit only")

// noun is what Rows must know of a kind of account. Columns are in the order of the table, between id and doc.
type noun[T any] struct {
	kind   Kind
	id     func(*T) string
	texts  []text[T]
	nums   []num[T]
	quiet  bool             // no change is noted
	spends account.Kind     // what its spend is booked under; empty: it has none
	keep   func(*T) Deleted // what stands in Archive when it is deleted; nil: nothing
}

type text[T any] struct {
	name   string
	of     func(*T) string
	unique bool // among the rows where it is not empty
}

type num[T any] struct {
	name string
	of   func(*T) int64
}

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// Rows is one kind of account. Those of Store.Accounts read what is committed and are safe for concurrent use; those of an Edit read
// and write within it.
type Rows[T any] struct {
	n *noun[T]
	q querier
	e *Edit // nil: only reads
}

// Query chooses rows. The columns are the table's (see the migrations): id, alias, user_id ...; an unknown one is an error.
type Query struct {
	Where  map[string]string   // column is value; "" finds rows without one
	Not    map[string]string   // column is not value
	In     map[string][]string // column is one of the values
	Or     map[string][]string // as In, but one of its columns is enough
	Search map[string]string   // column contains, whatever the case
	From   int64               // created at or after, Unix ms; 0: open
	To     int64               // created before
	Sort   string              // column; "" and "created": by age; "spend": by what was spent. Ties go by id
	Desc   bool
	Limit  int // 0: all
	Offset int
}

// Get is one row by its id; ErrNotFound.
func (r Rows[T]) Get(ctx context.Context, id string) (*T, error) {
	return scanDoc[T](r.n.kind, r.q.QueryRowContext(ctx, "SELECT doc FROM "+string(r.n.kind)+" WHERE id = $1", id))
}

func scanDoc[T any](kind Kind, row interface{ Scan(...any) error }) (*T, error) {
	var doc string
	if err := row.Scan(&doc); errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	out := new(T)
	if err := json.Unmarshal([]byte(doc), out); err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	return out, nil
}

// List is the rows with these ids, in no order; those that are not there are left out.
func (r Rows[T]) List(ctx context.Context, ids ...string) ([]T, error) {
	var out []T
	for chunk := range slices.Chunk(ids, 500) {
		some, _, err := r.Find(ctx, Query{In: map[string][]string{"id": chunk}})
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

// Find lists the rows of a query, and how many there are without Limit and Offset.
func (r Rows[T]) Find(ctx context.Context, q Query) (rows []T, total int64, err error) {
	where, args, err := r.where(q)
	if err != nil {
		return nil, 0, err
	}
	if q.Limit > 0 {
		if err := r.q.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+string(r.n.kind)+where, args...).Scan(&total); err != nil {
			return nil, 0, fmt.Errorf("count %s: %w", r.n.kind, err)
		}
		if total <= int64(q.Offset) {
			return nil, total, nil
		}
	}
	tail, err := r.order(q)
	if err != nil {
		return nil, 0, err
	}
	if q.Limit > 0 {
		args = append(args, q.Limit, q.Offset)
		tail += " LIMIT $" + strconv.Itoa(len(args)-1) + " OFFSET $" + strconv.Itoa(len(args))
	}
	err = r.each(ctx, where+tail, args, func(row *T) error {
		rows = append(rows, *row)
		return nil
	})
	if q.Limit == 0 {
		rows = rows[min(q.Offset, len(rows)):]
		total = int64(len(rows) + q.Offset)
	}
	return rows, total, err
}

// Each calls f with every row, by id, without holding them all. Within an Edit f must not use the Edit.
func (r Rows[T]) Each(ctx context.Context, f func(*T) error) error {
	return r.each(ctx, " ORDER BY id", nil, f)
}

func (r Rows[T]) each(ctx context.Context, tail string, args []any, f func(*T) error) error {
	rows, err := r.q.QueryContext(ctx, "SELECT doc FROM "+string(r.n.kind)+tail, args...)
	if err != nil {
		return fmt.Errorf("list %s: %w", r.n.kind, err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		row, err := scanDoc[T](r.n.kind, rows)
		if err != nil {
			return err
		}
		if err := f(row); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list %s: %w", r.n.kind, err)
	}
	return nil
}

// column checks a name: it becomes part of a statement.
func (r Rows[T]) column(name string, number bool) error {
	is := func(c text[T]) bool { return c.name == name }
	if name == "id" || slices.ContainsFunc(r.n.texts, is) {
		return nil
	}
	if number && slices.ContainsFunc(r.n.nums, func(c num[T]) bool { return c.name == name }) {
		return nil
	}
	return fmt.Errorf("list %s: no column %q", r.n.kind, name)
}

// maxIn keeps a statement within SQLite's 32766 parameters.
const maxIn = 30_000

func (r Rows[T]) where(q Query) (clause string, args []any, err error) {
	var all []string
	bind := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	in := func(column string, values []string) string {
		if len(values) == 0 {
			return "1 = 0"
		}
		first := len(args) + 1
		for _, v := range values {
			bind(v)
		}
		return column + " IN (" + marks(first, len(values)) + ")"
	}
	check := func(column string) {
		err = errors.Join(err, r.column(column, false))
	}
	for _, column := range sorted(q.Where) {
		check(column)
		all = append(all, column+" = "+bind(q.Where[column]))
	}
	for _, column := range sorted(q.Not) {
		check(column)
		all = append(all, column+" <> "+bind(q.Not[column]))
	}
	for _, column := range sorted(q.In) {
		check(column)
		all = append(all, in(column, q.In[column]))
	}
	if q.Or != nil {
		some := []string{"1 = 0"}
		for _, column := range sorted(q.Or) {
			check(column)
			some = append(some, in(column, q.Or[column]))
		}
		all = append(all, "("+strings.Join(some, " OR ")+")")
	}
	for _, column := range sorted(q.Search) {
		check(column)
		pattern := "%" + likeEscape.Replace(q.Search[column]) + "%"
		all = append(all, "LOWER("+column+") LIKE LOWER("+bind(pattern)+`) ESCAPE '\'`)
	}
	for _, end := range []struct {
		is string
		at int64
	}{{"created >= ", q.From}, {"created < ", q.To}} {
		if end.at != 0 {
			err = errors.Join(err, r.column("created", true))
			all = append(all, end.is+bind(end.at))
		}
	}
	if len(args) > maxIn {
		err = errors.Join(err, fmt.Errorf("list %s: %d values at once, %d are allowed", r.n.kind, len(args), maxIn))
	}
	if len(all) > 0 {
		clause = " WHERE " + strings.Join(all, " AND ")
	}
	return clause, args, err
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (r Rows[T]) order(q Query) (string, error) {
	column := q.Sort
	switch {
	case column == "" && len(r.n.nums) > 0:
		column = "created"
	case column == "":
		column = "id"
	}
	direction := ""
	if q.Desc {
		direction = " DESC"
	}
	if column == "spend" && r.n.spends != "" {
		return " ORDER BY COALESCE((SELECT total - base FROM spend WHERE spend.kind = '" + string(r.n.spends) + "' AND spend.id = " + string(r.n.kind) +
			".id AND spend.model = ''), 0)" + direction + ", id" + direction, nil
	}
	if err := r.column(column, true); err != nil {
		return "", err
	}
	return " ORDER BY " + column + direction + ", id" + direction, nil
}

// Add inserts a row; an *ExistsError if its id or another value that must be its own is taken.
func (r Rows[T]) Add(ctx context.Context, row *T) error {
	if _, err := r.Get(ctx, r.n.id(row)); err == nil {
		id := r.n.id(row)
		return &ExistsError{Kind: r.n.kind, Field: "id", Value: id, ID: id}
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	return r.Put(ctx, row)
}

// Put inserts a row or replaces the one with its id; an *ExistsError if a value that must be its own is another row's.
func (r Rows[T]) Put(ctx context.Context, row *T) error {
	if r.e == nil {
		return errReadOnly
	}
	id := r.n.id(row)
	if id == "" {
		return fmt.Errorf("write %s: no id", r.n.kind)
	}
	args := []any{id}
	columns := "id"
	add := func(name string, value any) {
		args = append(args, value)
		columns += "," + name
	}
	for _, c := range r.n.texts {
		value := c.of(row)
		if err := r.taken(ctx, c, id, value); err != nil {
			return err
		}
		add(c.name, value)
	}
	for _, c := range r.n.nums {
		add(c.name, c.of(row))
	}
	doc, err := json.Marshal(row, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("write %s: %w", r.n.kind, err)
	}
	add("doc", string(doc))
	var sets []string
	for name := range strings.SplitSeq(columns, ",") {
		if name != "id" {
			sets = append(sets, name+" = excluded."+name)
		}
	}
	for _, v := range args {
		if s, ok := v.(string); ok && strings.IndexByte(s, 0) >= 0 {
			return fmt.Errorf("write %s: a value holds a NUL character", r.n.kind)
		}
	}
	_, err = r.q.ExecContext(ctx, "INSERT INTO "+string(r.n.kind)+" ("+columns+") VALUES ("+marks(1, len(args))+
		") ON CONFLICT (id) DO UPDATE SET "+strings.Join(sets, ", "), args...)
	if err != nil {
		return fmt.Errorf("write %s: %w", r.n.kind, err)
	}
	return r.note(id)
}

// taken looks for another row with a value that must be unique. Edits run one after another, so nobody else can take it meanwhile. A row
// that shares its value already (as one brought over from elsewhere may) keeps it.
func (r Rows[T]) taken(ctx context.Context, c text[T], id, value string) error {
	if !c.unique || value == "" || r.e.lenient {
		return nil
	}
	var other string
	err := r.q.QueryRowContext(ctx, "SELECT id FROM "+string(r.n.kind)+" WHERE "+c.name+" = $1 ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1",
		value, id).Scan(&other)
	if errors.Is(err, sql.ErrNoRows) || err == nil && other == id {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", r.n.kind, err)
	}
	return &ExistsError{Kind: r.n.kind, Field: c.name, Value: value, ID: other}
}

// Delete removes a row and says whether it was there. What keys and teams leave behind stands in Archive.
func (r Rows[T]) Delete(ctx context.Context, id string) (bool, error) {
	if r.e == nil {
		return false, errReadOnly
	}
	row, err := r.Get(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	spent, err := r.e.end(ctx, account.Subject{Kind: r.n.spends, ID: id})
	if err != nil {
		return false, err
	}
	if r.n.keep != nil {
		if err := r.e.keep(ctx, r.n.keep(row), spent, row); err != nil {
			return false, err
		}
	}
	if _, err := r.q.ExecContext(ctx, "DELETE FROM "+string(r.n.kind)+" WHERE id = $1", id); err != nil {
		return false, fmt.Errorf("delete %s: %w", r.n.kind, err)
	}
	return true, r.note(id)
}

func (r Rows[T]) note(id string) error {
	if !r.n.quiet {
		r.e.changed[Change{r.n.kind, id}] = struct{}{}
	}
	return nil
}
