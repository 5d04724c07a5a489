package monitor

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/kube"
	"towpath.dev/towpath/internal/monitor/metric"
)

// Cluster says how what runs is; kube.Watcher is one.
type Cluster interface {
	// Health returns the workloads of a project, or all, the worst first.
	Health(ctx context.Context, project string, all bool) ([]kube.Workload, error)
	// Top returns what the pods of a project use, or every pod and node.
	Top(ctx context.Context, project string, all bool) (kube.Top, error)
}

// Metrics answers PromQL; metric.Store is one.
type Metrics interface {
	// Instant evaluates an expression at a moment; zero is now.
	Instant(ctx context.Context, in metric.Scope, expr string, at time.Time) ([]metric.Point, error)
	// Range evaluates an expression at each step from start to end, both included.
	Range(ctx context.Context, in metric.Scope, expr string, start, end time.Time, step time.Duration) ([]metric.Series, error)
}

// Workloads returns how the workloads of a scope are, the worst first.
func (s *Service) Workloads(ctx context.Context, a identity.Actor, in Scope) ([]kube.Workload, error) {
	if err := s.require(ctx, a, in); err != nil {
		return nil, err
	}
	return s.Cluster.Health(ctx, in.Project, in.All)
}

// Top returns what the pods of a scope use; with all the nodes, too.
func (s *Service) Top(ctx context.Context, a identity.Actor, in Scope) (kube.Top, error) {
	if err := s.require(ctx, a, in); err != nil {
		return kube.Top{}, err
	}
	return s.Cluster.Top(ctx, in.Project, in.All)
}

// Instant evaluates a PromQL expression at a moment; zero is now.
func (s *Service) Instant(ctx context.Context, a identity.Actor, in Scope, expr string, at time.Time) ([]metric.Point, error) {
	if err := s.require(ctx, a, in); err != nil {
		return nil, err
	}
	return s.Metrics.Instant(ctx, metric.Scope{Project: in.Project, All: in.All}, expr, at)
}

// maxSteps is how many points a series may have, as in Prometheus' own HTTP API.
const maxSteps = 11_000

// Range evaluates a PromQL expression at each step from start to end.
func (s *Service) Range(ctx context.Context, a identity.Actor, in Scope, expr string, start, end time.Time, step time.Duration) ([]metric.Series, error) {
	if err := s.require(ctx, a, in); err != nil {
		return nil, err
	}
	switch {
	case step <= 0:
		return nil, fault.New(fault.Invalid, "The step %s is none.", step).WithNext("give one above zero, e.g. 15s")
	case end.Before(start):
		return nil, fault.New(fault.Invalid, "The end %s lies before the start.", end.Format(time.RFC3339))
	case end.Sub(start)/step > maxSteps:
		return nil, fault.New(fault.TooLarge, "Steps of %s make more than %d points.", step, maxSteps).WithNext("take a longer step, or a shorter time")
	}
	return s.Metrics.Range(ctx, metric.Scope{Project: in.Project, All: in.All}, expr, start, end, step)
}
