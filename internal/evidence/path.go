package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
)

// locks are the columns of the Path, in order.
var locks = []string{LockReview, LockBuild, LockTest, LockScan, LockSign, LockPolicy, LockDeploy, LockHealth, LockBacklog}

// The locks that a change passes.
const (
	LockReview  = "review"
	LockBuild   = "build"
	LockTest    = "test"
	LockScan    = "scan"
	LockSign    = "sign"
	LockPolicy  = "policy"
	LockDeploy  = "deploy"
	LockHealth  = "health"
	LockBacklog = "backlog"
)

// Locks returns the names of the columns of the Path, in order.
func Locks() []string { return append([]string(nil), locks...) }

// State is where a change stands at a lock.
type State string

// The states of a cell.
const (
	None    State = "none"    // the change has not come here, or the lock does not exist yet
	Passing State = "passing" // it is going through now
	Held    State = "held"    // it waits for someone
	Shut    State = "shut"    // it was refused or has failed
	Open    State = "open"    // it went through
)

// Cell is one change at one lock.
type Cell struct {
	Lock   string        `json:"lock"`
	State  State         `json:"state"`
	Fact   string        `json:"fact,omitempty"`   // short: "12 of 12", "2 high"
	Detail string        `json:"detail,omitempty"` // one more short line
	Since  time.Time     `json:"since,omitzero"`   // of the newest event behind the cell
	Who    string        `json:"who,omitempty"`    // its actor, "kind:name"
	Link   event.Subject `json:"link,omitempty"`   // what a click opens
}

// Row is one change: the tip commit of a push to a branch.
type Row struct {
	ID           int64     `json:"id"` // seq of the push in the logbook
	Project      string    `json:"project"`
	Repo         string    `json:"repo"` // "project/repo"
	Branch       string    `json:"branch"`
	Default      bool      `json:"default"` // Branch is the default branch
	Commit       string    `json:"commit"`
	Title        string    `json:"title"`
	Author       string    `json:"author"`    // as Git names them
	PushedBy     string    `json:"pushed_by"` // actor, "kind:name"
	Pushed       time.Time `json:"pushed"`
	InProduction bool      `json:"in_production"` // the newest release in production is of this change
	Cells        []Cell    `json:"cells"`         // one for each of Locks, in their order
}

// Board is the Path of a project.
type Board struct {
	Summary Summary `json:"summary"`
	Rows    []Row   `json:"rows"` // newest first
	// More is what Filter.Before must be for the next page, 0 at the end.
	More int64 `json:"more,omitempty"`
}

// Filter selects rows. Zero fields select everything.
type Filter struct {
	PushedBy     string // only this actor's, "user:ada"
	Branch       string // only this branch
	State        State  // only rows with a cell in this state
	InProduction bool   // only what is in production
	Text         string // only rows whose title, author, branch or commit contains it, in any case
	Before       int64  // only rows with a smaller id
	Limit        int    // at most so many; 0 means 50, the most is 200
}

// looked bounds how many changes one call looks through for those that the filter wants.
const looked = 2000

// Path returns the project's changes, newest first, with the summary above them.
func (s *Service) Path(ctx context.Context, a identity.Actor, project string, f Filter) (Board, error) {
	if err := s.authz.Require(ctx, a, project, identity.Read); err != nil {
		return Board{}, err
	}
	var b Board
	releases, err := s.production(ctx, project)
	if err != nil {
		return b, err
	}
	if b.Summary, err = s.summary(ctx, project, releases); err != nil {
		return b, err
	}
	live := int64(0)
	if r := current(releases); r != nil {
		live = r.change
	}
	if !plain(f.Branch) {
		return b, nil // No branch has such a name.
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 200)
	before := f.Before
	for seen := 0; seen < looked; {
		page, err := s.changes(ctx, project, f.Branch, before, limit)
		if err != nil {
			return b, err
		}
		for _, r := range page {
			before = r.ID
			r.InProduction = r.ID == live
			if !f.wants(r) {
				continue
			}
			if b.Rows = append(b.Rows, r); len(b.Rows) == limit {
				b.More = before
				return b, nil
			}
		}
		if len(page) < limit {
			return b, nil
		}
		seen += len(page)
	}
	b.More = before
	return b, nil
}

func (f Filter) wants(r Row) bool {
	switch {
	case f.PushedBy != "" && r.PushedBy != f.PushedBy:
		return false
	case f.InProduction && !r.InProduction:
		return false
	case f.Text != "":
		text := strings.ToLower(strings.Join([]string{r.Title, r.Author, r.Branch, r.Commit, r.Repo}, "\n"))
		if !strings.Contains(text, strings.ToLower(f.Text)) {
			return false
		}
	}
	if f.State == "" {
		return true
	}
	for _, c := range r.Cells {
		if c.State == f.State {
			return true
		}
	}
	return false
}

// changes reads one page of rows with their cells.
func (s *Service) changes(ctx context.Context, project, branch string, before int64, limit int) ([]Row, error) {
	where, args := `project = ?`, []any{project}
	if branch != "" {
		where, args = where+` AND ref = ?`, append(args, "refs/heads/"+branch)
	}
	if before > 0 {
		where, args = where+` AND id < ?`, append(args, before)
	}
	rows, err := s.db.Query(ctx, `SELECT id, repo, ref, commit_hash, title, author, pushed_by, pushed, is_default FROM path_change
		WHERE `+where+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("reading the changes of %s: %w", project, err)
	}
	defer rows.Close()
	var out []Row
	for rows.Next() {
		r := Row{Project: project}
		var ref string
		var pushed, isDefault int64
		if err := rows.Scan(&r.ID, &r.Repo, &ref, &r.Commit, &r.Title, &r.Author, &r.PushedBy, &pushed, &isDefault); err != nil {
			return nil, fmt.Errorf("reading the changes of %s: %w", project, err)
		}
		r.Branch, r.Pushed, r.Default = strings.TrimPrefix(ref, "refs/heads/"), time.UnixMilli(pushed).UTC(), isDefault == 1
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the changes of %s: %w", project, err)
	}
	return out, s.fill(ctx, out)
}

// fill computes the cells of rows.
func (s *Service) fill(ctx context.Context, list []Row) error {
	if len(list) == 0 {
		return nil
	}
	ids := make([]any, 0, len(list))
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	rows, err := s.db.Query(ctx, `SELECT change_id, lock, part, seq, time, actor, run, body FROM path_part
		WHERE change_id IN (?`+strings.Repeat(",?", len(ids)-1)+`) ORDER BY seq`, ids...)
	if err != nil {
		return fmt.Errorf("reading the cells: %w", err)
	}
	defer rows.Close()
	parts := map[int64][]part{}
	for rows.Next() {
		var id, ms int64
		var p part
		var body string
		if err := rows.Scan(&id, &p.lock, &p.key, &p.seq, &ms, &p.actor, &p.run, &body); err != nil {
			return fmt.Errorf("reading the cells: %w", err)
		}
		p.time = time.UnixMilli(ms).UTC()
		if err := json.Unmarshal([]byte(body), &p.body); err != nil {
			return fmt.Errorf("reading the cells: %w", err)
		}
		parts[id] = append(parts[id], p)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the cells: %w", err)
	}
	for i := range list {
		list[i].Cells = cells(parts[list[i].ID], list[i].Default)
	}
	return nil
}
