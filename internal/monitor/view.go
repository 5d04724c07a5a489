package monitor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// View is a question that somebody keeps.
type View struct {
	ID      string    `json:"id"`
	Project string    `json:"project"`
	Name    string    `json:"name"`
	Query   string    `json:"query"`
	Range   int64     `json:"range" doc:"seconds back from now; 0: the query says so itself"`
	Owner   string    `json:"owner"`
	Shared  bool      `json:"shared" doc:"everybody of the project sees it"`
	Created time.Time `json:"created"`
}

// Limits of views.
const (
	maxViews     = 500 // of one person in one project
	maxViewName  = 100
	maxViewQuery = 64 << 10
)

// Views lists the actor's own views of a project and the shared ones, by name.
func (s *Service) Views(ctx context.Context, a identity.Actor, project string) ([]View, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	rows, err := s.DB.Query(ctx, `SELECT id, name, query, range_s, owner, shared, created FROM monitor_view
		WHERE project = ? AND (shared = 1 OR owner = ?) ORDER BY name, owner`, project, a.String())
	if err != nil {
		return nil, fmt.Errorf("listing views: %w", err)
	}
	defer rows.Close()
	out := []View{}
	for rows.Next() {
		v := View{Project: project}
		var shared, created int64
		if err := rows.Scan(&v.ID, &v.Name, &v.Query, &v.Range, &v.Owner, &shared, &created); err != nil {
			return nil, fmt.Errorf("listing views: %w", err)
		}
		v.Shared, v.Created = shared == 1, time.UnixMilli(created).UTC()
		out = append(out, v)
	}
	return out, rows.Err()
}

// SaveView keeps a question; the actor's view of the same name is replaced. A shared view
// needs the role write.
func (s *Service) SaveView(ctx context.Context, a identity.Actor, v View) (View, error) {
	role := identity.Read
	if v.Shared {
		role = identity.Write
	}
	if err := s.Auth.Require(ctx, a, v.Project, role); err != nil {
		return View{}, err
	}
	v.Name = strings.TrimSpace(v.Name)
	switch {
	case v.Name == "" || len(v.Name) > maxViewName:
		return View{}, fault.New(fault.Invalid, "A view needs a name of at most %d characters.", maxViewName).WithNext("name it after what it shows, e.g. \"errors of checkout\"")
	case strings.TrimSpace(v.Query) == "" || len(v.Query) > maxViewQuery:
		return View{}, fault.New(fault.Invalid, "A view needs a query of at most %d KiB.", maxViewQuery>>10)
	case v.Range < 0:
		return View{}, fault.New(fault.Invalid, "A view cannot look %d seconds ahead.", -v.Range)
	}
	v.ID, v.Owner, v.Created = s.Clock.NewID(), a.String(), s.Clock.Now()
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		// The one that is replaced does not count.
		if _, err := tx.Exec(ctx, `DELETE FROM monitor_view WHERE project = ? AND owner = ? AND name = ?`, v.Project, v.Owner, v.Name); err != nil {
			return fmt.Errorf("replacing view %s: %w", v.Name, err)
		}
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM monitor_view WHERE project = ? AND owner = ?`, v.Project, v.Owner).Scan(&n); err != nil {
			return fmt.Errorf("counting views: %w", err)
		}
		if n >= maxViews {
			return fault.New(fault.TooLarge, "You keep %d views in this project already.", n).WithNext("remove some")
		}
		shared := 0
		if v.Shared {
			shared = 1
		}
		_, err := tx.Exec(ctx, `INSERT INTO monitor_view (id, project, name, query, range_s, owner, shared, created) VALUES (?,?,?,?,?,?,?,?)`,
			v.ID, v.Project, v.Name, v.Query, v.Range, v.Owner, shared, v.Created.UnixMilli())
		if err != nil {
			return fmt.Errorf("keeping view %s: %w", v.Name, err)
		}
		return s.Log.Append(ctx, tx, event.Fact{
			Type: event.TypeViewSaved, Project: v.Project, Subject: event.Of(event.KindProject, v.Project), Actor: a.String(),
			Payload: event.ViewSaved{V: 1, View: v.ID, Name: v.Name, Query: v.Query},
		})
	})
	return v, err
}

// DeleteView removes a view: one's own, or any shared one with the role maintain.
func (s *Service) DeleteView(ctx context.Context, a identity.Actor, project, id string) error {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return err
	}
	where := ` AND owner = ?`
	if s.Auth.Require(ctx, a, project, identity.Maintain) == nil {
		where = ` AND (owner = ? OR shared = 1)`
	}
	res, err := s.DB.Exec(ctx, `DELETE FROM monitor_view WHERE project = ? AND id = ?`+where, project, id, a.String())
	if err != nil {
		return fmt.Errorf("removing view %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return fault.New(fault.NotFound, "There is no view %s that is yours to remove.", id).WithNext("list them with `towpath query --views`")
	}
	return nil
}
