package pull

import (
	"context"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
)

func later() error { return fault.New(fault.Unavailable, "Pull requests are not served yet.") }

// Run hears of pushes and keeps the pull requests up to date, until ctx ends; it then
// returns nil. One process runs it.
func (s *Service) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Open opens a pull request; the actor is a person with the role write.
func (s *Service) Open(ctx context.Context, a identity.Actor, repo string, p Proposal) (Pull, error) {
	return Pull{}, later()
}

// List returns the pull requests of a project's repositories, the newest first; more
// says that there are others. The actor needs the role read, as for all that only reads.
func (s *Service) List(ctx context.Context, a identity.Actor, project string, f Filter) (list []Pull, more bool, err error) {
	return nil, false, later()
}

// Get returns one pull request.
func (s *Service) Get(ctx context.Context, a identity.Actor, repo string, n int64) (Pull, error) {
	return Pull{}, later()
}

// Edit changes title, body, target or draft; the author may, and whoever holds write.
func (s *Service) Edit(ctx context.Context, a identity.Actor, repo string, n int64, e Edit) (Pull, error) {
	return Pull{}, later()
}

// Close closes a pull request without merging it.
func (s *Service) Close(ctx context.Context, a identity.Actor, repo string, n int64) (Pull, error) {
	return Pull{}, later()
}

// Reopen opens a closed pull request again.
func (s *Service) Reopen(ctx context.Context, a identity.Actor, repo string, n int64) (Pull, error) {
	return Pull{}, later()
}

// Request asks users for their review.
func (s *Service) Request(ctx context.Context, a identity.Actor, repo string, n int64, users []string) (Pull, error) {
	return Pull{}, later()
}

// Diff compares base and head.
func (s *Service) Diff(ctx context.Context, a identity.Actor, repo string, n int64) (git.Diff, error) {
	return git.Diff{}, later()
}

// Commits returns the commits from the base to the head, the oldest first, at most 250.
func (s *Service) Commits(ctx context.Context, a identity.Actor, repo string, n int64) ([]git.Commit, error) {
	return nil, later()
}

// Paths lists the paths that differ between base and head.
func (s *Service) Paths(ctx context.Context, a identity.Actor, repo string, n int64) ([]string, error) {
	return nil, later()
}

// Comment starts a thread on a line, or adds a comment to the conversation.
func (s *Service) Comment(ctx context.Context, a identity.Actor, repo string, n int64, r Remark) (Thread, error) {
	return Thread{}, later()
}

// Reply adds a comment to a thread.
func (s *Service) Reply(ctx context.Context, a identity.Actor, repo string, n int64, thread, body string) (Thread, error) {
	return Thread{}, later()
}

// Resolve ends a thread, or takes it up again.
func (s *Service) Resolve(ctx context.Context, a identity.Actor, repo string, n int64, thread string, resolved bool) (Thread, error) {
	return Thread{}, later()
}

// Threads returns the threads on lines, in the order in which they were begun.
func (s *Service) Threads(ctx context.Context, a identity.Actor, repo string, n int64) ([]Thread, error) {
	return nil, later()
}

// Review records what a person says about the head.
func (s *Service) Review(ctx context.Context, a identity.Actor, repo string, n int64, j Judgement) (Review, error) {
	return Review{}, later()
}

// Reviews returns the reviews, the oldest first.
func (s *Service) Reviews(ctx context.Context, a identity.Actor, repo string, n int64) ([]Review, error) {
	return nil, later()
}

// Dismiss takes a review out of the count; the actor holds maintain and says why.
func (s *Service) Dismiss(ctx context.Context, a identity.Actor, repo string, n int64, review, why string) (Review, error) {
	return Review{}, later()
}

// Timeline returns everything that happened, the oldest first.
func (s *Service) Timeline(ctx context.Context, a identity.Actor, repo string, n int64) ([]Entry, error) {
	return nil, later()
}

// State returns what stands between the pull request and its merge by this actor.
func (s *Service) State(ctx context.Context, a identity.Actor, repo string, n int64) (Gate, error) {
	return Gate{}, later()
}

// Merge merges the pull request: fault.Denied with the blocks as *Blocked inside when it
// may not be merged, fault.Conflict when the head is not the one expected.
func (s *Service) Merge(ctx context.Context, a identity.Actor, repo string, n int64, m Merge) (Pull, error) {
	return Pull{}, later()
}

// Report records a check of a commit (its full hash), as reported by the actor, who
// needs the role write.
func (s *Service) Report(ctx context.Context, a identity.Actor, repo, commit string, c Check) (Check, error) {
	return Check{}, later()
}

// Checks returns the newest check of each name and source on a commit, without their
// annotations.
func (s *Service) Checks(ctx context.Context, a identity.Actor, repo, commit string) ([]Check, error) {
	return nil, later()
}

// Annotations returns the checks of a commit that have annotations, with them, at most
// 5,000 annotations in all.
func (s *Service) Annotations(ctx context.Context, a identity.Actor, repo, commit string) ([]Check, error) {
	return nil, later()
}
