package event_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newLog(db *store.DB) *event.Log { return event.New(db, clock.Fixed(start, time.Second)) }

func fact(i int) event.Fact {
	return event.Fact{
		Type: event.TypeRunFinished, Subject: event.OfRun(int64(i)), Project: "shop", Actor: "system:test",
		Payload: event.RunFinished{V: 1, Run: int64(i), Result: "succeeded"},
		Links:   []event.Link{{Rel: event.RelBuiltFrom, To: event.Of(event.KindCommit, fmt.Sprintf("%040d", i))}},
	}
}

func write(t *testing.T, db *store.DB, l *event.Log, facts ...event.Fact) {
	t.Helper()
	if err := db.Tx(t.Context(), func(tx *store.Tx) error { return l.Append(t.Context(), tx, facts...) }); err != nil {
		t.Fatal(err)
	}
}

func TestAppendChainsAndReads(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(db)
		write(t, db, l, fact(1), fact(2))
		write(t, db, l, fact(3))
		got, err := l.Read(t.Context(), event.Query{})
		if err != nil || len(got) != 3 {
			t.Fatalf("Read() = %d events, %v", len(got), err)
		}
		for i, e := range got {
			if e.Seq != int64(i+1) || (i > 0 && e.PrevHash != got[i-1].Hash) || len(e.Hash) != 64 {
				t.Errorf("event %d: seq %d, prev %q, hash %q", i, e.Seq, e.PrevHash, e.Hash)
			}
		}
		var p event.RunFinished
		if err := got[1].Into(&p); err != nil || p.Run != 2 {
			t.Errorf("Into() = %+v, %v", p, err)
		}
		if diff := cmp.Diff(fact(2).Links, got[1].Links); diff != "" {
			t.Errorf("links (-want +got):\n%s", diff)
		}
		seq, hash, err := l.Head(t.Context())
		if err != nil || seq != 3 || hash != got[2].Hash {
			t.Errorf("Head() = %d, %q, %v", seq, hash, err)
		}
	})
}

func TestReadSelects(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(db)
		other := fact(4)
		other.Project, other.Type = "blog", event.TypeRunStarted
		write(t, db, l, fact(1), fact(2), fact(3), other)
		tests := []struct {
			name string
			q    event.Query
			want []int64
		}{
			{"all", event.Query{}, []int64{1, 2, 3, 4}},
			{"after", event.Query{After: 2}, []int64{3, 4}},
			{"project", event.Query{Project: "blog"}, []int64{4}},
			{"subject", event.Query{Subject: event.OfRun(2)}, []int64{2}},
			{"type", event.Query{Type: event.TypeRunFinished}, []int64{1, 2, 3}},
			{"limit", event.Query{Limit: 2}, []int64{1, 2}},
			{"newest", event.Query{Limit: 2, Newest: true}, []int64{4, 3}},
			{"nothing", event.Query{Project: "blog", Type: event.TypeRunFinished}, nil},
		}
		for _, tt := range tests {
			events, err := l.Read(t.Context(), tt.q)
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, e := range events {
				got = append(got, e.Seq)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		}
	})
}

func TestAppendRefuses(t *testing.T) {
	db := storetest.SQLite(t)
	l := newLog(db)
	big := fact(1)
	big.Payload = event.RunFinished{Why: string(make([]byte, event.MaxPayload))}
	tests := map[string]event.Fact{
		"no type":    {Subject: "run:1", Actor: "a", Payload: 1},
		"no subject": {Type: "t", Actor: "a", Payload: 1},
		"no actor":   {Type: "t", Subject: "run:1", Payload: 1},
		"no payload": {Type: "t", Subject: "run:1", Actor: "a"},
		"too large":  big,
		"no JSON":    {Type: "t", Subject: "run:1", Actor: "a", Payload: func() {}},
	}
	for name, f := range tests {
		err := db.Tx(t.Context(), func(tx *store.Tx) error { return l.Append(t.Context(), tx, fact(1), f) })
		if err == nil {
			t.Errorf("%s: appended", name)
		}
	}
	if seq, _, err := l.Head(t.Context()); seq != 0 || err != nil {
		t.Errorf("Head() = %d, %v after refused appends, want an empty log", seq, err)
	}
}

func TestConcurrentWritersLeaveNoHole(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := event.New(db, clock.System())
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 10 {
					err := db.Tx(t.Context(), func(tx *store.Tx) error { return l.Append(t.Context(), tx, fact(w*100+i)) })
					if err != nil {
						t.Errorf("appending: %v", err)
					}
				}
			})
		}
		wg.Wait()
		r, err := l.Verify(t.Context(), nil)
		if err != nil || !r.OK || r.Events != 40 {
			t.Errorf("Verify() = %+v, %v", r, err)
		}
	})
}

func TestVerifyFindsEveryKindOfTampering(t *testing.T) {
	columns := []struct{ column, value string }{
		{"id", "'x'"}, {"time", "time + 1"}, {"type", "'run.started'"}, {"subject", "'run:9'"}, {"project", "'blog'"}, {"actor", "'user:eve'"},
		{"trace", "'x'"}, {"payload", `'{"v":1,"run":2,"result":"failed","seconds":0}'`}, {"links", "'[]'"}, {"prev_hash", "'x'"}, {"hash", "'x'"},
	}
	type tamper struct {
		name string
		sql  []string
		bad  int64
	}
	tests := []tamper{
		{"removed row", []string{`DELETE FROM event_link WHERE seq = 2`, `DELETE FROM event WHERE seq = 2`}, 2},
		{"cut tail", []string{`DELETE FROM event_link WHERE seq > 2`, `DELETE FROM event WHERE seq > 2`}, 3},
		{"cut tail and moved head", []string{`DELETE FROM event_link WHERE seq > 2`, `DELETE FROM event WHERE seq > 2`, `UPDATE event_head SET seq = 2`}, 2},
		{"first row removed", []string{`DELETE FROM event_link WHERE seq = 1`, `DELETE FROM event WHERE seq = 1`}, 1},
		{"swapped", []string{`DELETE FROM event_link`, `UPDATE event SET seq = 99 WHERE seq = 2`, `UPDATE event SET seq = 2 WHERE seq = 3`, `UPDATE event SET seq = 3 WHERE seq = 99`}, 2},
		{"swapped contents", []string{`UPDATE event SET payload = (SELECT payload FROM event WHERE seq = 3) WHERE seq = 2`}, 2},
	}
	for _, c := range columns {
		tests = append(tests, tamper{"changed " + c.column, []string{`UPDATE event SET ` + c.column + ` = ` + c.value + ` WHERE seq = 2`}, 2})
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(db)
		write(t, db, l, fact(1), fact(2), fact(3), fact(4))
		if r, err := l.Verify(t.Context(), nil); err != nil || !r.OK || r.Events != 4 {
			t.Fatalf("untouched: Verify() = %+v, %v", r, err)
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) { verifyTampered(t, db, l, tt.sql, tt.bad) })
		}
	})
}

var errUndo = errors.New("undo")

// verifyTampered applies the statements, verifies, and puts back what was there.
func verifyTampered(t *testing.T, db *store.DB, l *event.Log, statements []string, bad int64) {
	t.Helper()
	ctx := t.Context()
	backup := []string{
		`CREATE TABLE keep_event AS SELECT * FROM event`, `CREATE TABLE keep_link AS SELECT * FROM event_link`, `CREATE TABLE keep_head AS SELECT * FROM event_head`,
	}
	restore := []string{
		`DELETE FROM event_link`, `DELETE FROM event`, `DELETE FROM event_head`, `INSERT INTO event SELECT * FROM keep_event`,
		`INSERT INTO event_link SELECT * FROM keep_link`, `INSERT INTO event_head SELECT * FROM keep_head`,
		`DROP TABLE keep_event`, `DROP TABLE keep_link`, `DROP TABLE keep_head`,
	}
	if !db.Postgres() {
		statements = append([]string{`PRAGMA defer_foreign_keys = ON`}, statements...)
	}
	exec := func(list []string) {
		t.Helper()
		err := db.Tx(ctx, func(tx *store.Tx) error {
			for _, s := range list {
				if _, err := tx.Exec(ctx, s); err != nil {
					return fmt.Errorf("%s: %w", s, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	exec(backup)
	exec(statements)
	r, err := l.Verify(ctx, nil)
	exec(restore)
	if err != nil || r.OK || r.BadSeq != bad || r.Why == "" {
		t.Errorf("Verify() = %+v, %v; want event %d found", r, err, bad)
	}
	if r, err := l.Verify(ctx, nil); err != nil || !r.OK {
		t.Fatalf("after putting back: Verify() = %+v, %v", r, err)
	}
}

func TestEdgesGoBothWays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(db)
		write(t, db, l, fact(1), fact(2), fact(1))
		commit := fact(1).Links[0].To
		want := []event.Edge{{Seq: 1, From: event.OfRun(1), Rel: event.RelBuiltFrom, To: commit}}
		for _, s := range []event.Subject{commit, event.OfRun(1)} {
			got, err := l.Edges(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Edges(%s) (-want +got):\n%s", s, diff)
			}
		}
	})
}

func TestInAndOutFollowOneRelationNewestFirst(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(db)
		commit := event.Of(event.KindCommit, "abc")
		for i := range 3 {
			f := fact(i + 1)
			f.Links = []event.Link{{Rel: event.RelBuiltFrom, To: commit}, {Rel: event.RelPartOf, To: "run:99"}}
			write(t, db, l, f)
		}
		in, err := l.In(t.Context(), commit, event.RelBuiltFrom, 2)
		want := []event.Edge{{Seq: 3, From: "run:3", Rel: event.RelBuiltFrom, To: commit}, {Seq: 2, From: "run:2", Rel: event.RelBuiltFrom, To: commit}}
		if diff := cmp.Diff(want, in); diff != "" || err != nil {
			t.Errorf("In() %v (-want +got):\n%s", err, diff)
		}
		out, err := l.Out(t.Context(), "run:2", event.RelBuiltFrom, 10)
		if diff := cmp.Diff(want[1:], out); diff != "" || err != nil {
			t.Errorf("Out() %v (-want +got):\n%s", err, diff)
		}
		if none, err := l.In(t.Context(), commit, event.RelDeploys, 10); len(none) != 0 || err != nil {
			t.Errorf("another relation: %v, %v", none, err)
		}
	})
}

func TestSubjectsFindsWhatBeginsWithHexDigits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(db)
		for _, id := range []string{"abc0", "abcf", "abd0", "ab", "abc0"} {
			f := fact(1)
			f.Subject, f.Links = event.Of(event.KindCommit, id), nil
			write(t, db, l, f)
		}
		for begin, want := range map[string][]event.Subject{
			"commit:abc": {"commit:abc0", "commit:abcf"}, "commit:abc0": {"commit:abc0"}, "commit:ff": nil, "run:abc": nil,
		} {
			got, err := l.Subjects(t.Context(), begin, 10)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("Subjects(%s) %v (-want +got):\n%s", begin, err, diff)
			}
		}
		if got, err := l.Subjects(t.Context(), "commit:", 2); len(got) != 2 || err != nil {
			t.Errorf("limited: %v, %v", got, err)
		}
	})
}

// consume runs a consumer until it has seen `want` deliveries, and returns their seqs.
func consume(t *testing.T, l *event.Log, want int, handle event.Handler) []int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var seen []int64
	err := l.Consume(ctx, "test", func(ctx context.Context, tx *store.Tx, e event.Event) error {
		seen = append(seen, e.Seq)
		if len(seen) == want {
			defer cancel()
		}
		return handle(ctx, tx, e)
	}, slog.New(slog.DiscardHandler))
	if err != nil || len(seen) < want {
		t.Fatalf("%d deliveries, %v; waited in vain for %d", len(seen), err, want)
	}
	return seen
}

func cursor(t *testing.T, db *store.DB) (seq int64) {
	t.Helper()
	if err := db.QueryRow(t.Context(), `SELECT COALESCE(MAX(seq), 0) FROM event_cursor WHERE consumer = 'test'`).Scan(&seq); err != nil {
		t.Fatal(err)
	}
	return seq
}

func TestConsumeDeliversInOrderAndGoesOnAfterARestart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(db)
		for i := range 150 {
			write(t, db, l, fact(i))
		}
		ok := func(context.Context, *store.Tx, event.Event) error { return nil }
		first := consume(t, l, 150, ok)
		// The last batch may be rolled back by the end of ctx: it is delivered again then.
		second := consume(t, l, 150-int(cursor(t, db))+1, append1(t, db, l, ok))
		last := int64(0)
		for _, seq := range append(first[:cursorOf(first, second)], second...) {
			if seq != last+1 {
				t.Fatalf("delivered %d after %d", seq, last)
			}
			last = seq
		}
		if last != 151 {
			t.Errorf("the last event delivered is %d, want 151", last)
		}
	})
}

// append1 appends one more event and returns the handler unchanged.
func append1(t *testing.T, db *store.DB, l *event.Log, h event.Handler) event.Handler {
	t.Helper()
	write(t, db, l, fact(150))
	return h
}

// cursorOf says how many of the first deliveries come before the second ones.
func cursorOf(first, second []int64) int {
	for i, seq := range first {
		if len(second) > 0 && seq == second[0] {
			return i
		}
	}
	return len(first)
}

func TestConsumeTriesAFailingEventAgainWithoutHoldingBackOthers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(db)
		write(t, db, l, fact(1), fact(2), fact(3), fact(4))
		attempts := 0
		seen := map[int64]int{}
		consume(t, l, 9, func(ctx context.Context, tx *store.Tx, e event.Event) error {
			seen[e.Seq]++
			if e.Seq == 3 {
				attempts++
				if attempts < 4 {
					return errors.New("not yet")
				}
			}
			return nil
		})
		if seen[3] < 4 || seen[4] == 0 {
			t.Errorf("deliveries: %v; want event 3 four times, then event 4", seen)
		}
		if got := cursor(t, db); got < 2 {
			t.Errorf("the cursor stands at %d; the events before the failing one are held back", got)
		}
	})
}

func TestConsumeRollsBackWhatAFailingHandlerWrote(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(db)
		write(t, db, l, fact(1))
		n := 0
		consume(t, l, 2, func(ctx context.Context, tx *store.Tx, e event.Event) error {
			n++
			_, err := tx.Exec(ctx, `INSERT INTO event_cursor (consumer, seq) VALUES ('mark', ?)`, n)
			if n == 1 {
				return errors.Join(err, errUndo)
			}
			return err
		})
		var mark int
		err := db.QueryRow(t.Context(), `SELECT COALESCE(MAX(seq), 0) FROM event_cursor WHERE consumer = 'mark'`).Scan(&mark)
		if err != nil || mark == 1 {
			t.Errorf("mark = %d, %v: the failed attempt left its write", mark, err)
		}
	})
}

func TestSubject(t *testing.T) {
	s := event.Of(event.KindImage, "sha256:abc")
	if s != "image:sha256:abc" || s.Kind() != "image" || s.ID() != "sha256:abc" {
		t.Errorf("%s: kind %q, id %q", s, s.Kind(), s.ID())
	}
	if event.OfRun(2040) != "run:2040" {
		t.Errorf("OfRun(2040) = %s", event.OfRun(2040))
	}
}
