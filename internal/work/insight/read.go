package insight

import (
	"cmp"
	"context"
	"slices"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Signals lists the signals of a project, the last seen first. It needs read.
func (s *Service) Signals(ctx context.Context, a identity.Actor, project string, f Filter) ([]Signal, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 200
	}
	rows, err := list(ctx, s.DB, `project = ? AND (state = ? OR ? = '') AND (source = ? OR ? = '') AND (environment = ? OR ? = '') AND (item = ? OR ? = 0)
		ORDER BY last_seen DESC, sig_key LIMIT ?`, project, f.State, f.State, f.Source, f.Source, f.Environment, f.Environment, f.Item, f.Item, min(limit, 1000))
	if err != nil {
		return nil, err
	}
	return signals(rows), nil
}

func signals(rows []row) []Signal {
	out := make([]Signal, len(rows))
	for i, r := range rows {
		out[i] = r.Signal
	}
	return out
}

// Signal returns one signal of a project. It needs read.
func (s *Service) Signal(ctx context.Context, a identity.Actor, project, key string) (Signal, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Signal{}, err
	}
	r, ok, err := find(ctx, s.DB, project, key)
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "There is no signal %.40q in project %s.", key, project).WithNext("list them with `towpath insight list`")
	}
	return r.Signal, err
}

// Cause returns what is known behind an item of a project that signals opened: what is
// suspected, who owns it, what it costs, and the signals, the most telling first. It needs
// read; it is fault.NotFound for an item that no signal opened.
func (s *Service) Cause(ctx context.Context, a identity.Actor, project string, item int64) (Cause, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Cause{}, err
	}
	none := fault.New(fault.NotFound, "No signal opened item %d of project %s.", item, project)
	c, ok, err := causeOf(ctx, s.DB, item)
	if err != nil {
		return c, err
	}
	if !ok || c.Project != project {
		return Cause{}, none
	}
	rows, err := list(ctx, s.DB, `item = ? AND project = ? ORDER BY first_seen, sig_key LIMIT 500`, item, project)
	if err != nil {
		return c, err
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(rank(a.Source), rank(b.Source)) })
	c.Signals = signals(rows)
	return c, nil
}
