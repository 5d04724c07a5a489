package app

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/url"
	"slices"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/route"
	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/dev/kube"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// openDev wires developers' sessions.
func (a *App) openDev(ctx context.Context) error {
	key, err := a.vault.Ed25519(ctx, a.db, "preview")
	if err != nil {
		return err
	}
	a.Dev = dev.New(dev.Parts{
		DB: a.db, Log: a.Log, Auth: a.Identity, Clock: a.clock, Environments: sessionPlaces{a.Deploy}, Routes: sessionRoutes{a.Deploy, key},
		Previews: previews{key}, Pods: kube.New(a.Cluster, sessionImages{a.Deploy}, nil), Logger: a.logger,
	})
	return nil
}

// sessionPlaces tells dev of deploy's environments.
type sessionPlaces struct{ deploy *deploy.Service }

var _ dev.Environments = sessionPlaces{}

// Place returns an environment; dev has asked for the actor's rights.
func (p sessionPlaces) Place(ctx context.Context, project, environment string) (dev.Place, error) {
	env, err := p.deploy.Environment(ctx, identity.SystemActor("dev"), project, environment)
	if err != nil {
		return dev.Place{}, err
	}
	out := sessionPlace(env)
	if env.Current != nil {
		out.URLs = env.Current.Hosts
	}
	return out, nil
}

// Places returns all environments.
func (p sessionPlaces) Places(ctx context.Context) ([]dev.Place, error) {
	all, err := p.deploy.Places(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]dev.Place, 0, len(all))
	for _, env := range all {
		out = append(out, sessionPlace(env))
	}
	return out, nil
}

// productionNames are never open to sessions, whatever the settings say.
var productionNames = []string{"production", "prod"}

func sessionPlace(e deploy.Environment) dev.Place {
	return dev.Place{
		Project: e.Project, Environment: e.Name, Namespace: e.Namespace, Production: slices.Contains(productionNames, e.Name), Sessions: e.Sessions == deploy.Allowed,
	}
}

// sessionRoutes writes sessions into deploy's route tables.
type sessionRoutes struct {
	deploy *deploy.Service
	key    ed25519.PrivateKey
}

var _ dev.Routes = sessionRoutes{}

// Ensure turns routing on, looks that the service is routed, and tells the router by which
// key previews are checked.
func (r sessionRoutes) Ensure(ctx context.Context, a identity.Actor, project, environment, service string) error {
	if err := r.deploy.EnsureRouting(ctx, a, project, environment, func(string) {}); err != nil {
		return err
	}
	routing, err := r.deploy.Routing(ctx, a, project, environment)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(routing.Table.Services, func(s route.Service) bool { return s.Name == service }) {
		why := "it is not part of what is deployed there"
		for _, u := range routing.Unrouted {
			if u.Service == service {
				why = u.Why
			}
		}
		return fault.New(fault.Invalid, "Service %s of environment %s cannot have a session, because it is not routed: %s.", service, environment, why).
			WithNext("say that it speaks HTTP, with `appProtocol: http` on each port of the Service, and deploy again")
	}
	public := r.key.Public().(ed25519.PublicKey)
	if public.Equal(ed25519.PublicKey(routing.Table.PreviewKey)) {
		return nil
	}
	return r.deploy.SetPreviewKey(ctx, project, environment, public)
}

// SetSession puts or renews a session.
func (r sessionRoutes) SetSession(ctx context.Context, project, environment string, s dev.Route) error {
	return r.deploy.SetSession(ctx, project, environment, route.Session{
		ID: s.ID, Key: s.Key, User: s.User, Service: s.Service, Host: s.Host, Expires: s.Expires, Fallback: s.Fallback,
	})
}

// DropSession takes a session out; in an environment that is gone there is none.
func (r sessionRoutes) DropSession(ctx context.Context, project, environment, id string) error {
	err := r.deploy.DropSession(ctx, project, environment, id)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// previews signs what the routers verify.
type previews struct{ key ed25519.PrivateKey }

var _ dev.Previews = previews{}

// Sign puts the key before the host and the token into the query.
func (p previews) Sign(_ context.Context, front, session, key string, expires time.Time) (string, error) {
	u, err := url.Parse(front)
	if err != nil {
		return "", fmt.Errorf("reading the address %q: %w", front, err)
	}
	token, err := route.Sign(p.key, route.Preview{Session: session, Key: key, Expires: expires})
	if err != nil {
		return "", err
	}
	u.Host = key + "." + u.Host
	if u.Path == "" {
		u.Path = "/"
	}
	u.RawQuery = url.Values{route.PreviewParameter: {token}}.Encode()
	return u.String(), nil
}

// sessionImages gives session pods the image that routers have.
type sessionImages struct{ deploy *deploy.Service }

var _ dev.Images = sessionImages{}

// Agent returns the agent's image.
func (i sessionImages) Agent(ctx context.Context) (string, error) {
	if i.deploy.Agent == nil {
		return "", fault.New(fault.Unavailable, "This server has no image of its agent.").WithNext("install bin/towpath-agent beside the server")
	}
	return i.deploy.Agent.AgentImage(ctx)
}
