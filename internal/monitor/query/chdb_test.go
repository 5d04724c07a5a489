//go:build chdb

package query_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/clickhouse"
	plan "towpath.dev/towpath/internal/monitor/kql/sql"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/table/sqltype"
)

// chdb is ClickHouse in this process: libchdb.so of the npm package
// @chdb/lib-linux-x64-gnu, of which TOWPATH_CHDB is the path.
type chdb struct {
	conn    uintptr
	query   func(conn uintptr, text, format string) uintptr
	buffer  func(result uintptr) uintptr
	length  func(result uintptr) uint64
	failure func(result uintptr) string
	free    func(result uintptr)
	failed  error
}

func openChdb(t *testing.T) *chdb {
	t.Helper()
	path := os.Getenv("TOWPATH_CHDB")
	if path == "" {
		t.Fatal("set TOWPATH_CHDB to the path of libchdb.so (npm pack @chdb/lib-linux-x64-gnu)")
	}
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		t.Fatal(err)
	}
	c := &chdb{}
	var connect func(argc int32, argv unsafe.Pointer) uintptr
	purego.RegisterLibFunc(&connect, lib, "chdb_connect")
	purego.RegisterLibFunc(&c.query, lib, "chdb_query")
	purego.RegisterLibFunc(&c.buffer, lib, "chdb_result_buffer")
	purego.RegisterLibFunc(&c.length, lib, "chdb_result_length")
	purego.RegisterLibFunc(&c.failure, lib, "chdb_result_error")
	purego.RegisterLibFunc(&c.free, lib, "chdb_destroy_query_result")
	args := [][]byte{[]byte("clickhouse\x00"), []byte("--path=" + t.TempDir() + "\x00")}
	argv := []*byte{&args[0][0], &args[1][0], nil}
	handle := connect(2, unsafe.Pointer(&argv[0]))
	if handle == 0 {
		t.Fatal("chdb_connect returned nothing")
	}
	c.conn = *(*uintptr)(unsafe.Pointer(handle))
	return c
}

func (c *chdb) run(text, format string) ([]byte, error) {
	r := c.query(c.conn, text, format)
	defer c.free(r)
	if f := c.failure(r); f != "" {
		return nil, fault.New(fault.Invalid, "%s", f)
	}
	n := c.length(r)
	if n == 0 {
		return nil, nil
	}
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(c.buffer(r))), n)), nil
}

// load makes the tables as the store does and fills them.
func (c *chdb) load(t *testing.T, batches []*table.Batch) {
	t.Helper()
	for _, b := range batches {
		if _, err := c.run(clickhouse.DDL("default", table.ByName(b.Table), 365*24*time.Hour), "CSV"); err != nil {
			t.Fatal(err)
		}
		var in strings.Builder
		fmt.Fprintf(&in, "INSERT INTO `%s` SETTINGS max_partitions_per_insert_block = 1000 FORMAT JSONEachRow\n", b.Table)
		for i := range b.Rows() {
			row := map[string]any{}
			for k, v := range b.Vectors {
				row[b.Columns[k].Name] = cellOf(v, i)
			}
			line, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			in.Write(append(line, '\n'))
		}
		if _, err := c.run(in.String(), "CSV"); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *chdb) Query(_ context.Context, q lake.Query) (*lake.Answer, error) {
	a, err := c.answer(q)
	if err != nil {
		c.failed = fmt.Errorf("%w\n%s", err, q.SQL)
	}
	return a, err
}

func (c *chdb) answer(q lake.Query) (*lake.Answer, error) {
	text, err := clickhouse.Statement("default", q)
	if err != nil {
		return nil, err
	}
	raw, err := c.run(text+", output_format_json_quote_denormals = 1, output_format_json_quote_64bit_integers = 1, output_format_json_escape_forward_slashes = 0", "JSONCompactEachRow")
	if err != nil {
		return nil, err
	}
	out := &table.Batch{Columns: q.Columns}
	for _, col := range q.Columns {
		out.Vectors = append(out.Vectors, table.NewVector(col.Kind, 0))
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for d.More() {
		var row []any
		if err := d.Decode(&row); err != nil {
			return nil, err
		}
		for i := range out.Vectors {
			if err := read(&out.Vectors[i], row[i]); err != nil {
				return nil, fmt.Errorf("column %s: %w", q.Columns[i].Name, err)
			}
		}
	}
	return &lake.Answer{Batch: out}, nil
}

// read adds a cell as ClickHouse writes it in JSON.
func read(v *table.Vector, cell any) error {
	want := sqltype.DuckDB(v.Kind)
	switch x := cell.(type) {
	case nil:
		if want == "VARCHAR" {
			return fmt.Errorf("NULL in a text")
		}
		v.AppendNull()
		return nil
	case bool:
		return put(v, x)
	case json.Number:
		if want == "INTEGER" || want == "BIGINT" {
			n, err := x.Int64()
			v.AppendInt(n)
			return err
		}
		f, err := x.Float64()
		v.AppendReal(f)
		return err
	case string:
		switch want {
		case "VARCHAR":
			v.AppendText(x)
			return nil
		case "BIGINT":
			n, err := strconv.ParseInt(x, 10, 64)
			v.AppendInt(n)
			return err
		case "DOUBLE":
			f, ok := map[string]float64{"nan": math.NaN(), "-nan": math.NaN(), "inf": math.Inf(1), "-inf": math.Inf(-1)}[x]
			if !ok {
				return fmt.Errorf("%q for a real", x)
			}
			v.AppendReal(f)
			return nil
		}
	}
	return fmt.Errorf("%T for %s", cell, want)
}

// TestClickHouseAnswersAsTheExecutor asks ClickHouse itself every query of the corpus, and
// every operator with every value. (A process may have one connection to chdb.)
func TestClickHouseAnswersAsTheExecutor(t *testing.T) {
	c := openChdb(t)
	batches, tables := sample(11, 400)
	c.load(t, batches)
	r := query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: c, Dialect: plan.ClickHouse()})
	failed := func() error {
		defer func() { c.failed = nil }()
		return c.failed
	}
	t.Run("corpus", func(t *testing.T) { wholeCorpus(t, r, tables, failed) })
	t.Run("operators", func(t *testing.T) { everyOperator(t, r, tables, failed) })
	t.Run("odd values", func(t *testing.T) {
		if _, err := c.run("TRUNCATE TABLE AppRequests", "CSV"); err != nil {
			t.Fatal(err)
		}
		batches, tables := odd(false)
		c.load(t, batches)
		oddQueries(t, r, tables, failed)
	})
}
