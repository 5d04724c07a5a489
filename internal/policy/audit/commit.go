package audit

import (
	"context"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/store"
)

// commit writes. It reports whether anything that can be seen changed.
func (w *writer) commit(ctx context.Context, writes []write) (news bool, err error) {
	for i := range writes {
		c := &writes[i]
		if c.remove || c.touches() {
			news = true
		}
	}
	if !news {
		return false, nil
	}
	return true, w.DB.Tx(ctx, func(tx *store.Tx) error {
		var next int64
		if err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(id), 0) FROM audit_object`).Scan(&next); err != nil {
			return fmt.Errorf("numbering audited objects: %w", err)
		}
		var rows []placed
		for _, c := range writes {
			if err := w.tell(ctx, tx, c); err != nil {
				return err
			}
			if c.remove {
				if _, err := tx.Exec(ctx, `DELETE FROM audit_object WHERE id = ?`, c.id); err != nil {
					return fmt.Errorf("removing an audited object: %w", err)
				}
				continue
			}
			if !c.touches() {
				continue
			}
			if !c.had {
				next++
				c.id = next
			}
			if err := w.put(ctx, tx, c); err != nil {
				return fmt.Errorf("storing the verdicts on %s %s/%s: %w", c.kind.Kind, c.place.Namespace, c.name, err)
			}
			for _, r := range c.put {
				rows = append(rows, placed{c.id, r})
			}
		}
		return putRows(ctx, tx, rows)
	})
}

// placed is a verdict with the number of its object.
type placed struct {
	object int64
	row
}

// put writes an object, and drops the verdicts that it has no more.
func (w *writer) put(ctx context.Context, tx *store.Tx, c write) error {
	for drop := c.drop; len(drop) > 0; {
		part := drop[:min(len(drop), atOnce)]
		drop = drop[len(part):]
		args := []any{c.id}
		for _, r := range part {
			args = append(args, r)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM audit_verdict WHERE object = ? AND rule IN (`+marks(len(part))+`)`, args...); err != nil {
			return err
		}
	}
	if c.had && !c.move {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO audit_object (id, cluster, uid, api_group, kind, namespace, name, project, environment, actor, run, commit_sha, images)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (cluster, uid) DO UPDATE SET project = excluded.project, environment = excluded.environment,
		actor = excluded.actor, run = excluded.run, commit_sha = excluded.commit_sha, images = excluded.images`, c.id, w.opts.Cluster, string(c.uid), c.kind.Group, c.kind.Kind,
		c.place.Namespace, c.name, c.project, c.environment, c.actor, c.run, c.commit, c.bearing.images)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM audit_image WHERE object = ?`, c.id); err != nil {
		return err
	}
	for _, d := range c.result.images {
		if _, err := tx.Exec(ctx, `INSERT INTO audit_image (digest, object) VALUES (?,?)`, d, c.id); err != nil {
			return err
		}
	}
	return nil
}

// putRows writes verdicts, many at once.
func putRows(ctx context.Context, tx *store.Tx, rows []placed) error {
	const most = 90 // parameters are limited
	for len(rows) > 0 {
		part := rows[:min(len(rows), most)]
		rows = rows[len(part):]
		args := make([]any, 0, 9*len(part))
		for _, r := range part {
			args = append(args, r.object, r.key, r.said.outcome, r.said.path, r.said.message, r.said.violations, r.said.exemption, r.firstSeen, r.since)
		}
		_, err := tx.Exec(ctx, `INSERT INTO audit_verdict (object, rule, outcome, path, message, violations, exemption, first_seen, since) VALUES `+
			strings.TrimSuffix(strings.Repeat("(?,?,?,?,?,?,?,?,?),", len(part)), ",")+
			` ON CONFLICT (object, rule) DO UPDATE SET outcome = excluded.outcome, path = excluded.path, message = excluded.message,
			violations = excluded.violations, exemption = excluded.exemption, since = excluded.since`, args...)
		if err != nil {
			return fmt.Errorf("storing verdicts: %w", err)
		}
	}
	return nil
}
