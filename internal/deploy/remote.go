package deploy

import (
	"context"
	"net/url"
	"regexp"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Remote is a cluster that is not the platform's, reached by a service connection.
type Remote struct {
	Connection string       // its name in the project
	Config     *rest.Config // what opens it; the rights are those of its credentials
}

// Through returns a service that deploys to the cluster of a connection instead of the
// platform's, with nothing but the connection's credentials: it makes no namespace, binds no
// role and takes no Lease there. Releases are recorded, and judged by policy, all the same.
// An environment belongs to one cluster for good: that of its first deployment. What needs the
// platform's own cluster, as routing, drift and the pods of a release, is not there.
func (s *Service) Through(r Remote) *Service {
	t := *s
	t.Clusters, t.remote = remoteCluster{r.Config}, &r
	return &t
}

// remoteCluster answers for the cluster of a connection.
type remoteCluster struct{ cfg *rest.Config }

func (remoteCluster) Await(context.Context) error { return nil }

func (c remoteCluster) Admin(context.Context) (*rest.Config, error) {
	return rest.CopyConfig(c.cfg), nil
}

func (c remoteCluster) As(context.Context, identity.JobClaims, []string, time.Duration) (*rest.Config, error) {
	return rest.CopyConfig(c.cfg), nil
}

// environmentOf names the environment that a job deploys to: that of the job, else, through a
// connection, the connection's own.
func (s *Service) environmentOf(t Target) string {
	if env := t.Actor.Job.Environment; env != "" || s.remote == nil {
		return env
	}
	name := s.remote.Connection
	if t.Namespace != "" {
		name += "-" + t.Namespace
	}
	name = strings.Trim(noName.ReplaceAllString(strings.ToLower(name), "-"), "-")
	return strings.Trim(name[:min(len(name), 63)], "-")
}

// noName is what no name of an environment has.
var noName = regexp.MustCompile(`[^a-z0-9]+`)

// A namespace of the platform's cluster stands in the table as it is, because each belongs to
// one environment; one of another cluster stands as "PROJECT/ENVIRONMENT@CONNECTION/NAMESPACE",
// which is nobody's namespace here.
func placeOf(env Environment) string {
	if env.Connection == "" {
		return env.Namespace
	}
	return env.Project + "/" + env.Name + "@" + url.PathEscape(env.Connection) + "/" + env.Namespace
}

// setPlace reads what placeOf wrote.
func (e *Environment) setPlace(stored string) {
	e.Connection, e.Namespace = placed(stored)
}

func placed(stored string) (connection, namespace string) {
	_, rest, ok := strings.Cut(stored, "@")
	if !ok {
		return "", stored
	}
	name, namespace, _ := strings.Cut(rest, "/")
	connection, err := url.PathUnescape(name)
	if err != nil {
		connection = name
	}
	return connection, namespace
}

// here wants that an environment is on the cluster that this service reaches.
func (s *Service) here(env Environment) error {
	connection := ""
	if s.remote != nil {
		connection = s.remote.Connection
	}
	switch {
	case env.Connection == connection:
		return nil
	case env.Connection == "":
		return fault.New(fault.Conflict, "Environment %s is on the platform's own cluster, not on that of the connection %s.", env.Name, connection).
			WithNext("leave out the connection, or use another environment for that cluster")
	case connection == "":
		return fault.New(fault.Conflict, "Environment %s is on the cluster of the connection %s, which only a task that names the connection reaches.", env.Name, env.Connection).
			WithNext("run a pipeline whose task has kubernetesServiceConnection: %s", env.Connection)
	}
	return fault.New(fault.Conflict, "Environment %s is on the cluster of the connection %s, not on that of %s.", env.Name, env.Connection, connection).
		WithNext("use an environment for each cluster")
}
