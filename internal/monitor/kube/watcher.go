package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"towpath.dev/towpath/internal/monitor/metric"
	"towpath.dev/towpath/internal/monitor/place"
)

// Watcher knows the cluster. It is safe for concurrent use.
type Watcher struct {
	o      Options
	book   *book
	events *journal
	view   atomic.Pointer[view]
	proxy  atomic.Pointer[proxy]
	listed atomic.Bool // the book was complete once

	mu      sync.Mutex
	changed chan struct{}
}

var (
	_ place.Places   = (*Watcher)(nil)
	_ metric.Targets = (*Watcher)(nil)
	_ metric.Owners  = (*Watcher)(nil)
)

// New returns a watcher that knows nothing yet.
func New(o Options) *Watcher {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Inventory <= 0 {
		o.Inventory = time.Minute
	}
	if o.Client == nil {
		o.Client = func(cfg *rest.Config) (kubernetes.Interface, error) { return kubernetes.NewForConfig(cfg) }
	}
	w := &Watcher{o: o, changed: make(chan struct{}), events: newJournal(o.Memory)}
	w.book = newBook(o.Name, o.Owners, o.Clock, o.Logger)
	return w
}

// Run watches until ctx ends. It waits for the cluster, and comes back after it was away.
func (w *Watcher) Run(ctx context.Context) error {
	if err := w.events.load(w.o.Clock.Now()); err != nil {
		w.o.Logger.Warn("what is remembered of events cannot be read: some may be stored twice", "error", err)
	}
	for ctx.Err() == nil {
		err := w.connect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		w.o.Logger.Debug("the cluster is not watched", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
	return nil
}

// connect watches until ctx ends or the cluster cannot be listed.
func (w *Watcher) connect(ctx context.Context) error {
	cfg, err := w.o.Cluster.Admin(ctx)
	if err != nil {
		return err
	}
	// One connection lists and watches some dozen kinds at once when it begins.
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = 50, 100
	client, err := w.o.Client(cfg)
	if err != nil {
		return fmt.Errorf("connecting to the cluster: %w", err)
	}
	transport, err := newProxy(cfg)
	if err != nil {
		return err
	}
	w.proxy.Store(transport)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return w.follow(ctx, client)
}

// follow runs the informers: list, then watch with bookmarks, and again from where the
// watch ended; that is client-go's reflector. It returns when ctx ends.
func (w *Watcher) follow(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(slim))
	v := newView(factory)
	booked, err := w.handle(ctx, v)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer w.view.Store(nil)
	first, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if !cache.WaitForCacheSync(first.Done(), append(booked, v.nodes.HasSynced)...) {
		return errors.New("the cluster did not list its pods, nodes and namespaces")
	}
	w.book.sweep(v.Pods())
	w.listed.Store(true)
	w.view.Store(v)
	w.touch()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { w.book.refresh(ctx, w.touch) })
	if w.o.Sink != nil {
		wg.Go(func() { w.inventories(ctx, v) })
		wg.Go(func() { w.writeEvents(ctx) })
	}
	<-ctx.Done()
	return nil
}

// handle gives pods to the book and events to the journal as they change. What it returns
// says when the book has the pods and namespaces that there were at the beginning.
func (w *Watcher) handle(ctx context.Context, v *view) (booked []cache.InformerSynced, err error) {
	pods, err := v.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.pod(ctx, o, false) },
		UpdateFunc: func(_, o any) { w.pod(ctx, o, false) },
		DeleteFunc: func(o any) { w.pod(ctx, o, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching pods: %w", err)
	}
	namespaces, err := v.namespaces.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(o any) {
		if n, ok := o.(*corev1.Namespace); ok {
			w.book.owner(ctx, n.Name, w.o.Clock.Now())
		}
	}})
	if err != nil {
		return nil, fmt.Errorf("watching namespaces: %w", err)
	}
	booked = []cache.InformerSynced{pods.HasSynced, namespaces.HasSynced}
	if w.o.Sink == nil {
		return booked, nil
	}
	_, err = v.events.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.events.note(o) },
		UpdateFunc: func(_, o any) { w.events.note(o) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching events: %w", err)
	}
	return booked, nil
}

// pod takes what has become of a pod.
func (w *Watcher) pod(ctx context.Context, o any, gone bool) {
	p := podOf(o)
	if p == nil {
		return
	}
	if w.book.put(ctx, p, gone) {
		w.touch()
	}
	if v := w.view.Load(); v != nil {
		v.poke()
	}
}

// touch tells those who wait that the targets may have changed.
func (w *Watcher) touch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.changed)
	w.changed = make(chan struct{})
}

// Changed returns a channel that closes when Targets would answer otherwise.
func (w *Watcher) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// Handlers returns what answers in this process for targets of Targets, by address: the way
// through the API server with the platform's rights, and the state series.
func (w *Watcher) Handlers() map[string]http.Handler {
	return map[string]http.Handler{throughAPI: http.HandlerFunc(w.serveProxy), stateSeries: w.stateHandler()}
}
