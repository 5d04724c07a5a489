package build

import (
	"context"

	"github.com/moby/buildkit/session/auth"
	"google.golang.org/grpc"
)

// credentials answers the daemon when it asks how to log in to a registry. It knows ours and
// those that the build was given logins for, and answers for no other.
type credentials struct {
	auth.UnimplementedAuthServer
	logins map[string]Auth // by the host in image names
}

// Register offers the answers in a build's session.
func (c *credentials) Register(s *grpc.Server) { auth.RegisterAuthServer(s, c) }

// hubHost is where the daemon finds the images of docker.io.
const hubHost = "registry-1.docker.io"

// Credentials implements the session's auth service.
func (c *credentials) Credentials(_ context.Context, r *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	host := r.Host
	if host == hubHost {
		host = "docker.io"
	}
	a := c.logins[host]
	return &auth.CredentialsResponse{Username: a.User, Secret: a.Secret}, nil
}
