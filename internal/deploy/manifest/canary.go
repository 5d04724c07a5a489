package manifest

import (
	"maps"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
)

// VersionLabel is the label, the annotation and the selector that tells the copies apart.
const VersionLabel = "azure-pipelines/version"

// The copies of a workload, as VersionLabel has them and as their names end.
const (
	Canary   = "canary"
	Baseline = "baseline"
)

// workloads are the kinds that are copied, and whether they have a number of replicas.
var workloads = map[string]bool{"Deployment": true, "ReplicaSet": true, "StatefulSet": true, "DaemonSet": false, "Pod": false}

// Live returns the object that lives under a kind and a name, nil when there is none.
type Live func(kind, name string) (map[string]any, error)

// Split returns what the action deploy of a canary by pods applies, in its order: for each
// workload its canary with the share of percent of its replicas, rounded as Math.round does
// (1 replica at 25 % is 0), and behind it, when a workload of that name lives, its baseline
// of the same size; every other object as it is.
func Split(objects []map[string]any, percent int, live Live) ([]map[string]any, error) {
	var out []map[string]any
	for _, o := range objects {
		kind, name := text(o["kind"]), text(mapOf(o["metadata"])["name"])
		if _, ok := workloads[kind]; !ok {
			out = append(out, o)
			continue
		}
		n := share(o, percent)
		out = append(out, copyOf(o, name, Canary, n))
		stable, err := live(kind, name)
		if err != nil {
			return nil, err
		}
		if stable != nil {
			out = append(out, copyOf(stable, name, Baseline, n))
		}
	}
	return out, nil
}

// Object names an object.
type Object struct{ APIVersion, Kind, Name string }

// Copies lists the canaries and the baselines of the workloads among objects, in the order
// in which promote and reject delete them.
func Copies(objects []map[string]any) []Object { return copies(objects, false) }

func copies(objects []map[string]any, services bool) []Object {
	var out []Object
	for _, o := range objects {
		kind := text(o["kind"])
		if _, ok := workloads[kind]; !ok && !(services && kind == "Service") {
			continue
		}
		for _, version := range []string{Canary, Baseline} {
			out = append(out, Object{text(o["apiVersion"]), kind, text(mapOf(o["metadata"])["name"]) + "-" + version})
		}
	}
	return out
}

// Expand puts the items of lists in the place of the lists.
func Expand(objects []map[string]any) []map[string]any {
	var out []map[string]any
	for _, o := range objects {
		items, ok := o["items"].([]any)
		if text(o["kind"]) != "List" || !ok {
			out = append(out, o)
			continue
		}
		for _, v := range items {
			if item, ok := v.(map[string]any); ok {
				out = append(out, item)
			}
		}
	}
	return out
}

// share is Math.round(replicas × percent / 100): halves go up.
func share(o map[string]any, percent int) int {
	replicas := 1.0
	switch v := mapOf(o["spec"])["replicas"].(type) {
	case int64:
		replicas = float64(v)
	case float64:
		replicas = v
	}
	return int(math.Floor(replicas*float64(percent)/100 + 0.5))
}

// ownFields of metadata are the API server's, or belong to the object that was copied.
var ownFields = []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences", "selfLink"}

// ownNotes are annotations of the object that was copied.
var ownNotes = []string{
	"deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration", "meta.helm.sh/release-name", "meta.helm.sh/release-namespace",
}

// copyOf returns the copy of a workload or a Service: name, label, annotation, selector, the
// label of its pods and its replicas.
func copyOf(o map[string]any, name, version string, replicas int) map[string]any {
	kind := text(o["kind"])
	out := runtime.DeepCopyJSON(normal(o).(map[string]any))
	delete(out, "status")
	meta := child(out, "metadata")
	meta["name"] = name + "-" + version
	for _, f := range ownFields {
		delete(meta, f)
	}
	maps.DeleteFunc(child(meta, "annotations"), func(k string, _ any) bool { return slices.Contains(ownNotes, k) })
	mark(out, version)
	if workloads[kind] {
		child(out, "spec")["replicas"] = int64(replicas)
	}
	return out
}

// mark gives an object its version: label, annotation, selector and the label of its pods.
func mark(o map[string]any, version string) {
	meta := child(o, "metadata")
	child(meta, "labels")[VersionLabel], child(meta, "annotations")[VersionLabel] = version, version
	switch text(o["kind"]) {
	case "Pod":
		return
	case "Service":
		child(child(o, "spec"), "selector")[VersionLabel] = version
		return
	}
	spec := child(o, "spec")
	child(child(spec, "selector"), "matchLabels")[VersionLabel] = version
	pods := child(child(spec, "template"), "metadata")
	child(pods, "labels")[VersionLabel] = version
	child(pods, "annotations")[VersionLabel] = version
}

// normal turns numbers of other types into those that a deep copy takes.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = normal(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = normal(e)
		}
		return out
	case int:
		return int64(v)
	case int32:
		return int64(v)
	}
	return v
}

func text(v any) string { s, _ := v.(string); return s }

func mapOf(v any) map[string]any { m, _ := v.(map[string]any); return m }

// child returns a child that is a map, making it when missing.
func child(o map[string]any, key string) map[string]any {
	m, ok := o[key].(map[string]any)
	if !ok {
		m = map[string]any{}
		o[key] = m
	}
	return m
}

// PullSecrets has the pods of the workloads among objects pull images with these Secrets too,
// behind those that they have, as the input imagePullSecrets of KubernetesManifest@1 does. The
// objects are changed.
func PullSecrets(objects []map[string]any, names []string) {
	if len(names) == 0 {
		return
	}
	for _, o := range objects {
		spec := podSpec(o)
		if spec == nil {
			continue
		}
		list, _ := spec["imagePullSecrets"].([]any)
		for _, n := range names {
			list = append(list, map[string]any{"name": n})
		}
		spec["imagePullSecrets"] = list
	}
}

// podSpec is the spec of the pods of an object, nil when it has none.
func podSpec(o map[string]any) map[string]any {
	spec := mapOf(o["spec"])
	switch text(o["kind"]) {
	case "Pod":
		return spec
	case "CronJob":
		spec = mapOf(mapOf(spec["jobTemplate"])["spec"])
	case "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job":
	default:
		return nil
	}
	return mapOf(mapOf(spec["template"])["spec"])
}
