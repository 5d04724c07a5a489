package kube

import (
	"context"
	"net/http"
	"net/netip"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/metric"
	"towpath.dev/towpath/internal/monitor/place"
)

// Watcher knows the cluster. It is safe for concurrent use.
type Watcher struct{ o Options }

// New returns a watcher that knows nothing yet.
func New(o Options) *Watcher { return &Watcher{o: o} }

// Run watches until ctx ends. It waits for the cluster, and comes back after it was away.
func (w *Watcher) Run(ctx context.Context) error { return errSoon }

// ByUID finds a pod by its uid; see place.Places.
func (w *Watcher) ByUID(uid string) (place.Place, bool) { return place.Place{}, false }

// ByName finds the newest pod of that name; see place.Places.
func (w *Watcher) ByName(namespace, pod string) (place.Place, bool) { return place.Place{}, false }

// ByAddress finds the pod that has an address now, or had it last; see place.Places.
func (w *Watcher) ByAddress(a netip.Addr) (place.Place, bool) { return place.Place{}, false }

// NamespaceOwner returns whose a namespace is, from memory; see metric.Owners.
func (w *Watcher) NamespaceOwner(namespace string) (project, environment string) { return "", "" }

// Targets returns what is to be scraped; see metric.Targets.
func (w *Watcher) Targets() []metric.Target { return nil }

// Changed returns a channel that closes when Targets would answer otherwise.
func (w *Watcher) Changed() <-chan struct{} { return nil }

// Handlers returns what answers in this process for targets of Targets, by address.
func (w *Watcher) Handlers() map[string]http.Handler { return nil }

// Health returns the workloads of a project, or with all set of every project and of the
// platform; the worst first, then by environment and name.
func (w *Watcher) Health(ctx context.Context, project string, all bool) ([]Workload, error) {
	return nil, errSoon
}

// Top returns what the pods of a project use, or with all set every pod and node.
func (w *Watcher) Top(ctx context.Context, project string, all bool) (Top, error) {
	return Top{}, errSoon
}

var errSoon = fault.New(fault.Unavailable, "The cluster is not watched yet.")

var (
	_ place.Places   = (*Watcher)(nil)
	_ metric.Targets = (*Watcher)(nil)
	_ metric.Owners  = (*Watcher)(nil)
)
