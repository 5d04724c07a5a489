package deploy

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"towpath.dev/towpath/internal/fault"
)

// How often environments are looked at for drift: all of them every driftEvery, and one of
// which an object changed after driftSettle, so that many changes make one look.
const (
	driftEvery  = time.Minute
	driftSettle = 3 * time.Second
)

// A drift that comes back maxMends times in mendWindow is somebody's program: it is told of
// instead of put back, until the window is over.
const (
	maxMends   = 3
	mendWindow = 10 * time.Minute
)

// driftWatch is what is to be looked at for drift, and how often was mended lately.
type driftWatch struct {
	mu      sync.Mutex
	touched map[string]bool // namespaces
	wake    chan struct{}
	mends   map[string][]time.Time // by namespace and object
}

func newDriftWatch() *driftWatch {
	return &driftWatch{touched: map[string]bool{}, wake: make(chan struct{}, 1), mends: map[string][]time.Time{}}
}

// touch asks for a look at a namespace soon.
func (d *driftWatch) touch(namespace string) {
	d.mu.Lock()
	d.touched[namespace] = true
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take returns the namespaces that were touched.
func (d *driftWatch) take() map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.touched
	d.touched = map[string]bool{}
	return out
}

// mayMend counts one more time that an object is put back, and says whether it may be.
func (d *driftWatch) mayMend(key string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	var recent []time.Time
	for _, at := range d.mends[key] {
		if now.Sub(at) < mendWindow {
			recent = append(recent, at)
		}
	}
	if len(recent) >= maxMends {
		d.mends[key] = recent
		return false
	}
	d.mends[key] = append(recent, now)
	return true
}

// driftAll looks for drift until ctx ends.
func (s *Service) driftAll(ctx context.Context) {
	go s.watchDrift(ctx)
	every := time.NewTicker(driftEvery)
	defer every.Stop()
	for ctx.Err() == nil {
		only := map[string]bool(nil) // all
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			s.drift.take()
		case <-s.drift.wake:
			if sleep(ctx, driftSettle) != nil {
				return
			}
			only = s.drift.take()
		}
		places, err := s.Places(ctx)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("looking for drift", "error", err)
		}
		for _, env := range places {
			if env.Drift == Off || only != nil && !only[env.Namespace] {
				continue
			}
			if err := s.lookForDrift(ctx, env); err != nil && ctx.Err() == nil && !fault.Is(err, fault.Unavailable) {
				s.Logger.Warn("looking for drift", "project", env.Project, "environment", env.Name, "error", err)
			}
		}
	}
}

// driftKinds are watched; other kinds of a manifest are looked at every driftEvery.
var driftKinds = []schema.GroupVersionResource{
	{Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "apps", Version: "v1", Resource: "statefulsets"},
	{Group: "apps", Version: "v1", Resource: "daemonsets"}, {Version: "v1", Resource: "services"}, {Version: "v1", Resource: "configmaps"},
	{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
}

// watchDrift watches the metadata of the kinds that people change, until ctx ends.
func (s *Service) watchDrift(ctx context.Context) {
	for ctx.Err() == nil {
		cfg, err := s.Clusters.Admin(ctx)
		if err != nil {
			if sleep(ctx, 5*time.Second) != nil {
				return
			}
			continue
		}
		client, err := metadata.NewForConfig(cfg)
		if err != nil {
			s.Logger.Error("watching for drift", "error", err)
			return
		}
		factory := metadatainformer.NewSharedInformerFactory(client, 0)
		for _, kind := range driftKinds {
			informer := factory.ForResource(kind).Informer()
			if _, err := informer.AddEventHandler(s.driftHandler()); err != nil {
				s.Logger.Error("watching for drift", "kind", kind.Resource, "error", err)
			}
		}
		factory.Start(ctx.Done())
		<-ctx.Done()
		factory.Shutdown()
	}
}

// driftHandler touches the namespace of what changed. A change of status does not count.
func (s *Service) driftHandler() cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(a, b any) {
			was, ok := a.(*metav1.PartialObjectMetadata)
			now, is := b.(*metav1.PartialObjectMetadata)
			if ok && is && was.ResourceVersion != now.ResourceVersion && (now.Generation == 0 || was.Generation != now.Generation) {
				s.drift.touch(now.Namespace)
			}
		},
		DeleteFunc: func(v any) {
			if d, ok := v.(cache.DeletedFinalStateUnknown); ok {
				v = d.Obj
			}
			if o, ok := v.(*metav1.PartialObjectMetadata); ok {
				s.drift.touch(o.Namespace)
			}
		},
	}
}
