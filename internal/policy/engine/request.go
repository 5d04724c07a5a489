package engine

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"towpath.dev/towpath/internal/policy/rule"
)

// request is a review made ready for the drivers: objects copied into Kubernetes' form,
// and the place as the set knows it.
type request struct {
	kind        schema.GroupVersionKind
	resource    schema.GroupVersionResource
	sub         string
	name        string
	namespace   string
	place       rule.Place
	clusterWide bool
	operation   string // as it was asked; "" at rest
	user        string
	info        authenticationv1.UserInfo
	labels      map[string]string
	dryRun      bool
	object      *unstructured.Unstructured // of a DELETE nil
	old         *unstructured.Unstructured
	path        string // of the pod in the workload, of an expanded one
}

var namespaceKind = schema.GroupKind{Kind: "Namespace"}

// request checks a review and makes it ready.
func (s *Set) request(r rule.Review) (*request, error) {
	q := &request{
		kind: r.Kind, sub: r.Sub, name: r.Name, namespace: r.Place.Namespace, place: r.Place, operation: r.Operation,
		user: r.User.Username, info: r.User, labels: r.NamespaceLabels, dryRun: r.DryRun,
	}
	object, old := r.Object, r.Old
	switch r.Operation {
	case "DELETE":
		// The object that goes is the old one, in the API server's words.
		if old == nil {
			old = object
		}
		object = nil
		if old == nil {
			return nil, fmt.Errorf("judging the deletion of %s %q: the object is missing", r.Kind.Kind, r.Name)
		}
	case "", "CREATE", "UPDATE", "CONNECT":
		if object == nil {
			return nil, fmt.Errorf("judging %s %q: the object is missing", r.Kind.Kind, r.Name)
		}
	default:
		return nil, fmt.Errorf("judging %s %q: the operation %q is not known", r.Kind.Kind, r.Name, r.Operation)
	}
	q.object, q.old = q.ready(object), q.ready(old)
	first := q.object
	if first == nil {
		first = q.old
	}
	if q.kind.Kind == "" {
		q.kind = first.GroupVersionKind()
	}
	if q.kind.Kind == "" || q.kind.Version == "" {
		return nil, fmt.Errorf("judging %q: the object has no kind or apiVersion", r.Name)
	}
	if q.name == "" {
		q.name = first.GetName()
	}
	q.resource = schema.GroupVersionResource{Group: q.kind.Group, Version: q.kind.Version, Resource: r.Resource}
	// The API server names a Namespace as its own namespace; it belongs to the cluster all
	// the same.
	q.clusterWide = q.namespace == "" || q.kind.GroupKind() == namespaceKind
	if known, ok := s.known[placeKey{q.place.Cluster, q.place.Namespace}]; ok {
		q.place = known
	}
	return q, nil
}

// ready copies an object; it gets the namespace of its place when it names none, as the
// API server does.
func (q *request) ready(object map[string]any) *unstructured.Unstructured {
	if object == nil {
		return nil
	}
	copied, _ := normal(object).(map[string]any)
	u := &unstructured.Unstructured{Object: copied}
	if hasNull(copied) {
		withoutNulls(copied, u.GroupVersionKind())
	}
	if q.namespace != "" && u.GetNamespace() == "" && u.GroupVersionKind().GroupKind() != namespaceKind {
		u.SetNamespace(q.namespace)
	}
	return u
}

// leaves reports whether the request only lets go: of an object that was deleted, or of pods
// of a ReplicaSet.
func (q *request) leaves() bool {
	if q.object == nil || q.old == nil {
		return false
	}
	return Leaves(q.operation, q.object.Object, q.old.Object) || Shrinks(q.kind.GroupKind(), q.sub, q.operation, q.object.Object, q.old.Object)
}

// expanded returns the request for the pod that the object would make; nil when it makes
// none.
func (q *request) expanded() *request {
	if q.object == nil || q.sub != "" {
		return nil
	}
	pod, path, ok := Expand(q.object.Object)
	if !ok {
		return nil
	}
	p := *q
	p.kind = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	p.resource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	p.object, p.old, p.path, p.operation = &unstructured.Unstructured{Object: pod}, nil, path, "CREATE"
	return &p
}

// asked is the operation that the programs are told: an object at rest is judged as if it
// were made now.
func (q *request) asked() string {
	if q.operation == "" {
		return "CREATE"
	}
	return q.operation
}

// admission returns the request in the API server's words, for Rego.
func (q *request) admission() (*target.AugmentedReview, error) {
	object, err := raw(q.object)
	if err != nil {
		return nil, err
	}
	old, err := raw(q.old)
	if err != nil {
		return nil, err
	}
	return &target.AugmentedReview{
		AdmissionRequest: &admissionv1.AdmissionRequest{
			Kind:      metav1.GroupVersionKind(q.kind),
			Resource:  metav1.GroupVersionResource(q.resource),
			Operation: admissionv1.Operation(q.asked()), SubResource: q.sub, Name: q.name, Namespace: q.namespace,
			UserInfo: q.info, Object: object, OldObject: old, DryRun: &q.dryRun,
		},
		Namespace: q.namespaceObject(),
	}, nil
}

// cel returns the request for the API server's validator.
func (q *request) cel() *celReview {
	extra := map[string][]string{}
	for k, v := range q.info.Extra {
		extra[k] = v
	}
	var object, old runtime.Object
	if q.object != nil {
		object = q.object
	}
	if q.old != nil {
		old = q.old
	}
	a := admission.NewAttributesRecord(object, old, q.kind, q.namespace, q.name, q.resource, q.sub, admission.Operation(q.asked()), nil, q.dryRun,
		&user.DefaultInfo{Name: q.info.Username, UID: q.info.UID, Groups: q.info.Groups, Extra: extra})
	return &celReview{
		attributes: &admission.VersionedAttributes{Attributes: a, VersionedKind: q.kind, VersionedObject: object, VersionedOldObject: old},
		namespace:  q.namespaceObject(),
	}
}

func (q *request) namespaceObject() *corev1.Namespace {
	if q.clusterWide {
		return nil
	}
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: q.namespace, Labels: q.labels},
	}
}

// scalar gives a number the type that Kubernetes' decoder gives it.
func scalar(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	case float32:
		return scalar(float64(v))
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
	}
	return v
}

func raw(u *unstructured.Unstructured) (runtime.RawExtension, error) {
	if u == nil {
		return runtime.RawExtension{}, nil
	}
	text, err := json.Marshal(u.Object)
	if err != nil {
		return runtime.RawExtension{}, fmt.Errorf("encoding %s %q: %w", u.GetKind(), u.GetName(), err)
	}
	return runtime.RawExtension{Raw: text}, nil
}
