// Package store keeps what must outlive the process in SQL: a SQLite file by default, PostgreSQL by a URL, with one SQL text for both.
//
// A file per noun holds its queries, written by hand: at this size that is less than a generator would add. They keep to what both
// engines understand: $1 parameters, CAST(x AS text) and never ::, no arrays, no now(); ids TEXT, times BIGINT milliseconds, money BIGINT
// nano-USD, JSON as TEXT that is never queried inside. store imports account, llm and usage; app and api import it, the hot path never does.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	_ "modernc.org/sqlite" // the database/sql driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNotFound says that there is no such row.
var ErrNotFound = errors.New("not found")

// Options has useful zero values.
type Options struct {
	MaxConns int              // connections at a time (PostgreSQL), readers at a time (SQLite); 0: 8 and 4
	Now      func() time.Time // nil: time.Now
}

// Store is an open database. Safe for concurrent use; Close it after use.
type Store struct {
	write  *sql.DB // one connection on SQLite
	read   *sql.DB // the same pool as write on PostgreSQL
	engine string
	path   string // of the SQLite file
	now    func() time.Time
	ledger atomic.Bool // open calls were noted: see PutOpenCalls
}

// Open opens the database at address and brings its tables up to date. The address is postgres://... or postgresql://..., or the path of
// a SQLite file (with or without sqlite:// or file: before it), which is made if absent.
func Open(ctx context.Context, address string, o Options) (*Store, error) {
	s, err := connect(address, o)
	if err != nil {
		return nil, err
	}
	if s.now = o.Now; s.now == nil {
		s.now = time.Now
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func connect(address string, o Options) (*Store, error) {
	if strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://") {
		return connectPostgres(address, o)
	}
	path := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(address, "sqlite://"), "sqlite:"), "file:")
	switch {
	case path == "":
		return nil, errors.New("open the database: no address")
	case strings.Contains(address, "://") && !strings.HasPrefix(address, "sqlite://") && !strings.HasPrefix(address, "file:"):
		scheme, _, _ := strings.Cut(address, "://")
		return nil, fmt.Errorf("open the database: %s:// is not supported; use postgres:// or the path of a SQLite file", scheme)
	}
	return connectSQLite(path, o)
}

func connectPostgres(address string, o Options) (*Store, error) {
	cfg, err := pgx.ParseConfig(PostgresURL(address))
	if err != nil {
		// pgx leaves the password out of its message.
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	db := stdlib.OpenDB(*cfg)
	n := o.MaxConns
	if n <= 0 {
		n = 8
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return &Store{write: db, read: db, engine: "postgresql"}, nil
}

// PostgresURL drops the parameters that a DATABASE_URL of LiteLLM's may carry for its own client and that a server would refuse;
// schema becomes the search path.
func PostgresURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	q := u.Query()
	if schema := q.Get("schema"); schema != "" && q.Get("search_path") == "" {
		q.Set("search_path", schema)
	}
	for _, name := range []string{"schema", "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout"} {
		q.Del(name)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func connectSQLite(path string, o Options) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	// The file holds key hashes and who did what: it is the owner's alone.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	// synchronous(FULL): a journal file is deleted once its records are committed, so a commit must survive the machine.
	open := func(extra ...string) (*sql.DB, error) {
		q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
			"cache_size(-512)", "journal_size_limit(16777216)"}, extra...), "_txlock": {"immediate"}}
		return sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	}
	write, err := open("cache_size(-2048)") // room for the ends of all indexes of the records: a tenth of what storing one costs
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	read, err := open("query_only(1)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), write.Close())
	}
	n := o.MaxConns
	if n <= 0 {
		n = 4
	}
	write.SetMaxOpenConns(1)
	read.SetMaxOpenConns(n)
	read.SetMaxIdleConns(n)
	read.SetConnMaxIdleTime(time.Minute)
	return &Store{write: write, read: read, engine: "sqlite", path: path}, nil
}

// migrate brings the tables up to date. Processes that start together on one database wait for each other.
func (s *Store) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	dialect, opts := goose.DialectSQLite3, []goose.ProviderOption{}
	if s.engine == "postgresql" {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return fmt.Errorf("migrate the database: %w", err)
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	} else {
		unlock, err := lockFile(s.path + ".lock")
		if err != nil {
			return fmt.Errorf("migrate the database: %w", err)
		}
		defer unlock()
	}
	p, err := goose.NewProvider(dialect, s.write, dir, opts...)
	if err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

// lockFile waits until no other process holds the file.
func lockFile(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}

// Engine is sqlite or postgresql.
func (s *Store) Engine() string { return s.engine }

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.read.PingContext(ctx); err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	return nil
}

// Close lets go of the database.
func (s *Store) Close() error {
	if s.read == s.write {
		return s.write.Close()
	}
	return errors.Join(s.read.Close(), s.write.Close())
}

// tx runs f in one transaction.
func (s *Store) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	done := false
	defer func() {
		if !done { // f panicked: whoever recovers finds the connection free
			_ = tx.Rollback()
		}
	}()
	err = f(tx)
	done = true
	if err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit a transaction: %w", err)
	}
	return nil
}

// ignoreDone drops the error of rolling back what the database has already ended itself.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
