package pull_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// The whole way, on every engine.
func TestOpenReviewMerge(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		w.protect(ruleset.Rules{PullRequest: &ruleset.PullRequest{Approvals: 1}, RequiredChecks: []ruleset.Check{{Name: "policy", Source: "system:policy"}}})
		p := w.propose("fix", map[string]string{"b.txt": "b\n"})
		if p.Number != 1 || p.State != pull.Open || p.Head != w.tip("refs/heads/fix") || p.Base != w.tip("refs/heads/main") || p.Pusher != "user:ada" || p.Test == "" {
			t.Fatalf("%+v", p)
		}
		if w.tip("refs/pull/1/head") != p.Head || w.tip("refs/pull/1/merge") != p.Test {
			t.Error("the refs of the pull request are elsewhere")
		}
		want := []string{"review: 0 of 1 approval", "check: The check policy was not reported"}
		if diff := cmp.Diff(want, w.blocks("wanda", 1)); diff != "" {
			t.Errorf("blocks (-want +got):\n%s", diff)
		}
		_, err := w.Merge(t.Context(), actor("wanda"), repo, 1, pull.Merge{})
		if diff := cmp.Diff(want, blocked(t, err)); diff != "" {
			t.Errorf("merge (-want +got):\n%s", diff)
		}
		w.approve("wanda", 1)
		w.report(identity.SystemActor("policy"), p.Head, "policy", pull.Success)
		p, err = w.Merge(t.Context(), actor("ada"), repo, 1, pull.Merge{Expect: p.Head, DeleteSource: true})
		check(t, err)
		if p.State != pull.Merged || p.Notice != "" || p.Result != w.tip("refs/heads/main") || w.tip("refs/heads/fix") != "" || w.text(p.Result, "b.txt") != "b\n" {
			t.Errorf("%+v", p)
		}
		merged := events[event.Pull](w, event.TypePullMerged, 1)
		if len(merged) != 1 || merged[0].Merged != p.Result || merged[0].Method != pull.MethodMerge || merged[0].Target != "refs/heads/main" {
			t.Errorf("%+v", merged)
		}
		w.hear()
		if got := w.get(1); got.State != pull.Merged || len(events[event.Pull](w, event.TypePullMerged, 1)) != 1 || len(events[event.Pull](w, event.TypePullClosed, 1)) != 0 {
			t.Errorf("after hearing of its own merge: %+v", got)
		}
	})
}

func TestOpenRefusals(t *testing.T) {
	w := newWorld(t)
	w.propose("fix", map[string]string{"b.txt": "b\n"})
	w.push("ada", "other", "main", map[string]string{"c.txt": "c\n"})
	w.set("ada", "same", w.tip("refs/heads/main"))
	run := identity.Actor{Kind: identity.KindRun, Name: "12", Cap: identity.Admin, Job: identity.JobClaims{Project: "shop", Repo: repo}}
	for _, tt := range []struct {
		name  string
		actor identity.Actor
		p     pull.Proposal
		want  fault.Kind
	}{
		{"by nobody", identity.Actor{}, pull.Proposal{Title: "t", Source: "other"}, fault.Unauthentic},
		{"by a job", run, pull.Proposal{Title: "t", Source: "other"}, fault.Denied},
		{"by a deploy key", identity.Actor{Kind: identity.KindKey, Name: "k", Cap: identity.Admin}, pull.Proposal{Title: "t", Source: "other"}, fault.Denied},
		{"by a reader", actor("rita"), pull.Proposal{Title: "t", Source: "other"}, fault.Denied},
		{"by a stranger", actor("stranger"), pull.Proposal{Title: "t", Source: "other"}, fault.NotFound},
		{"without a title", actor("ada"), pull.Proposal{Title: " ", Source: "other"}, fault.Invalid},
		{"with a long title", actor("ada"), pull.Proposal{Title: strings.Repeat("x", 300), Source: "other"}, fault.Invalid},
		{"with a long body", actor("ada"), pull.Proposal{Title: "t", Body: strings.Repeat("x", 1<<17), Source: "other"}, fault.TooLarge},
		{"a second of the same branches", actor("ada"), pull.Proposal{Title: "t", Source: "fix"}, fault.Conflict},
		{"of a branch into itself", actor("ada"), pull.Proposal{Title: "t", Source: "main"}, fault.Invalid},
		{"of a branch that is not there", actor("ada"), pull.Proposal{Title: "t", Source: "nowhere"}, fault.NotFound},
		{"into a branch that is not there", actor("ada"), pull.Proposal{Title: "t", Source: "other", Target: "nowhere"}, fault.NotFound},
		{"of an option", actor("ada"), pull.Proposal{Title: "t", Source: "--all"}, fault.Invalid},
		{"of an expression", actor("ada"), pull.Proposal{Title: "t", Source: "fix~1"}, fault.Invalid},
		{"of nothing", actor("ada"), pull.Proposal{Title: "t", Source: "same"}, fault.Conflict},
		{"with himself as reviewer", actor("ada"), pull.Proposal{Title: "t", Source: "other", Reviewers: []string{"ada"}}, fault.Invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.Open(t.Context(), tt.actor, repo, tt.p)
			wants(t, err, tt.want)
		})
	}
}

func TestListAndFilters(t *testing.T) { storetest.Each(t, testListAndFilters) }

func testListAndFilters(t *testing.T, db *store.DB) {
	w := build(t, db)
	w.propose("fix", map[string]string{"b.txt": "b\n"})
	w.push("wanda", "login_100%", "main", map[string]string{"c.txt": "c\n"})
	_, err := w.Open(t.Context(), actor("wanda"), repo, pull.Proposal{Title: "A new LOGIN", Body: "with words", Source: "login_100%", Reviewers: []string{"will", "ada"}})
	check(t, err)
	p3 := w.propose("old", map[string]string{"d.txt": "d\n"})
	_, err = w.Close(t.Context(), actor("ada"), repo, p3.Number)
	check(t, err)
	for _, tt := range []struct {
		name string
		f    pull.Filter
		want []int64
	}{
		{"open", pull.Filter{}, []int64{2, 1}},
		{"all", pull.Filter{State: "all"}, []int64{3, 2, 1}},
		{"closed", pull.Filter{State: pull.Closed}, []int64{3}},
		{"merged", pull.Filter{State: pull.Merged}, nil},
		{"of a repository", pull.Filter{Repo: repo}, []int64{2, 1}},
		{"by author", pull.Filter{Author: "wanda"}, []int64{2}},
		{"that wait for somebody", pull.Filter{Reviewer: "will"}, []int64{2}},
		{"that wait for nobody", pull.Filter{Reviewer: "max"}, nil},
		{"by words, any case", pull.Filter{Text: "new login"}, []int64{2}},
		{"by the body", pull.Filter{Text: "words"}, []int64{2}},
		{"by the branch, with a sign of SQL", pull.Filter{Text: "n_100%"}, []int64{2}},
		{"a sign of SQL is no wildcard", pull.Filter{Text: "%"}, []int64{2}},
		{"by number", pull.Filter{Text: "#1"}, []int64{1}},
		{"by head", pull.Filter{Head: p3.Head, State: "all"}, []int64{3}},
		{"a page", pull.Filter{State: "all", Limit: 1, Skip: 1}, []int64{2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, more, err := w.List(t.Context(), actor("rita"), "shop", tt.f)
			check(t, err)
			var got []int64
			for _, p := range list {
				got = append(got, p.Number)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || more != (tt.f.Limit == 1) {
				t.Errorf("more %v (-want +got):\n%s", more, diff)
			}
		})
	}
	w.approve("will", 2)
	if list, _, err := w.List(t.Context(), actor("rita"), "shop", pull.Filter{Reviewer: "will"}); err != nil || len(list) != 0 {
		t.Errorf("after the review: %+v, %v", list, err)
	}
	_, _, err = w.List(t.Context(), actor("stranger"), "shop", pull.Filter{})
	wants(t, err, fault.NotFound)
	_, _, err = w.List(t.Context(), actor("rita"), "shop", pull.Filter{State: "x"})
	wants(t, err, fault.Invalid)
	_, _, err = w.List(t.Context(), actor("rita"), "shop", pull.Filter{Repo: "bank/web"})
	wants(t, err, fault.Invalid)
}

func TestEditCloseReopen(t *testing.T) {
	w := newWorld(t)
	p := w.propose("fix", map[string]string{"b.txt": "b\n"})
	title, body, yes, no := "Better", "words", true, false
	_, err := w.Edit(t.Context(), actor("rita"), repo, 1, pull.Edit{Title: &title})
	wants(t, err, fault.Denied)
	p, err = w.Edit(t.Context(), actor("wanda"), repo, 1, pull.Edit{Title: &title, Body: &body, Draft: &yes})
	check(t, err)
	if p.Title != title || p.Body != body || !p.Draft {
		t.Errorf("%+v", p)
	}
	_, err = w.Edit(t.Context(), actor("ada"), repo, 1, pull.Edit{Draft: &no})
	check(t, err)
	_, err = w.Close(t.Context(), actor("rita"), repo, 1)
	wants(t, err, fault.Denied)
	_, err = w.Close(t.Context(), actor("ada"), repo, 1)
	check(t, err)
	_, err = w.Close(t.Context(), actor("ada"), repo, 1)
	wants(t, err, fault.Conflict)
	_, err = w.Edit(t.Context(), actor("ada"), repo, 1, pull.Edit{Draft: &yes})
	wants(t, err, fault.Conflict)
	head := w.push("ada", "fix", "", map[string]string{"b.txt": "more\n"})
	w.hear()
	if got := w.get(1); got.State != pull.Closed || got.Head == head {
		t.Errorf("a closed pull request followed a push: %+v", got)
	}
	if p, err = w.Reopen(t.Context(), actor("ada"), repo, 1); err != nil || p.State != pull.Open || p.Head != head || w.tip("refs/pull/1/head") != head {
		t.Errorf("%+v, %v", p, err)
	}
	var changes []string
	for _, e := range events[event.Pull](w, event.TypePullUpdated, 1) {
		changes = append(changes, e.Change)
	}
	if diff := cmp.Diff([]string{"title", "draft", "ready", "reopened", "commits"}, changes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	entries, err := w.Timeline(t.Context(), actor("rita"), repo, 1)
	check(t, err)
	var kinds []string
	for _, e := range entries {
		kinds = append(kinds, e.Kind)
	}
	if diff := cmp.Diff([]string{"opened", "title", "draft", "ready", "closed", "reopened", "commits"}, kinds); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
}

// A pull request follows its branches: new commits, a target that moves, a conflict that
// comes and goes, branches that are deleted, and commits that somebody pushed himself.
func TestFollowsItsBranches(t *testing.T) {
	w := newWorld(t)
	w.propose("fix", map[string]string{"b.txt": "b\n"})
	head := w.push("wanda", "fix", "", map[string]string{"b.txt": "bb\n"})
	w.hear()
	p := w.get(1)
	if p.Head != head || p.Pusher != "user:wanda" || w.tip("refs/pull/1/head") != head {
		t.Fatalf("after a push: %+v", p)
	}
	test := p.Test
	main := w.push("max", "main", "", map[string]string{"c.txt": "c\n"})
	w.hear()
	if p = w.get(1); p.Tip != main || p.Test == test || w.tip("refs/pull/1/merge") != p.Test || w.text(p.Test, "c.txt") != "c\n" || w.text(p.Test, "b.txt") != "bb\n" {
		t.Errorf("after the target moved: %+v", p)
	}
	w.push("max", "main", "", map[string]string{"b.txt": "other\n"})
	w.hear()
	if p = w.get(1); !cmp.Equal(p.Conflicts, []string{"b.txt"}) || p.Test != "" || w.tip("refs/pull/1/merge") != "" {
		t.Errorf("with a conflict: %+v", p)
	}
	w.push("ada", "fix", "", map[string]string{"b.txt": "-", "e.txt": "e\n"})
	w.push("max", "main", "", map[string]string{"b.txt": "-"})
	w.hear()
	if p = w.get(1); p.Conflicts != nil || p.Test == "" {
		t.Errorf("without the conflict: %+v", p)
	}
	if n := len(events[event.Pull](w, event.TypePullUpdated, 1)); n != 2 {
		t.Errorf("%d updates were said, want one for each push to the source", n)
	}
	w.set("ada", "fix", git.Zero)
	w.hear()
	if p = w.get(1); p.State != pull.Closed || p.EndedBy != "system:pull" {
		t.Errorf("after its branch was deleted: %+v", p)
	}
	p2 := w.propose("feature", map[string]string{"f.txt": "f\n"})
	w.set("max", "main", p2.Head)
	// Who asks before the platform has heard of it takes nothing away from it.
	if got := w.blocks("max", 2); !cmp.Equal(got, []string{"conflict: A branch is moving"}) {
		t.Errorf("blocks %v", got)
	}
	w.hear()
	if p = w.get(2); p.State != pull.Merged || p.Method != pull.MethodPush || p.EndedBy != "user:max" || p.Result != p2.Head || p.Base != p2.Base {
		t.Errorf("after its commits were pushed to the target: %+v", p)
	}
}
