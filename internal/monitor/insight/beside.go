package insight

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/event"
)

// Beside sets the operations of two releases of an environment beside each other that
// serve at the same time, as a canary and the stable release do, from a moment until now.
// It lists those that are worse by the tests of a comparison, then those of which a
// hundredth more fail although too few were asked to be sure, the worst first, at most 20;
// none when nothing arrived. It asks for no rights: it is for the platform itself.
func (s *Service) Beside(ctx context.Context, project, environment, release, stable string, since time.Time) ([]event.Operation, error) {
	in := Scope{Project: project, Environment: environment, From: since, To: s.Clock.Now()}
	if !in.From.Before(in.To) {
		return nil, nil
	}
	now, err := s.samples(ctx, in, release)
	if err != nil {
		return nil, err
	}
	before, err := s.samples(ctx, in, stable)
	if err != nil {
		return nil, err
	}
	return worse(compare(now, before)), nil
}

// worse keeps the operations that a canary is to be blamed for, in their order.
func worse(ops []event.Operation) []event.Operation {
	var out []event.Operation
	for _, o := range ops {
		if o.Verdict == Worse || o.Verdict == Unclear && o.FailureShare-o.FailureBefore >= minShare {
			out = append(out, o)
		}
	}
	return out[:min(len(out), maxListed)]
}
