package audit

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// former is what is stored of an object, with its verdicts by assignment and rule.
type former struct {
	stored
	rows map[[2]string]row
}

// atOnce is how many objects are read from the database by one question.
const atOnce = 200

// formerOf returns what is stored of objects; those of which nothing is are not in it.
func (s *session) formerOf(ctx context.Context, uids []types.UID) (map[types.UID]former, error) {
	out := make(map[types.UID]former, len(uids))
	for len(uids) > 0 {
		part := uids[:min(len(uids), atOnce)]
		uids = uids[len(part):]
		args := make([]any, len(part))
		for i, uid := range part {
			args[i] = string(uid)
		}
		known, err := s.objects(ctx, `o.uid IN (`+marks(len(part))+`)`, args...)
		if err != nil {
			return nil, err
		}
		byID := make(map[int64]map[[2]string]row, len(known))
		for _, o := range known {
			byID[o.id] = map[[2]string]row{}
			out[o.uid] = former{stored: o, rows: byID[o.id]}
		}
		if err := s.rowsOf(ctx, byID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// rowsOf reads the stored verdicts of objects into maps by assignment and rule.
func (s *session) rowsOf(ctx context.Context, objects map[int64]map[[2]string]row) error {
	if len(objects) == 0 {
		return nil
	}
	ids := make([]any, 0, len(objects))
	for id := range objects {
		ids = append(ids, id)
	}
	rows, err := s.DB.Query(ctx, `SELECT v.object, v.rule, r.assignment, r.rule, r.policy, v.outcome, v.path, v.message, v.violations, v.exemption, v.first_seen, v.since
		FROM audit_verdict v JOIN audit_rule r ON r.id = v.rule WHERE v.object IN (`+marks(len(ids))+`)`, ids...)
	if err != nil {
		return fmt.Errorf("reading verdicts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var object int64
		var r row
		if err := rows.Scan(&object, &r.key, &r.assignment, &r.rule, &r.policy, &r.said.outcome, &r.said.path, &r.said.message, &r.said.violations, &r.said.exemption, &r.firstSeen, &r.since); err != nil {
			return err
		}
		objects[object][[2]string{r.assignment, r.rule}] = r
	}
	return rows.Err()
}

// marks returns n parameters of a list in SQL.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }
