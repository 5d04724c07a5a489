package ruleset

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/store"
)

// Names of the rules, as they stand in refusals.
const (
	ruleCreation = "restrict-creation"
	ruleDeletion = "restrict-deletion"
	ruleForce    = "block-force-push"
	ruleLinear   = "linear-history"
	rulePushes   = "restrict-pushes"
	rulePull     = "pull-request"
)

// Requirements returns what the active rulesets demand of pull requests into a branch,
// given by its short name. The actor needs the role read.
func (s *Service) Requirements(ctx context.Context, actor identity.Actor, repo, branch string) (Requirements, error) {
	r, err := s.may(ctx, actor, repo, identity.Read)
	if err != nil {
		return Requirements{}, err
	}
	list, err := s.load(ctx, r.FullName())
	if err != nil {
		return Requirements{}, err
	}
	return sum(r, list, branch), nil
}

// sum adds up the active rulesets of a branch: the strictest of two holds.
func sum(repo source.Repo, list []Ruleset, branch string) Requirements {
	var q Requirements
	for _, r := range list {
		if r.Enforcement != Active || !r.covers(repo, "refs/heads/"+branch) {
			continue
		}
		q.Rulesets = append(q.Rulesets, r.Name)
		q.Pull = q.Pull || r.Rules.pull()
		q.Linear = q.Linear || r.Rules.LinearHistory
		for _, c := range r.Rules.RequiredChecks {
			if !slices.Contains(q.Checks, c) {
				q.Checks = append(q.Checks, c)
			}
		}
		p := r.Rules.PullRequest
		if p == nil {
			continue
		}
		q.Approvals = max(q.Approvals, p.Approvals)
		q.CodeOwners = q.CodeOwners || p.CodeOwners
		q.DropStale = q.DropStale || p.DropStale
		q.ResolvedThreads = q.ResolvedThreads || p.ResolvedThreads
		q.Item = q.Item || p.Item
		q.Methods = both(q.Methods, p.Methods)
	}
	if q.Linear {
		q.Methods = both(q.Methods, []string{"rebase", "squash"})
	}
	slices.Sort(q.Rulesets)
	return q
}

// none is the method that is left when two rulesets allow nothing in common.
var none = []string{"none"}

// both returns the methods that two lists allow; an empty list allows all.
func both(a, b []string) []string {
	switch {
	case len(a) == 0:
		return slices.Clone(b)
	case len(b) == 0:
		return a
	}
	out := slices.DeleteFunc(slices.Clone(a), func(m string) bool { return !slices.Contains(b, m) })
	if len(out) == 0 {
		return none
	}
	return out
}

// finding is one rule of one ruleset against one move.
type finding struct {
	rule string
	ref  string
	why  string // without a dot at its end
	next string
}

// Check judges each ref of a push by itself, by every ruleset that covers it. What an
// actor on the bypass list passes, and what a ruleset in evaluation would have refused, is
// said in the logbook.
func (s *Service) Check(ctx context.Context, p source.Push) ([]source.Refusal, error) {
	list, err := s.load(ctx, p.Repo.FullName())
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var refusals []source.Refusal
	var notes []event.RulesetJudged
	for _, r := range list {
		if r.Enforcement == Disabled {
			continue
		}
		found, err := s.judge(ctx, p, list, r)
		if err != nil {
			return nil, fmt.Errorf("judging by the ruleset %s: %w", r.Name, err)
		}
		if len(found) == 0 {
			continue
		}
		passes, err := s.listed(ctx, p, r.Bypass)
		switch {
		case err != nil:
			return nil, err
		case r.Enforcement == Evaluate:
			notes = append(notes, note(p, r, "evaluated", found))
		case passes:
			notes = append(notes, note(p, r, "bypassed", found))
		default:
			for _, f := range found {
				refusals = append(refusals, refusal(r, f))
			}
		}
	}
	return refusals, s.record(ctx, p, notes, len(refusals) > 0)
}

// judge applies one ruleset to each move that it covers.
func (s *Service) judge(ctx context.Context, p source.Push, list []Ruleset, r Ruleset) ([]finding, error) {
	var found []finding
	for _, m := range p.Moves {
		if !r.covers(p.Repo, m.Ref) {
			continue
		}
		if len(r.Rules.RestrictPushes) > 0 {
			ok, err := s.listed(ctx, p, r.Rules.RestrictPushes)
			if err != nil {
				return nil, err
			}
			if !ok {
				found = append(found, finding{rulePushes, m.Ref, "only " + strings.Join(r.Rules.RestrictPushes, ", ") + " may move it", "ask one of them"})
			}
		}
		more, err := s.judgeMove(ctx, p, list, r, m)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

func (s *Service) judgeMove(ctx context.Context, p source.Push, list []Ruleset, r Ruleset, m hook.Move) ([]finding, error) {
	switch {
	case m.New == git.Zero:
		return deletion(r, m), nil
	case m.Old == git.Zero:
		return s.creation(ctx, p, list, r, m)
	}
	return s.change(ctx, p, r, m)
}

// deletion: a pull request cannot ask for one, so where commits need one, nobody deletes.
func deletion(r Ruleset, m hook.Move) []finding {
	if r.Rules.RestrictDeletion || r.Rules.pull() {
		return []finding{{ruleDeletion, m.Ref, "it cannot be deleted", "ask who maintains the rulesets"}}
	}
	return nil
}

func (s *Service) creation(ctx context.Context, p source.Push, list []Ruleset, r Ruleset, m hook.Move) ([]finding, error) {
	var found []finding
	if r.Rules.RestrictCreation {
		found = append(found, finding{ruleCreation, m.Ref, "it cannot be created", "ask who maintains the rulesets"})
	}
	if r.Rules.pull() {
		reviewed, err := s.reviewed(ctx, p, list, m)
		if err != nil {
			return nil, err
		}
		if !reviewed {
			found = append(found, finding{rulePull, m.Ref, "it takes commits by pull request only, and these came by none", "create it from the default branch, " + s.pullNext(p.Repo)})
		}
	}
	if r.Rules.LinearHistory {
		merge, err := s.merges(ctx, p, m, "--not", "--all")
		if err != nil {
			return nil, err
		}
		found = append(found, linear(m, merge)...)
	}
	return found, nil
}

// reviewed reports whether a new branch brings nothing that should have come by a pull
// request: it is the first branch of the repository, or part of a default branch that takes
// commits by pull request only.
func (s *Service) reviewed(ctx context.Context, p source.Push, list []Ruleset, m hook.Move) (bool, error) {
	ref := "refs/heads/" + p.Repo.DefaultBranch
	if m.Ref == ref {
		return true, nil // There is no default branch yet: nobody can delete it.
	}
	if !sum(p.Repo, list, p.Repo.DefaultBranch).Pull {
		return false, nil
	}
	found, err := s.repos.Git().Info(ctx, p.Dir, ref+"^{commit}")
	if err != nil || len(found) != 1 || found[0].Type != "commit" {
		return false, err
	}
	return s.repos.Git().IsAncestor(ctx, p.Dir, p.Env, m.New, found[0].Hash)
}

func (s *Service) change(ctx context.Context, p source.Push, r Ruleset, m hook.Move) ([]finding, error) {
	var found []finding
	rules := r.Rules
	if rules.pull() && (p.Door != source.DoorMerge || p.Pull == 0) {
		found = append(found, finding{rulePull, m.Ref, "it takes commits by pull request only", s.pullNext(p.Repo)})
	}
	if rules.BlockForcePush || rules.pull() {
		forward, err := s.repos.Git().IsAncestor(ctx, p.Dir, p.Env, m.Old, m.New)
		if err != nil {
			return nil, err
		}
		if !forward {
			found = append(found, finding{ruleForce, m.Ref, "this would drop commits from it", "merge or rebase onto it, and push without --force"})
		}
	}
	if rules.LinearHistory {
		merge, err := s.merges(ctx, p, m, "^"+m.Old)
		if err != nil {
			return nil, err
		}
		found = append(found, linear(m, merge)...)
	}
	return found, nil
}

func linear(m hook.Move, merge string) []finding {
	if merge == "" {
		return nil
	}
	return []finding{{ruleLinear, m.Ref, "its history is linear, and " + merge[:10] + " is a merge", "rebase instead of merging"}}
}

// merges returns one merge commit that a move brings, "" when there is none.
func (s *Service) merges(ctx context.Context, p source.Push, m hook.Move, not ...string) (string, error) {
	args := append([]string{"rev-list", "--merges", "--max-count=1", m.New}, not...)
	out, err := s.repos.Git().RunEnv(ctx, p.Dir, p.Env, nil, 1<<10, args...)
	if err != nil {
		return "", fmt.Errorf("looking for merges: %w", err)
	}
	hash := strings.TrimSpace(string(out))
	if hash != "" && !git.IsHash(hash) {
		return "", fmt.Errorf("looking for merges: git said %q", clip(hash))
	}
	return hash, nil
}

// listed reports whether the pusher is on a list of people.
func (s *Service) listed(ctx context.Context, p source.Push, list []string) (bool, error) {
	for _, who := range list {
		kind, name, _ := strings.Cut(who, ":")
		switch kind {
		case identity.KindUser, identity.KindKey:
			if p.Actor.Kind == kind && p.Actor.Name == name {
				return true, nil
			}
		case "role":
			// A run and other machines have roles too; a list of people means people.
			role, ok := identity.ParseRole(name)
			if !ok || p.Actor.Kind != identity.KindUser {
				continue
			}
			err := s.auth.Require(ctx, p.Actor, p.Repo.Project, role)
			switch fault.KindOf(err) {
			case "":
				return true, nil
			case fault.Denied, fault.NotFound, fault.Unauthentic:
			default:
				return false, err
			}
		}
	}
	return false, nil
}

func (s *Service) pullNext(r source.Repo) string {
	return "open a pull request: git push origin HEAD:refs/heads/my-change, then " +
		s.url + "/projects/" + r.Project + "/pulls/new"
}

func refusal(r Ruleset, f finding) source.Refusal {
	return source.Refusal{
		Refusal: event.Refusal{Guard: "ruleset", Rule: r.Name + ": " + f.rule, Ref: clip(f.ref)},
		Text:    fmt.Sprintf("%s: the ruleset %q refuses this: %s.\n  Next: %s", clip(f.ref), r.Name, f.why, f.next),
	}
}

func note(p source.Push, r Ruleset, outcome string, found []finding) event.RulesetJudged {
	n := event.RulesetJudged{V: 1, Repo: p.Repo.FullName(), Ruleset: r.Name, Outcome: outcome, Door: p.Door, Pull: p.Pull}
	for _, f := range found[:min(len(found), maxList)] {
		n.Refusals = append(n.Refusals, event.Refusal{Guard: "ruleset", Rule: f.rule, Ref: clip(f.ref)})
	}
	return n
}

// record says what was let pass. A bypass in a push that another ruleset refuses was none;
// what is evaluated is said in any case.
func (s *Service) record(ctx context.Context, p source.Push, notes []event.RulesetJudged, refused bool) error {
	if refused {
		notes = slices.DeleteFunc(notes, func(n event.RulesetJudged) bool { return n.Outcome == "bypassed" })
	}
	if len(notes) == 0 {
		return nil
	}
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		for _, n := range notes {
			if err := s.say(ctx, tx, p.Actor, p.Repo, event.TypeRulesetJudged, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording what a ruleset let pass: %w", err)
	}
	return nil
}
