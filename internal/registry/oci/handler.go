package oci

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
)

// Authenticator says who a request's credentials belong to; identity.Service is one.
type Authenticator interface {
	// Authenticate returns nobody for no credentials and a fault of kind Unauthentic for
	// wrong ones.
	Authenticate(ctx context.Context, c identity.Credentials) (identity.Actor, error)
}

// Sealer makes registry tokens that nobody else can make or read; vault.Vault is one.
type Sealer interface {
	// Seal encrypts and authenticates plain for a purpose.
	Seal(purpose string, plain []byte) (string, error)
	// Unseal undoes Seal for the same purpose only.
	Unseal(purpose, sealed string) ([]byte, error)
}

// Handler serves /v2/. It is made by NewHandler.
type Handler struct {
	registry *registry.Service
	auth     Authenticator
	tokens   tokens
	log      *slog.Logger
}

// NewHandler returns the front of r. Mount it at "/v2/" (and "/v2"). log takes the
// causes of answers with a status of 500 and above.
func NewHandler(r *registry.Service, auth Authenticator, seal Sealer, c clock.Clock, log *slog.Logger) *Handler {
	return &Handler{registry: r, auth: auth, tokens: tokens{seal: seal, clock: c}, log: log}
}

// request is one request on its way: where it goes and who asks.
type request struct {
	*Handler
	w     http.ResponseWriter
	r     *http.Request
	actor identity.Actor
	grant *grant // what a registry token allows; nil for other credentials
	name  string // repository
	ref   string // tag, digest or upload id
}

func (q *request) ctx() context.Context { return q.r.Context() }

// route is what a path is about.
type route int

const (
	routeNone route = iota
	routePing
	routeToken
	routeCatalog
	routeTags
	routeManifest
	routeBlob
	routeStart
	routeUpload
	routeReferrers
)

// split takes a path apart, from its end, since a repository's name may hold any of the
// words that follow it.
func split(path string) (to route, name, ref string) {
	rest, ok := strings.CutPrefix(path, "/v2")
	switch {
	case !ok:
		return routeNone, "", ""
	case rest == "" || rest == "/":
		return routePing, "", ""
	case rest == "/token":
		return routeToken, "", ""
	case rest == "/_catalog":
		return routeCatalog, "", ""
	case !strings.HasPrefix(rest, "/"):
		return routeNone, "", ""
	}
	rest = rest[1:]
	if n, ok := strings.CutSuffix(rest, "/tags/list"); ok {
		return routeTags, n, ""
	}
	if n, ok := strings.CutSuffix(strings.TrimSuffix(rest, "/"), "/blobs/uploads"); ok {
		return routeStart, n, ""
	}
	dir, ref, ok := cutLast(rest)
	if !ok || ref == "" {
		return routeNone, "", ""
	}
	for _, c := range []struct {
		suffix string
		to     route
	}{{"/manifests", routeManifest}, {"/blobs/uploads", routeUpload}, {"/blobs", routeBlob}, {"/referrers", routeReferrers}} {
		if n, ok := strings.CutSuffix(dir, c.suffix); ok {
			return c.to, n, ref
		}
	}
	return routeNone, "", ""
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	to, name, ref := split(r.URL.Path)
	q := &request{Handler: h, w: w, r: r, name: name, ref: ref}
	if to == routeToken {
		q.token()
		return
	}
	if err := q.authenticate(); err != nil {
		q.fail(err)
		return
	}
	if to != routeNone && to != routePing && to != routeCatalog && !registry.ValidName(name) {
		q.fail(wrong(registry.CodeNameInvalid, "The repository name %.80q is not valid.", name))
		return
	}
	serve, actions := q.method(to)
	if serve == nil {
		return
	}
	if !q.allows(actions) {
		if err := q.refused(actions); err != nil {
			q.fail(err)
			return
		}
		q.challenge(actions, true)
		return
	}
	serve()
}

// method picks the function for a route and method, and the actions that a registry
// token must hold for it. It answers itself, and returns nil, when there is none.
func (q *request) method(to route) (serve func(), actions string) {
	type key struct {
		to     route
		method string
	}
	m := q.r.Method
	if m == http.MethodHead && to != routeUpload {
		m = http.MethodGet // net/http drops the body of an answer to HEAD
	}
	switch (key{to, m}) {
	case key{routePing, http.MethodGet}:
		return q.ping, ""
	case key{routeCatalog, http.MethodGet}:
		return q.catalog, "*"
	case key{routeTags, http.MethodGet}:
		return q.tags, "pull"
	case key{routeReferrers, http.MethodGet}:
		return q.referrers, "pull"
	case key{routeManifest, http.MethodGet}:
		return q.getManifest, "pull"
	case key{routeManifest, http.MethodPut}:
		return q.putManifest, "pull,push"
	case key{routeManifest, http.MethodDelete}:
		return q.deleteManifest, "delete"
	case key{routeBlob, http.MethodGet}:
		return q.getBlob, "pull"
	case key{routeBlob, http.MethodDelete}:
		return q.deleteBlob, "delete"
	case key{routeStart, http.MethodPost}:
		return q.startUpload, "pull,push"
	case key{routeUpload, http.MethodGet}:
		return q.uploadStatus, "pull,push"
	case key{routeUpload, http.MethodPatch}:
		return q.patchUpload, "pull,push"
	case key{routeUpload, http.MethodPut}:
		return q.finishUpload, "pull,push"
	case key{routeUpload, http.MethodDelete}:
		return q.cancelUpload, "pull,push"
	}
	if to == routeNone {
		q.write(http.StatusNotFound, registry.CodeNameUnknown, "There is nothing at this path of the registry.")
		return nil, ""
	}
	q.write(http.StatusMethodNotAllowed, registry.CodeUnsupported, "The registry does not support this method here.")
	return nil, ""
}

func (q *request) ping() {
	q.json(http.StatusOK, "application/json", struct{}{})
}
