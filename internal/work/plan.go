package work

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Decisions of a planning about an insight.
const (
	Accepted = "accepted"
	Deferred = "deferred"
)

// maxTray is how many insights a tray lists, of at most maxWeighed that are looked at.
const (
	maxTray    = 200
	maxWeighed = 5000
)

// Tray returns what a planning looks at: the insights that no planning dealt with yet,
// beside the room of the sprint that is planned, which ref names; "" is @next where there
// is one, else @current. It needs read.
func (s *Service) Tray(ctx context.Context, a identity.Actor, project, ref string) (Tray, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Tray{}, err
	}
	var t Tray
	p, err := s.planned(ctx, project, ref)
	if err != nil {
		return t, err
	}
	target := ""
	if p != nil {
		t.Sprint, target = &p.Sprint, p.ID
	}
	if t.Since, err = s.lastPlanning(ctx, project); err != nil {
		return t, err
	}
	// Deferred for this very sprint: it had its turn. In another one: it was planned.
	waiting, err := list(ctx, s.DB, `WHERE i.project = ? AND i.category IN (?, ?) AND i.signal <> '' AND (i.sprint = '' OR i.sprint = ?)
		AND i.triage <> ? AND NOT (i.triage = ? AND i.triaged = ?) ORDER BY i.number DESC LIMIT ?`,
		project, Proposed, InProgress, target, Accepted, Deferred, target, maxWeighed)
	if err != nil {
		return t, err
	}
	now := s.now()
	all := make([]TrayItem, 0, len(waiting))
	for _, it := range waiting {
		all = append(all, TrayItem{Item: it.Item, Score: score(it.Item, now), InSprint: target != "" && it.SprintID == target, Suggested: suggested(it.Severity)})
	}
	slices.SortStableFunc(all, func(x, y TrayItem) int {
		return cmp.Or(cmp.Compare(y.Score, x.Score), cmp.Compare(x.Number, y.Number))
	})
	t.Insights, t.More = all[:min(len(all), maxTray)], max(0, len(all)-maxTray)
	return t, s.bars(ctx, project, &t)
}

// planned finds the sprint that is planned, nil when there is none.
func (s *Service) planned(ctx context.Context, project, ref string) (*sprintRow, error) {
	if ref != "" {
		p, err := s.sprintRowOf(ctx, s.DB, project, ref)
		return &p, err
	}
	for _, ref := range []string{"@next", "@current"} {
		p, err := s.sprintRowOf(ctx, s.DB, project, ref)
		if err == nil {
			return &p, nil
		}
		if !fault.Is(err, fault.NotFound) {
			return nil, err
		}
	}
	return nil, nil
}

// lastPlanning is when the newest sprint was started: its planning was over then.
func (s *Service) lastPlanning(ctx context.Context, project string) (time.Time, error) {
	var ms int64
	err := s.DB.QueryRow(ctx, `SELECT COALESCE(MAX(activated), 0) FROM work_sprint WHERE project = ?`, project).Scan(&ms)
	if err != nil {
		return time.Time{}, fmt.Errorf("looking for the last planning: %w", err)
	}
	return moment(ms), nil
}

// score says how pressing an insight is: see TrayItem.
func score(it Item, now time.Time) float64 {
	weight := map[string]float64{Critical: 8, High: 4, Medium: 2}[it.Severity]
	weight = max(weight, 1)
	exposure, age := 1.0, 0.0
	if it.Insight != nil {
		exposure = float64(max(1, it.Insight.Exposure))
		age = now.Sub(it.Insight.FirstSeen).Hours() / (24 * 7)
	}
	return points(hundredths(weight * exposure * min(5, 1+max(0, age))))
}

// suggested is the reference's rule per severity: critical at once, high next.
func suggested(severity string) string {
	switch severity {
	case Critical:
		return "@current"
	case High:
		return "@next"
	}
	return ""
}

// bars fills in what the sprint has room for and what is in it.
func (s *Service) bars(ctx context.Context, project string, t *Tray) error {
	v, err := s.velocity(ctx, s.DB, project)
	if err != nil {
		return err
	}
	t.Velocity, t.Room = v.Average, v.Average
	share := defaultSecurity
	if t.Sprint != nil {
		if t.Sprint.Room > 0 {
			t.Room = t.Sprint.Room
		}
		t.Planned, share = t.Sprint.Points, t.Sprint.Security
	}
	t.Budget = points(hundredths(t.Room * float64(share) / 100))
	if t.Sprint == nil {
		return nil
	}
	var spent, zero int64
	err = s.DB.QueryRow(ctx, `SELECT COALESCE(SUM(CASE WHEN type = ? OR signal <> '' THEN points ELSE 0 END), 0), COALESCE(SUM(CASE WHEN points = 0 THEN 1 ELSE 0 END), 0)
		FROM work_item WHERE sprint = ? AND sprint <> '' AND category <> ?`, TypeSecurity, t.Sprint.ID, Removed).Scan(&spent, &zero)
	if err != nil {
		return fmt.Errorf("adding up the sprint %s: %w", t.Sprint.Name, err)
	}
	t.Spent, t.Unestimated = points(spent), int(zero)
	return nil
}

// Triage decides about insights in a planning: accepted ones go into the sprint (a name,
// id, @current or @next; "" leaves them in the backlog), deferred ones leave its tray until
// another sprint is planned. It needs write.
func (s *Service) Triage(ctx context.Context, a identity.Actor, project string, numbers []int64, decision, sprint string) ([]Item, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Write); err != nil {
		return nil, err
	}
	if err := oneOf("decision", decision, Accepted, Deferred); err != nil {
		return nil, err
	}
	if err := (Move{Items: numbers, Top: true}).check(); err != nil {
		return nil, err
	}
	target := ""
	p, err := s.planned(ctx, project, sprint)
	if err != nil {
		return nil, err
	}
	if p != nil {
		target = p.ID
	}
	var out []Item
	err = s.tx(ctx, func(tx *store.Tx) (err error) {
		out, err = s.changeAll(ctx, tx, a, project, numbers, func(m *mutation) error { return m.triage(ctx, decision, sprint, target) })
		return err
	})
	return out, err
}

func (m *mutation) triage(ctx context.Context, decision, sprint, target string) error {
	if m.it.Insight == nil {
		return invalid("Item %d came from no signal.", m.it.Number).WithNext("move it: towpath item move %d --sprint …", m.it.Number)
	}
	m.note("triage", m.it.Insight.Triage, decision)
	m.it.Insight.Triage, m.it.triaged = decision, target
	switch {
	case decision == Accepted && sprint != "":
		return m.sprint(ctx, sprint)
	case decision == Deferred && m.it.SprintID == target:
		m.intoSprint(Sprint{})
	}
	return nil
}
