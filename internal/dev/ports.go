package dev

import (
	"context"
	"time"

	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/identity"
)

// Authoriser answers whether an actor holds a role in a project: nil, or fault.NotFound,
// fault.Denied or fault.Unauthentic.
type Authoriser interface {
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
}

// Place is an environment as sessions see it.
type Place struct {
	Project     string
	Environment string
	Namespace   string
	Production  bool     // named so or marked so: never a session
	Sessions    bool     // somebody with the right to say so allows them
	URLs        []string // of its front: "http://shop.localhost:7480"
}

// Environments knows the environments. It is asked by the platform itself, after the
// actor's rights were checked.
type Environments interface {
	// Place returns an environment; fault.NotFound when there is none of that name.
	Place(ctx context.Context, project, environment string) (Place, error)
	// Places returns all of every project; URLs may be missing.
	Places(ctx context.Context) ([]Place, error)
}

// Route is what the router of an environment must know of a session.
type Route struct {
	ID       string
	Key      string
	User     string
	Service  string
	Host     string // address of the session's pod; it listens on the service's ports
	Expires  time.Time
	Fallback bool
}

// Routes writes the route table of environments. Every write replaces what stands there of
// the same session; a router that cannot be told lets the session expire by itself.
type Routes interface {
	// Ensure has the service routed: it turns the environment's routing on when it is off
	// and returns when the router serves. fault.Invalid when no port of the service can be
	// routed.
	Ensure(ctx context.Context, a identity.Actor, project, environment, service string) error
	// SetSession puts or renews a session in the table.
	SetSession(ctx context.Context, project, environment string, r Route) error
	// DropSession takes a session out of it; one that is not there is no error.
	DropSession(ctx context.Context, project, environment, id string) error
}

// Images knows the image of the platform's agent.
type Images interface {
	// Agent returns its reference by digest: "localhost:7080/towpath/agent@sha256:…". It
	// puts the image into the registry when it is not there.
	Agent(ctx context.Context) (string, error)
}

// Previews signs the addresses that enter an environment with a key.
type Previews interface {
	// Sign returns url with what the environment's router needs to put the session's key on
	// the requests of whoever opens it, until expires.
	Sign(ctx context.Context, url, session, key string, expires time.Time) (string, error)
}

// Clusters is the cluster that environments lie in.
type Clusters interface {
	// Await waits while the cluster is starting; fault.Unavailable when it will not come up
	// by itself, and when ctx ends.
	Await(ctx context.Context) error
	// Admin returns access with the platform's own rights; fault.Unavailable while the
	// cluster is not ready.
	Admin(ctx context.Context) (*rest.Config, error)
}
