//go:build clickhouse

package query_test

import (
	"os"
	"testing"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/clickhouse"
	plan "towpath.dev/towpath/internal/monitor/kql/sql"
	"towpath.dev/towpath/internal/monitor/query"
)

// TestAGivenClickHouseAnswersAsTheExecutor runs the result tests against the server of
// TOWPATH_CLICKHOUSE_DSN, whose database must be empty: through the client, appends and all.
func TestAGivenClickHouseAnswersAsTheExecutor(t *testing.T) {
	dsn := os.Getenv("TOWPATH_CLICKHOUSE_DSN")
	if dsn == "" {
		t.Fatal("set TOWPATH_CLICKHOUSE_DSN to an empty database")
	}
	s, err := clickhouse.Open(t.Context(), clickhouse.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	batches, tables := sample(11, 400)
	for i := range batches {
		batches[i].ID[0] = byte(i + 1)
	}
	// Sent twice: the second time they count as stored.
	for range 2 {
		if err := s.Append(t.Context(), batches); err != nil {
			t.Fatal(err)
		}
	}
	r := query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: s, Dialect: plan.ClickHouse()})
	wholeCorpus(t, r, tables, func() error { return nil })
	everyOperator(t, r, tables, func() error { return nil })
}
