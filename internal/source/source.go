package source

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/store"
)

// Authoriser answers who may do what. identity.Service is one.
type Authoriser interface {
	// Require returns nil when the actor has the role in the project; otherwise
	// fault.Unauthentic (nobody), NotFound (may not know of it) or Denied.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	// EnsureProject makes a project that does not exist when the actor may do that,
	// and is Require with identity.Write when it exists.
	EnsureProject(ctx context.Context, a identity.Actor, name string) error
}

// Options of a Service.
type Options struct {
	// Data is the data folder; repositories lie in its folder repos, the socket in run.
	Data string
	// HookProgram is the executable that git runs as hook: one whose main calls
	// hook.Main when hook.Invoked says so. An absolute path.
	HookProgram string
	// PublicURL is the address that people use, for messages: "http://localhost:7080".
	PublicURL string
	// Git is the git program; "" means the one in PATH.
	Git string
	// MaxPush is the largest push in bytes; 0 means 4 GiB.
	MaxPush int64
	// MaxTransfers is how many fetches and pushes run at a time, others wait; 0 means 64.
	MaxTransfers int
	// Guards are asked about each push; UseGuards adds those that need the Service.
	Guards []Guard
	// Logger takes what an operator should know; nil means the default logger.
	Logger *slog.Logger
}

// DefaultBranch is the branch that a new repository starts with.
const DefaultBranch = "main"

// Service owns the repositories. It is safe for concurrent use.
type Service struct {
	db    *store.DB
	log   *event.Log
	auth  Authoriser
	clock clock.Clock
	opts  Options

	git       *git.Git
	repos     string // folder of the repositories
	blank     string // an empty repository, advertised for one that does not exist yet
	socket    string
	scratch   string // folder of a socket that did not fit into the data folder, else ""
	listener  net.Listener
	transfers chan struct{}

	mu     sync.Mutex
	pushes map[[32]byte]*push       // running, by the hash of their secret
	gates  map[string]chan struct{} // one per repository: who may move refs
	guards []Guard

	advertised sync.Mutex
	capability []byte // what upload-pack says first in protocol version 2
}

// New prepares the folders and starts to answer hooks. Call Recover before the first
// push, and Close at the end.
func New(db *store.DB, log *event.Log, auth Authoriser, c clock.Clock, o Options) (*Service, error) {
	if o.MaxPush == 0 {
		o.MaxPush = 4 << 30
	}
	if o.MaxTransfers == 0 {
		o.MaxTransfers = 64
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	data, err := filepath.Abs(o.Data)
	if err != nil {
		return nil, fmt.Errorf("locating the data folder: %w", err)
	}
	s := &Service{
		db: db, log: log, auth: auth, clock: c, opts: o, repos: filepath.Join(data, "repos"),
		transfers: make(chan struct{}, o.MaxTransfers), pushes: map[[32]byte]*push{}, gates: map[string]chan struct{}{},
		guards: slices.Clone(o.Guards),
	}
	s.blank = filepath.Join(s.repos, "blank")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.prepare(ctx, filepath.Join(data, "run")); err != nil {
		return nil, err
	}
	go func() {
		if err := hook.Serve(s.listener, s.answer); err != nil {
			o.Logger.Error("hooks are no longer answered; pushes will be refused", "error", err)
		}
	}()
	return s, nil
}

func (s *Service) prepare(ctx context.Context, run string) error {
	hooks := filepath.Join(run, "hooks")
	for _, dir := range []string{s.repos, run, hooks} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("preparing %s: %w", dir, err)
		}
	}
	g, err := git.Open(ctx, git.Options{Program: s.opts.Git, HooksDir: hooks, MaxInput: s.opts.MaxPush})
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "Git repositories cannot be served: git is missing or too old.").
			WithNext("apt-get install git")
	}
	s.git = g
	for _, name := range hook.Names() {
		if err := link(s.opts.HookProgram, filepath.Join(hooks, name)); err != nil {
			return err
		}
	}
	if err := s.initRepo(ctx, s.blank); err != nil {
		return err
	}
	return s.listen(run)
}

// link makes name a symlink to the program, replacing one of an earlier version.
func link(program, name string) error {
	if !filepath.IsAbs(program) {
		return fmt.Errorf("preparing hooks: %q is no absolute path", program)
	}
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("preparing hooks: %w", err)
	}
	if err := os.Symlink(program, name); err != nil {
		return fmt.Errorf("preparing hooks: %w", err)
	}
	return nil
}

// maxSocketPath is the longest path of a Unix socket on Linux, less its end.
const maxSocketPath = 107

func (s *Service) listen(run string) error {
	s.socket = filepath.Join(run, "hook.sock")
	if len(s.socket) > maxSocketPath {
		dir, err := os.MkdirTemp("", "towpath-") // 0700
		if err != nil {
			return fmt.Errorf("making a folder for the hook socket: %w", err)
		}
		s.scratch, s.socket = dir, filepath.Join(dir, "hook.sock")
	}
	// Left behind by a server that was killed.
	if err := os.Remove(s.socket); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("removing the old hook socket: %w", err)
	}
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		return fmt.Errorf("listening for hooks: %w", err)
	}
	if err := os.Chmod(s.socket, 0o600); err != nil {
		l.Close()
		return fmt.Errorf("closing the hook socket to others: %w", err)
	}
	s.listener = l
	return nil
}

// UseGuards adds guards behind those of the Options: some need the Service itself. Call it
// before the first push.
func (s *Service) UseGuards(guards ...Guard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guards = append(s.guards, guards...)
}

// Git returns the program with which the repositories are read.
func (s *Service) Git() *git.Git { return s.git }

// Close stops answering hooks and ends the reading processes. Running pushes are
// refused by their hooks.
func (s *Service) Close() error {
	err := s.listener.Close()
	s.git.Close()
	if s.scratch != "" {
		os.RemoveAll(s.scratch)
	}
	return err
}
