package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// The cursor table of the logbook serves as a table with a key and a value.
const (
	insert = `INSERT INTO event_cursor (consumer, seq) VALUES (?, ?)`
	count  = `SELECT COUNT(*) FROM event_cursor`
)

func rows(t *testing.T, h store.Handle) (n int) {
	t.Helper()
	if err := h.QueryRow(t.Context(), count).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTxCommitsAndThenTellsAbout(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		told := 0
		err := db.Tx(t.Context(), func(tx *store.Tx) error {
			tx.AfterCommit(func() { told = rows(t, db) })
			_, err := tx.Exec(t.Context(), insert, "a ? in the text", 7)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if told != 1 {
			t.Errorf("AfterCommit saw %d rows, want the committed one", told)
		}
	})
}

func TestTxRollsBackOnError(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		mine := errors.New("mine")
		err := db.Tx(t.Context(), func(tx *store.Tx) error {
			tx.AfterCommit(func() { t.Error("AfterCommit ran after a roll-back") })
			if _, err := tx.Exec(t.Context(), insert, "x", 1); err != nil {
				return err
			}
			if n := rows(t, tx); n != 1 {
				t.Errorf("the transaction sees %d rows of its own, want 1", n)
			}
			return mine
		})
		if !errors.Is(err, mine) {
			t.Errorf("Tx() = %v, want the function's error", err)
		}
		if n := rows(t, db); n != 0 {
			t.Errorf("%d rows after the roll-back", n)
		}
	})
}

func TestUniqueTellsADuplicateFromOtherErrors(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if _, err := db.Exec(t.Context(), insert, "x", 1); err != nil {
			t.Fatal(err)
		}
		_, err := db.Exec(t.Context(), insert, "x", 2)
		if !store.Unique(err) {
			t.Errorf("Unique(%v) is false", err)
		}
		_, err = db.Exec(t.Context(), `INSERT INTO event_cursor (consumer, seq) VALUES (?, NULL)`, "y")
		if err == nil || store.Unique(err) || store.Full(err) {
			t.Errorf("a missing value: %v is taken for a duplicate or a full disk", err)
		}
	})
}

func TestQuotedQuestionMarksAreText(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var got, arg string
		err := db.QueryRow(t.Context(), `SELECT 'what''s ? this', CAST(? AS TEXT)`, "arg").Scan(&got, &arg)
		if err != nil || got != "what's ? this" || arg != "arg" {
			t.Errorf("got %q, %q, %v", got, arg, err)
		}
	})
}

func TestWritersQueueAndReadersGoOn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if _, err := db.Exec(t.Context(), insert, "n", 0); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 5 {
					err := db.Tx(t.Context(), func(tx *store.Tx) error {
						_, err := tx.Exec(t.Context(), `UPDATE event_cursor SET seq = seq + 1 WHERE consumer = 'n'`)
						return err
					})
					if err != nil {
						t.Errorf("writing: %v", err)
					}
				}
			})
		}
		for range 20 {
			rows(t, db)
		}
		wg.Wait()
		var n int
		if err := db.QueryRow(t.Context(), `SELECT seq FROM event_cursor WHERE consumer = 'n'`).Scan(&n); err != nil || n != 40 {
			t.Errorf("%d increments arrived, %v; want 40", n, err)
		}
	})
}

func TestReadersCannotWriteOnSQLite(t *testing.T) {
	db := storetest.SQLite(t)
	r, err := db.Query(t.Context(), insert+` RETURNING seq`, "x", 1)
	if err == nil {
		r.Next()
		err = errors.Join(r.Err(), r.Close())
	}
	if err == nil || rows(t, db) != 0 {
		t.Errorf("Query wrote: %v", err)
	}
}

func TestOpenAgainKeepsTheData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with space & ?.db")
	for i := range 2 {
		db, err := store.Open(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		if n := rows(t, db); n != i {
			t.Errorf("opening %d: %d rows", i, n)
		}
		if _, err := db.Exec(t.Context(), insert, string(rune('a'+i)), 1); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
