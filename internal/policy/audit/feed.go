package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// pageSize is how many objects are listed at once, and so how many are in memory.
const pageSize = 500

// feed follows the objects of one kind.
type feed struct {
	*session
	kind     schema.GroupKind
	resource schema.GroupVersionResource
	spaced   bool          // its objects lie in namespaces
	because  cause         // of the first list
	relist   chan struct{} // wishes to judge all of them again
	listed   chan struct{} // closes when all were passed on for the first time
	after    []<-chan struct{}
	stop     context.CancelFunc
	ended    chan struct{} // closes when it has stopped
}

func (f *feed) client() dynamic.NamespaceableResourceInterface {
	return f.to.objects.Resource(f.resource)
}

// run follows the kind until ctx ends. Errors other than the kind's absence are retried.
func (f *feed) run(ctx context.Context) {
	for _, c := range f.after {
		select {
		case <-ctx.Done():
			return
		case <-c:
		}
	}
	why, first := f.because, true
	for ctx.Err() == nil {
		drain(f.relist)
		at, err := f.list(ctx, why)
		if first {
			close(f.listed)
			first = false
		}
		if err == nil {
			why = changed
			f.caughtUp(ctx, f)
			var wished bool
			if wished, err = f.watch(ctx, at); wished {
				why = rejudged
				continue
			}
		}
		if ctx.Err() != nil {
			return
		}
		f.Logger.Debug("objects are not followed", "kind", f.kind.String(), "error", err)
		f.publish(func(p *Progress) { p.Error = err.Error() })
		if unreachable(err) {
			f.fail(err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// list passes every object on and finds those that are gone. It returns the version from
// which to watch.
func (f *feed) list(ctx context.Context, why cause) (string, error) {
	there := map[types.UID]bool{}
	at, err := f.pages(ctx, metav1.NamespaceAll, func(u *unstructured.Unstructured) error {
		there[u.GetUID()] = true
		f.index.add(&f.kind, u.GetUID())
		return f.pass(ctx, task{kind: f.kind, object: u, cause: why})
	})
	if err != nil {
		return "", err
	}
	known, err := f.objectsOf(ctx, f.kind)
	if err != nil {
		return "", err
	}
	for _, uid := range append(known, f.index.of(f.kind)...) {
		if there[uid] {
			continue
		}
		there[uid] = true
		if err := f.gone(ctx, uid, time.Time{}); err != nil {
			return "", err
		}
	}
	return at, nil
}

// pages lists the objects of a namespace, or of all, page by page. It returns the version
// that was listed.
func (f *feed) pages(ctx context.Context, namespace string, each func(*unstructured.Unstructured) error) (string, error) {
	options := metav1.ListOptions{Limit: pageSize}
	for {
		l, err := f.client().Namespace(namespace).List(ctx, options)
		if err != nil {
			return "", fmt.Errorf("listing objects of kind %s: %w", f.kind, err)
		}
		for i := range l.Items {
			// The page must not keep in memory what was passed on.
			u := &unstructured.Unstructured{Object: l.Items[i].Object}
			l.Items[i].Object = nil
			u.SetGroupVersionKind(f.resource.GroupVersion().WithKind(f.kind.Kind))
			if err := each(u); err != nil {
				return "", err
			}
		}
		if options.Continue = l.GetContinue(); options.Continue == "" {
			return l.GetResourceVersion(), nil
		}
	}
}

func (f *feed) gone(ctx context.Context, uid types.UID, received time.Time) error {
	f.index.remove(uid)
	return f.pass(ctx, task{kind: f.kind, gone: uid, received: received})
}

// watch passes changes on until it must list again. wished says that somebody asked for it.
func (f *feed) watch(ctx context.Context, at string) (wished bool, err error) {
	for {
		w, err := f.client().Watch(ctx, metav1.ListOptions{ResourceVersion: at, AllowWatchBookmarks: true})
		if err != nil {
			return false, fmt.Errorf("watching objects: %w", err)
		}
		at, wished, err = f.events(ctx, w, at)
		w.Stop()
		if wished || err != nil || ctx.Err() != nil {
			return wished, err
		}
		// The API server ends watches from time to time; not at once again, in case that it
		// does so for a reason.
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(retryEvery / 20):
		}
	}
}

func (f *feed) events(ctx context.Context, w watch.Interface, at string) (string, bool, error) {
	for {
		select {
		case <-ctx.Done():
			return at, false, nil
		case <-f.relist:
			return at, true, nil
		case e, ok := <-w.ResultChan():
			if !ok {
				return at, false, nil
			}
			if e.Type == watch.Error {
				return at, false, fmt.Errorf("watching objects: %w", apierrors.FromObject(e.Object))
			}
			u, ok := e.Object.(*unstructured.Unstructured)
			if !ok {
				return at, false, errors.New("the API server announced something that is no object")
			}
			at = u.GetResourceVersion()
			if err := f.event(ctx, e.Type, u); err != nil {
				return at, false, err
			}
		}
	}
}

func (f *feed) event(ctx context.Context, typ watch.EventType, u *unstructured.Unstructured) error {
	switch typ {
	case watch.Added, watch.Modified:
		f.index.add(&f.kind, u.GetUID())
		return f.pass(ctx, task{kind: f.kind, object: u, cause: changed, received: time.Now()})
	case watch.Deleted:
		return f.gone(ctx, u.GetUID(), time.Now())
	}
	return nil // a bookmark
}

// digests returns the digests of the images that an object's pods run.
func digests(object map[string]any) []string {
	var spec map[string]any
	for _, fields := range [][]string{{"spec"}, {"spec", "template", "spec"}, {"spec", "jobTemplate", "spec", "template", "spec"}} {
		if s, ok, err := unstructured.NestedFieldNoCopy(object, fields...); ok && err == nil {
			if m, ok := s.(map[string]any); ok && m["containers"] != nil {
				spec = m
			}
		}
	}
	seen := map[string]bool{}
	var out []string
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		all, _ := spec[list].([]any)
		for _, c := range all {
			m, _ := c.(map[string]any)
			image, _ := m["image"].(string)
			if d := digestOf(image); d != "" && !seen[d] {
				seen[d] = true
				out = append(out, d)
			}
		}
	}
	return out
}

var podKind = schema.GroupKind{Group: corev1.GroupName, Kind: "Pod"}
