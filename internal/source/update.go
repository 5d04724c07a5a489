package source

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/store"
)

// Update is a change of refs that the platform makes for somebody.
type Update struct {
	Repo string // "project/repo"
	Door string // DoorMerge or DoorEdit
	Pull int64  // number of the pull request that is merged, else 0
	// Moves are made all or none. Each moves its ref only when it still is at Old.
	Moves []hook.Move
	// Scratch holds the new objects; nil when there are none. It stays the caller's to
	// close. Of what is in it, only what the refs gain enters the repository.
	Scratch *Scratch
}

// Refused is the cause of the fault.Denied with which Update answers when a push is
// refused: errors.As finds it.
type Refused struct{ Refusals []Refusal }

// Error says how much was refused; the words for people are the fault's.
func (r *Refused) Error() string { return plural(len(r.Refusals), "refusal") }

// Update moves refs for the actor, who needs the role write, through the same rules, guards
// and records as a push. It is fault.Conflict when a ref is not at Old any more, and
// fault.Denied with the refusals' texts, and *Refused as its cause, when a rule or a guard
// refuses. Once refs have moved it returns nil, also when announcing them must be tried
// again later.
func (s *Service) Update(ctx context.Context, actor identity.Actor, u Update) error {
	project, name, err := SplitName(u.Repo)
	if err != nil {
		return err
	}
	if err := s.auth.Require(ctx, actor, project, identity.Write); err != nil {
		return err
	}
	r, err := s.find(ctx, project, name)
	if err != nil {
		return err
	}
	if err := u.check(r); err != nil {
		return err
	}
	release, err := s.enter(ctx, r)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "Another push to %s is still being finished.", r.FullName()).WithNext("try again in a moment")
	}
	p := &push{id: s.clock.NewID(), repo: r, actor: actor, door: u.Door, pull: u.Pull, release: release}
	defer s.finish(p)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hookTime)
	defer cancel()
	return s.update(ctx, p, u)
}

// check refuses what a caller must not ask.
func (u Update) check(r Repo) error {
	if u.Door != DoorMerge && u.Door != DoorEdit {
		return fmt.Errorf("updating %s: %q is no door of the platform", u.Repo, u.Door)
	}
	if u.Scratch != nil && u.Scratch.repo != r.id {
		return fmt.Errorf("updating %s: the objects were made for another repository", u.Repo)
	}
	if len(u.Moves) == 0 || len(u.Moves) > hook.MaxMoves {
		return fault.New(fault.Invalid, "A change moves 1 to %d refs; this one would move %d.", hook.MaxMoves, len(u.Moves))
	}
	seen := map[string]bool{}
	for _, m := range u.Moves {
		if !git.IsHash(m.Old) || !git.IsHash(m.New) || m.Old == m.New || seen[m.Ref] {
			return fault.New(fault.Invalid, "The change of %s from %q to %q is none.", clip(m.Ref), clip(m.Old), clip(m.New))
		}
		seen[m.Ref] = true
	}
	return nil
}

// update runs while the repository's gate is held.
func (s *Service) update(ctx context.Context, p *push, u Update) error {
	if err := s.catchUp(ctx, p); err != nil {
		return err
	}
	if err := s.unmoved(ctx, p.repo, u.Moves); err != nil {
		return err
	}
	if gained := u.gained(); len(gained) > 0 {
		if u.Scratch == nil {
			q, err := newScratch(p.repo, s.dir(p.repo))
			if err != nil {
				return err
			}
			defer s.discard(q)
			u.Scratch = q
		}
		if err := s.gather(ctx, p.repo, u.Scratch, gained); err != nil {
			return err
		}
	} else {
		u.Scratch = nil
	}
	return s.judgeAndMove(ctx, p, u)
}

// gained returns the objects to which refs move.
func (u Update) gained() []string {
	var out []string
	for _, m := range u.Moves {
		if m.New != git.Zero {
			out = append(out, m.New)
		}
	}
	return out
}

func (s *Service) discard(q *Scratch) {
	if err := q.Close(); err != nil {
		s.opts.Logger.Warn("a quarantine stays until the next start", "folder", q.Objects, "error", err)
	}
}

// judgeAndMove asks who may refuse, notes what is about to move, and moves it.
func (s *Service) judgeAndMove(ctx context.Context, p *push, u Update) error {
	judged := Push{Moves: u.Moves}
	if u.Scratch != nil {
		judged.Objects, judged.Env = u.Scratch.Objects, u.Scratch.Env
	}
	refusals, err := s.refuse(ctx, p, judged)
	if err != nil {
		return fmt.Errorf("judging a change of %s: %w", u.Repo, err)
	}
	if len(refusals) > 0 {
		return fault.Wrap(fault.Denied, &Refused{Refusals: refusals}, "Towpath refused this change:\n%s", words(refusals))
	}
	if err := s.intend(ctx, p, u.Moves); err != nil {
		if store.Full(err) {
			return fault.Wrap(fault.Unavailable, err, "The disk of the server is full; nothing was changed.").WithNext("free space, then try again")
		}
		return fmt.Errorf("noting a change of %s: %w", u.Repo, err)
	}
	p.stage = pushMoving
	if u.Scratch != nil {
		if err := u.Scratch.keep(); err != nil {
			return err
		}
	}
	if err := s.moveRefs(ctx, p.repo, u.Moves); err != nil {
		return err
	}
	if _, _, err := s.settle(ctx, p.repo); err != nil {
		// The refs have moved, and the intent stays: finish tries again.
		s.opts.Logger.Error("a change could not be settled", "repo", p.repo.FullName(), "error", err)
		return nil
	}
	p.stage = pushSettled
	return nil
}

// unmoved wants each ref to be where the caller saw it, before anybody is asked.
func (s *Service) unmoved(ctx context.Context, r Repo, moves []hook.Move) error {
	at, err := s.places(ctx, r, moves)
	if err != nil {
		return err
	}
	for i, m := range moves {
		if at[i] != m.Old {
			return moved(m.Ref)
		}
	}
	return nil
}

// places returns where the ref of each move is, zeros for one that does not exist.
func (s *Service) places(ctx context.Context, r Repo, moves []hook.Move) ([]string, error) {
	refs, err := s.git.Tips(ctx, s.dir(r))
	if err != nil {
		return nil, err
	}
	at := make(map[string]string, len(refs))
	for _, ref := range refs {
		at[ref.Name] = ref.Object
	}
	out := make([]string, len(moves))
	for i, m := range moves {
		if out[i] = at[m.Ref]; out[i] == "" {
			out[i] = git.Zero
		}
	}
	return out, nil
}

func moved(ref string) error {
	return fault.New(fault.Conflict, "%s moved meanwhile; nothing was changed.", clip(ref)).WithNext("look at what is new, then try again")
}

// moveRefs moves all refs or none, each only from where it was.
func (s *Service) moveRefs(ctx context.Context, r Repo, moves []hook.Move) error {
	var in strings.Builder
	for _, m := range moves {
		switch {
		case m.Old == git.Zero:
			fmt.Fprintf(&in, "create %s\x00%s\x00", m.Ref, m.New)
		case m.New == git.Zero:
			fmt.Fprintf(&in, "delete %s\x00%s\x00", m.Ref, m.Old)
		default:
			fmt.Fprintf(&in, "update %s\x00%s\x00%s\x00", m.Ref, m.New, m.Old)
		}
	}
	_, err := s.git.Run(ctx, s.dir(r), strings.NewReader(in.String()), 1<<16, "update-ref", "-z", "--stdin")
	if err == nil {
		return nil
	}
	// git's words differ by its version; where the refs are now says what happened.
	at, perr := s.places(ctx, r, moves)
	if perr != nil {
		return errors.Join(err, perr)
	}
	made := 0
	for i, m := range moves {
		switch at[i] {
		case m.New:
			made++
		case m.Old:
		default:
			return moved(m.Ref)
		}
	}
	if made == len(moves) {
		return nil // git made its end badly, after it had done everything.
	}
	var exit *git.ExitError
	if errors.As(err, &exit) && strings.Contains(exit.Stderr, "cannot lock ref") && strings.Contains(exit.Stderr, "exists; cannot create") {
		return fault.Wrap(fault.Conflict, err, "A branch or tag is in the way: one name cannot be the beginning of another.").WithNext("choose another name")
	}
	return explained(fmt.Errorf("moving refs of %s: %w", r.FullName(), err))
}

var pullRefForm = regexp.MustCompile(`^refs/pull/[1-9][0-9]{0,17}/(head|merge)$`)

// SetRef points one of the platform's own refs, refs/pull/<n>/head or refs/pull/<n>/merge,
// at an object of the repository; git.Zero removes it. No rule and no guard is asked and no
// event is said: such a ref only keeps what was accepted already.
func (s *Service) SetRef(ctx context.Context, r Repo, ref, hash string) error {
	if !pullRefForm.MatchString(ref) || !git.IsHash(hash) {
		return fmt.Errorf("setting %q of %s to %q: not a ref of a pull request", clip(ref), r.FullName(), clip(hash))
	}
	// "update" without an old value moves the ref wherever it is; to zeros it removes it.
	in := "update " + ref + "\x00" + hash + "\x00\x00"
	if _, err := s.git.Run(ctx, s.dir(r), strings.NewReader(in), 1<<16, "update-ref", "-z", "--stdin"); err != nil {
		return explained(fmt.Errorf("setting %s of %s: %w", ref, r.FullName(), err))
	}
	return nil
}
