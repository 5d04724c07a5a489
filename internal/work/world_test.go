package work_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock/clocktest"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/work"
)

// start is a Monday.
var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

var roles = map[string]map[string]identity.Role{
	"rita":    {"shop": identity.Read},
	"wanda":   {"shop": identity.Write},
	"max":     {"shop": identity.Maintain},
	"mallory": {"bank": identity.Admin},
}

// auth knows the table above.
type auth struct{}

func (auth) Require(_ context.Context, a identity.Actor, project string, r identity.Role) error {
	has := roles[a.Name][project]
	switch {
	case !a.Known():
		return fault.New(fault.Unauthentic, "Who?")
	case a.Kind == identity.KindSystem:
		return nil
	case has < identity.Read:
		return fault.New(fault.NotFound, "There is no project %s.", project)
	case has < r:
		return fault.New(fault.Denied, "You may not.")
	}
	return nil
}

func user(name string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: name, Cap: identity.Admin}
}

// code is what the service sees of repositories.
type code struct {
	commits map[string][]work.Commit // by tip
	lost    map[string][]string      // by tip
	pulls   map[int64]work.Pull
	items   []int64 // of what became of the commit hash
}

func (c *code) Range(_ context.Context, _, _, _, tip string, _ int) ([]work.Commit, error) {
	list, ok := c.commits[tip]
	if !ok {
		return nil, fault.New(fault.NotFound, "There is no commit %s.", tip)
	}
	return list, nil
}

func (c *code) Lost(_ context.Context, _, tip string, _ int) ([]string, error) {
	list, ok := c.lost[tip]
	if !ok {
		return nil, fault.New(fault.NotFound, "There is no commit %s.", tip)
	}
	return list, nil
}

// Items knows the items of one commit.
func (c *code) Items(_ context.Context, project, commit string) ([]int64, error) {
	if project != "shop" || commit != hash {
		return nil, nil
	}
	return c.items, nil
}

func (c *code) Pull(_ context.Context, repo string, number int64) (work.Pull, error) {
	p, ok := c.pulls[number]
	if !ok || repo != "shop/web" {
		return p, fault.New(fault.NotFound, "There is no pull request %d.", number)
	}
	return p, nil
}

type world struct {
	*work.Service
	t     testing.TB
	clock *clocktest.Clock
	log   *event.Log
	code  *code
}

func build(t testing.TB, db *store.DB) *world {
	t.Helper()
	c := clocktest.At(start)
	w := &world{t: t, clock: c, log: event.New(db, c), code: &code{commits: map[string][]work.Commit{}, lost: map[string][]string{}, pulls: map[int64]work.Pull{}}}
	w.Service = work.New(work.Parts{
		DB: db, Log: w.log, Auth: auth{}, Clock: c, Queue: job.New(db, c), Commits: w.code, Pulls: w.code, Chains: w.code, Releases: []string{"release/*"},
	})
	return w
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t testing.TB, err error, want fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != want {
		t.Fatalf("%v, want %s", err, want)
	}
}

// add makes an item in shop.
func (w *world) add(in work.NewItem) work.Item {
	w.t.Helper()
	it, err := w.Create(w.t.Context(), user("wanda"), "shop", in)
	check(w.t, err)
	return it
}

func (w *world) get(number int64) work.Detail {
	w.t.Helper()
	d, err := w.Get(w.t.Context(), user("rita"), number)
	check(w.t, err)
	return d
}

// sprint makes a sprint of two weeks that begins on a day of November 2026 or later.
func (w *world) sprint(name, from, to string, more ...func(*work.SprintEdit)) work.Sprint {
	w.t.Helper()
	in := work.SprintEdit{Name: &name, Start: &from, End: &to}
	for _, f := range more {
		f(&in)
	}
	p, err := w.CreateSprint(w.t.Context(), user("wanda"), "shop", in)
	check(w.t, err)
	return p
}

// order lists the backlog by titles: "a b c".
func (w *world) order() string {
	w.t.Helper()
	b, err := w.Backlog(w.t.Context(), user("rita"), "shop", work.Filter{Limit: 500})
	check(w.t, err)
	var out []string
	for _, it := range b.Items {
		out = append(out, it.Title)
	}
	return strings.Join(out, " ")
}

// said lists the events of a type: the change of each.
func (w *world) said(kind string) []event.Item {
	w.t.Helper()
	list, err := w.log.Read(w.t.Context(), event.Query{Type: kind, Limit: 5000})
	check(w.t, err)
	var out []event.Item
	for _, e := range list {
		var p event.Item
		check(w.t, e.Into(&p))
		out = append(out, p)
	}
	return out
}

func ptr[T any](v T) *T { return &v }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
