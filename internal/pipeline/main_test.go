package pipeline_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/agent"
	"towpath.dev/towpath/internal/agent/warden"
	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/vault"
)

// TestMain lets the test program be what the agent needs beside itself: the warden of a
// job, and an agent that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case warden.Argument:
			os.Exit(warden.Main())
		case "agent":
			runAgentProcess()
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

const (
	agentToken = "agent-token-agent-token-agent-token"
	repoName   = "shop/web"
	jobToken   = "job.token.with-a-length-of-some-worth"
)

var ada = identity.Actor{Kind: identity.KindUser, Name: "ada", Cap: identity.Admin}

// world is a server with its data folder, which can be restarted, and a Git repository.
type world struct {
	t    testing.TB
	dir  string
	dsn  string
	opts pipeline.Options

	clock clock.Clock // nil: the system's

	http    *httptest.Server
	handler *switchable
	git     string // bare repository
	tasks   pipeline.Tasks
	settler pipeline.Deployments
	pods    pipeline.Pods
	needs   pipeline.Needs
	envs    pipeline.Environments
	issued  func(identity.JobClaims)
	claims  identity.JobClaims // of the last job that got a token

	outbound http.RoundTripper
	outside  check.Outside // nil: nobody answers
	herald   pipeline.Herald

	mu   sync.Mutex
	db   *store.DB
	log  *event.Log
	svc  *pipeline.Service
	stop context.CancelFunc
	done chan error
}

// switchable is a handler that is down while the server is restarted.
type switchable struct {
	mu sync.RWMutex
	h  http.Handler
}

func (s *switchable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	h := s.h
	s.mu.RUnlock()
	if h == nil {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	h.ServeHTTP(w, r)
}

func (s *switchable) set(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h = h
}

func newWorld(t testing.TB, change ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, dir: tempDir(t), handler: &switchable{}}
	w.http = httptest.NewServer(w.handler)
	w.opts = pipeline.Options{URL: w.http.URL, Registry: "localhost:7080", Data: filepath.Join(w.dir, "data"), AgentToken: agentToken}
	w.dsn = filepath.Join(w.opts.Data, "towpath.db")
	for _, c := range change {
		c(w)
	}
	w.git = filepath.Join(w.dir, "web.git")
	w.run(w.dir, "init", "--quiet", "--bare", "--initial-branch=main", w.git)
	w.up()
	t.Cleanup(func() {
		w.down()
		w.http.CloseClientConnections()
		w.http.Close()
	})
	return w
}

// tempDir is a folder that the user of the steps may enter.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "towpath-pipeline-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 50 {
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	return dir
}

// up starts the server on what is in the data folder.
func (w *world) up() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if err := os.MkdirAll(w.opts.Data, 0o700); err != nil {
		w.t.Fatal(err)
	}
	db, err := store.Open(ctx, w.dsn)
	if err != nil {
		w.t.Fatal(err)
	}
	blobs, err := blob.Open(ctx, blob.Config{Driver: "filesystem", Root: filepath.Join(w.opts.Data, "blobs")})
	if err != nil {
		w.t.Fatal(err)
	}
	keys, err := vault.Open(w.opts.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	c := w.clock
	if c == nil {
		c = clock.System()
	}
	log := event.New(db, c)
	svc, err := pipeline.New(pipeline.Parts{
		DB: db, Log: log, Clock: c, Queue: job.New(db, c), Auth: everyone{}, Source: gitSource{w}, Tokens: tokens{func(c identity.JobClaims) {
			w.mu.Lock()
			w.claims = c
			w.mu.Unlock()
			if w.issued != nil {
				w.issued(c)
			}
		}}, Blobs: blobs, Tasks: w.tasks, Deployments: w.settler, Needs: w.needs, Environments: w.envs, Pods: w.pods, Outside: w.outside, Herald: w.herald, Outbound: w.outbound, Vault: keys,
		Logger: logger(w.t, "server"),
	}, w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	w.mu.Lock()
	w.db, w.log, w.svc, w.stop, w.done = db, log, svc, cancel, done
	w.mu.Unlock()
	mux := http.NewServeMux()
	mux.Handle("/agent/v1/", svc.AgentHandler())
	mux.Handle("/shop/", w.gitHandler())
	w.serviceInto(mux, svc)
	w.handler.set(mux)
}

// serviceInto answers what the service's client for Node asks when it downloads a secure file, as
// package api/azure does.
func (w *world) serviceInto(mux *http.ServeMux, svc *pipeline.Service) {
	say := func(value string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			_, _ = rw.Write([]byte(`{"count":1,"value":[` + value + `]}`))
		}
	}
	const versions = `"resourceVersion":1,"minVersion":"1.0","maxVersion":"7.2","releasedVersion":"0.0"}`
	mux.HandleFunc("OPTIONS /_apis/Location", say(`{"id":"e81700f7-3be2-46de-8624-2eb35882fcaa","area":"Location","resourceName":"ResourceAreas","routeTemplate":"_apis/{resource}/{areaId}",`+versions))
	mux.HandleFunc("OPTIONS /_apis/distributedtask", say(`{"id":"adcfd8bc-b184-43ba-bd84-7c8c6a2ff421","area":"distributedtask","resourceName":"securefiles","routeTemplate":"{project}/_apis/{area}/{resource}/{secureFileId}",`+versions))
	mux.HandleFunc("GET /_apis/ResourceAreas", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(`{"count":0,"value":[]}`)) })
	mux.HandleFunc("GET /shop/_apis/distributedtask/securefiles/{id}", func(rw http.ResponseWriter, r *http.Request) {
		if _, token, _ := r.BasicAuth(); token != jobToken {
			http.Error(rw, "no token", http.StatusUnauthorized)
			return
		}
		a := identity.Actor{Kind: identity.KindRun, Name: "1", Cap: identity.Admin, Job: w.lastJob()}
		_, content, err := svc.TicketFile(r.Context(), a, "shop", r.PathValue("id"), r.URL.Query().Get("ticket"))
		if err != nil {
			http.Error(rw, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = rw.Write(content)
	})
}

// lastJob is the job whose token was issued last.
func (w *world) lastJob() identity.JobClaims {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.claims
}

// down stops the server; requests are answered with 503 meanwhile.
func (w *world) down() {
	w.t.Helper()
	w.handler.set(nil)
	w.http.CloseClientConnections()
	w.stop()
	if err := <-w.done; err != nil {
		w.t.Error("server:", err)
	}
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
}

func (w *world) gitHandler() http.Handler {
	backend := &cgi.Handler{
		Path: "/usr/lib/git-core/git-http-backend", Root: "/shop",
		Env: []string{"GIT_PROJECT_ROOT=" + w.dir, "GIT_HTTP_EXPORT_ALL=1"},
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+jobToken {
			http.Error(rw, "no token", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(rw, r)
	})
}

func (w *world) run(dir string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// push commits files (path, content, …) and says so in the logbook, as the source
// domain does. It returns the commit.
func (w *world) push(files ...string) string {
	w.t.Helper()
	work, err := os.MkdirTemp(w.dir, "work-")
	if err != nil {
		w.t.Fatal(err)
	}
	w.run(work, "init", "--quiet", "--initial-branch=main")
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(work, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	w.run(work, "add", ".")
	w.run(work, "commit", "--quiet", "-m", "a change "+rand.Text())
	w.run(work, "push", "--quiet", "--force", w.git, "main")
	commit := w.run(work, "rev-parse", "HEAD")
	err = w.db.Tx(context.Background(), func(tx *store.Tx) error {
		return w.log.Append(context.Background(), tx, event.Fact{
			Type: event.TypeCommitPushed, Subject: event.Of(event.KindCommit, commit), Project: "shop", Actor: "user:ada",
			Payload: event.CommitPushed{V: 1, Repo: repoName, Ref: "refs/heads/main", Before: strings.Repeat("0", 40), Commit: commit, Title: "a change"},
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return commit
}

// pipeline pushes a pipeline file alone.
func (w *world) pipeline(yaml string) string { return w.push("azure-pipelines.yml", yaml) }

// wait returns the first run of a commit for which ok says yes.
func (w *world) wait(commit string, ok func(*pipeline.Detail) bool) *pipeline.Detail {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var last *pipeline.Detail
	for ctx.Err() == nil {
		changed := w.log.Changed()
		runs, err := w.svc.Runs(ctx, ada, pipeline.Filter{Project: "shop", Commit: commit})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(runs) > 0 {
			run := w.svc.Changed(runs[0].Number)
			d, err := w.svc.Show(ctx, ada, runs[0].Number)
			if err != nil {
				w.t.Fatal(err)
			}
			if last = d; ok(d) {
				return d
			}
			select {
			case <-run:
			case <-ctx.Done():
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	raw, err := json.MarshalIndent(last, "", " ")
	w.t.Fatalf("the run did not come so far: %s %v", raw, err)
	return nil
}

func over(d *pipeline.Detail) bool { return d.Status == plan.Completed }

// finish runs a pipeline to its end.
func (w *world) finish(yaml string) *pipeline.Detail {
	w.t.Helper()
	return w.wait(w.pipeline(yaml), over)
}

// text is the whole log of a step.
func (w *world) text(d *pipeline.Detail, path string, step int) string {
	w.t.Helper()
	p, err := w.svc.ReadLog(context.Background(), ada, d.Number, path, step, 0, 10000)
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for _, l := range p.Lines {
		b.WriteString(l.Text + "\n")
	}
	return b.String()
}

// everything is the text of all logs of a run.
func (w *world) everything(d *pipeline.Detail) string {
	var b strings.Builder
	for _, st := range d.Stages {
		for _, j := range st.Jobs {
			for _, s := range j.Steps {
				fmt.Fprintf(&b, "--- %s %d %s %s %s\n%s", j.Path, s.Number, s.DisplayName, s.Result, s.Why, w.text(d, j.Path, s.Number))
			}
		}
	}
	return b.String()
}

// events are the types of the events about a run or commit, in order.
func (w *world) events(subject event.Subject) []event.Event {
	w.t.Helper()
	list, err := w.log.Read(context.Background(), event.Query{Subject: subject})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func agentConfig(w *world, dir string) agent.Config {
	cfg := agent.Config{
		Server: w.http.URL, Token: agentToken, Name: "test", Version: "0", Dir: dir, Slots: 2, Log: logger(w.t, "agent"),
	}
	if os.Getuid() == 0 {
		id := uint32(65534)
		cfg.UID, cfg.GID = &id, &id
	}
	return cfg
}

// startAgent starts an agent in this process, which ends with the test.
func (w *world) startAgent(cfg agent.Config) {
	w.t.Helper()
	a, err := agent.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error("agent", cfg.Name, err)
		}
	})
}

// agent starts an agent in this process.
func (w *world) agent() (stop func()) {
	w.t.Helper()
	a, err := agent.New(agentConfig(w, filepath.Join(w.dir, "agent")))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				w.t.Error("agent:", err)
			}
		})
	}
	w.t.Cleanup(stop)
	return stop
}

// runAgentProcess is an agent in a process of its own; its configuration stands in the
// environment.
func runAgentProcess() {
	var cfg agent.Config
	if err := json.Unmarshal([]byte(os.Getenv("AGENT_CONFIG")), &cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	a, err := agent.New(cfg)
	if err == nil {
		err = a.Run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// agentProcess starts an agent that can be killed.
func (w *world) agentProcess() *exec.Cmd {
	w.t.Helper()
	cfg := agentConfig(w, filepath.Join(w.dir, "agent"))
	cfg.Log = nil
	raw, err := json.Marshal(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "agent")
	cmd.Env = []string{"AGENT_CONFIG=" + string(raw), "PATH=" + os.Getenv("PATH")}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return cmd
}

func logger(t testing.TB, who string) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("who", who)
}

type everyone struct{}

func (everyone) Require(_ context.Context, a identity.Actor, project string, r identity.Role) error {
	switch {
	case project != "shop" || !a.Known():
		return fault.New(fault.NotFound, "There is no project %q.", project)
	case a.Cap < r:
		return fault.New(fault.Denied, "You may not.")
	}
	return nil
}

func (everyone) RequireAdmin(_ context.Context, a identity.Actor) error {
	if !a.Admin && a.Cap < identity.Admin {
		return fault.New(fault.Denied, "Only an administrator may.")
	}
	return nil
}

// tokens issues identities and tells issued, if it is not nil, of each.
type tokens struct{ issued func(identity.JobClaims) }

func (t tokens) IssueJob(_ context.Context, c identity.JobClaims, audience string, groups []string, ttl time.Duration) (string, error) {
	if c.Project != "shop" || c.Run == 0 || c.Job == "" || ttl <= 0 {
		return "", errors.New("claims are missing")
	}
	if t.issued != nil && audience == "towpath" {
		t.issued(c)
	}
	if audience != "towpath" {
		return audience + ":" + strings.Join(groups, ","), nil
	}
	return jobToken, nil
}

// bare is the bare repository of a name.
func (w *world) bare(repo string) string {
	return filepath.Join(w.dir, repo[strings.LastIndexByte(repo, '/')+1:]+".git")
}

// gitSource answers from the bare repositories.
type gitSource struct{ w *world }

func (g gitSource) File(ctx context.Context, _ identity.Actor, repo, commit, path string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", "--git-dir", g.w.bare(repo), "show", commit+":"+path)
	out, err := cmd.Output()
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, "There is no file %s.", path)
	}
	return out, nil
}

func (g gitSource) ChangedPaths(ctx context.Context, _ identity.Actor, repo, before, after string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "git", "--git-dir", g.w.bare(repo), "diff", "--name-only", before, after).Output()
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, "There is no commit %s.", before)
	}
	return strings.Fields(string(out)), nil
}

func (g gitSource) Resolve(ctx context.Context, _ identity.Actor, repo, ref string) (full, commit, title string, err error) {
	out, err := exec.CommandContext(ctx, "git", "--git-dir", g.w.bare(repo), "rev-parse", "--verify", "refs/heads/main").Output()
	if err != nil {
		return "", "", "", fault.Wrap(fault.NotFound, err, "There is no ref %s.", ref)
	}
	return "refs/heads/main", strings.TrimSpace(string(out)), "a change", nil
}
