package build

import (
	"context"

	"github.com/moby/buildkit/session/auth"
	"google.golang.org/grpc"
)

// credentials answers the daemon when it asks how to log in to a registry. It knows one
// registry, ours, and answers for no other.
type credentials struct {
	auth.UnimplementedAuthServer
	host string
	auth Auth
}

// Register offers the answers in a build's session.
func (c *credentials) Register(s *grpc.Server) { auth.RegisterAuthServer(s, c) }

// Credentials implements the session's auth service.
func (c *credentials) Credentials(_ context.Context, r *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	if r.Host != c.host {
		return &auth.CredentialsResponse{}, nil
	}
	return &auth.CredentialsResponse{Username: c.auth.User, Secret: c.auth.Secret}, nil
}
