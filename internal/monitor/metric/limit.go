package metric

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// limiter keeps a project from having more series than it may. It is the TSDB's own hook,
// so that no way in goes past it: pushed, scraped and remotely written alike.
type limiter struct {
	max     int
	on      atomic.Bool // not while the WAL is read: what is there stays
	refused *prometheus.CounterVec

	mu       sync.Mutex
	projects map[string]*population
}

// population counts the living series of a project.
type population struct {
	total   int
	metrics map[string]int // series per metric name
	refused int64
}

// errSeries refuses a new series.
type errSeries struct {
	project, metric string
	max             int
}

// Error says what was refused.
func (e errSeries) Error() string {
	return fmt.Sprintf("project %s has %d series already, as many as it may have; the new one of %s is refused", e.project, e.max, e.metric)
}

func newLimiter(limit int, reg prometheus.Registerer) *limiter {
	l := &limiter{max: limit, projects: map[string]*population{}, refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "towpath_metric_series_refused_total", Help: "Attempts to make a series that a project may not have any more.",
	}, []string{labelProject})}
	reg.MustRegister(l.refused)
	return l
}

func (l *limiter) enforce() { l.on.Store(true) }

// PreCreation refuses a series that would be too many; see tsdb.SeriesLifecycleCallback.
// Two that come at once may both be let in: the limit is not exact by that much.
func (l *limiter) PreCreation(ls labels.Labels) error {
	project := ls.Get(labelProject)
	if project == "" || !l.on.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.projects[project]
	if p == nil || p.total < l.max || p.total < l.max+l.max/10+reportRoom && report(ls.Get(labels.MetricName)) {
		return nil
	}
	p.refused++
	l.refused.WithLabelValues(project).Inc()
	return errSeries{project, ls.Get(labels.MetricName), l.max}
}

// reportRoom is how many series more there may be for what the scraper says of targets.
const reportRoom = 100

// report reports whether a metric is the scraper's own word on a target: that a target is
// up must not depend on how much it exposes.
func report(name string) bool {
	return name == "up" || strings.HasPrefix(name, "scrape_")
}

// PostCreation counts a series.
func (l *limiter) PostCreation(ls labels.Labels) {
	project := ls.Get(labelProject)
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.projects[project]
	if p == nil {
		p = &population{metrics: map[string]int{}}
		l.projects[project] = p
	}
	p.total++
	p.metrics[ls.Get(labels.MetricName)]++
}

// PostDeletion forgets series.
func (l *limiter) PostDeletion(gone map[chunks.HeadSeriesRef]labels.Labels) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ls := range gone {
		p := l.projects[ls.Get(labelProject)]
		if p == nil {
			continue
		}
		p.total--
		name := ls.Get(labels.MetricName)
		if p.metrics[name]--; p.metrics[name] <= 0 {
			delete(p.metrics, name)
		}
	}
}

// Cardinality is how many living series a project has, and what they are made of.
type Cardinality struct {
	Project string `json:"project"`
	Series  int    `json:"series"`
	Max     int    `json:"max" doc:"0: no limit"`
	Refused int64  `json:"refused" doc:"attempts to make one more, since the start"`
	Metric  string `json:"metric" doc:"the metric with the most series"`
	Count   int    `json:"count" doc:"its series"`
	Label   string `json:"label" doc:"its label with the most values: the one that makes them many"`
	Values  int    `json:"values" doc:"of that label"`
}

// Cardinality returns how many series a project has; with the platform's "" it has no limit.
func (s *Store) Cardinality(ctx context.Context, project string) (Cardinality, error) {
	c := s.limit.count(project)
	if c.Metric == "" {
		return c, nil
	}
	q, err := s.db.Querier(s.db.Head().MinTime(), s.db.Head().MaxTime())
	if err != nil {
		return c, fmt.Errorf("reading series: %w", err)
	}
	defer q.Close()
	of := []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, c.Metric), labels.MustNewMatcher(labels.MatchEqual, labelProject, project),
	}
	names, _, err := q.LabelNames(ctx, &storage.LabelHints{}, of...)
	if err != nil {
		return c, fmt.Errorf("reading label names: %w", err)
	}
	for _, n := range names {
		values, _, err := q.LabelValues(ctx, n, &storage.LabelHints{}, of...)
		if err != nil {
			return c, fmt.Errorf("reading label values: %w", err)
		}
		if len(values) > c.Values {
			c.Label, c.Values = n, len(values)
		}
	}
	return c, nil
}

func (l *limiter) count(project string) Cardinality {
	c := Cardinality{Project: project}
	if project != "" {
		c.Max = l.max
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.projects[project]
	if p == nil {
		return c
	}
	c.Series, c.Refused = p.total, p.refused
	for name, n := range p.metrics {
		if c.Metric == "" || n > c.Count || n == c.Count && name < c.Metric {
			c.Metric, c.Count = name, n
		}
	}
	return c
}

// Cardinalities returns the counts of every project, the largest first, without labels.
func (s *Store) Cardinalities() []Cardinality {
	s.limit.mu.Lock()
	names := make([]string, 0, len(s.limit.projects))
	for p := range s.limit.projects {
		names = append(names, p)
	}
	s.limit.mu.Unlock()
	out := make([]Cardinality, 0, len(names))
	for _, p := range names {
		out = append(out, s.limit.count(p))
	}
	slices.SortFunc(out, func(a, b Cardinality) int { return cmp.Or(b.Series-a.Series, cmp.Compare(a.Project, b.Project)) })
	return out
}
