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
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // The driver "pgx".
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"towpath.dev/towpath/internal/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Handle runs queries, inside a transaction (*Tx) or outside one (*DB). Placeholders
// are `?` for both engines.
type Handle interface {
	Exec(ctx context.Context, query string, args ...any) (sql.Result, error)
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) *sql.Row
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	write    *sql.DB
	read     *sql.DB
	postgres bool
}

// Tx is a write transaction handed out by DB.Tx. It must not outlive the function
// that received it and is for one goroutine.
type Tx struct {
	tx       *sql.Tx
	postgres bool
	after    []func()
}

var (
	_ Handle = (*DB)(nil)
	_ Handle = (*Tx)(nil)
)

// Open opens the database that dsn names and brings its schema up to date. dsn is
// a PostgreSQL URL (postgres://…) or the path of an SQLite file, which is made
// when missing.
func Open(ctx context.Context, dsn string) (*DB, error) {
	db, err := connect(dsn)
	if err != nil {
		return nil, err
	}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func connect(dsn string) (*DB, error) {
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		pool, err := sql.Open("pgx", dsn)
		if err != nil {
			return nil, fmt.Errorf("opening PostgreSQL: %w", err)
		}
		pool.SetMaxOpenConns(16)
		return &DB{write: pool, read: pool, postgres: true}, nil
	}
	// The database holds password hashes and sealed secrets: nobody else may read it.
	// The files beside it (-wal, -shm) take its mode.
	f, err := os.OpenFile(dsn, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the database file: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return nil, fmt.Errorf("closing the database file to others: %w", err)
	}
	// WAL lets readers go on beside the writer. synchronous=FULL makes a commit
	// durable over a power cut, which an acknowledged push or upload promises.
	// The writer takes its lock at once (immediate), so that a transaction never
	// dies halfway on an upgrade from reader to writer.
	uri := func(extra string) string {
		q := "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)&_pragma=busy_timeout(10000)&_pragma=cache_size(-8000)" + extra
		return "file:" + (&url.URL{Path: dsn}).EscapedPath() + "?" + q
	}
	w, err := sql.Open("sqlite", uri("&_txlock=immediate"))
	if err != nil {
		return nil, fmt.Errorf("opening SQLite: %w", err)
	}
	w.SetMaxOpenConns(1)
	r, err := sql.Open("sqlite", uri("&_pragma=query_only(ON)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening SQLite: %w", err), w.Close())
	}
	r.SetMaxOpenConns(8)
	return &DB{write: w, read: r}, nil
}

func (db *DB) migrate(ctx context.Context) error {
	dialect := goose.DialectSQLite3
	if db.postgres {
		dialect = goose.DialectPostgres
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, db.write, dir)
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrating the database: %w", err)
	}
	return nil
}

// Close closes the database; running queries end first.
func (db *DB) Close() error {
	if db.postgres {
		return db.write.Close()
	}
	return errors.Join(db.read.Close(), db.write.Close())
}

// Postgres reports whether the engine is PostgreSQL.
func (db *DB) Postgres() bool { return db.postgres }

// Exec runs a statement outside a transaction.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return db.write.ExecContext(ctx, rebind(db.postgres, query), args...)
}

// Query reads outside a transaction. It must not write.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return db.read.QueryContext(ctx, rebind(db.postgres, query), args...)
}

// QueryRow reads one row outside a transaction. It must not write.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return db.read.QueryRowContext(ctx, rebind(db.postgres, query), args...)
}

// Tx runs fn in a write transaction: it commits when fn returns nil and rolls back
// otherwise. Functions given to Tx.AfterCommit run once the commit is durable. On
// PostgreSQL a serialisation failure or deadlock is returned to the caller, who may ask
// Clash and begin again; fn is never run twice.
func (db *DB) Tx(ctx context.Context, fn func(tx *Tx) error) error {
	raw, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	tx := &Tx{tx: raw, postgres: db.postgres}
	if err := fn(tx); err != nil {
		if rerr := raw.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			return errors.Join(err, fmt.Errorf("rolling back: %w", rerr))
		}
		return explained(err)
	}
	if err := raw.Commit(); err != nil {
		return explained(fmt.Errorf("committing: %w", err))
	}
	for _, f := range tx.after {
		f()
	}
	return nil
}

// explained gives a full disk the words that whoever asked may see: it is nobody's
// mistake, and the same call succeeds when there is room again.
func explained(err error) error {
	if !Full(err) {
		return err
	}
	return fault.Wrap(fault.Unavailable, err, "The disk that holds Towpath's database is full; nothing was changed.").
		WithNext("free space on the server's data folder, then try again")
}

// AfterCommit registers f to run after the transaction has committed. It is not
// run after a roll-back. f must be quick and must not use the transaction.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// Postgres reports whether the engine is PostgreSQL.
func (tx *Tx) Postgres() bool { return tx.postgres }

// Exec runs a statement in the transaction.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return tx.tx.ExecContext(ctx, rebind(tx.postgres, query), args...)
}

// Query reads in the transaction. Close the rows before the next statement.
func (tx *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return tx.tx.QueryContext(ctx, rebind(tx.postgres, query), args...)
}

// QueryRow reads one row in the transaction.
func (tx *Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return tx.tx.QueryRowContext(ctx, rebind(tx.postgres, query), args...)
}

// Clash reports whether err says that two transactions got into each other's way, so that
// one was rolled back by PostgreSQL: what it did may be done again from its beginning.
func Clash(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001")
}

// Unique reports whether err says that a unique or primary key exists already.
func Unique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

// Full reports whether err says that the disk is full.
func Full(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "53100"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == sqlite3.SQLITE_FULL
}

// rebind turns `?` placeholders into `$1`, `$2`, … for PostgreSQL, leaving quoted
// text alone.
func rebind(postgres bool, query string) string {
	if !postgres || !strings.Contains(query, "?") {
		return query
	}
	var b strings.Builder
	b.Grow(len(query) + 8)
	n, quoted := 0, false
	for i := 0; i < len(query); i++ {
		c := query[i]
		switch {
		case c == '\'':
			quoted = !quoted
			b.WriteByte(c)
		case c == '?' && !quoted:
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
