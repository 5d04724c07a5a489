package engine

import "reflect"

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
