package virtual

import (
	"context"
	"regexp"
	"strings"
	"time"
)

// How often, and how far back, it is looked which pods there were.
const (
	look    = 4 * time.Minute
	maxLook = 24 * time.Hour
)

// Namespaces of InsightsMetrics.
const (
	namespacePrometheus = "prometheus"
	namespaceDisk       = "container.azm.ms/disk"
	namespaceDiskIO     = "container.azm.ms/diskio"
	namespaceNet        = "container.azm.ms/net"
	namespacePV         = "container.azm.ms/pv"
	namespaceState      = "kubestate"
)

// insight is a metric of InsightsMetrics.
type insight struct {
	namespace, name string
	expr            string
	platform        bool // of nodes: only for those who may see everything
}

// node are the series of a node as a whole.
const node = `{job="cadvisor",id="/"`

// insights are those of Container insights.
func insights() []insight {
	on := `sum by (cluster, node, device) (`
	net := `sum by (cluster, node, interface) (`
	return []insight{
		{namespaceDisk, "used", on + `container_fs_usage_bytes` + node + `})`, true},
		{namespaceDisk, "free", on + `container_fs_limit_bytes` + node + `} - container_fs_usage_bytes` + node + `})`, true},
		{namespaceDisk, "used_percent", `100 * ` + on + `container_fs_usage_bytes` + node + `}) / (` + on + `container_fs_limit_bytes` + node + `}) > 0)`, true},
		{namespaceDiskIO, "reads", on + `container_fs_reads_total` + node + `})`, true},
		{namespaceDiskIO, "writes", on + `container_fs_writes_total` + node + `})`, true},
		{namespaceDiskIO, "read_bytes", on + `container_fs_reads_bytes_total` + node + `})`, true},
		{namespaceDiskIO, "write_bytes", on + `container_fs_writes_bytes_total` + node + `})`, true},
		{namespaceDiskIO, "io_time", `1000 * ` + on + `container_fs_io_time_seconds_total` + node + `})`, true},
		{namespaceNet, "bytes_recv", net + `container_network_receive_bytes_total` + node + `})`, true},
		{namespaceNet, "bytes_sent", net + `container_network_transmit_bytes_total` + node + `})`, true},
		{namespaceNet, "err_in", net + `container_network_receive_errors_total` + node + `})`, true},
		{namespaceNet, "err_out", net + `container_network_transmit_errors_total` + node + `})`, true},
		{namespacePV, "pvUsedBytes", `kubelet_volume_stats_used_bytes`, false},
		{namespacePV, "pvCapacityBytes", `kubelet_volume_stats_capacity_bytes`, false},
		{namespaceState, "kube_deployment_status_replicas_ready", `kube_deployment_status_replicas_ready`, false},
		{namespaceState, "kube_deployment_spec_replicas", `kube_deployment_spec_replicas`, false},
		{namespaceState, "kube_hpa_status_current_replicas", `kube_horizontalpodautoscaler_status_current_replicas`, false},
		{namespaceState, "kube_hpa_spec_max_replicas", `kube_horizontalpodautoscaler_spec_max_replicas`, false},
	}
}

func (w *writer) insights(ctx context.Context) error {
	for _, i := range insights() {
		if !w.wants("Namespace", i.namespace) || !w.wants("Name", i.name) || i.platform && !w.in.All {
			continue
		}
		if err := w.each(ctx, i.expr, w.insight(i.namespace, i.name), "Val"); err != nil {
			return err
		}
	}
	if !w.wants("Namespace", namespacePrometheus) {
		return nil
	}
	// Whatever pods expose, with the names that they give it.
	selector := `{job="kubernetes-pods"` + nameIs(w.scan.Equal["Name"]) + `}`
	return w.each(ctx, selector, w.insight(namespacePrometheus, ""), "Val")
}

// nameIs returns the matcher for some names of metrics, "" for all.
func nameIs(names []string) string {
	if len(names) == 0 {
		return ""
	}
	quoted := make([]string, 0, len(names))
	for _, n := range names {
		quoted = append(quoted, regexp.QuoteMeta(n))
	}
	return `,__name__=~` + quote(strings.Join(quoted, "|"))
}

// quote writes a PromQL string.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// insight makes the row of a series; a name of "" is the series' own.
func (w *writer) insight(namespace, name string) func(ls map[string]string) (row, bool) {
	return func(ls map[string]string) (row, bool) {
		own := name
		if own == "" {
			own = ls["__name__"]
		}
		tags := map[string]string{}
		for k, v := range ls {
			tags[k] = v
		}
		switch namespace {
		case namespacePV:
			tags["pvcName"], tags["pvcNamespace"] = ls["persistentvolumeclaim"], ls["namespace"]
		case namespaceState:
			tags["k8sNamespace"] = ls["namespace"]
		case namespaceDisk, namespaceDiskIO, namespaceNet:
			tags["hostName"] = ls["node"]
		}
		tags["container.azm.ms/clusterId"], tags["container.azm.ms/clusterName"] = w.tables.cluster(), w.tables.Cluster
		return row{
			"Computer": ls["node"], "Origin": "container.azm.ms", "Namespace": namespace, "Name": own, "Tags": object(tags, "__name__", "project", "environment", "cluster"),
		}, w.wants("Computer", ls["node"]) && w.wants("Name", own)
	}
}
