package insight

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/store"
)

// The states of a group.
const (
	Open     = "open"
	Resolved = "resolved" // opened again when it is seen after that
	Ignored  = "ignored"  // stays so, whatever is seen
)

// Group is all occurrences of one error in a project.
type Group struct {
	Project      string    `json:"project"`
	Fingerprint  string    `json:"fingerprint"`
	Role         string    `json:"role"`
	Type         string    `json:"type"`
	Message      string    `json:"message"`
	Operation    string    `json:"operation,omitempty" doc:"trace id of one occurrence"`
	Environment  string    `json:"environment,omitempty"`
	FirstSeen    time.Time `json:"first_seen"`
	LastSeen     time.Time `json:"last_seen"`
	FirstRelease string    `json:"first_release,omitempty"`
	LastRelease  string    `json:"last_release,omitempty"`
	Count        int64     `json:"count" doc:"occurrences, weighted by what sampling left out"`
	State        string    `json:"state"`
	Actor        string    `json:"actor,omitempty" doc:"who set the state"`
	Resolved     time.Time `json:"resolved,omitzero"`
	// Query is KQL that lists the occurrences.
	Query string `json:"query"`
}

const groupColumns = `project, fingerprint, role, type, message, operation, environment, first_seen, last_seen, first_release, last_release, occurrences, state, actor, resolved`

func scanGroup(row interface{ Scan(...any) error }) (Group, error) {
	var g Group
	var first, last, resolved int64
	err := row.Scan(&g.Project, &g.Fingerprint, &g.Role, &g.Type, &g.Message, &g.Operation, &g.Environment, &first, &last, &g.FirstRelease, &g.LastRelease, &g.Count, &g.State, &g.Actor, &resolved)
	g.FirstSeen, g.LastSeen = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
	if resolved != 0 {
		g.Resolved = time.UnixMilli(resolved).UTC()
	}
	g.Query = "AppExceptions\n| where ProblemId == " + syntax.Quote(g.Fingerprint) + "\n| order by TimeGenerated desc"
	return g, err
}

// GroupFilter narrows Groups.
type GroupFilter struct {
	State        string // "" is any
	FirstRelease string // that came with this release; "" is any
	Since        time.Time
	Limit        int // 0 means 100, at most 1,000
}

// Groups lists the groups of a project, the last seen first. The groups of the platform
// have the project "" and are for administrators.
func (s *Service) Groups(ctx context.Context, a identity.Actor, project string, f GroupFilter) ([]Group, error) {
	if err := s.mayRead(ctx, a, project); err != nil {
		return nil, err
	}
	return s.groups(ctx, project, f)
}

func (s *Service) mayRead(ctx context.Context, a identity.Actor, project string) error {
	if project == "" {
		return s.Auth.RequireAdmin(ctx, a)
	}
	return s.Auth.Require(ctx, a, project, identity.Read)
}

func (s *Service) groups(ctx context.Context, project string, f GroupFilter) ([]Group, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	since := int64(0)
	if !f.Since.IsZero() {
		since = f.Since.UnixMilli()
	}
	rows, err := s.DB.Query(ctx, `SELECT `+groupColumns+` FROM insight_group WHERE project = ? AND (? = '' OR state = ?) AND (? = '' OR first_release = ?) AND last_seen >= ?
		ORDER BY last_seen DESC, fingerprint LIMIT ?`, project, f.State, f.State, f.FirstRelease, f.FirstRelease, since, min(f.Limit, 1000))
	if err != nil {
		return nil, fmt.Errorf("reading error groups: %w", err)
	}
	defer rows.Close()
	out := []Group{}
	for rows.Next() {
		g, err := scanGroup(rows)
		if err != nil {
			return nil, fmt.Errorf("reading error groups: %w", err)
		}
		out = append(out, g)
	}
	return out, rows.Err()
}

// Group returns one group.
func (s *Service) Group(ctx context.Context, a identity.Actor, project, fingerprint string) (Group, error) {
	if err := s.mayRead(ctx, a, project); err != nil {
		return Group{}, err
	}
	return findGroup(ctx, s.DB, project, fingerprint)
}

func findGroup(ctx context.Context, h store.Handle, project, fingerprint string) (Group, error) {
	g, err := scanGroup(h.QueryRow(ctx, `SELECT `+groupColumns+` FROM insight_group WHERE project = ? AND fingerprint = ?`, project, fingerprint))
	if errors.Is(err, sql.ErrNoRows) {
		return Group{}, fault.New(fault.NotFound, "There is no error group %q in project %q.", fingerprint, project)
	}
	return g, err
}

// SetState says what people think of a group: open, resolved or ignored.
func (s *Service) SetState(ctx context.Context, a identity.Actor, project, fingerprint, state string) (Group, error) {
	if project == "" {
		if err := s.Auth.RequireAdmin(ctx, a); err != nil {
			return Group{}, err
		}
	} else if err := s.Auth.Require(ctx, a, project, identity.Write); err != nil {
		return Group{}, err
	}
	if state != Open && state != Resolved && state != Ignored {
		return Group{}, fault.New(fault.Invalid, "A group is open, resolved or ignored, not %.40q.", state)
	}
	resolved := int64(0)
	if state == Resolved {
		resolved = s.Clock.Now().UnixMilli()
	}
	var g Group
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE insight_group SET state = ?, actor = ?, resolved = ? WHERE project = ? AND fingerprint = ?`, state, a.String(), resolved, project, fingerprint)
		if err != nil {
			return fmt.Errorf("setting the state of an error group: %w", err)
		}
		g, err = findGroup(ctx, tx, project, fingerprint)
		return err
	})
	return g, err
}
