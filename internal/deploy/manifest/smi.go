package manifest

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"

	"towpath.dev/towpath/internal/fault"
)

// Stable is the value of VersionLabel of what serves, where traffic is split by SMI; only
// Services have it as an ending of their names.
const Stable = "stable"

// The kind that splits traffic between Services (SMI), and the version of its API whose
// weights are quantities ("500m"); later versions have whole numbers.
const (
	TrafficSplitGroup = "split.smi-spec.io"
	TrafficSplitKind  = "TrafficSplit"
	milliVersion      = TrafficSplitGroup + "/v1alpha1"
)

// SMI is what the action deploy of a canary by SMI applies: Objects first, and then Splits.
type SMI struct{ Objects, Splits []map[string]any }

// SplitBySMI makes the canary of objects by SMI. Each workload gets a canary of so many
// replicas and, when one of its name lives, a baseline of the same size; a live workload
// that is not marked as stable is fault.Conflict. Each Service gets a Service for the canary,
// one for the baseline and, when it is not there yet, a stable one; every other object stays
// as it is. The first split sends everything to the canary, later ones percent of the
// traffic, half of it to the baseline; a split that has everything on the canary is left
// alone. version is the API version of TrafficSplit, "split.smi-spec.io/v1alpha1".
func SplitBySMI(objects []map[string]any, percent, replicas int, version string, live Live) (SMI, error) {
	var out SMI
	var services []map[string]any
	for _, o := range objects {
		kind, name := text(o["kind"]), text(mapOf(o["metadata"])["name"])
		if _, ok := workloads[kind]; !ok {
			out.Objects = append(out.Objects, o)
			if kind == "Service" {
				services = append(services, o)
			}
			continue
		}
		stable, err := live(kind, name)
		if err != nil {
			return SMI{}, err
		}
		if stable != nil && !markedStable(stable) {
			return SMI{}, fault.New(fault.Conflict, "%s %s lives and is not marked as stable (StableSpecSelectorNotExist).", kind, name).
				WithNext("a canary by SMI wants that what serves came from a promotion with trafficSplitMethod: smi; delete %s %s first, or use trafficSplitMethod: pod", kind, name)
		}
		out.Objects = append(out.Objects, copyOf(o, name, Canary, replicas))
		if stable != nil {
			out.Objects = append(out.Objects, copyOf(stable, name, Baseline, replicas))
		}
	}
	for _, o := range services {
		more, split, err := splitService(o, percent, version, live)
		if err != nil {
			return SMI{}, err
		}
		out.Objects = append(out.Objects, more...)
		if split != nil {
			out.Splits = append(out.Splits, split)
		}
	}
	return out, nil
}

// splitService makes the Services of the copies of a Service, and its split unless that is
// to stay as it is.
func splitService(o map[string]any, percent int, version string, live Live) (services []map[string]any, split map[string]any, err error) {
	name := text(mapOf(o["metadata"])["name"])
	services = []map[string]any{copyOf(o, name, Canary, 0), copyOf(o, name, Baseline, 0)}
	stable, err := live("Service", name+"-"+Stable)
	if err != nil {
		return nil, nil, err
	}
	if stable == nil {
		return append(services, copyOf(o, name, Stable, 0)), trafficSplit(name, version, [3]int{0, 0, 1000}), nil
	}
	now, err := live(TrafficSplitKind, SplitName(name))
	if err != nil {
		return nil, nil, err
	}
	backends, _ := mapOf(now["spec"])["backends"].([]any)
	for _, v := range backends {
		b := mapOf(v)
		if w := fmt.Sprint(b["weight"]); b["service"] == name+"-"+Canary && (w == "1000m" || w == "1000") {
			return services, nil, nil
		}
	}
	half := percent * 10 / 2
	return services, trafficSplit(name, version, [3]int{1000 - percent*10, half, half}), nil
}

// Redirect returns the splits that send all traffic of the Services among objects to one of
// their copies, Canary or Stable.
func Redirect(objects []map[string]any, to, version string) []map[string]any {
	weights := [3]int{1000, 0, 0}
	if to == Canary {
		weights = [3]int{0, 0, 1000}
	}
	var out []map[string]any
	for _, o := range objects {
		if text(o["kind"]) == "Service" {
			out = append(out, trafficSplit(text(mapOf(o["metadata"])["name"]), version, weights))
		}
	}
	return out
}

// MarkStable returns the objects with the workloads among them marked as stable: label,
// annotation, selector and the label of their pods. This is what a promotion by SMI applies.
func MarkStable(objects []map[string]any) []map[string]any {
	out := make([]map[string]any, 0, len(objects))
	for _, o := range objects {
		if _, ok := workloads[text(o["kind"])]; ok && !markedStable(o) {
			o = runtime.DeepCopyJSON(normal(o).(map[string]any))
			mark(o, Stable)
		}
		out = append(out, o)
	}
	return out
}

// SMICopies lists what promote and reject delete of a canary by SMI: the canaries and the
// baselines of workloads and of Services. The stable Services and the splits stay.
func SMICopies(objects []map[string]any) []Object { return copies(objects, true) }

// SplitName names the split of a Service.
func SplitName(service string) string { return service + "-azure-pipelines-rollout" }

func markedStable(o map[string]any) bool {
	return text(mapOf(mapOf(o["metadata"])["labels"])[VersionLabel]) == Stable
}

// trafficSplit has weights of a thousand for stable, baseline and canary.
func trafficSplit(service, version string, weights [3]int) map[string]any {
	var backends []any
	for i, copied := range [3]string{Stable, Baseline, Canary} {
		var weight any = int64(weights[i])
		if version == milliVersion {
			weight = fmt.Sprintf("%dm", weights[i])
		}
		backends = append(backends, map[string]any{"service": service + "-" + copied, "weight": weight})
	}
	return map[string]any{
		"apiVersion": version, "kind": TrafficSplitKind, "metadata": map[string]any{"name": SplitName(service)},
		"spec": map[string]any{"service": service, "backends": backends},
	}
}
