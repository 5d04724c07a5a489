//go:build cgo

package query_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// benchLines is how many lines the benchmarks look at: TOWPATH_BENCH_LINES, or 200,000.
func benchLines(b *testing.B) int {
	n, err := strconv.Atoi(os.Getenv("TOWPATH_BENCH_LINES"))
	if err != nil {
		return 200_000
	}
	return n
}

// accessLog makes lines of a web server, oldest first, over a day.
func accessLog(r *rand.Rand, from, n, all int) *table.Batch {
	b := table.NewBuilder(table.ByName(table.ContainerLogV2))
	step := 24 * time.Hour / time.Duration(all)
	for i := range n {
		b.Next()
		b.Set(table.TimeGenerated, now.Add(-24*time.Hour+time.Duration(from+i)*step))
		level, verdict := "INFO", "served"
		if r.IntN(50) == 0 {
			level, verdict = "ERROR", "refused"
		}
		id := r.Uint64()
		b.Set("LogMessage", fmt.Sprintf(`"GET /api/v1/orders/%d HTTP/1.1 %s in %d ms for user-%d trace %016x"`, r.IntN(100_000), verdict, r.IntN(900), r.IntN(5000), id))
		b.Set("LogLevel", level)
		b.Set("PodName", fmt.Sprintf("cart-%d", r.IntN(20)))
		b.Set("PodNamespace", "shop")
		b.Set("Computer", "node-1")
		b.Set("ContainerName", "cart")
		b.Set("LogSource", "stdout")
		b.Set(table.Project, "shop")
	}
	return b.Batch([16]byte{})
}

// BenchmarkQueries asks the lake through the planner, and beside it a plain DuckDB that has
// the same four columns as a table.
func BenchmarkQueries(b *testing.B) {
	n := benchLines(b)
	e, err := engine.Open(b.Context(), lake.Options{Dir: b.TempDir(), MinFree: 1}, clock.Fixed(now, 0), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	fill(b, e, db, n)
	r := query.New(query.Options{Clock: clock.System(), Engine: e})
	for _, q := range []struct{ name, kql, sql string }{
		{"has-rare", `ContainerLogV2 | where LogMessage has "0123456789abcdef" | count`,
			`SELECT count(*) FROM logs WHERE contains(lower(message), '0123456789abcdef') AND regexp_matches(lower(message), '\b0123456789abcdef\b')`},
		{"has-common", `ContainerLogV2 | where LogMessage has "refused" | count`,
			`SELECT count(*) FROM logs WHERE contains(lower(message), 'refused') AND regexp_matches(lower(message), '\brefused\b')`},
		{"contains", `ContainerLogV2 | where LogMessage contains "refuse" | count`, `SELECT count(*) FROM logs WHERE contains(lower(message), 'refuse')`},
		{"timechart", `ContainerLogV2 | summarize count() by bin(TimeGenerated, 1h), LogLevel`, `SELECT time - time % 36000000000, level, count(*) FROM logs GROUP BY 1, 2`},
		{"newest", `ContainerLogV2 | top 100 by TimeGenerated desc`, `SELECT * FROM logs ORDER BY time DESC LIMIT 100`},
	} {
		b.Run(q.name+"/towpath", func(b *testing.B) {
			for b.Loop() {
				if _, err := r.Run(b.Context(), query.Ask{Text: q.kql, Project: "shop"}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(q.name+"/duckdb", func(b *testing.B) {
			for b.Loop() {
				rows, err := db.QueryContext(b.Context(), q.sql)
				if err != nil {
					b.Fatal(err)
				}
				for rows.Next() {
				}
				if err := rows.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fill puts the same lines into both.
func fill(b *testing.B, e *engine.Engine, db *sql.DB, n int) {
	b.Helper()
	ctx := context.Background()
	if _, err := db.ExecContext(ctx, `CREATE TABLE logs (time BIGINT, level VARCHAR, message VARCHAR, pod VARCHAR)`); err != nil {
		b.Fatal(err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	r := rand.New(rand.NewPCG(5, 6))
	err = conn.Raw(func(raw any) error {
		plain, err := duckdb.NewAppenderFromConn(raw.(driver.Conn), "", "logs")
		if err != nil {
			return err
		}
		const chunk = 50_000
		for from := 0; from < n; from += chunk {
			rows := accessLog(r, from, min(chunk, n-from), n)
			binary.LittleEndian.PutUint64(rows.ID[:], uint64(from+1))
			if err := e.Append(ctx, []lake.Sent{{Batch: rows, Raw: table.Encode(nil, rows)}}); err != nil {
				return err
			}
			column := func(name string) table.Vector { return rows.Vectors[rows.Index(name)] }
			for i := range rows.Rows() {
				if err := plain.AppendRow(column(table.TimeGenerated).Int[i], column("LogLevel").Text[i], column("LogMessage").Text[i], column("PodName").Text[i]); err != nil {
					return err
				}
			}
		}
		return plain.Close()
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Seal(ctx); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCompile is what a text costs before anything is asked.
func BenchmarkCompile(b *testing.B) {
	e := &answering{answer: counted(1)}
	r := query.New(query.Options{Clock: clock.System(), Engine: e})
	for b.Loop() {
		e.asked = nil
		if _, err := r.Run(b.Context(), query.Ask{Text: `ContainerLogV2 | where TimeGenerated > ago(1h) and PodNamespace == "shop" and LogMessage has "error" | summarize Count = count()`, Project: "shop"}); err != nil {
			b.Fatal(err)
		}
	}
}
