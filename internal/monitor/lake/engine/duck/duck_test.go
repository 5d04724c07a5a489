//go:build cgo

package duck_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"towpath.dev/towpath/internal/monitor/lake/engine/duck"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/table/sqltype"
)

func connect(t *testing.T, memory int64, folder string) *duck.Conn {
	t.Helper()
	db, err := duck.Open(duck.Settings{Memory: memory, Temp: filepath.Join(t.TempDir(), "tmp"), Spill: 1 << 20, Threads: 2, Folders: []string{folder}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	c, err := db.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// every returns rows of every kind, more than a chunk has.
func every(rows int) *table.Batch {
	b := &table.Batch{}
	for k := table.Bool; k <= table.Dynamic; k++ {
		v := table.NewVector(k, rows)
		for i := range rows {
			switch {
			case k == table.GUID || k == table.String || k == table.Dynamic:
				v.AppendText(strings.Repeat("ä", i%40))
			case i%7 == 3:
				v.AppendNull()
			case k == table.Real || k == table.Decimal:
				v.AppendReal([]float64{1.5, math.Inf(1), -0.25}[i%3])
			case k == table.Bool:
				v.AppendInt(int64(i % 2))
			case k == table.Int:
				v.AppendInt(math.MinInt32 + int64(i))
			default:
				v.AppendInt(math.MaxInt64 - int64(i))
			}
		}
		b.Columns = append(b.Columns, table.Column{Name: k.String(), Kind: k})
		b.Vectors = append(b.Vectors, v)
	}
	return b
}

func ask(c *duck.Conn, sql string, columns []table.Column) (*table.Batch, error) {
	out := &table.Batch{Columns: columns, Vectors: make([]table.Vector, len(columns))}
	for i, col := range columns {
		out.Vectors[i] = table.Vector{Kind: col.Kind}
	}
	err := c.Query(context.Background(), sql, func(k *duck.Chunk) error {
		for i := range columns {
			if _, err := k.AppendTo(&out.Vectors[i], i, k.Rows()); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func TestRowsComeOutAsTheyWentIn(t *testing.T) {
	c := connect(t, 1<<28, t.TempDir())
	want := every(5000)
	ddl := "CREATE TABLE x ("
	for i, col := range want.Columns {
		if i > 0 {
			ddl += ", "
		}
		ddl += duck.Name(col.Name) + " " + sqltype.DuckDB(col.Kind)
	}
	if err := c.Exec(t.Context(), ddl+")"); err != nil {
		t.Fatal(err)
	}
	if err := c.Append("x", want.Columns, []*table.Batch{want.Slice(0, 100), want.Slice(100, 5000)}); err != nil {
		t.Fatal(err)
	}
	got, err := ask(c, "SELECT * FROM x", want.Columns)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestNumbersAreConverted(t *testing.T) {
	c := connect(t, 1<<28, t.TempDir())
	for sql, want := range map[string]any{
		"SELECT sum(x) FROM range(10) t(x)":           int64(45), // HUGEINT
		"SELECT -5::HUGEINT":                          int64(-5),
		"SELECT 200::UTINYINT":                        int64(200),
		"SELECT 3::USMALLINT":                         int64(3),
		"SELECT true":                                 int64(1),
		"SELECT 12.5::DECIMAL(10,3)":                  12.5,
		"SELECT 1.5::FLOAT":                           1.5,
		"SELECT 7":                                    7.0,
		"SELECT 100000000000000000000::HUGEINT":       1e20,
		"SELECT 1234567890123456789.5::DECIMAL(38,1)": 1234567890123456789.5,
	} {
		kind := table.Long
		if _, ok := want.(float64); ok {
			kind = table.Real
		}
		got, err := ask(c, sql, []table.Column{{Name: "n", Kind: kind}})
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		if v := got.Vectors[0]; kind == table.Long && v.Int[0] != want || kind == table.Real && v.Real[0] != want {
			t.Errorf("%s = %v %v, want %v", sql, v.Int, v.Real, want)
		}
	}
	for _, sql := range []string{"SELECT 100000000000000000000::HUGEINT", "SELECT 'x'", "SELECT [1]", "SELECT now()"} {
		if _, err := ask(c, sql, []table.Column{{Name: "n", Kind: table.Long}}); err == nil {
			t.Errorf("%s went into a long", sql)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	c := connect(t, 64<<20, t.TempDir())
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context
		sql  string
		want duck.Reason
	}{
		"syntax":        {t.Context(), "SELEKT", duck.Wrong},
		"a value":       {t.Context(), "SELECT 'x'::INTEGER", duck.Wrong},
		"memory":        {t.Context(), "SELECT list(x || repeat('y', 1000)) FROM range(10000000) t(x)", duck.OutOfMemory},
		"time":          {short, "SELECT sum(range % 7) FROM range(1000000000000)", duck.Interrupted},
		"outside":       {t.Context(), "SELECT * FROM read_text('/etc/passwd')", duck.Wrong},
		"writing":       {t.Context(), "COPY (SELECT 1) TO '/tmp/duck-test.csv'", duck.Wrong},
		"an extension":  {t.Context(), "INSTALL httpfs", duck.Wrong},
		"a setting":     {t.Context(), "SET memory_limit='10GB'", duck.Wrong},
		"another file":  {t.Context(), "ATTACH '/tmp/duck-test.db'", duck.Wrong},
		"two of them":   {t.Context(), "SELECT 1; SELECT 2", duck.Wrong},
		"not there":     {t.Context(), "SELECT * FROM nothing", duck.Wrong},
		"over the wire": {t.Context(), "SELECT * FROM read_parquet('https://example.com/x.parquet')", duck.Wrong},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Query(tt.ctx, tt.sql, func(*duck.Chunk) error { return nil })
			var d *duck.Error
			if !errors.As(err, &d) || d.Reason != tt.want {
				t.Errorf("%v, reason %+v, want %v", err, d, tt.want)
			}
		})
	}
	if err := c.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
