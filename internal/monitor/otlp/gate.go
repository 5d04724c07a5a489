package otlp

import (
	"context"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/place"
)

// Gate is the Resolver of the server. An agent speaks for the pod whose request it relays,
// which is found by the address that the agent saw; everybody else needs the role write in
// the project that he names.
type Gate struct {
	// Agent reports whether a token is that of the agents, in constant time.
	Agent     func(token string) bool
	Authority Authority
	Places    place.Places
}

// Admit lets in whose token is known; see Resolver.
func (g *Gate) Admit(ctx context.Context, s Sender) error {
	_, err := g.actor(ctx, s)
	return err
}

// actor says who sends; an agent is nobody.
func (g *Gate) actor(ctx context.Context, s Sender) (identity.Actor, error) {
	if s.Token == "" {
		return identity.Actor{}, fault.New(fault.Unauthentic, "Telemetry needs a token.").WithNext("send Authorization: Bearer with a token of the scope write")
	}
	if g.Agent(s.Token) {
		return identity.Actor{}, nil
	}
	return g.Authority.Authenticate(ctx, identity.Credentials{Bearer: s.Token, Remote: s.Remote})
}

// Resolve finds the place; see Resolver.
func (g *Gate) Resolve(ctx context.Context, s Sender) (place.Place, error) {
	if g.Agent(s.Token) {
		return g.relayed(s)
	}
	if s.Peer.IsValid() {
		return place.Place{}, fault.New(fault.Denied, "Only an agent may speak for a pod.").WithNext("leave the header %s out", PeerHeader)
	}
	actor, err := g.actor(ctx, s)
	if err != nil {
		return place.Place{}, err
	}
	if s.Project == "" {
		return place.Place{}, fault.New(fault.Invalid, "The telemetry names no project.").
			WithNext("send the header %s, or set the resource attribute %s", ProjectHeader, ProjectAttribute)
	}
	if err := g.Authority.Require(ctx, actor, s.Project, identity.Write); err != nil {
		return place.Place{}, err
	}
	return place.Place{Project: s.Project}, nil
}

// relayed finds the pod of an address.
func (g *Gate) relayed(s Sender) (place.Place, error) {
	if !s.Peer.IsValid() {
		return place.Place{}, fault.New(fault.Invalid, "The agent did not say whose request it relays.").WithNext("update the agent")
	}
	p, ok := g.Places.ByAddress(s.Peer.Unmap())
	if !ok {
		// A pod may speak before the cluster has told of it.
		return place.Place{}, fault.New(fault.Unavailable, "No pod with the address %s is known yet.", s.Peer).
			WithNext("send again after the pause that the answer names; pods in the host's network need a token of their own")
	}
	return p, nil
}
