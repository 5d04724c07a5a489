package clickhouse

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	conns "github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/sql"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/table"
)

// Options say where the database is.
type Options struct {
	// DSN is "clickhouse://user:password@host:9000/database" (native) or
	// "http://user:password@host:8123/database".
	DSN string
	// Keep is how long rows are kept; 0 means 30 days.
	Keep time.Duration
	// MaxMemory is what one question may use, in bytes; 0 means 1 GiB.
	MaxMemory int64
}

// Store is a connection to one database. It is safe for concurrent use, and a query.Engine
// whose dialect is sql.ClickHouse.
type Store struct {
	o        Options
	conn     conns.Conn
	database string
	tables   map[string]*table.Table
}

// Open connects to the database and makes the tables that it lacks.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Keep <= 0 {
		o.Keep = 30 * 24 * time.Hour
	}
	if o.MaxMemory <= 0 {
		o.MaxMemory = 1 << 30
	}
	parsed, err := driver.ParseDSN(o.DSN)
	if err != nil {
		// The text of the error may hold the password.
		return nil, fault.New(fault.Invalid, "the address of ClickHouse cannot be read").WithNext(`write it as clickhouse://user:password@host:9000/database`)
	}
	if parsed.Auth.Database == "" {
		parsed.Auth.Database = "default"
	}
	conn, err := driver.Open(parsed)
	if err != nil {
		return nil, fmt.Errorf("opening ClickHouse: %w", err)
	}
	s := &Store{o: o, conn: conn, database: parsed.Auth.Database, tables: map[string]*table.Table{}}
	for _, t := range table.Catalog() {
		if t.Virtual {
			continue
		}
		s.tables[t.Name] = t
		if err := conn.Exec(ctx, DDL(s.database, t, o.Keep)); err != nil {
			return nil, errors.Join(s.explain(ctx, err), conn.Close())
		}
	}
	return s, nil
}

// Close ends the connections.
func (s *Store) Close() error { return s.conn.Close() }

// Append stores batches, one insert each. A batch with an ID that was stored before is not
// stored again.
func (s *Store) Append(ctx context.Context, batches []*table.Batch) error {
	for _, b := range batches {
		if err := s.append(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) append(ctx context.Context, b *table.Batch) error {
	t, ok := s.tables[b.Table]
	if !ok {
		return fault.New(fault.Invalid, "there is no table %s in ClickHouse", b.Table)
	}
	if b.Rows() == 0 {
		return nil
	}
	settings := driver.Settings{"max_partitions_per_insert_block": 1000}
	if b.ID != ([16]byte{}) {
		settings["insert_deduplication_token"] = hex.EncodeToString(b.ID[:])
	}
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = quote(c.Name)
	}
	in, err := s.conn.PrepareBatch(driver.Context(ctx, driver.WithSettings(settings)),
		"INSERT INTO "+quote(s.database)+"."+quote(t.Name)+" ("+strings.Join(names, ", ")+")")
	if err != nil {
		return s.explain(ctx, err)
	}
	defer in.Close()
	for i, c := range t.Columns {
		v := table.Nulls(c.Kind, b.Rows())
		if at := b.Index(c.Name); at >= 0 {
			if v = b.Vectors[at]; v.Kind != c.Kind {
				return fault.New(fault.Invalid, "column %s of %s is %s, not %s", c.Name, t.Name, v.Kind, c.Kind)
			}
		}
		if err := in.Column(i).Append(values(v, c.Name == table.TimeGenerated)); err != nil {
			return fmt.Errorf("appending column %s of %s: %w", c.Name, t.Name, err)
		}
	}
	if err := in.Send(); err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

// values gives a vector in the form of the driver's columns: pointers where a value may be
// null.
func values(v table.Vector, never bool) any {
	switch {
	case v.Kind == table.String || v.Kind == table.GUID || v.Kind == table.Dynamic:
		return v.Text
	case never:
		return v.Int
	case v.Kind == table.Bool:
		return pointers(v, len(v.Int), func(i int) bool { return v.Int[i] != 0 })
	case v.Kind == table.Int:
		return pointers(v, len(v.Int), func(i int) int32 { return int32(v.Int[i]) })
	case v.Kind == table.Real || v.Kind == table.Decimal:
		return pointers(v, len(v.Real), func(i int) float64 { return v.Real[i] })
	}
	return pointers(v, len(v.Int), func(i int) int64 { return v.Int[i] })
}

func pointers[T any](v table.Vector, n int, at func(i int) T) []*T {
	out := make([]*T, n)
	for i := range out {
		if !v.IsNull(i) {
			x := at(i)
			out[i] = &x
		}
	}
	return out
}

// Statement puts the scans of a question before it, each a subquery of that name over a
// table of the database.
func Statement(database string, q lake.Query) (string, error) {
	scans := make([]string, len(q.Scans))
	for i, s := range q.Scans {
		text, err := scan(database, s)
		if err != nil {
			return "", err
		}
		scans[i] = quote(s.Name) + " AS (" + text + ")"
	}
	return "WITH " + strings.Join(scans, ", ") + " " + q.SQL, nil
}

// scan is the rows that a question may read of one table.
func scan(database string, s lake.Scan) (string, error) {
	t := table.ByName(s.Table)
	if t == nil || t.Virtual {
		return "", fault.New(fault.Invalid, "there is no table %s in ClickHouse", s.Table)
	}
	columns := s.Columns
	if columns == nil {
		for _, c := range t.Columns {
			columns = append(columns, c.Name)
		}
	}
	names := []string{"1 AS `rows of `"} // for a question that reads no column
	for _, c := range columns {
		if t.Place(c) < 0 {
			return "", fault.New(fault.Invalid, "table %s has no column %s", t.Name, c)
		}
		names = append(names, quote(c))
	}
	where := []string{"1"}
	if !s.All {
		where = append(where, quote(table.Project)+" = "+sql.ClickHouse().Text(s.Project))
	}
	if s.From > 0 {
		where = append(where, fmt.Sprintf("%s >= %d", quote(table.TimeGenerated), s.From))
	}
	if s.To > 0 {
		where = append(where, fmt.Sprintf("%s < %d", quote(table.TimeGenerated), s.To))
	}
	return fmt.Sprintf("SELECT %s FROM %s.%s WHERE %s", strings.Join(names, ", "), quote(database), quote(t.Name), strings.Join(where, " AND ")), nil
}

// Query answers a question in ClickHouse's dialect. fault.TooLarge: more memory or time
// than it is given. fault.Invalid: it could not be computed. Unavailable: ClickHouse is away.
func (s *Store) Query(ctx context.Context, q lake.Query) (*lake.Answer, error) {
	begin := time.Now()
	text, err := Statement(s.database, q)
	if err != nil {
		return nil, err
	}
	if q.Timeout <= 0 {
		q.Timeout = time.Minute
	}
	if q.MaxRows <= 0 {
		q.MaxRows = 500_000
	}
	if q.MaxBytes <= 0 {
		q.MaxBytes = 64 << 20
	}
	ctx, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	out := &lake.Answer{}
	rows, err := s.conn.Query(driver.Context(ctx, driver.WithSettings(driver.Settings{
		"max_memory_usage": s.o.MaxMemory, "max_execution_time": int(q.Timeout.Seconds()) + 1, "readonly": 2,
	}), driver.WithProgress(func(p *driver.Progress) { out.Stats.Rows += visible(q, p) })), text)
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	defer rows.Close()
	r := newReader(q.Columns)
	for rows.Next() {
		if r.rows == q.MaxRows || r.bytes > q.MaxBytes {
			out.Truncated = true
			break
		}
		if err := rows.Scan(r.targets...); err != nil {
			return nil, fmt.Errorf("reading an answer of ClickHouse: %w", err)
		}
		r.take()
	}
	if err := rows.Err(); err != nil {
		return nil, s.explain(ctx, err)
	}
	out.Batch = r.batch
	out.Stats.Milliseconds = float64(time.Since(begin)) / float64(time.Millisecond)
	return out, nil
}

// visible is how many of the rows that ClickHouse has read the asker may be told of: it
// reads whole granules, in which there may be rows of other projects.
func visible(q lake.Query, p *driver.Progress) int64 {
	for _, s := range q.Scans {
		if !s.All {
			return 0
		}
	}
	return int64(p.Rows)
}

// The codes of exceptions that have a kind of their own (src/Common/ErrorCodes.cpp).
const (
	codeTimeout     = 159
	codeTooSlow     = 160
	codeMemory      = 241
	codeTooManyRows = 396
)

// explain gives an error of the driver its kind. Its text may name what the question held,
// never more.
func (s *Store) explain(ctx context.Context, err error) error {
	var x *driver.Exception
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.Wrap(fault.TooLarge, err, "the query took longer than it may").WithNext("narrow its time or add a condition")
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.As(err, &x):
		return fault.Wrap(fault.Unavailable, err, "ClickHouse does not answer").WithNext("try again in a moment")
	}
	switch x.Code {
	case codeTimeout, codeTooSlow, codeMemory, codeTooManyRows:
		return fault.Wrap(fault.TooLarge, err, "the query needs more memory or time than it may have").WithNext("narrow its time, add a condition, or summarize earlier")
	}
	return fault.Wrap(fault.Invalid, err, "ClickHouse could not compute the query")
}
