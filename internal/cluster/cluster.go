package cluster

import (
	"context"
	"strconv"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Kinds of clusters.
const (
	KindEmbedded = "embedded"
	KindAdopted  = "adopted"
	KindNone     = "none"
)

// States of a cluster.
const (
	Starting = "starting"
	Ready    = "ready"
	Degraded = "degraded" // was ready, something is being restarted
	Failed   = "failed"   // cannot come up without a person; Why says what to do
	Stopped  = "stopped"
)

// Audience is the `aud` of tokens that are meant for the cluster's API server.
const Audience = "towpath-cluster"

// Status says how the cluster is.
type Status struct {
	Kind       string      `json:"kind"`
	State      string      `json:"state"`
	Version    string      `json:"version,omitempty"`
	Since      time.Time   `json:"since,omitzero"`
	Why        string      `json:"why,omitempty"`
	Server     string      `json:"server,omitempty"`     // URL of the API server
	FrontDoor  string      `json:"front_door,omitempty"` // "http://127.0.0.1:7480", "" when the cluster brings its own ingress
	Kubeconfig string      `json:"kubeconfig,omitempty"` // path
	ReadyIn    float64     `json:"ready_in,omitempty"`   // seconds from start to ready
	Components []Component `json:"components,omitempty"`
}

// Component is one part of an embedded cluster.
type Component struct {
	Name     string  `json:"name"`
	State    string  `json:"state"`
	Detail   string  `json:"detail,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"` // from the cluster's start to ready
	Restarts int     `json:"restarts"`
}

// Tokens issues the JWT that is a job's identity. A token must name the job, the
// audience and the groups given, and expire after ttl.
type Tokens interface {
	IssueJob(ctx context.Context, c identity.JobClaims, audience string, groups []string, ttl time.Duration) (string, error)
}

// Cluster is a Kubernetes cluster. All methods are safe for concurrent use.
type Cluster interface {
	// Run brings the cluster up and keeps it up until ctx ends, then stops it with its
	// state kept. It returns an error only when the cluster cannot come up at all.
	Run(ctx context.Context) error
	// Status returns how the cluster is now, without asking it.
	Status() Status
	// Changed returns a channel that closes at the next change of Status.
	Changed() <-chan struct{}
	// Await returns nil once the cluster is ready, or was and is being mended. It returns
	// fault.Unavailable at once when it will not come up by itself (there is none, or it
	// failed), and when ctx ends.
	Await(ctx context.Context) error
	// Admin returns a client configuration with the platform's own rights, and
	// fault.Unavailable while the cluster is not ready.
	Admin(ctx context.Context) (*rest.Config, error)
	// As returns a client configuration that acts as the job, member of groups, for at
	// most ttl. The run, job, project and commit arrive in userInfo.extra.
	As(ctx context.Context, job identity.JobClaims, groups []string, ttl time.Duration) (*rest.Config, error)
}

// None is the absence of a cluster.
type None struct{}

var _ Cluster = None{}

// Run waits for ctx to end.
func (None) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Status says that there is none.
func (None) Status() Status {
	return Status{Kind: KindNone, State: Stopped, Why: "the server was started with --cluster none"}
}

// Changed returns a channel that never closes.
func (None) Changed() <-chan struct{} { return nil }

// Await returns fault.Unavailable.
func (None) Await(context.Context) error { return errNone() }

// Admin returns fault.Unavailable.
func (None) Admin(context.Context) (*rest.Config, error) { return nil, errNone() }

// As returns fault.Unavailable.
func (None) As(context.Context, identity.JobClaims, []string, time.Duration) (*rest.Config, error) {
	return nil, errNone()
}

func errNone() error {
	return fault.New(fault.Unavailable, "This server has no cluster.").
		WithNext("start it with `towpath up`, or give it one: `towpath up --kubeconfig FILE`")
}

// extra is what a job's requests carry in userInfo.extra.
func extra(j identity.JobClaims) map[string][]string {
	return map[string][]string{
		"towpath.dev/run":     {strconv.FormatInt(j.Run, 10)},
		"towpath.dev/job":     {j.Stage + "." + j.Job},
		"towpath.dev/project": {j.Project},
		"towpath.dev/commit":  {j.Commit},
	}
}

// version asks the API server for its version.
func version(cfg *rest.Config) (string, error) {
	c, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return "", err
	}
	v, err := c.ServerVersion()
	if err != nil {
		return "", err
	}
	return v.GitVersion, nil
}
