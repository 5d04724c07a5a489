package deploy

import (
	"context"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Values returns the values that the newest revision of a Helm release in an environment
// was given, over those of its chart; fault.NotFound when there is none. They may hold
// secrets, so the actor needs the role maintain.
func (s *Service) Values(ctx context.Context, a identity.Actor, project, env, release string) (map[string]any, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return nil, err
	}
	e, err := s.Environment(ctx, a, project, env)
	if err != nil {
		return nil, err
	}
	if err := s.here(e); err != nil {
		return nil, err
	}
	cfg, err := s.Clusters.Admin(ctx)
	if err != nil {
		return nil, err
	}
	acc, err := newAccess(cfg, e.Namespace)
	if err != nil {
		return nil, err
	}
	h, err := newHelm(acc)
	if err != nil {
		return nil, err
	}
	rel, err := h.last(release)
	if err != nil {
		return nil, err
	}
	if rel == nil {
		return nil, fault.New(fault.NotFound, "There is no release %s in environment %s.", release, env)
	}
	return rel.Config, nil
}
