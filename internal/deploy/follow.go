package deploy

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// follow watches objects from a version on and hands each that is there to see, until ctx
// ends. When the API server ends the watch it goes on from the last object; when it refuses
// to begin one, after a second with all that is there then.
func follow[T metav1.Object](ctx context.Context, version string, start func(context.Context, metav1.ListOptions) (watch.Interface, error), o metav1.ListOptions, see func(T)) {
	for ctx.Err() == nil {
		o.ResourceVersion = version
		w, err := start(ctx, o)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			version = ""
			continue
		}
		for e := range w.ResultChan() {
			if at, ok := e.Object.(T); ok && e.Type != watch.Deleted {
				version = at.GetResourceVersion()
				see(at)
			}
		}
		w.Stop()
	}
}
