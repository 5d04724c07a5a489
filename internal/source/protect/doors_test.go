package protect_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/source/protect"
)

// TestMain lets the test program be the hook program, as the product's is.
func TestMain(m *testing.M) {
	if name, ok := hook.Invoked(os.Args[0]); ok {
		os.Exit(hook.Main(name, os.Stdin, os.Stderr, os.Getenv))
	}
	os.Exit(m.Run())
}

// served is a world behind the real server.
type served struct {
	*world
	svc *source.Service
	url string
}

func serve(t testing.TB, guarded bool) *served {
	t.Helper()
	w := newWorld(t)
	program, err := os.Executable()
	check(t, err)
	o := source.Options{Data: t.TempDir(), HookProgram: program, PublicURL: "http://towpath.example"}
	if guarded {
		o.Guards = []source.Guard{w.Service}
	}
	svc, err := source.New(w.db, w.log, roles{"ada": identity.Write, "rita": identity.Read}, w.clock, o)
	check(t, err)
	check(t, svc.Recover(t.Context()))
	server := httptest.NewServer(svc.Handler(func(r *http.Request) (identity.Actor, error) {
		if name, _, ok := r.BasicAuth(); ok {
			return user(name), nil
		}
		return identity.Actor{}, nil
	}))
	t.Cleanup(func() {
		server.Close()
		check(t, svc.Close())
	})
	return &served{world: w, svc: svc, url: strings.Replace(server.URL, "://", "://ada:x@", 1) + "/shop/web.git"}
}

// git runs the client in the working copy and returns what it said.
func (s *served) git(args ...string) (string, error) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "git", args...)
	cmd.Dir = s.work
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=" + s.work, "GIT_TERMINAL_PROMPT=0"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func TestRealPushIsRefusedAndTheSecretStaysOut(t *testing.T) {
	s := serve(t, true)
	s.commit(map[string]string{"README.md": "hello\n"})
	if out, err := s.git("push", s.url, "main"); err != nil {
		t.Fatalf("a clean push: %v\n%s", err, out)
	}
	key := privateKey(t)
	commit := s.commit(map[string]string{"id_ecdsa": key})
	blob := s.run(s.work, nil, "rev-parse", "HEAD:id_ecdsa")
	out, err := s.git("push", s.url, "main")
	if err == nil {
		t.Fatalf("the push of a key succeeded:\n%s", out)
	}
	for _, part := range []string{"private-key", commit[:10], "id_ecdsa:1", "towpath secret bypass", "Nothing was changed"} {
		if !strings.Contains(out, part) {
			t.Errorf("git did not say %q:\n%s", part, out)
		}
	}
	repo, dir, err := s.svc.Locate(t.Context(), user("ada"), "shop/web")
	check(t, err)
	objects, err := s.svc.Git().Info(t.Context(), dir, blob)
	check(t, err)
	if objects[0].Hash != "" {
		t.Error("the key's blob is in the repository")
	}
	var refused event.PushRefused
	facts := s.events(event.TypePushRefused)
	if len(facts) != 1 {
		t.Fatalf("%d events", len(facts))
	}
	check(t, facts[0].Into(&refused))
	if refused.Repo != repo.FullName() || len(refused.Refusals) != 1 || refused.Refusals[0].Line != 1 {
		t.Errorf("the event: %+v", refused)
	}

	found, err := s.Blocked(t.Context(), user("ada"), "shop/web")
	check(t, err)
	_, err = s.Bypass(t.Context(), user("ada"), found[0].ID, protect.Bypass{Reason: protect.TestValue})
	check(t, err)
	if out, err := s.git("push", s.url, "main"); err != nil {
		t.Fatalf("with a bypass: %v\n%s", err, out)
	}
}

func TestEditInTheBrowserPassesTheSameGuard(t *testing.T) {
	s := serve(t, true)
	s.commit(map[string]string{"README.md": "hello\n"})
	if out, err := s.git("push", s.url, "main"); err != nil {
		t.Fatalf("a clean push: %v\n%s", err, out)
	}
	edit := source.Edit{Repo: "shop/web", Branch: "main", Path: "deploy.env", Content: []byte("A=1\nTOKEN=" + token() + "\n")}
	_, err := s.svc.Edit(t.Context(), user("ada"), edit)
	var refused *source.Refused
	if !errors.As(err, &refused) || len(refused.Refusals) != 1 || refused.Refusals[0].Rule != "github-pat" || refused.Refusals[0].Line != 2 {
		t.Fatalf("the edit: %v", err)
	}
	edit.Content = []byte("A=1\n")
	_, err = s.svc.Edit(t.Context(), user("ada"), edit)
	check(t, err)
}

// BenchmarkWholePush is a push of 50 MB of Go source by the real client, with the guard
// and without: its share of what a person waits for.
func BenchmarkWholePush(b *testing.B) {
	files := goSource(b, 50_000_000)
	push := func(guarded bool) time.Duration {
		s := serve(b, guarded)
		s.commit(files)
		start := time.Now()
		if out, err := s.git("push", "-q", s.url, "main"); err != nil {
			b.Fatalf("pushing: %v\n%s", err, out)
		}
		return time.Since(start)
	}
	var with, without time.Duration
	for b.Loop() {
		without += push(false)
		with += push(true)
	}
	b.ReportMetric(with.Seconds()/float64(b.N), "s-guarded")
	b.ReportMetric(without.Seconds()/float64(b.N), "s-unguarded")
	b.ReportMetric(100*(with-without).Seconds()/without.Seconds(), "%-more")
}
