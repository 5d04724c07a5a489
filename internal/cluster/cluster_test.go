package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

var job = identity.JobClaims{Run: 7, Stage: "Deploy", Job: "Production", Project: "shop", Environment: "production", Commit: "41ab07d"}

// tokens notes what it was asked for.
type tokens struct{ audience, groups string }

func (t *tokens) IssueJob(_ context.Context, c identity.JobClaims, audience string, groups []string, _ time.Duration) (string, error) {
	t.audience, t.groups = audience, strings.Join(groups, " ")
	return fmt.Sprintf("token-of-run-%d", c.Run), nil
}

// apiServer answers the one question that a cluster is asked here.
func apiServer(t *testing.T) *httptest.Server {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"gitVersion":"v1.37.2"}`)
	}))
	t.Cleanup(s.Close)
	return s
}

func kubeconfig(t *testing.T, path, server string) {
	t.Helper()
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: admin-secret}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
`, server)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// embedded returns a cluster whose towpath-kube is a shell script. In it, `say PHASE
// COMPONENT [DETAIL]` prints an event, `await FILE` waits for a file in the data folder,
// and `stay` stays up until SIGTERM.
func embedded(t *testing.T, script string) (*cluster.Embedded, *tokens, string) {
	t.Helper()
	dir := t.TempDir()
	data := filepath.Join(dir, "kube")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "towpath-kube")
	text := `#!/bin/sh
trap 'touch "$HOME/stopped"; exit 0' TERM
say() { printf '{"phase":"%s","component":"%s","detail":"%s","seconds":1.5}\n' "$1" "$2" "$3"; }
await() { until [ -e "$HOME/$1" ]; do sleep 0.02; done; }
stay() { while :; do sleep 0.02; done; }
[ "$1 $2" = "up --config" ] && [ -r "$3" ] || exit 9
echo >> "$HOME/starts"
` + script
	if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	kubeconfig(t, filepath.Join(data, "admin.kubeconfig"), apiServer(t).URL)
	issued := &tokens{}
	e := cluster.NewEmbedded(cluster.Config{
		Program: program, Data: data, Log: filepath.Join(dir, "cluster.log"),
		Settings: cluster.Settings{
			FrontDoorAddr: "127.0.0.1:7480", Bridge: "tp9",
			RegistryMirrors: []cluster.Mirror{{Host: "localhost:7080", URL: "http://127.0.0.1:7080", Authorization: "Bearer node"}},
		},
	}, issued, clock.System(), slog.New(slog.DiscardHandler))
	return e, issued, data
}

// run runs a cluster until the function returned is called, or the test ends.
func run(t *testing.T, c cluster.Cluster) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// becomes waits until the status is as wanted. The limit is against hanging only.
func becomes(t *testing.T, c cluster.Cluster, what string, ok func(cluster.Status) bool) cluster.Status {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		changed := c.Changed()
		s := c.Status()
		if ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("the cluster does not become %s: %+v", what, s)
		}
	}
}

func is(state string) func(cluster.Status) bool {
	return func(s cluster.Status) bool { return s.State == state }
}

func touch(t *testing.T, data, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(data, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEmbeddedStates(t *testing.T) {
	e, issued, data := embedded(t, `
say starting etcd; say ready etcd; say ready kubelet
await go1; say ready cluster
await go2; say restarted etcd 'exit status 2'
await go3; say ready etcd
await go4; echo 'no JSON at all'; say stopped etcd
stay
`)
	if _, err := e.Admin(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Admin before the start = %v, want unavailable", err)
	}
	stop := run(t, e)
	s := becomes(t, e, "starting with two components", func(s cluster.Status) bool { return len(s.Components) == 2 })
	if s.State != cluster.Starting || s.Kind != cluster.KindEmbedded || s.FrontDoor != "http://127.0.0.1:7480" {
		t.Errorf("status %+v", s)
	}
	if _, err := e.As(t.Context(), job, nil, time.Minute); !fault.Is(err, fault.Unavailable) {
		t.Errorf("As before it is ready = %v, want unavailable", err)
	}
	awaited := make(chan error, 1)
	go func() { awaited <- e.Await(t.Context()) }()

	touch(t, data, "go1")
	if err := <-awaited; err != nil {
		t.Errorf("Await = %v", err)
	}
	s = becomes(t, e, "ready", is(cluster.Ready))
	if s.Version != "v1.37.2" || s.Server == "" || s.ReadyIn <= 0 {
		t.Errorf("status %+v", s)
	}
	admin, err := e.Admin(t.Context())
	if err != nil || admin.BearerToken != "admin-secret" {
		t.Errorf("Admin = %+v, %v", admin, err)
	}
	cfg, err := e.As(t.Context(), job, []string{"towpath:deploy:shop:production"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.BearerToken != "token-of-run-7" || cfg.Username != "" || cfg.CertFile != "" || len(cfg.CertData) != 0 || len(cfg.KeyData) != 0 || cfg.Host != admin.Host {
		t.Errorf("a job gets %+v", cfg)
	}
	if issued.audience != cluster.Audience || issued.groups != "towpath:deploy:shop:production" {
		t.Errorf("the token is for %+v", issued)
	}

	touch(t, data, "go2")
	s = becomes(t, e, "degraded", is(cluster.Degraded))
	if !strings.Contains(s.Why, "etcd") || !strings.Contains(s.Why, "exit status 2") || s.Components[0].Restarts != 1 {
		t.Errorf("status %+v", s)
	}
	if err := e.Await(t.Context()); err != nil {
		t.Errorf("Await while it is mended = %v", err)
	}
	touch(t, data, "go3")
	becomes(t, e, "ready again", is(cluster.Ready))
	touch(t, data, "go4")
	becomes(t, e, "told of etcd's end", func(s cluster.Status) bool { return s.Components[0].State == "stopped" })
	stop()
	if s := e.Status(); s.State != cluster.Stopped || s.Why != "" {
		t.Errorf("after the end: %+v", s)
	}
	if _, err := os.Stat(filepath.Join(data, "stopped")); err != nil {
		t.Errorf("towpath-kube was not stopped in order: %v", err)
	}
}

// TestEmbeddedStartsAgain has a supervisor that dies after it was ready.
func TestEmbeddedStartsAgain(t *testing.T) {
	e, _, data := embedded(t, `
if [ "$(wc -l < "$HOME/starts")" = 1 ]; then say ready cluster; await go; echo 'out of memory' >&2; exit 7; fi
await again; say ready cluster; stay
`)
	run(t, e)
	becomes(t, e, "ready", is(cluster.Ready))
	touch(t, data, "go")
	s := becomes(t, e, "failed", is(cluster.Failed))
	if !strings.Contains(s.Why, "exit status 7") || !strings.Contains(s.Why, "cluster.log") {
		t.Errorf("why: %q", s.Why)
	}
	becomes(t, e, "starting again", is(cluster.Starting))
	if _, err := e.Admin(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Admin while it starts again = %v, want unavailable", err)
	}
	touch(t, data, "again")
	becomes(t, e, "ready again", is(cluster.Ready))
	log, err := os.ReadFile(filepath.Join(filepath.Dir(data), "cluster.log"))
	if err != nil || string(log) != "out of memory\n" {
		t.Errorf("log %q, %v", log, err)
	}
}

func TestEmbeddedMissingProgram(t *testing.T) {
	dir := t.TempDir()
	e := cluster.NewEmbedded(cluster.Config{
		Program: filepath.Join(dir, "towpath-kube"), Data: filepath.Join(dir, "kube"), Log: filepath.Join(dir, "log"),
	}, &tokens{}, clock.System(), slog.New(slog.DiscardHandler))
	run(t, e)
	s := becomes(t, e, "failed", is(cluster.Failed))
	if !strings.Contains(s.Why, "is not installed") {
		t.Errorf("why: %q", s.Why)
	}
}

func TestEmbeddedConfiguration(t *testing.T) {
	e, _, data := embedded(t, "stay\n")
	run(t, e)
	path := filepath.Join(data, "cluster.json")
	becomes(t, e, "started", func(cluster.Status) bool { _, err := os.Stat(path); return err == nil })
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	// What is not set is not written: towpath-kube's own default counts then.
	text := fmt.Sprintf(`{"data":%q,"bridge":"tp9","front_door_addr":"127.0.0.1:7480",
		"registry_mirrors":[{"host":"localhost:7080","url":"http://127.0.0.1:7080","authorization":"Bearer node"}]}`, data)
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cluster.json (-want +got):\n%s", diff)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("cluster.json holds a credential and has mode %v, %v", st.Mode(), err)
	}
}

// TestEmbeddedAwaitsPredecessor starts beside a supervisor whose server was killed and
// that has not ended yet.
func TestEmbeddedAwaitsPredecessor(t *testing.T) {
	e, _, data := embedded(t, "say ready cluster; stay\n")
	lock, err := os.Create(filepath.Join(data, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	run(t, e)
	becomes(t, e, "waiting for the other", func(s cluster.Status) bool {
		return s.State == cluster.Starting && strings.Contains(s.Why, "still stopping")
	})
	if _, err := os.Stat(filepath.Join(data, "starts")); err == nil {
		t.Error("towpath-kube was started beside another one")
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	becomes(t, e, "ready", is(cluster.Ready))
}

func TestAdopted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	server := apiServer(t)
	kubeconfig(t, file, server.URL)
	a, err := cluster.Adopt(file, clock.System())
	if err != nil {
		t.Fatal(err)
	}
	run(t, a)
	s := becomes(t, a, "ready", is(cluster.Ready))
	if s.Kind != cluster.KindAdopted || s.Version != "v1.37.2" || s.FrontDoor != "" || s.Kubeconfig != file || s.Server != server.URL {
		t.Errorf("status %+v", s)
	}
	if err := a.Await(t.Context()); err != nil {
		t.Errorf("Await = %v", err)
	}
	cfg, err := a.As(t.Context(), job, []string{"towpath:deploy:shop:production"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"towpath.dev/run": {"7"}, "towpath.dev/job": {"Deploy.Production"}, "towpath.dev/project": {"shop"}, "towpath.dev/commit": {"41ab07d"},
	}
	if cfg.Impersonate.UserName != "towpath:run:7" {
		t.Errorf("impersonates %q", cfg.Impersonate.UserName)
	}
	if diff := cmp.Diff([]string{"system:authenticated", "towpath:deploy:shop:production"}, cfg.Impersonate.Groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, map[string][]string(cfg.Impersonate.Extra)); diff != "" {
		t.Errorf("extra (-want +got):\n%s", diff)
	}
	if admin, err := a.Admin(t.Context()); err != nil || admin.Impersonate.UserName != "" {
		t.Errorf("Admin = %+v, %v", admin, err)
	}
}

func TestAdoptedDoesNotAnswer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	server := apiServer(t)
	kubeconfig(t, file, server.URL)
	server.Close()
	a, err := cluster.Adopt(file, clock.System())
	if err != nil {
		t.Fatal(err)
	}
	run(t, a)
	if s := becomes(t, a, "degraded", is(cluster.Degraded)); !strings.Contains(s.Why, "does not answer") {
		t.Errorf("why: %q", s.Why)
	}
	if _, err := cluster.Adopt(filepath.Join(t.TempDir(), "none"), clock.System()); !fault.Is(err, fault.Invalid) {
		t.Errorf("a kubeconfig that is not there: %v", err)
	}
}

func TestNone(t *testing.T) {
	stop := run(t, cluster.None{})
	if s := (cluster.None{}).Status(); s.Kind != cluster.KindNone || s.State != cluster.Stopped || s.Why == "" {
		t.Errorf("status %+v", s)
	}
	_, asErr := cluster.None{}.As(t.Context(), job, nil, time.Minute)
	_, adminErr := cluster.None{}.Admin(t.Context())
	for what, err := range map[string]error{"As": asErr, "Admin": adminErr, "Await": cluster.None{}.Await(t.Context())} {
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s = %v, want unavailable", what, err)
		}
	}
	stop()
}
