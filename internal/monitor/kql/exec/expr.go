package exec

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

// stub
type run struct{}
type frame struct{}

func newRun(ctx context.Context, env Env) *run { return &run{} }
func (r *run) rel(rel ir.Rel) (*frame, error)  { return nil, fault.New(fault.Internal, "not yet") }
func (r *run) expr(e ir.Expr, f *frame) (vec.Vec, error) {
	return vec.Vec{}, fault.New(fault.Internal, "not yet")
}
func (f *frame) batch() *table.Batch { return nil }
func frameOf(b *table.Batch) *frame  { return nil }
func fold(e ir.Expr, now time.Time) (*ir.Lit, error) {
	return nil, fault.New(fault.Internal, "not yet")
}
func constant(e ir.Expr) bool { return false }
func functions() []string     { return nil }
func aggregates() []string    { return nil }
func plugins() []string       { return nil }
