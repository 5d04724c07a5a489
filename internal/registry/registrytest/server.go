// Package registrytest starts a real registry for tests: SQLite, files, identity and the
// HTTP front on a loopback port. It is imported by tests only.
package registrytest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/oci"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/vault"
)

// Password is the password of every user that a Server has.
const Password = "correct horse battery"

// Server is a running registry.
type Server struct {
	*registry.Service
	DB       *store.DB
	Log      *event.Log
	Blobs    *blob.Store
	Identity *identity.Service
	Vault    *vault.Vault
	HTTP     *httptest.Server
	Host     string // "127.0.0.1:port"
	Admin    identity.Actor
	clock    clock.Clock
	dir      string
	options  registry.Options
	stopped  bool
}

// Start starts a registry on what is in dir, or in a new folder, with People, when dir is
// "".
func Start(t testing.TB, dir string, options registry.Options) *Server {
	t.Helper()
	if dir == "" {
		return StartAt(t, clock.System(), options)
	}
	s := &Server{clock: clock.System(), dir: dir, options: options}
	s.open(t)
	return s
}

// StartAt is Start in a new folder with a clock of the test's own.
func StartAt(t testing.TB, c clock.Clock, options registry.Options) *Server {
	t.Helper()
	s := &Server{clock: c, dir: t.TempDir(), options: options}
	s.open(t)
	s.People(t)
	return s
}

func (s *Server) open(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	var err error
	if s.DB, err = store.Open(ctx, filepath.Join(s.dir, "towpath.db")); err != nil {
		t.Fatal(err)
	}
	if s.Vault, err = vault.Open(s.dir); err != nil {
		t.Fatal(err)
	}
	if s.Blobs, err = blob.Open(ctx, blob.Config{Root: filepath.Join(s.dir, "blobs")}); err != nil {
		t.Fatal(err)
	}
	c := s.clock
	s.Log = event.New(s.DB, c)
	if s.Identity, err = identity.New(s.DB, s.Log, s.Vault, c, identity.Options{}); err != nil {
		t.Fatal(err)
	}
	s.Service = registry.New(s.DB, s.Log, s.Blobs, s.Identity, c, s.options)
	s.HTTP = httptest.NewServer(oci.NewHandler(s.Service, s.Identity, s.Vault, c, slog.New(slog.NewTextHandler(t.Output(), nil))))
	s.Host = strings.TrimPrefix(s.HTTP.URL, "http://")
	s.Admin = identity.Actor{Kind: identity.KindUser, Name: "admin", Admin: true, Cap: identity.Admin}
	t.Cleanup(func() { s.Stop(t) })
}

// Stop ends the server before the test does.
func (s *Server) Stop(t testing.TB) {
	if s.stopped {
		return
	}
	s.stopped = true
	s.HTTP.CloseClientConnections()
	s.HTTP.Close()
	if err := s.DB.Close(); err != nil {
		t.Error(err)
	}
}

// People makes users: admin (of the installation), writer and reader (of project shop),
// stranger (of project other only; reader may write there).
func (s *Server) People(t testing.TB) {
	t.Helper()
	ctx, system := context.Background(), identity.SystemActor("test")
	for _, u := range []string{"admin", "writer", "reader", "stranger"} {
		if _, err := s.Identity.CreateUser(ctx, system, u, Password, u == "admin"); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"shop", "other"} {
		if _, err := s.Identity.CreateProject(ctx, s.Admin, p); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range []struct {
		project, user string
		role          identity.Role
	}{{"shop", "writer", identity.Write}, {"shop", "reader", identity.Read}, {"other", "stranger", identity.Maintain}, {"other", "reader", identity.Write}} {
		if err := s.Identity.Grant(ctx, s.Admin, g.project, g.user, g.role); err != nil {
			t.Fatal(err)
		}
	}
}

// Token returns a job token of a run in a project.
func (s *Server) Token(t testing.TB, project string, run int64) string {
	t.Helper()
	token, err := s.Identity.IssueJob(context.Background(), identity.JobClaims{Project: project, Repo: project + "/web", Run: run, Stage: "Build", Job: "Image"}, "towpath", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
