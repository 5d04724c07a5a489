package insight_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock/clocktest"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// start is when the tests begin.
func start() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) }

// members lets ada write and bob read in shop, and root administrate.
type members struct{}

func (members) Require(_ context.Context, a identity.Actor, project string, r identity.Role) error {
	switch {
	case a.Name == "ada" && project == "shop", a.Name == "bob" && project == "shop" && r <= identity.Read:
		return nil
	}
	return fault.New(fault.Denied, "not %s in %s", a.Name, project)
}

func (members) RequireAdmin(_ context.Context, a identity.Actor) error {
	if a.Name != "root" {
		return fault.New(fault.Denied, "no administrator")
	}
	return nil
}

func actor(name string) identity.Actor { return identity.Actor{Kind: identity.KindUser, Name: name} }

// rollouts are the releases of a test.
type rollouts []insight.Rollout

func (r *rollouts) Rollouts(_ context.Context, since time.Time) ([]insight.Rollout, error) {
	var out []insight.Rollout
	for _, x := range *r {
		if !x.Live.Before(since) {
			out = append(out, x)
		}
	}
	return out, nil
}

func (r *rollouts) Between(_ context.Context, project, environment string, from, to time.Time) ([]insight.Rollout, error) {
	var out []insight.Rollout
	for _, x := range *r {
		if x.Project == project && (environment == "" || environment == x.Environment) && !x.Started.Before(from) && x.Started.Before(to) {
			out = append(out, x)
		}
	}
	return out, nil
}

// intake is an intake of which everything is settled at once.
type intake struct {
	*ingest.Service
	clock *clocktest.Clock
}

func (i intake) Settled() time.Time { return i.clock.Now() }

// world is a service over rows in memory, that the executor alone answers about.
type world struct {
	*insight.Service
	db       *store.DB
	log      *event.Log
	clock    *clocktest.Clock
	rows     *query.Memory
	releases *rollouts
}

func build(t testing.TB, db *store.DB) *world {
	w := &world{db: db, clock: clocktest.At(start()), rows: query.NewMemory(), releases: &rollouts{}}
	w.log = event.New(db, w.clock)
	w.Service = insight.New(insight.Parts{
		DB: db, Log: w.log, Auth: members{}, Clock: w.clock, Queries: query.New(query.Options{Clock: w.clock, Tables: w.rows}),
		Intake: intake{clock: w.clock}, Releases: w.releases,
	}, insight.Options{})
	return w
}

func inMemory(t testing.TB) *world { return build(t, storetest.SQLite(t)) }

// add adds rows of a table; the columns that all have are set.
func (w *world) add(name string, rows ...map[string]any) {
	b := table.NewBuilder(table.ByName(name))
	for _, r := range rows {
		b.Next()
		b.Time(b.Place(table.TimeGenerated), w.clock.Now())
		b.Time(b.Place("_TimeReceived"), w.clock.Now())
		b.Text(b.Place(table.Project), "shop")
		b.Text(b.Place(table.Environment), "production")
		b.Set("ItemCount", 1)
		for column, value := range r {
			if !b.Set(column, value) {
				panic(fmt.Sprintf("%s has no column %s for %v", name, column, value))
			}
		}
	}
	w.rows.Add(b.Batch([16]byte{}))
}

// events returns the payloads of a type, oldest first.
func events[T any](t testing.TB, w *world, kind string) []T {
	t.Helper()
	found, err := w.log.Read(context.Background(), event.Query{Type: kind})
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for _, e := range found {
		var p T
		if err := e.Into(&p); err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// traffic adds requests of a release during a time: of each operation n, of which a share
// fails, that take base milliseconds on the middle.
type traffic struct {
	release string
	from    time.Time
	n       int
	fail    map[string]float64
	base    map[string]float64 // by operation
}

func (w *world) serve(r *rand.Rand, t traffic) {
	var rows []map[string]any
	for _, name := range slices.Sorted(maps.Keys(t.base)) { // The same numbers in every run.
		base := t.base[name]
		for i := range t.n {
			failed := r.Float64() < t.fail[name]
			// Durations have long tails: a log-normal one.
			took := base * (0.7 + r.ExpFloat64()*0.3)
			if r.Float64() < 0.02 {
				took *= 4
			}
			rows = append(rows, map[string]any{
				table.TimeGenerated: t.from.Add(time.Duration(i) * 100 * time.Millisecond), "AppRoleName": "web", "Name": name, "DurationMs": took, "Success": !failed,
				table.Release: t.release,
			})
		}
	}
	w.add(table.AppRequests, rows...)
}
