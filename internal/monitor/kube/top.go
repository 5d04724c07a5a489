package kube

import (
	"cmp"
	"context"
	"slices"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/metric"
)

// What Top asks. The kubelet says of pods what it uses itself to keep their limits. Each names
// the job: series that somebody pushed under the same names cannot have it.
const (
	askPodCPU     = `sum by (namespace, pod) (rate(pod_cpu_usage_seconds_total{job="kubelet"}[2m]))`
	askPodMemory  = `sum by (namespace, pod) (pod_memory_working_set_bytes{job="kubelet"})`
	askPodLimits  = `sum by (namespace, pod, resource) (kube_pod_container_resource_limits{job="kube-state-metrics", resource=~"cpu|memory"})`
	askNodeCPU    = `sum by (node) (rate(node_cpu_usage_seconds_total{job="kubelet"}[2m]))`
	askNodeMemory = `sum by (node) (node_memory_working_set_bytes{job="kubelet"})`
	askNodeLimits = `sum by (node, resource) (kube_node_status_allocatable{job="kube-state-metrics", resource=~"cpu|memory"})`
)

// Top returns what the pods of a project use, or with all set every pod and node: cores
// over the last two minutes and bytes of the working set now.
func (w *Watcher) Top(ctx context.Context, project string, everything bool) (Top, error) {
	v := w.view.Load()
	if w.o.Meter == nil || v == nil {
		return Top{}, fault.New(fault.Unavailable, "The cluster is not known yet.").WithNext("see how it is with `towpath status`")
	}
	in := metric.Scope{Project: project, All: everything}
	pods, err := w.usage(ctx, in, askPodCPU, askPodMemory, askPodLimits)
	if err != nil {
		return Top{}, err
	}
	top := Top{Nodes: []Usage{}, Pods: []Usage{}}
	for _, p := range v.Pods() {
		at, _ := w.ByUID(string(p.UID))
		if over(p) || !everything && at.Project != project {
			continue
		}
		u := pods[[2]string{p.Namespace, p.Name}]
		u.Namespace, u.Name, u.Node, u.Project, u.Workload, u.Release = p.Namespace, p.Name, p.Spec.NodeName, at.Project, at.Workload, at.Release
		u.Restarts = podState(p).Restarts
		top.Pods = append(top.Pods, u)
	}
	if everything {
		nodes, err := w.usage(ctx, in, askNodeCPU, askNodeMemory, askNodeLimits)
		if err != nil {
			return Top{}, err
		}
		for _, n := range v.Nodes() {
			u := nodes[[2]string{"", n.Name}]
			u.Name = n.Name
			top.Nodes = append(top.Nodes, u)
		}
	}
	for _, list := range [][]Usage{top.Nodes, top.Pods} {
		slices.SortFunc(list, func(a, b Usage) int {
			return cmp.Or(cmp.Compare(b.CPU, a.CPU), cmp.Compare(b.Memory, a.Memory), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
	}
	return top, nil
}

// usage reads what pods (by namespace and name) or nodes (by "" and name) use and may use.
func (w *Watcher) usage(ctx context.Context, in metric.Scope, cpu, memory, limits string) (map[[2]string]Usage, error) {
	out := map[[2]string]Usage{}
	for _, q := range []struct {
		expr string
		set  func(u *Usage, p metric.Point)
	}{
		{cpu, func(u *Usage, p metric.Point) { u.CPU = p.Value }},
		{memory, func(u *Usage, p metric.Point) { u.Memory = p.Value }},
		{limits, func(u *Usage, p metric.Point) {
			if p.Labels["resource"] == "cpu" {
				u.CPULimit = p.Value
			} else {
				u.MemoryLimit = p.Value
			}
		}},
	} {
		points, err := w.o.Meter.Instant(ctx, in, q.expr, w.o.Clock.Now())
		if err != nil {
			return nil, err
		}
		for _, p := range points {
			key := [2]string{p.Labels["namespace"], cmp.Or(p.Labels["pod"], p.Labels["node"])}
			u := out[key]
			q.set(&u, p)
			out[key] = u
		}
	}
	return out, nil
}
