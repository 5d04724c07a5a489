package work

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/store"
)

// Authoriser answers who may do what. identity.Service is one.
type Authoriser interface {
	// Require returns nil when the actor has the role in the project; otherwise
	// fault.Unauthentic (nobody), NotFound (may not know of it) or Denied.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
}

// Commits are the messages of what was pushed.
type Commits interface {
	// Range returns the commits that tip has and before has not, oldest first, the newest
	// limit of them. before of 40 zeros is a new branch (its short name is branch): those
	// that the default branch has not, or all when it is that. fault.NotFound when the
	// repository or a commit is gone.
	Range(ctx context.Context, repo, branch, before, tip string, limit int) ([]Commit, error)
	// Lost returns the hashes of the commits that tip has and no branch has, at most
	// limit of them. fault.NotFound when the repository or the commit is gone.
	Lost(ctx context.Context, repo, tip string, limit int) ([]string, error)
}

// Commit is one commit as it is looked at for references.
type Commit struct {
	Hash    string // 40 hex digits
	Title   string
	Message string // all of it, the title too
}

// Pulls are the texts of pull requests.
type Pulls interface {
	// Pull returns a pull request as it is now; fault.NotFound when there is none.
	Pull(ctx context.Context, repo string, number int64) (Pull, error)
}

// Pull is a pull request as it is looked at for references.
type Pull struct {
	Repo   string // "project/repo"
	Number int64
	Title  string
	Body   string
	Source string // branch
	Target string // branch
	// Default says that the target is the repository's default branch.
	Default bool
}

// Chains knows what became of commits; evidence.Service is behind it.
type Chains interface {
	// Items returns the numbers of the items that belong to a commit of a project, by
	// themselves or by what became of it, at most 500; none for a commit that nobody pushed.
	Items(ctx context.Context, project, commit string) ([]int64, error)
}

// Announcer tells people of items that should not wait until somebody looks.
type Announcer interface {
	// Announce tells of an item and what happened to it: "opened", "opened again". An error
	// means that nobody was told who should be; it is tried again.
	Announce(ctx context.Context, it Item, what string) error
}

// Parts are what a Service needs. Commits and Pulls may be nil: nothing is linked from
// code then. Chains may be nil: a commit has the items that link to it. Announcer may
// be nil: nobody is told.
type Parts struct {
	DB        *store.DB
	Log       *event.Log
	Auth      Authoriser
	Clock     clock.Clock
	Queue     *job.Queue
	Commits   Commits
	Pulls     Pulls
	Chains    Chains
	Announcer Announcer
	Logger    *slog.Logger
	// Releases are globs of branches, such as "release/*", into which a merge closes items
	// as one into the default branch does.
	Releases []string
}

// Service owns the items and sprints. It is safe for concurrent use.
type Service struct{ Parts }

// New returns the service. Call Run once, so that it follows what is pushed and merged.
func New(p Parts) *Service {
	if p.Logger == nil {
		p.Logger = slog.Default()
	}
	return &Service{p}
}

// now is the present in the precision of the database.
func (s *Service) now() time.Time { return s.Clock.Now().Truncate(time.Millisecond).UTC() }

// noItem says that there is no item, or that the actor may not know of it: both in the
// same words.
func noItem(number int64) error {
	return fault.New(fault.NotFound, "There is no item %d.", number).WithNext("list them with `towpath item list`")
}

// may loads an item for an actor who has the role in its project.
func (s *Service) may(ctx context.Context, a identity.Actor, number int64, r identity.Role) (row, error) {
	if !a.Known() {
		return row{}, fault.New(fault.Unauthentic, "You are not signed in.").WithNext("sign in, or pass a token")
	}
	it, err := load(ctx, s.DB, number, false)
	if err != nil {
		return it, err
	}
	if err := s.Auth.Require(ctx, a, it.Project, r); err != nil {
		if fault.Is(err, fault.NotFound) {
			return it, noItem(number)
		}
		return it, err
	}
	return it, nil
}

// maxTries is how often a transaction is begun anew when another one came between.
const maxTries = 5

// tx runs a transaction, and again when PostgreSQL rolled it back for another one or when
// another one took the same place in the backlog meanwhile.
func (s *Service) tx(ctx context.Context, do func(tx *store.Tx) error) error {
	var err error
	for range maxTries {
		err = s.DB.Tx(ctx, do)
		if err == nil || !store.Clash(err) && !errors.Is(err, errPlaceTaken) {
			return err
		}
	}
	if errors.Is(err, errPlaceTaken) {
		return fault.Wrap(fault.Conflict, err, "Others are moving items of this backlog.").WithNext("try again")
	}
	return err
}

// errPlaceTaken says that a place in the backlog was taken meanwhile.
var errPlaceTaken = errors.New("the place was taken meanwhile")

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
