package engine

import (
	"reflect"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Leaving is the condition of Leaves in the words of the API server's CEL, for policies
// that it judges by itself. Both must say the same; a test of package vap compares them.
const Leaving = `request.operation == "UPDATE" && oldObject != null && has(oldObject.metadata.deletionTimestamp) && ` +
	`object.all(k, k == "metadata" || k in oldObject && object[k] == oldObject[k]) && oldObject.all(k, k == "metadata" || k in object)`

// Leaves reports whether a request only lets go of an object that was deleted: an UPDATE of
// an object that has a deletionTimestamp, in which nothing but metadata changes. It is not
// judged, because a rule that the object breaks would keep it alive for ever: what takes its
// finalizer away is an update. Nothing can be brought in that way: the time of deletion is
// the API server's, what runs is stopped, and an ephemeral container or another size is a
// change of the spec. Every part counts, not the spec alone, for kinds that have none. The
// objects have the number types of Kubernetes.
func Leaves(operation string, object, old map[string]any) bool {
	if operation != "UPDATE" || object == nil || old == nil {
		return false
	}
	meta, _ := old["metadata"].(map[string]any)
	if meta["deletionTimestamp"] == nil {
		return false
	}
	for k, v := range object {
		was, had := old[k]
		if k != "metadata" && !(had && reflect.DeepEqual(v, was)) {
			return false
		}
	}
	for k := range old {
		if _, has := object[k]; k != "metadata" && !has {
			return false
		}
	}
	return true
}

// Shrinking is the condition of Shrinks in the words of the API server's CEL. Both must say
// the same; a test of package vap compares them.
const Shrinking = `request.operation == "UPDATE" && request.kind.group == "apps" && request.kind.kind == "ReplicaSet" && ` +
	`(!has(request.subResource) || request.subResource == "") && oldObject != null && ` +
	`has(object.spec.replicas) && has(oldObject.spec.replicas) && object.spec.replicas <= oldObject.spec.replicas && ` +
	`object.spec.all(k, k == "replicas" || k in oldObject.spec && object.spec[k] == oldObject.spec[k]) && oldObject.spec.all(k, k in object.spec) && ` +
	`object.metadata.?labels == oldObject.metadata.?labels`

// Shrinks reports whether a request only takes pods from a ReplicaSet, or only notes
// something on it: an UPDATE after which it wants no more replicas, with the same template,
// selector and labels. It is not judged, because a rule that an old version breaks would
// keep that version running: a Deployment goes over to a version that keeps the rule by
// making the old ReplicaSet smaller. No pod comes in that way; those that a ReplicaSet makes
// are judged one by one.
func Shrinks(kind schema.GroupKind, sub, operation string, object, old map[string]any) bool {
	if operation != "UPDATE" || sub != "" || kind.Group != "apps" || kind.Kind != "ReplicaSet" || object == nil || old == nil {
		return false
	}
	is, _ := object["spec"].(map[string]any)
	was, _ := old["spec"].(map[string]any)
	now, ok := is["replicas"].(int64)
	before, had := was["replicas"].(int64)
	if !ok || !had || now > before || len(is) != len(was) {
		return false
	}
	for k, v := range is {
		if other, had := was[k]; k != "replicas" && !(had && reflect.DeepEqual(v, other)) {
			return false
		}
	}
	meta, _ := object["metadata"].(map[string]any)
	oldMeta, _ := old["metadata"].(map[string]any)
	return reflect.DeepEqual(meta["labels"], oldMeta["labels"])
}
