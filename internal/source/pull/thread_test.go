package pull_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func TestConversation(t *testing.T) { storetest.Each(t, testConversation) }

func testConversation(t *testing.T, db *store.DB) {
	w := build(t, db)
	p := w.propose("fix", map[string]string{"a.txt": lines("one", "2", "three", "four", "five", "six", "seven", "eight", "nine")})
	on, err := w.Comment(t.Context(), actor("rita"), repo, 1, pull.Remark{Body: "why 2?", Path: "a.txt", Line: 5})
	check(t, err)
	if diff := cmp.Diff([]string{"2", "three", "four", "five"}, on.Context); diff != "" || on.Commit != p.Head || on.Side != pull.SideNew || on.Outdated {
		t.Errorf("%+v\n%s", on, diff)
	}
	_, err = w.Comment(t.Context(), actor("wanda"), repo, 1, pull.Remark{Body: "a word on the whole"})
	check(t, err)
	on, err = w.Reply(t.Context(), actor("ada"), repo, 1, on.ID, "because")
	if err != nil || len(on.Comments) != 2 || on.Comments[1].Author != "user:ada" {
		t.Fatalf("%+v, %v", on, err)
	}
	_, err = w.Amend(t.Context(), actor("wanda"), repo, 1, on.Comments[1].ID, "no")
	wants(t, err, fault.Denied)
	on, err = w.Amend(t.Context(), actor("ada"), repo, 1, on.Comments[1].ID, "because of this")
	if err != nil || on.Comments[1].Body != "because of this" || on.Comments[1].Edited.IsZero() {
		t.Errorf("%+v, %v", on, err)
	}
	if got := w.get(1); got.Comments != 3 || got.Threads != 1 {
		t.Errorf("%d comments, %d threads", got.Comments, got.Threads)
	}
	_, err = w.Resolve(t.Context(), actor("stranger"), repo, 1, on.ID, true)
	wants(t, err, fault.NotFound)
	on, err = w.Resolve(t.Context(), actor("rita"), repo, 1, on.ID, true) // She began it.
	if err != nil || on.Resolved == nil || on.Resolved.By != "rita" {
		t.Errorf("%+v, %v", on, err)
	}
	on, err = w.Resolve(t.Context(), actor("wanda"), repo, 1, on.ID, false)
	if err != nil || on.Resolved != nil {
		t.Errorf("%+v, %v", on, err)
	}
	_, err = w.Review(t.Context(), actor("rita"), repo, 1, pull.Judgement{Verdict: pull.Commented, Body: "all in all"})
	check(t, err)
	entries, err := w.Timeline(t.Context(), actor("rita"), repo, 1)
	check(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Kind+" "+e.Actor)
	}
	want := []string{"opened user:ada", "comment user:rita", "comment user:wanda", "review user:rita"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
	if said := events[event.PullCommented](w, event.TypePullCommented, 1); len(said) != 6 || said[0].Path != "a.txt" || said[0].Line != 5 || !said[3].Resolved {
		t.Errorf("%+v", said)
	}
}

func TestRemarksThatAreRefused(t *testing.T) {
	w := newWorld(t)
	w.propose("fix", map[string]string{"b.txt": "b\n"})
	run := identity.Actor{Kind: identity.KindRun, Name: "12", Cap: identity.Admin, Job: identity.JobClaims{Project: "shop", Repo: repo}}
	for _, tt := range []struct {
		name  string
		actor identity.Actor
		r     pull.Remark
		want  fault.Kind
	}{
		{"empty", actor("ada"), pull.Remark{Body: " \n"}, fault.Invalid},
		{"too long", actor("ada"), pull.Remark{Body: strings.Repeat("x", 1<<17)}, fault.TooLarge},
		{"no text", actor("ada"), pull.Remark{Body: "a\xff"}, fault.Invalid},
		{"by a job", run, pull.Remark{Body: "x"}, fault.Denied},
		{"by a stranger", actor("stranger"), pull.Remark{Body: "x"}, fault.NotFound},
		{"no such file", actor("ada"), pull.Remark{Body: "x", Path: "c.txt", Line: 1}, fault.NotFound},
		{"no such line", actor("ada"), pull.Remark{Body: "x", Path: "b.txt", Line: 2}, fault.NotFound},
		{"line 0", actor("ada"), pull.Remark{Body: "x", Path: "b.txt"}, fault.Invalid},
		{"no such side", actor("ada"), pull.Remark{Body: "x", Path: "b.txt", Line: 1, Side: "left"}, fault.Invalid},
		{"the old side of a new file", actor("ada"), pull.Remark{Body: "x", Path: "b.txt", Line: 1, Side: pull.SideOld}, fault.NotFound},
		{"a path that climbs", actor("ada"), pull.Remark{Body: "x", Path: "../b.txt", Line: 1}, fault.NotFound},
		{"an expression as commit", actor("ada"), pull.Remark{Body: "x", Path: "b.txt", Line: 1, Commit: "HEAD"}, fault.Invalid},
		{"a line of the base", actor("ada"), pull.Remark{Body: "x", Path: "a.txt", Line: 9, Side: pull.SideOld}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.Comment(t.Context(), tt.actor, repo, 1, tt.r)
			wants(t, err, tt.want)
		})
	}
}

// A thread stays at its line while the file changes around it, follows it into another
// name, and is outdated once the line is gone.
func TestLinesAreFollowed(t *testing.T) {
	w := newWorld(t)
	text := []string{"one", "2", "three", "four", "five", "six", "seven", "eight", "nine"}
	w.propose("fix", map[string]string{"a.txt": lines(text...), "b.txt": "b\n"})
	comment := func(path, side string, line int) string {
		t.Helper()
		c, err := w.Comment(t.Context(), actor("rita"), repo, 1, pull.Remark{Body: "x", Path: path, Side: side, Line: line})
		check(t, err)
		return c.ID
	}
	comment("a.txt", "", 4) // its line is changed below
	first, eighth, old, gone := comment("a.txt", "", 1), comment("a.txt", "", 8), comment("a.txt", pull.SideOld, 9), comment("b.txt", "", 1)
	where := func() map[string]pull.Place {
		t.Helper()
		list, err := w.Threads(t.Context(), actor("rita"), repo, 1)
		check(t, err)
		out := map[string]pull.Place{}
		for _, c := range list {
			if !c.Outdated {
				out[c.ID] = c.Now
			}
		}
		return out
	}
	w.push("ada", "fix", "", map[string]string{"a.txt": lines("zero", "one", "2", "three", "FOUR", "five", "six", "eight", "nine"), "b.txt": "-"})
	w.hear()
	want := map[string]pull.Place{first: {Path: "a.txt", Line: 2}, eighth: {Path: "a.txt", Line: 8}, old: {Path: "a.txt", Line: 9}}
	if diff := cmp.Diff(want, where()); diff != "" {
		t.Errorf("after a push (-want +got):\n%s", diff)
	}
	w.push("ada", "fix", "", map[string]string{"a.txt": "-", "moved.txt": lines("zero", "one", "2", "three", "FOUR", "five", "six", "eight", "nine"), "b.txt": "b\n"})
	w.hear()
	want = map[string]pull.Place{
		first: {Path: "moved.txt", Line: 2}, eighth: {Path: "moved.txt", Line: 8}, old: {Path: "a.txt", Line: 9},
		gone: {Path: "b.txt", Line: 1}, // it is there again
	}
	if diff := cmp.Diff(want, where()); diff != "" {
		t.Errorf("after a move (-want +got):\n%s", diff)
	}
}
