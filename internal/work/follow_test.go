package work_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/work"
)

var hash = strings.Repeat("a", 40)

func push(branch string, isDefault bool) event.CommitPushed {
	return event.CommitPushed{V: 1, Repo: "shop/web", Ref: "refs/heads/" + branch, Before: strings.Repeat("0", 40), Commit: hash, Title: "t", Default: isDefault}
}

// links lists the links of an item: "rel subject".
func (w *world) links(number int64) (out []string) {
	w.t.Helper()
	for _, l := range w.get(number).Links {
		out = append(out, l.Rel+" "+strings.TrimRight(l.Subject, "a"))
	}
	return out
}

func TestPushesLinkAndClose(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, tt := range []struct {
			name, message string
			push          event.CommitPushed
			state         string
			links         []string
		}{
			{"default branch", "x\n\nFixes #1", push("main", true), "Resolved", []string{"fixed-by commit:", "mentioned commit:"}},
			{"release branch", "x\n\ncloses AB#1", push("release/1", false), "Resolved", []string{"fixed-by commit:", "mentioned commit:"}},
			{"other branch", "fix #1", push("fix", false), "New", []string{"mentioned commit:"}},
			{"only linked", "part of #1", push("main", true), "New", []string{"mentioned commit:"}},
			{"by the branch", "x", push("1-fix", false), "New", []string{"mentioned commit:"}},
			{"number of a pull request", "x (#1)", push("main", true), "New", nil},
			{"another project's item", "fixes #2", push("main", true), "New", nil},
			{"no item", "fixes #99", push("main", true), "New", nil},
		} {
			w := build(t, db)
			it := w.add(work.NewItem{Title: "x"})
			theirs, err := w.Create(t.Context(), user("mallory"), "bank", work.NewItem{Title: "theirs"})
			check(t, err)
			text := strings.NewReplacer("#1", "#"+itoa(it.Number), "#2", "#"+itoa(theirs.Number)).Replace(tt.message)
			tt.push.Ref = strings.Replace(tt.push.Ref, "1-fix", itoa(it.Number)+"-fix", 1)
			w.code.pulls[it.Number] = work.Pull{Repo: "shop/web", Number: it.Number}
			w.code.commits[hash] = []work.Commit{{Hash: hash, Title: "cart", Message: text}}
			for range 2 { // A second time nothing happens.
				check(t, w.LinkPush(t.Context(), "user:ada", tt.push))
			}
			got := w.get(it.Number)
			if got.State != tt.state {
				t.Errorf("%s: %s, want %s", tt.name, got.State, tt.state)
			}
			if d := cmp.Diff(tt.links, w.links(it.Number)); d != "" {
				t.Errorf("%s: %s", tt.name, d)
			}
			other, err := w.Get(t.Context(), user("mallory"), theirs.Number)
			if err != nil || other.State != "New" || len(other.Links) != 0 {
				t.Errorf("%s: a push to shop changed bank's item: %+v %v", tt.name, other.Item, err)
			}
		}
	})
}

func TestMergesClose(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	w.add(work.NewItem{Title: "a"})
	w.add(work.NewItem{Title: "b"})
	_, err := w.SetStates(t.Context(), user("max"), "shop", []work.State{{Name: "New", Category: work.Proposed}, {Name: "Done", Category: work.Completed}, {Name: "Dropped", Category: work.Removed}})
	check(t, err)
	w.code.pulls[7] = work.Pull{Repo: "shop/web", Number: 7, Title: "cart: fixes AB#1, AB#2", Source: "2-cart", Target: "main", Default: true}
	in := event.Pull{V: 1, Repo: "shop/web", Number: 7}
	check(t, w.LinkPull(t.Context(), "user:ada", in, false))
	if got := w.get(1); got.State != "New" || len(got.Links) != 1 {
		t.Errorf("opened: %+v", got)
	}
	check(t, w.LinkPull(t.Context(), "user:ada", in, true))
	if a, b := w.get(1), w.get(2); a.State != "Done" || b.State != "New" || len(b.Links) != 1 {
		t.Errorf("merged: %+v %+v", a, b)
	}
	// What somebody opened again stays open when the event comes once more.
	_, err = w.Change(t.Context(), user("wanda"), 1, work.Edit{State: ptr("New")})
	check(t, err)
	check(t, w.LinkPull(t.Context(), "user:ada", in, true))
	if got := w.get(1); got.State != "New" {
		t.Errorf("it was closed again: %+v", got)
	}
	w.code.pulls[8] = work.Pull{Repo: "shop/web", Number: 8, Body: "Closes #2", Target: "side"}
	check(t, w.LinkPull(t.Context(), "user:ada", event.Pull{Repo: "shop/web", Number: 8}, true))
	if got := w.get(2); got.State != "New" {
		t.Errorf("a merge into another branch closed it: %+v", got)
	}
	check(t, w.LinkPull(t.Context(), "user:ada", event.Pull{Repo: "shop/web", Number: 9}, true))
}

// TestTheLogbookIsFollowed lets the service hear of a push by the logbook.
func TestTheLogbookIsFollowed(t *testing.T) {
	db := storetest.SQLite(t)
	w := build(t, db)
	w.add(work.NewItem{Title: "a"})
	w.code.commits[hash] = []work.Commit{{Hash: hash, Title: "cart", Message: "fixes #1"}}
	check(t, db.Tx(t.Context(), func(tx *store.Tx) error {
		return w.log.Append(t.Context(), tx, event.Fact{Type: event.TypeCommitPushed, Subject: event.Of(event.KindCommit, hash), Project: "shop", Actor: "user:ada", Payload: push("main", true)})
	}))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	for w.get(1).State != "Resolved" {
		changed := w.log.Changed()
		if w.get(1).State == "Resolved" {
			break
		}
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatal("nobody heard of the push")
		}
	}
	w.code.lost[hash] = []string{hash}
	check(t, db.Tx(t.Context(), func(tx *store.Tx) error {
		return w.log.Append(t.Context(), tx, event.Fact{Type: event.TypeRefDeleted, Subject: "repo:shop/web", Project: "shop", Actor: "user:ada", Payload: event.RefDeleted{V: 1, Ref: "refs/heads/main", Before: hash}})
	}))
	for changed := w.log.Changed(); !strings.HasSuffix(w.get(1).Links[0].Title, "any more)"); changed = w.log.Changed() {
		if strings.HasSuffix(w.get(1).Links[0].Title, "any more)") {
			break
		}
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatal("nobody heard that the branch is gone")
		}
	}
	stop()
	check(t, <-done)
}

func TestReferenced(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	w.add(work.NewItem{Title: "a"})
	_, err := w.Create(t.Context(), user("mallory"), "bank", work.NewItem{Title: "theirs"})
	check(t, err)
	for _, tt := range []struct {
		branch string
		texts  []string
		want   []int64
	}{
		{"fix", []string{"no", ""}, nil}, {"1-fix", nil, []int64{1}}, {"fix", []string{"see #1"}, []int64{1}}, {"fix", []string{"AB#2", "#99"}, nil}, {"fix", []string{"`#1`"}, nil},
	} {
		got, err := w.Referenced(t.Context(), "shop", tt.branch, tt.texts)
		check(t, err)
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%+v: %s", tt, d)
		}
	}
}

// TestADeletedBranchMarksItsLinks follows a branch that is pushed, deleted and pushed again.
func TestADeletedBranchMarksItsLinks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		it := w.add(work.NewItem{Title: "a"})
		kept, lost := strings.Repeat("b", 40), hash
		branch := itoa(it.Number) + "-fix"
		w.code.commits[lost] = []work.Commit{{Hash: kept, Title: "kept", Message: "part of #" + itoa(it.Number)}, {Hash: lost, Title: "cart", Message: "cart"}}
		push := push(branch, false)
		push.Title = "cart"
		titles := func() string {
			t.Helper()
			var out []string
			for _, l := range w.get(it.Number).Links {
				out = append(out, l.Title)
			}
			slices.Sort(out)
			return strings.Join(out, ", ")
		}
		w.code.lost[lost] = []string{lost} // The other commit is on the default branch.
		for _, step := range []struct {
			do   func() error
			want string
		}{
			{func() error { return w.LinkPush(t.Context(), "user:ada", push) }, "cart, kept"},
			{func() error { return w.LinkDeleted(t.Context(), "user:ada", "shop/web", lost) }, "cart (on no branch any more), kept"},
			{func() error { return w.LinkDeleted(t.Context(), "user:ada", "shop/web", lost) }, "cart (on no branch any more), kept"},
			{func() error { return w.LinkPush(t.Context(), "user:ada", push) }, "cart, kept"},
			{func() error {
				delete(w.code.lost, lost)
				return w.LinkDeleted(t.Context(), "user:ada", "shop/web", lost)
			}, "cart (on no branch any more), kept"},
			{func() error { return w.LinkDeleted(t.Context(), "user:ada", "bank/web", kept) }, "cart (on no branch any more), kept"},
		} {
			check(t, step.do())
			if got := titles(); got != step.want {
				t.Errorf("%s, want %s", got, step.want)
			}
		}
		last := w.get(it.Number).History
		if c := last[len(last)-1]; c.Field != "link" || c.Actor != "user:ada" || !strings.HasSuffix(c.To, "any more)") {
			t.Errorf("the history says %+v", c)
		}
	})
}
