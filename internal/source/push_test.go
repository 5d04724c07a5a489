package source_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
)

func TestPushMakesProjectAndRepository(t *testing.T) {
	w := newWorld(t)
	c := newClone(t)
	first := c.commit("First\n\nbody", "README.md", "hello\n")
	second := c.commit("Second", "README.md", "hello again\n")
	out := c.git("push", w.url("admin", "fresh/web.git"), "main")
	for _, want := range []string{"Towpath made the repository fresh/web", "main is now " + second[:10] + " (2 new commits)", "http://towpath.test/projects/fresh"} {
		if !strings.Contains(out, want) {
			t.Errorf("push did not say %q but:\n%s", want, out)
		}
	}
	made := w.events(event.TypeRepoCreated)
	if len(made) != 1 || made[0].Subject != "repo:fresh/web" || made[0].Actor != "user:admin" {
		t.Errorf("repo.created: %+v", made)
	}
	got := w.pushed()
	if len(got) != 1 {
		t.Fatalf("got %d pushes", len(got))
	}
	want := event.CommitPushed{
		V: 1, Repo: "fresh/web", Ref: "refs/heads/main", Before: strings.Repeat("0", 40), Commit: second, Title: "Second", Author: "Wanda",
		Authored: got[0].Authored, Commits: 2, Default: true,
	}
	if d := cmp.Diff(want, got[0]); d != "" {
		t.Error(d)
	}
	e := w.events(event.TypeCommitPushed)[0]
	if d := cmp.Diff([]event.Link{{Rel: event.RelInto, To: "repo:fresh/web"}}, e.Links); d != "" || e.Actor != "user:admin" || e.Project != "fresh" {
		t.Errorf("event %+v: %s", e, d)
	}

	other := newClone(t)
	other.git("fetch", "-q", w.url("admin", "fresh/web"), "main")
	if head := other.git("rev-parse", "FETCH_HEAD"); head != second {
		t.Errorf("fetched %s, want %s (after %s)", head, second, first)
	}
}
