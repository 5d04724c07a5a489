package work_test

import (
	"testing"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/work"
)

// TestWhoMayWhat calls every method as an admin of another project, as nobody, and as
// members with more and more rights.
func TestWhoMayWhat(t *testing.T) {
	const ok = fault.Kind("")
	read, write := [5]fault.Kind{fault.NotFound, fault.Unauthentic, ok, ok, ok}, [5]fault.Kind{fault.NotFound, fault.Unauthentic, fault.Denied, ok, ok}
	maintain := [5]fault.Kind{fault.NotFound, fault.Unauthentic, fault.Denied, fault.Denied, ok}
	who := []identity.Actor{user("mallory"), {}, user("rita"), user("wanda"), user("max")}
	for name, tt := range map[string]struct {
		want [5]fault.Kind
		call func(w *world, a identity.Actor, n int64) error
	}{
		"Create": {write, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Create(w.t.Context(), a, "shop", work.NewItem{Title: "n"})
			return err
		}},
		"Get": {read, func(w *world, a identity.Actor, n int64) error { _, err := w.Get(w.t.Context(), a, n); return err }},
		"Change": {write, func(w *world, a identity.Actor, n int64) error {
			_, err := w.Change(w.t.Context(), a, n, work.Edit{Title: ptr("y")})
			return err
		}},
		"Comment": {write, func(w *world, a identity.Actor, n int64) error {
			_, err := w.Comment(w.t.Context(), a, n, "y")
			return err
		}},
		"Link": {write, func(w *world, a identity.Actor, n int64) error {
			_, err := w.Link(w.t.Context(), a, n, work.Link{URL: "/x"})
			return err
		}},
		"Unlink": {write, func(w *world, a identity.Actor, n int64) error {
			_, err := w.Unlink(w.t.Context(), a, n, work.Link{URL: "/x"})
			return err
		}},
		"Move": {write, func(w *world, a identity.Actor, n int64) error {
			_, err := w.Move(w.t.Context(), a, "shop", work.Move{Items: []int64{n}, Top: true})
			return err
		}},
		"Backlog": {read, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Backlog(w.t.Context(), a, "shop", work.Filter{})
			return err
		}},
		"Board": {read, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Board(w.t.Context(), a, "shop", "", "")
			return err
		}},
		"States": {read, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.States(w.t.Context(), a, "shop")
			return err
		}},
		"SetStates": {maintain, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.SetStates(w.t.Context(), a, "shop", nil)
			return err
		}},
		"Open": {read, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Open(w.t.Context(), a, "shop")
			return err
		}},
		"Sprints": {read, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Sprints(w.t.Context(), a, "shop")
			return err
		}},
		"Sprint": {read, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Sprint(w.t.Context(), a, "shop", "@current")
			return err
		}},
		"CreateSprint": {write, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.CreateSprint(w.t.Context(), a, "shop", work.SprintEdit{Name: ptr("S" + a.Name), Start: ptr("2027-01-04"), End: ptr("2027-01-08")})
			return err
		}},
		"ChangeSprint": {write, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.ChangeSprint(w.t.Context(), a, "shop", "S", work.SprintEdit{Goal: ptr("g")})
			return err
		}},
		"Burndown": {read, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Burndown(w.t.Context(), a, "shop", "S")
			return err
		}},
		"Velocity": {read, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Velocity(w.t.Context(), a, "shop")
			return err
		}},
		"Tray": {read, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Tray(w.t.Context(), a, "shop", "")
			return err
		}},
		"Triage": {write, func(w *world, a identity.Actor, n int64) error {
			_, err := w.Triage(w.t.Context(), a, "shop", []int64{n + 1}, work.Accepted, "")
			return err
		}},
		"Raise": {write, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Raise(w.t.Context(), a, signal("n"))
			return err
		}},
		"Clear": {write, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Clear(w.t.Context(), a, "shop", signal("s").Key(), "gone", nil)
			return err
		}},
		"Find": {read, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Find(w.t.Context(), a, "shop", signal("s").Key())
			return err
		}},
		"Signals": {read, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.Signals(w.t.Context(), a, "shop", "error")
			return err
		}},
		"WontFix": {write, func(w *world, a identity.Actor, n int64) error {
			_, err := w.WontFix(w.t.Context(), a, n+1, "no", start.AddDate(0, 1, 0))
			return err
		}},
		"CloseSprint": {write, func(w *world, a identity.Actor, _ int64) error {
			_, err := w.CloseSprint(w.t.Context(), a, "shop", "S", "")
			return ignoring(err, fault.Conflict) // The second one finds it closed.
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, storetest.SQLite(t))
			it := w.add(work.NewItem{Title: "x"})
			_, err := w.Raise(t.Context(), system, signal("s"))
			check(t, err)
			w.sprint("S", "2026-11-23", "2026-12-04")
			for i, a := range who {
				if got := fault.KindOf(tt.call(w, a, it.Number)); got != tt.want[i] {
					t.Errorf("%s: %q, want %q", a, got, tt.want[i])
				}
			}
		})
	}
}
