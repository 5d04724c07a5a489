package azure

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// maxBody bounds the body of a request in bytes.
const maxBody = 256 << 10

// server answers.
type server struct {
	pipeline *pipeline.Service
	who      func(*http.Request) (identity.Actor, error)
	url      string // public base URL
	log      *slog.Logger
}

// New returns the handler of /PROJECT/_apis/…; who says who makes a request, url is the public
// address of the server.
func New(p *pipeline.Service, who func(*http.Request) (identity.Actor, error), url string, log *slog.Logger) http.Handler {
	s := &server{pipeline: p, who: who, url: strings.TrimSuffix(url, "/"), log: log}
	mux := http.NewServeMux()
	route := func(pattern string, f func(*call) (any, error)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /{project}/_apis/"+path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, f) })
	}
	route("GET build/builds", s.builds)
	route("POST build/builds", s.queueBuild)
	route("GET build/builds/{id}", s.build)
	route("PATCH build/builds/{id}", s.changeBuild)
	route("GET build/builds/{id}/timeline", s.timeline)
	route("GET build/builds/{id}/timeline/{timeline}", s.timeline)
	route("GET build/builds/{id}/logs", s.logs)
	route("GET build/builds/{id}/logs/{log}", s.logText)
	route("GET build/builds/{id}/artifacts", s.artifacts)
	route("GET build/builds/{id}/tags", s.tags)
	route("GET build/definitions", s.definitions)
	route("GET build/definitions/{id}", s.definition)
	route("GET pipelines", s.pipelines)
	route("GET pipelines/{id}", s.definition)
	route("GET pipelines/{id}/runs", s.runs)
	route("POST pipelines/{id}/runs", s.queueRun)
	route("GET pipelines/{id}/runs/{run}", s.run)
	route("GET distributedtask/securefiles/{id}", s.secureFile)
	s.discovery(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, what, _ := strings.Cut(r.URL.Path, "/_apis/")
		s.refuse(w, r, fault.New(fault.NotFound, "Towpath has no %s _apis/%s; of the service's API it answers build/builds, build/definitions, pipelines and distributedtask/securefiles.", r.Method, clip(what)).
			WithNext("everything else is in Towpath's own API: %s/api/openapi.json", s.url))
	})
	return mux
}

// call is a request while it is answered.
type call struct {
	ctx     context.Context
	w       http.ResponseWriter
	r       *http.Request
	actor   identity.Actor
	project string
}

// written is what a handler returns that has written its answer itself.
type written struct{}

func (s *server) serve(w http.ResponseWriter, r *http.Request, f func(*call) (any, error)) {
	actor, err := s.who(tokenOf(r))
	if err == nil && !actor.Known() {
		err = fault.New(fault.Unauthentic, "Sign in with a personal token as the password of Basic, or as bearer.")
	}
	if err == nil && r.Method != http.MethodGet && r.Header.Get("Authorization") == "" {
		err = fault.New(fault.Unauthentic, "A change needs a token in the header Authorization.")
	}
	var out any
	if err == nil {
		out, err = f(&call{ctx: r.Context(), w: w, r: r, actor: actor, project: r.PathValue("project")})
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	if _, done := out.(written); !done {
		answer(w, http.StatusOK, out)
	}
}

// tokenOf is a request with the token as bearer that clients of the service send as the password
// of Basic, under no name or one that says what it is.
func tokenOf(r *http.Request) *http.Request {
	user, token, ok := r.BasicAuth()
	if !ok || user != "" && user != "PAT" && user != "OAuth" {
		return r
	}
	out := r.Clone(r.Context())
	out.Header.Set("Authorization", "Bearer "+token)
	return out
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// The client is gone when this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(v)
}

// refuse answers with an error in the service's form.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	message, next := fault.Public(err)
	kind := fault.KindOf(err)
	if kind == fault.Internal {
		s.log.Error("answering in the service's form", "path", r.URL.Path, "error", err)
	}
	if next != "" {
		message += " (" + next + ")"
	}
	if kind == fault.Unauthentic {
		w.Header().Set("WWW-Authenticate", `Basic realm="towpath"`)
	}
	answer(w, kind.Status(), map[string]any{
		"$id": "1", "innerException": nil, "message": message, "typeName": "Towpath", "typeKey": string(kind), "errorCode": 0, "eventId": 3000,
	})
}

// list is how the service wraps lists.
func list[T any](values []T) map[string]any {
	if values == nil {
		values = []T{}
	}
	return map[string]any{"count": len(values), "value": values}
}

// number reads a number of the path.
func (c *call) number(name string) (int64, error) {
	n, err := strconv.ParseInt(c.r.PathValue(name), 10, 64)
	if err != nil || n < 1 {
		return 0, fault.New(fault.Invalid, "%q is no number.", clip(c.r.PathValue(name)))
	}
	return n, nil
}

// body reads the JSON of a request.
func (c *call) body(into any) error {
	if err := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, maxBody)).Decode(into); err != nil {
		return fault.Wrap(fault.Invalid, err, "The body is not the JSON that is expected here.")
	}
	return nil
}

// detail is the run of the path; one of another project is not there.
func (s *server) detail(c *call, name string) (*pipeline.Detail, error) {
	n, err := c.number(name)
	if err != nil {
		return nil, err
	}
	d, err := s.pipeline.Show(c.ctx, c.actor, n)
	if err == nil && d.Project != c.project {
		err = fault.New(fault.NotFound, "The project %s has no run %d.", c.project, n)
	}
	return d, err
}

// path is an address below the API of a project.
func (s *server) path(project, rest string) string { return s.url + "/" + project + "/_apis/" + rest }

// moment is a time as the service writes it; nil for one that has not come.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// lower makes the first letter small: "IndividualCI" is individualCI.
func lower(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// state is the status of anything in words of a timeline.
func state(s plan.Status) string {
	switch s {
	case plan.Completed:
		return "completed"
	case plan.Running:
		return "inProgress"
	}
	return "pending"
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "?") }
