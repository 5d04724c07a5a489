package engine

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var podKind = schema.GroupKind{Kind: "Pod"}

// templateOf returns where a workload kind has its pod template; nil for other kinds.
func templateOf(gk schema.GroupKind) []string {
	switch gk {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}, schema.GroupKind{Group: "apps", Kind: "ReplicaSet"},
		schema.GroupKind{Group: "apps", Kind: "StatefulSet"}, schema.GroupKind{Group: "apps", Kind: "DaemonSet"},
		schema.GroupKind{Group: "batch", Kind: "Job"}, schema.GroupKind{Kind: "ReplicationController"}:
		return []string{"spec", "template"}
	case schema.GroupKind{Group: "batch", Kind: "CronJob"}:
		return []string{"spec", "jobTemplate", "spec", "template"}
	}
	return nil
}

// workloadKinds are the kinds that make pods, in order.
func workloadKinds() []schema.GroupKind {
	return []schema.GroupKind{
		{Kind: "ReplicationController"}, {Group: "apps", Kind: "DaemonSet"}, {Group: "apps", Kind: "Deployment"},
		{Group: "apps", Kind: "ReplicaSet"}, {Group: "apps", Kind: "StatefulSet"}, {Group: "batch", Kind: "CronJob"}, {Group: "batch", Kind: "Job"},
	}
}

// Expand returns the pod that a workload would make, and the path of its template in the
// workload ("spec.template"); ok is false for objects that make no pods. The pod has the
// namespace and the name of the workload and shares its template's values with it.
func Expand(object map[string]any) (pod map[string]any, path string, ok bool) {
	u := unstructured.Unstructured{Object: object}
	fields := templateOf(u.GroupVersionKind().GroupKind())
	if fields == nil {
		return nil, "", false
	}
	template, found, err := unstructured.NestedFieldNoCopy(object, fields...)
	t, isMap := template.(map[string]any)
	if err != nil || !found || !isMap {
		return nil, "", false
	}
	meta := map[string]any{}
	if m, isMap := t["metadata"].(map[string]any); isMap {
		maps.Copy(meta, m)
	}
	meta["name"] = u.GetName()
	delete(meta, "namespace")
	if ns := u.GetNamespace(); ns != "" {
		meta["namespace"] = ns
	}
	pod = map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": meta}
	if spec, has := t["spec"]; has {
		pod["spec"] = spec
	}
	for i, f := range fields {
		if i > 0 {
			path += "."
		}
		path += f
	}
	return pod, path, true
}
