package telemetry

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Metrics answers a scrape of Prometheus with what the service has counted (the text format, version 0.0.4). Names follow the
// OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility".
func (t *Telemetry) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var all metricdata.ResourceMetrics
		if err := t.scrape.Collect(r.Context(), &all); err != nil {
			http.Error(w, "collecting the metrics: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		var b strings.Builder
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				writeMetric(&b, m)
			}
		}
		_, _ = io.WriteString(w, b.String()) // a failing write means that the scraper has gone
	})
}

func writeMetric(b *strings.Builder, m metricdata.Metrics) {
	name := promName(m.Name)
	if m.Unit == "s" {
		name += "_seconds"
	} else if m.Unit == "By" {
		name += "_bytes"
	}
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		writeSum(b, name, m.Description, d)
	case metricdata.Sum[float64]:
		writeSum(b, name, m.Description, d)
	case metricdata.Histogram[float64]:
		writeHistogram(b, name, m.Description, d)
	case metricdata.Histogram[int64]:
		writeHistogram(b, name, m.Description, d)
	}
}

func writeHead(b *strings.Builder, name, doc, kind string) {
	doc = strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(doc)
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, doc, name, kind)
}

func writeSum[N int64 | float64](b *strings.Builder, name, doc string, d metricdata.Sum[N]) {
	kind := "gauge"
	if d.IsMonotonic {
		kind = "counter"
		name += "_total"
	}
	writeHead(b, name, doc, kind)
	for _, p := range d.DataPoints {
		fmt.Fprintf(b, "%s%s %v\n", name, labels(p.Attributes, ""), p.Value)
	}
}

func writeHistogram[N int64 | float64](b *strings.Builder, name, doc string, d metricdata.Histogram[N]) {
	writeHead(b, name, doc, "histogram")
	for _, p := range d.DataPoints {
		var sum uint64
		for i, bound := range p.Bounds {
			sum += p.BucketCounts[i]
			fmt.Fprintf(b, "%s_bucket%s %d\n", name, labels(p.Attributes, strconv.FormatFloat(bound, 'g', -1, 64)), sum)
		}
		fmt.Fprintf(b, "%s_bucket%s %d\n", name, labels(p.Attributes, "+Inf"), p.Count)
		fmt.Fprintf(b, "%s_sum%s %v\n%s_count%s %d\n", name, labels(p.Attributes, ""), p.Sum, name, labels(p.Attributes, ""), p.Count)
	}
}

// labels writes attributes as labels; le is the upper bound of a bucket, "" outside of one.
func labels(set attribute.Set, le string) string {
	var parts []string
	for _, kv := range set.ToSlice() {
		parts = append(parts, promName(string(kv.Key))+"="+promValue(kv.Value.Emit()))
	}
	if le != "" {
		parts = append(parts, `le="`+le+`"`)
	}
	if len(parts) == 0 {
		return ""
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func promValue(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(text) + `"`
}

func promName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}
