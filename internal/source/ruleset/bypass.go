package ruleset

import (
	"context"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
)

// Passes reports whether an actor may merge into a branch, given by its short name, in
// spite of what the active rulesets demand of a pull request: there is one, and every one
// that covers the branch names him on its bypass list. The actor needs the role read.
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
		if set.Enforcement != Active || !set.covers(r, "refs/heads/"+branch) {
			continue
		}
		passes, err := s.listed(ctx, source.Push{Repo: r, Actor: actor}, set.Bypass)
		if err != nil || !passes {
			return false, err
		}
		some = true
	}
	return some, nil
}
