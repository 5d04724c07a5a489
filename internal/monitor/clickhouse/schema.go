package clickhouse

import (
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/table/sqltype"
)

// quote writes an identifier. Those of the catalogue are words; a database's name may be
// anything.
func quote(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// columnType is the type of a stored column. Words that repeat within a block are kept in
// a dictionary; time is never null, because tables are ordered by it.
func columnType(c table.Column) string {
	switch {
	case c.Name == table.TimeGenerated:
		return "Int64 CODEC(Delta, ZSTD(1))"
	case c.Kind == table.String && repeats(c.Name):
		return "LowCardinality(String)"
	}
	kept := sqltype.ClickHouse(c.Kind)
	if kept == "String" {
		return kept + " CODEC(ZSTD(1))"
	}
	return kept
}

// repeats reports whether a column has few different values.
func repeats(name string) bool {
	switch name {
	case "Computer", "ContainerName", "PodNamespace", "LogSource", "LogLevel", "Namespace", "ObjectKind", "Reason", "KubeEventType", "AppRoleName", "TenantId",
		"SourceSystem", "Type", "Project", "Environment", "Release", "ImageDigest", "ResultCode", "DependencyType", "PerformanceBucket", "ClusterName", "ClusterId", "SDKVersion":
		return true
	}
	return false
}

// DDL returns the statement that makes a table, whose rows are dropped after keep.
func DDL(database string, t *table.Table, keep time.Duration) string {
	var lines []string
	for _, c := range t.Columns {
		lines = append(lines, "  "+quote(c.Name)+" "+columnType(c))
	}
	for _, name := range t.Search {
		// The planner looks for parts of the lowered text with LIKE.
		lines = append(lines, fmt.Sprintf("  INDEX %s lowerUTF8(%s) TYPE ngrambf_v1(4, 65536, 3, 0) GRANULARITY 1", quote("words of "+name), quote(name)))
	}
	order := []string{quote(table.Project)}
	for _, name := range t.Sorted {
		order = append(order, quote(name))
	}
	order = append(order, quote(table.TimeGenerated))
	const day = 24 * 3600 * table.TicksPerSecond
	seconds := fmt.Sprintf("intDiv(%s - %d, %d)", quote(table.TimeGenerated), table.TicksOf(time.Unix(0, 0)), table.TicksPerSecond)
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s.%s (\n%s\n) ENGINE = MergeTree\nPARTITION BY intDiv(%s, %d)\nORDER BY (%s)\n"+
		"TTL toDateTime(greatest(0, least(%s, 4294967295))) + INTERVAL %d SECOND\nSETTINGS non_replicated_deduplication_window = 1000",
		quote(database), quote(t.Name), strings.Join(lines, ",\n"), quote(table.TimeGenerated), int64(day), strings.Join(order, ", "), seconds, int64(keep.Seconds()))
}
