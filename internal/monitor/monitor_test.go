package monitor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// members says who holds which role in which project; "ada" writes to shop, "ben" reads
// it, "eve" has a project of her own. root is the administrator.
type members struct{}

func (members) Require(_ context.Context, a identity.Actor, project string, r identity.Role) error {
	has := map[string]identity.Role{"ada shop": identity.Maintain, "ben shop": identity.Read, "eve den": identity.Admin}[a.Name+" "+project]
	switch {
	case a.Admin || has >= r:
		return nil
	case has == identity.None:
		return fault.New(fault.NotFound, "There is no project %s.", project)
	}
	return fault.New(fault.Denied, "This needs more.")
}

func (members) RequireAdmin(_ context.Context, a identity.Actor) error {
	if !a.Admin {
		return fault.New(fault.Denied, "Only an administrator may.")
	}
	return nil
}

func user(name string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: name, Cap: identity.Admin, Admin: name == "root"}
}

// rows makes a batch of a table of the catalogue: each row names the columns it has.
func rows(t *testing.T, name string, list ...map[string]any) *table.Batch {
	t.Helper()
	for _, tbl := range table.Catalog() {
		if tbl.Name != name {
			continue
		}
		b := table.NewBuilder(tbl)
		for _, row := range list {
			b.Next()
			for column, v := range row {
				if !b.Set(column, v) {
					t.Fatalf("%s has no column %s for a %T", name, column, v)
				}
			}
		}
		return b.Batch([16]byte{})
	}
	t.Fatalf("there is no table %s", name)
	return nil
}

// world is a service over rows in memory.
func world(t *testing.T, db *store.DB, batches ...*table.Batch) *monitor.Service {
	t.Helper()
	c := clock.Fixed(now, 0)
	return monitor.New(monitor.Parts{
		DB: db, Log: event.New(db, c), Auth: members{}, Clock: c,
		Queries: query.New(query.Options{Clock: c, Tables: query.NewMemory(batches...)}), Stream: stream(batches),
	})
}

// stream gives batches once.
type stream []*table.Batch

func (s stream) Follow(_ context.Context, name, project string, all bool, do func(*table.Batch, int64) error) error {
	for i, b := range s {
		if b.Table != name {
			continue
		}
		if err := do(b, int64(i)); err != nil {
			return err
		}
	}
	return fault.New(fault.Unavailable, "The stream ended.")
}

func at(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }

func log(seconds int, project, pod, level, text string) map[string]any {
	return map[string]any{
		table.TimeGenerated: at(seconds), "PodName": pod, "PodNamespace": "shop", "ContainerName": strings.Split(pod, "-")[0], "LogLevel": level,
		"LogMessage": fmt.Sprintf("%q", text), table.Project: project, table.Release: "shop/production/3", table.Environment: "production",
	}
}

func logs(t *testing.T) *table.Batch {
	return rows(t, table.ContainerLogV2,
		log(-50, "shop", "cart-1", "ERROR", "checkout failed"), log(-40, "shop", "cart-1", "INFO", "GET /cart 200"), log(-30, "shop", "web-2", "INFO", "GET / 200"),
		log(-20, "den", "spy-1", "ERROR", "hidden"), log(-10, "", "etcd-0", "WARNING", "slow disk"))
}

func TestExplore(t *testing.T) {
	s := world(t, storetest.SQLite(t), logs(t))
	q := monitor.Question{Scope: monitor.Scope{Project: "shop"}, Text: "ContainerLogV2 // all of it", From: at(-60), To: at(0)}
	o, err := s.Explore(t.Context(), user("ben"), q)
	if err != nil {
		t.Fatal(err)
	}
	if !o.Rows || o.Total != 3 || o.Step != 1 || o.Bars != 61 {
		t.Errorf("got %d rows in %d bars of %g s", o.Total, o.Bars, o.Step)
	}
	var levels []string
	for _, l := range o.Levels {
		var n int64
		for _, c := range l.Counts {
			n += c
		}
		levels = append(levels, fmt.Sprintf("%s %d", l.Level, n))
	}
	if diff := cmp.Diff([]string{"ERROR 1", "INFO 2"}, levels); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
	var facets []string
	for _, f := range o.Facets {
		facets = append(facets, fmt.Sprint(f.Title, " ", f.Values))
	}
	want := []string{"Level [{INFO 2} {ERROR 1}]", "Workload [{cart 2} {web 1}]", "Environment [{production 3}]", "Release [{shop/production/3 3}]"}
	if diff := cmp.Diff(want, facets); diff != "" {
		t.Errorf("facets (-want +got):\n%s", diff)
	}

	q.Text = "ContainerLogV2 | summarize count() by LogLevel"
	if o, err = s.Explore(t.Context(), user("ben"), q); err != nil || o.Rows || len(o.Columns) != 2 {
		t.Errorf("a query that adds up: %+v, %v", o, err)
	}
}

func TestNewestFirst(t *testing.T) {
	s := world(t, storetest.SQLite(t), logs(t))
	a, err := s.Newest(t.Context(), user("ben"), monitor.Question{Scope: monitor.Scope{Project: "shop"}, Text: "ContainerLogV2 | project TimeGenerated, PodName;", MaxRows: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]any{{"2026-03-01T11:59:30.0000000Z", "web-2"}, {"2026-03-01T11:59:20.0000000Z", "cart-1"}}
	if diff := cmp.Diff(want, a.Rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// TestOnlyOnesOwn asks everything as somebody who may not.
func TestOnlyOnesOwn(t *testing.T) {
	s := world(t, storetest.SQLite(t), logs(t))
	shop, everything := monitor.Scope{Project: "shop"}, monitor.Scope{All: true}
	ctx := t.Context()
	for name, ask := range map[string]func(identity.Actor, monitor.Scope) error{
		"query": func(a identity.Actor, in monitor.Scope) error {
			_, err := s.Query(ctx, a, monitor.Question{Scope: in, Text: "ContainerLogV2"})
			return err
		},
		"newest": func(a identity.Actor, in monitor.Scope) error {
			_, err := s.Newest(ctx, a, monitor.Question{Scope: in, Text: "ContainerLogV2"})
			return err
		},
		"explore": func(a identity.Actor, in monitor.Scope) error {
			_, err := s.Explore(ctx, a, monitor.Question{Scope: in, Text: "ContainerLogV2"})
			return err
		},
		"trace": func(a identity.Actor, in monitor.Scope) error {
			_, err := s.Trace(ctx, a, in, strings.Repeat("a", 32))
			return err
		},
		"span": func(a identity.Actor, in monitor.Scope) error {
			_, err := s.Span(ctx, a, in, strings.Repeat("a", 32), strings.Repeat("b", 16))
			return err
		},
		"recent": func(a identity.Actor, in monitor.Scope) error {
			_, err := s.Recent(ctx, a, in, monitor.Lines{}, time.Hour, 10)
			return err
		},
		"live": func(a identity.Actor, in monitor.Scope) error {
			return s.Live(ctx, a, in, monitor.Lines{}, func([]monitor.Line, int64) error { return fault.New(fault.Conflict, "enough") })
		},
		"tail": func(a identity.Actor, in monitor.Scope) error {
			return s.Tail(ctx, a, in, "ContainerLogV2", func(*monitor.Answer, int64) error { return fault.New(fault.Conflict, "enough") })
		},
		"workloads": func(a identity.Actor, in monitor.Scope) error { _, err := s.Workloads(ctx, a, in); return err },
		"top":       func(a identity.Actor, in monitor.Scope) error { _, err := s.Top(ctx, a, in); return err },
		"instant": func(a identity.Actor, in monitor.Scope) error {
			_, err := s.Instant(ctx, a, in, "up", time.Time{})
			return err
		},
		"range": func(a identity.Actor, in monitor.Scope) error {
			_, err := s.Range(ctx, a, in, "up", now, now, time.Minute)
			return err
		},
	} {
		if err := ask(user("eve"), shop); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: a stranger got %v", name, err)
		}
		if err := ask(user("ada"), everything); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: a member got everything: %v", name, err)
		}
		if err := ask(identity.Actor{}, shop); err == nil {
			t.Errorf("%s: nobody got an answer", name)
		}
	}
	// Whatever the text says, rows of others are not there.
	for _, text := range []string{"ContainerLogV2", `ContainerLogV2 | where Project != "shop"`, "union *", "search \"hidden\"", `ContainerLogV2 | where Project == "den" or true`} {
		a, err := s.Query(ctx, user("ben"), monitor.Question{Scope: shop, Text: text})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := fmt.Sprint(a.Rows); strings.Contains(got, "hidden") || strings.Contains(got, "slow disk") {
			t.Errorf("%s shows rows of others: %s", text, got)
		}
	}
	a, err := s.Query(ctx, user("root"), monitor.Question{Scope: everything, Text: "ContainerLogV2 | count"})
	if err != nil || fmt.Sprint(a.Rows) != "[[5]]" {
		t.Errorf("the administrator got %v, %v", a, err)
	}
}

func TestFollow(t *testing.T) {
	s := world(t, storetest.SQLite(t), logs(t))
	shop := monitor.Scope{Project: "shop"}
	var got []string
	err := s.Tail(t.Context(), user("ben"), shop, `ContainerLogV2 | where LogLevel == "ERROR" | project PodName, Text = tostring(LogMessage)`, func(a *monitor.Answer, _ int64) error {
		got = append(got, fmt.Sprint(a.Rows))
		return nil
	})
	if !fault.Is(err, fault.Unavailable) || strings.Join(got, "") != "[[cart-1 checkout failed]]" {
		t.Errorf("followed %v, %v", got, err)
	}
	for text, want := range map[string]string{
		"ContainerLogV2 | summarize count()":                        "cannot be followed",
		"union ContainerLogV2, KubeEvents":                          "cannot be followed",
		"ContainerLogV2 | take 3":                                   "cannot be followed",
		"ContainerLogV2 | project TimeGenerated | render timechart": "cannot be followed",
		"ContainerLogV2 | where Nope == 1":                          "1:24",
	} {
		if err := s.MayTail(t.Context(), user("ben"), shop, text); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	var lines []string
	err = s.Live(t.Context(), user("ben"), shop, monitor.Lines{Pod: "cart", Contains: "GET"}, func(l []monitor.Line, _ int64) error {
		for _, one := range l {
			lines = append(lines, one.Pod+" "+one.Text)
		}
		return nil
	})
	if !fault.Is(err, fault.Unavailable) || strings.Join(lines, "|") != "cart-1 GET /cart 200" {
		t.Errorf("live lines %v, %v", lines, err)
	}
	recent, err := s.Recent(t.Context(), user("ben"), shop, monitor.Lines{Levels: []string{"error", "info"}, Contains: "get"}, time.Minute, 10)
	if err != nil || len(recent) != 2 || recent[0].Text != "GET /cart 200" || recent[1].Pod != "web-2" {
		t.Errorf("recent lines %+v, %v", recent, err)
	}
}

// TestAViewIsReplacedWhenThereAreManyOfThem has somebody who keeps as many views as there may
// be change one of them.
func TestAViewIsReplacedWhenThereAreManyOfThem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, ctx := world(t, db), t.Context()
		view := func(name string) monitor.View {
			return monitor.View{Project: "shop", Name: name, Query: "AppExceptions"}
		}
		first, err := s.SaveView(ctx, user("ben"), view("0"))
		if err != nil {
			t.Fatal(err)
		}
		err = db.Tx(ctx, func(tx *store.Tx) error {
			for i := range 499 {
				if _, err := tx.Exec(ctx, `INSERT INTO monitor_view (id, project, name, query, range_s, owner, shared, created) VALUES (?, 'shop', ?, 'x', 0, ?, 0, 0)`,
					fmt.Sprint("more-", i), fmt.Sprint(i+1), first.Owner); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.SaveView(ctx, user("ben"), view("0")); err != nil {
			t.Errorf("replacing one of 500: %v", err)
		}
		if _, err := s.SaveView(ctx, user("ben"), view("500")); !fault.Is(err, fault.TooLarge) {
			t.Errorf("the 501st: %v, want that it is too many", err)
		}
		if list, err := s.Views(ctx, user("ben"), "shop"); err != nil || len(list) != 500 {
			t.Errorf("%d views, %v, want 500", len(list), err)
		}
	})
}

func TestViews(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, ctx := world(t, db), t.Context()
		if _, err := s.SaveView(ctx, user("ben"), monitor.View{Project: "shop", Name: "errors", Query: "AppExceptions", Shared: true}); !fault.Is(err, fault.Denied) {
			t.Errorf("who reads shared a view: %v", err)
		}
		mine, err := s.SaveView(ctx, user("ben"), monitor.View{Project: "shop", Name: "errors", Query: "AppExceptions"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.SaveView(ctx, user("ada"), monitor.View{Project: "shop", Name: "slow", Query: "AppRequests", Shared: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.SaveView(ctx, user("ben"), monitor.View{Project: "shop", Name: "errors", Query: "AppExceptions | take 5"}); err != nil {
			t.Fatal(err)
		}
		names := func(who string) string {
			list, err := s.Views(ctx, user(who), "shop")
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, v := range list {
				out = append(out, v.Name+"="+v.Query)
			}
			return strings.Join(out, ", ")
		}
		if got := names("ben"); got != "errors=AppExceptions | take 5, slow=AppRequests" {
			t.Errorf("ben sees %s", got)
		}
		if got := names("ada"); got != "slow=AppRequests" {
			t.Errorf("ada sees %s", got)
		}
		if err := s.DeleteView(ctx, user("ada"), "shop", mine.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("somebody else's view was removed: %v", err)
		}
		for _, v := range []monitor.View{{Project: "shop", Query: "x"}, {Project: "shop", Name: "x"}, {Project: "shop", Name: "x", Query: "x", Range: -1}, {Project: "shop", Name: strings.Repeat("x", 101), Query: "x"}} {
			if _, err := s.SaveView(ctx, user("ben"), v); !fault.Is(err, fault.Invalid) {
				t.Errorf("the view %+v was kept: %v", v, err)
			}
		}
	})
}

func TestCheckAndComplete(t *testing.T) {
	s := world(t, storetest.SQLite(t))
	c, err := s.Check(t.Context(), user("ben"), "AppRequests | where Nam == \"x\"")
	if err != nil || len(c.Errors) != 1 || c.Errors[0].Line != 1 || c.Errors[0].Col != 21 || c.Errors[0].Start != 20 || c.Errors[0].End != 23 {
		t.Errorf("checked %+v, %v", c, err)
	}
	if c, err = s.Check(t.Context(), user("ben"), "AppRequests | summarize n = count() by Name | render barchart"); err != nil || len(c.Errors) > 0 || len(c.Columns) != 2 || c.Render == nil {
		t.Errorf("checked %+v, %v", c, err)
	}
	items, err := s.Complete(t.Context(), user("ben"), "AppRequests | where Na", 22)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, i := range items {
		found = found || i.Label == "Name" && i.Kind == "column"
	}
	if !found {
		t.Errorf("the column Name is not offered among %d", len(items))
	}
	if _, err := s.Complete(t.Context(), user("ben"), "x", 7); !fault.Is(err, fault.Invalid) {
		t.Errorf("a place outside the text: %v", err)
	}
	if _, err := s.Check(t.Context(), identity.Actor{}, "x"); !fault.Is(err, fault.Unauthentic) {
		t.Errorf("nobody was answered: %v", err)
	}
}
