package metric

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"towpath.dev/towpath/internal/monitor/table"
)

// Limits of one pushed series; those of Prometheus' own scraper are set in scrape.go.
const (
	maxLabels     = 64
	maxLabelName  = 256
	maxLabelValue = 2048
)

// placed returns labels as of a place: what the sender says of it is kept under another name.
func (o Origin) placed(ls labels.Labels) labels.Labels {
	b := labels.NewBuilder(ls)
	for _, l := range [...]struct{ name, value string }{
		{labelProject, o.Project}, {labelEnvironment, o.Environment}, {"namespace", o.Namespace}, {"pod", o.Pod}, {"node", o.Node},
	} {
		put(b, ls, l.name, l.value, l.name == labelProject || l.name == labelEnvironment)
	}
	// By the job the platform tells its own series from what somebody else calls the same.
	if o.Project != "" && slices.Contains(PlatformJobs(), ls.Get(model.JobLabel)) {
		put(b, ls, model.JobLabel, "", true)
	}
	return b.Labels()
}

// PlatformJobs are the values of the label `job` that only series have which the platform
// scraped itself from the cluster.
func PlatformJobs() []string { return []string{"cadvisor", "kube-state-metrics", "kubelet"} }

// put sets a label of the place. What the series says itself moves to exported_…, as
// Prometheus does; with own, also when the place says nothing.
func put(b *labels.Builder, ls labels.Labels, name, value string, own bool) {
	said := ls.Get(name)
	if value == "" && !own {
		return
	}
	if said != "" && said != value {
		b.Set(model.ExportedLabelPrefix+name, said)
	}
	b.Set(name, value) // "" removes it
}

// Append stores pushed samples and returns after they lie fsynced in the WAL. An error
// means that nothing can be said of any of them: send them again.
func (s *Store) Append(ctx context.Context, from Origin, samples []Sample) (Outcome, error) {
	app := inV2{s.db.AppenderV2(ctx), s.sieve("push", from.placed, true)}
	for i, p := range samples {
		if i%1000 == 0 && ctx.Err() != nil {
			return Outcome{}, errors.Join(ctx.Err(), app.Rollback())
		}
		ls := labels.FromMap(p.Labels)
		if why := invalid(ls); why != "" {
			app.refuse(reasonInvalid, why)
			continue
		}
		m := metadata.Metadata{Type: model.MetricType(p.Type), Help: p.Help, Unit: p.Unit}
		if _, err := app.Append(0, ls, 0, p.At.UnixMilli(), p.Value, nil, nil, storage.AOptions{}); err != nil {
			return Outcome{}, errors.Join(fmt.Errorf("storing samples: %w", err), app.Rollback())
		}
		s.meta.note(from.Project, ls.Get(labels.MetricName), m)
	}
	if err := app.Commit(); err != nil {
		return Outcome{}, fmt.Errorf("storing samples: %w", err)
	}
	return app.out, nil
}

// invalid says why labels cannot be stored, "" when they can.
func invalid(ls labels.Labels) string {
	name := ls.Get(labels.MetricName)
	switch {
	case name == "":
		return "a sample has no metric name"
	case !ls.IsValid(model.UTF8Validation):
		return fmt.Sprintf("a label of %.100q is not valid UTF-8", name)
	case ls.Len() > maxLabels:
		return fmt.Sprintf("%.100q has %d labels, a series may have %d", name, ls.Len(), maxLabels)
	}
	why := ""
	ls.Range(func(l labels.Label) {
		if len(l.Name) > maxLabelName || len(l.Value) > maxLabelValue {
			why = fmt.Sprintf("label %.100q of %.100q is longer than %d bytes, or its value than %d", l.Name, name, maxLabelName, maxLabelValue)
		}
	})
	return why
}

// AppendOTLP stores metrics as they come by OTLP; Outcome counts data points as series
// samples (a histogram of ten buckets is twelve). Delta temporality is refused by name.
// Names and labels are those of the OpenTelemetry specification "Prometheus and
// OpenMetrics Compatibility", with underscores and suffixes.
func (s *Store) AppendOTLP(ctx context.Context, from Origin, md pmetric.Metrics) (Outcome, error) {
	app := otlpAppender{inV2{s.db.AppenderV2(ctx), s.sieve("otlp", from.placed, true)}, from.Project}
	if name, points := deltas(md); points > 0 {
		app.out.refuse(reasonDelta, fmt.Sprintf("%s has delta temporality; set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative at the sender", name), points)
	}
	_, err := prometheusremotewrite.NewPrometheusConverter(app).FromMetrics(ctx, md, prometheusremotewrite.Settings{
		AddMetricSuffixes: true, LookbackDelta: lookback,
		PromoteResourceAttributes: prometheusremotewrite.NewPromoteResourceAttributes(config.OTLPConfig{
			PromoteResourceAttributes: []string{"service.name", "service.version"},
		}),
	})
	// The converter goes on after an error of one metric; only those of the storage and of
	// the context end it, and come here marked.
	var broken errBroken
	if errors.As(err, &broken) || ctx.Err() != nil {
		return Outcome{}, errors.Join(fmt.Errorf("storing metrics: %w", err), app.Rollback())
	}
	if err != nil && app.out.Reasons[reasonDelta] == 0 {
		app.refuse(reasonInvalid, firstLine(err.Error()))
	}
	if err := app.Commit(); err != nil {
		return Outcome{}, fmt.Errorf("storing metrics: %w", err)
	}
	return app.out, nil
}

// errBroken marks an error of the storage.
type errBroken struct{ error }

// Unwrap returns what the storage said.
func (e errBroken) Unwrap() error { return e.error }

// otlpAppender checks what OTLP brings as pushed samples are.
type otlpAppender struct {
	inV2
	project string
}

// Append stores one sample, or counts it as refused.
func (a otlpAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AOptions) (storage.SeriesRef, error) {
	if why := invalid(ls); why != "" {
		a.refuse(reasonInvalid, why)
		return 0, nil
	}
	o.Exemplars = nil
	got, err := a.inV2.Append(ref, ls, st, t, v, h, fh, o)
	if err != nil {
		return 0, errBroken{err}
	}
	a.s.meta.note(a.project, o.MetricFamilyName, o.Metadata)
	return got, nil
}

// deltas returns the first metric with delta temporality and the number of data points of all.
func deltas(md pmetric.Metrics) (name string, points int) {
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				n := 0
				switch m.Type() {
				case pmetric.MetricTypeSum:
					if m.Sum().AggregationTemporality() == pmetric.AggregationTemporalityDelta {
						n = m.Sum().DataPoints().Len()
					}
				case pmetric.MetricTypeHistogram:
					if m.Histogram().AggregationTemporality() == pmetric.AggregationTemporalityDelta {
						n = m.Histogram().DataPoints().Len()
					}
				case pmetric.MetricTypeExponentialHistogram:
					if m.ExponentialHistogram().AggregationTemporality() == pmetric.AggregationTemporalityDelta {
						n = m.ExponentialHistogram().DataPoints().Len()
					}
				}
				if n > 0 && name == "" {
					name = m.Name()
				}
				points += n
			}
		}
	}
	return name, points
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return table.Shorten(s, 300)
}

// metadataBook remembers what pushed metrics mean. It is a convenience for pages: bounded,
// and gone with the process.
type metadataBook struct {
	mu       sync.Mutex
	projects map[string]map[string]metadata.Metadata
}

const maxMetadata = 5000 // metrics of a project

func newMetadataBook() *metadataBook {
	return &metadataBook{projects: map[string]map[string]metadata.Metadata{}}
}

func (b *metadataBook) note(project, name string, m metadata.Metadata) {
	if m.IsEmpty() || name == "" {
		return
	}
	if len(m.Help) > 500 {
		m.Help = m.Help[:500]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.projects[project]
	if of == nil {
		of = map[string]metadata.Metadata{}
		b.projects[project] = of
	}
	old, known := of[name]
	if old == m || !known && len(of) >= maxMetadata {
		return
	}
	of[strings.Clone(name)] = metadata.Metadata{Type: m.Type, Unit: strings.Clone(m.Unit), Help: strings.Clone(m.Help)}
}

// each calls do for the metrics that a scope may see.
func (b *metadataBook) each(in Scope, do func(name string, m metadata.Metadata)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for project, of := range b.projects {
		if in.All || project == in.Project {
			for name, m := range of {
				do(name, m)
			}
		}
	}
}
