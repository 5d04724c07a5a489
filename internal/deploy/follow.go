package deploy

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// followPause is how long follow waits after a watch that brought nothing or an error.
const followPause = time.Second

// follow watches objects from a version on and hands each that is there to see, until ctx
// ends. When the API server ends a watch that brought something it goes on from the last
// object at once. After one that could not begin or ended in an error, such as 410 Gone for
// a version that is forgotten, it pauses and begins with all that is there then.
func follow[T metav1.Object](ctx context.Context, version string, start func(context.Context, metav1.ListOptions) (watch.Interface, error), o metav1.ListOptions, see func(T)) {
	for ctx.Err() == nil {
		o.ResourceVersion = version
		last, failed := followOnce(ctx, start, o, see)
		if !failed && last != "" {
			version = last
			continue
		}
		if failed {
			version = ""
		}
		select {
		case <-ctx.Done():
		case <-time.After(followPause):
		}
	}
}

// followOnce is one watch: it returns the version of the last object, "" when there came
// none, and whether the API server refused the watch or broke it off.
func followOnce[T metav1.Object](ctx context.Context, start func(context.Context, metav1.ListOptions) (watch.Interface, error), o metav1.ListOptions, see func(T)) (last string, failed bool) {
	w, err := start(ctx, o)
	if err != nil {
		return "", true
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			return last, true
		}
		if at, ok := e.Object.(T); ok && e.Type != watch.Deleted {
			last = at.GetResourceVersion()
			see(at)
		}
	}
	return last, false
}
