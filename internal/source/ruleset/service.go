package ruleset

import (
	"context"
	"database/sql"
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
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/store"
)

// Repositories finds repositories for somebody. source.Service does.
type Repositories interface {
	// Repo returns a repository to who may read it; fault.NotFound for others.
	Repo(ctx context.Context, actor identity.Actor, full string) (source.Repo, error)
	// Git returns the program with which the repositories are read.
	Git() *git.Git
}

// Authoriser answers who may do what. identity.Service is one.
type Authoriser interface {
	// Require returns nil when the actor has the role in the project; otherwise
	// fault.Unauthentic (nobody), NotFound (may not know of it) or Denied.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
}

// Parts are what a Service is made of.
type Parts struct {
	DB    *store.DB
	Log   *event.Log
	Auth  Authoriser
	Repos Repositories
	Clock clock.Clock
	// PublicURL is the address that people use, for messages: "http://localhost:7080".
	PublicURL string
}

// Service keeps the rulesets and judges pushes by them: it is a source.Guard. It is safe
// for concurrent use.
type Service struct {
	db    *store.DB
	log   *event.Log
	auth  Authoriser
	repos Repositories
	clock clock.Clock
	url   string
}

var _ source.Guard = (*Service)(nil)

// New returns the service. Give it to source.Service.UseGuards.
func New(p Parts) *Service {
	return &Service{db: p.DB, log: p.Log, auth: p.Auth, repos: p.Repos, clock: p.Clock, url: strings.TrimSuffix(p.PublicURL, "/")}
}

// Put makes a ruleset, or changes the one of the same name in the repository. The actor
// needs the role maintain.
func (s *Service) Put(ctx context.Context, actor identity.Actor, r Ruleset) (Ruleset, error) {
	repo, err := s.may(ctx, actor, r.Repo, identity.Maintain)
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return Ruleset{}, err
	}
	r.Changed = s.clock.Now().Truncate(time.Millisecond).UTC()
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		action, err := s.write(ctx, tx, &r)
		if err != nil {
			return err
		}
		return s.say(ctx, tx, actor, repo, event.TypeRulesetChanged, event.RulesetChanged{V: 1, Repo: r.Repo, Ruleset: r.Name, Action: action})
	})
	if store.Unique(err) {
		return Ruleset{}, fault.Wrap(fault.Conflict, err, "Somebody else is making the ruleset %q.", r.Name).WithNext("try again")
	}
	if err != nil {
		return Ruleset{}, wrap(err, "storing the ruleset %s of %s", r.Name, r.Repo)
	}
	return r, nil
}

// write inserts or updates and sets the id.
func (s *Service) write(ctx context.Context, tx *store.Tx, r *Ruleset) (action string, err error) {
	err = tx.QueryRow(ctx, `SELECT id FROM source_ruleset WHERE repo = ? AND name = ?`, r.Repo, r.Name).Scan(&r.ID)
	fresh := errors.Is(err, sql.ErrNoRows)
	if err != nil && !fresh {
		return "", err
	}
	if fresh {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM source_ruleset WHERE repo = ?`, r.Repo).Scan(&n); err != nil {
			return "", err
		}
		if n >= maxRulesets {
			return "", fault.New(fault.TooLarge, "The repository %s has %d rulesets, which is the most.", r.Repo, n).WithNext("delete one, or join two")
		}
		r.ID = s.clock.NewID()
	}
	body, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encoding a ruleset: %w", err)
	}
	if fresh {
		_, err = tx.Exec(ctx, `INSERT INTO source_ruleset (id, repo, name, enforcement, body, changed) VALUES (?,?,?,?,?,?)`,
			r.ID, r.Repo, r.Name, string(r.Enforcement), string(body), r.Changed.UnixMilli())
		return "created", err
	}
	_, err = tx.Exec(ctx, `UPDATE source_ruleset SET enforcement = ?, body = ?, changed = ? WHERE id = ?`, string(r.Enforcement), string(body), r.Changed.UnixMilli(), r.ID)
	return "changed", err
}

// Delete removes a ruleset by its name. The actor needs the role maintain.
func (s *Service) Delete(ctx context.Context, actor identity.Actor, repo, name string) error {
	r, err := s.may(ctx, actor, repo, identity.Maintain)
	if err != nil {
		return err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM source_ruleset WHERE repo = ? AND name = ?`, repo, name)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, missing(repo, name))
		}
		return s.say(ctx, tx, actor, r, event.TypeRulesetChanged, event.RulesetChanged{V: 1, Repo: repo, Ruleset: name, Action: "deleted"})
	})
	return wrap(err, "deleting the ruleset %s of %s", clip(name), repo)
}

// Get returns a ruleset by its name. The actor needs the role read.
func (s *Service) Get(ctx context.Context, actor identity.Actor, repo, name string) (Ruleset, error) {
	list, err := s.List(ctx, actor, repo)
	if err != nil {
		return Ruleset{}, err
	}
	i := slices.IndexFunc(list, func(r Ruleset) bool { return r.Name == name })
	if i < 0 {
		return Ruleset{}, missing(repo, name)
	}
	return list[i], nil
}

// List returns the rulesets of a repository by name, whatever their enforcement. The actor
// needs the role read: who is refused may know why.
func (s *Service) List(ctx context.Context, actor identity.Actor, repo string) ([]Ruleset, error) {
	if _, err := s.may(ctx, actor, repo, identity.Read); err != nil {
		return nil, err
	}
	return s.load(ctx, repo)
}

func (s *Service) load(ctx context.Context, repo string) ([]Ruleset, error) {
	rows, err := s.db.Query(ctx, `SELECT id, body FROM source_ruleset WHERE repo = ? ORDER BY name`, repo)
	if err != nil {
		return nil, fmt.Errorf("loading the rulesets of %s: %w", repo, err)
	}
	defer rows.Close()
	var list []Ruleset
	for rows.Next() {
		var r Ruleset
		var id, body string
		if err := rows.Scan(&id, &body); err != nil {
			return nil, fmt.Errorf("loading the rulesets of %s: %w", repo, err)
		}
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			return nil, fmt.Errorf("decoding a ruleset of %s: %w", repo, err)
		}
		r.ID = id
		list = append(list, r)
	}
	return list, rows.Err()
}

// may finds the repository and asks for the role.
func (s *Service) may(ctx context.Context, actor identity.Actor, full string, role identity.Role) (source.Repo, error) {
	project, _, err := source.SplitName(full)
	if err != nil {
		return source.Repo{}, err
	}
	if err := s.auth.Require(ctx, actor, project, role); err != nil {
		return source.Repo{}, err
	}
	return s.repos.Repo(ctx, actor, full)
}

func (s *Service) say(ctx context.Context, tx *store.Tx, actor identity.Actor, r source.Repo, kind string, payload any) error {
	return s.log.Append(ctx, tx, event.Fact{
		Type: kind, Subject: event.Of(event.KindRepo, r.FullName()), Project: r.Project, Actor: actor.String(), Payload: payload,
	})
}

func missing(repo, name string) error {
	return fault.New(fault.NotFound, "There is no ruleset %q in %s.", clip(name), repo)
}

// wrap adds what was being done to an error that has no words for people.
func wrap(err error, format string, args ...any) error {
	if err == nil || fault.KindOf(err) != fault.Internal {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
