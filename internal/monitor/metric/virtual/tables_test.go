package virtual_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/prometheus/prometheus/model/labels"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/metric"
	"towpath.dev/towpath/internal/monitor/metric/virtual"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a store that was scraped every 15 seconds for the five minutes before noon.
func world(t *testing.T) virtual.Tables {
	t.Helper()
	c := clock.Fixed(noon.Add(10*time.Second), 0)
	s, err := metric.Open(t.TempDir(), metric.Options{}, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	shop := metric.Origin{Project: "shop", Environment: "production", Namespace: "shop-production", Pod: "web-1", Node: "node-1"}
	var own, scraped, platform []metric.Sample
	for i := range 21 {
		at, n := noon.Add(time.Duration(i-20)*15*time.Second), float64(i)
		add := func(to *[]metric.Sample, v float64, pairs ...string) {
			ls := map[string]string{"__name__": pairs[0], "cluster": "embedded"}
			for k := 1; k < len(pairs); k += 2 {
				ls[pairs[k]] = pairs[k+1]
			}
			*to = append(*to, metric.Sample{Labels: ls, At: at, Value: v})
		}
		add(&scraped, n*15*0.25, "container_cpu_usage_seconds_total", "job", "cadvisor", "container", "web", "image", "x")
		add(&scraped, n*15*0.25, "container_cpu_usage_seconds_total", "job", "cadvisor", "container", "") // of the pod
		add(&scraped, 1000+n, "container_memory_working_set_bytes", "job", "cadvisor", "container", "web")
		add(&own, 1, "kube_pod_info", "uid", "uid-1")
		add(&own, 500, "kube_pod_container_resource_limits", "resource", "memory", "unit", "byte", "container", "web")
		add(&own, n, "orders_open", "job", "kubernetes-pods", "shelf", "a\"b")
		add(&own, 10*n, "cart_items_total", "service_name", "cart", "instance", "cart-1", "color", "red")
		add(&own, n, "duration_seconds_sum", "service_name", "cart", "instance", "cart-1")
		add(&own, 2*n, "duration_seconds_count", "service_name", "cart", "instance", "cart-1")
		add(&own, n, "duration_seconds_bucket", "service_name", "cart", "instance", "cart-1", "le", "+Inf")
		add(&own, n, "heap", "service_name", "cart", "instance", "cart-1")
		add(&platform, n*15, "node_cpu_usage_seconds_total", "job", "kubelet", "node", "node-1")
		add(&platform, 100, "container_fs_usage_bytes", "job", "cadvisor", "id", "/", "node", "node-1", "device", "sda")
		add(&platform, 400, "container_fs_limit_bytes", "job", "cadvisor", "id", "/", "node", "node-1", "device", "sda")
	}
	for from, samples := range map[metric.Origin][]metric.Sample{shop: own, {}: platform} {
		o, err := s.Append(context.Background(), from, samples)
		if err != nil || o.Refused > 0 {
			t.Fatal(err, o)
		}
	}
	scrape(t, s, shop, scraped)
	return virtual.Tables{Store: s, Clock: c, Installation: "i", Cluster: "embedded"}
}

// scrape stores samples as the platform's own scraper does: with the job that nobody may push.
func scrape(t *testing.T, s *metric.Store, at metric.Origin, samples []metric.Sample) {
	t.Helper()
	a := s.Storage().Appender(t.Context())
	for _, v := range samples {
		b := labels.NewBuilder(labels.FromMap(v.Labels))
		b.Set("project", at.Project).Set("environment", at.Environment).Set("namespace", at.Namespace).Set("pod", at.Pod).Set("node", at.Node)
		if _, err := a.Append(0, b.Labels(), v.At.UnixMilli(), v.Value); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
}

const resource = "/subscriptions/i/resourcegroups/towpath/providers/microsoft.containerservice/managedclusters/embedded"

// show writes the rows of a scan, one a line, with some columns.
func show(t *testing.T, v virtual.Tables, scan query.VirtualScan, columns ...string) []string {
	t.Helper()
	b, err := v.Rows(context.Background(), scan)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for i := range b.Rows() {
		var cells []string
		for _, c := range columns {
			v := b.Vectors[b.Index(c)]
			switch {
			case v.IsNull(i):
				cells = append(cells, "null")
			case v.Kind == table.DateTime:
				cells = append(cells, table.TimeOf(v.Int[i]).Format("15:04:05"))
			case v.Int != nil:
				cells = append(cells, fmt.Sprint(v.Int[i]))
			case v.Real != nil:
				cells = append(cells, fmt.Sprintf("%.4g", v.Real[i]))
			default:
				cells = append(cells, strings.ReplaceAll(v.Text[i], resource, "CLUSTER"))
			}
		}
		out = append(out, strings.Join(cells, " "))
	}
	slices.Sort(out)
	return out
}

func TestTables(t *testing.T) {
	v := world(t)
	from, to := noon.Add(-time.Minute), noon.Add(10*time.Second)
	tests := []struct {
		name    string
		scan    query.VirtualScan
		columns string
		want    []string
	}{
		{"containers", query.VirtualScan{Table: table.Perf, Project: "shop", From: from, To: to}, "TimeGenerated ObjectName CounterName InstanceName CounterValue Computer Project Environment", []string{
			"11:59:00 K8SContainer cpuUsageNanoCores CLUSTER/uid-1/web 2.5e+08 node-1 shop production",
			"11:59:00 K8SContainer memoryLimitBytes CLUSTER/uid-1/web 500 node-1 shop production",
			"11:59:00 K8SContainer memoryWorkingSetBytes CLUSTER/uid-1/web 1016 node-1 shop production",
			"12:00:00 K8SContainer cpuUsageNanoCores CLUSTER/uid-1/web 2.5e+08 node-1 shop production",
			"12:00:00 K8SContainer memoryLimitBytes CLUSTER/uid-1/web 500 node-1 shop production",
			"12:00:00 K8SContainer memoryWorkingSetBytes CLUSTER/uid-1/web 1020 node-1 shop production",
		}},
		{"an hour, not in whole minutes", query.VirtualScan{Table: table.Perf, Project: "shop", From: noon.Add(-time.Hour + 7*time.Second), To: to, Equal: map[string][]string{"CounterName": {"cpuUsageNanoCores"}}},
			"TimeGenerated InstanceName", []string{"11:56:00 CLUSTER/uid-1/web", "11:57:00 CLUSTER/uid-1/web", "11:58:00 CLUSTER/uid-1/web", "11:59:00 CLUSTER/uid-1/web", "12:00:00 CLUSTER/uid-1/web"}},
		{"one counter of a node", query.VirtualScan{Table: table.Perf, All: true, From: noon, To: to, Equal: map[string][]string{"ObjectName": {"K8SNode"}, "CounterName": {"cpuUsageNanoCores"}}},
			"TimeGenerated InstanceName CounterValue Project", []string{"12:00:00 CLUSTER/node-1 1e+09 "}},
		{"nodes are the platform's", query.VirtualScan{Table: table.Perf, Project: "shop", Equal: map[string][]string{"ObjectName": {"K8SNode"}}}, "CounterName", []string{}},
		{"To is excluded", query.VirtualScan{Table: table.Perf, Project: "shop", From: from, To: noon, Equal: map[string][]string{"CounterName": {"memoryWorkingSetBytes"}}}, "TimeGenerated", []string{"11:59:00"}},
		{"another project", query.VirtualScan{Table: table.Perf, Project: "bank", From: from, To: to}, "CounterName", []string{}},
		{"what pods expose", query.VirtualScan{Table: table.InsightsMetrics, Project: "shop", From: noon, To: to, Equal: map[string][]string{"Namespace": {"prometheus"}}}, "Name Val Namespace Tags", []string{
			`orders_open 20 prometheus {"container.azm.ms/clusterId":"CLUSTER","container.azm.ms/clusterName":"embedded","job":"kubernetes-pods","namespace":"shop-production","node":"node-1","pod":"web-1","shelf":"a\"b"}`,
		}},
		{"disks", query.VirtualScan{Table: table.InsightsMetrics, All: true, From: noon, To: to, Equal: map[string][]string{"Namespace": {"container.azm.ms/disk"}}}, "Name Val Computer", []string{
			"free 300 node-1", "used 100 node-1", "used_percent 25 node-1",
		}},
		{"a name", query.VirtualScan{Table: table.InsightsMetrics, All: true, From: noon, To: to, Equal: map[string][]string{"Name": {"orders_open"}}}, "Name Project", []string{"orders_open shop"}},
		{"services", query.VirtualScan{Table: table.AppMetrics, Project: "shop", From: noon.Add(-2 * time.Minute), To: noon}, "TimeGenerated Name Sum Min Max ItemCount AppRoleName AppRoleInstance", []string{
			"11:58:00 cart_items_total 40 40 40 1 cart cart-1", "11:58:00 duration_seconds 4 null null 8 cart cart-1", "11:58:00 heap 54 12 15 4 cart cart-1",
			"11:59:00 cart_items_total 40 40 40 1 cart cart-1", "11:59:00 duration_seconds 4 null null 8 cart cart-1", "11:59:00 heap 70 16 19 4 cart cart-1",
		}},
		{"a service's metric", query.VirtualScan{Table: table.AppMetrics, Project: "shop", From: noon.Add(-time.Minute), To: noon, Equal: map[string][]string{"Name": {"duration_seconds"}}}, "Name Sum", []string{"duration_seconds 4"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, show(t, v, tt.scan, strings.Fields(tt.columns)...)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := v.Rows(context.Background(), query.VirtualScan{Table: table.Perf, Project: "shop", Limit: 3}); !fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), "3 rows") {
		t.Errorf("too many rows: %v", err)
	}
	if _, err := v.Rows(context.Background(), query.VirtualScan{Table: table.KubeEvents, Project: "shop"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("another table: %v", err)
	}
	if _, err := v.Rows(context.Background(), query.VirtualScan{Table: table.Perf}); !fault.Is(err, fault.Invalid) {
		t.Errorf("nobody's rows: %v", err)
	}
}

// TestEveryExpressionIsPromQL evaluates all counters and metrics once.
func TestEveryExpressionIsPromQL(t *testing.T) {
	v := world(t)
	for _, name := range []string{table.Perf, table.InsightsMetrics, table.AppMetrics} {
		if b, err := v.Rows(context.Background(), query.VirtualScan{Table: name, All: true}); err != nil || b.Rows() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
