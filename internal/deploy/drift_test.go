package deploy

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// TestDriftIsSaidOnce looks at an environment again and again.
func TestDriftIsSaidOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, _ := newService(db)
		r := running(t, s, "localhost:7080/shop/web@"+otherDigest)
		env, err := s.Environment(t.Context(), ada, "shop", "production")
		if err != nil {
			t.Fatal(err)
		}
		of := func(replicas int) found {
			fields := []string{"spec.replicas"}
			sum, err := sumOf(fields, map[string]any{"spec": map[string]any{"replicas": replicas}})
			if err != nil {
				t.Fatal(err)
			}
			return found{sum: sum, Drift: Drift{Release: r.ID(), Object: "Deployment shop-production/web", Fields: fields, Manager: "kubectl", Found: s.Clock.Now()}}
		}
		for i, c := range []struct {
			now  []found
			said int // in all
		}{
			{nil, 0}, {[]found{of(5)}, 1}, {[]found{of(5)}, 1}, {[]found{of(6)}, 2}, {nil, 2}, {[]found{of(6)}, 3},
		} {
			if err := s.keepDrifts(t.Context(), env, c.now); err != nil {
				t.Fatal(err)
			}
			events, err := s.Log.Read(t.Context(), event.Query{Type: event.TypeDriftFound})
			if err != nil || len(events) != c.said {
				t.Errorf("look %d: said %d times, want %d (%v)", i, len(events), c.said, err)
			}
			undone, err := s.Log.Read(t.Context(), event.Query{Type: event.TypeDriftUndone})
			if want := map[bool]int{false: 0, true: 1}[i >= 4]; err != nil || len(undone) != want {
				t.Errorf("look %d: said %d times that it was undone, want %d (%v)", i, len(undone), want, err)
			}
			got, err := s.Environment(t.Context(), ada, "shop", "production")
			if err != nil {
				t.Fatal(err)
			}
			var want []Drift
			for _, f := range c.now {
				want = append(want, f.Drift)
			}
			if diff := cmp.Diff(want, got.Drifted, cmpopts.IgnoreFields(Drift{}, "Found"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("look %d (-want +got):\n%s", i, diff)
			}
		}
		f := of(7)
		if err := s.sayMended(t.Context(), env, []found{f}); err != nil {
			t.Fatal(err)
		}
		events, err := s.Log.Read(t.Context(), event.Query{Type: event.TypeDriftFound, Newest: true, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		var p event.DriftFound
		if err := events[0].Into(&p); err != nil || !p.Mended || p.Object != f.Object {
			t.Errorf("what was mended is said as %+v (%v)", p, err)
		}
	})
}

// TestMendBudget wants that a program which changes an object again and again is given in to.
func TestMendBudget(t *testing.T) {
	d := newDriftWatch()
	at := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)
	var got string
	for i := range 6 {
		got += fmt.Sprint(d.mayMend("shop web", at.Add(time.Duration(i)*time.Minute)), " ")
	}
	got += fmt.Sprint(d.mayMend("shop other", at), " ", d.mayMend("shop web", at.Add(mendWindow)))
	if want := "true true true false false false true true"; got != want {
		t.Errorf("may mend: %s, want %s", got, want)
	}
}
