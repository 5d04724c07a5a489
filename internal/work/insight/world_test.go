package insight_test

import (
	"context"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock/clocktest"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/work"
	"towpath.dev/towpath/internal/work/insight"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// everybody may do everything; whoever is nobody may not.
type everybody struct{}

func (everybody) Require(_ context.Context, a identity.Actor, _ string, _ identity.Role) error {
	if !a.Known() {
		return fault.New(fault.Unauthentic, "not signed in")
	}
	return nil
}

// history is the commits of one repository on one line, the oldest first.
type history []insight.Commit

func (h history) index(hash string) int {
	return slices.IndexFunc(h, func(c insight.Commit) bool { return c.Hash == hash })
}

func (h history) Range(_ context.Context, project, from, to string) (string, []insight.Commit, error) {
	end := h.index(to)
	if end < 0 {
		return "", nil, fault.New(fault.NotFound, "no repository has %s", to)
	}
	begin := end
	if from != "" {
		begin = h.index(from) + 1
	}
	if begin > end {
		return project + "/web", nil, nil
	}
	list := slices.Clone(h[begin : end+1])
	slices.Reverse(list)
	return project + "/web", list, nil
}

func (h history) Owners(_ context.Context, _, _ string, paths []string) ([]string, error) {
	for _, p := range paths {
		if strings.HasPrefix(p, "cart/") {
			return []string{"carol"}, nil
		}
	}
	return nil, nil
}

// shelf answers what is known against images and code.
type shelf struct{ images, code map[string][]insight.Finding }

func (s *shelf) OfImages(_ context.Context, repository string) ([]insight.Finding, error) {
	return s.images[repository], nil
}

func (s *shelf) OfCode(_ context.Context, repo, _ string) ([]insight.Finding, error) {
	return s.code[repo], nil
}

// services are a web that calls a cart.
type services struct{}

func (services) Impact(context.Context, string, string, string, time.Time) (insight.Impact, error) {
	return insight.Impact{}, nil
}

func (services) Callers(_ context.Context, _, _, role string) ([]string, error) {
	if role == "cart" {
		return []string{"web"}, nil
	}
	return nil, nil
}

func (services) LastError(context.Context, string, string) (time.Time, error) {
	return time.Time{}, nil
}

// sha is a commit that is named by a word.
func sha(word string) string { return strings.Repeat(hex.EncodeToString([]byte(word)), 40)[:40] }

// world is an engine over a log, with the real items.
type world struct {
	*insight.Service
	db    *store.DB
	log   *event.Log
	items *work.Service
	clock *clocktest.Clock
	shelf *shelf
	fed   int64
}

func commits() history {
	h := history{}
	for i, word := range []string{"base", "one", "two", "fault", "noise", "fix", "later", "last"} {
		c := insight.Commit{Hash: sha(word), Title: word, Author: "Ada", User: "ada", When: start.Add(time.Duration(i) * time.Minute)}
		if word == "fault" {
			c.Author, c.User, c.Files = "Bob", "bob", []string{"cart/main.go"}
		}
		h = append(h, c)
	}
	return h
}

func build(t testing.TB, db *store.DB, o insight.Options) *world {
	t.Helper()
	c := clocktest.At(start)
	log := event.New(db, c)
	items := work.New(work.Parts{DB: db, Log: log, Auth: everybody{}, Clock: c, Logger: slog.New(slog.DiscardHandler)})
	w := &world{db: db, log: log, items: items, clock: c, shelf: &shelf{images: map[string][]insight.Finding{}, code: map[string][]insight.Finding{}}}
	w.Service = insight.New(insight.Parts{
		DB: db, Log: log, Auth: everybody{}, Items: items, Commits: commits(), Vulnerabilities: w.shelf, Telemetry: services{}, Clock: c,
	}, o)
	return w
}

// say appends facts, feeds the engine with everything new, twice, as a consumer may see an
// event more than once, and settles.
func (w *world) say(t testing.TB, facts ...event.Fact) {
	t.Helper()
	ctx := t.Context()
	if len(facts) > 0 {
		if err := w.db.Tx(ctx, func(tx *store.Tx) error { return w.log.Append(ctx, tx, facts...) }); err != nil {
			t.Fatal(err)
		}
	}
	w.feed(t)
	if err := w.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	w.feed(t) // What the engine did to items is in the log too.
}

func (w *world) feed(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	for {
		events, err := w.log.Read(ctx, event.Query{After: w.fed, Limit: 5000})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			for range 2 {
				if err := w.db.Tx(ctx, func(tx *store.Tx) error { return w.Handle(ctx, tx, e) }); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.fed = events[len(events)-1].Seq
	}
}

// pass lets time go by, in steps, and settles after each.
func (w *world) pass(t testing.TB, d time.Duration) {
	t.Helper()
	for range 4 {
		w.clock.Add(d / 4)
		w.say(t)
	}
}

// all lists the items of the project, the oldest first.
func (w *world) all(t testing.TB) []work.Item {
	t.Helper()
	page, err := w.items.Backlog(t.Context(), insight.Actor(), "shop", work.Filter{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(page.Items, func(a, b work.Item) int { return int(a.Number - b.Number) })
	return page.Items
}
