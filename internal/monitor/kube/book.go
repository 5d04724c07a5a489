package kube

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/metric"
	"towpath.dev/towpath/internal/monitor/place"
)

// How long a pod that is gone is known by its uid and name, and by its address. The address
// may be given to somebody else's pod soon, who must not pass for it.
const (
	known     = 10 * time.Minute
	addressed = 15 * time.Second
)

// How often owners and releases are asked for again: of pods in general, and of a young pod
// whose release is not known yet, as while it is rolled out.
const (
	refreshEvery = 30 * time.Second
	refreshYoung = 3 * time.Second
	young        = 15 * time.Minute
)

// book knows the places of pods.
type book struct {
	cluster string
	owners  Owners
	clock   clock.Clock
	logger  *slog.Logger

	mu         sync.RWMutex
	pods       map[string]*entry     // by uid
	names      map[[2]string]*entry  // by namespace and name: the newest
	addresses  map[netip.Addr]*entry // of pods with an address of their own
	namespaces map[string]owner
	containers map[string]contained // by id, those before a restart too
	swept      time.Time
}

// contained is a container that was seen.
type contained struct {
	metric.Container
	seen time.Time
}

type entry struct {
	place place.Place
	pod   Pod
	also  []netip.Addr // its addresses but place.Address
	gone  time.Time    // zero while it is there
	quiet time.Time    // since when its address is not its own any more
	asked time.Time    // when its release was asked for
}

type owner struct {
	project, environment string
	asked                time.Time
}

func newBook(cluster string, o Owners, c clock.Clock, l *slog.Logger) *book {
	return &book{
		cluster: cluster, owners: o, clock: c, logger: l, pods: map[string]*entry{}, names: map[[2]string]*entry{},
		addresses: map[netip.Addr]*entry{}, namespaces: map[string]owner{}, containers: map[string]contained{},
	}
}

// put notes what has become of a pod and reports whether what is to be scraped may differ.
func (b *book) put(ctx context.Context, p *corev1.Pod, gone bool) (changed bool) {
	now := b.clock.Now()
	b.mu.RLock()
	old := b.pods[string(p.UID)]
	b.mu.RUnlock()
	e := &entry{place: b.placeOf(ctx, p, now), pod: subject(p), also: otherAddresses(p)}
	switch {
	case old != nil:
		e.place.Release, e.asked, e.gone, e.quiet = old.place.Release, old.asked, old.gone, old.quiet
	case !gone && e.place.Environment != "":
		e.place.Release, e.asked = b.release(ctx, e.pod), now
	}
	if gone && e.gone.IsZero() {
		e.gone = now
	}
	if e.quiet.IsZero() && (gone || over(p)) {
		e.quiet = now
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.store(e)
	for _, c := range e.place.Containers {
		if c.ID != "" {
			b.containers[c.ID] = contained{metric.Container{Namespace: p.Namespace, Pod: p.Name, Name: c.Name, Image: c.Image}, now}
		}
	}
	return old == nil || gone || old.place.Address != e.place.Address || old.place.Project != e.place.Project || !maps.Equal(old.pod.Annotations, e.pod.Annotations)
}

// store puts an entry under its keys; what is newer there stays.
func (b *book) store(e *entry) {
	b.pods[e.place.UID] = e
	key := [2]string{e.place.Namespace, e.place.Pod}
	if at := b.names[key]; at == nil || at.place.UID == e.place.UID || e.gone.IsZero() || !at.gone.IsZero() {
		b.names[key] = e
	}
	for _, a := range e.addresses() {
		if at := b.addresses[a]; at == nil || at.place.UID == e.place.UID || e.quiet.IsZero() {
			b.addresses[a] = e
		}
	}
}

// addresses returns the pod's own addresses.
func (e *entry) addresses() []netip.Addr {
	if !e.place.Address.IsValid() {
		return nil
	}
	return append([]netip.Addr{e.place.Address}, e.also...)
}

// otherAddresses returns a pod's addresses after the first: those of the other IP family.
func otherAddresses(p *corev1.Pod) []netip.Addr {
	var out []netip.Addr
	for i, ip := range p.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil && i > 0 {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// placeOf says all of a pod's place but its release.
func (b *book) placeOf(ctx context.Context, p *corev1.Pod, now time.Time) place.Place {
	at := place.Place{
		Cluster: b.cluster, Node: p.Spec.NodeName, Namespace: p.Namespace, Pod: p.Name, UID: string(p.UID), Workload: workloadOf(p),
		Labels: p.Labels, Containers: containersOf(p),
	}
	at.Project, at.Environment = b.owner(ctx, p.Namespace, now)
	if p.Status.StartTime != nil {
		at.Started = p.Status.StartTime.UTC()
	}
	if a, err := netip.ParseAddr(p.Status.PodIP); err == nil && !p.Spec.HostNetwork {
		at.Address = a.Unmap()
	}
	return at
}

// owner returns whose a namespace is; an answer serves for half a minute, and when the port
// cannot answer, for longer. That it is nobody's serves for three seconds only: rows are
// stored with what is known when they come, and an environment may have been made since.
func (b *book) owner(ctx context.Context, namespace string, now time.Time) (project, environment string) {
	b.mu.RLock()
	o, ok := b.namespaces[namespace]
	b.mu.RUnlock()
	serves := refreshEvery
	if o.project == "" {
		serves = refreshYoung
	}
	if ok && now.Sub(o.asked) < serves {
		return o.project, o.environment
	}
	if b.owners == nil {
		return "", ""
	}
	project, environment, err := b.owners.Owner(ctx, namespace)
	if err != nil {
		b.logger.Warn("it is not known whose a namespace is", "namespace", namespace, "error", err)
		return o.project, o.environment
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.namespaces[namespace] = owner{project, environment, now}
	return project, environment
}

func (b *book) release(ctx context.Context, p Pod) string {
	if b.owners == nil {
		return ""
	}
	r, err := b.owners.ReleaseOf(ctx, p)
	if err != nil {
		b.logger.Warn("the release of a pod is not known", "namespace", p.Namespace, "pod", p.Name, "error", err)
	}
	return r
}

// sweep marks the pods as gone that went while nobody watched.
func (b *book) sweep(there []*corev1.Pod) {
	now := b.clock.Now()
	alive := map[string]bool{}
	for _, p := range there {
		alive[string(p.UID)] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for uid, e := range b.pods {
		if !alive[uid] && e.gone.IsZero() {
			gone := *e
			gone.gone, gone.quiet = now, now
			b.store(&gone)
		}
	}
}

// refresh asks again for owners and releases, and forgets what is long gone, until ctx ends.
func (b *book) refresh(ctx context.Context, touch func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(refreshYoung):
		}
		if b.again(ctx) {
			touch()
		}
	}
}

// again does one round and reports whether an owner has changed.
func (b *book) again(ctx context.Context) (changed bool) {
	now := b.clock.Now()
	b.askOwners(ctx, now)
	b.mu.Lock()
	b.forgetContainers(now)
	var due []*entry
	for uid, e := range b.pods {
		age := now.Sub(e.asked)
		switch {
		case !e.gone.IsZero() && now.Sub(e.gone) > known:
			b.forget(uid, e)
		case !e.gone.IsZero():
		case age > refreshEvery, age > refreshYoung && e.place.Release == "" && now.Sub(e.place.Started) < young:
			due = append(due, e)
		}
	}
	b.mu.Unlock()
	for _, e := range due {
		next := *e
		next.asked = now
		next.place.Project, next.place.Environment = b.owner(ctx, e.place.Namespace, now)
		if next.place.Environment != "" {
			if r := b.release(ctx, e.pod); r != "" {
				next.place.Release = r
			}
		}
		changed = changed || next.place.Project != e.place.Project
		b.mu.Lock()
		if b.pods[e.place.UID] == e { // else it was put anew meanwhile
			b.store(&next)
		}
		b.mu.Unlock()
	}
	return changed
}

// askOwners asks again for the owners of namespaces, those without pods too.
func (b *book) askOwners(ctx context.Context, now time.Time) {
	b.mu.RLock()
	names := slices.Collect(maps.Keys(b.namespaces))
	b.mu.RUnlock()
	for _, n := range names {
		b.owner(ctx, n, now)
	}
}

// forgetContainers removes containers that were not seen for long and are not there; the
// caller holds the lock.
func (b *book) forgetContainers(now time.Time) {
	if now.Sub(b.swept) < known {
		return
	}
	b.swept = now
	alive := map[string]bool{}
	for _, e := range b.pods {
		for _, c := range e.place.Containers {
			alive[c.ID] = true
		}
	}
	for id, c := range b.containers {
		if !alive[id] && now.Sub(c.seen) > known {
			delete(b.containers, id)
		}
	}
}

// forget removes an entry; the caller holds the lock.
func (b *book) forget(uid string, e *entry) {
	delete(b.pods, uid)
	if key := [2]string{e.place.Namespace, e.place.Pod}; b.names[key] != nil && b.names[key].place.UID == uid {
		delete(b.names, key)
	}
	for _, a := range e.addresses() {
		if at := b.addresses[a]; at != nil && at.place.UID == uid {
			delete(b.addresses, a)
		}
	}
}

func (b *book) find(get func() *entry) (place.Place, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	e := get()
	if e == nil || !e.gone.IsZero() && b.clock.Now().Sub(e.gone) > known {
		return place.Place{}, false
	}
	return e.place, true
}

// ByUID finds a pod by its uid; see place.Places.
func (w *Watcher) ByUID(uid string) (place.Place, bool) {
	return w.book.find(func() *entry { return w.book.pods[uid] })
}

// ByName finds the newest pod of that name; see place.Places.
func (w *Watcher) ByName(namespace, pod string) (place.Place, bool) {
	return w.book.find(func() *entry { return w.book.names[[2]string{namespace, pod}] })
}

// ByAddress finds the pod that has an address; see place.Places. A pod that has ended is
// found by its address for fifteen seconds only, since another one may get it.
func (w *Watcher) ByAddress(a netip.Addr) (place.Place, bool) {
	return w.book.find(func() *entry {
		e := w.book.addresses[a.Unmap()]
		if e != nil && !e.quiet.IsZero() && w.book.clock.Now().Sub(e.quiet) > addressed {
			return nil
		}
		return e
	})
}

// Container finds a container by its id; see metric.Owners.
func (w *Watcher) Container(id string) (metric.Container, bool) {
	w.book.mu.RLock()
	defer w.book.mu.RUnlock()
	c, ok := w.book.containers[id]
	return c.Container, ok
}

// Listed reports whether every pod that there was has been seen since the start; see
// ingest.Owners.
func (w *Watcher) Listed() bool { return w.listed.Load() }

// ReleaseOf returns the release of a pod that the watcher does not know any more; see
// ingest.Owners.
func (w *Watcher) ReleaseOf(ctx context.Context, namespace, uid string) string {
	return w.book.release(ctx, Pod{Namespace: namespace, UID: uid})
}

// NamespaceOwner returns whose a namespace is, from memory; see metric.Owners.
func (w *Watcher) NamespaceOwner(namespace string) (project, environment string) {
	w.book.mu.RLock()
	defer w.book.mu.RUnlock()
	o := w.book.namespaces[namespace]
	return o.project, o.environment
}
