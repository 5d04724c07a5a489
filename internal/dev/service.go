package dev

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Parts are what a Service needs, all of them.
type Parts struct {
	DB           *store.DB
	Log          *event.Log
	Auth         Authoriser
	Clock        clock.Clock
	Environments Environments
	Routes       Routes
	Previews     Previews
	Pods         Pods
	Logger       *slog.Logger
}

// Service keeps sessions. It is safe for concurrent use.
type Service struct {
	Parts
	tunnels *tunnels
}

// New returns a Service.
func New(p Parts) *Service {
	return &Service{Parts: p, tunnels: newTunnels()}
}

var serviceName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Start opens a session for the actor, a user who may write in the project. It returns when
// the session's pod runs and the routers know the key. A session that the actor has on the
// same service is replaced.
func (s *Service) Start(ctx context.Context, a identity.Actor, r Request) (Opened, error) {
	place, err := s.permit(ctx, a, r.Project, r.Environment)
	if err != nil {
		return Opened{}, err
	}
	if err := r.check(); err != nil {
		return Opened{}, err
	}
	secrets := s.Auth.Require(ctx, a, r.Project, identity.Maintain) == nil
	target, err := s.Pods.Target(ctx, place.Namespace, r.Service, secrets)
	if err != nil {
		return Opened{}, err
	}
	if err := s.Routes.Ensure(ctx, a, r.Project, r.Environment, r.Service); err != nil {
		return Opened{}, err
	}
	if err := s.replace(ctx, a, r); err != nil {
		return Opened{}, err
	}
	v := s.draft(a, r, place, target)
	if err := s.reserve(ctx, v); err != nil {
		return Opened{}, err
	}
	token := rand.Text()
	env, err := s.bringUp(ctx, a, &v, token, target.Env)
	if err != nil {
		// The caller may be gone; what was begun is taken back all the same.
		s.end(context.WithoutCancel(ctx), identity.SystemActor("dev"), v, Broken)
		return Opened{}, err
	}
	o := Opened{Session: v, Token: token, Env: env, LeftOut: target.LeftOut, Services: target.Services, Domain: target.Domain, URLs: place.URLs}
	if len(place.URLs) > 0 {
		if o.Preview, err = s.Previews.Sign(ctx, place.URLs[0], v.ID, v.Key, v.Until); err != nil {
			s.end(context.WithoutCancel(ctx), identity.SystemActor("dev"), v, Broken)
			return Opened{}, fmt.Errorf("signing the preview of session %s: %w", v.ID, err)
		}
	}
	return o, nil
}

// permit answers whether the actor may have a session in an environment.
func (s *Service) permit(ctx context.Context, a identity.Actor, project, environment string) (Place, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Write); err != nil {
		return Place{}, err
	}
	if a.Kind != identity.KindUser {
		return Place{}, fault.New(fault.Denied, "A session belongs to a person, and %s is none.", a).WithNext("use a personal token")
	}
	p, err := s.Environments.Place(ctx, project, environment)
	switch {
	case err != nil:
		return Place{}, err
	case p.Production:
		return Place{}, fault.New(fault.Denied, "Environment %s of %s is production: no request there may reach a developer's program.", environment, project).
			WithNext("start the session in another environment; `towpath env list --project %s` shows them", project)
	case !p.Sessions:
		return Place{}, fault.New(fault.Denied, "Sessions are forbidden in environment %s of %s.", environment, project).
			WithNext("choose another environment, or ask a maintainer of %s to allow sessions in this one", project)
	}
	return p, nil
}

func (r Request) check() error {
	switch {
	case !serviceName.MatchString(r.Service):
		return fault.New(fault.Invalid, "%q is no name of a service.", r.Service).WithNext("give the name of the Kubernetes Service, e.g. cart")
	case r.Mode != Run && r.Mode != Sync && r.Mode != Attach:
		return fault.New(fault.Invalid, "There is no mode %q.", r.Mode).WithNext("use run, sync or attach")
	case r.TTL < 0 || r.TTL > MaxAge:
		return fault.New(fault.Invalid, "A session lasts at most %s.", MaxAge).WithNext("choose a shorter one; it can be started again")
	}
	return nil
}

func (s *Service) draft(a identity.Actor, r Request, p Place, t Target) Session {
	now := s.Clock.Now().UTC().Truncate(time.Millisecond)
	if r.TTL == 0 {
		r.TTL = MaxAge
	}
	v := Session{
		ID: s.Clock.NewID(), Project: r.Project, Environment: r.Environment, Namespace: p.Namespace, Service: r.Service, Workload: t.Workload,
		User: a.Name, Key: newKey(a.Name), Mode: r.Mode, Fallback: r.Fallback, Ports: t.Ports, State: Starting, Started: now, Until: now.Add(r.TTL),
		owner: a.String(),
	}
	v.Expires = earlier(now.Add(Lease), v.Until)
	for _, e := range t.Env {
		if e.Secret {
			v.Secrets = append(v.Secrets, e.Name)
		}
	}
	return v
}

var notInKey = regexp.MustCompile(`[^a-z0-9]+`)

// newKey makes a key: the user's name, for people who read it, and what cannot be guessed.
// It is a DNS label, because it may stand before a host name.
func newKey(user string) string {
	name := strings.Trim(notInKey.ReplaceAllString(strings.ToLower(user), "-"), "-")
	if name == "" {
		name = "dev"
	}
	return name[:min(len(name), 40)] + "-" + strings.ToLower(rand.Text()[:6])
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// bringUp makes the session's pod and tells the routers of it. It returns the environment
// with what the pod alone knows.
func (s *Service) bringUp(ctx context.Context, a identity.Actor, v *Session, token string, env []Value) ([]Value, error) {
	host, err := s.Pods.Create(ctx, *v, token)
	if err != nil {
		return nil, err
	}
	if marked(env) {
		fields, err := s.Pods.Fields(ctx, *v)
		if err != nil {
			return nil, err
		}
		env = fill(env, fields)
	}
	// The pod may have taken its time: the lease begins now.
	now := s.Clock.Now().UTC().Truncate(time.Millisecond)
	v.host, v.State, v.Expires = host, Live, earlier(now.Add(Lease), v.Until)
	v.routed = v.Expires
	if err := s.goLive(ctx, a, *v); err != nil {
		return nil, err
	}
	if err := s.Routes.SetSession(ctx, v.Project, v.Environment, v.route()); err != nil {
		return nil, fmt.Errorf("routing session %s: %w", v.ID, err)
	}
	return env, nil
}

func (v Session) route() Route {
	return Route{ID: v.ID, Key: v.Key, User: v.User, Service: v.Service, Host: v.host, Expires: v.Expires, Fallback: v.Fallback}
}

// Renew puts the end of the lease off. fault.Conflict says that the session is over.
func (s *Service) Renew(ctx context.Context, a identity.Actor, id string) (Session, error) {
	v, err := s.own(ctx, a, id)
	if err != nil {
		return Session{}, err
	}
	now := s.Clock.Now().UTC().Truncate(time.Millisecond)
	if err := v.open(now); err != nil {
		return Session{}, err
	}
	// What was allowed at the start may be forbidden since.
	if _, err := s.permit(ctx, a, v.Project, v.Environment); err != nil {
		if fault.Is(err, fault.Denied) {
			s.end(ctx, a, v, Stopped)
		}
		return Session{}, err
	}
	v.Expires = earlier(now.Add(Lease), v.Until)
	// The routers are told each other time: one write of the table for 20 s of lease.
	tell := v.routed.Sub(now) < Lease-RenewEvery-RenewEvery/2 && v.routed.Before(v.Until)
	if ok, err := s.extend(ctx, v, now); err != nil || !ok {
		if err == nil {
			err = v.over()
		}
		return Session{}, err
	}
	if tell {
		// A cluster that is starting cannot be told; the next renewal tries again.
		if err := s.tell(ctx, &v); err != nil {
			return Session{}, err
		}
	}
	return v, nil
}

// tell has the routers know a session as it is now, and notes until when they do.
func (s *Service) tell(ctx context.Context, v *Session) error {
	if err := s.Routes.SetSession(ctx, v.Project, v.Environment, v.route()); err != nil {
		return fmt.Errorf("routing session %s: %w", v.ID, err)
	}
	v.routed = v.Expires
	return s.noteRouted(ctx, *v)
}

// open returns fault.Conflict when the session is over at a moment.
func (v Session) open(now time.Time) error {
	if v.State != Live || !now.Before(v.Expires) {
		return v.over()
	}
	return nil
}

func (v Session) over() error {
	why := map[string]string{"": "its lease ended", Expired: "its lease was not renewed in time", Aged: "it reached its longest age", Stopped: "it was stopped",
		Replaced: "another one took its place", Broken: "it could not be brought up"}[v.Why]
	return fault.New(fault.Conflict, "Session %s on %s is over: %s.", v.ID, v.Service, why).WithNext("start it again: towpath dev %s …", v.Service)
}

// own returns a session of the actor: fault.NotFound when there is none that he may know
// of, fault.Denied when it is somebody else's.
func (s *Service) own(ctx context.Context, a identity.Actor, id string) (Session, error) {
	v, err := s.known(ctx, a, id, identity.Write)
	if err != nil {
		return Session{}, err
	}
	if v.owner != a.String() {
		return Session{}, fault.New(fault.Denied, "Session %s belongs to %s.", id, v.User).WithNext("start one of your own: towpath dev %s …", v.Service)
	}
	return v, nil
}

// known returns a session of a project in which the actor has a role.
func (s *Service) known(ctx context.Context, a identity.Actor, id string, r identity.Role) (Session, error) {
	v, err := s.find(ctx, id)
	if err != nil {
		return Session{}, err
	}
	if err := s.Auth.Require(ctx, a, v.Project, r); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = unknown(id)
		}
		return Session{}, err
	}
	return v, nil
}

func unknown(id string) error {
	return fault.New(fault.NotFound, "There is no session %s.", id).WithNext("list them with `towpath dev list`")
}

// Stop ends a session: one's own, or any with the role maintain. One that is over is no
// error.
func (s *Service) Stop(ctx context.Context, a identity.Actor, id string) error {
	v, err := s.known(ctx, a, id, identity.Write)
	if err != nil {
		return err
	}
	if v.owner != a.String() {
		if err := s.Auth.Require(ctx, a, v.Project, identity.Maintain); err != nil {
			return fault.Wrap(fault.Denied, err, "Session %s belongs to %s.", id, v.User).WithNext("ask them, or a maintainer of %s, to stop it", v.Project)
		}
	}
	if v.State == Ended {
		return nil
	}
	s.end(ctx, a, v, Stopped)
	return nil
}

// Get returns a session of a project that the actor may read.
func (s *Service) Get(ctx context.Context, a identity.Actor, id string) (Session, error) {
	v, err := s.known(ctx, a, id, identity.Read)
	return v.seenBy(a), err
}

// seenBy is a session without what only its owner may know.
func (v Session) seenBy(a identity.Actor) Session {
	if v.owner != a.String() {
		v.Key = ""
	}
	return v
}

// List returns the sessions of a project, newest first: those that are open, and with all
// also those that are over, at most 200.
func (s *Service) List(ctx context.Context, a identity.Actor, project, environment string, all bool) ([]Session, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	got, err := s.list(ctx, project, environment, all, s.Clock.Now())
	for i := range got {
		got[i] = got[i].seenBy(a)
	}
	return got, err
}

// Share returns an address that enters the environment with the session's key, for whoever
// has it, until the session or ttl is over (0: as long as the session may last).
func (s *Service) Share(ctx context.Context, a identity.Actor, id string, ttl time.Duration) (Preview, error) {
	v, err := s.own(ctx, a, id)
	if err != nil {
		return Preview{}, err
	}
	now := s.Clock.Now()
	if err := v.open(now); err != nil {
		return Preview{}, err
	}
	place, err := s.permit(ctx, a, v.Project, v.Environment)
	if err != nil {
		return Preview{}, err
	}
	if len(place.URLs) == 0 {
		return Preview{}, fault.New(fault.Conflict, "Environment %s has no address that a browser could open: no Ingress of its release names a host.", v.Environment).
			WithNext("add an Ingress to the chart, or send the key yourself: curl -H 'baggage: route-as=KEY' …")
	}
	p := Preview{Expires: v.Until}
	if ttl > 0 {
		p.Expires = earlier(now.Add(ttl), v.Until)
	}
	if p.URL, err = s.Previews.Sign(ctx, place.URLs[0], v.ID, v.Key, p.Expires); err != nil {
		return Preview{}, fmt.Errorf("signing a preview of session %s: %w", id, err)
	}
	return p, s.shared(ctx, a, v, p.Expires)
}

// ownKey reports whether a key has the form that newKey gives those of a user.
func ownKey(user, key string) bool {
	want := newKey(user)
	n := len(want) - 6
	return len(key) == len(want) && key[:n] == want[:n]
}
