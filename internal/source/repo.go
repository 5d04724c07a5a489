package source

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Repo is a repository.
type Repo struct {
	Project       string
	Name          string // within the project
	DefaultBranch string // short: "main"
	Created       time.Time

	id string // names its folder
}

// FullName returns "project/repo".
func (r Repo) FullName() string { return r.Project + "/" + r.Name }

func (s *Service) dir(r Repo) string { return filepath.Join(s.repos, r.id+".git") }

// initRepo makes an empty bare repository at dir unless one is there. It appears under
// its name only when it is complete.
func (s *Service) initRepo(ctx context.Context, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); err == nil {
		return nil
	}
	tmp, err := os.MkdirTemp(s.repos, "new-")
	if err != nil {
		return explained(fmt.Errorf("making a repository: %w", err))
	}
	_, err = s.git.Run(ctx, tmp, nil, 1<<16, "init", "--quiet", "--bare", "--template=", "--object-format=sha1", "--initial-branch="+DefaultBranch)
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return errors.Join(explained(fmt.Errorf("making a repository: %w", err)), os.RemoveAll(tmp))
	}
	return nil
}

// explained gives a full disk its words: it is nobody's mistake, and the same call
// succeeds when there is room again.
func explained(err error) error {
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return fault.Wrap(fault.Unavailable, err, "The disk that holds the repositories is full; nothing was changed.").
		WithNext("free space on the server's data folder, then try again")
}

// CreateRepo makes an empty repository in an existing project, for which the actor
// needs the role write. It is fault.Conflict when the name is taken.
func (s *Service) CreateRepo(ctx context.Context, actor identity.Actor, full string) (Repo, error) {
	project, name, err := SplitName(full)
	if err != nil {
		return Repo{}, err
	}
	if err := s.auth.Require(ctx, actor, project, identity.Write); err != nil {
		return Repo{}, err
	}
	return s.create(ctx, actor, project, name)
}

// EnsureRepo returns the repository and makes it, and its project, when they do not
// exist and the actor may make them: an administrator makes projects, whoever may
// write to a project makes its repositories. made says that it was made now.
func (s *Service) EnsureRepo(ctx context.Context, actor identity.Actor, full string) (r Repo, made bool, err error) {
	project, name, err := SplitName(full)
	if err != nil {
		return Repo{}, false, err
	}
	if err := s.auth.EnsureProject(ctx, actor, project); err != nil {
		return Repo{}, false, err
	}
	r, err = s.find(ctx, project, name)
	if !fault.Is(err, fault.NotFound) {
		return r, false, err
	}
	r, err = s.create(ctx, actor, project, name)
	if fault.Is(err, fault.Conflict) { // Somebody was quicker.
		r, err = s.find(ctx, project, name)
		return r, false, err
	}
	return r, err == nil, err
}

func (s *Service) create(ctx context.Context, actor identity.Actor, project, name string) (Repo, error) {
	r := Repo{Project: project, Name: name, DefaultBranch: DefaultBranch, Created: s.clock.Now().Truncate(time.Millisecond), id: strings.ToLower(s.clock.NewID())}
	// The folder comes first: a row without a folder would be a broken repository, a
	// folder without a row is swept by Recover.
	if err := s.initRepo(ctx, s.dir(r)); err != nil {
		return Repo{}, err
	}
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO source_repo (id, project, name, default_branch, created) VALUES (?,?,?,?,?)`,
			r.id, r.Project, r.Name, r.DefaultBranch, r.Created.UnixMilli())
		if err != nil {
			return err
		}
		return s.log.Append(ctx, tx, event.Fact{
			Type: event.TypeRepoCreated, Subject: event.Of(event.KindRepo, r.FullName()), Project: project, Actor: actor.String(),
			Payload: event.Created{V: 1, Name: r.FullName()},
		})
	})
	if err == nil {
		return r, nil
	}
	if rerr := os.RemoveAll(s.dir(r)); rerr != nil {
		s.opts.Logger.Warn("a folder without a repository stays until the next start", "folder", s.dir(r), "error", rerr)
	}
	if store.Unique(err) {
		return Repo{}, fault.Wrap(fault.Conflict, err, "The repository %s exists already.", r.FullName()).WithNext("push to it, or choose another name")
	}
	return Repo{}, fmt.Errorf("making the repository %s: %w", r.FullName(), err)
}

const repoColumns = `id, project, name, default_branch, created`

func scanRepo(scan func(...any) error) (r Repo, err error) {
	var created int64
	err = scan(&r.id, &r.Project, &r.Name, &r.DefaultBranch, &created)
	r.Created = time.UnixMilli(created).UTC()
	return r, err
}

// find loads a repository without asking who wants it.
func (s *Service) find(ctx context.Context, project, name string) (Repo, error) {
	r, err := scanRepo(s.db.QueryRow(ctx, `SELECT `+repoColumns+` FROM source_repo WHERE project = ? AND name = ?`, project, name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Repo{}, fault.New(fault.NotFound, "There is no repository %s/%s.", project, name).
			WithNext("git push to it, and it is made")
	}
	if err != nil {
		return Repo{}, fmt.Errorf("loading the repository %s/%s: %w", project, name, err)
	}
	return r, nil
}

// Repo returns a repository by its full name. The actor needs the role read.
func (s *Service) Repo(ctx context.Context, actor identity.Actor, full string) (Repo, error) {
	project, name, err := SplitName(full)
	if err != nil {
		return Repo{}, err
	}
	if err := s.auth.Require(ctx, actor, project, identity.Read); err != nil {
		return Repo{}, err
	}
	return s.find(ctx, project, name)
}

// Locate returns a repository and its folder, for reading it with Git. The actor needs the
// role read.
func (s *Service) Locate(ctx context.Context, actor identity.Actor, full string) (r Repo, dir string, err error) {
	if r, err = s.Repo(ctx, actor, full); err != nil {
		return Repo{}, "", err
	}
	return r, s.dir(r), nil
}

// Repos returns the repositories of a project by name. The actor needs the role read.
func (s *Service) Repos(ctx context.Context, actor identity.Actor, project string) ([]Repo, error) {
	if err := s.auth.Require(ctx, actor, project, identity.Read); err != nil {
		return nil, err
	}
	return s.list(ctx, `SELECT `+repoColumns+` FROM source_repo WHERE project = ? ORDER BY name`, project)
}

func (s *Service) list(ctx context.Context, query string, args ...any) ([]Repo, error) {
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("listing repositories: %w", err)
	}
	defer rows.Close()
	var list []Repo
	for rows.Next() {
		r, err := scanRepo(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("listing repositories: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
