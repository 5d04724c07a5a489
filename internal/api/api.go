package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"path"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
)

// Prefix is the path below which every operation lies.
const Prefix = "/api/v1"

// Authenticate says who makes a request; nobody is no error.
type Authenticate func(*http.Request) (identity.Actor, error)

// server is the API while it is put together.
type server struct {
	Services
	api huma.API
	log *slog.Logger
}

// New returns the handler of the API. version is the program's.
func New(s Services, authenticate Authenticate, version string, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	cfg := huma.DefaultConfig("Towpath", version)
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "/api/openapi", "", "/api/schemas"
	cfg.CreateHooks = nil // No "$schema" member in every answer.
	cfg.Info.Description = "Everything that the pages and the command line do. Sign in with a personal token as bearer or as Basic password."
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer"},
		"basic": {Type: "http", Scheme: "basic"},
	}
	cfg.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	cfg.Security = []map[string][]string{{"token": {}}, {"basic": {}}}
	a := &server{Services: s, api: humago.New(mux, cfg), log: log}
	a.routes()
	mux.HandleFunc("GET "+Prefix+"/events", a.events)
	mux.HandleFunc("GET "+Prefix+"/monitor/live", a.live)
	mux.HandleFunc("GET "+Prefix+"/monitor/tail", a.tail)
	mux.HandleFunc("GET "+Prefix+"/dev/sessions/{id}/tunnel", a.tunnel)
	mux.HandleFunc("GET "+Prefix+"/runs/{run}/terminal", a.terminal)
	mux.HandleFunc("POST "+Prefix+pipeline.HookPath("{project}", "{connection}"), a.webhook)
	mux.HandleFunc(Prefix+"/", func(w http.ResponseWriter, r *http.Request) {
		a.problem(w, r, fault.New(fault.NotFound, "There is no %s %s in the API.", r.Method, r.URL.Path).WithNext("see /api/openapi.json"))
	})
	return a.identify(authenticate, mux)
}

// schemaName names a type in the document: with its package, unless it is one of ours,
// because two domains may have an Image each.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	pkg := path.Base(t.PkgPath())
	if t.Name() == "" || pkg == "api" || pkg == "." || strings.Contains(t.Name(), "[") {
		return name
	}
	return strings.ToUpper(pkg[:1]) + pkg[1:] + name
}

// routes registers every operation, domain by domain.
func (a *server) routes() {
	a.identityRoutes()
	a.sourceRoutes()
	a.pipelineRoutes()
	a.gateRoutes()
	a.libraryRoutes()
	a.registryRoutes()
	a.deployRoutes()
	a.targetRoutes()
	a.poolRoutes()
	a.canaryRoutes()
	a.evidenceRoutes()
	a.pullRoutes()
	a.ruleRoutes()
	a.keyRoutes()
	a.policyRoutes()
	a.monitorRoutes()
	a.devRoutes()
	a.workRoutes()
	a.signalRoutes()
	a.platformRoutes()
}

type actorKey struct{}

// identify authenticates before routing, so that a wrong token is told as such on
// every path. The actor travels in the request's context because Huma's handlers see
// nothing else of the request.
func (a *server) identify(authenticate Authenticate, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, err := authenticate(r)
		if err != nil {
			a.problem(w, r, err)
			return
		}
		if crossSite(r) {
			a.problem(w, r, fault.New(fault.Denied, "This request came from another site."))
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey{}, actor)))
	})
}

// crossSite reports a request that changes something, bears the session cookie and was
// started by another site (Fetch Metadata, W3C).
func crossSite(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Header.Get("Authorization") != "" {
		return false
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}

func actor(ctx context.Context) identity.Actor {
	a, _ := ctx.Value(actorKey{}).(identity.Actor)
	return a
}

// Problem is an error as it stands in an answer (application/problem+json, RFC 9457).
type Problem struct {
	Title  string     `json:"title" doc:"the kind of error" example:"not_found"`
	Status int        `json:"status"`
	Detail string     `json:"detail" doc:"what happened and why"`
	Next   string     `json:"next,omitempty" doc:"the next step"`
	ID     string     `json:"id" doc:"finds the error in the server's log"`
	Fields []Mismatch `json:"fields,omitempty" doc:"which parts of the input are wrong"`

	after string // of the header Retry-After, "" for none
}

// Mismatch is one wrong part of an input.
type Mismatch struct {
	Where string `json:"where"`
	Why   string `json:"why"`
}

// Error returns what happened and the next step.
func (p *Problem) Error() string {
	if p.Next == "" {
		return p.Detail
	}
	return p.Detail + " (" + p.Next + ")"
}

// GetHeaders returns the headers that belong to the error: Retry-After where a pause mends it.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.after != "" {
		h.Set("Retry-After", p.after)
	}
	return h
}

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the problem media type for JSON.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func errorID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // Never fails (crypto/rand).
	return hex.EncodeToString(b[:])
}

// explain turns an error into a problem and writes the whole of it to the log.
func (a *server) explain(ctx context.Context, what string, err error) *Problem {
	message, next := fault.Public(err)
	kind := fault.KindOf(err)
	p := &Problem{Title: string(kind), Status: kind.Status(), Detail: message, Next: next, ID: errorID()}
	if after, again := fault.RetryAfter(err); again {
		p.after = fault.Seconds(after)
	}
	level := slog.LevelInfo
	if kind == fault.Internal {
		level = slog.LevelError
	}
	a.log.Log(ctx, level, "request refused", "error_id", p.ID, "what", what, "actor", actor(ctx).String(), "error", err)
	return p
}

func (a *server) problem(w http.ResponseWriter, r *http.Request, err error) {
	p := a.explain(r.Context(), r.Method+" "+r.URL.Path, err)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="towpath"`)
	}
	maps.Copy(w.Header(), p.GetHeaders())
	writeJSON(w, p.Status, p.ContentType(""), p)
}

// op registers one operation. The id is "noun-verb", as on the command line.
func op[I, O any](a *server, method, path, id, summary string, handle func(context.Context, *I) (*O, error)) {
	register(a, operation(method, path, id, summary), handle)
}

// sized is op for a body of at most limit bytes, which is held in memory: only who
// maintains the project of the path, or an administrator where there is none, may send it,
// and that is asked before it is read.
func sized[I, O any](a *server, limit int64, method, path, id, summary string, handle func(context.Context, *I) (*O, error)) {
	o := operation(method, path, id, summary)
	o.MaxBodyBytes = limit
	o.Middlewares = huma.Middlewares{func(h huma.Context, next func(huma.Context)) {
		who := actor(h.Context())
		err := a.Identity.RequireAdmin(h.Context(), who)
		if project := h.Param("project"); project != "" {
			err = a.Identity.Require(h.Context(), who, project, identity.Maintain)
		}
		if err == nil {
			next(h)
			return
		}
		p := a.explain(h.Context(), id, err)
		h.SetHeader("Content-Type", p.ContentType(""))
		h.SetStatus(p.Status)
		_ = json.NewEncoder(h.BodyWriter()).Encode(p) // The client is gone when this fails.
	}}
	register(a, o, handle)
}

// foreign is op for a body in somebody else's format, which the service reads strictly.
func foreign[I, O any](a *server, method, path, id, summary string, handle func(context.Context, *I) (*O, error)) {
	o := operation(method, path, id, summary)
	o.SkipValidateBody = true
	register(a, o, handle)
}

func operation(method, path, id, summary string) huma.Operation {
	o := huma.Operation{
		OperationID: id, Method: method, Path: Prefix + path, Summary: summary, Tags: []string{strings.SplitN(id, "-", 2)[0]},
		MaxBodyBytes: 1 << 20, Errors: []int{400, 401, 403, 404, 409, 500, 503},
	}
	if method == http.MethodPost {
		o.DefaultStatus = http.StatusOK
	}
	return o
}

func register[I, O any](a *server, o huma.Operation, handle func(context.Context, *I) (*O, error)) {
	id := o.OperationID
	huma.Register(a.api, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.explain(ctx, id, err)
		}
		return out, nil
	})
}

// Body wraps a JSON answer.
type Body[T any] struct{ Body T }

func body[T any](v T, err error) (*Body[T], error) {
	if err != nil {
		return nil, err
	}
	return &Body[T]{v}, nil
}

// Empty is an input or an answer with nothing in it.
type Empty struct{}

// In names the project that an operation is about.
type In struct {
	Project string `path:"project" doc:"name of the project" example:"shop" maxLength:"63"`
}

// InRepo names a repository.
type InRepo struct {
	In
	Repo string `path:"repo" doc:"name of the repository in the project" example:"shop" maxLength:"100"`
}

func (r InRepo) full() string { return r.Project + "/" + r.Repo }
