package pipeline

import (
	"context"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

func (s *Service) targets(context.Context, identity.Actor, string, string) ([]Target, error) {
	return nil, fault.New(fault.Unavailable, "Targets cannot be read yet.")
}

func (s *Service) startPull(context.Context, PullOrder) (Run, error) {
	return Run{}, fault.New(fault.Unavailable, "Pull requests do not run yet.")
}
