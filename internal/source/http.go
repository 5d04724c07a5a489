package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Authenticate finds out who makes a request. No credentials are nobody and nil; wrong
// or expired ones are fault.Unauthentic.
type Authenticate func(*http.Request) (identity.Actor, error)

// Handler serves Git's smart HTTP protocol for every path that Handles accepts.
func (s *Service) Handler(authenticate Authenticate) http.Handler {
	return &front{service: s, authenticate: authenticate}
}

// front is the HTTP side of a Service.
type front struct {
	service      *Service
	authenticate Authenticate
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Nothing of this may be kept by a cache on the way.
	w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
	a, ok := ParsePath(r.URL.Path)
	if !ok || r.URL.RawPath != "" {
		f.refuse(w, r, fault.New(fault.NotFound, "This is not the address of a repository.").
			WithNext("use /project/repo.git: lower-case letters, digits and -, in the repository also . and _"))
		return
	}
	if a.Action == "info/refs" {
		f.advertise(w, r, a)
		return
	}
	f.exchange(w, r, a)
}

// advertise answers GET …/info/refs?service=…, with which every conversation begins.
func (f *front) advertise(w http.ResponseWriter, r *http.Request, a Address) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		text(w, http.StatusMethodNotAllowed, "info/refs is read with GET.")
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	asked := query["service"]
	switch {
	case err != nil || len(asked) > 1:
		text(w, http.StatusBadRequest, "The query of this request is malformed.")
		return
	case len(asked) == 0:
		text(w, http.StatusForbidden, "Towpath speaks Git's smart HTTP protocol only, and this client asked for the dumb one. Use git 1.6.6 or newer.")
		return
	case asked[0] != uploadPack && asked[0] != receivePack:
		text(w, http.StatusForbidden, "Towpath does not serve "+clip(asked[0])+".")
		return
	}
	q, err := f.admit(r, a, asked[0], false)
	if err != nil {
		f.refuse(w, r, err)
		return
	}
	body, err := f.service.advertisement(r.Context(), q)
	if err != nil {
		f.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-"+q.service+"-advertisement")
	_, _ = w.Write(body) // The client is gone; there is nobody to tell.
}

// exchange answers POST …/git-upload-pack and …/git-receive-pack.
func (f *front) exchange(w http.ResponseWriter, r *http.Request, a Address) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		text(w, http.StatusMethodNotAllowed, a.Action+" is called with POST.")
		return
	}
	// The right is asked for what the path names. A query that names another service
	// is an attempt to have it otherwise.
	if r.URL.RawQuery != "" {
		text(w, http.StatusForbidden, "A "+a.Action+" request has no query.")
		return
	}
	// Before anything is done: a page of another site can make a browser post with the
	// user's session, but not with this content type.
	if got, want := r.Header.Get("Content-Type"), "application/x-"+a.Action+"-request"; got != want {
		text(w, http.StatusUnsupportedMediaType, "The content type of this request must be "+want+".")
		return
	}
	q, err := f.admit(r, a, a.Action, true)
	if err != nil {
		f.refuse(w, r, err)
		return
	}
	body, err := decoded(r)
	if err != nil {
		f.refuse(w, r, err)
		return
	}
	t := newTransfer(w, r, body, "application/x-"+a.Action+"-result")
	if a.Action == receivePack {
		err = f.service.receive(r.Context(), q, t)
	} else {
		err = f.service.upload(r.Context(), q, t)
	}
	if err != nil && r.Context().Err() == nil {
		f.service.opts.Logger.Warn("a Git transfer ended early", "repo", a.Project+"/"+a.Repo, "service", a.Action, "actor", q.actor.String(), "error", err)
	}
	if err != nil && !t.started {
		f.refuse(w, r, err)
	}
}

// decoded returns the body without its compression; git compresses requests with many
// lines.
func decoded(r *http.Request) (io.Reader, error) {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return r.Body, nil
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "The body of this request is not gzip as its header says.")
		}
		return z, nil
	default:
		return nil, fault.New(fault.Invalid, "The content encoding %s is not known.", clip(encoding)).WithNext("send gzip or none")
	}
}

// admit authenticates and authorises a request. change says that a push may make the
// repository now.
func (f *front) admit(r *http.Request, a Address, service string, change bool) (request, error) {
	actor, err := f.authenticate(r)
	if err != nil {
		return request{}, err
	}
	return f.service.admit(r.Context(), request{service: service, actor: actor, door: DoorHTTP, protocol: r.Header.Get("Git-Protocol")}, a, change)
}

func unauthentic() error {
	return fault.New(fault.Unauthentic, "Sign in to use this repository.").
		WithNext("use your user name and a token as password; towpath login sets that up")
}

// refuse answers with the words of a fault. git shows them when they are text/plain.
func (f *front) refuse(w http.ResponseWriter, r *http.Request, err error) {
	kind := fault.KindOf(err)
	if kind == fault.Internal && r.Context().Err() == nil {
		f.service.opts.Logger.Error("a Git request failed", "path", r.URL.Path, "error", err)
	}
	if kind == fault.Unauthentic {
		w.Header().Set("WWW-Authenticate", `Basic realm="Towpath", charset="UTF-8"`)
	}
	message, next := fault.Public(err)
	if next != "" {
		message += "\nNext: " + next
	}
	text(w, kind.Status(), message)
}

func text(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, message+"\n") // The client is gone; there is nobody to tell.
}

// maxAdvertisement bounds the list of refs in protocol version 0.
const maxAdvertisement = 64 << 20

// advertisement returns the body of info/refs. In version 2 upload-pack says only what
// it can do, which is the same for every repository, so it is asked once.
func (s *Service) advertisement(ctx context.Context, q request) ([]byte, error) {
	if q.service == uploadPack && q.protocol == "version=2" {
		s.advertised.Lock()
		defer s.advertised.Unlock()
		if s.capability == nil {
			q.dir = s.blank
			body, err := s.ask(ctx, q)
			if err != nil {
				return nil, err
			}
			s.capability = body
		}
		return s.capability, nil
	}
	body, err := s.ask(ctx, q)
	if err != nil || strings.HasPrefix(q.protocol, "version=2") {
		return body, err
	}
	line := "# service=" + q.service + "\n"
	return append(fmt.Appendf(nil, "%04x%s0000", len(line)+4, line), body...), nil
}

func (s *Service) ask(ctx context.Context, q request) ([]byte, error) {
	var env []string
	if q.protocol != "" {
		env = append(env, "GIT_PROTOCOL="+q.protocol)
	}
	command := strings.TrimPrefix(q.service, "git-")
	out, err := s.git.RunEnv(ctx, q.dir, env, bytes.NewReader(nil), maxAdvertisement, command, "--stateless-rpc", "--http-backend-info-refs", ".")
	if err != nil {
		return nil, fmt.Errorf("advertising %s: %w", q.repo.FullName(), err)
	}
	return out, nil
}

// slot waits for the right to run one more transfer.
func (s *Service) slot(ctx context.Context) (release func(), err error) {
	select {
	case s.transfers <- struct{}{}:
		return func() { <-s.transfers }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// upload serves a clone or fetch. It ends with the request.
func (s *Service) upload(ctx context.Context, q request, t *transfer) error {
	release, err := s.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, maxTransfer)
	defer cancel()
	t.limit = maxWants
	cmd := s.git.Command(ctx, q.dir, "upload-pack", "--stateless-rpc", "--strict", ".")
	if q.protocol != "" {
		cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+q.protocol)
	}
	t.abandon = cancel
	return t.run(cmd)
}

// receive serves a push. Once its objects are in, it goes on to its end even when the
// client leaves, so that what moved is always settled.
func (s *Service) receive(ctx context.Context, q request, t *transfer) error {
	release, err := s.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	p, env, done, err := s.begin(q)
	if err != nil {
		return err
	}
	defer done()
	defer s.finish(p)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxTransfer)
	defer cancel()
	// The pack and the commands before it; git itself counts the pack more exactly.
	t.limit = s.opts.MaxPush + maxWants
	cmd := s.git.Command(ctx, q.dir, "receive-pack", "--stateless-rpc", ".")
	cmd.Env = append(cmd.Env, env...)
	if q.protocol != "" {
		cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+q.protocol)
	}
	if err := t.run(cmd); err != nil && !errors.Is(err, errClientLeft) {
		return err
	}
	return nil
}
