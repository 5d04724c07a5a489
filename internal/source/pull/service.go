package pull

import (
	"context"
	"log/slog"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/store"
)

// Authoriser answers who may do what. identity.Service is one.
type Authoriser interface {
	// Require returns nil when the actor has the role in the project; otherwise
	// fault.Unauthentic (nobody), NotFound (may not know of it) or Denied.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
}

// Repositories are where the commits lie. source.Service is one.
type Repositories interface {
	// Locate finds a repository and its folder; the actor needs the role read.
	Locate(ctx context.Context, a identity.Actor, full string) (r source.Repo, dir string, err error)
	// Git returns the program that reads and writes the repositories.
	Git() *git.Git
}

// Rules say what branches demand. ruleset.Service is one.
type Rules interface {
	// Requirements returns what the active rulesets demand of pull requests into a branch
	// (its short name); the actor needs the role read.
	Requirements(ctx context.Context, a identity.Actor, repo, branch string) (ruleset.Requirements, error)
}

// Needs are the parts that pull requests are made of.
type Needs struct {
	Auth  Authoriser
	Repos Repositories
	Rules Rules
}

// Options of a Service.
type Options struct {
	// Host is the host name of the installation, for the addresses of people in the
	// commits that merges make: "towpath.example". "" means "localhost".
	Host string
	// Logger takes what an operator should know; nil means the default logger.
	Logger *slog.Logger
}

// Service owns the pull requests and checks. It is safe for concurrent use.
type Service struct {
	db    *store.DB
	log   *event.Log
	clock clock.Clock
	auth  Authoriser
	repos Repositories
	rules Rules
	opts  Options
}

// New returns the service. Call Run once, so that it hears of pushes.
func New(db *store.DB, log *event.Log, c clock.Clock, n Needs, o Options) *Service {
	if o.Host == "" {
		o.Host = "localhost"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Service{db: db, log: log, clock: c, auth: n.Auth, repos: n.Repos, rules: n.Rules, opts: o}
}
