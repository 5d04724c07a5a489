package ruleset

import (
	"context"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
)

// Passes reports whether the actor may merge into a branch in spite of its requirements:
// there are some, and each ruleset that makes one has him on its bypass list. That he did
// is for the caller to record. The actor needs the role read.
func (s *Service) Passes(ctx context.Context, actor identity.Actor, repo, branch string) (bool, error) {
	r, err := s.may(ctx, actor, repo, identity.Read)
	if err != nil {
		return false, err
	}
	list, err := s.load(ctx, r.FullName())
	if err != nil {
		return false, err
	}
	some := false
	for _, set := range list {
		if set.Enforcement != Active || !set.Rules.demands() || !set.covers(r, "refs/heads/"+branch) {
			continue
		}
		some = true
		ok, err := s.listed(ctx, source.Push{Repo: r, Actor: actor}, set.Bypass)
		if err != nil || !ok {
			return false, err
		}
	}
	return some, nil
}
