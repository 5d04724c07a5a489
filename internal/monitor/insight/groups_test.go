package insight_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func thrown(problem, release string, at time.Time) map[string]any {
	return map[string]any{
		table.TimeGenerated: at, "ProblemId": problem, "ExceptionType": "KeyError", "Message": "no " + problem, "AppRoleName": "cart", table.Release: release,
		"OperationId": "0123456789abcdef0123456789abcdef", "ItemCount": 2,
	}
}

func TestGroupsFollowExceptions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		w := build(t, db)
		follow := func() {
			t.Helper()
			// What was received up to now is read, not what is received from now on.
			w.clock.Set(w.clock.Now().Add(time.Second))
			if err := w.Follow(ctx); err != nil {
				t.Fatal(err)
			}
		}
		first := w.clock.Now()
		w.add(table.AppExceptions, thrown("v1:s:a", "shop/production/47", first), thrown("v1:s:a", "shop/production/47", first), thrown("v1:s:b", "shop/production/47", first))
		follow()
		follow() // Nothing is counted twice.
		second := w.clock.Now()
		w.add(table.AppExceptions, thrown("v1:s:a", "shop/production/48", second))
		w.add(table.AppExceptions, map[string]any{table.Project: "", "ProblemId": "v1:s:p"})
		follow()

		groups, err := w.Groups(ctx, actor("bob"), "shop", insight.GroupFilter{})
		if err != nil {
			t.Fatal(err)
		}
		want := []insight.Group{
			{Fingerprint: "v1:s:a", FirstSeen: first, LastSeen: second, FirstRelease: "shop/production/47", LastRelease: "shop/production/48", Count: 6},
			{Fingerprint: "v1:s:b", FirstSeen: first, LastSeen: first, FirstRelease: "shop/production/47", LastRelease: "shop/production/47", Count: 2},
		}
		for i := range want {
			g := &want[i]
			g.Project, g.Environment, g.Role, g.Type, g.Message = "shop", "production", "cart", "KeyError", "no "+g.Fingerprint
			g.Operation, g.State = "0123456789abcdef0123456789abcdef", insight.Open
			g.Query = "AppExceptions\n| where ProblemId == \"" + g.Fingerprint + "\"\n| order by TimeGenerated desc"
		}
		if diff := cmp.Diff(want, groups); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}

		if _, err := w.SetState(ctx, actor("ada"), "shop", "v1:s:a", insight.Resolved); err != nil {
			t.Fatal(err)
		}
		if _, err := w.SetState(ctx, actor("ada"), "shop", "v1:s:b", insight.Ignored); err != nil {
			t.Fatal(err)
		}
		w.clock.Set(w.clock.Now().Add(time.Minute))
		w.add(table.AppExceptions, thrown("v1:s:a", "shop/production/49", w.clock.Now()), thrown("v1:s:b", "shop/production/49", w.clock.Now()))
		follow()
		for fingerprint, state := range map[string]string{"v1:s:a": insight.Open, "v1:s:b": insight.Ignored} {
			g, err := w.Group(ctx, actor("bob"), "shop", fingerprint)
			if err != nil || g.State != state {
				t.Errorf("%s is %q, want %q: %v", fingerprint, g.State, state, err)
			}
		}
		var said []string
		for _, e := range events[event.ErrorFound](t, w, event.TypeErrorFound) {
			said = append(said, fmt.Sprintf("%s %s again=%v", e.Group, e.Release, e.Again))
		}
		if diff := cmp.Diff([]string{"v1:s:a shop/production/47 again=false", "v1:s:b shop/production/47 again=false", "v1:s:a shop/production/49 again=true"}, said); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestGroupsAreForTheirProject(t *testing.T) {
	ctx := context.Background()
	w := inMemory(t)
	w.add(table.AppExceptions, thrown("v1:s:a", "", start()), map[string]any{table.Project: "", "ProblemId": "v1:s:p"})
	w.clock.Set(start().Add(time.Second))
	if err := w.Follow(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Groups(ctx, actor("eve"), "shop", insight.GroupFilter{}); !fault.Is(err, fault.Denied) {
		t.Errorf("a stranger reads: %v", err)
	}
	if _, err := w.Groups(ctx, actor("ada"), "", insight.GroupFilter{}); !fault.Is(err, fault.Denied) {
		t.Errorf("a member reads the platform's: %v", err)
	}
	if _, err := w.SetState(ctx, actor("bob"), "shop", "v1:s:a", insight.Resolved); !fault.Is(err, fault.Denied) {
		t.Errorf("a reader changes: %v", err)
	}
	if got, err := w.Groups(ctx, actor("root"), "", insight.GroupFilter{}); err != nil || len(got) != 1 || got[0].Fingerprint != "v1:s:p" {
		t.Errorf("the platform's groups: %+v, %v", got, err)
	}
	if _, err := w.SetState(ctx, actor("ada"), "shop", "v1:s:a", "gone"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a state that is none: %v", err)
	}
}

// TestACrowdOfNewErrors: more groups than one look takes are all found.
func TestACrowdOfNewErrors(t *testing.T) {
	ctx := context.Background()
	w := inMemory(t)
	var rows []map[string]any
	for i := range 3000 {
		r := thrown(fmt.Sprintf("v1:s:%d", i), "", start())
		r["_TimeReceived"] = start().Add(time.Duration(i) * time.Millisecond)
		rows = append(rows, r)
	}
	w.add(table.AppExceptions, rows...)
	w.clock.Set(start().Add(time.Minute))
	if err := w.Follow(ctx); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := w.db.QueryRow(ctx, `SELECT COUNT(*) FROM insight_group`).Scan(&n); err != nil || n != 3000 {
		t.Errorf("%d groups of 3000: %v", n, err)
	}
}
