package pull

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"unicode/utf8"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
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
	// Scratch makes a quarantine for new objects; the caller closes it.
	Scratch(ctx context.Context, a identity.Actor, full string) (*source.Scratch, error)
	// Update moves refs for the actor, judged as a push is. It is fault.Conflict when a ref
	// is somewhere else by now; when it returns nil the refs have moved, otherwise none has.
	Update(ctx context.Context, a identity.Actor, u source.Update) error
	// SetRef points refs/pull/<n>/head or merge at an object; git.Zero removes it.
	SetRef(ctx context.Context, r source.Repo, ref, hash string) error
}

// Rules say what branches demand. ruleset.Service is one.
type Rules interface {
	// Requirements returns what the active rulesets demand of pull requests into a branch
	// (its short name); the actor needs the role read.
	Requirements(ctx context.Context, a identity.Actor, repo, branch string) (ruleset.Requirements, error)
	// Passes reports whether the actor may merge in spite of them: every ruleset that
	// demands something names him on its bypass list.
	Passes(ctx context.Context, a identity.Actor, repo, branch string) (bool, error)
}

// Items are what is to be done. work.Service is one.
type Items interface {
	// Referenced returns the numbers of the items of a project that a branch's name or
	// texts refer to; numbers that are no items of the project are left out.
	Referenced(ctx context.Context, project, branch string, texts []string) ([]int64, error)
}

// Needs are the parts that pull requests are made of.
type Needs struct {
	Auth  Authoriser
	Repos Repositories
	Rules Rules
	Items Items // nil: no pull request refers to an item
}

// Options of a Service.
type Options struct {
	// Host is the host name of the installation, for the addresses of people in the
	// commits that merges make: "towpath.example"; a port is left out. "" means
	// "towpath.invalid".
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
	items Items
	opts  Options

	wake chan struct{} // something is dirty

	mu    sync.Mutex
	gates map[string]chan struct{} // by repository: who may change what follows its refs
}

// New returns the service. Call Run once, so that it hears of pushes.
func New(db *store.DB, log *event.Log, c clock.Clock, n Needs, o Options) *Service {
	if host, _, err := net.SplitHostPort(o.Host); err == nil {
		o.Host = host
	}
	if o.Host == "" {
		o.Host = "towpath.invalid"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Service{
		db: db, log: log, clock: c, auth: n.Auth, repos: n.Repos, rules: n.Rules, items: n.Items, opts: o,
		wake: make(chan struct{}, 1), gates: map[string]chan struct{}{},
	}
}

// place is a repository as a call works on it.
type place struct {
	source.Repo
	dir string
	git *git.Git
}

// locate finds a repository for an actor who may read it.
func (s *Service) locate(ctx context.Context, a identity.Actor, full string) (place, error) {
	r, dir, err := s.repos.Locate(ctx, a, full)
	return place{Repo: r, dir: dir, git: s.repos.Git()}, err
}

// find loads a pull request for an actor who may read it.
func (s *Service) find(ctx context.Context, a identity.Actor, full string, n int64) (place, row, error) {
	at, err := s.locate(ctx, a, full)
	if err != nil {
		return at, row{}, err
	}
	p, err := load(ctx, s.db, at.FullName(), n)
	return at, p, err
}

// enter waits until nobody else in this process changes pull requests of the repository
// along with its refs; leave ends that.
func (s *Service) enter(ctx context.Context, repo string) (leave func(), err error) {
	s.mu.Lock()
	gate := s.gates[repo]
	if gate == nil {
		gate = make(chan struct{}, 1)
		s.gates[repo] = gate
	}
	s.mu.Unlock()
	select {
	case gate <- struct{}{}:
		return sync.OnceFunc(func() { <-gate }), nil
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "The pull requests of %s are busy.", repo).WithNext("try again in a moment")
	}
}

// self is the actor as which the service itself reads.
func self() identity.Actor { return identity.SystemActor("pull") }

// person wants somebody with an account. A job of a run acts with the rights of its
// project, and anybody who changes a pipeline file can make one act; a deploy key is in
// many hands. What they say decides nothing.
func person(a identity.Actor, what string) error {
	switch {
	case !a.Known():
		return fault.New(fault.Unauthentic, "You are not signed in.").WithNext("sign in, or pass a token")
	case a.Kind != identity.KindUser:
		return fault.New(fault.Denied, "Only somebody with an account may %s; this is %s.", what, a).WithNext("use a personal token")
	}
	return nil
}

// holds reports whether the actor has the role.
func (s *Service) holds(ctx context.Context, a identity.Actor, project string, r identity.Role) (bool, error) {
	err := s.auth.Require(ctx, a, project, r)
	switch fault.KindOf(err) {
	case "":
		return true, nil
	case fault.Denied, fault.NotFound, fault.Unauthentic:
		return false, nil
	}
	return false, err
}

// authorOr wants the author of the pull request, or somebody with the role.
func (s *Service) authorOr(ctx context.Context, a identity.Actor, p row, r identity.Role) error {
	if a.Kind == identity.KindUser && a.Name == p.Author && a.Cap >= identity.Write {
		return nil
	}
	return s.auth.Require(ctx, a, p.project, r)
}

// Limits of texts, in bytes.
const (
	maxTitle = 256
	maxBody  = 64 << 10
)

func checkTitle(title string) error {
	if strings.TrimSpace(title) == "" || len(title) > maxTitle || !utf8.ValidString(title) || strings.ContainsFunc(title, control) {
		return fault.New(fault.Invalid, "A pull request needs a title of one line, at most %d bytes.", maxTitle)
	}
	return nil
}

func checkBody(body string, needed bool) error {
	switch {
	case needed && strings.TrimSpace(body) == "":
		return fault.New(fault.Invalid, "The comment is empty.").WithNext("write something")
	case len(body) > maxBody:
		return fault.New(fault.TooLarge, "The text has %d bytes; at most %d are kept.", len(body), maxBody)
	case !utf8.ValidString(body) || strings.ContainsRune(body, 0):
		return fault.New(fault.Invalid, "The text is not UTF-8.")
	}
	return nil
}

func control(r rune) bool { return r < 0x20 || r == 0x7f }

// clip shortens foreign text for a message.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "?") }

// wrap adds what was being done to an error that has no words for people.
func wrap(err error, format string, args ...any) error {
	if err == nil || fault.KindOf(err) != fault.Internal {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

func short(hash string) string { return hash[:min(len(hash), 10)] }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
