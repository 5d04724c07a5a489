package cli

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/monitor/kube"
	"towpath.dev/towpath/internal/monitor/metric"
)

func (e *env) top() *cobra.Command {
	var all bool
	return e.scoped(&cobra.Command{
		Use: "top", Short: "Show what pods use, and with --all nodes", Args: cobra.NoArgs, Example: "  towpath top --project shop\n  towpath top --all",
		RunE: func(c *cobra.Command, _ []string) error {
			scope, err := e.scope(all)
			if err != nil {
				return err
			}
			got, err := fetch[kube.Top](c.Context(), e, "/monitor/top", scope)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{head: []string{"name", "cpu", "of", "memory", "of", "restarts", "workload", "release", "namespace"}, wide: 1,
					none: "Nothing runs here yet, or its metrics have not come in: they do within half a minute."}
				for _, u := range append(got.Nodes, got.Pods...) {
					name := u.Name
					if u.Namespace == "" {
						name = "node " + name
					}
					t.rows = append(t.rows, []string{
						name, cores(u.CPU), cores(u.CPULimit), mebibytes(u.Memory), mebibytes(u.MemoryLimit), fmt.Sprint(u.Restarts),
						orDash(u.Workload), orDash(u.Release), orDash(u.Namespace),
					})
				}
				return t
			})
		},
	}, &all)
}

func cores(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0fm", v*1000)
}

func mebibytes(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0fMi", v/(1<<20))
}

// promql asks the metrics: now, or over a time in about a hundred steps.
func (e *env) promql(c *cobra.Command, scope url.Values, expr string, since time.Duration) error {
	scope.Set("query", expr)
	if since > 0 {
		now := time.Now().UTC()
		scope.Set("start", now.Add(-since).Format(time.RFC3339))
		scope.Set("end", now.Format(time.RFC3339))
		scope.Set("step", fmt.Sprint(max(1, int(since.Seconds()/100))))
	}
	got, err := fetch[[]metric.Series](c.Context(), e, "/monitor/promql", scope)
	if err != nil {
		return err
	}
	return e.print(got, func() table {
		t := table{head: []string{"series", "time", "value"}, none: "No series. See what there is: towpath query --promql 'count by (__name__) ({__name__!=\"\"})'"}
		for _, s := range got {
			for i := range s.Times {
				t.rows = append(t.rows, []string{seriesName(s.Labels), s.Times[i].Local().Format(time.DateTime), fmt.Sprintf("%g", float64(s.Values[i]))})
			}
		}
		return t
	})
}

// seriesName writes labels as Prometheus does.
func seriesName(l map[string]string) string {
	name := l["__name__"] + "{"
	for i, k := range slices.Sorted(maps.Keys(l)) {
		if k == "__name__" {
			continue
		}
		if i > 0 && name[len(name)-1] != '{' {
			name += ", "
		}
		name += fmt.Sprintf("%s=%q", k, l[k])
	}
	return name + "}"
}
