package azure_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/api/azure"
	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store/storetest"
)

const (
	agentToken = "agent-token-agent-token-agent-token"
	repoName   = "shop/web"
)

// file is the pipeline of the repository.
const file = `trigger: none
parameters:
- name: word
  default: hello
- name: list
  type: object
  default: []
stages:
- stage: Build
  jobs:
  - job: Go
    steps:
    - checkout: none
    - bash: echo ${{ parameters.word }} ${{ join(',', parameters.list) }}
- stage: Deploy
  jobs:
  - job: Ship
    steps:
    - checkout: none
    - bash: echo ship
`

// world is a server with one project, whose agent the tests play.
type world struct {
	t    *testing.T
	svc  *pipeline.Service
	http *httptest.Server
}

// everyone knows the project shop; what somebody may do there is his cap.
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
	if a.Cap < identity.Admin {
		return fault.New(fault.Denied, "Only an administrator may.")
	}
	return nil
}

type tokens struct{}

func (tokens) IssueJob(context.Context, identity.JobClaims, string, []string, time.Duration) (string, error) {
	return "job.token.with-a-length-of-some-worth", nil
}

// source has one commit with one file, on the branches main and other.
type source struct{}

func (source) File(_ context.Context, _ identity.Actor, _, _, path string) ([]byte, error) {
	if path != pipeline.File {
		return nil, fault.New(fault.NotFound, "There is no file %s.", path)
	}
	return []byte(file), nil
}

func (source) ChangedPaths(context.Context, identity.Actor, string, string, string) ([]string, error) {
	return nil, nil
}

func (source) Resolve(_ context.Context, _ identity.Actor, _, ref string) (full, commit, title string, err error) {
	name := strings.TrimPrefix(ref, "refs/heads/")
	switch name {
	case "":
		name = "main"
	case "main", "other":
	default:
		return "", "", "", fault.New(fault.NotFound, "There is no branch %s.", name)
	}
	return "refs/heads/" + name, strings.Repeat("c", 40), "a change", nil
}

// who takes the token for the name of a user: ada maintains, rita reads.
func who(r *http.Request) (identity.Actor, error) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if c, err := r.Cookie("session"); err == nil && name == "" {
		name = c.Value
	}
	role, ok := map[string]identity.Role{"ada": identity.Maintain, "rita": identity.Read}[name]
	if !ok {
		return identity.Actor{}, nil
	}
	return identity.Actor{Kind: identity.KindUser, Name: name, Cap: role}, nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, db, c := t.TempDir(), storetest.SQLite(t), clock.System()
	log := slog.New(slog.DiscardHandler)
	blobs, err := blob.Open(t.Context(), blob.Config{Driver: "filesystem", Root: filepath.Join(dir, "blobs")})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	mux := http.NewServeMux()
	w.http = httptest.NewServer(mux)
	w.svc, err = pipeline.New(pipeline.Parts{
		DB: db, Log: event.New(db, c), Clock: c, Queue: job.New(db, c), Auth: everyone{}, Source: source{}, Tokens: tokens{}, Blobs: blobs, Logger: log,
	}, pipeline.Options{URL: w.http.URL, Registry: "localhost:7080", Data: dir, AgentToken: agentToken})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	mux.Handle(protocol.Prefix+"/", w.svc.AgentHandler())
	mux.Handle("/", azure.New(w.svc, who, w.http.URL+"/", log))
	t.Cleanup(func() {
		w.http.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error("server:", err)
		}
	})
	// The pipeline gets its number when it is first asked for.
	ada := identity.Actor{Kind: identity.KindUser, Name: "ada", Cap: identity.Maintain}
	if _, err := w.svc.DefinitionOf(t.Context(), ada, pipeline.Run{Repo: repoName, File: pipeline.File, Project: "shop"}); err != nil {
		t.Fatal(err)
	}
	return w
}

// answer is what a request was answered with.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do makes a request below the project's API.
func (w *world) do(user, method, path, body string, header ...string) answer {
	w.t.Helper()
	return w.send(method, "/shop/_apis/"+path, strings.NewReader(body), append([]string{"Authorization", "Bearer " + user}, header...)...)
}

func (w *world) send(method, path string, body io.Reader, header ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, data}
}

// into decodes an answer that must have a status.
func (w *world) into(a answer, status int, v any) {
	w.t.Helper()
	if a.status != status {
		w.t.Fatalf("answered with %d %s, want %d", a.status, a.body, status)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		w.t.Fatalf("%v in %s", err, a.body)
	}
}

// agent sends a request of an agent about a job.
func (w *world) agent(method, path, lease string, body any, into any) {
	w.t.Helper()
	data, raw := body.([]byte)
	if !raw {
		var err error
		if data, err = json.Marshal(body); err != nil {
			w.t.Fatal(err)
		}
	}
	a := w.send(method, protocol.Prefix+"/"+path, bytes.NewReader(data), "Authorization", "Bearer "+agentToken, protocol.HeaderLease, lease)
	if a.status >= 300 {
		w.t.Fatalf("%s %s was answered with %d %s", method, path, a.status, a.body)
	}
	if into != nil {
		if err := json.Unmarshal(a.body, into); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
}

// claim gets the next job.
func (w *world) claim() protocol.Job {
	w.t.Helper()
	var j protocol.Job
	w.agent(http.MethodPost, "claim", "", protocol.Claim{Agent: "a", Ticket: time.Now().String(), WaitSeconds: 60}, &j)
	return j
}

// complete ends a job.
func (w *world) complete(j protocol.Job, result plan.Result) {
	w.t.Helper()
	w.agent(http.MethodPost, "jobs/"+j.ID+"/complete", j.Lease, protocol.Complete{Result: result}, nil)
}

// archive is a tar of files: name, content, …
func archive(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o755, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
