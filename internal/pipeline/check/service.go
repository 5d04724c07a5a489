package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Authorizer decides what an actor may do. identity.Service is one.
type Authorizer interface {
	// Require returns nil when the actor has the role in the project, and a fault
	// otherwise: NotFound when the actor may not know of the project.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
}

// Parts are what a Service is made of.
type Parts struct {
	DB       *store.DB
	Log      *event.Log
	Auth     Authorizer
	Clock    clock.Clock
	Registry *Registry
	// Internal reports whether a host:port is one that only an operator may aim a check at,
	// because he allowed it although it is not public; nil: none is.
	Internal func(hostport string) bool
}

// Service keeps the definitions of checks and the permissions of pipelines. Everybody who
// reads a project reads them; the role maintain changes them. It is safe for concurrent use.
type Service struct {
	Parts
	changed func() // called after a change that may open gates
}

// New returns the service. changed is called after a change that may open gates.
func New(p Parts, changed func()) *Service { return &Service{Parts: p, changed: changed} }

// Add puts a check on a resource, which need not exist yet. The actor needs the role
// maintain; only an administrator of the installation aims a REST check at a host that an
// operator allowed by name. It matters to stages that come to their gate from now on.
func (s *Service) Add(ctx context.Context, a identity.Actor, d Definition) (Definition, error) {
	if err := s.Auth.Require(ctx, a, d.Resource.Project, identity.Maintain); err != nil {
		return Definition{}, err
	}
	if err := d.Check(); err != nil {
		return Definition{}, err
	}
	if d.REST != nil && s.Internal != nil && s.Internal(d.REST.Address()) && !a.Admin {
		return Definition{}, fault.New(fault.Denied, "%s is inside of the installation; only its administrator aims a check there.", d.REST.Address())
	}
	d.ID, d.By, d.Changed = s.Clock.NewID(), a.String(), s.Clock.Now().Truncate(time.Millisecond).UTC()
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		var n, locks int
		err := tx.QueryRow(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN type = ? THEN 1 ELSE 0 END), 0) FROM pipeline_check WHERE resource = ?`,
			string(ExclusiveLock), d.Resource.Key()).Scan(&n, &locks)
		switch {
		case err != nil:
			return err
		case n >= maxChecks:
			return fault.New(fault.TooLarge, "The %s has %d checks, which is the most.", d.Resource, n).WithNext("remove one")
		case d.Type == ExclusiveLock && locks > 0:
			return fault.New(fault.Conflict, "The %s has an exclusive lock already.", d.Resource)
		}
		body, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("encoding a check: %w", err)
		}
		_, err = tx.Exec(ctx, `INSERT INTO pipeline_check (id, project, resource, type, body, changed) VALUES (?,?,?,?,?,?)`,
			d.ID, d.Resource.Project, d.Resource.Key(), string(d.Type), string(body), d.Changed.UnixMilli())
		if err != nil {
			return err
		}
		return s.say(ctx, tx, a, d.Resource, event.CheckChanged{V: 1, Check: d.ID, Type: string(d.Type), Title: d.Name(), Action: "added"})
	})
	if err != nil {
		return Definition{}, wrap(err, "adding a check to the %s", d.Resource)
	}
	return d, nil
}

// Remove takes a check away. Stages that it holds already go on being held. The actor needs
// the role maintain in its project.
func (s *Service) Remove(ctx context.Context, a identity.Actor, project, id string) error {
	if err := s.Auth.Require(ctx, a, project, identity.Maintain); err != nil {
		return err
	}
	d, err := s.Get(ctx, a, project, id)
	if err != nil {
		return err
	}
	err = s.DB.Tx(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM pipeline_check WHERE id = ? AND project = ?`, d.ID, project)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, missing(project, id))
		}
		return s.say(ctx, tx, a, d.Resource, event.CheckChanged{V: 1, Check: d.ID, Type: string(d.Type), Title: d.Name(), Action: "removed"})
	})
	return wrap(err, "removing a check of the %s", d.Resource)
}

// Get returns a check by its id, or the beginning of one that only it has. The actor needs
// the role read.
func (s *Service) Get(ctx context.Context, a identity.Actor, project, id string) (Definition, error) {
	list, err := s.List(ctx, a, project)
	if err != nil {
		return Definition{}, err
	}
	var found []Definition
	for _, d := range list {
		if d.ID == id {
			return d, nil
		}
		if len(id) >= 6 && strings.HasSuffix(strings.ToLower(d.ID), strings.ToLower(id)) {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		return Definition{}, missing(project, id)
	}
	return found[0], nil
}

// List returns the checks of a project's resources, by resource. The actor needs the role
// read: who is held may know why.
func (s *Service) List(ctx context.Context, a identity.Actor, project string) ([]Definition, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	return load(ctx, s.DB, `project = ?`, project)
}

// On returns the checks of resources, in the transaction in which a stage comes to its gate.
func (s *Service) On(ctx context.Context, tx *store.Tx, resources []Resource) ([]Definition, error) {
	if len(resources) == 0 {
		return nil, nil
	}
	where, args := keys(resources)
	return load(ctx, tx, where, args...)
}

// keys is a condition for rows of any of the resources.
func keys(resources []Resource) (where string, args []any) {
	for _, r := range resources {
		args = append(args, r.Key())
	}
	return `resource IN (?` + strings.Repeat(",?", len(resources)-1) + `)`, args
}

func load(ctx context.Context, h store.Handle, where string, args ...any) ([]Definition, error) {
	rows, err := h.Query(ctx, `SELECT body FROM pipeline_check WHERE `+where+` ORDER BY resource, id`, args...)
	if err != nil {
		return nil, fmt.Errorf("loading checks: %w", err)
	}
	defer rows.Close()
	var out []Definition
	for rows.Next() {
		var d Definition
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, fmt.Errorf("loading checks: %w", err)
		}
		if err := json.Unmarshal([]byte(body), &d); err != nil {
			return nil, fmt.Errorf("decoding a check: %w", err)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

// maxPipeline bounds the key of a pipeline, in bytes.
const maxPipeline = 600

// Everyone is the pipeline of a permission that opens a resource to all of the project's.
const Everyone = "*"

// Access says which pipelines may use a resource (C012).
type Access struct {
	Resource Resource `json:"resource"`
	// Restricted says that pipelines need a permission: the resource exists as an object, or
	// somebody has given a permission.
	Restricted bool `json:"restricted"`
	Open       bool `json:"open"` // all pipelines of the project may
	// Pipelines are those that may, "project/repo" or "project/repo:file".
	Pipelines []string `json:"pipelines"`
}

// Access returns which pipelines may use a resource. The actor needs the role read.
func (s *Service) Access(ctx context.Context, a identity.Actor, r Resource) (Access, error) {
	if err := s.Auth.Require(ctx, a, r.Project, identity.Read); err != nil {
		return Access{}, err
	}
	if err := r.Check(); err != nil {
		return Access{}, err
	}
	return s.access(ctx, s.DB, r)
}

func (s *Service) access(ctx context.Context, h store.Handle, r Resource) (Access, error) {
	out := Access{Resource: r, Pipelines: []string{}}
	rows, err := h.Query(ctx, `SELECT pipeline FROM pipeline_permission WHERE resource = ? ORDER BY pipeline`, r.Key())
	if err != nil {
		return out, fmt.Errorf("reading the permissions on the %s: %w", r, err)
	}
	defer rows.Close()
	for rows.Next() {
		var p string
		if err := rows.Scan(&p); err != nil {
			return out, fmt.Errorf("reading the permissions on the %s: %w", r, err)
		}
		switch p {
		case Everyone:
			out.Open = true
		case "":
			out.Restricted = true
		default:
			out.Pipelines = append(out.Pipelines, p)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return out, fmt.Errorf("reading the permissions on the %s: %w", r, err)
	}
	out.Restricted = out.Restricted || len(out.Pipelines) > 0
	if !out.Restricted && !out.Open {
		if out.Restricted, err = s.Registry.Exists(ctx, r); err != nil {
			return out, err
		}
	}
	out.Restricted = out.Restricted && !out.Open
	return out, nil
}

// Permitted reports whether a pipeline ("project/repo", "project/repo:file") may use a resource, in the
// transaction that asks. A pipeline always uses its own repository; what belongs to another
// project it uses only when a permission names it.
func (s *Service) Permitted(ctx context.Context, tx store.Handle, r Resource, pipeline string) (bool, error) {
	own, _, _ := strings.Cut(pipeline, ":") // "project/repo:file" is one of project/repo
	if r.Kind == Stage || r.Kind == Repository && strings.EqualFold(r.Project+"/"+r.Name, own) {
		return true, nil
	}
	acc, err := s.access(ctx, tx, r)
	if err != nil {
		return false, err
	}
	if project, _, _ := strings.Cut(pipeline, "/"); project != r.Project {
		return slices.Contains(acc.Pipelines, pipeline), nil
	}
	return !acc.Restricted || slices.Contains(acc.Pipelines, pipeline), nil
}

// Permit lets a pipeline ("project/repo", "project/repo:file", Everyone for all of the project) use a resource,
// or takes that back. The actor needs the role maintain in the resource's project.
func (s *Service) Permit(ctx context.Context, a identity.Actor, r Resource, pipeline string, allowed bool) error {
	if err := s.Auth.Require(ctx, a, r.Project, identity.Maintain); err != nil {
		return err
	}
	if err := r.Check(); err != nil {
		return err
	}
	if _, _, ok := strings.Cut(pipeline, "/"); !ok && pipeline != Everyone || len(pipeline) > maxPipeline || strings.ContainsFunc(pipeline, unprintable) {
		return fault.New(fault.Invalid, "%q is no pipeline.", clip(pipeline)).WithNext("write project/repo, project/repo:FILE when it is not that of azure-pipelines.yml, or * for all of the project")
	}
	err := s.DB.Tx(ctx, func(tx *store.Tx) error { return s.PermitIn(ctx, tx, a, r, pipeline, allowed) })
	return wrap(err, "permitting %s to use the %s", pipeline, r)
}

// PermitIn is Permit in a transaction of somebody in this domain who has asked for the
// actor's rights: who makes a resource may open it, or close it, in the same breath.
func (s *Service) PermitIn(ctx context.Context, tx *store.Tx, a identity.Actor, r Resource, pipeline string, allowed bool) error {
	// The row without a pipeline keeps a resource restricted once it was: taking the last
	// permission back must not open it.
	rows := []string{""}
	action := "permitted"
	if allowed {
		rows = append(rows, pipeline)
	} else {
		action = "forbidden"
		if _, err := tx.Exec(ctx, `DELETE FROM pipeline_permission WHERE resource = ? AND pipeline = ?`, r.Key(), pipeline); err != nil {
			return err
		}
	}
	for _, p := range rows {
		_, err := tx.Exec(ctx, `INSERT INTO pipeline_permission (resource, pipeline, project, name, kind, actor, given) VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
			r.Key(), p, r.Project, r.Name, string(r.Kind), a.String(), s.Clock.Now().UnixMilli())
		if err != nil {
			return err
		}
	}
	if s.changed != nil {
		tx.AfterCommit(s.changed)
	}
	return s.say(ctx, tx, a, r, event.CheckChanged{V: 1, Type: string(Permission), Pipeline: pipeline, Action: action})
}

// Forget removes the checks of a resource and the permissions on it, in the transaction
// that removes the resource itself: another one of the same name must not inherit them.
func (s *Service) Forget(ctx context.Context, tx *store.Tx, r Resource) error {
	for _, table := range []string{"pipeline_check", "pipeline_permission"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE resource = ?`, r.Key()); err != nil {
			return fmt.Errorf("removing the checks of the %s: %w", r, err)
		}
	}
	return nil
}

func (s *Service) say(ctx context.Context, tx *store.Tx, a identity.Actor, r Resource, p event.CheckChanged) error {
	p.Resource = r.Path()
	return s.Log.Append(ctx, tx, event.Fact{
		Type: event.TypeCheckChanged, Subject: event.Of(event.KindProject, r.Project), Project: r.Project, Actor: a.String(), Payload: p,
	})
}

func missing(project, id string) error {
	return fault.New(fault.NotFound, "There is no check %q in project %s.", clip(id), project).WithNext("list them with: towpath check list")
}

// wrap adds what was being done to an error that has no words for people.
func wrap(err error, format string, args ...any) error {
	if err == nil || fault.KindOf(err) != fault.Internal {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
