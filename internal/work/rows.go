package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/store"
)

// row is an item with what only this package looks at.
type row struct {
	Item
	source  string // of the signal; "" for what people wrote
	signal  string
	triaged string // id of the sprint for which a planning deferred it
}

const itemColumns = `i.number, i.project, i.type, i.title, i.state, i.category, i.assignee, i.points, i.priority, i.severity, i.labels, i.parent,
	i.sprint, COALESCE(p.name, ''), i.place, i.version, i.created, i.created_by, i.updated, i.ended, i.source, i.signal, i.count, i.active, i.exposure,
	i.first_seen, i.last_seen, i.auto, i.wont_fix, i.until, i.triage, i.triaged`

const itemTables = ` FROM work_item i LEFT JOIN work_sprint p ON p.id = i.sprint `

// scanner is *sql.Row and *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

func scanItem(r scanner, more ...any) (row, error) {
	var it row
	var n Insight
	var pts, created, updated, ended, first, last, auto, until int64
	var tags string
	dest := []any{
		&it.Number, &it.Project, &it.Type, &it.Title, &it.State, &it.Category, &it.Assignee, &pts, &it.Priority, &it.Severity, &tags, &it.Parent,
		&it.SprintID, &it.Sprint, &it.Rank, &it.Version, &created, &it.CreatedBy, &updated, &ended, &it.source, &it.signal, &n.Count, &n.Active, &n.Exposure,
		&first, &last, &auto, &n.WontFix, &until, &n.Triage, &it.triaged,
	}
	if err := r.Scan(append(dest, more...)...); err != nil {
		return it, err
	}
	it.Points, it.Labels = points(pts), untag(tags)
	it.Created, it.Updated, it.Ended = moment(created), moment(updated), moment(ended)
	if it.signal != "" {
		n.Source, n.Key, n.Auto = it.source, it.signal, auto != 0
		n.FirstSeen, n.LastSeen, n.Until = moment(first), moment(last), moment(until)
		it.Insight = &n
	}
	return it, nil
}

// tag writes labels as ",a,b,", so that one of them is found by LIKE.
func tag(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	return "," + strings.Join(labels, ",") + ","
}

func untag(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.Trim(s, ","), ",")
}

// load reads an item with its body; lock keeps others from changing it until the end of
// the transaction.
func load(ctx context.Context, h store.Handle, number int64, lock bool) (row, error) {
	if tx, ok := h.(*store.Tx); lock && ok && tx.Postgres() {
		if _, err := tx.Exec(ctx, `SELECT number FROM work_item WHERE number = ? FOR UPDATE`, number); err != nil {
			return row{}, fmt.Errorf("locking item %d: %w", number, err)
		}
	}
	var body string
	it, err := scanItem(h.QueryRow(ctx, `SELECT `+itemColumns+`, i.body`+itemTables+`WHERE i.number = ?`, number), &body)
	if errors.Is(err, sql.ErrNoRows) {
		return it, noItem(number)
	}
	if err != nil {
		return it, fmt.Errorf("reading item %d: %w", number, err)
	}
	it.Body = body
	return it, nil
}

// list reads items without their bodies.
func list(ctx context.Context, h store.Handle, where string, args ...any) ([]row, error) {
	rows, err := h.Query(ctx, `SELECT `+itemColumns+itemTables+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading items: %w", err)
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		it, err := scanItem(rows)
		if err != nil {
			return nil, fmt.Errorf("reading an item: %w", err)
		}
		out = append(out, it)
	}
	return out, rows.Err()
}

func items(rows []row) []Item {
	out := make([]Item, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.Item)
	}
	return out
}

// insert writes a new item.
func insert(ctx context.Context, tx *store.Tx, it row) error {
	n := insightOf(it)
	_, err := tx.Exec(ctx, `INSERT INTO work_item (number, project, type, title, folded, body, state, category, assignee, points, priority, severity, labels,
		parent, sprint, place, version, created, created_by, updated, ended, source, signal, count, active, exposure, first_seen, last_seen, auto, wont_fix,
		until, triage, triaged) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		it.Number, it.Project, it.Type, it.Title, strings.ToLower(it.Title), it.Body, it.State, it.Category, it.Assignee, hundredths(it.Points), it.Priority,
		it.Severity, tag(it.Labels), it.Parent, it.SprintID, it.Rank, it.Version, millis(it.Created), it.CreatedBy, millis(it.Updated), millis(it.Ended),
		it.source, it.signal, n.Count, n.Active, n.Exposure, millis(n.FirstSeen), millis(n.LastSeen), flag(n.Auto), n.WontFix, millis(n.Until), n.Triage, it.triaged)
	return placed(err, it)
}

// update writes an item that load returned, when nobody wrote it since.
func update(ctx context.Context, tx *store.Tx, it row, version int64) error {
	n := insightOf(it)
	res, err := tx.Exec(ctx, `UPDATE work_item SET type = ?, title = ?, folded = ?, body = ?, state = ?, category = ?, assignee = ?, points = ?, priority = ?,
		severity = ?, labels = ?, parent = ?, sprint = ?, place = ?, version = ?, updated = ?, ended = ?, count = ?, active = ?, exposure = ?, first_seen = ?,
		last_seen = ?, auto = ?, wont_fix = ?, until = ?, triage = ?, triaged = ? WHERE number = ? AND version = ?`,
		it.Type, it.Title, strings.ToLower(it.Title), it.Body, it.State, it.Category, it.Assignee, hundredths(it.Points), it.Priority, it.Severity,
		tag(it.Labels), it.Parent, it.SprintID, it.Rank, it.Version, millis(it.Updated), millis(it.Ended), n.Count, n.Active, n.Exposure, millis(n.FirstSeen),
		millis(n.LastSeen), flag(n.Auto), n.WontFix, millis(n.Until), n.Triage, it.triaged, it.Number, version)
	if err != nil {
		return placed(err, it)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, changedMeanwhile(it.Number))
	}
	return nil
}

func insightOf(it row) Insight {
	if it.Insight == nil {
		return Insight{}
	}
	return *it.Insight
}

func placed(err error, it row) error {
	switch {
	case err == nil:
		return nil
	case store.Unique(err):
		return fmt.Errorf("%w: %w", errPlaceTaken, err)
	}
	return fmt.Errorf("writing item %d: %w", it.Number, err)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// next takes the next number of the installation.
func next(ctx context.Context, tx *store.Tx) (int64, error) {
	var n int64
	if err := tx.QueryRow(ctx, `UPDATE work_counter SET value = value + 1 WHERE one = 1 RETURNING value`).Scan(&n); err != nil {
		return 0, fmt.Errorf("taking a number: %w", err)
	}
	return n, nil
}
