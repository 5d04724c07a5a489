package ir

import "towpath.dev/towpath/internal/monitor/table"

// Given is a table that lies there already. The binder never makes one: the planner puts
// it in the place of a sub-tree that an engine answers, and fills in Batch before the
// executor begins. The columns of Batch are Cols, in order.
type Given struct {
	Out
	Batch *table.Batch
}
