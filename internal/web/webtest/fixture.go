package webtest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/source/ruleset"
)

// Now is the time of the fixture.
var Now = time.Date(2026, 11, 23, 14, 2, 0, 0, time.UTC)

// Password is everybody's.
const Password = "correct horse"

// Fixture is the installation. Its fields may be changed before the first request, under
// Lock after it.
type Fixture struct {
	sync.Mutex
	Projects []identity.Project
	Roles    map[string]identity.Role // of users in shop
	Granted  []identity.Member
	Tokens   []identity.Token
	Events   []event.Event
	wake     chan struct{}
	Sessions map[string]string  // session → user
	Canceled []int64            // runs that somebody cancelled
	Empty    bool               // the project has nothing in it
	Tidy     bool               // nothing is in it that only tries the pages' escaping
	Pushed   []string           // titles of changes that came later, oldest first
	Changes  []evidence.Row     // of the Path in place of the fixture's
	Broken   error              // what every question about the Path is answered with
	Said     []string           // what forms asked for, in words, oldest first
	Rulesets []ruleset.Ruleset  // that were put
	Added    []check.Definition // checks that forms added
	Started  []pipeline.Request // runs that forms started
}

// New returns a fixture.
func New() *Fixture {
	return &Fixture{
		Projects: []identity.Project{{Name: "shop", Created: Now.Add(-90 * 24 * time.Hour)}, {Name: "billing", Created: Now.Add(-20 * 24 * time.Hour)}},
		Roles:    map[string]identity.Role{"ada": identity.Admin, "bob": identity.Read},
		Granted:  []identity.Member{{User: "ada", Role: identity.Admin, Word: "admin"}, {User: "bob", Role: identity.Read, Word: "read"}},
		Tokens:   []identity.Token{{ID: "01T", User: "ada", Name: "laptop", Scope: "write", Created: Now.Add(-72 * time.Hour), Expires: Now.Add(27 * 24 * time.Hour)}},
		wake:     make(chan struct{}), Sessions: map[string]string{},
		Events: []event.Event{{Seq: 1, Type: event.TypeProjectCreated, Project: "shop", Time: Now}},
	}
}

// Append adds an event to the logbook and wakes who follows it.
func (f *Fixture) Append(e event.Event) {
	f.Lock()
	defer f.Unlock()
	e.Seq = int64(len(f.Events)) + 1
	f.Events = append(f.Events, e)
	close(f.wake)
	f.wake = make(chan struct{})
}

// Push adds a change on top of the Path.
func (f *Fixture) Push(title string) {
	f.Lock()
	defer f.Unlock()
	f.Pushed = append(f.Pushed, title)
}

// Session signs a user in and returns the cookie's value.
func (f *Fixture) Session(user string) string {
	f.Lock()
	defer f.Unlock()
	s := fmt.Sprintf("session-of-%s-%d", user, len(f.Sessions))
	f.Sessions[s] = user
	return s
}

// Authenticate knows sessions only.
func (f *Fixture) Authenticate(_ context.Context, c identity.Credentials) (identity.Actor, error) {
	f.Lock()
	defer f.Unlock()
	if c.Session == "" {
		return identity.Actor{}, nil
	}
	user, ok := f.Sessions[c.Session]
	if !ok {
		return identity.Actor{}, fault.New(fault.Unauthentic, "The session has ended.")
	}
	return identity.Actor{Kind: identity.KindUser, Name: user, Admin: user == "ada", Cap: identity.Admin}, nil
}

// Login takes Password for ada, bob and eve.
func (f *Fixture) Login(_ context.Context, user, password, _ string) (string, error) {
	if password != Password || !strings.Contains(" ada bob eve ", " "+user+" ") {
		return "", fault.New(fault.Unauthentic, "User name or password is wrong.").WithNext("check both and try again")
	}
	return f.Session(user), nil
}

// Logout ends a session.
func (f *Fixture) Logout(_ context.Context, session string) error {
	f.Lock()
	defer f.Unlock()
	delete(f.Sessions, session)
	return nil
}

// SessionCookie is as the real one, over http.
func (f *Fixture) SessionCookie(session string) *http.Cookie {
	c := &http.Cookie{Name: identity.CookieName, Value: session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: 3600}
	if session == "" {
		c.MaxAge = -1
	}
	return c
}

// Require knows the roles in shop.
func (f *Fixture) Require(_ context.Context, a identity.Actor, project string, r identity.Role) error {
	f.Lock()
	defer f.Unlock()
	has := f.Roles[a.Name]
	switch {
	case !a.Known():
		return fault.New(fault.Unauthentic, "You are not signed in.")
	case project != "shop" && project != "billing" || has < identity.Read:
		return fault.New(fault.NotFound, "There is no project %q that you may see.", project)
	case has < r:
		return fault.New(fault.Denied, "This needs the role %q in project %s; %s has %q.", r, project, a, has).WithNext("ask an administrator of %s", project)
	}
	return nil
}

// Visible lists the projects.
func (f *Fixture) Visible(_ context.Context, a identity.Actor) ([]identity.Project, error) {
	if f.Roles[a.Name] < identity.Read {
		return nil, nil
	}
	return f.Projects, nil
}

// CreateProject adds one; only ada may.
func (f *Fixture) CreateProject(_ context.Context, a identity.Actor, name string) (identity.Project, error) {
	if !a.Admin {
		return identity.Project{}, fault.New(fault.Denied, "Only an administrator of this installation may create a project; %s is none.", a)
	}
	if err := identity.CheckProjectName(name); err != nil {
		return identity.Project{}, err
	}
	f.Lock()
	defer f.Unlock()
	p := identity.Project{Name: name, Created: Now}
	f.Projects = append(f.Projects, p)
	return p, nil
}

// Members lists the members of shop.
func (f *Fixture) Members(ctx context.Context, a identity.Actor, project string) ([]identity.Member, error) {
	return f.Granted, f.Require(ctx, a, project, identity.Read)
}

// Grant notes a role.
func (f *Fixture) Grant(ctx context.Context, a identity.Actor, project, user string, r identity.Role) error {
	if err := f.Require(ctx, a, project, identity.Admin); err != nil {
		return err
	}
	f.Lock()
	defer f.Unlock()
	f.Granted = append(f.Granted, identity.Member{User: user, Role: r, Word: r.String()})
	return nil
}

// identityTokens adapts the field Tokens, whose name the interface needs for a method.
type identityTokens struct{ *Fixture }

// Tokens lists the actor's tokens.
func (i identityTokens) Tokens(context.Context, identity.Actor) ([]identity.Token, error) {
	return i.Fixture.Tokens, nil
}

// CreateToken makes one with a secret that tests know.
func (i identityTokens) CreateToken(_ context.Context, a identity.Actor, name, scope string, ttl time.Duration) (string, identity.Token, error) {
	i.Lock()
	defer i.Unlock()
	t := identity.Token{ID: fmt.Sprintf("%02dT", len(i.Fixture.Tokens)+1), User: a.Name, Name: name, Scope: scope, Created: Now, Expires: Now.Add(ttl)}
	i.Fixture.Tokens = append(i.Fixture.Tokens, t)
	return "twp_secretsecretsecret", t, nil
}

// RevokeToken marks one.
func (i identityTokens) RevokeToken(_ context.Context, _ identity.Actor, id string) error {
	i.Lock()
	defer i.Unlock()
	for n := range i.Fixture.Tokens {
		if i.Fixture.Tokens[n].ID == id {
			i.Fixture.Tokens[n].Revoked = true
			return nil
		}
	}
	return fault.New(fault.NotFound, "There is no token %q of yours.", id)
}

// Logbook is the fixture's log of events.
type Logbook struct{ f *Fixture }

// Read selects as the real one does, as far as pages ask.
func (l Logbook) Read(_ context.Context, q event.Query) ([]event.Event, error) {
	l.f.Lock()
	defer l.f.Unlock()
	var out []event.Event
	list := l.f.Events
	if q.Newest { // Also what happened before the fixture's own events began.
		list = append(answered(), list...)
	}
	for _, e := range list {
		if e.Seq > q.After && (q.Project == "" || e.Project == q.Project) && (q.Type == "" || e.Type == q.Type) && (q.Subject == "" || e.Subject == q.Subject) {
			out = append(out, e)
		}
	}
	return out, nil
}

// Head is the newest event.
func (l Logbook) Head(context.Context) (int64, string, error) {
	l.f.Lock()
	defer l.f.Unlock()
	return int64(len(l.f.Events)), "", nil
}

// Changed wakes at the next Append.
func (l Logbook) Changed() <-chan struct{} {
	l.f.Lock()
	defer l.f.Unlock()
	return l.f.wake
}

// Cluster is a cluster that is ready.
type Cluster struct{}

// Status tells of two components.
func (Cluster) Status() cluster.Status {
	return cluster.Status{
		Kind: cluster.KindEmbedded, State: cluster.Ready, Version: "v1.37.2", Since: Now.Add(-26 * time.Hour), Server: "https://127.0.0.1:6443",
		FrontDoor: "http://127.0.0.1:7480", ReadyIn: 4.1,
		Components: []cluster.Component{
			{Name: "etcd", State: cluster.Ready, Seconds: 0.4}, {Name: "kube-apiserver", State: cluster.Ready, Seconds: 3.6},
			{Name: "kubelet", State: cluster.Ready, Seconds: 5.2, Restarts: 1}, {Name: "coredns", State: cluster.Starting, Detail: "waits for the API server"},
		},
	}
}
