package deploy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// TestFollow has the API server end watches in its different ways and wants to know from
// which version each next one begins, and that none spins.
func TestFollow(t *testing.T) {
	pod := func(version string) watch.Event {
		return watch.Event{Type: watch.Modified, Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}}
	}
	gone := watch.Event{Type: watch.Error, Object: &metav1.Status{Code: 410}}
	for _, c := range []struct {
		name   string
		events []watch.Event // of the first watch; the later ones bring nothing
		refuse bool
		want   []string // versions that the watches of three seconds begin from
	}{
		{"GoesOn", []watch.Event{pod("7"), pod("9")}, false, []string{"5", "9", "9", "9", "9"}},
		{"Gone", []watch.Event{gone}, false, []string{"5", "", "", ""}},
		{"GoneLater", []watch.Event{pod("7"), gone}, false, []string{"5", "", "", ""}},
		{"Refused", nil, true, []string{"5", "", "", ""}},
		{"Nothing", nil, false, []string{"5", "5", "5", "5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithTimeout(t.Context(), 3*followPause+time.Millisecond)
				defer stop()
				var got []string
				follow(ctx, "5", func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
					got = append(got, o.ResourceVersion)
					if c.refuse {
						return nil, errors.New("refused")
					}
					ch := make(chan watch.Event, len(c.events))
					if len(got) == 1 {
						for _, e := range c.events {
							ch <- e
						}
					}
					close(ch)
					return watch.NewProxyWatcher(ch), nil
				}, metav1.ListOptions{}, func(*corev1.Pod) {})
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("versions (-want +got):\n%s", diff)
				}
			})
		})
	}
}
