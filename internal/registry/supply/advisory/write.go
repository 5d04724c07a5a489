package advisory

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/store"
)

// writer stores advisories many rows at a time: a source brings tens of thousands of
// rows, and the transaction holds the one writer of the database.
type writer struct {
	tx                          *store.Tx
	source                      string
	advisories, aliases, affect table
}

// table is an INSERT that is being gathered.
type table struct {
	head, tail string
	columns    int
	args       []any
}

// flushRows is how many rows go into one statement; ten columns of them stay below the
// parameter limits of both engines.
const flushRows = 200

func newWriter(tx *store.Tx, source string) *writer {
	return &writer{
		tx: tx, source: source,
		advisories: table{
			columns: 10, head: `INSERT INTO advisory (id, source, modified, published, withdrawn, severity, score, summary, aliases, hash) VALUES `,
			tail: ` ON CONFLICT (id) DO UPDATE SET source = excluded.source, modified = excluded.modified, published = excluded.published,
				withdrawn = excluded.withdrawn, severity = excluded.severity, score = excluded.score, summary = excluded.summary,
				aliases = excluded.aliases, hash = excluded.hash`,
		},
		aliases: table{columns: 2, head: `INSERT INTO advisory_alias (alias, advisory) VALUES `},
		affect:  table{columns: 6, head: `INSERT INTO advisory_affected (advisory, ord, ecosystem, package, ranges, versions) VALUES `},
	}
}

// put stores one advisory; each id may come once. known says that rows of it exist.
func (w *writer) put(ctx context.Context, hash string, r Record, known bool) error {
	fail := func(err error) error { return fmt.Errorf("storing advisory %s: %w", r.ID, err) }
	if known {
		for _, q := range []string{`DELETE FROM advisory_alias WHERE advisory = ?`, `DELETE FROM advisory_affected WHERE advisory = ?`} {
			if _, err := w.tx.Exec(ctx, q, r.ID); err != nil {
				return fail(err)
			}
		}
	}
	aliases, err := json.Marshal(r.Aliases)
	if err != nil {
		return fail(err)
	}
	w.advisories.add(r.ID, w.source, milli(r.Modified), milli(r.Published), milli(r.Withdrawn), string(r.Severity), int64(r.Score*10+0.5),
		r.Summary, string(aliases), hash)
	for _, a := range r.Aliases {
		w.aliases.add(a, r.ID)
	}
	for i, a := range r.Affected {
		ranges, err := json.Marshal(a.Ranges)
		if err != nil {
			return fail(err)
		}
		listed, err := json.Marshal(a.Versions)
		if err != nil {
			return fail(err)
		}
		w.affect.add(r.ID, i, a.Ecosystem, a.Package, string(ranges), string(listed))
	}
	if w.advisories.rows() >= flushRows || w.affect.rows() >= flushRows || w.aliases.rows() >= flushRows {
		return w.flush(ctx)
	}
	return nil
}

// flush writes what is gathered, the advisories first: the other rows refer to them.
func (w *writer) flush(ctx context.Context) error {
	for _, t := range []*table{&w.advisories, &w.aliases, &w.affect} {
		if err := t.flush(ctx, w.tx); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) add(values ...any) { t.args = append(t.args, values...) }

func (t *table) rows() int { return len(t.args) / t.columns }

func (t *table) flush(ctx context.Context, tx *store.Tx) error {
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", t.columns), ",") + "),"
	for len(t.args) > 0 {
		// One advisory may bring thousands of rows at once.
		n := min(t.rows(), flushRows)
		query := t.head + strings.TrimSuffix(strings.Repeat(row, n), ",") + t.tail
		if _, err := tx.Exec(ctx, query, t.args[:n*t.columns]...); err != nil {
			return fmt.Errorf("storing advisories: %w", err)
		}
		t.args = t.args[n*t.columns:]
	}
	return nil
}
