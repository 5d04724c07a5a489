package work_test

import (
	"fmt"
	"testing"

	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/work"
)

// BenchmarkOpen opens an item, and pages of the backlog and the board, of a project with
// 100,000 items.
func BenchmarkOpen(b *testing.B) {
	db := storetest.SQLite(b)
	w := build(b, db)
	it := w.add(work.NewItem{Title: "first", Body: "body"})
	for range 20 {
		_, err := w.Comment(b.Context(), user("wanda"), it.Number, "a comment")
		check(b, err)
	}
	// The others are copies, because making them one by one takes long.
	check(b, db.Tx(b.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(b.Context(), `WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
			INSERT INTO work_item SELECT n.i, project, type, 'item ' || n.i, 'item ' || n.i, body, CASE WHEN n.i % 10 = 0 THEN state ELSE 'Closed' END,
			CASE WHEN n.i % 10 = 0 THEN category ELSE 'completed' END, assignee, points, priority, severity, labels, parent, sprint,
			CAST(500000000000000 + n.i * 1000000 AS TEXT), version, created, created_by, updated, ended, source, signal, count, active, exposure, first_seen,
			last_seen, auto, wont_fix, until, triage, triaged FROM work_item, n WHERE number = 1`)
		return err
	}))
	for name, call := range map[string]func(i int) error{
		"item": func(int) error { _, err := w.Get(b.Context(), user("rita"), it.Number); return err },
		"backlog": func(int) error {
			_, err := w.Backlog(b.Context(), user("rita"), "shop", work.Filter{State: "open"})
			return err
		},
		"search": func(i int) error {
			_, err := w.Backlog(b.Context(), user("rita"), "shop", work.Filter{Text: fmt.Sprintf("item %d", i)})
			return err
		},
		"board": func(int) error { _, err := w.Board(b.Context(), user("rita"), "shop", "all", ""); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				check(b, call(i))
			}
		})
	}
}
