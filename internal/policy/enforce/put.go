package enforce

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"towpath.dev/towpath/internal/policy/vap"
)

// fieldManager is our name at the API server.
const fieldManager = "towpath-policy"

// content is what an object says: wish as we asked for it, live as the API server keeps it,
// with its defaults.
type content struct{ wish, live [sha256.Size]byte }

// mine selects the objects of this installation.
func (s *Sync) mine() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: vap.Managed + "=" + vap.Mark(s.Owner)}
}

// list returns every object that bears our label.
func (s *Sync) list(ctx context.Context, c dynamic.Interface) (map[key]*unstructured.Unstructured, error) {
	out := map[key]*unstructured.Unstructured{}
	for _, k := range kinds() {
		l, err := c.Resource(k).List(ctx, s.mine())
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", k.Resource, err)
		}
		for i := range l.Items {
			out[key{k, l.Items[i].GetName()}] = &l.Items[i]
		}
	}
	return out, nil
}

// put writes an object unless it lives as it is to be. It reports whether somebody else had
// changed it.
func (s *Sync) put(ctx context.Context, c dynamic.Interface, w wanted, live *unstructured.Unstructured) (drift bool, err error) {
	wish, err := sum(w.object)
	if err != nil {
		return false, err
	}
	was, known := s.written[w.key]
	if known && was.wish == wish && live != nil {
		now, err := sum(live)
		if err != nil || now == was.live && bears(live, w.object) {
			return false, err
		}
	}
	got, err := apply(ctx, c, w)
	if err != nil {
		return false, fmt.Errorf("applying %s %s: %w", w.kind.Resource, w.name, err)
	}
	now, err := sum(got)
	if err != nil {
		return false, err
	}
	s.written[w.key] = content{wish, now}
	return known && was.wish == wish, nil
}

// apply writes an object by server-side apply. That leaves what others added to it, a
// condition that never holds for one; so what others own is replaced as a whole.
func apply(ctx context.Context, c dynamic.Interface, w wanted) (*unstructured.Unstructured, error) {
	got, err := c.Resource(w.kind).Apply(ctx, w.name, w.object, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err != nil || !shared(got) {
		return got, err
	}
	whole := w.object.DeepCopy()
	whole.SetResourceVersion(got.GetResourceVersion())
	return c.Resource(w.kind).Update(ctx, whole, metav1.UpdateOptions{FieldManager: fieldManager})
}

// shared reports whether somebody besides our apply owns a field outside of metadata and
// status.
func shared(u *unstructured.Unstructured) bool {
	for _, m := range u.GetManagedFields() {
		if m.Manager == fieldManager && m.Operation == metav1.ManagedFieldsOperationApply || m.Subresource != "" || m.FieldsV1 == nil {
			continue
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(m.FieldsV1.Raw, &fields); err != nil {
			return true
		}
		delete(fields, "f:metadata")
		if len(fields) > 0 {
			return true
		}
	}
	return false
}

// sum returns the digest of what an object says, without metadata and status.
func sum(u *unstructured.Unstructured) ([sha256.Size]byte, error) {
	said := map[string]any{}
	for k, v := range u.Object {
		if k != "metadata" && k != "status" {
			said[k] = v
		}
	}
	b, err := json.Marshal(said)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("encoding %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return sha256.Sum256(b), nil
}

// bears reports whether an object has the labels and annotations that it is to have.
func bears(live, want *unstructured.Unstructured) bool {
	return within(want.GetLabels(), live.GetLabels()) && within(want.GetAnnotations(), live.GetAnnotations())
}

func within(want, have map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// remove deletes what bears our label and is not wanted, bindings before their policies. It
// returns how many of them we never wrote.
func (s *Sync) remove(ctx context.Context, c dynamic.Interface, want []wanted, live map[key]*unstructured.Unstructured) (int64, error) {
	keep := map[key]bool{}
	for _, w := range want {
		keep[w.key] = true
	}
	of := kinds()
	strange := int64(0)
	var problems []error
	for _, k := range []schema.GroupVersionResource{of[1], of[0], of[2]} {
		for at := range live {
			if at.kind != k || keep[at] {
				continue
			}
			if err := c.Resource(k).Delete(ctx, at.name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				problems = append(problems, fmt.Errorf("deleting %s %s: %w", k.Resource, at.name, err))
				continue
			}
			// Before the first set is written, what is there is left of an earlier one.
			if _, ours := s.written[at]; !ours && s.board.get().Set != "" {
				strange++
			}
			delete(s.written, at)
		}
	}
	return strange, errors.Join(problems...)
}

// watch asks for a look at the cluster whenever one of our objects of a kind changes, until
// ctx ends.
func (s *Sync) watch(ctx context.Context, c dynamic.Interface, k schema.GroupVersionResource, kick chan<- struct{}) {
	for ctx.Err() == nil {
		w, err := c.Resource(k).Watch(ctx, s.mine())
		if err == nil {
			for range w.ResultChan() {
				select {
				case kick <- struct{}{}:
				default:
				}
			}
			w.Stop()
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery / 4):
		}
	}
}

// gone reports whether the API server cannot be reached, or does not let us in any more.
func gone(err error) bool {
	var n net.Error
	return errors.As(err, &n) || apierrors.IsUnauthorized(err) || apierrors.IsServiceUnavailable(err)
}
