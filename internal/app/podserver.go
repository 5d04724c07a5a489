package app

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/api/azure"
	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/pod"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/source"
)

// agentPods is where the pods of agents find what they need.
type agentPods struct{ app *App }

var _ pod.Place = agentPods{}

// Image returns the image that routers have.
func (p agentPods) Image(ctx context.Context) (string, error) {
	var images deploy.AgentImages = p.app.Deploy.Agent
	return images.AgentImage(ctx)
}

// pullLife is how long a node has for the agent's image after its pod was made.
const pullLife = time.Hour

// Pull opens the agent's image, and nothing else, to the nodes of an adopted cluster; that of
// the embedded one has its own token.
func (p agentPods) Pull(context.Context) (*pool.Pull, error) {
	if p.app.cfg.Cluster == cluster.KindEmbedded {
		return nil, nil
	}
	token, err := p.app.Identity.IssuePull(agentRepository, pullLife)
	if err != nil {
		return nil, err
	}
	return &pool.Pull{Server: hostOf(p.app.URL), Repository: agentRepository, User: identity.KindPull, Password: token}, nil
}

// Installation returns what the namespaces of this installation bear as well.
func (p agentPods) Installation(ctx context.Context) (string, error) {
	return p.app.Deploy.Installation(ctx)
}

// Server returns the node's address in the embedded cluster, where the server listens for pods;
// in an adopted one that of the listener for them, and without one the public address.
func (p agentPods) Server(ctx context.Context) (string, error) {
	if p.app.cfg.Cluster != cluster.KindEmbedded {
		if p.app.cfg.PodsListen != "" {
			return "http://" + p.app.cfg.PodsListen, nil
		}
		return p.app.URL, nil
	}
	_, address, err := p.app.nodeAddress(ctx)
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(p.app.Addr.String())
	return "http://" + net.JoinHostPort(address, port), err
}

// servePods listens on the address of the embedded cluster's node, or the one that is set for an
// adopted cluster, for the agents in pods: for
// their protocol, for Git, and for what their tasks ask in the form of the service; nothing else. A server that listens there anyway needs no other.
func (a *App) servePods(ctx context.Context) error {
	a.keep(ctx, "the listener for agents in pods", func() error {
		if err := a.Cluster.Await(ctx); err != nil {
			return err
		}
		address, err := agentPods{a}.Server(ctx)
		if err != nil {
			return err
		}
		at := strings.TrimPrefix(address, "http://")
		if host, _, err := net.SplitHostPort(a.Addr.String()); err == nil {
			if ip := net.ParseIP(host); ip != nil && (ip.IsUnspecified() || strings.HasPrefix(at, ip.String()+":")) {
				<-ctx.Done()
				return nil
			}
		}
		l, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		agents, git := a.Pipeline.AgentHandler(), a.Source.Handler(a.who)
		service := azure.New(a.Pipeline, a.who, address, a.logger)
		return serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasPrefix(r.URL.Path, protocol.Prefix+"/"):
				agents.ServeHTTP(w, r)
			case strings.Contains(r.URL.Path, "/_apis/"):
				service.ServeHTTP(w, r)
			case source.Handles(r):
				git.ServeHTTP(w, r)
			default:
				http.NotFound(w, r)
			}
		}))
	})
	return nil
}
