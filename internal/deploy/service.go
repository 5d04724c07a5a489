package deploy

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Clusters is the cluster that releases go to. Admin and As return
// fault.Unavailable while it is not ready.
type Clusters interface {
	// Await waits while the cluster is starting. It returns fault.Unavailable at once
	// when the cluster will not come up by itself, and when ctx ends.
	Await(ctx context.Context) error
	// Admin returns access with the platform's own rights.
	Admin(ctx context.Context) (*rest.Config, error)
	// As returns access with the identity of the job and the groups given.
	As(ctx context.Context, job identity.JobClaims, groups []string, ttl time.Duration) (*rest.Config, error)
}

// Authoriser answers whether an actor holds a role in a project: nil, or
// fault.NotFound, fault.Denied or fault.Unauthentic.
type Authoriser interface {
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
}

// Images resolves a tag of our registry to the digest that it names now;
// fault.NotFound when there is no such tag.
type Images interface {
	Digest(ctx context.Context, repository, tag string) (string, error)
}

// Deps are the parts that a Service needs, all but Gate, Pulls, Agent and Operations.
type Deps struct {
	DB       *store.DB
	Log      *event.Log
	Auth     Authoriser
	Clusters Clusters
	Images   Images
	Gate     Gate // nil lets everything pass
	Clock    clock.Clock
	Logger   *slog.Logger

	Pulls      Pulls       // nil: there are no review apps
	Agent      AgentImages // nil: nothing can be routed
	Operations Operations  // nil: a rejected canary names no operations
}

// Options say where things are.
type Options struct {
	Registry  string // host of our registry in image names: "localhost:7080"
	FrontDoor string // "http://127.0.0.1:7480": shows the URLs of Ingress hosts; "" when unknown
}

// Service deploys and remembers. It is safe for concurrent use.
type Service struct {
	Deps
	opts   Options
	remote *Remote // nil: the platform's own cluster
	locks  *locks
	shift  *shift

	trials *trials
	told   *told
	drift  *driftWatch
	review *reviews
}

// New returns a Service.
func New(d Deps, o Options) *Service {
	return &Service{Deps: d, opts: o, locks: newLocks(), shift: newShift(), trials: newTrials(), told: newTold(), drift: newDriftWatch(), review: newReviews()}
}

// Results of a release.
const (
	Started    = "started"
	Deployed   = "deployed"
	Failed     = "failed"
	RolledBack = "rolled-back"
)

// Environment is a place to deploy to.
type Environment struct {
	Project   string `json:"project"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Connection is the service connection to the cluster that it is on; "" is the platform's.
	Connection string    `json:"connection,omitempty" doc:"service connection to the cluster; empty for the platform's own"`
	Created    time.Time `json:"created"`
	Settings
	Review  *Review  `json:"review,omitempty" doc:"of a review app: which pull request it shows"`
	Current *Release `json:"current,omitempty"` // the newest that was deployed
	Latest  *Release `json:"latest,omitempty"`  // the newest, whatever its result
	Drifted []Drift  `json:"drifted,omitempty" doc:"objects that are not as they were deployed"`
}

// Release is one deployment to an environment.
type Release struct {
	Project     string    `json:"project"`
	Environment string    `json:"environment"`
	Number      int64     `json:"number"`
	Namespace   string    `json:"namespace"`
	Name        string    `json:"name"`  // Helm release name
	Chart       string    `json:"chart"` // name-version; "" for manifests
	Revision    int       `json:"revision"`
	Run         int64     `json:"run,omitempty"`
	Commit      string    `json:"commit,omitempty"`
	Actor       string    `json:"actor"`
	Requester   string    `json:"requester,omitempty"` // user behind the run
	Images      []string  `json:"images"`
	Hosts       []string  `json:"hosts,omitempty"` // URLs
	Result      string    `json:"result"`
	Why         string    `json:"why,omitempty"`
	Started     time.Time `json:"started"`
	Finished    time.Time `json:"finished,omitzero"`
	Pods        []Pod     `json:"pods,omitempty"`
}

// Pod is a pod of a release as it was seen last.
type Pod struct {
	UID      string    `json:"uid"`
	Name     string    `json:"name"`
	Images   []string  `json:"images"` // digests
	Ready    bool      `json:"ready"`
	Gone     bool      `json:"gone,omitempty"`
	Restarts int       `json:"restarts"`
	Why      string    `json:"why,omitempty"`
	Since    time.Time `json:"since"`
}
