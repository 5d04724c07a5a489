package work_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/work"
)

func TestAnItemFromNewToClosed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		story := w.add(work.NewItem{Type: work.TypeStory, Title: "Checkout"})
		it := w.add(work.NewItem{
			Type: work.TypeBug, Title: "The cart loses items", Body: "<script>alert(1)</script> **md**", Assignee: "wanda", Points: 2.5, Priority: 1,
			Severity: work.High, Labels: []string{"ui", " cart ", "ui"}, Parent: story.Number,
			Links: []work.Link{{Rel: event.RelConcerns, Subject: "release:shop/production/48", Title: "48"}, {URL: "https://example.com/x"}},
		})
		want := work.Item{
			Number: story.Number + 1, Project: "shop", Type: "bug", Title: "The cart loses items", Body: "<script>alert(1)</script> **md**", State: "New", Category: work.Proposed,
			Assignee: "wanda", Points: 2.5, Priority: 1, Severity: "high", Labels: []string{"cart", "ui"}, Parent: story.Number, Version: 1,
			Created: start, CreatedBy: "user:wanda", Updated: start,
		}
		if d := cmp.Diff(want, it, cmpopts.IgnoreFields(work.Item{}, "Rank")); d != "" {
			t.Error(d)
		}
		_, err := w.Comment(t.Context(), user("wanda"), it.Number, "Seen twice.")
		check(t, err)
		it, err = w.Change(t.Context(), user("wanda"), it.Number, work.Edit{Expect: 1, State: ptr("active"), Title: ptr("The cart forgets"), Why: "clearer"})
		check(t, err)
		if it.State != "Active" || it.Category != work.InProgress || it.Version != 2 {
			t.Errorf("%+v", it)
		}
		_, err = w.Change(t.Context(), user("wanda"), it.Number, work.Edit{Expect: 1, State: ptr("Closed")})
		refused(t, err, fault.Conflict)
		it, err = w.Change(t.Context(), user("wanda"), it.Number, work.Edit{State: ptr(work.Completed), Labels: ptr([]string{})})
		check(t, err)
		if it.State != "Closed" || !it.Ended.Equal(start) || len(it.Labels) != 0 || it.Open() {
			t.Errorf("%+v", it)
		}
		d := w.get(it.Number)
		var lines []string
		for _, c := range d.History {
			lines = append(lines, c.Actor+" "+c.Field+" "+c.From+" → "+c.To+" "+c.Reason)
		}
		if diff := cmp.Diff([]string{
			"user:wanda created  → The cart loses items ", "user:wanda points 0 → 2.5 ", "user:wanda labels  → cart, ui ", "user:wanda parent  → #1 ",
			"user:wanda link  → concerns release:shop/production/48 48 ", "user:wanda link  → relates https://example.com/x ",
			"user:wanda title The cart loses items → The cart forgets clearer", "user:wanda state New → Active clearer",
			"user:wanda labels cart, ui →  ", "user:wanda state Active → Closed ",
		}, lines); diff != "" {
			t.Error(diff)
		}
		if len(d.Comments) != 1 || len(d.Links) != 2 || d.Above == nil || d.Above.Title != "Checkout" || len(d.States) != 5 || d.Body == "" {
			t.Errorf("%+v", d)
		}
		if above := w.get(story.Number); len(above.Children) != 1 || above.Children[0].Body != "" {
			t.Errorf("%+v", above.Children)
		}
		made, changed := w.said(event.TypeItemCreated), w.said(event.TypeItemChanged)
		if len(made) != 2 || len(changed) != 2 || changed[0].Change != "title,state" || changed[1].Category != work.Completed || len(w.said(event.TypeItemCommented)) != 1 {
			t.Errorf("said %+v %+v", made, changed)
		}
		edges, err := w.log.Out(t.Context(), event.Subject("item:2"), event.RelConcerns, 10)
		if err != nil || len(edges) != 1 || edges[0].To != "release:shop/production/48" {
			t.Errorf("%v %v", edges, err)
		}
	})
}

func TestNothingSaidWhenNothingChanged(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	it := w.add(work.NewItem{Title: "x", Points: 3})
	for range 2 {
		got, err := w.Change(t.Context(), user("wanda"), it.Number, work.Edit{Title: ptr("x"), Points: ptr(3.0), State: ptr("new"), Sprint: ptr("")})
		check(t, err)
		if got.Version != 1 {
			t.Errorf("version %d", got.Version)
		}
	}
	l := work.Link{Subject: "pull:shop/web/7"}
	for range 2 {
		_, err := w.Link(t.Context(), user("wanda"), it.Number, l)
		check(t, err)
	}
	for range 2 {
		_, err := w.Unlink(t.Context(), user("wanda"), it.Number, l)
		check(t, err)
	}
	if said := w.said(event.TypeItemChanged); len(said) != 2 || said[0].Change != "link" || said[1].Change != "unlink" {
		t.Errorf("%+v", said)
	}
}

// TestBadInput gives every input beyond its limit.
func TestBadInput(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	above := w.add(work.NewItem{Title: "above"})
	below := w.add(work.NewItem{Title: "below", Parent: above.Number})
	many := make([]string, 21)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	for name, tt := range map[string]struct {
		in   work.NewItem
		want fault.Kind
	}{
		"no title":        {work.NewItem{}, fault.Invalid},
		"two lines":       {work.NewItem{Title: "a\nb"}, fault.Invalid},
		"turned around":   {work.NewItem{Title: "a\u202eb"}, fault.Invalid},
		"long title":      {work.NewItem{Title: strings.Repeat("x", 257)}, fault.Invalid},
		"no UTF-8":        {work.NewItem{Title: "\xff"}, fault.Invalid},
		"huge body":       {work.NewItem{Title: "x", Body: strings.Repeat("x", 64<<10+1)}, fault.TooLarge},
		"NUL in body":     {work.NewItem{Title: "x", Body: "a\x00"}, fault.Invalid},
		"type":            {work.NewItem{Title: "x", Type: "epic"}, fault.Invalid},
		"state":           {work.NewItem{Title: "x", State: "Doing"}, fault.Invalid},
		"severity":        {work.NewItem{Title: "x", Severity: "worst"}, fault.Invalid},
		"priority":        {work.NewItem{Title: "x", Priority: 5}, fault.Invalid},
		"points":          {work.NewItem{Title: "x", Points: -1}, fault.Invalid},
		"many points":     {work.NewItem{Title: "x", Points: 1001}, fault.Invalid},
		"no number":       {work.NewItem{Title: "x", Points: math.NaN()}, fault.Invalid},
		"endless points":  {work.NewItem{Title: "x", Points: math.Inf(1)}, fault.Invalid},
		"assignee":        {work.NewItem{Title: "x", Assignee: "../etc"}, fault.Invalid},
		"label":           {work.NewItem{Title: "x", Labels: []string{"a,b"}}, fault.Invalid},
		"empty label":     {work.NewItem{Title: "x", Labels: []string{" "}}, fault.Invalid},
		"many labels":     {work.NewItem{Title: "x", Labels: many}, fault.TooLarge},
		"no such parent":  {work.NewItem{Title: "x", Parent: 99}, fault.NotFound},
		"no such sprint":  {work.NewItem{Title: "x", Sprint: "@current"}, fault.NotFound},
		"script link":     {work.NewItem{Title: "x", Links: []work.Link{{URL: "javascript:alert(1)"}}}, fault.Invalid},
		"link elsewhere":  {work.NewItem{Title: "x", Links: []work.Link{{URL: "//evil.example"}}}, fault.Invalid},
		"link with login": {work.NewItem{Title: "x", Links: []work.Link{{URL: "https://a:b@evil.example"}}}, fault.Invalid},
		"relation":        {work.NewItem{Title: "x", Links: []work.Link{{Rel: "judges", Subject: "pull:shop/web/7"}}}, fault.Invalid},
		"subject":         {work.NewItem{Title: "x", Links: []work.Link{{Subject: "file:/etc/passwd"}}}, fault.Invalid},
		"path in subject": {work.NewItem{Title: "x", Links: []work.Link{{Subject: "repo:shop/../bank"}}}, fault.Invalid},
		"empty link":      {work.NewItem{Title: "x", Links: []work.Link{{}}}, fault.Invalid},
		"many links":      {work.NewItem{Title: "x", Links: make([]work.Link, 501)}, fault.TooLarge},
	} {
		_, err := w.Create(t.Context(), user("wanda"), "shop", tt.in)
		if fault.KindOf(err) != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	_, err := w.Change(t.Context(), user("wanda"), above.Number, work.Edit{Parent: &below.Number})
	refused(t, err, fault.Invalid)
	_, err = w.Change(t.Context(), user("wanda"), above.Number, work.Edit{Parent: &above.Number})
	refused(t, err, fault.Invalid)
	_, err = w.Comment(t.Context(), user("wanda"), above.Number, "")
	refused(t, err, fault.Invalid)
	_, err = w.Comment(t.Context(), user("wanda"), above.Number, strings.Repeat("x", 64<<10+1))
	refused(t, err, fault.TooLarge)
	if w.order() != "above below" || len(w.said(event.TypeItemChanged)) != 0 {
		t.Errorf("something was kept: %s", w.order())
	}
}

func ignoring(err error, kind fault.Kind) error {
	if fault.Is(err, kind) {
		return nil
	}
	return err
}

// TestProjectsAreApart lets somebody with every right in one project reach for another's.
func TestProjectsAreApart(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	ours := w.add(work.NewItem{Title: "ours"})
	theirs, err := w.Create(t.Context(), user("mallory"), "bank", work.NewItem{Title: "theirs"})
	check(t, err)
	mallory := user("mallory")
	_, unknown := w.Get(t.Context(), mallory, 999)
	_, err = w.Get(t.Context(), mallory, ours.Number)
	refused(t, err, fault.NotFound)
	if strings.Replace(err.Error(), "item 1", "item 999", 1) != unknown.Error() {
		t.Errorf("an item that is hidden answers %q, one that is none %q", err, unknown)
	}
	_, err = w.Move(t.Context(), mallory, "bank", work.Move{Items: []int64{ours.Number}, Top: true})
	refused(t, err, fault.NotFound)
	_, err = w.Move(t.Context(), mallory, "bank", work.Move{Items: []int64{theirs.Number}, After: ours.Number})
	refused(t, err, fault.NotFound)
	_, err = w.Change(t.Context(), mallory, theirs.Number, work.Edit{Parent: &ours.Number})
	refused(t, err, fault.NotFound)
	w.sprint("S", "2026-11-23", "2026-12-04")
	_, err = w.Change(t.Context(), mallory, theirs.Number, work.Edit{Sprint: ptr("S")})
	refused(t, err, fault.NotFound)
	if b, err := w.Backlog(t.Context(), mallory, "bank", work.Filter{}); err != nil || len(b.Items) != 1 {
		t.Errorf("%v %v", b, err)
	}
}

func TestACommentIsItsAuthors(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		it := w.add(work.NewItem{Title: "a"})
		c, err := w.Comment(t.Context(), user("wanda"), it.Number, "Seen once.")
		check(t, err)
		_, err = w.EditComment(t.Context(), user("max"), it.Number, c.ID, "Never seen.")
		refused(t, err, fault.Denied)
		_, err = w.EditComment(t.Context(), user("wanda"), it.Number, "none", "Seen twice.")
		refused(t, err, fault.NotFound)
		_, err = w.EditComment(t.Context(), user("wanda"), it.Number, c.ID, "")
		refused(t, err, fault.Invalid)
		got, err := w.EditComment(t.Context(), user("wanda"), it.Number, c.ID, "Seen twice.")
		check(t, err)
		want := []work.Comment{got}
		if diff := cmp.Diff(want, w.get(it.Number).Comments); diff != "" || got.Body != "Seen twice." || got.Edited.IsZero() {
			t.Errorf("comments (-want +got):\n%s", diff)
		}
		list, err := w.log.Read(t.Context(), event.Query{Type: event.TypeItemCommented, Limit: 10})
		check(t, err)
		var said []event.ItemCommented
		for _, e := range list {
			var p event.ItemCommented
			check(t, e.Into(&p))
			said = append(said, p)
		}
		if diff := cmp.Diff([]event.ItemCommented{
			{V: 1, Item: it.Number, Comment: c.ID, Author: "user:wanda"}, {V: 1, Item: it.Number, Comment: c.ID, Author: "user:wanda", Edited: true},
		}, said); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestStates(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		w.add(work.NewItem{Title: "x", State: "Active"})
		ours := []work.State{{Name: "Todo", Category: work.Proposed}, {Name: "Active", Category: work.InProgress}, {Name: "Review", Category: work.InProgress}, {Name: "Done", Category: work.Completed}, {Name: "Dropped", Category: work.Removed}}
		got, err := w.SetStates(t.Context(), user("max"), "shop", ours)
		check(t, err)
		if d := cmp.Diff(ours, got); d != "" {
			t.Error(d)
		}
		_, err = w.SetStates(t.Context(), user("max"), "shop", []work.State{ours[0], ours[3], ours[4]})
		refused(t, err, fault.Conflict)
		for name, bad := range map[string][]work.State{
			"no end":     ours[:3],
			"twice":      append(append([]work.State{}, ours...), work.State{Name: "todo", Category: work.Proposed}),
			"category":   append(append([]work.State{}, ours...), work.State{Name: "x", Category: "later"}),
			"misleading": append(append([]work.State{}, ours...), work.State{Name: "completed", Category: work.Proposed}),
		} {
			if _, err := w.SetStates(t.Context(), user("max"), "shop", bad); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		said, err := w.log.Read(t.Context(), event.Query{Type: event.TypeStatesChanged, Limit: 10})
		check(t, err)
		var p event.StatesChanged
		if len(said) != 1 || said[0].Into(&p) != nil || len(p.States) != len(ours) || p.States[2] != event.State(ours[2]) {
			t.Errorf("the logbook says %+v", said)
		}
		b, err := w.Board(t.Context(), user("rita"), "shop", "all", "")
		check(t, err)
		if len(b.Columns) != 4 || b.Columns[1].Count != 1 {
			t.Errorf("%+v", b.Columns)
		}
	})
}

// TestAnAssigneeIsAMember wants people who may see the project; who has the item already
// is no hindrance to other changes.
func TestAnAssigneeIsAMember(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	for _, name := range []string{"eve", "mallory"} {
		_, err := w.Create(t.Context(), user("wanda"), "shop", work.NewItem{Title: "x", Assignee: name})
		refused(t, err, fault.Invalid)
		if text := err.Error(); !strings.Contains(text, name+" is no member of shop") || !strings.Contains(text, "towpath project members --project shop") {
			t.Errorf("%s: %s", name, text)
		}
	}
	it := w.add(work.NewItem{Title: "x", Assignee: "rita"})
	_, err := w.Change(t.Context(), user("wanda"), it.Number, work.Edit{Assignee: ptr("eve")})
	refused(t, err, fault.Invalid)
	for _, name := range []string{"wanda", "max", ""} {
		got, err := w.Change(t.Context(), user("wanda"), it.Number, work.Edit{Assignee: &name})
		if err != nil || got.Assignee != name {
			t.Errorf("%q: %+v %v", name, got, err)
		}
	}
	// A signal's owner that left the project owns nothing, and the item opens nevertheless.
	g := signal("s")
	g.Assignee = "eve"
	raised, err := w.Raise(t.Context(), system, g)
	if check(t, err); w.get(raised.Item.Number).Assignee != "" {
		t.Errorf("%+v", w.get(raised.Item.Number))
	}
}

// TestItemsOfALink lists what links to a subject; a commit has the items of its releases too.
func TestItemsOfALink(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		commit, release := "commit:"+hash, "release:shop/production/48"
		w.add(work.NewItem{Title: "commit", Links: []work.Link{{Subject: commit}}})
		onRelease := w.add(work.NewItem{Title: "release", Links: []work.Link{{Rel: event.RelConcerns, Subject: release}}})
		run := w.add(work.NewItem{Title: "run", State: work.Completed, Links: []work.Link{{Subject: "run:7"}}})
		w.add(work.NewItem{Title: "other"})
		theirs, err := w.Create(t.Context(), user("mallory"), "bank", work.NewItem{Title: "theirs", Links: []work.Link{{Subject: commit}}})
		check(t, err)
		w.code.items = []int64{onRelease.Number, run.Number, theirs.Number}
		for _, tt := range []struct {
			f    work.Filter
			want string
		}{
			{work.Filter{Link: commit}, "commit release run"}, {work.Filter{Link: commit, State: "open"}, "commit release"}, {work.Filter{Link: release}, "release"},
			{work.Filter{Link: "commit:" + strings.Repeat("b", 40)}, ""}, {work.Filter{Link: commit, Text: "rel"}, "release"},
		} {
			b, err := w.Backlog(t.Context(), user("rita"), "shop", tt.f)
			check(t, err)
			var got []string
			for _, it := range b.Items {
				got = append(got, it.Title)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%+v: %v, want %s", tt.f, got, tt.want)
			}
		}
		for _, bad := range []string{"commit:abc", "x", "nothing:1", "commit:../" + hash} {
			_, err := w.Backlog(t.Context(), user("rita"), "shop", work.Filter{Link: bad})
			refused(t, err, fault.Invalid)
		}
	})
}
