package enforce

import (
	"context"
	"time"

	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/engine"
)

// Cluster is the cluster to enforce on.
type Cluster interface {
	// Await waits while the cluster is starting. It returns fault.Unavailable at once when
	// the cluster will not come up by itself, and when ctx ends.
	Await(ctx context.Context) error
	// Admin returns access with the platform's own rights, fault.Unavailable while the
	// cluster is not ready.
	Admin(ctx context.Context) (*rest.Config, error)
	// Changed returns a channel that closes when the cluster's state changes next.
	Changed() <-chan struct{}
}

// Policies tells which set is in force: policy.Service.
type Policies interface {
	// Current returns the set in force, never nil.
	Current() *engine.Set
	// Changed returns a channel that closes when another set comes into force.
	Changed() <-chan struct{}
}

// Decider answers what becomes of objects: policy.Service.
type Decider interface {
	// Decide judges the objects of q against the set in force and records the answer as
	// q.Record says. An error means that it could not be asked at all; a rule that could
	// not judge is in the decision.
	Decide(ctx context.Context, q policy.Question) (policy.Decision, error)
}

// Recorder keeps decisions that somebody else made.
type Recorder interface {
	// RecordRefusal records a refusal under a key, once: with a key that is known it returns
	// the decision recorded then, and false.
	RecordRefusal(ctx context.Context, key string, d policy.Decision) (policy.Decision, bool, error)
}

// Releases finds what a release applied, for objects that the webhook did not see.
type Releases interface {
	// Release returns who made the newest release of the Helm release in the namespace;
	// false when there is none.
	Release(ctx context.Context, namespace, name string) (Applied, bool, error)
}

// Applied says who applied an object.
type Applied struct {
	Actor     string    `json:"actor"` // "run:12", "serviceaccount:shop/robot", "kube:ada"
	Run       int64     `json:"run,omitempty"`
	Job       string    `json:"job,omitempty"` // "stage.job"
	Commit    string    `json:"commit,omitempty"`
	Project   string    `json:"project,omitempty"`
	Requester string    `json:"requester,omitempty"` // user behind the run, where known
	Time      time.Time `json:"time"`
}
