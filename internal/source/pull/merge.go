package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/store"
)

// Merge merges the pull request. The actor is a person with the role write. It is
// fault.Denied with the blocks (*Blocked as its cause) when it may not be merged, or with
// the refusals (*source.Refused) when a guard refuses what would come out; fault.Conflict
// when the head is not the one expected, or the branches moved while it was merged.
func (s *Service) Merge(ctx context.Context, a identity.Actor, repo string, n int64, m Merge) (Pull, error) {
	if err := person(a, "merge a pull request"); err != nil {
		return Pull{}, err
	}
	if err := m.check(); err != nil {
		return Pull{}, err
	}
	p, err := s.change(ctx, a, repo, n, func(at place, p row) (row, error) {
		if err := s.auth.Require(ctx, a, p.project, identity.Write); err != nil {
			return p, err
		}
		// The target may move between the look at it and the merge: once more then.
		next, err := s.merge(ctx, a, at, p, m)
		if errors.Is(err, errMoved) {
			next, err = s.merge(ctx, a, at, p, m)
		}
		if errors.Is(err, errMoved) {
			return p, fault.Wrap(fault.Conflict, err, "The branch %s moved twice while pull request %d was merged; nothing was changed.", p.Target, n).
				WithNext("try again in a moment")
		}
		return next, err
	})
	if err != nil || !m.DeleteSource {
		return p, err
	}
	p.Notice = s.deleteSource(ctx, a, p)
	return p, nil
}

// errMoved says that an attempt met a push to the target.
var errMoved = errors.New("the target moved")

func (m Merge) check() error {
	switch m.Method {
	case "", MethodMerge, MethodSquash, MethodRebase:
	default:
		return fault.New(fault.Invalid, "%q is no way to merge.", clip(m.Method)).WithNext("use merge, squash or rebase")
	}
	if m.Expect != "" && !git.IsHash(m.Expect) {
		return fault.New(fault.Invalid, "%q is not the full hash of a commit.", clip(m.Expect))
	}
	return checkBody(m.Message, false)
}

// merge is one attempt. It looks at everything anew, because what was judged before a
// branch moved says nothing about what is there after it.
func (s *Service) merge(ctx context.Context, a identity.Actor, at place, p row, m Merge) (row, error) {
	if p.merging != nil { // An earlier merge was not noted to its end.
		done, err := s.recover(ctx, at, &p)
		if err != nil {
			return p, err
		}
		if done {
			return load(ctx, s.db, p.Repo, p.Number)
		}
	}
	v, err := s.sync(ctx, at, p)
	if err != nil {
		return p, err
	}
	p = v.row
	if m.Expect != "" && m.Expect != p.Head && p.State == Open {
		return p, fault.New(fault.Conflict, "The branch %s has moved to %s since you looked at it.", p.Source, short(p.Head)).
			WithNext("look at the new commits, then merge")
	}
	g, err := s.gate(ctx, a, at, v)
	if err != nil {
		return p, err
	}
	bypassed, err := pass(p, g, m)
	if err != nil {
		return p, err
	}
	if m.Method == "" {
		m.Method = g.Methods[0]
	}
	in := intent{Head: p.Head, Base: p.Base, Tip: p.Tip, Method: m.Method, By: a.String(), Time: s.now(), Bypassed: bypassed}
	if len(bypassed) > 0 {
		in.Rulesets = g.Rulesets
	}
	if err := s.bring(ctx, a, at, p, m, &in); err != nil {
		return p, err
	}
	// The target has moved. Whatever happens to the caller now, it is written down.
	ctx = context.WithoutCancel(ctx)
	if err := s.complete(ctx, at, p, in); err != nil {
		s.opts.Logger.Error("a merge is not noted yet", "pull", p.key(), "error", err)
		return p, fault.Wrap(fault.Unavailable, err, "Pull request %d is merged, and Towpath could not note it yet; it will try again.", p.Number)
	}
	return load(ctx, s.db, p.Repo, p.Number)
}

// pass returns the blocks that are bypassed, and refuses where one stays.
func pass(p row, g Gate, m Merge) ([]Block, error) {
	stays := func(b Block) bool { return !m.Bypass || !g.Bypass || never(b.Kind) }
	if slices.ContainsFunc(g.Blocks, stays) {
		return nil, refused(p.Number, g.Blocks)
	}
	if m.Method != "" && !slices.Contains(g.Methods, m.Method) || len(g.Methods) == 0 {
		return nil, refused(p.Number, []Block{{
			Kind: BlockRuleset, What: "The method " + m.Method + " is not allowed", Why: "a ruleset of " + p.Target + " allows others",
			Next: "choose one of those that the rulesets allow", Who: []string{"role:maintain"},
		}})
	}
	return g.Blocks, nil
}

// bring makes the commit, notes what is about to happen, and moves the target through the
// same door as a push. When it returns an error, the target has not moved.
func (s *Service) bring(ctx context.Context, a identity.Actor, at place, p row, m Merge, in *intent) error {
	scratch, err := s.repos.Scratch(ctx, a, p.Repo)
	if err != nil {
		return err
	}
	defer func() {
		if err := scratch.Close(); err != nil {
			s.opts.Logger.Warn("a quarantine stays until the next start", "repo", p.Repo, "error", err)
		}
	}()
	b := builder{at: at, env: scratch.Env, objects: scratch.Objects, pull: p, message: m.Message, who: s.signature(a)}
	if in.Commit, err = b.build(ctx, m.Method); err != nil {
		return err
	}
	if err := s.intend(ctx, p.Pull, in); err != nil {
		return err
	}
	err = s.repos.Update(ctx, a, source.Update{
		Repo: p.Repo, Door: source.DoorMerge, Pull: p.Number, Scratch: scratch,
		Moves: []hook.Move{{Old: p.Tip, New: in.Commit, Ref: branchRef(p.Target)}},
	})
	if err == nil {
		return nil
	}
	if cerr := s.intend(context.WithoutCancel(ctx), p.Pull, nil); cerr != nil {
		s.opts.Logger.Error("a merge that did not happen stays noted until the next look", "pull", p.key(), "error", cerr)
	}
	if fault.Is(err, fault.Conflict) {
		return fmt.Errorf("%w: %w", errMoved, err)
	}
	return err
}

// intend notes durably that a merge is about to move the target; nil strikes the note.
func (s *Service) intend(ctx context.Context, p Pull, in *intent) error {
	text := ""
	if in != nil {
		var err error
		if text, err = encode(in); err != nil {
			return err
		}
	}
	_, err := s.db.Exec(ctx, `UPDATE source_pull SET merging = ? WHERE repo = ? AND number = ?`, text, p.Repo, p.Number)
	if err != nil {
		return fmt.Errorf("noting the merge of %s: %w", p.key(), err)
	}
	return nil
}

// complete notes that a pull request is merged. Head and base stay what was merged, so that
// its diff can be read afterwards.
func (s *Service) complete(ctx context.Context, at place, p row, in intent) error {
	p.State, p.Ended, p.EndedBy, p.Method, p.Result = Merged, in.Time, in.By, in.Method, in.Commit
	p.Head, p.Base, p.Updated, p.merging, p.Test = in.Head, in.Base, in.Time, nil, ""
	if err := s.setRefs(ctx, at, p.Pull); err != nil {
		return err
	}
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := save(ctx, tx, p); err != nil {
			return err
		}
		text := ""
		for _, b := range in.Bypassed {
			if text != "" {
				text += "; "
			}
			text += b.Kind + ": " + b.What
		}
		if err := s.note(ctx, tx, p.Pull, note{kind: EntryMerged, actor: in.By, from: in.Method, to: in.Commit, text: text, count: len(in.Bypassed)}); err != nil {
			return err
		}
		if err := s.sayBypassed(ctx, tx, p, in); err != nil {
			return err
		}
		return s.say(ctx, tx, p, event.TypePullMerged, in.By, said{})
	})
	return wrap(err, "noting the merge of %s", p.key())
}

// sayBypassed writes into the logbook which demands of which rulesets were passed.
func (s *Service) sayBypassed(ctx context.Context, tx *store.Tx, p row, in intent) error {
	var refusals []event.Refusal
	for _, b := range in.Bypassed {
		refusals = append(refusals, event.Refusal{Guard: "pull", Rule: b.Kind + ": " + b.What, Ref: branchRef(p.Target), Commit: in.Head})
	}
	if len(refusals) == 0 {
		return nil
	}
	for _, name := range in.Rulesets {
		err := s.log.Append(ctx, tx, event.Fact{
			Type: event.TypeRulesetJudged, Subject: event.Of(event.KindRepo, p.Repo), Project: p.project, Actor: in.By,
			Payload: event.RulesetJudged{
				V: 1, Repo: p.Repo, Ruleset: name, Outcome: "bypassed", Door: source.DoorMerge, Pull: p.Number, Refusals: refusals[:min(len(refusals), 50)],
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteSource removes the source branch after a merge and returns why not, "" when it did.
func (s *Service) deleteSource(ctx context.Context, a identity.Actor, p Pull) string {
	others, err := rows(ctx, s.db, `p.repo = ? AND p.state = ? AND (p.source = ? OR p.target = ?) LIMIT 1`, p.Repo, Open, p.Source, p.Source)
	if err != nil {
		s.opts.Logger.Error("looking for other pull requests", "pull", p.key(), "error", err)
		return "The branch " + p.Source + " was not deleted: Towpath could not find out who else needs it."
	}
	if len(others) > 0 {
		return fmt.Sprintf("The branch %s was not deleted: pull request %d needs it.", p.Source, others[0].Number)
	}
	err = s.repos.Update(ctx, a, source.Update{
		Repo: p.Repo, Door: source.DoorMerge, Pull: p.Number,
		Moves: []hook.Move{{Old: p.Head, New: git.Zero, Ref: branchRef(p.Source)}},
	})
	if err == nil {
		return ""
	}
	message, _ := fault.Public(err)
	return "The branch " + p.Source + " was not deleted: " + message
}
