package agent_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"towpath.dev/towpath/internal/agent"
	"towpath.dev/towpath/internal/agent/warden"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == warden.Argument {
		os.Exit(warden.Main())
	}
	os.Exit(m.Run())
}

// server hands out one job and keeps what comes back.
type server struct {
	mu    sync.Mutex
	job   *protocol.Job
	log   map[string]string
	steps map[int]protocol.StepUpdate
	done  chan protocol.Complete
	// flaky makes every second request fail before it has an effect.
	flaky  bool
	n      int
	extras extras
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n++; s.flaky && s.n%2 == 0 {
		http.Error(w, "try again", http.StatusBadGateway)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, protocol.Prefix+"/")
	if r.Header.Get("Authorization") == "Bearer token" && s.serveExtras(w, r, path) {
		return
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer token":
		w.WriteHeader(http.StatusUnauthorized)
	case path == "register":
		_ = json.NewEncoder(w).Encode(protocol.Registered{LeaseSeconds: 1})
	case path == "claim" && s.job != nil:
		_ = json.NewEncoder(w).Encode(s.job)
		s.job = nil
	case path == "claim":
		// Only after the body was read is the end of the connection seen.
		_, _ = io.Copy(io.Discard, r.Body)
		s.mu.Unlock()
		<-r.Context().Done()
		s.mu.Lock()
	case strings.HasSuffix(path, "/heartbeat"):
		_, _ = io.Copy(io.Discard, r.Body)
		s.mu.Unlock()
		<-r.Context().Done()
		s.mu.Lock()
	case strings.HasSuffix(path, "/steps"):
		var u protocol.Update
		_ = json.NewDecoder(r.Body).Decode(&u)
		for _, x := range u.Steps {
			s.steps[x.Number] = x
		}
		w.WriteHeader(http.StatusNoContent)
	case strings.Contains(path, "/logs/"):
		b, _ := io.ReadAll(r.Body)
		s.log[filepath.Base(path)] += string(b)
		_ = json.NewEncoder(w).Encode(protocol.LogReply{Next: int64(strings.Count(s.log[filepath.Base(path)], "\n"))})
	case strings.HasSuffix(path, "/complete"):
		var c protocol.Complete
		_ = json.NewDecoder(r.Body).Decode(&c)
		w.WriteHeader(http.StatusNoContent)
		s.done <- c
	}
}

// run runs one job of bash steps and returns how it ended.
func run(t *testing.T, s *server, change func(*protocol.Job), scripts ...string) protocol.Complete {
	t.Helper()
	job := &protocol.Job{
		ID: "J", Lease: "lease", Run: 1, Stage: "S", Name: "J", DisplayName: "J", Token: "job-token", Phases: []protocol.Phase{{}}, LogLimit: 1 << 20,
	}
	for i, script := range scripts {
		job.Phases[0].Steps = append(job.Phases[0].Steps, protocol.Step{Number: i + 1, Step: plan.Step{
			ID: "Bash", DisplayName: "Bash", Task: "Bash@3", Inputs: map[string]string{"targetType": "inline", "script": script},
			Condition: "succeeded()", Enabled: true,
		}})
	}
	change(job)
	s.job, s.log, s.steps, s.done = job, map[string]string{}, map[int]protocol.StepUpdate{}, make(chan protocol.Complete, 1)
	h := httptest.NewServer(s)
	defer h.Close()
	dir, err := os.MkdirTemp("", "towpath-agent-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := agent.Config{Server: h.URL, Token: "token", Name: "a", Dir: filepath.Join(dir, "work"), Log: slog.New(slog.DiscardHandler)}
	if os.Getuid() == 0 {
		id := uint32(65534)
		cfg.UID, cfg.GID = &id, &id
	}
	a, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	c := <-s.done
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return c
}

func TestTimeOutOfAJob(t *testing.T) {
	s := &server{}
	c := run(t, s, func(j *protocol.Job) {
		j.TimeoutSeconds, j.CancelSeconds = 0.3, 0.6
		j.Phases[0].Steps[1].Condition = "always()"
		j.Phases[0].Steps[2].Condition = "always()"
	}, "sleep 1000", "echo clean; sleep 1000", "echo never")
	if c.Result != plan.Failed || !strings.Contains(c.Why, "time-out of 0.005 minutes") {
		t.Errorf("%+v", c)
	}
	if s.steps[1].Result != plan.Canceled || s.steps[2].Result != plan.Canceled || s.steps[3].Result != plan.Canceled {
		t.Errorf("%+v", s.steps)
	}
	if !strings.Contains(s.log["2"], "clean") || strings.Contains(s.log["3"], "never") {
		t.Errorf("%q", s.log)
	}
}

func TestServerThatFailsNowAndThen(t *testing.T) {
	s := &server{flaky: true}
	c := run(t, s, func(*protocol.Job) {}, "seq 1 20000", "echo '##vso[task.setvariable variable=v;isoutput=true]x'")
	if c.Result != plan.Succeeded || len(c.Outputs) != 1 || c.Outputs[0].Value != "x" {
		t.Errorf("%+v", c)
	}
	if n := strings.Count(s.log["1"], "\n"); n != 20000 || !strings.HasSuffix(s.log["1"], " 20000\n") {
		t.Errorf("%d lines", n)
	}
}

// A line of any length keeps its bytes, and a secret in it stays hidden where it is cut.
func TestLongLines(t *testing.T) {
	s := &server{}
	c := run(t, s, func(j *protocol.Job) {
		j.LogLimit = 64 << 20
		j.Variables = []plan.Value{{Name: "pw", Text: "sesame-sesame", Secret: true}}
	}, "for i in $(seq 1 150000); do printf 'sesame-sesame.............'; done; echo; printf 'a\\r\\n\\nb'")
	if c.Result != plan.Succeeded {
		t.Fatalf("%+v", c)
	}
	if strings.Contains(s.log["1"], "sesame") {
		t.Error("a secret was cut in two")
	}
	stars, dots := strings.Count(s.log["1"], "***"), strings.Count(s.log["1"], ".")
	if stars != 150000 || dots != 150000*13 {
		t.Errorf("%d secrets, %d dots", stars, dots)
	}
	var texts []string
	for line := range strings.Lines(s.log["1"]) {
		_, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if len(line) > protocol.MaxLine {
			t.Errorf("a line of %d bytes", len(line))
		}
		texts = append(texts, text)
	}
	if tail := strings.Join(texts[len(texts)-3:], "|"); tail != "a||b" {
		t.Errorf("the end is %q", tail)
	}
}

func TestRefusedConfigurations(t *testing.T) {
	good := agent.Config{Server: "http://x", Token: "t", Name: "n", Dir: t.TempDir(), AllowRoot: true, Log: slog.New(slog.DiscardHandler)}
	if _, err := agent.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*agent.Config){
		"no server": func(c *agent.Config) { c.Server = "" }, "no token": func(c *agent.Config) { c.Token = "" },
		"relative": func(c *agent.Config) { c.Dir = "work" }, "no name": func(c *agent.Config) { c.Name = "" },
	} {
		bad := good
		change(&bad)
		if _, err := agent.New(bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if os.Getuid() == 0 {
		bad := good
		bad.AllowRoot = false
		if _, err := agent.New(bad); err == nil {
			t.Error("root without a user was accepted")
		}
	}
}

func TestWrongTokenEndsTheAgent(t *testing.T) {
	s := &server{}
	h := httptest.NewServer(s)
	defer h.Close()
	a, err := agent.New(agent.Config{Server: h.URL, Token: "wrong", Name: "n", Dir: t.TempDir(), AllowRoot: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(context.Background()); err == nil {
		t.Error("the agent goes on with a wrong token")
	}
}
