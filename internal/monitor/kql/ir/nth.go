package ir

import "towpath.dev/towpath/internal/monitor/table"

// Nth is one of the values of a function that makes several columns: series_fit_line,
// series_fit_2lines, series_decompose, series_decompose_anomalies, series_stats,
// series_periods_detect. N counts from 0 in the order of the documentation. The
// expressions of one operator that stand for columns of one call share its Call, so that
// it is computed once.
type Nth struct {
	At
	K    table.Kind
	Call *Call
	N    int
}

// Kind returns the type of the value.
func (e Nth) Kind() table.Kind { return e.K }
