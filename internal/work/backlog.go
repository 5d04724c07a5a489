package work

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Limits of what is listed.
const (
	defaultPage = 50
	maxPage     = 500
	maxColumn   = 200
	maxText     = 200
)

// Backlog returns one page of the items of a project in the order of the backlog. It needs
// read.
func (s *Service) Backlog(ctx context.Context, a identity.Actor, project string, f Filter) (Backlog, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Backlog{}, err
	}
	c, err := s.selection(ctx, project, f)
	if err != nil {
		return Backlog{}, err
	}
	if f.After != "" {
		if !isPlace(f.After) || len(f.After) > maxPlace {
			return Backlog{}, invalid("%q is no page.", clip(f.After)).WithNext("take the \"next\" of the page before")
		}
		c.and(`i.place > ?`, f.After)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	rows, err := list(ctx, s.DB, c.where()+` ORDER BY i.place LIMIT ?`, append(c.args, limit+1)...)
	if err != nil {
		return Backlog{}, err
	}
	out := Backlog{Items: items(rows[:min(len(rows), limit)])}
	if len(rows) > limit {
		out.Next = rows[limit-1].Rank
	}
	return out, nil
}

// Open counts the items of a project that are not done, by type. It needs read.
func (s *Service) Open(ctx context.Context, a identity.Actor, project string) (map[string]int, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	rows, err := s.DB.Query(ctx, `SELECT type, COUNT(*) FROM work_item WHERE project = ? AND category IN (?, ?) GROUP BY type`, project, Proposed, InProgress)
	if err != nil {
		return nil, fmt.Errorf("counting open items: %w", err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var kind string
		var n int
		if err := rows.Scan(&kind, &n); err != nil {
			return nil, fmt.Errorf("counting open items: %w", err)
		}
		out[kind] = n
	}
	return out, rows.Err()
}

// Ways to cut a board into lanes.
const (
	LaneAssignee = "assignee"
	LaneType     = "type"
	LaneParent   = "parent"
)

// Board returns the columns of a project by state: of one sprint, or of everything that is
// in none when sprint is "none"; "" is @current where there is one, else everything. lane
// is "", assignee, type or parent. Columns of the category removed are left out. It needs
// read.
func (s *Service) Board(ctx context.Context, a identity.Actor, project, sprint, lane string) (Board, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Board{}, err
	}
	if lane != "" {
		if err := oneOf("way to cut a board", lane, LaneAssignee, LaneType, LaneParent); err != nil {
			return Board{}, err
		}
	}
	b := Board{Project: project, Columns: []Column{}}
	f := Filter{Sprint: sprint}
	if sprint == "" || sprint != "none" && sprint != "all" {
		p, err := s.sprintOf(ctx, s.DB, project, cmpOr(sprint, "@current"))
		switch {
		case err == nil:
			b.Sprint, f.Sprint = &p, p.ID
		case sprint != "" || !fault.Is(err, fault.NotFound):
			return Board{}, err
		}
	}
	if f.Sprint == "all" {
		f.Sprint = ""
	}
	list, err := states(ctx, s.DB, project)
	if err != nil {
		return b, err
	}
	for _, st := range list {
		if st.Category == Removed {
			continue
		}
		c, err := s.column(ctx, project, st, f)
		if err != nil {
			return b, err
		}
		b.Columns = append(b.Columns, c)
	}
	if lane != "" {
		b.Lanes, err = s.lanes(ctx, b, lane)
	}
	return b, err
}

func cmpOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (s *Service) column(ctx context.Context, project string, st State, f Filter) (Column, error) {
	out := Column{State: st}
	c, err := s.selection(ctx, project, f)
	if err != nil {
		return out, err
	}
	c.and(`i.state = ?`, st.Name)
	var pts int64
	err = s.DB.QueryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(i.points), 0) FROM work_item i `+c.where(), c.args...).Scan(&out.Count, &pts)
	if err != nil {
		return out, fmt.Errorf("counting the items of a column: %w", err)
	}
	out.Points = points(pts)
	rows, err := list(ctx, s.DB, c.where()+` ORDER BY i.place LIMIT ?`, append(c.args, maxColumn)...)
	out.Items = items(rows)
	return out, err
}

// lanes groups the items of a board, the lane without a key last.
func (s *Service) lanes(ctx context.Context, b Board, by string) ([]Lane, error) {
	out := []Lane{}
	for _, c := range b.Columns {
		for _, it := range c.Items {
			key := map[string]string{LaneAssignee: it.Assignee, LaneType: it.Type, LaneParent: strings.TrimPrefix(ref(it.Parent), "#")}[by]
			i := slices.IndexFunc(out, func(l Lane) bool { return l.Key == key })
			if i < 0 {
				i = len(out)
				out = append(out, Lane{Key: key, Title: key})
			}
			out[i].Items = append(out[i].Items, it.Number)
		}
	}
	slices.SortStableFunc(out, func(x, y Lane) int {
		if (x.Key == "") != (y.Key == "") {
			return map[bool]int{true: 1, false: -1}[x.Key == ""]
		}
		return strings.Compare(x.Key, y.Key)
	})
	if by != LaneParent {
		return out, nil
	}
	for i, l := range out {
		n, err := strconv.ParseInt(l.Key, 10, 64)
		if err != nil {
			continue // The lane of those without a parent.
		}
		above, err := load(ctx, s.DB, n, false)
		if err != nil {
			return out, err
		}
		out[i].Title = above.Title
	}
	return out, nil
}
