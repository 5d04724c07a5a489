package enforce

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
)

// helmRelease is the annotation in which Helm names its release.
const helmRelease = "meta.helm.sh/release-name"

// maxOwners bounds how many objects are remembered, maxDepth how far owners are followed:
// pod, Job, CronJob and one of somebody's own kinds.
const (
	maxOwners = 20_000
	maxDepth  = 5
)

// Self is what an object says of itself and of where it comes from.
type Self struct {
	Object
	UID   types.UID
	owner *metav1.OwnerReference // its controller; nil for none
	helm  string
}

// SelfOf reads an object's metadata.
func SelfOf(gk schema.GroupKind, m metav1.Object) Self {
	return Self{
		Object: Object{Namespace: m.GetNamespace(), Group: gk.Group, Kind: gk.Kind, Name: m.GetName()},
		UID:    m.GetUID(), owner: metav1.GetControllerOf(m), helm: m.GetAnnotations()[helmRelease],
	}
}

// owners follows objects to the one that somebody applied. What an object's controller is
// does not change in its life, so it is asked once.
type owners struct {
	cluster Cluster
	mu      sync.Mutex
	known   map[types.UID]Self
}

func newOwners(c Cluster) *owners { return &owners{cluster: c, known: map[types.UID]Self{}} }

// root follows controllers upwards. An owner that is gone ends the way: the last that was
// found is the root.
func (o *owners) root(ctx context.Context, self Self) (Self, error) {
	o.remember(self)
	for range maxDepth {
		if self.owner == nil {
			break
		}
		next, ok, err := o.find(ctx, self.Namespace, *self.owner)
		if err != nil || !ok {
			return self, err
		}
		self = next
	}
	return self, nil
}

func (o *owners) remember(s Self) {
	if s.UID == "" {
		return // It does not exist yet.
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.known) >= maxOwners {
		clear(o.known)
	}
	if s.Kind != "Pod" { // Pods own nothing.
		o.known[s.UID] = s
	}
}

func (o *owners) find(ctx context.Context, namespace string, ref metav1.OwnerReference) (Self, bool, error) {
	o.mu.Lock()
	s, ok := o.known[ref.UID]
	o.mu.Unlock()
	if ok {
		return s, s.Namespace == namespace || s.Namespace == "", nil
	}
	cfg, err := o.cluster.Admin(ctx)
	if err != nil {
		return Self{}, false, err
	}
	c, err := metadata.NewForConfig(cfg)
	if err != nil {
		return Self{}, false, fmt.Errorf("making a client: %w", err)
	}
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	resource, _ := meta.UnsafeGuessKindToResource(gvk)
	got, err := c.Resource(resource).Namespace(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && got.UID != ref.UID {
		return Self{}, false, nil
	}
	if err != nil {
		return Self{}, false, fmt.Errorf("reading %s %s/%s: %w", ref.Kind, namespace, ref.Name, err)
	}
	s = SelfOf(gvk.GroupKind(), got)
	o.remember(s)
	return s, true, nil
}
