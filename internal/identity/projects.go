package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// Project is the unit of rights: repositories, images and environments belong to one.
type Project struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// Member is a user's role in a project.
type Member struct {
	User string `json:"user"`
	Role Role   `json:"-"`
	Word string `json:"role"` // Role's word
}

// Require returns nil when the actor may do in the project what the role allows. It
// returns fault.Unauthentic for nobody, fault.NotFound when the project does not exist or
// the actor may not know that it does, and fault.Denied otherwise.
func (s *Service) Require(ctx context.Context, a Actor, project string, r Role) error {
	if !a.Known() {
		return fault.New(fault.Unauthentic, "You are not signed in.").WithNext("sign in, or pass a token")
	}
	has, err := s.role(ctx, a, project)
	if err != nil {
		return err
	}
	switch {
	case has < Read:
		return noProject(project)
	case has < r:
		return fault.New(fault.Denied, "This needs the role %q in project %s; %s has %q.", r, project, a, has).
			WithNext("ask an administrator of %s", project)
	case a.Cap < r:
		return fault.New(fault.Denied, "This needs a token with the scope %q; this one has %q.", r, a.Cap).
			WithNext("create a token with that scope")
	}
	return nil
}

// role returns what the actor's kind and membership give, before the token's scope.
func (s *Service) role(ctx context.Context, a Actor, project string) (Role, error) {
	if !projectName.MatchString(project) || (a.Kind == KindRun && a.Job.Project != project) {
		return None, nil
	}
	member := ""
	if a.Kind == KindUser {
		member = a.Name
	}
	var word sql.NullString
	err := s.db.QueryRow(ctx, `SELECT m.role FROM identity_project p
		LEFT JOIN identity_member m ON m.project = p.name AND m.username = ? WHERE p.name = ?`, member, project).Scan(&word)
	if errors.Is(err, sql.ErrNoRows) {
		return None, nil
	}
	if err != nil {
		return None, fmt.Errorf("reading the role of %s in %s: %w", a, project, err)
	}
	switch {
	case a.Kind == KindRun:
		return Write, nil
	case a.Kind == KindKey:
		// A deploy key opens one repository to Git, by its claims and not by a role.
		return None, nil
	case a.Kind == KindNode, a.Kind == KindPull:
		// The node pulls images and nothing else: the registry lets it, by its kind. Code,
		// logs and secrets of a project are none of its business.
		return None, nil
	case a.Admin:
		return Admin, nil
	}
	r, _ := ParseRole(word.String)
	return r, nil
}

// RequireAdmin returns nil for an administrator of the installation whose token is not
// cut down.
func (s *Service) RequireAdmin(_ context.Context, a Actor) error {
	switch {
	case !a.Known():
		return fault.New(fault.Unauthentic, "You are not signed in.").WithNext("sign in, or pass a token")
	case !a.Admin:
		return fault.New(fault.Denied, "Only an administrator of this installation may do this; %s is none.", a)
	case a.Cap < Admin:
		return fault.New(fault.Denied, "This needs a token with the scope \"admin\"; this one has %q.", a.Cap)
	}
	return nil
}

// Visible lists the projects that the actor may read, by name.
func (s *Service) Visible(ctx context.Context, a Actor) ([]Project, error) {
	if !a.Known() || a.Cap < Read {
		return nil, nil
	}
	query, args := `SELECT name, created FROM identity_project`, []any{}
	switch {
	case a.Admin:
	case a.Kind == KindRun:
		query, args = query+` WHERE name = ?`, []any{a.Job.Project}
	case a.Kind != KindUser:
		return nil, nil
	default:
		query += ` p JOIN identity_member m ON m.project = p.name WHERE m.username = ? AND m.role <> ?`
		args = []any{a.Name, None.String()}
	}
	rows, err := s.db.Query(ctx, query+` ORDER BY name`, args...)
	if err != nil {
		return nil, fmt.Errorf("listing projects: %w", err)
	}
	defer rows.Close()
	var out []Project
	for rows.Next() {
		var p Project
		var ms int64
		if err := rows.Scan(&p.Name, &ms); err != nil {
			return nil, fmt.Errorf("listing projects: %w", err)
		}
		p.Created = fromMillis(ms)
		out = append(out, p)
	}
	return out, rows.Err()
}

// CreateProject makes a project, with its creator as its admin. Administrators of the
// installation may, also by a token of scope write.
func (s *Service) CreateProject(ctx context.Context, a Actor, name string) (Project, error) {
	if err := mayCreate(a); err != nil {
		return Project{}, err
	}
	if err := CheckProjectName(name); err != nil {
		return Project{}, err
	}
	p := Project{Name: name, Created: s.clock.Now().Truncate(time.Millisecond)}
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO identity_project (name, created) VALUES (?,?)`, name, millis(p.Created)); err != nil {
			return err
		}
		subject := event.Of(event.KindProject, name)
		if err := s.say(ctx, tx, a, event.TypeProjectCreated, name, subject, event.Created{V: 1, Name: name}); err != nil {
			return err
		}
		if a.Kind != KindUser {
			return nil
		}
		return s.grant(ctx, tx, a, name, a.Name, Admin)
	})
	if store.Unique(err) {
		return Project{}, fault.New(fault.Conflict, "A project %q exists already.", name).WithNext("choose another name")
	}
	if err != nil {
		return Project{}, fmt.Errorf("creating project %s: %w", name, err)
	}
	return p, nil
}

func mayCreate(a Actor) error {
	switch {
	case !a.Known():
		return fault.New(fault.Unauthentic, "You are not signed in.").WithNext("sign in, or pass a token")
	case !a.Admin:
		return fault.New(fault.Denied, "Only an administrator of this installation may create a project; %s is none.", a).WithNext("ask an administrator")
	case a.Cap < Write:
		return fault.New(fault.Denied, "Creating a project needs a token with the scope \"write\"; this one has %q.", a.Cap)
	}
	return nil
}

// EnsureProject returns nil when the actor may write to the project. A project that does
// not exist is made when the actor may make one: this is what a first push does. For
// others it does not exist.
func (s *Service) EnsureProject(ctx context.Context, a Actor, name string) error {
	err := s.Require(ctx, a, name, Write)
	if !fault.Is(err, fault.NotFound) || mayCreate(a) != nil {
		return err
	}
	_, err = s.CreateProject(ctx, a, name)
	if fault.Is(err, fault.Conflict) { // Another push was quicker.
		return s.Require(ctx, a, name, Write)
	}
	return err
}

// Grant sets a user's role in a project; None takes it away. Admins of the project may.
func (s *Service) Grant(ctx context.Context, a Actor, project, user string, r Role) error {
	if err := s.Require(ctx, a, project, Admin); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		_, _, ok, err := s.account(ctx, tx, user)
		if err != nil {
			return err
		}
		if !ok {
			return noUser(user)
		}
		return s.grant(ctx, tx, a, project, user, r)
	})
}

func (s *Service) grant(ctx context.Context, tx *store.Tx, a Actor, project, user string, r Role) error {
	var err error
	if r == None {
		_, err = tx.Exec(ctx, `DELETE FROM identity_member WHERE project = ? AND username = ?`, project, user)
	} else {
		_, err = tx.Exec(ctx, `INSERT INTO identity_member (project, username, role) VALUES (?,?,?)
			ON CONFLICT (project, username) DO UPDATE SET role = excluded.role`, project, user, r.String())
	}
	if err != nil {
		return fmt.Errorf("granting %s to %s in %s: %w", r, user, project, err)
	}
	return s.say(ctx, tx, a, event.TypeRoleGranted, project, event.Of(event.KindProject, project), event.RoleGranted{V: 1, User: user, Role: r.String()})
}

// Members lists who has a role in the project, by name. Readers of the project may ask.
func (s *Service) Members(ctx context.Context, a Actor, project string) ([]Member, error) {
	if err := s.Require(ctx, a, project, Read); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT username, role FROM identity_member WHERE project = ? ORDER BY username`, project)
	if err != nil {
		return nil, fmt.Errorf("listing members of %s: %w", project, err)
	}
	defer rows.Close()
	var out []Member
	for rows.Next() {
		var m Member
		if err := rows.Scan(&m.User, &m.Word); err != nil {
			return nil, fmt.Errorf("listing members of %s: %w", project, err)
		}
		m.Role, _ = ParseRole(m.Word)
		out = append(out, m)
	}
	return out, rows.Err()
}

func noProject(name string) error {
	return fault.New(fault.NotFound, "There is no project %q that you may see.", clip(name)).
		WithNext("check the name, or ask for access")
}
