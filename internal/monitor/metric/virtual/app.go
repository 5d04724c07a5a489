package virtual

import (
	"context"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/monitor/metric"
	"towpath.dev/towpath/internal/monitor/table"
)

// app makes the rows of AppMetrics: per series that a service pushed and minute, how much
// it counted up or which values it had. The parts _sum and _count of a histogram become one
// row of its name; its buckets are left to PromQL.
func (w *writer) app(ctx context.Context) error {
	first, to := w.scan.From.Truncate(step), w.scan.To
	histograms := map[string]*pair{}
	selector := `{service_name!="",__name__!="target_info"` + w.appMatchers() + `}`
	// A counter's first value of a minute counts from its last one before.
	err := w.tables.Store.Samples(ctx, w.in, selector, first.Add(-5*step), to.Add(-time.Millisecond), func(s metric.Raw) error {
		name := s.Labels["__name__"]
		base, part := histogramPart(name)
		switch {
		case part == "bucket":
			return nil
		case part != "":
			key := base + "\x00" + object(s.Labels, "__name__")
			p := histograms[key]
			if p == nil {
				p = &pair{name: base, labels: s.Labels}
				histograms[key] = p
			}
			if part == "sum" {
				p.sum = increases(s)
			} else {
				p.count = increases(s)
			}
			return nil
		case strings.HasSuffix(name, "_total"):
			return w.counterRows(name, s)
		}
		return w.gaugeRows(name, s)
	})
	if err != nil {
		return err
	}
	for _, p := range histograms {
		if err := w.histogramRows(p); err != nil {
			return err
		}
	}
	return nil
}

// appMatchers narrows the selector by what is asked for.
func (w *writer) appMatchers() string {
	out := ""
	if roles := w.scan.Equal["AppRoleName"]; len(roles) > 0 {
		quoted := make([]string, 0, len(roles))
		for _, r := range roles {
			quoted = append(quoted, regexp.QuoteMeta(r))
		}
		out += `,service_name=~` + quote(strings.Join(quoted, "|"))
	}
	var names []string
	for _, n := range w.scan.Equal["Name"] {
		names = append(names, n, n+"_sum", n+"_count")
	}
	return out + nameIs(names)
}

// pair is the two parts of a histogram, increases by minute.
type pair struct {
	name       string
	labels     map[string]string
	sum, count map[int64]float64
}

func histogramPart(name string) (base, part string) {
	for _, part := range [...]string{"bucket", "sum", "count"} {
		if base, ok := strings.CutSuffix(name, "_"+part); ok {
			return base, part
		}
	}
	return name, ""
}

// increases returns by how much a counter rose in each minute, by the minute's start. It
// starts again at 0 when it falls; its first sample says nothing.
func increases(s metric.Raw) map[int64]float64 {
	out := map[int64]float64{}
	for i := 1; i < len(s.Times); i++ {
		d := s.Values[i] - s.Values[i-1]
		if d < 0 {
			d = s.Values[i]
		}
		out[minuteOf(s.Times[i])] += d
	}
	return out
}

func minuteOf(ms int64) int64 { return ms - ms%step.Milliseconds() }

func (w *writer) counterRows(name string, s metric.Raw) error {
	by := increases(s)
	for _, at := range sorted(by) {
		if err := w.appRow(name, s.Labels, at, by[at], by[at], by[at], 1); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) histogramRows(p *pair) error {
	for _, at := range sorted(p.count) {
		if p.count[at] == 0 {
			continue
		}
		if err := w.appRow(p.name, p.labels, at, p.sum[at], math.NaN(), math.NaN(), int64(math.Round(p.count[at]))); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) gaugeRows(name string, s metric.Raw) error {
	for i := 0; i < len(s.Times); {
		at, sum, lowest, highest, n := minuteOf(s.Times[i]), 0.0, math.Inf(1), math.Inf(-1), int64(0)
		for ; i < len(s.Times) && minuteOf(s.Times[i]) == at; i++ {
			sum, lowest, highest, n = sum+s.Values[i], min(lowest, s.Values[i]), max(highest, s.Values[i]), n+1
		}
		if err := w.appRow(name, s.Labels, at, sum, lowest, highest, n); err != nil {
			return err
		}
	}
	return nil
}

func sorted(by map[int64]float64) []int64 {
	out := make([]int64, 0, len(by))
	for at := range by {
		out = append(out, at)
	}
	slices.Sort(out)
	return out
}

// appRow adds a row; NaN is null.
func (w *writer) appRow(name string, ls map[string]string, at int64, sum, lowest, highest float64, items int64) error {
	when := time.UnixMilli(at)
	if when.Before(w.scan.From) || !when.Before(w.scan.To) || !w.wants("Name", name) {
		return nil
	}
	r := row{
		table.TimeGenerated: when, "Name": name, "Sum": sum, "ItemCount": items, "AppRoleName": ls["service_name"], "AppRoleInstance": ls["instance"],
		"AppVersion": ls["service_version"], "SDKVersion": "otlp",
		"Properties": object(ls, "__name__", "project", "environment", "service_name", "service_version", "instance", "job"),
	}
	if !math.IsNaN(lowest) {
		r["Min"], r["Max"] = lowest, highest
	}
	return w.add(ls, r)
}
