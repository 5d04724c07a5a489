package kube

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// stateHandler answers with the state series: the state of the cluster as metrics, with the
// names, types and labels that the documentation of kube-state-metrics gives them.
func (w *Watcher) stateHandler() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(stateCollector{w})
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 2})
}

// stateCollector makes the series of what is there at each scrape, so that the series of an
// object that is gone ends.
type stateCollector struct{ w *Watcher }

// Describe describes nothing: what there is shows at each scrape.
func (stateCollector) Describe(chan<- *prometheus.Desc) {}

// Collect makes all series. While the cluster is not known there are none.
func (c stateCollector) Collect(out chan<- prometheus.Metric) {
	v := c.w.view.Load()
	if v == nil {
		return
	}
	s := &series{out: out, seen: map[string]bool{}}
	for _, p := range v.Pods() {
		s.pod(p)
	}
	for _, n := range v.Nodes() {
		s.node(n)
	}
	s.workloads(v)
	s.batch(v)
	s.cluster(v)
}

// series writes series.
type series struct {
	out  chan<- prometheus.Metric
	seen map[string]bool
}

// labels are names and values in turns.
type labelsOf []string

func (s *series) gauge(name string, v float64, ls labelsOf) {
	s.write(prometheus.GaugeValue, name, v, ls)
}
func (s *series) counter(name string, v float64, ls labelsOf) {
	s.write(prometheus.CounterValue, name, v, ls)
}

func (s *series) write(kind prometheus.ValueType, name string, v float64, ls labelsOf) {
	names, values := make([]string, 0, len(ls)/2), make([]string, 0, len(ls)/2)
	for i := 0; i+1 < len(ls); i += 2 {
		names, values = append(names, ls[i]), append(values, strings.ToValidUTF8(ls[i+1], "�"))
	}
	// Two series with the same labels would spoil the whole answer.
	key := name + "\x00" + strings.Join(values, "\x00")
	if s.seen[key] {
		return
	}
	s.seen[key] = true
	desc := prometheus.NewDesc(name, "As kube-state-metrics has it.", names, nil)
	if m, err := prometheus.NewConstMetric(desc, kind, v, values...); err == nil {
		s.out <- m
	}
}

// one writes a series for each of some values, 1 for the one that holds.
func (s *series) one(name, label, holds string, of []string, ls labelsOf) {
	for _, o := range of {
		s.gauge(name, flag(o == holds), with(ls, label, o))
	}
}

// condition writes the series of a condition: for "true", "false" and "unknown".
func (s *series) condition(name string, status string, ls labelsOf, label string) {
	s.one(name, label, strings.ToLower(status), []string{"true", "false", "unknown"}, ls)
}

// with returns labels with more of them.
func with(ls labelsOf, more ...string) labelsOf {
	return append(append(make(labelsOf, 0, len(ls)+len(more)), ls...), more...)
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// since writes a time in Unix seconds, nothing for the zero time.
func (s *series) since(name string, t time.Time, ls labelsOf) {
	if !t.IsZero() {
		s.gauge(name, float64(t.Unix()), ls)
	}
}

func (s *series) replicas(name string, n *int32, ls labelsOf) {
	if n != nil {
		s.gauge(name, float64(*n), ls)
	}
}

// resources writes an amount per resource, with the units of kube-state-metrics.
func (s *series) resources(name string, list corev1.ResourceList, ls labelsOf) {
	for r, q := range list {
		label, unit := strings.NewReplacer(".", "_", "-", "_", "/", "_").Replace(string(r)), "integer"
		switch {
		case r == corev1.ResourceCPU:
			unit = "core"
		case r == corev1.ResourceMemory, r == corev1.ResourceStorage, r == corev1.ResourceEphemeralStorage, strings.HasPrefix(string(r), "hugepages-"):
			unit = "byte"
		}
		s.gauge(name, amount(q), with(ls, "resource", label, "unit", unit))
	}
}

func amount(q resource.Quantity) float64 { return q.AsApproximateFloat64() }

// ownerLabels returns the labels that name an object's controller, "<none>" without one.
func ownerLabels(ls labelsOf, o []metav1.OwnerReference) []labelsOf {
	if len(o) == 0 {
		return []labelsOf{with(ls, "owner_kind", "", "owner_name", "", "owner_is_controller", "")}
	}
	var out []labelsOf
	for _, r := range o {
		is := "false"
		if r.Controller != nil && *r.Controller {
			is = "true"
		}
		out = append(out, with(ls, "owner_kind", r.Kind, "owner_name", r.Name, "owner_is_controller", is))
	}
	return out
}
