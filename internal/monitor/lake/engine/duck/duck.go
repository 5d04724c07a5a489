//go:build cgo

package duck

import (
	"context"
	"errors"
	"fmt"
	"strings"

	bindings "github.com/duckdb/duckdb-go-bindings"
)

// Settings bound a DB.
type Settings struct {
	Memory  int64    // bytes
	Temp    string   // folder to which a large query spills
	Spill   int64    // bytes that may be spilled
	Threads int      // that work on queries
	Folders []string // that statements may read and write, besides Temp
}

// DB is an in-memory database.
type DB struct{ db bindings.Database }

// Open makes a database and locks its settings.
func Open(s Settings) (*DB, error) {
	var d DB
	var text string
	if bindings.OpenExt(":memory:", &d.db, bindings.Config{}, &text) == bindings.StateError {
		return nil, fmt.Errorf("opening duckdb: %s", text)
	}
	c, err := d.Connect()
	if err != nil {
		d.Close()
		return nil, err
	}
	defer c.Close()
	folders := make([]string, len(s.Folders))
	for i, f := range s.Folders {
		folders[i] = Quote(f)
	}
	for _, sql := range []string{
		fmt.Sprintf("SET memory_limit='%dB'", s.Memory),
		fmt.Sprintf("SET threads=%d", s.Threads),
		"SET temp_directory=" + Quote(s.Temp),
		fmt.Sprintf("SET max_temp_directory_size='%dB'", s.Spill),
		"SET allowed_directories=[" + strings.Join(folders, ",") + "]",
		"SET enable_external_access=false",
		"SET autoinstall_known_extensions=false",
		"SET autoload_known_extensions=false",
		"SET allow_community_extensions=false",
		"SET allow_unredacted_secrets=false",
		"SET parquet_metadata_cache=true",
		"SET preserve_insertion_order=true",
		"SET enable_progress_bar=false",
		"SET lock_configuration=true",
	} {
		if err := c.Exec(context.Background(), sql); err != nil {
			d.Close()
			return nil, fmt.Errorf("setting up duckdb (%s): %w", sql, err)
		}
	}
	return &d, nil
}

// Close frees the database. Its connections must be closed.
func (d *DB) Close() { bindings.Close(&d.db) }

// Conn is a connection. One statement runs on it at a time.
type Conn struct{ c bindings.Connection }

// Connect opens a connection.
func (d *DB) Connect() (*Conn, error) {
	var c Conn
	if bindings.Connect(d.db, &c.c) == bindings.StateError {
		return nil, errors.New("connecting to duckdb")
	}
	return &c, nil
}

// Close frees the connection.
func (c *Conn) Close() { bindings.Disconnect(&c.c) }

// guard interrupts the connection when ctx ends. The returned function ends the watch: no
// interrupt comes after it.
func (c *Conn) guard(ctx context.Context) func() {
	if ctx.Done() == nil {
		return func() {}
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		bindings.Interrupt(c.c)
		close(done)
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

// Exec runs statements without a result.
func (c *Conn) Exec(ctx context.Context, sql string) error {
	defer c.guard(ctx)()
	if ctx.Err() != nil {
		return &Error{Interrupted, ctx.Err().Error()}
	}
	var res bindings.Result
	defer bindings.DestroyResult(&res)
	if bindings.Query(c.c, sql, &res) == bindings.StateError {
		return errorOf(bindings.ResultErrorType(&res), bindings.ResultError(&res))
	}
	return nil
}

// Query runs one statement and hands over its rows as they come, in order. It ends early
// with the error that each returns.
func (c *Conn) Query(ctx context.Context, sql string, each func(*Chunk) error) error {
	defer c.guard(ctx)()
	if ctx.Err() != nil {
		return &Error{Interrupted, ctx.Err().Error()}
	}
	var stmt bindings.PreparedStatement
	defer bindings.DestroyPrepare(&stmt)
	if bindings.Prepare(c.c, sql, &stmt) == bindings.StateError {
		return errorOf(bindings.ErrorTypeInvalid, bindings.PrepareError(stmt))
	}
	var res bindings.Result
	defer bindings.DestroyResult(&res)
	if bindings.ExecutePreparedStreaming(stmt, &res) == bindings.StateError {
		return errorOf(bindings.ResultErrorType(&res), bindings.ResultError(&res))
	}
	return fetch(&res, each)
}

func fetch(res *bindings.Result, each func(*Chunk) error) error {
	k := &Chunk{}
	for i := range bindings.ColumnCount(res) {
		t := bindings.ColumnLogicalType(res, i)
		col := column{name: bindings.ColumnName(res, i), kind: bindings.GetTypeId(t)}
		if col.kind == bindings.TypeDecimal {
			col.scale, col.inner = bindings.DecimalScale(t), bindings.DecimalInternalType(t)
		}
		bindings.DestroyLogicalType(&t)
		k.columns = append(k.columns, col)
	}
	for {
		chunk := bindings.FetchChunk(*res)
		if chunk.Ptr == nil {
			if text := bindings.ResultError(res); text != "" {
				return errorOf(bindings.ResultErrorType(res), text)
			}
			return nil
		}
		k.load(chunk)
		err := error(nil)
		if k.rows > 0 {
			err = each(k)
		}
		bindings.DestroyDataChunk(&chunk)
		if err != nil {
			return err
		}
	}
}

// Quote returns a text as an SQL string.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Name returns a text as an SQL identifier.
func Name(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
