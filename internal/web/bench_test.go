package web_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/web"
	"towpath.dev/towpath/internal/web/webtest"
	"towpath.dev/towpath/internal/work"
)

// BenchmarkItemPage opens the page of an item with a long description, 100 comments and 100
// links, and a page of the backlog, in a project with 100,000 items: from the request to the
// last byte of the page, over the real items in a database.
func BenchmarkItemPage(b *testing.B) {
	f := webtest.New()
	d := f.Deps()
	db := storetest.SQLite(b)
	items := work.New(work.Parts{DB: db, Log: event.New(db, clock.System()), Auth: d.Identity, Clock: clock.System(), Queue: job.New(db, clock.System())})
	fill(b, db, items)
	d.Work, d.Logger = items, slog.New(slog.DiscardHandler)
	pages := web.New(d, web.Options{PublicURL: "http://localhost:7080", Version: "v0.1.0"})
	cookie := f.SessionCookie(f.Session("ada"))
	for name, path := range map[string]string{"item": "/projects/shop/items/1", "backlog": "/projects/shop/backlog"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://localhost:7080"+path, nil)
				r.AddCookie(cookie)
				w := httptest.NewRecorder()
				pages.ServeHTTP(w, r)
				if w.Code != http.StatusOK || w.Body.Len() < 10<<10 {
					b.Fatalf("%s: status %d, %d bytes", path, w.Code, w.Body.Len())
				}
			}
		})
	}
}

// fill makes one item that has much, and 99,999 copies without it.
func fill(b *testing.B, db *store.DB, items *work.Service) {
	b.Helper()
	ada := identity.Actor{Kind: identity.KindUser, Name: "ada", Cap: identity.Admin}
	in := work.NewItem{Title: "The cart loses items", Body: strings.Repeat("A line with `code`, **more** and a reference to #12.\n\n", 300)}
	for i := range 100 {
		in.Links = append(in.Links, work.Link{Subject: fmt.Sprintf("run:%d", i+1), Title: "a run"})
	}
	it, err := items.Create(b.Context(), ada, "shop", in)
	if err != nil {
		b.Fatal(err)
	}
	for range 100 {
		if _, err := items.Comment(b.Context(), ada, it.Number, "It happens *again* and again."); err != nil {
			b.Fatal(err)
		}
	}
	err = db.Tx(b.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(b.Context(), `WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
			INSERT INTO work_item SELECT n.i, project, type, 'item ' || n.i, 'item ' || n.i, '', state, category, assignee, points, priority, severity, labels, parent, sprint,
			CAST(500000000000000 + n.i * 1000000 AS TEXT), version, created, created_by, updated, ended, source, signal, count, active, exposure, first_seen,
			last_seen, auto, wont_fix, until, triage, triaged FROM work_item, n WHERE number = 1`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}
