package work_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/work"
)

func (w *world) move(in work.Move) []work.Item {
	w.t.Helper()
	out, err := w.Move(w.t.Context(), user("wanda"), "shop", in)
	check(w.t, err)
	return out
}

func TestMove(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		for _, name := range []string{"a", "b", "c", "d"} {
			w.add(work.NewItem{Title: name})
		}
		w.add(work.NewItem{Title: "e", Top: true})
		for _, tt := range []struct {
			in   work.Move
			want string
		}{
			{work.Move{Items: []int64{4}, Top: true}, "d e a b c"},
			{work.Move{Items: []int64{4, 5}, Bottom: true}, "a b c d e"},
			{work.Move{Items: []int64{5, 3}, Before: 1}, "e c a b d"},
			{work.Move{Items: []int64{5}, After: 1}, "c a e b d"},
			{work.Move{Items: []int64{5}, After: 1}, "c a e b d"},
			{work.Move{Items: []int64{1}, After: 4}, "c e b d a"},
		} {
			w.move(tt.in)
			if got := w.order(); got != tt.want {
				t.Errorf("%+v: %s, want %s", tt.in, got, tt.want)
			}
		}
		w.sprint("S", "2026-11-23", "2026-12-04")
		moved := w.move(work.Move{Items: []int64{1, 2}, Sprint: ptr("@current"), State: ptr("Active")})
		if moved[0].Sprint != "S" || moved[1].State != "Active" || w.order() != "c e b d a" {
			t.Errorf("%+v", moved)
		}
		for name, bad := range map[string]work.Move{
			"nothing": {}, "nowhere": {Items: []int64{1}}, "twice": {Items: []int64{1, 1}, Top: true}, "two ways": {Items: []int64{1}, Top: true, After: 2},
			"beside itself": {Items: []int64{1}, After: 1}, "many": {Items: make([]int64, 201), Top: true},
		} {
			if _, err := w.Move(t.Context(), user("wanda"), "shop", bad); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// One that is missing moves none.
		_, err := w.Move(t.Context(), user("wanda"), "shop", work.Move{Items: []int64{3, 99}, Bottom: true})
		refused(t, err, fault.NotFound)
		if w.order() != "c e b d a" {
			t.Error("half of it was done: " + w.order())
		}
	})
}

// TestMovesIntoOneGap wears out one gap, so that places are written anew, and compares with
// a list in memory.
func TestMovesIntoOneGap(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	var want []string
	for i := range 4 {
		w.add(work.NewItem{Title: fmt.Sprint(i + 1)})
		want = append(want, fmt.Sprint(i+1))
	}
	for i := range 1500 {
		n := int64(3 + i%2)
		w.move(work.Move{Items: []int64{n}, After: 1})
		want = slices.DeleteFunc(want, func(s string) bool { return s == fmt.Sprint(n) })
		want = slices.Insert(want, 1, fmt.Sprint(n))
	}
	if got := w.order(); got != strings.Join(want, " ") {
		t.Errorf("%s, want %v", got, want)
	}
	for _, n := range []int64{1, 2, 3, 4} {
		if got := len(w.get(n).Rank); got > 400 {
			t.Errorf("the place of %d has %d digits", n, got)
		}
	}
}

// TestManyMoveAtOnce lets people add and move at the same time: nothing is lost, and no two
// items have one place.
func TestManyMoveAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		for range 8 {
			w.add(work.NewItem{Title: "x"})
		}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 1))
				for range 5 {
					n, at := r.Int64N(8)+1, r.Int64N(8)+1
					if n == at {
						continue
					}
					_, err := w.Move(t.Context(), user("wanda"), "shop", work.Move{Items: []int64{n}, After: at})
					if err != nil && !fault.Is(err, fault.Conflict) {
						t.Error(err)
					}
					if _, err := w.Create(t.Context(), user("wanda"), "shop", work.NewItem{Title: "y"}); err != nil && !fault.Is(err, fault.Conflict) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		b, err := w.Backlog(t.Context(), user("rita"), "shop", work.Filter{Limit: 500})
		check(t, err)
		seen := map[string]bool{}
		for _, it := range b.Items {
			if seen[it.Rank] {
				t.Errorf("two items have the place %s", it.Rank)
			}
			seen[it.Rank] = true
		}
	})
}

func TestBacklogFilters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		w.sprint("S", "2026-11-23", "2026-12-04")
		w.sprint("T", "2026-12-07", "2026-12-18")
		w.add(work.NewItem{Title: "a", Type: work.TypeBug, Labels: []string{"ui"}, Sprint: "S", Assignee: "max"})
		w.add(work.NewItem{Title: "b", Sprint: "T", Severity: work.High, Labels: []string{"u_"}})
		w.add(work.NewItem{Title: "100%_done", State: "Active"})
		w.add(work.NewItem{Title: "ÄRGER", State: "Closed", Parent: 1})
		g := signal("x")
		g.Title, g.Severity = "s", work.Low
		_, err := w.Raise(t.Context(), system, g)
		check(t, err)
		for _, tt := range []struct {
			f    work.Filter
			want string
		}{
			{work.Filter{}, "a b 100%_done ÄRGER s"}, {work.Filter{State: "open"}, "a b 100%_done s"}, {work.Filter{State: "closed"}, "ÄRGER"},
			{work.Filter{State: "active"}, "100%_done"}, {work.Filter{State: work.Completed}, "ÄRGER"}, {work.Filter{Type: work.TypeBug}, "a s"},
			{work.Filter{Assignee: "max"}, "a"}, {work.Filter{Assignee: "none", Sprint: "none", State: "open"}, "100%_done s"}, {work.Filter{Label: "u_"}, "b"},
			{work.Filter{Sprint: "@current"}, "a"}, {work.Filter{Sprint: "@next"}, "b"}, {work.Filter{Sprint: "t"}, "b"}, {work.Filter{Source: "any"}, "s"},
			{work.Filter{Source: "alert"}, ""}, {work.Filter{Severity: work.High}, "b"}, {work.Filter{Text: "%_D"}, "100%_done"}, {work.Filter{Text: "#2"}, "b"},
			{work.Filter{Text: "ärg"}, "ÄRGER"}, {work.Filter{Text: "' OR 1=1 --"}, ""}, {work.Filter{Parent: 1}, "ÄRGER"},
		} {
			b, err := w.Backlog(t.Context(), user("rita"), "shop", tt.f)
			check(t, err)
			var got []string
			for _, it := range b.Items {
				got = append(got, it.Title)
			}
			if d := cmp.Diff(tt.want, strings.Join(got, " ")); d != "" {
				t.Errorf("%+v: %s", tt.f, d)
			}
		}
		var pages []string
		for f := (work.Filter{Limit: 2}); ; {
			b, err := w.Backlog(t.Context(), user("rita"), "shop", f)
			check(t, err)
			for _, it := range b.Items {
				pages = append(pages, it.Title)
			}
			if f.After = b.Next; b.Next == "" {
				break
			}
			pages = append(pages, "|")
		}
		if got := strings.Join(pages, " "); got != "a b | 100%_done ÄRGER | s" {
			t.Errorf("pages %s", got)
		}
		_, err = w.Backlog(t.Context(), user("rita"), "shop", work.Filter{After: "x'"})
		refused(t, err, fault.Invalid)
		b, err := w.Board(t.Context(), user("rita"), "shop", "all", work.LaneType)
		check(t, err)
		if len(b.Columns) != 4 || b.Columns[0].Count != 3 || b.Columns[3].Count != 1 || len(b.Lanes) != 2 {
			t.Errorf("%+v", b)
		}
		open, err := w.Open(t.Context(), user("rita"), "shop")
		if err != nil || open[work.TypeBug] != 2 || open[work.TypeTask] != 2 {
			t.Errorf("%v %v", open, err)
		}
	})
}

func TestASprintFromPlanToClose(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		day := func(n int) { w.clock.Add(time.Duration(n) * 24 * time.Hour) }
		p := w.sprint("S", "2026-11-23", "2026-11-27", func(in *work.SprintEdit) {
			in.People = &[]work.Capacity{{User: "ada", Points: 10, DaysOff: []string{"2026-11-27"}}, {User: "bob", Points: 5}}
		})
		w.sprint("T", "2026-11-30", "2026-12-04")
		if p.Room != 13 || !p.Current || p.Security != 20 {
			t.Errorf("%+v", p)
		}
		_, err := w.ChangeSprint(t.Context(), user("wanda"), "shop", "S", work.SprintEdit{Active: ptr(true), Expect: p.Version})
		check(t, err)
		_, err = w.ChangeSprint(t.Context(), user("wanda"), "shop", "T", work.SprintEdit{Active: ptr(true)})
		refused(t, err, fault.Conflict)
		for i := range 3 {
			w.add(work.NewItem{Title: fmt.Sprint(i), Points: 5, Sprint: "@current"})
		}
		day(1) // Tuesday: one is done.
		_, err = w.Change(t.Context(), user("wanda"), 1, work.Edit{State: ptr("Resolved")})
		check(t, err)
		day(1) // Wednesday: one leaves, one is dearer.
		w.move(work.Move{Items: []int64{2}, Sprint: ptr("none")})
		_, err = w.Change(t.Context(), user("wanda"), 3, work.Edit{Points: ptr(8.0)})
		check(t, err)
		day(1) // Thursday.
		got, err := w.Burndown(t.Context(), user("rita"), "shop", "@current")
		check(t, err)
		var left []string
		for _, d := range got.Days {
			left = append(left, fmt.Sprintf("%s %v %v %v %v %d", d.Day[8:], d.Known, d.Ideal, d.Scope, d.Remaining, d.Items))
		}
		if d := cmp.Diff([]string{"23 true 15 15 15 3", "24 true 11.25 15 10 2", "25 true 7.5 13 8 1", "26 true 3.75 13 8 1", "27 false 0 0 0 0"}, left); d != "" {
			t.Error(d)
		}
		closed, err := w.CloseSprint(t.Context(), user("wanda"), "shop", "S", "@next")
		check(t, err)
		if closed.State != work.SprintClosed || closed.Done != 5 || closed.Points != 13 || w.get(3).Sprint != "T" || w.get(1).Sprint != "S" {
			t.Errorf("%+v", closed)
		}
		got, err = w.Burndown(t.Context(), user("rita"), "shop", "@previous")
		check(t, err)
		if d := got.Days[3]; d.Remaining != 8 || d.Scope != 13 {
			t.Errorf("what was carried over is missing in the end: %+v", d)
		}
		v, err := w.Velocity(t.Context(), user("rita"), "shop")
		if err != nil || v.Average != 5 || len(v.Sprints) != 1 {
			t.Errorf("%+v %v", v, err)
		}
		_, err = w.CloseSprint(t.Context(), user("wanda"), "shop", "S", "")
		refused(t, err, fault.Conflict)
		_, err = w.Change(t.Context(), user("wanda"), 2, work.Edit{Sprint: ptr("S")})
		refused(t, err, fault.Invalid)
		list, err := w.log.Read(t.Context(), event.Query{Type: event.TypeSprintChanged})
		if err != nil || len(list) != 4 {
			t.Errorf("%d events, %v", len(list), err)
		}
	})
}

func TestBadSprints(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	w.sprint("S", "2026-11-23", "2026-11-27")
	base := func() work.SprintEdit {
		return work.SprintEdit{Name: ptr("T"), Start: ptr("2026-11-30"), End: ptr("2026-12-04")}
	}
	for name, tt := range map[string]struct {
		set  func(*work.SprintEdit)
		want fault.Kind
	}{
		"no name":     {func(e *work.SprintEdit) { e.Name = nil }, fault.Invalid},
		"taken":       {func(e *work.SprintEdit) { e.Name = ptr("S") }, fault.Conflict},
		"reserved":    {func(e *work.SprintEdit) { e.Name = ptr("@current") }, fault.Invalid},
		"none":        {func(e *work.SprintEdit) { e.Name = ptr("None") }, fault.Invalid},
		"no date":     {func(e *work.SprintEdit) { e.Start = ptr("tomorrow") }, fault.Invalid},
		"backwards":   {func(e *work.SprintEdit) { e.End = ptr("2026-11-29") }, fault.Invalid},
		"endless":     {func(e *work.SprintEdit) { e.End = ptr("2029-11-29") }, fault.Invalid},
		"goal":        {func(e *work.SprintEdit) { e.Goal = ptr(strings.Repeat("x", 5000)) }, fault.Invalid},
		"budget":      {func(e *work.SprintEdit) { e.Security = ptr(101) }, fault.Invalid},
		"capacity":    {func(e *work.SprintEdit) { e.Capacity = ptr(-1.0) }, fault.Invalid},
		"two of one":  {func(e *work.SprintEdit) { e.People = &[]work.Capacity{{User: "ada"}, {User: "ada"}} }, fault.Invalid},
		"day outside": {func(e *work.SprintEdit) { e.People = &[]work.Capacity{{User: "ada", DaysOff: []string{"2026-11-27"}}} }, fault.Invalid},
		"weekend": {func(e *work.SprintEdit) {
			e.People, e.End = &[]work.Capacity{{User: "ada", DaysOff: []string{"2026-12-05"}}}, ptr("2026-12-08")
		}, fault.Invalid},
	} {
		in := base()
		tt.set(&in)
		if _, err := w.CreateSprint(t.Context(), user("wanda"), "shop", in); fault.KindOf(err) != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

func TestTray(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		w.sprint("S", "2026-11-23", "2026-11-27")
		next := w.sprint("T", "2026-11-30", "2026-12-04", func(in *work.SprintEdit) { in.Capacity = ptr(20.0) })
		raise := func(name, severity string, exposure int, sprint string) {
			g := signal(name)
			g.Title, g.Severity, g.Exposure, g.Sprint, g.Links = name, severity, exposure, sprint, nil
			w.raise(g)
		}
		raise("old", work.Low, 1, "")
		w.clock.Add(14 * 24 * time.Hour) // S has no today in it any more.
		raise("wide", work.Medium, 10, "")
		raise("high", work.High, 1, "T")
		w.add(work.NewItem{Title: "secure", Type: work.TypeSecurity, Points: 3, Sprint: "T"})
		tray := func() (work.Tray, string) {
			got, err := w.Tray(t.Context(), user("rita"), "shop", "T")
			check(t, err)
			var out []string
			for _, i := range got.Insights {
				out = append(out, fmt.Sprintf("%s %v %v%s", i.Title, i.Score, i.InSprint, i.Suggested))
			}
			return got, strings.Join(out, ", ")
		}
		got, text := tray()
		if text != "wide 20 false, high 4 true@next, old 3 false" {
			t.Errorf("%s", text)
		}
		if got.Room != 20 || got.Budget != 4 || got.Spent != 3 || got.Planned != 3 || got.Unestimated != 1 || got.Sprint.ID != next.ID {
			t.Errorf("%+v", got)
		}
		_, err := w.Triage(t.Context(), user("wanda"), "shop", []int64{2}, work.Accepted, "T")
		check(t, err)
		_, err = w.Triage(t.Context(), user("wanda"), "shop", []int64{1, 3}, work.Deferred, "T")
		check(t, err)
		if _, text := tray(); text != "" {
			t.Errorf("left: %s", text)
		}
		if w.get(2).Sprint != "T" || w.get(3).Sprint != "" {
			t.Error("triage did not move them")
		}
		// What was deferred has its turn again with another sprint.
		w.sprint("U", "2026-12-07", "2026-12-11")
		other, err := w.Tray(t.Context(), user("rita"), "shop", "U")
		if err != nil || len(other.Insights) != 2 {
			t.Errorf("%+v %v", other.Insights, err)
		}
		_, err = w.Triage(t.Context(), user("wanda"), "shop", []int64{4}, work.Accepted, "T")
		refused(t, err, fault.Invalid)
	})
}
