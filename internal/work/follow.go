package work

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/work/link"
)

// The kinds of jobs that look for references; they read repositories, which the
// transaction of an event must not wait for.
const (
	kindPush = "work.push"
	kindPull = "work.pull"
	// kindAnnounce tells people of an item, which the transaction must not wait for either.
	kindAnnounce = "work.announce"
)

// maxRange is how many commits of one push are looked at, the newest.
const maxRange = 500

// expireEvery is how often insights that were silenced are looked at.
const expireEvery = time.Minute

// follower is the name of the cursor in the logbook.
const follower = "work.links"

// pushed is the payload of a kindPush job.
type pushed struct {
	event.CommitPushed
	Actor string `json:"actor"`
	// Deleted says that the ref is gone, and Commit is what it pointed to. It is one kind of
	// job with pushes, so that a branch is not found after it was lost.
	Deleted bool `json:"deleted,omitempty"`
}

// proposed is the payload of a kindPull job.
type proposed struct {
	event.Pull
	Actor  string `json:"actor"`
	Merged bool   `json:"was_merged"`
}

// Run follows the logbook, links items from code, moves those that a merge completes, and
// brings back insights whose silence is over, until ctx ends. One process runs it.
func (s *Service) Run(ctx context.Context) error {
	parts := []func() error{
		func() error { return s.Log.Consume(ctx, follower, s.onEvent, s.Logger) },
		func() error { return s.Queue.Work(ctx, kindPush, 1, s.workPush, s.Logger) },
		func() error { return s.Queue.Work(ctx, kindPull, 1, s.workPull, s.Logger) },
		func() error { return s.Queue.Work(ctx, kindAnnounce, 1, s.workAnnounce, s.Logger) },
		func() error { return s.expireForever(ctx) },
	}
	done := make(chan error, len(parts))
	for _, run := range parts {
		go func() { done <- run() }()
	}
	var err error
	for range parts {
		if e := <-done; err == nil {
			err = e
		}
	}
	return err
}

func (s *Service) expireForever(ctx context.Context) error {
	for {
		if err := s.Expire(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Error("bringing back silenced items", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(expireEvery):
		}
	}
}

// onEvent turns what may hold references into jobs.
func (s *Service) onEvent(ctx context.Context, tx *store.Tx, e event.Event) error {
	switch e.Type {
	case event.TypeCommitPushed:
		in := pushed{Actor: e.Actor}
		if err := e.Into(&in.CommitPushed); err != nil {
			return s.skip(e, err)
		}
		if s.Commits == nil || !strings.HasPrefix(in.Ref, "refs/heads/") {
			return nil
		}
		return s.Queue.Enqueue(ctx, tx, kindPush, e.ID, in)
	case event.TypeRefDeleted:
		var gone event.RefDeleted
		if err := e.Into(&gone); err != nil {
			return s.skip(e, err)
		}
		if s.Commits == nil || !strings.HasPrefix(gone.Ref, "refs/heads/") {
			return nil
		}
		in := pushed{CommitPushed: event.CommitPushed{V: 1, Repo: e.Subject.ID(), Ref: gone.Ref, Commit: gone.Before}, Actor: e.Actor, Deleted: true}
		return s.Queue.Enqueue(ctx, tx, kindPush, e.ID, in)
	case event.TypePullOpened, event.TypePullUpdated, event.TypePullMerged:
		in := proposed{Actor: e.Actor, Merged: e.Type == event.TypePullMerged}
		if err := e.Into(&in.Pull); err != nil {
			return s.skip(e, err)
		}
		if s.Pulls == nil {
			return nil
		}
		return s.Queue.Enqueue(ctx, tx, kindPull, e.ID, in)
	case event.TypeItemCreated, event.TypeItemChanged:
		return s.onItem(ctx, tx, e)
	}
	return nil
}

// skip passes over an event that nobody will ever be able to read.
func (s *Service) skip(e event.Event, err error) error {
	s.Logger.Error("an event is skipped", "event", e.ID, "type", e.Type, "error", err)
	return nil
}

// workPush does a kindPush job.
func (s *Service) workPush(ctx context.Context, payload json.RawMessage) error {
	var in pushed
	if err := json.Unmarshal(payload, &in); err != nil {
		return fmt.Errorf("reading a push: %w", err)
	}
	if in.Deleted {
		return s.LinkDeleted(ctx, in.Actor, in.Repo, in.Commit)
	}
	return s.LinkPush(ctx, in.Actor, in.CommitPushed)
}

// workPull does a kindPull job.
func (s *Service) workPull(ctx context.Context, payload json.RawMessage) error {
	var in proposed
	if err := json.Unmarshal(payload, &in); err != nil {
		return fmt.Errorf("reading a pull request: %w", err)
	}
	return s.LinkPull(ctx, in.Actor, in.Pull, in.Merged)
}

// mention is one reference from one subject.
type mention struct {
	link.Reference
	to    event.Subject
	title string
}

// LinkPush links the items that the commits of a push and the name of its branch refer to.
// On the default branch, or a branch for releases, commits that say so complete items. It
// may be called again for the same push. Commits and branches reach items of their own
// project only.
func (s *Service) LinkPush(ctx context.Context, actor string, in event.CommitPushed) error {
	branch := strings.TrimPrefix(in.Ref, "refs/heads/")
	list, err := s.Commits.Range(ctx, in.Repo, branch, in.Before, in.Commit, maxRange)
	if fault.Is(err, fault.NotFound) {
		return nil // The repository or the branch is gone since.
	}
	if err != nil {
		return err
	}
	var found []mention
	for _, c := range list {
		to := event.Of(event.KindCommit, c.Hash)
		for _, r := range link.Text(c.Message) {
			if r.Squash && s.isPull(ctx, in.Repo, r.Number) {
				continue
			}
			found = append(found, mention{r, to, cut(c.Title, maxTitle)})
		}
	}
	if n, ok := link.Branch(branch); ok {
		found = append(found, mention{link.Reference{Number: n}, event.Of(event.KindCommit, in.Commit), cut(in.Title, maxTitle)})
	}
	project, _, _ := strings.Cut(in.Repo, "/")
	ends := in.Default || s.releases(branch)
	return s.mentioned(ctx, actor, project, found, ends)
}

// isPull reports whether a number is a pull request of a repository.
func (s *Service) isPull(ctx context.Context, repo string, number int64) bool {
	if s.Pulls == nil {
		return false
	}
	_, err := s.Pulls.Pull(ctx, repo, number)
	return err == nil
}

// releases reports whether a branch is one for releases.
func (s *Service) releases(branch string) bool {
	return slices.ContainsFunc(s.Releases, func(glob string) bool {
		ok, err := path.Match(glob, branch)
		return ok && err == nil
	})
}

// LinkPull links the items that a pull request's title, body and branch refer to; when it
// was merged into the default branch, or one for releases, those that it says it completes
// are. It may be called again for the same pull request.
func (s *Service) LinkPull(ctx context.Context, actor string, in event.Pull, merged bool) error {
	p, err := s.Pulls.Pull(ctx, in.Repo, in.Number)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	to := event.Of(event.KindPull, in.Repo+"/"+strconv.FormatInt(in.Number, 10))
	var found []mention
	for _, text := range []string{p.Title, p.Body} {
		for _, r := range link.Text(text) {
			found = append(found, mention{r, to, cut(p.Title, maxTitle)})
		}
	}
	if n, ok := link.Branch(p.Source); ok {
		found = append(found, mention{link.Reference{Number: n}, to, cut(p.Title, maxTitle)})
	}
	project, _, _ := strings.Cut(in.Repo, "/")
	return s.mentioned(ctx, actor, project, found, merged && (p.Default || s.releases(p.Target)))
}

// mentioned links what was found, each item in a transaction of its own.
func (s *Service) mentioned(ctx context.Context, actor, project string, found []mention, ends bool) error {
	for _, m := range found {
		err := s.tx(ctx, func(tx *store.Tx) error { return s.mention(ctx, tx, actor, project, m, ends) })
		if err != nil {
			return fmt.Errorf("linking item %d: %w", m.Number, err)
		}
	}
	return nil
}

func (s *Service) mention(ctx context.Context, tx *store.Tx, actor, project string, in mention, ends bool) error {
	m, err := s.change(ctx, tx, identity.Actor{}, in.Number)
	if fault.Is(err, fault.NotFound) || err == nil && m.it.Project != project {
		return nil // Not ours: numbers of other projects mean nothing here.
	}
	if err != nil {
		return err
	}
	m.who, m.inner = actor, true
	if err := m.link(ctx, Link{Rel: event.RelMentioned, Subject: string(in.to), Title: in.title}); err != nil {
		return err
	}
	if in.to.Kind() == event.KindCommit {
		if err := m.regained(ctx, in.to, in.title); err != nil {
			return err
		}
	}
	if in.Closes && ends {
		if err := m.fixed(ctx, in); err != nil {
			return err
		}
	}
	facts, err := m.finish(ctx)
	if err != nil {
		return err
	}
	return s.say(ctx, tx, facts)
}

// fixed moves an item that a merge completes, once for each commit or pull request: what
// somebody opened again since stays open.
func (m *mutation) fixed(ctx context.Context, in mention) error {
	before := len(m.links)
	if err := m.link(ctx, Link{Rel: event.RelFixedBy, Subject: string(in.to), Title: in.title}); err != nil {
		return err
	}
	if len(m.links) == before || !m.it.Open() {
		return nil
	}
	list, err := m.allStates(ctx)
	if err != nil {
		return err
	}
	m.why = "fixed by " + string(in.to)
	m.setState(mended(list))
	return nil
}

// Referenced returns the numbers of the items of a project that a branch's name or texts
// refer to, each once; numbers that are no items of the project are left out. It is the
// answer to a ruleset that demands a reference.
func (s *Service) Referenced(ctx context.Context, project, branch string, texts []string) ([]int64, error) {
	var numbers []int64
	if n, ok := link.Branch(branch); ok {
		numbers = append(numbers, n)
	}
	for _, t := range texts {
		for _, r := range link.Text(t) {
			if !r.Squash && !slices.Contains(numbers, r.Number) {
				numbers = append(numbers, r.Number)
			}
		}
	}
	var out []int64
	for _, n := range numbers {
		it, err := load(ctx, s.DB, n, false)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if it.Project == project {
			out = append(out, n)
		}
	}
	return out, nil
}
