package pull_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/source/ruleset"
)

func approvals(n int) ruleset.Rules {
	return ruleset.Rules{PullRequest: &ruleset.PullRequest{Approvals: n}}
}

// Each kind of block keeps a pull request from being merged, alone, and each goes away by
// what it names as the next step.
func TestEachBlock(t *testing.T) {
	yes, no := true, false
	tests := []struct {
		kind    string
		set     func(w *world, p pull.Pull)
		want    string
		release func(w *world, p pull.Pull)
	}{
		{pull.BlockDraft, func(w *world, p pull.Pull) {
			_, err := w.Edit(w.t.Context(), actor("ada"), repo, p.Number, pull.Edit{Draft: &yes})
			check(w.t, err)
		}, "draft: It is a draft", func(w *world, p pull.Pull) {
			_, err := w.Edit(w.t.Context(), actor("ada"), repo, p.Number, pull.Edit{Draft: &no})
			check(w.t, err)
		}},
		{pull.BlockConflict, func(w *world, _ pull.Pull) {
			w.push("max", "main", "", map[string]string{"b.txt": "mine\n"})
		}, "conflict: 1 file with conflicts: b.txt", func(w *world, _ pull.Pull) {
			w.push("max", "main", "", map[string]string{"b.txt": "b\n"})
		}},
		{pull.BlockConflict, func(w *world, p pull.Pull) { w.set("ada", "fix", p.Base) },
			"conflict: There is nothing to merge", func(w *world, p pull.Pull) { w.set("ada", "fix", p.Head) }},
		{pull.BlockReview, func(w *world, _ pull.Pull) { w.protect(approvals(2)); w.approve("wanda", 1) },
			"review: 1 of 2 approvals", func(w *world, _ pull.Pull) { w.approve("will", 1) }},
		{pull.BlockChanges, func(w *world, _ pull.Pull) {
			_, err := w.Review(w.t.Context(), actor("wanda"), repo, 1, pull.Judgement{Verdict: pull.Changes, Body: "no"})
			check(w.t, err)
		}, "changes-requested: wanda asks for changes", func(w *world, _ pull.Pull) { w.approve("wanda", 1) }},
		{pull.BlockOwner, func(w *world, _ pull.Pull) {
			w.push("max", "main", "", map[string]string{"CODEOWNERS": "b.txt @will\n"})
			w.protect(ruleset.Rules{PullRequest: &ruleset.PullRequest{CodeOwners: true}})
			w.approve("wanda", 1)
		}, "code-owner: 1 file of will", func(w *world, _ pull.Pull) { w.approve("will", 1) }},
		{pull.BlockCheck, func(w *world, p pull.Pull) {
			w.protect(ruleset.Rules{RequiredChecks: []ruleset.Check{{Name: "policy", Source: "system:policy"}}})
			w.report(identity.SystemActor("policy"), p.Head, "policy", pull.Failure)
		}, "check: The check policy failed", func(w *world, p pull.Pull) {
			w.report(identity.SystemActor("policy"), p.Head, "policy", pull.Neutral)
		}},
		{pull.BlockThread, func(w *world, _ pull.Pull) {
			w.protect(ruleset.Rules{PullRequest: &ruleset.PullRequest{ResolvedThreads: true}})
			_, err := w.Comment(w.t.Context(), actor("rita"), repo, 1, pull.Remark{Body: "why?", Path: "b.txt", Line: 1})
			check(w.t, err)
			_, err = w.Comment(w.t.Context(), actor("rita"), repo, 1, pull.Remark{Body: "a word on the whole"})
			check(w.t, err)
		}, "thread: 1 thread not resolved", func(w *world, _ pull.Pull) {
			list, err := w.Threads(w.t.Context(), actor("ada"), repo, 1)
			check(w.t, err)
			_, err = w.Resolve(w.t.Context(), actor("ada"), repo, 1, list[0].ID, true)
			check(w.t, err)
		}},
		{pull.BlockItem, func(w *world, _ pull.Pull) { w.protect(ruleset.Rules{PullRequest: &ruleset.PullRequest{Item: true}}) },
			"item: No item is named", func(w *world, _ pull.Pull) {
				body := "Towards #12."
				_, err := w.Edit(w.t.Context(), actor("ada"), repo, 1, pull.Edit{Body: &body})
				check(w.t, err)
			}},
		{pull.BlockItem, func(w *world, _ pull.Pull) { w.protect(ruleset.Rules{PullRequest: &ruleset.PullRequest{Item: true}}) },
			"item: No item is named", func(w *world, p pull.Pull) {
				w.move("ada", "refs/heads/fix", p.Head, func(s *source.Scratch) string {
					return w.commit(s, []string{p.Head}, "ada", time.Unix(1700000000, 0).UTC(), "AB#12", map[string]string{"c.txt": "c\n"})
				})
			}},
		{pull.BlockRuleset, func(w *world, _ pull.Pull) {
			w.protect(ruleset.Rules{PullRequest: &ruleset.PullRequest{Methods: []string{"merge"}}})
			w.protectRefs("linear", []string{"main"}, ruleset.Rules{LinearHistory: true})
		}, "ruleset: No way of merging is allowed", func(w *world, _ pull.Pull) {
			check(w.t, w.rules.Delete(w.t.Context(), actor("max"), repo, "linear"))
		}},
		{pull.BlockClosed, func(w *world, _ pull.Pull) {
			_, err := w.Close(w.t.Context(), actor("ada"), repo, 1)
			check(w.t, err)
		}, "closed: It is closed", func(w *world, _ pull.Pull) {
			_, err := w.Reopen(w.t.Context(), actor("ada"), repo, 1)
			check(w.t, err)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			w := newWorld(t)
			p := w.propose("fix", map[string]string{"b.txt": "b\n"})
			tt.set(w, p)
			g, err := w.State(t.Context(), actor("wanda"), repo, 1)
			check(t, err)
			if diff := cmp.Diff([]string{tt.want}, say(g.Blocks)); diff != "" || g.Allowed {
				t.Fatalf("allowed %v, blocks (-want +got):\n%s", g.Allowed, diff)
			}
			b := g.Blocks[0]
			if b.Kind != tt.kind || b.Why == "" || b.Next == "" || len(b.Who) == 0 {
				t.Errorf("%+v", b)
			}
			if tt.kind != pull.BlockRuleset && b.Since.IsZero() {
				t.Errorf("nobody knows since when: %+v", b)
			}
			_, err = w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{})
			if diff := cmp.Diff([]string{tt.want}, blocked(t, err)); diff != "" {
				t.Errorf("merge (-want +got):\n%s", diff)
			}
			tt.release(w, p)
			if g, err = w.State(t.Context(), actor("wanda"), repo, 1); err != nil || !g.Allowed {
				t.Fatalf("afterwards: %+v, %v", g, err)
			}
			if _, err = w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhoseApprovalCounts(t *testing.T) {
	run := identity.Actor{Kind: identity.KindRun, Name: "12", Cap: identity.Admin, Job: identity.JobClaims{Project: "shop", Repo: repo, Requester: "wanda"}}
	readToken := actor("wanda")
	readToken.Cap = identity.Read
	for _, tt := range []struct {
		name  string
		actor identity.Actor
		want  fault.Kind
	}{
		{"the author", actor("ada"), fault.Denied},
		{"a reader", actor("rita"), fault.Denied},
		{"a stranger", actor("stranger"), fault.NotFound},
		{"nobody", identity.Actor{}, fault.Unauthentic},
		{"a job of a run", run, fault.Denied},
		{"a deploy key", identity.Actor{Kind: identity.KindKey, Name: "k", Cap: identity.Admin, Key: identity.KeyClaims{Repo: repo, Write: true}}, fault.Denied},
		{"the platform", identity.SystemActor("policy"), fault.Denied},
		{"a writer by a token that reads", readToken, fault.Denied},
		{"a writer", actor("wanda"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.protect(approvals(1))
			w.propose("fix", map[string]string{"b.txt": "b\n"})
			r, err := w.Review(t.Context(), tt.actor, repo, 1, pull.Judgement{Verdict: pull.Approved})
			wants(t, err, tt.want)
			if r.Counts != (tt.want == "") {
				t.Errorf("%+v", r)
			}
			want := 1
			if tt.want == "" {
				want = 0
			}
			if got := w.blocks("max", 1); len(got) != want {
				t.Errorf("blocks: %v", got)
			}
		})
	}
}

// reviewers approve, and then something happens after which it does not count, or still does.
func TestWhenApprovalsStopToCount(t *testing.T) {
	drop := ruleset.Rules{PullRequest: &ruleset.PullRequest{Approvals: 1, DropStale: true}}
	for _, tt := range []struct {
		name   string
		rules  ruleset.Rules
		happen func(w *world, p pull.Pull, r pull.Review)
		why    string // "" when it still counts
	}{
		{"new commits, where they drop approvals", drop, func(w *world, _ pull.Pull, _ pull.Review) {
			w.push("ada", "fix", "", map[string]string{"b.txt": "bb\n"})
		}, "stale: commits were pushed since"},
		{"new commits, where they do not", approvals(1), func(w *world, _ pull.Pull, _ pull.Review) {
			w.push("ada", "fix", "", map[string]string{"b.txt": "bb\n"})
		}, ""},
		{"new commits and back again", drop, func(w *world, p pull.Pull, _ pull.Review) {
			w.push("ada", "fix", "", map[string]string{"b.txt": "bb\n"})
			w.hear()
			w.set("ada", "fix", p.Head)
		}, "stale: commits were pushed since"},
		{"the reviewer pushes", approvals(1), func(w *world, _ pull.Pull, _ pull.Review) {
			w.push("wanda", "fix", "", map[string]string{"b.txt": "bb\n"})
		}, "whoever pushed the last commits does not approve them"},
		{"the target moves on", drop, func(w *world, _ pull.Pull, _ pull.Review) {
			w.push("max", "side", "main", map[string]string{"c.txt": "c\n"})
			check(w.t, w.rules.Delete(w.t.Context(), actor("max"), repo, "main is protected"))
			w.set("max", "main", w.tip("refs/heads/side"))
			w.protect(drop)
		}, ""},
		{"the target is rewritten", drop, func(w *world, _ pull.Pull, _ pull.Review) {
			check(w.t, w.rules.Delete(w.t.Context(), actor("max"), repo, "main is protected"))
			w.move("max", "refs/heads/main", w.tip("refs/heads/main"), func(s *source.Scratch) string {
				return w.commit(s, nil, "max", time.Unix(1700000000, 0), "anew", map[string]string{"README.md": "anew\n"})
			})
			w.protect(drop)
		}, "stale: the target was rewritten since"},
		{"the reviewer loses the role", approvals(1), func(w *world, _ pull.Pull, _ pull.Review) {
			check(w.t, w.ids.Grant(w.t.Context(), identity.SystemActor("test"), "shop", "wanda", identity.Read))
		}, "wanda does not hold the role write"},
		{"the reviewer asks for changes", approvals(1), func(w *world, _ pull.Pull, _ pull.Review) {
			_, err := w.Review(w.t.Context(), actor("wanda"), repo, 1, pull.Judgement{Verdict: pull.Changes, Body: "after all, no"})
			check(w.t, err)
		}, "replaced by a later review"},
		{"the reviewer comments", approvals(1), func(w *world, _ pull.Pull, _ pull.Review) {
			_, err := w.Review(w.t.Context(), actor("wanda"), repo, 1, pull.Judgement{Verdict: pull.Commented, Body: "nice"})
			check(w.t, err)
		}, ""},
		{"a maintainer dismisses it", approvals(1), func(w *world, _ pull.Pull, r pull.Review) {
			_, err := w.Dismiss(w.t.Context(), actor("max"), repo, 1, r.ID, "given by mistake")
			check(w.t, err)
		}, "dismissed by user:max"},
		{"another target that asks for the same", approvals(1), func(w *world, _ pull.Pull, _ pull.Review) {
			w.set("max", "release/1", w.tip("refs/heads/main"))
			w.protectRefs("releases are protected", []string{"release/*"}, approvals(1))
			release := "release/1"
			_, err := w.Edit(w.t.Context(), actor("ada"), repo, 1, pull.Edit{Target: &release})
			check(w.t, err)
		}, "stale: it was given for a merge into main"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.protect(tt.rules)
			p := w.propose("fix", map[string]string{"b.txt": "b\n"})
			r := w.approve("wanda", 1)
			if !r.Counts || len(w.blocks("max", 1)) != 0 {
				t.Fatalf("it does not count from the start: %+v", r)
			}
			tt.happen(w, p, r)
			blocks := w.blocks("max", 1)
			list, err := w.Reviews(t.Context(), actor("rita"), repo, 1)
			check(t, err)
			if list[0].Why != tt.why || list[0].Counts != (tt.why == "") {
				t.Errorf("counts %v, because %q", list[0].Counts, list[0].Why)
			}
			waits := false
			for _, b := range blocks {
				waits = waits || strings.HasPrefix(b, "review: 0 of 1")
			}
			if waits != (tt.why != "") {
				t.Errorf("blocks: %v", blocks)
			}
		})
	}
}

// A pull request into a branch that asks for nothing is approved, and then pointed at one
// that is protected (CVE-2026-58439): everything is judged by the new one.
func TestNewTargetIsJudgedAnew(t *testing.T) {
	w := newWorld(t)
	w.set("max", "play", w.tip("refs/heads/main"))
	w.push("max", "main", "", map[string]string{"CODEOWNERS": "* @will\n"})
	w.protect(ruleset.Rules{
		PullRequest:    &ruleset.PullRequest{Approvals: 1, CodeOwners: true},
		RequiredChecks: []ruleset.Check{{Name: "policy", Source: "system:policy"}},
	})
	w.push("ada", "fix", "play", map[string]string{"b.txt": "b\n"})
	w.open("fix", "play")
	w.approve("wanda", 1)
	if got := w.blocks("ada", 1); len(got) != 0 {
		t.Fatalf("into the free branch: %v", got)
	}
	main := "main"
	_, err := w.Edit(t.Context(), actor("ada"), repo, 1, pull.Edit{Target: &main})
	check(t, err)
	want := []string{"review: 0 of 1 approval", "code-owner: 1 file of will", "check: The check policy was not reported"}
	if diff := cmp.Diff(want, w.blocks("ada", 1)); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
	updates := events[event.Pull](w, event.TypePullUpdated, 1)
	if len(updates) != 1 || updates[0].Change != "target" || updates[0].Dropped != 1 || updates[0].Target != "refs/heads/main" {
		t.Errorf("%+v", updates)
	}
	play := "play"
	_, err = w.Edit(t.Context(), actor("ada"), repo, 1, pull.Edit{Target: &play})
	check(t, err)
	if r, err := w.Reviews(t.Context(), actor("ada"), repo, 1); err != nil || r[0].Counts {
		t.Errorf("there and back the approval came to life again: %+v, %v", r, err)
	}
}

func TestReviewOfAnotherHead(t *testing.T) {
	w := newWorld(t)
	p := w.propose("fix", map[string]string{"b.txt": "b\n"})
	w.push("ada", "fix", "", map[string]string{"b.txt": "worse\n"})
	_, err := w.Review(t.Context(), actor("wanda"), repo, 1, pull.Judgement{Verdict: pull.Approved, Commit: p.Head})
	wants(t, err, fault.Conflict)
	_, err = w.Review(t.Context(), actor("wanda"), repo, 1, pull.Judgement{Verdict: "great"})
	wants(t, err, fault.Invalid)
	_, err = w.Review(t.Context(), actor("wanda"), repo, 1, pull.Judgement{Verdict: pull.Changes})
	wants(t, err, fault.Invalid)
}

func TestDismissing(t *testing.T) {
	w := newWorld(t)
	w.propose("fix", map[string]string{"b.txt": "b\n"})
	r, err := w.Review(t.Context(), actor("wanda"), repo, 1, pull.Judgement{Verdict: pull.Changes, Body: "no"})
	check(t, err)
	for _, tt := range []struct {
		who, id, why string
		want         fault.Kind
	}{
		{"will", r.ID, "because", fault.Denied},
		{"max", r.ID, " ", fault.Invalid},
		{"max", "another", "because", fault.NotFound},
		{"max", r.ID, "because", ""},
		{"max", r.ID, "because", fault.Conflict},
	} {
		_, err := w.Dismiss(t.Context(), actor(tt.who), repo, 1, tt.id, tt.why)
		wants(t, err, tt.want)
	}
	if got := w.blocks("ada", 1); len(got) != 0 {
		t.Errorf("after the dismissal: %v", got)
	}
	said := events[event.PullReviewed](w, event.TypePullReviewed, 1)
	if len(said) != 2 || said[1].Verdict != "dismissed" || said[1].Reviewer != "wanda" {
		t.Errorf("%+v", said)
	}
	// A maintainer's own pull request: what was asked of him stands until another decides.
	w.push("max", "own", "main", map[string]string{"c.txt": "c\n"})
	_, err = w.Open(t.Context(), actor("max"), repo, pull.Proposal{Title: "own", Source: "own"})
	check(t, err)
	r, err = w.Review(t.Context(), actor("wanda"), repo, 2, pull.Judgement{Verdict: pull.Changes, Body: "no"})
	check(t, err)
	_, err = w.Dismiss(t.Context(), actor("max"), repo, 2, r.ID, "I know better")
	wants(t, err, fault.Denied)
}

// Who owns what is read from the target; what the pull request itself says about it counts
// only once it is merged.
func TestCodeOwnersOfTheHeadAreIgnored(t *testing.T) {
	w := newWorld(t)
	w.push("max", "main", "", map[string]string{".github/CODEOWNERS": "*.txt @will @ada\n/.github/ @max\n"})
	w.protect(ruleset.Rules{PullRequest: &ruleset.PullRequest{CodeOwners: true}})
	p := w.propose("fix", map[string]string{".github/CODEOWNERS": "* @wanda\n", "b.txt": "b\n", "b.go": "b\n"})
	if diff := cmp.Diff([]pull.Reviewer{{User: "max", Owner: true}, {User: "will", Owner: true}}, p.Reviewers); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	w.approve("wanda", 1)
	want := []string{"code-owner: 1 file of will, ada", "code-owner: 1 file of max"}
	if diff := cmp.Diff(want, w.blocks("wanda", 1)); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
	w.approve("will", 1)
	w.approve("max", 1)
	g, err := w.State(t.Context(), actor("wanda"), repo, 1)
	if err != nil || !g.Allowed || len(g.Owners) != 2 || g.Owners[0].Approved != "will" || g.Owners[1].Paths[0] != ".github/CODEOWNERS" {
		t.Errorf("%+v, %v", g, err)
	}
}

// A team, an address or a mistyped name owns a path as anybody does: nobody can approve for
// it, and the block says what to do. A file that cannot be read closes the gate as well.
func TestOwnersThatNobodyIs(t *testing.T) {
	w := newWorld(t)
	w.push("max", "main", "", map[string]string{"CODEOWNERS": "*.txt @shop/sre\n"})
	w.protect(ruleset.Rules{PullRequest: &ruleset.PullRequest{CodeOwners: true}})
	w.propose("fix", map[string]string{"b.txt": "b\n"})
	w.approve("wanda", 1)
	g, err := w.State(t.Context(), actor("wanda"), repo, 1)
	check(t, err)
	if len(g.Blocks) != 1 || !strings.Contains(g.Blocks[0].Next, "name another user") {
		t.Errorf("%+v", g.Blocks)
	}
	check(t, w.rules.Delete(t.Context(), actor("max"), repo, "main is protected"))
	w.push("max", "main", "", map[string]string{"CODEOWNERS": strings.Repeat("x @will\n", 1<<18)})
	w.protect(ruleset.Rules{PullRequest: &ruleset.PullRequest{CodeOwners: true}})
	if diff := cmp.Diff([]string{"code-owner: The code owners cannot be known"}, w.blocks("wanda", 1)); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
}

// Both names of a moved file have owners.
func TestOwnersOfAMovedFile(t *testing.T) {
	w := newWorld(t)
	w.push("max", "main", "", map[string]string{"CODEOWNERS": "/safe/ @will\n", "safe/x": "x\n"})
	w.protect(ruleset.Rules{PullRequest: &ruleset.PullRequest{CodeOwners: true}})
	w.propose("fix", map[string]string{"safe/x": "-", "free/x": "x\n"})
	w.approve("wanda", 1)
	if diff := cmp.Diff([]string{"code-owner: 1 file of will"}, w.blocks("wanda", 1)); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
}

func TestPinnedChecks(t *testing.T) {
	policy, pipeline := identity.SystemActor("policy"), identity.SystemActor("pipeline")
	run := identity.Actor{Kind: identity.KindRun, Name: "policy", Cap: identity.Admin, Job: identity.JobClaims{Project: "shop", Repo: repo}}
	type report struct {
		by    identity.Actor
		state string
	}
	for _, tt := range []struct {
		name, pin string
		reports   []report
		want      string // "" when it passes
	}{
		{"by nobody", "system:policy", nil, "was not reported"},
		{"by the author", "system:policy", []report{{actor("ada"), pull.Success}}, "was not reported"},
		{"by a job of a run", "system:policy", []report{{run, pull.Success}}, "was not reported"},
		{"by another part of the platform", "system:policy", []report{{pipeline, pull.Success}}, "was not reported"},
		{"by its source", "system:policy", []report{{policy, pull.Success}}, ""},
		{"a failure that somebody else denies", "system:policy", []report{{policy, pull.Failure}, {actor("ada"), pull.Success}}, "failed"},
		{"running", "system:policy", []report{{policy, pull.Running}}, "is running"},
		{"could not judge", "system:policy", []report{{policy, pull.Error}}, "could not judge"},
		{"success, then running again", "system:policy", []report{{policy, pull.Success}, {policy, pull.Running}}, "is running"},
		{"failure, then success", "system:policy", []report{{policy, pull.Failure}, {policy, pull.Success}}, ""},
		{"not pinned, by a writer", "", []report{{actor("wanda"), pull.Success}}, ""},
		{"not pinned, two that disagree", "", []report{{actor("wanda"), pull.Failure}, {actor("ada"), pull.Success}}, "failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.protect(ruleset.Rules{RequiredChecks: []ruleset.Check{{Name: "policy", Source: tt.pin}}})
			p := w.propose("fix", map[string]string{"b.txt": "b\n"})
			for _, r := range tt.reports {
				w.report(r.by, p.Head, "policy", r.state)
			}
			got := w.blocks("wanda", 1)
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
				t.Errorf("blocks %v, want %q", got, tt.want)
			}
			// What was said of one commit says nothing of the next.
			w.push("ada", "fix", "", map[string]string{"b.txt": "bb\n"})
			if got := w.blocks("wanda", 1); len(got) != 1 || !strings.Contains(got[0], "was not reported") {
				t.Errorf("after a push: %v", got)
			}
		})
	}
}

func TestBypass(t *testing.T) {
	w := newWorld(t)
	w.protect(ruleset.Rules{PullRequest: &ruleset.PullRequest{Approvals: 1}, RequiredChecks: []ruleset.Check{{Name: "policy"}}}, "user:wanda")
	w.propose("fix", map[string]string{"b.txt": "b\n"})
	_, err := w.Merge(t.Context(), actor("max"), repo, 1, pull.Merge{Bypass: true})
	blocked(t, err)
	_, err = w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{})
	blocked(t, err)
	yes := true
	_, err = w.Edit(t.Context(), actor("ada"), repo, 1, pull.Edit{Draft: &yes})
	check(t, err)
	_, err = w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{Bypass: true})
	blocked(t, err)
	no := false
	_, err = w.Edit(t.Context(), actor("ada"), repo, 1, pull.Edit{Draft: &no})
	check(t, err)
	g, err := w.State(t.Context(), actor("wanda"), repo, 1)
	if err != nil || !g.Bypass || g.Allowed {
		t.Errorf("%+v, %v", g, err)
	}
	p, err := w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{Bypass: true})
	if err != nil || p.State != pull.Merged {
		t.Fatalf("%+v, %v", p, err)
	}
	list, err := w.log.Read(t.Context(), event.Query{Type: event.TypeRulesetJudged})
	check(t, err)
	var found []string
	for _, e := range list {
		var j event.RulesetJudged
		check(t, e.Into(&j))
		if e.Actor == "user:wanda" && j.Outcome == "bypassed" && j.Pull == 1 {
			for _, r := range j.Refusals {
				found = append(found, r.Rule)
			}
		}
	}
	if diff := cmp.Diff([]string{"review: 0 of 1 approval", "check: The check policy was not reported"}, found); diff != "" {
		t.Errorf("the logbook says (-want +got):\n%s", diff)
	}
	entries, err := w.Timeline(t.Context(), actor("rita"), repo, 1)
	check(t, err)
	if last := entries[len(entries)-1]; last.Kind != pull.EntryMerged || last.Count != 2 || last.From != pull.MethodMerge {
		t.Errorf("%+v", last)
	}
}

func TestMayMerge(t *testing.T) {
	w := newWorld(t)
	w.propose("fix", map[string]string{"b.txt": "b\n"})
	run := identity.Actor{Kind: identity.KindRun, Name: "12", Cap: identity.Admin, Job: identity.JobClaims{Project: "shop", Repo: repo}}
	for name, a := range map[string]identity.Actor{"a reader": actor("rita"), "a job": run, "a key": {Kind: identity.KindKey, Name: "k", Cap: identity.Admin}} {
		if _, err := w.Merge(t.Context(), a, repo, 1, pull.Merge{}); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	g, err := w.State(t.Context(), actor("rita"), repo, 1)
	if err != nil || g.May || g.Allowed || len(g.Blocks) != 0 {
		t.Errorf("to a reader: %+v, %v", g, err)
	}
	_, err = w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{Expect: git.Zero})
	wants(t, err, fault.Conflict)
	_, err = w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{Method: "octopus"})
	wants(t, err, fault.Invalid)
	_, err = w.Merge(t.Context(), actor("wanda"), repo, 2, pull.Merge{})
	wants(t, err, fault.NotFound)
}
