package audit

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/policy/rule"
)

// Cluster is the cluster whose objects are judged.
type Cluster interface {
	// Await waits while the cluster is starting. It returns fault.Unavailable at once when
	// the cluster will not come up by itself, and when ctx ends.
	Await(ctx context.Context) error
	// Admin returns access with the platform's own rights, fault.Unavailable while the
	// cluster is not ready.
	Admin(ctx context.Context) (*rest.Config, error)
}

// Set judges objects by the rules of one set. It is never changed.
type Set interface {
	// Digest names the set: "sha256:…".
	Digest() string
	// Rules returns the rules of the set. They must not be changed.
	Rules() []rule.Rule
	// Exemptions returns the exemptions of the set, expired ones too.
	Exemptions() []rule.Exemption
	// Place returns what a namespace belongs to.
	Place(namespace string) rule.Place
	// Review returns the verdict of every rule that matches, compliant ones too.
	Review(ctx context.Context, r rule.Review) ([]rule.Verdict, error)
}

// Policies tells which set is in force.
type Policies interface {
	// Current returns the set in force.
	Current() Set
	// Changed returns a channel that closes when another set comes into force.
	Changed() <-chan struct{}
}

// Recorder keeps decisions that somebody else made.
type Recorder interface {
	// RecordRefusal records a refusal under a key, once: with a key that is known it returns
	// the decision recorded then, and false.
	RecordRefusal(ctx context.Context, key string, d policy.Decision) (policy.Decision, bool, error)
}

// Appliers tells who applied objects.
type Appliers interface {
	// Applied returns who applied an object last; false when nobody knows. Helm is the name
	// of the Helm release that the object says it belongs to, "" for none.
	Applied(ctx context.Context, o enforce.Object, helm string) (enforce.Applied, bool, error)
}

// Authoriser answers what an actor may see.
type Authoriser interface {
	// Require returns nil when the actor holds the role in the project, else fault.NotFound,
	// fault.Denied or fault.Unauthentic.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	// RequireAdmin returns nil for administrators of the installation.
	RequireAdmin(ctx context.Context, a identity.Actor) error
}

// Kind is a kind of objects that is followed.
type Kind = schema.GroupKind
