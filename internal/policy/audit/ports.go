package audit

import (
	"context"

	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/policy/engine"
)

// Cluster is the cluster whose objects are judged.
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

// Recorder keeps decisions that somebody else made.
type Recorder interface {
	// RecordRefusal records a refusal under a key, once: with a key that is known it returns
	// the decision recorded then, and false.
	RecordRefusal(ctx context.Context, key string, d policy.Decision) (policy.Decision, bool, error)
}

// Appliers tells who applied objects: enforce.Appliers.
type Appliers interface {
	// Behind returns who applied what an object stems from: a pod's Deployment, a Job's
	// CronJob, or the object itself. False when nobody knows.
	Behind(ctx context.Context, self enforce.Self) (enforce.Applied, bool, error)
}

// Namespaces tells the labels of namespaces: enforce.Namespaces.
type Namespaces interface {
	// Labels returns the labels of a namespace, nil when it is not known.
	Labels(namespace string) map[string]string
}

// Authoriser answers what an actor may see.
type Authoriser interface {
	// Require returns nil when the actor holds the role in the project, else fault.NotFound,
	// fault.Denied or fault.Unauthentic.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	// RequireAdmin returns nil for administrators of the installation.
	RequireAdmin(ctx context.Context, a identity.Actor) error
}
