package virtual

import (
	"context"
	"slices"
	"time"
)

// Objects of Perf.
const (
	objectNode      = "K8SNode"
	objectContainer = "K8SContainer"
)

// counter is a counter of Perf.
type counter struct {
	object, name string
	expr         string
}

// used are the series of containers proper: neither pods as a whole nor their sandboxes.
const used = `job="cadvisor",container!="",container!="POD"`

// by are the labels that containers are told apart by.
const by = `sum by (project, environment, cluster, node, namespace, pod, container)`

// counters are those of Container insights ("Perf" in its documentation; the counters that
// published queries use). Limits and requests are there where they are set; the service
// gives the node's capacity instead, which makes every use of an unlimited container small.
func counters() []counter {
	return []counter{
		{objectContainer, "cpuUsageNanoCores", `1e9 * ` + by + ` (rate(container_cpu_usage_seconds_total{` + used + `}[2m]))`},
		{objectContainer, "memoryRssBytes", by + ` (container_memory_rss{` + used + `})`},
		{objectContainer, "memoryWorkingSetBytes", by + ` (container_memory_working_set_bytes{` + used + `})`},
		{objectContainer, "cpuRequestNanoCores", `1e9 * ` + by + ` (kube_pod_container_resource_requests{resource="cpu"})`},
		{objectContainer, "memoryRequestBytes", by + ` (kube_pod_container_resource_requests{resource="memory"})`},
		{objectContainer, "cpuLimitNanoCores", `1e9 * ` + by + ` (kube_pod_container_resource_limits{resource="cpu"})`},
		{objectContainer, "memoryLimitBytes", by + ` (kube_pod_container_resource_limits{resource="memory"})`},
		{objectContainer, "restartTimeEpoch", by + ` (kube_pod_container_state_started)`},
		{objectNode, "cpuUsageNanoCores", `1e9 * sum by (cluster, node) (rate(node_cpu_usage_seconds_total{job="kubelet"}[2m]))`},
		{objectNode, "memoryRssBytes", `sum by (cluster, node) (container_memory_rss{job="cadvisor",id="/"})`},
		{objectNode, "memoryWorkingSetBytes", `sum by (cluster, node) (node_memory_working_set_bytes{job="kubelet"})`},
		{objectNode, "cpuCapacityNanoCores", `1e9 * sum by (cluster, node) (kube_node_status_capacity{resource="cpu"})`},
		{objectNode, "memoryCapacityBytes", `sum by (cluster, node) (kube_node_status_capacity{resource="memory"})`},
		{objectNode, "cpuAllocatableNanoCores", `1e9 * sum by (cluster, node) (kube_node_status_allocatable{resource="cpu"})`},
		{objectNode, "memoryAllocatableBytes", `sum by (cluster, node) (kube_node_status_allocatable{resource="memory"})`},
		{objectNode, "restartTimeEpoch", `max by (cluster, node) (container_start_time_seconds{job="cadvisor",id="/"})`},
	}
}

func (w *writer) perf(ctx context.Context) error {
	var todo []counter
	for _, c := range counters() {
		// Nodes belong to no project.
		if w.wants("ObjectName", c.object) && w.wants("CounterName", c.name) && (w.in.All || c.object != objectNode) {
			todo = append(todo, c)
		}
	}
	pods := map[[2]string]pod{}
	if slices.ContainsFunc(todo, func(c counter) bool { return c.object == objectContainer }) {
		var err error
		if pods, err = w.pods(ctx); err != nil {
			return err
		}
	}
	for _, c := range todo {
		err := w.each(ctx, c.expr, func(ls map[string]string) (row, bool) {
			computer, instance := ls["node"], w.tables.cluster()+"/"+ls["node"]
			if c.object == objectContainer {
				p := pods[[2]string{ls["namespace"], ls["pod"]}]
				if p.uid == "" {
					p = pod{ls["pod"], computer} // its state series are older than the scan
				}
				computer, instance = p.node, w.tables.cluster()+"/"+p.uid+"/"+ls["container"]
			}
			return row{
				"Computer": computer, "ObjectName": c.object, "CounterName": c.name, "InstanceName": instance, "CounterPath": `\\` + computer + `\` + c.object + `\` + c.name,
			}, w.wants("Computer", computer) && w.wants("InstanceName", instance)
		}, "CounterValue")
		if err != nil {
			return err
		}
	}
	return nil
}

// pod is what cAdvisor does not say of one.
type pod struct{ uid, node string }

// pods returns uid and node of the pods of the scan, by namespace and name: the newest of a
// name.
func (w *writer) pods(ctx context.Context) (map[[2]string]pod, error) {
	_, last, ok := w.minutes()
	out := map[[2]string]pod{}
	if !ok {
		return out, nil
	}
	// Whole steps back from the end, so that it is looked at the end too.
	steps := min(last.Sub(w.scan.From), maxLook) / look
	series, err := w.tables.Store.Range(ctx, w.in, `max by (namespace, pod, uid, node) (kube_pod_info)`, last.Add(-steps*look), last, look)
	if err != nil {
		return nil, err
	}
	newest := map[[2]string]time.Time{}
	for _, s := range series {
		key := [2]string{s.Labels["namespace"], s.Labels["pod"]}
		if len(s.Times) == 0 {
			continue
		}
		if at := s.Times[len(s.Times)-1]; !at.Before(newest[key]) {
			newest[key] = at
			out[key] = pod{s.Labels["uid"], s.Labels["node"]}
		}
	}
	return out, nil
}
