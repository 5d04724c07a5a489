package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/ruleset"
)

// Blocked is the cause of the fault.Denied with which Merge answers when a pull request may
// not be merged: errors.As finds it.
type Blocked struct{ Blocks []Block }

// Error says how many blocks there are; the words for people are the fault's.
func (b *Blocked) Error() string { return plural(len(b.Blocks), "block") }

// maxWho is how many people a block names.
const maxWho = 20

// State returns what stands between the pull request and its merge by this actor, who
// needs the role read. It looks at the branches as they are now.
func (s *Service) State(ctx context.Context, a identity.Actor, repo string, n int64) (Gate, error) {
	var g Gate
	_, err := s.change(ctx, a, repo, n, func(at place, p row) (row, error) {
		v, err := s.sync(ctx, at, p)
		if err != nil {
			return p, err
		}
		g, err = s.gate(ctx, a, at, v)
		return v.row, err
	})
	return g, err
}

// judging is one evaluation of the gate.
type judging struct {
	view
	at      place
	req     ruleset.Requirements
	reviews []review
	gate    Gate
}

// gate evaluates everything. The view is up to date.
func (s *Service) gate(ctx context.Context, a identity.Actor, at place, v view) (Gate, error) {
	j := judging{view: v, at: at, gate: Gate{Head: v.Head, Methods: []string{}}}
	var err error
	if j.req, err = s.rules.Requirements(ctx, self(), v.Repo, v.Target); err != nil {
		return j.gate, err
	}
	if j.reviews, err = s.weigh(ctx, v.row, j.req); err != nil {
		return j.gate, err
	}
	j.gate.Rulesets, j.gate.Needed = j.req.Rulesets, j.req.Approvals
	if a.Kind == identity.KindUser {
		if j.gate.May, err = s.holds(ctx, a, v.project, identity.Write); err != nil {
			return j.gate, err
		}
	}
	if j.gate.May {
		if j.gate.Bypass, err = s.rules.Passes(ctx, a, v.Repo, v.Target); err != nil {
			return j.gate, err
		}
	}
	j.branches()
	j.methods()
	j.verdicts()
	if err := s.judgeOwners(ctx, &j); err != nil {
		return j.gate, err
	}
	if err := s.judgeChecks(ctx, &j); err != nil {
		return j.gate, err
	}
	if err := s.judgeThreads(ctx, &j); err != nil {
		return j.gate, err
	}
	if err := s.judgeItem(ctx, &j); err != nil {
		return j.gate, err
	}
	j.gate.Allowed = len(j.gate.Blocks) == 0 && j.gate.May
	return j.gate, nil
}

func (j *judging) block(b Block) {
	b.Who = b.Who[:min(len(b.Who), maxWho)]
	j.gate.Blocks = append(j.gate.Blocks, b)
}

// sets names the rulesets in a sentence.
func (j *judging) sets() string {
	quoted := make([]string, 0, len(j.req.Rulesets))
	for _, name := range j.req.Rulesets {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	if len(quoted) == 1 {
		return "the ruleset " + quoted[0]
	}
	return "the rulesets " + strings.Join(quoted, ", ")
}

// writer stands for everybody who holds the role write.
const writer = "role:write"

// branches judges what no ruleset is needed for.
func (j *judging) branches() {
	author := identity.KindUser + ":" + j.Author
	if j.State != Open {
		j.block(Block{Kind: BlockClosed, What: "It is " + j.State, Why: j.EndedBy + " ended it", Next: "reopen it, when it was closed", Who: []string{author, writer}, Since: j.Ended})
		return
	}
	if j.Draft {
		j.block(Block{
			Kind: BlockDraft, What: "It is a draft", Why: j.Author + " is not done with it", Next: "mark it as ready for review",
			Who: []string{author, writer}, Since: j.drafted,
		})
	}
	b := Block{Kind: BlockConflict, Who: []string{author, writer}, Since: j.Moved}
	switch {
	case j.head == "" || j.tip == "":
		gone := j.Source
		if j.head != "" {
			gone = j.Target
		}
		b.What, b.Why, b.Next = "The branch "+gone+" does not exist", "somebody deleted it", "push it again, or close the pull request"
	case j.unsettled:
		b.What, b.Why, b.Next, b.Waiting = "A branch is moving", "a push is still being finished", "wait a moment", true
	case j.Base == j.Head:
		b.What, b.Why, b.Next = "There is nothing to merge", j.Target+" has these commits already", "push a commit to "+j.Source+", or close the pull request"
	case j.Base == "":
		b.What, b.Why, b.Next = "The branches share no history", j.Source+" and "+j.Target+" began apart", "start a branch from "+j.Target
	case len(j.Conflicts) > 0:
		b.What = plural(len(j.Conflicts), "file") + " with conflicts: " + strings.Join(j.Conflicts[:min(len(j.Conflicts), 5)], ", ")
		b.Why = j.Source + " and " + j.Target + " change the same lines"
		b.Next = "git merge " + j.Target + " into " + j.Source + ", resolve the conflicts, and push"
		b.Since, b.Name = j.conflicted, j.Conflicts[0]
	default:
		return
	}
	j.block(b)
}

// methods finds the ways in which it may be merged.
func (j *judging) methods() {
	for _, m := range []string{MethodMerge, MethodSquash, MethodRebase} {
		allowed := len(j.req.Methods) == 0 || slices.Contains(j.req.Methods, m)
		if allowed && !(j.req.Linear && m == MethodMerge) {
			j.gate.Methods = append(j.gate.Methods, m)
		}
	}
	if len(j.gate.Methods) == 0 {
		j.block(Block{
			Kind: BlockRuleset, What: "No way of merging is allowed", Why: j.sets() + " have none in common",
			Next: "change the rulesets", Who: []string{"role:maintain"},
		})
	}
}

// verdicts judges reviews: those who ask for changes, and how many approve.
func (j *judging) verdicts() {
	var approved []string
	for _, r := range j.reviews {
		switch {
		case !r.Counts:
		case r.Verdict == Approved:
			approved = append(approved, r.Reviewer)
		case r.Verdict == Changes && j.State == Open:
			j.block(Block{
				Kind: BlockChanges, What: r.Reviewer + " asks for changes", Why: "at commit " + short(r.Commit),
				Next: "make them and ask for another review, or have a maintainer dismiss it", Who: []string{identity.KindUser + ":" + r.Reviewer, "role:maintain"},
				Since: r.Time, Name: r.Reviewer,
			})
		}
	}
	j.gate.Approved = approved
	if j.State != Open || len(approved) >= j.req.Approvals {
		return
	}
	j.block(Block{
		Kind: BlockReview, What: fmt.Sprintf("%d of %s", len(approved), plural(j.req.Approvals, "approval")),
		Why: j.sets() + " demand it", Next: j.nextReview(), Who: j.whoReviews(), Since: j.waits(),
	})
}

// waits says since when reviewers can do something.
func (j *judging) waits() time.Time {
	if !j.Draft && j.drafted.After(j.Moved) {
		return j.drafted
	}
	return j.Moved
}

// nextReview names approvals that would have counted.
func (j *judging) nextReview() string {
	for _, r := range j.reviews {
		if r.Verdict == Approved && !r.Counts && strings.HasPrefix(r.Why, "stale") {
			return "ask " + r.Reviewer + " to look again: the approval is " + r.Why
		}
	}
	return "ask somebody who holds the role write for a review"
}

// whoReviews lists those who were asked and have not approved, or everybody.
func (j *judging) whoReviews() []string {
	var who []string
	for _, r := range j.Reviewers {
		if !slices.Contains(j.gate.Approved, r.User) {
			who = append(who, identity.KindUser+":"+r.User)
		}
	}
	if len(who) == 0 {
		who = []string{writer}
	}
	return who
}

// judgeOwners wants an approval of an owner for each changed path that has owners.
func (s *Service) judgeOwners(ctx context.Context, j *judging) error {
	if !j.req.CodeOwners || j.State != Open || j.tip == "" || j.Base == "" {
		return nil
	}
	list, err := s.owned(ctx, j.at, j.row)
	var unreadable *errOwners
	if errors.As(err, &unreadable) {
		j.block(Block{Kind: BlockOwner, What: "The code owners cannot be known", Why: unreadable.why, Next: "make the file smaller", Who: []string{"role:maintain"}})
		return nil
	}
	if err != nil {
		return err
	}
	for i := range list {
		o := &list[i]
		var who []string
		for _, owner := range o.Owners {
			name := strings.ToLower(owner)
			if slices.Contains(j.gate.Approved, name) {
				o.Approved = name
				break
			}
			if name != j.Author && identity.CheckUserName(name) == nil {
				who = append(who, identity.KindUser+":"+name)
			}
		}
		if o.Approved != "" {
			continue
		}
		next := "ask one of them for a review"
		if len(who) == 0 {
			next = "nobody who can approve owns it: name another user in CODEOWNERS of " + j.Target
		}
		j.block(Block{
			Kind: BlockOwner, Name: o.Paths[0], What: plural(o.Count, "file") + " of " + strings.Join(o.Owners, ", "),
			Why:  fmt.Sprintf("CODEOWNERS of %s, line %d, gives %s to them, and none of them approved", j.Target, o.Line, o.Pattern),
			Next: next, Who: who, Since: j.waits(),
		})
	}
	j.gate.Owners = list
	return nil
}

// judgeChecks wants each required check on the head. One that is pinned counts from its
// source only; of one that is not, everybody who reports it must be content.
func (s *Service) judgeChecks(ctx context.Context, j *judging) error {
	if len(j.req.Checks) == 0 || j.State != Open {
		return nil
	}
	found, err := checksOf(ctx, s.db, j.Repo, j.Head)
	if err != nil {
		return err
	}
	for _, want := range j.req.Checks {
		n := Needed{Name: want.Name, Source: want.Source}
		since := j.Moved
		for _, c := range found {
			if c.Name != want.Name || want.Source != "" && c.Source != want.Source {
				continue
			}
			if n.State == "" || n.OK && !c.OK() {
				n.State, n.By, n.OK, since = c.State, c.Source, c.OK(), c.Time
			}
		}
		j.gate.Checks = append(j.gate.Checks, n)
		if !n.OK {
			j.block(j.checkBlock(n, since))
		}
	}
	return nil
}

func (j *judging) checkBlock(n Needed, since time.Time) Block {
	b := Block{Kind: BlockCheck, Name: n.Name, Why: j.sets() + " demand it", Since: since, Who: []string{writer}}
	if n.Source != "" {
		b.Who = []string{n.Source}
		b.Why += " from " + n.Source
	}
	switch n.State {
	case "":
		b.What, b.Next, b.Waiting = "The check "+n.Name+" was not reported", "wait for it", true
	case Queued, Running:
		b.What, b.Next, b.Waiting = "The check "+n.Name+" is "+n.State, "wait for it", true
	case Error:
		b.What, b.Next = "The check "+n.Name+" could not judge", "see what it says, and let it run again"
	default:
		b.What, b.Next = "The check "+n.Name+" failed", "see what it says, mend it and push"
	}
	return b
}

// judgeThreads wants every thread on a line resolved, outdated ones too: what was asked
// there may still be open.
func (s *Service) judgeThreads(ctx context.Context, j *judging) error {
	if !j.req.ResolvedThreads || j.State != Open {
		return nil
	}
	list, err := threadsOf(ctx, s.db, j.Pull)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(t Thread) bool { return t.Path == "" || t.Resolved != nil })
	if len(list) == 0 {
		return nil
	}
	j.block(Block{
		Kind: BlockThread, What: plural(len(list), "thread") + " not resolved", Why: j.sets() + " demand it",
		Next: "answer and resolve them", Who: []string{identity.KindUser + ":" + j.Author, writer}, Since: list[0].Created, Name: list[0].Path,
	})
	return nil
}

// judgeItem wants the title, the body, the branch or a commit to name an item of the
// project.
func (s *Service) judgeItem(ctx context.Context, j *judging) error {
	if !j.req.Item || j.State != Open {
		return nil
	}
	var found []int64
	if s.items != nil {
		texts := []string{j.Title, j.Body}
		if j.Base != "" && j.Head != "" {
			commits, err := s.proposed(ctx, j.at, j.row)
			if err != nil {
				return err
			}
			for _, c := range commits {
				texts = append(texts, c.Title+"\n\n"+c.Body)
			}
		}
		var err error
		if found, err = s.items.Referenced(ctx, j.project, j.Source, texts); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		return nil
	}
	j.block(Block{
		Kind: BlockItem, What: "No item is named", Why: j.sets() + " demand a reference to what is to be done",
		Next: "write #12 or AB#12 with the number of an item into the title or the body; make one with `towpath item create`",
		Who:  []string{identity.KindUser + ":" + j.Author, writer}, Since: j.Opened,
	})
	return nil
}

// never lists the blocks that nobody bypasses: there is nothing that could be merged, or
// its author says that it is not done.
func never(kind string) bool {
	return kind == BlockClosed || kind == BlockDraft || kind == BlockConflict
}

// refused turns blocks into the error that people read.
func refused(n int64, blocks []Block) error {
	var b strings.Builder
	for _, x := range blocks {
		fmt.Fprintf(&b, "\n  %s: %s (%s). Next: %s", x.Kind, x.What, x.Why, x.Next)
	}
	return fault.Wrap(fault.Denied, &Blocked{Blocks: blocks}, "Pull request %d cannot be merged:%s", n, b.String())
}
