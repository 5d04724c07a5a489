package gallery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/validate"
	"towpath.dev/towpath/internal/store"
)

// Authorizer decides what an actor may do. identity.Service is one.
type Authorizer interface {
	// Require returns nil when the actor has the role in the project, and a fault otherwise.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	// RequireAdmin returns nil when the actor administers the installation, and a fault
	// otherwise.
	RequireAdmin(ctx context.Context, a identity.Actor) error
}

// Blobs keeps the files of tasks. blob.Store does.
type Blobs interface {
	Put(ctx context.Context, r io.Reader, want string, limit int64) (digest string, size int64, err error)
	Open(ctx context.Context, digest string, offset int64) (io.ReadCloser, error)
	Delete(ctx context.Context, digest string) error
}

// Parts are what a Service is made of.
type Parts struct {
	DB    *store.DB
	Log   *event.Log
	Auth  Authorizer
	Clock clock.Clock
	Blobs Blobs
	// Builtin are the tasks whose names nobody can take.
	Builtin validate.Catalog
}

// Service keeps the tasks. It is safe for concurrent use.
type Service struct {
	Parts
	mu       sync.Mutex
	catalogs map[string]*Catalog // by project; dropped when a task comes or goes
	changes  int64
}

// New returns the service.
func New(p Parts) *Service { return &Service{Parts: p, catalogs: map[string]*Catalog{}} }

// Task is a task that was added.
type Task struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Reference string `json:"reference" doc:"how a pipeline names it: Name@Major"`
	ID        string `json:"id" doc:"GUID; a pipeline may name the task by it as well"`
	Title     string `json:"title,omitempty"`
	About     string `json:"about,omitempty"`
	// Project is empty for a task of the whole installation.
	Project   string    `json:"project,omitempty"`
	Extension string    `json:"extension,omitempty" doc:"publisher.extension of the .vsix that it came in"`
	Digest    string    `json:"digest" doc:"of the zip that agents get"`
	Bytes     int64     `json:"bytes"`
	Files     int64     `json:"files"`
	Handlers  []string  `json:"handlers" doc:"what can run it: Node20_1, Node16, …"`
	Stages    []string  `json:"stages" doc:"prejob, main, postjob"`
	Inputs    []Input   `json:"inputs"`
	By        string    `json:"by"`
	Added     time.Time `json:"added"`
}

// maxVersions bounds how many versions of tasks a project, or the installation, has.
const maxVersions = 500

// allowed asks whether the actor may change the tasks of a project, or with "" those of the
// installation.
func (s *Service) allowed(ctx context.Context, a identity.Actor, project string) error {
	if project == "" {
		return s.Auth.RequireAdmin(ctx, a)
	}
	return s.Auth.Require(ctx, a, project, identity.Maintain)
}

// Add keeps the tasks of a zip for a project, or with "" for the whole installation: all of
// them or none. What is there already, byte for byte, is no error. The actor needs the role
// maintain, or administers the installation.
func (s *Service) Add(ctx context.Context, a identity.Actor, project string, data []byte) ([]Task, error) {
	if err := s.allowed(ctx, a, project); err != nil {
		return nil, err
	}
	packages, err := Read(data)
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(packages))
	for i, p := range packages {
		digest, size, err := s.Blobs.Put(ctx, bytes.NewReader(p.Archive), "", MaxUpload+maxUnpacked)
		if err != nil {
			return nil, fmt.Errorf("keeping task %s: %w", p.Manifest.Name, err)
		}
		rows[i] = row{
			id: s.Clock.NewID(), project: project, digest: digest, bytes: size, files: int64(p.Files), extension: p.Extension, by: a.String(), added: s.Clock.Now(), manifest: p.Manifest,
		}
	}
	err = s.DB.Tx(ctx, func(tx *store.Tx) error {
		for i := range rows {
			if err := s.insert(ctx, tx, a, &rows[i]); err != nil {
				return err
			}
		}
		tx.AfterCommit(s.forget)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]Task, len(rows))
	for i := range rows {
		out[i] = rows[i].task()
	}
	return out, nil
}

func (s *Service) insert(ctx context.Context, tx *store.Tx, a identity.Actor, r *row) error {
	m := r.manifest
	if _, own := s.Builtin.Task(m.Name, m.Major); own {
		return fault.New(fault.Conflict, "Towpath has %s itself.", m.Reference()).WithNext("give the task another name, or another major version")
	}
	there, err := load(ctx, tx, `(project = ? OR project = '') AND (folded = ? OR guid = ?)`, r.project, strings.ToLower(m.Name), m.ID)
	if err != nil {
		return err
	}
	for _, o := range there {
		switch {
		case o.manifest.ID != m.ID || !strings.EqualFold(o.manifest.Name, m.Name):
			return fault.New(fault.Conflict, "The name or the id of %s is that of another task: %s (%s).", m.Name, o.manifest.Name, o.manifest.ID).
				WithNext("remove that one first: towpath task remove %s", o.manifest.Reference())
		case o.project == r.project && o.manifest.Version() == m.Version() && o.digest == r.digest:
			*r = o
			return nil
		case o.project == r.project && o.manifest.Version() == m.Version():
			return fault.New(fault.Conflict, "Version %s of %s is there with other files.", m.Version(), m.Name).WithNext("raise the version in task.json, or remove that one: towpath task remove %s@%s", m.Name, m.Version())
		}
	}
	var n int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM pipeline_task WHERE project = ?`, r.project).Scan(&n); err != nil {
		return fmt.Errorf("counting tasks: %w", err)
	}
	if n >= maxVersions {
		return fault.New(fault.TooLarge, "There are %d versions of tasks, which is the most.", n).WithNext("remove old ones: towpath task remove NAME@VERSION")
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("keeping task %s: %w", m.Name, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO pipeline_task (`+columns+`, guid, folded, major, minor, patch) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		r.id, r.project, r.digest, r.bytes, r.files, r.extension, string(manifest), r.by, r.added.UnixMilli(), m.ID, strings.ToLower(m.Name), m.Major, m.Minor, m.Patch)
	if err != nil {
		return fmt.Errorf("keeping task %s: %w", m.Name, err)
	}
	return s.say(ctx, tx, a, r, "added")
}

func (s *Service) say(ctx context.Context, tx *store.Tx, a identity.Actor, r *row, action string) error {
	return s.Log.Append(ctx, tx, event.Fact{
		Type: event.TypeTaskChanged, Subject: event.Of(event.KindProject, r.project), Project: r.project, Actor: a.String(),
		Payload: event.TaskChanged{V: 1, Name: r.manifest.Name, Version: r.manifest.Version(), ID: r.manifest.ID, Digest: r.digest, Extension: r.extension, Action: action},
	})
}

// List returns the tasks of a project with those of the installation, or with "" these
// alone, by name, the newest version first. The actor needs the role read.
func (s *Service) List(ctx context.Context, a identity.Actor, project string) ([]Task, error) {
	if err := s.mayRead(ctx, a, project); err != nil {
		return nil, err
	}
	rows, err := load(ctx, s.DB, `project = ? OR project = ''`, project)
	if err != nil {
		return nil, err
	}
	out := make([]Task, len(rows))
	for i := range rows {
		out[i] = rows[i].task()
	}
	return out, nil
}

func (s *Service) mayRead(ctx context.Context, a identity.Actor, project string) error {
	if project != "" {
		return s.Auth.Require(ctx, a, project, identity.Read)
	}
	if !a.Known() {
		return fault.New(fault.Unauthentic, "Nobody is signed in.").WithNext("towpath login")
	}
	return nil
}

// Show returns one task: a name, a GUID, Name@Major or Name@Version; of several versions
// the newest. The actor needs the role read.
func (s *Service) Show(ctx context.Context, a identity.Actor, project, reference string) (Task, error) {
	if err := s.mayRead(ctx, a, project); err != nil {
		return Task{}, err
	}
	rows, err := s.named(ctx, s.DB, project, reference)
	if err != nil {
		return Task{}, err
	}
	return rows[0].task(), nil
}

// named finds the versions that a reference means, the newest first; there is at least one.
func (s *Service) named(ctx context.Context, h store.Handle, project, reference string) ([]row, error) {
	name, version, _ := strings.Cut(reference, "@")
	key := strings.ToLower(name)
	rows, err := load(ctx, h, `(project = ? OR project = '') AND (folded = ? OR guid = ?)`, project, key, key)
	if err != nil {
		return nil, err
	}
	var out []row
	for _, r := range rows {
		if version == "" || version == r.manifest.Version() || version == strconv.Itoa(r.manifest.Major) {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.NotFound, "There is no added task %q.", clip(reference, 100)).WithNext("list them: towpath task list")
	}
	return out, nil
}

// Remove removes the versions of a project, or with "" of the installation, that a reference
// means: Name, Name@Major or Name@Version. Runs that have begun with a task and want it from
// now on fail. The actor needs the role maintain, or administers the installation.
func (s *Service) Remove(ctx context.Context, a identity.Actor, project, reference string) error {
	if err := s.allowed(ctx, a, project); err != nil {
		return err
	}
	var free []string
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		free = nil
		rows, err := s.named(ctx, tx, project, reference)
		if err != nil {
			return err
		}
		removed := 0
		for i := range rows {
			if rows[i].project != project {
				continue
			}
			removed++
			if _, err := tx.Exec(ctx, `DELETE FROM pipeline_task WHERE id = ?`, rows[i].id); err != nil {
				return fmt.Errorf("removing task %s: %w", reference, err)
			}
			if err := s.say(ctx, tx, a, &rows[i], "removed"); err != nil {
				return err
			}
			var n int
			if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM pipeline_task WHERE digest = ?`, rows[i].digest).Scan(&n); err != nil {
				return fmt.Errorf("removing task %s: %w", reference, err)
			}
			if n == 0 {
				free = append(free, rows[i].digest)
			}
		}
		if removed == 0 {
			return fault.New(fault.Conflict, "%s belongs to the whole installation.", clip(reference, 100)).WithNext("an administrator removes it with: towpath task remove %s --installation", clip(reference, 100))
		}
		tx.AfterCommit(s.forget)
		return nil
	})
	for _, digest := range free {
		if err == nil {
			err = s.Blobs.Delete(ctx, digest)
		}
		if fault.Is(err, fault.NotFound) {
			err = nil
		}
	}
	return err
}

// Open returns the zip of a task, which the caller closes.
func (s *Service) Open(ctx context.Context, digest string) (io.ReadCloser, error) {
	return s.Blobs.Open(ctx, digest, 0)
}

// row is a version of a task as it is kept.
type row struct {
	id, project, digest, extension, by string
	bytes, files                       int64
	manifest                           *Manifest
	added                              time.Time
}

const columns = `id, project, digest, bytes, files, extension, manifest, actor, added`

func load(ctx context.Context, h store.Handle, where string, args ...any) ([]row, error) {
	rows, err := h.Query(ctx, `SELECT `+columns+` FROM pipeline_task WHERE `+where+` ORDER BY folded, major DESC, minor DESC, patch DESC, project DESC`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the tasks: %w", err)
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		var r row
		var manifest string
		var added int64
		err := rows.Scan(&r.id, &r.project, &r.digest, &r.bytes, &r.files, &r.extension, &manifest, &r.by, &added)
		if err = errors.Join(err, json.Unmarshal([]byte(manifest), &r.manifest)); err != nil {
			return nil, fmt.Errorf("reading the tasks: %w", err)
		}
		r.added = time.UnixMilli(added).UTC()
		out = append(out, r)
	}
	return out, rows.Err()
}
