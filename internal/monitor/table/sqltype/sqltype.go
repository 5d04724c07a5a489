package sqltype

import "towpath.dev/towpath/internal/monitor/table"

// The types of DuckDB.
const (
	Boolean = "BOOLEAN"
	Integer = "INTEGER"
	BigInt  = "BIGINT"
	Double  = "DOUBLE"
	VarChar = "VARCHAR"
)

// DuckDB returns the type in which DuckDB has values of a kind.
func DuckDB(k table.Kind) string {
	switch k {
	case table.Bool:
		return Boolean
	case table.Int:
		return Integer
	case table.Real, table.Decimal:
		return Double
	case table.GUID, table.String, table.Dynamic:
		return VarChar
	}
	return BigInt
}

// clickHouse are the types of ClickHouse beside those of DuckDB.
var clickHouse = map[string]string{
	Boolean: "Nullable(Bool)", Integer: "Nullable(Int32)", BigInt: "Nullable(Int64)", Double: "Nullable(Float64)", VarChar: "String",
}

// ClickHouse returns the type in which ClickHouse has values of a kind. A column that must
// be known to hold no null, as one by which a table is ordered, is the table's own matter.
func ClickHouse(k table.Kind) string { return clickHouse[DuckDB(k)] }
