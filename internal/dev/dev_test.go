package dev_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock/clocktest"
	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// roles is an authoriser over a table: user → role in the project shop.
type roles map[string]identity.Role

func (r roles) Require(_ context.Context, a identity.Actor, project string, want identity.Role) error {
	switch has := r[a.Name]; {
	case !a.Known():
		return fault.New(fault.Unauthentic, "You are not signed in.")
	case a.Kind == identity.KindSystem || project == "shop" && has >= want:
		return nil
	case project != "shop" || has < identity.Read:
		return fault.New(fault.NotFound, "There is no project %s.", project)
	}
	return fault.New(fault.Denied, "This needs the role %s.", want)
}

// places are the environments of shop.
type places struct{ staging dev.Place }

func (p *places) Place(_ context.Context, project, environment string) (dev.Place, error) {
	switch {
	case project == "shop" && environment == "staging":
		return p.staging, nil
	case project == "shop" && environment == "production":
		return dev.Place{Project: "shop", Environment: "production", Namespace: "shop-production", Production: true, Sessions: true}, nil
	}
	return dev.Place{}, fault.New(fault.NotFound, "There is no environment %s.", environment)
}

func (p *places) Places(ctx context.Context) ([]dev.Place, error) {
	production, err := p.Place(ctx, "shop", "production")
	return []dev.Place{p.staging, production}, err
}

// routes is a route table in memory.
type routes struct {
	table map[string]dev.Route
	sets  int
	away  error
	deaf  error // of a session that is put into the table
}

func (r *routes) Ensure(context.Context, identity.Actor, string, string, string) error { return r.away }

func (r *routes) SetSession(_ context.Context, _, _ string, v dev.Route) error {
	if r.deaf != nil {
		return r.deaf
	}
	r.table[v.ID] = v
	r.sets++
	return nil
}

func (r *routes) DropSession(_ context.Context, _, _, id string) error {
	if r.away != nil {
		return r.away
	}
	delete(r.table, id)
	return nil
}

type signer struct{}

func (signer) Sign(_ context.Context, url, session, key string, expires time.Time) (string, error) {
	return fmt.Sprintf("%s?%s.%s.%d", url, session, key, expires.Unix()), nil
}

// pods is a cluster in memory.
type pods struct {
	made   map[string]string // session → token
	ends   map[string]net.Conn
	secret bool // secrets were asked for
	broken error
	guard  map[string]bool

	env       []dev.Value // besides what every target has
	address   string      // of pods that run, "" for that of Create
	meanwhile func()      // happens while a pod is revived
}

func (p *pods) Target(_ context.Context, _, service string, secrets bool) (dev.Target, error) {
	if service == "nothing" {
		return dev.Target{}, fault.New(fault.NotFound, "There is no service %s.", service)
	}
	p.secret = secrets
	t := dev.Target{Workload: service, Ports: []dev.Port{{Name: "http", Port: 80, Target: 8080}}, Env: []dev.Value{{Name: "LEVEL", Value: "debug"}}, Domain: "cluster.local"}
	t.Env = append(t.Env, p.env...)
	if secrets {
		t.Env = append(t.Env, dev.Value{Name: "PASSWORD", Value: "p", Secret: true})
	} else {
		t.LeftOut = []string{"PASSWORD (secret db)"}
	}
	return t, nil
}

func (p *pods) Create(_ context.Context, s dev.Session, token string) (string, error) {
	p.made[s.ID] = token
	return "10.9.8.7", p.broken
}

func (p *pods) Remove(_ context.Context, s dev.Session) error {
	delete(p.made, s.ID)
	return nil
}

func (p *pods) Dial(_ context.Context, s dev.Session) (io.ReadWriteCloser, error) {
	near, far := net.Pipe()
	p.ends[s.ID] = far
	return near, nil
}

func (p *pods) Logs(context.Context, dev.Session, int) (string, error) { return "line\n", nil }

func (p *pods) Accesses(context.Context, string, string) ([]dev.Access, error) { return nil, nil }

func (p *pods) Guard(_ context.Context, forbidden map[string]bool) error {
	p.guard = forbidden
	return nil
}

func user(name string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: name, Cap: identity.Admin}
}

var (
	ada        = user("ada")
	bob        = user("bob")
	reader     = user("reader")
	maintainer = user("maintainer")
	stranger   = user("stranger")
)

type world struct {
	*dev.Service
	db     *store.DB
	log    *event.Log
	clock  *clocktest.Clock
	routes *routes
	pods   *pods
	places *places
}

func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	start := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	w := &world{
		db: db, clock: clocktest.At(start), routes: &routes{table: map[string]dev.Route{}},
		pods:   &pods{made: map[string]string{}, ends: map[string]net.Conn{}},
		places: &places{dev.Place{Project: "shop", Environment: "staging", Namespace: "shop-staging", Sessions: true, URLs: []string{"http://shop.localhost"}}},
	}
	w.log = event.New(db, w.clock)
	w.again()
	return w
}

// again is the server after a restart.
func (w *world) again() {
	w.Service = dev.New(dev.Parts{
		DB: w.db, Log: w.log, Clock: w.clock, Environments: w.places, Routes: w.routes, Previews: signer{}, Pods: w.pods, Logger: slog.New(slog.DiscardHandler),
		Auth: roles{"ada": identity.Write, "bob": identity.Write, "reader": identity.Read, "maintainer": identity.Maintain},
	})
}

func (w *world) start(t *testing.T, a identity.Actor, service string) dev.Opened {
	t.Helper()
	o, err := w.Start(t.Context(), a, dev.Request{Project: "shop", Environment: "staging", Service: service, Mode: dev.Run})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// told lists the events of sessions: "started ada", "ended ada: expired".
func (w *world) told(t *testing.T) []string {
	t.Helper()
	all, err := w.log.Read(t.Context(), event.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		var p event.Session
		if err := e.Into(&p); err != nil {
			t.Fatal(err)
		}
		line := strings.TrimPrefix(e.Type, "session.") + " " + p.User
		if p.Why != "" {
			line += ": " + p.Why
		}
		if strings.Contains(string(e.Payload), "route-as") || len(p.Secrets) > 0 {
			line += fmt.Sprintf(" secrets %v", p.Secrets)
		}
		out = append(out, line)
	}
	return out
}

func TestALeaseLivesAsLongAsItIsRenewed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		o := w.start(t, ada, "cart")
		r := w.routes.table[o.ID]
		if r.Host != "10.9.8.7" || r.Key != o.Key || !strings.HasPrefix(o.Key, "ada-") || len(o.Key) != len("ada-")+6 || r.Expires.Sub(w.clock.Now()) != dev.Lease {
			t.Fatalf("the route is %+v", r)
		}
		if w.pods.made[o.ID] != o.Token || o.Token == "" || !strings.Contains(o.Preview, o.Key) {
			t.Fatalf("opened %+v", o)
		}
		for range 12 {
			w.clock.Add(dev.RenewEvery)
			if _, err := w.Renew(t.Context(), ada, o.ID); err != nil {
				t.Fatal(err)
			}
			if left := w.routes.table[o.ID].Expires.Sub(w.clock.Now()); left < dev.Lease/2 || left > dev.Lease {
				t.Fatalf("the router knows of %s of lease", left)
			}
			if err := w.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if w.routes.sets > 8 {
			t.Errorf("the route table was written %d times for two minutes of lease", w.routes.sets)
		}
		// Nobody renews; the server is another process meanwhile.
		w.again()
		w.clock.Add(dev.Lease)
		if _, err := w.Renew(t.Context(), ada, o.ID); !fault.Is(err, fault.Conflict) {
			t.Errorf("a lease that is over was renewed: %v", err)
		}
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(w.routes.table) != 0 || len(w.pods.made) != 0 {
			t.Errorf("left are %v and %v", w.routes.table, w.pods.made)
		}
		if diff := cmp.Diff([]string{"started ada", "ended ada: expired"}, w.told(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNoSessionOutlivesItsGreatestAge(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	o, err := w.Start(t.Context(), ada, dev.Request{Project: "shop", Environment: "staging", Service: "cart", Mode: dev.Attach, TTL: 25 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Add(20 * time.Second)
	if v, err := w.Renew(t.Context(), ada, o.ID); err != nil || !v.Expires.Equal(o.Until) {
		t.Fatalf("the lease ends at %s, not at %s: %v", v.Expires, o.Until, err)
	}
	w.clock.Add(5 * time.Second)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"started ada", "ended ada: aged"}, w.told(t)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsRefused(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	good := dev.Request{Project: "shop", Environment: "staging", Service: "cart", Mode: dev.Run}
	with := func(change func(*dev.Request)) dev.Request {
		r := good
		change(&r)
		return r
	}
	job := identity.Actor{Kind: identity.KindRun, Name: "ada", Cap: identity.Admin}
	for name, test := range map[string]struct {
		actor identity.Actor
		r     dev.Request
		want  fault.Kind
	}{
		"nobody":          {identity.Actor{}, good, fault.Unauthentic},
		"a stranger":      {stranger, good, fault.NotFound},
		"a reader":        {reader, good, fault.Denied},
		"a job":           {job, good, fault.Denied},
		"production":      {maintainer, with(func(r *dev.Request) { r.Environment = "production" }), fault.Denied},
		"no environment":  {ada, with(func(r *dev.Request) { r.Environment = "other" }), fault.NotFound},
		"another project": {ada, with(func(r *dev.Request) { r.Project = "bank" }), fault.NotFound},
		"no service":      {ada, with(func(r *dev.Request) { r.Service = "nothing" }), fault.NotFound},
		"an option":       {ada, with(func(r *dev.Request) { r.Service = "--all" }), fault.Invalid},
		"a path":          {ada, with(func(r *dev.Request) { r.Service = "../cart" }), fault.Invalid},
		"no mode":         {ada, with(func(r *dev.Request) { r.Mode = "" }), fault.Invalid},
		"too long":        {ada, with(func(r *dev.Request) { r.TTL = dev.MaxAge + time.Second }), fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.Start(t.Context(), test.actor, test.r); fault.KindOf(err) != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	w.places.staging.Sessions = false
	if _, err := w.Start(t.Context(), ada, good); !fault.Is(err, fault.Denied) {
		t.Errorf("an environment that forbids sessions has one: %v", err)
	}
	if len(w.pods.made) != 0 || len(w.routes.table) != 0 || len(w.told(t)) != 0 {
		t.Errorf("left are %v, %v, %v", w.pods.made, w.routes.table, w.told(t))
	}
}

func TestSessionsOfOthers(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	o := w.start(t, ada, "cart")
	calls := map[string]func(a identity.Actor) error{
		"renew": func(a identity.Actor) error { _, err := w.Renew(t.Context(), a, o.ID); return err },
		"share": func(a identity.Actor) error { _, err := w.Share(t.Context(), a, o.ID, 0); return err },
		"stop":  func(a identity.Actor) error { return w.Stop(t.Context(), a, o.ID) },
		"logs":  func(a identity.Actor) error { _, err := w.Logs(t.Context(), a, o.ID, 10); return err },
		"tunnel": func(a identity.Actor) error {
			c, err := w.Tunnel(t.Context(), a, o.ID)
			if err == nil {
				err = errors.Join(errors.New("a tunnel was opened"), c.Close())
			}
			return err
		},
		"accesses": func(a identity.Actor) error {
			_, err := w.Accesses(t.Context(), a, "shop", "staging", o.Key)
			return err
		},
	}
	for name, call := range calls {
		if err := call(bob); !fault.Is(err, fault.Denied) {
			t.Errorf("%s by bob: %v", name, err)
		}
		if err := call(stranger); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s by a stranger: %v", name, err)
		}
		if err := call(identity.Actor{}); !fault.Is(err, fault.Unauthentic) {
			t.Errorf("%s by nobody: %v", name, err)
		}
	}
	list, err := w.List(t.Context(), bob, "shop", "", false)
	if err != nil || len(list) != 1 || list[0].Key != "" || list[0].User != "ada" {
		t.Errorf("bob sees %+v, %v", list, err)
	}
	if mine, err := w.Get(t.Context(), ada, o.ID); err != nil || mine.Key != o.Key {
		t.Errorf("ada sees %+v, %v", mine, err)
	}
	if err := calls["stop"](maintainer); err != nil {
		t.Errorf("a maintainer cannot stop a session: %v", err)
	}
	if diff := cmp.Diff([]string{"started ada", "ended ada: stopped"}, w.told(t)); diff != "" {
		t.Error(diff)
	}
}

func TestCapsAndReplacement(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		first := w.start(t, ada, "cart")
		second := w.start(t, ada, "cart")
		if _, there := w.pods.made[first.ID]; there || len(w.routes.table) != 1 || first.Key == second.Key {
			t.Errorf("the session before was not replaced: %v", w.routes.table)
		}
		for i := range 4 {
			w.start(t, ada, fmt.Sprintf("service-%d", i))
		}
		_, err := w.Start(t.Context(), ada, dev.Request{Project: "shop", Environment: "staging", Service: "more", Mode: dev.Run})
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("a sixth session: %v", err)
		}
		w.start(t, bob, "cart") // Others have theirs.
		w.clock.Add(2 * dev.Lease)
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.start(t, ada, "more")
	})
}

func TestANamespaceHasSoManySessions(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	many := roles{}
	for i := range 11 {
		many[fmt.Sprintf("dev%d", i)] = identity.Write
	}
	w.Auth = many
	for i := range 50 {
		w.start(t, user(fmt.Sprintf("dev%d", i/5)), fmt.Sprintf("service-%d", i))
	}
	_, err := w.Start(t.Context(), user("dev10"), dev.Request{Project: "shop", Environment: "staging", Service: "cart", Mode: dev.Run})
	if !fault.Is(err, fault.Conflict) || len(w.pods.made) != 50 {
		t.Errorf("%d pods, %v", len(w.pods.made), err)
	}
}

func TestSecretsNeedMaintainAndAreTold(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	o := w.start(t, ada, "cart")
	if w.pods.secret || len(o.Secrets) > 0 || len(o.LeftOut) != 1 {
		t.Errorf("a writer got %+v", o)
	}
	o = w.start(t, maintainer, "cart")
	if !w.pods.secret || len(o.LeftOut) != 0 {
		t.Errorf("a maintainer got %+v", o)
	}
	if diff := cmp.Diff([]string{"started ada", "started maintainer secrets [PASSWORD]"}, w.told(t)); diff != "" {
		t.Error(diff)
	}
}

func TestAFailedStartLeavesNothing(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	w.pods.broken = fault.New(fault.Unavailable, "The pod did not start.")
	if _, err := w.Start(t.Context(), ada, dev.Request{Project: "shop", Environment: "staging", Service: "cart", Mode: dev.Run}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if len(w.pods.made) != 0 || len(w.routes.table) != 0 || len(w.told(t)) != 0 {
		t.Errorf("left are %v, %v, %v", w.pods.made, w.routes.table, w.told(t))
	}
}

// What cannot be cleared away, because the cluster is away, is cleared away later.
func TestClearingAwayIsTriedAgain(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	o := w.start(t, ada, "cart")
	w.routes.away = errors.New("the cluster is away")
	if err := w.Stop(t.Context(), ada, o.ID); err != nil {
		t.Fatal(err)
	}
	if len(w.routes.table) != 1 {
		t.Fatal("the route went although nobody could be told")
	}
	w.again()
	w.routes.away = nil
	if err := w.Sweep(t.Context()); err != nil || len(w.routes.table) != 0 || len(w.pods.made) != 0 {
		t.Errorf("left are %v, %v: %v", w.routes.table, w.pods.made, err)
	}
	if diff := cmp.Diff([]string{"started ada", "ended ada: stopped"}, w.told(t)); diff != "" {
		t.Error(diff)
	}
}

func TestATunnelEndsWithItsSession(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	o := w.start(t, ada, "cart")
	c, err := w.Tunnel(t.Context(), ada, o.ID)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = w.pods.ends[o.ID].Write([]byte("hello")) }()
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Fatalf("read %q, %v", got, err)
	}
	if err := w.Stop(t.Context(), ada, o.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(got); err == nil {
		t.Error("the tunnel outlives its session")
	}
	if _, err := w.Tunnel(t.Context(), ada, o.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("a tunnel to a session that is over: %v", err)
	}
}

// An environment that becomes production ends its sessions at their next renewal.
func TestARightThatEndsEndsTheSession(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	o := w.start(t, ada, "cart")
	w.places.staging.Production = true
	if _, err := w.Renew(t.Context(), ada, o.ID); !fault.Is(err, fault.Denied) {
		t.Errorf("renewed in production: %v", err)
	}
	if len(w.routes.table) != 0 || len(w.pods.made) != 0 {
		t.Errorf("left are %v and %v", w.routes.table, w.pods.made)
	}
	if err := w.Guard(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"shop-staging": true, "shop-production": true}, w.pods.guard); diff != "" {
		t.Error(diff)
	}
}

func TestShare(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	o := w.start(t, ada, "cart")
	p, err := w.Share(t.Context(), ada, o.ID, time.Hour)
	if err != nil || !p.Expires.Equal(w.clock.Now().Add(time.Hour)) || !strings.HasPrefix(p.URL, "http://shop.localhost?") {
		t.Errorf("shared %+v, %v", p, err)
	}
	if diff := cmp.Diff([]string{"started ada", "shared ada"}, w.told(t)); diff != "" {
		t.Error(diff)
	}
	w.clock.Add(dev.Lease)
	if _, err := w.Share(t.Context(), ada, o.ID, 0); !fault.Is(err, fault.Conflict) {
		t.Errorf("a session that is over was shared: %v", err)
	}
}
