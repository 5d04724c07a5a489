package metric

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/scrape"
)

// Marks that a target bears instead of a project. Project names have no slash, and a target
// cannot take its own labels away, so what it exposes as `project` always moves aside.
const (
	markPlatform  = "/platform"  // no project
	markNamespace = "/namespace" // that of the series' namespace
	markNone      = "/none"      // no environment
)

// Scrape scrapes until ctx ends.
func (s *Store) Scrape(ctx context.Context, o ScrapeOptions) error {
	o.Interval = cmp.Or(o.Interval, 15*time.Second)
	o.BodyLimit = cmp.Or(o.BodyLimit, 32<<20)
	o.Samples = cmp.Or(o.Samples, 50_000)
	local := listenLocal(o.Handlers)
	defer local.close()
	m, err := scrape.NewManager(&scrape.Options{
		DiscoveryReloadInterval: model.Duration(time.Second), DiscoveryReloadOnStartup: true,
		HTTPClientOptions: []config_util.HTTPClientOption{config_util.WithDialContextFunc(local.dial), config_util.WithUserAgent("towpath")},
	}, s.logger.With("part", "scrape"), nil, nil, scraped{s, placer(o.Owners)}, s.reg)
	if err != nil {
		return fmt.Errorf("starting the scraper: %w", err)
	}
	defer m.UnregisterMetrics()
	sets := make(chan map[string][]*targetgroup.Group)
	var wg sync.WaitGroup
	wg.Go(func() { _ = m.Run(sets) }) // it returns nil only
	s.pools.set(m)
	defer func() {
		s.pools.set(nil)
		m.Stop()
		wg.Wait()
	}()
	return s.feed(ctx, m, sets, o)
}

// feed hands targets to the scraper whenever they change.
func (s *Store) feed(ctx context.Context, m *scrape.Manager, sets chan<- map[string][]*targetgroup.Group, o ScrapeOptions) error {
	kick := make(chan struct{}, 1)
	for _, t := range o.Targets {
		go watch(ctx, t, kick)
	}
	var before string
	for {
		var all []Target
		for _, t := range o.Targets {
			all = append(all, t.Targets()...)
		}
		text, err := configuration(all, o)
		if err != nil {
			return fmt.Errorf("configuring the scraper: %w", err)
		}
		if text != before {
			c, err := config.Load(text, s.logger)
			if err != nil {
				return fmt.Errorf("configuring the scraper: %w", err)
			}
			if err := m.ApplyConfig(c); err != nil {
				return fmt.Errorf("configuring the scraper: %w", err)
			}
			before = text
		}
		select {
		case sets <- groups(all):
		case <-ctx.Done():
			return nil
		}
		select {
		case <-kick:
		case <-ctx.Done():
			return nil
		}
	}
}

// watch kicks at every change of targets.
func watch(ctx context.Context, t Targets, kick chan<- struct{}) {
	for {
		changed := t.Changed()
		// Once more after the channel is taken: nothing between the two is lost.
		select {
		case kick <- struct{}{}:
		default:
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		// Pods come in flocks; half a second makes one change of them.
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// job is a scrape configuration as the Prometheus documentation has it ("scrape_config").
type job struct {
	Name            string           `json:"job_name"`
	HonorLabels     bool             `json:"honor_labels"`
	HonorTimestamps bool             `json:"honor_timestamps"`
	FollowRedirects bool             `json:"follow_redirects"`
	Fallback        string           `json:"fallback_scrape_protocol"`
	BodyLimit       string           `json:"body_size_limit"`
	Samples         int              `json:"sample_limit"`
	Labels          int              `json:"label_limit"`
	LabelName       int              `json:"label_name_length_limit"`
	LabelValue      int              `json:"label_value_length_limit"`
	TLS             map[string]bool  `json:"tls_config"`
	Relabel         []map[string]any `json:"metric_relabel_configs,omitempty"`
}

// configuration writes the scraper's configuration: JSON is YAML.
func configuration(all []Target, o ScrapeOptions) (string, error) {
	of := map[string]Target{}
	for _, t := range all {
		of[t.Job] = t
	}
	jobs := []job{}
	for name, t := range of {
		j := job{
			Name: name, Fallback: "PrometheusText0.0.4", BodyLimit: fmt.Sprintf("%dB", o.BodyLimit), Samples: o.Samples,
			Labels: maxLabels, LabelName: maxLabelName, LabelValue: maxLabelValue, TLS: map[string]bool{"insecure_skip_verify": true},
		}
		if t.Keep != "" {
			j.Relabel = append(j.Relabel, map[string]any{"source_labels": []string{"__name__"}, "regex": t.Keep, "action": "keep"})
		}
		if t.Drop != nil {
			j.Relabel = append(j.Relabel, map[string]any{"source_labels": t.Drop.Labels, "regex": t.Drop.Regex, "action": "drop"})
		}
		jobs = append(jobs, j)
	}
	slices.SortFunc(jobs, func(a, b job) int { return cmp.Compare(a.Name, b.Name) })
	text, err := json.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": promDuration(o.Interval), "scrape_timeout": promDuration(min(10*time.Second, o.Interval))},
		"scrape_configs": jobs,
	})
	return string(text), err
}

func promDuration(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

// groups makes target groups of targets, by job.
func groups(all []Target) map[string][]*targetgroup.Group {
	out := map[string][]*targetgroup.Group{}
	for i, t := range all {
		set := model.LabelSet{
			model.AddressLabel: model.LabelValue(t.Address), model.SchemeLabel: model.LabelValue(cmp.Or(t.Scheme, "http")),
			model.MetricsPathLabel: model.LabelValue(cmp.Or(t.Path, "/metrics")), model.InstanceLabel: model.LabelValue(cmp.Or(t.Instance, t.Address)),
		}
		for k, v := range t.Params {
			if len(v) > 0 {
				set[model.LabelName(model.ParamLabelPrefix+k)] = model.LabelValue(v[0])
			}
		}
		for k, v := range t.Labels {
			if v != "" {
				set[model.LabelName(k)] = model.LabelValue(v)
			}
		}
		switch {
		case t.ByNamespace:
			set[labelProject] = markNamespace
		case t.Labels[labelProject] == "":
			set[labelProject] = markPlatform
		}
		if t.ByNamespace || t.Labels[labelEnvironment] == "" {
			set[labelEnvironment] = markNone
		}
		out[t.Job] = append(out[t.Job], &targetgroup.Group{Targets: []model.LabelSet{set}, Source: fmt.Sprint(i)})
	}
	return out
}

// placer returns what makes of the marks the labels that a series is stored with; none, when
// it is to be left out.
func placer(owners Owners) func(labels.Labels) labels.Labels {
	if owners == nil {
		owners = nobody{}
	}
	return func(ls labels.Labels) labels.Labels {
		project, environment := ls.Get(labelProject), ls.Get(labelEnvironment)
		if environment != markNone && project != markPlatform && project != markNamespace {
			return ls
		}
		b := labels.NewBuilder(ls)
		if environment == markNone {
			b.Del(labelEnvironment)
		}
		switch project {
		case markPlatform:
			b.Del(labelProject)
		case markNamespace:
			project, environment = "", ""
			if id := containerID(ls); id != "" {
				// A cAdvisor that does not find the runtime's socket knows control groups only.
				c, ok := owners.Container(id)
				if !ok {
					return labels.EmptyLabels() // a pod's sandbox, or not known yet
				}
				b.Set("namespace", c.Namespace)
				b.Set("pod", c.Pod)
				b.Set("container", c.Name)
				b.Set("image", c.Image)
			}
			if ns := b.Get("namespace"); ns != "" {
				project, environment = owners.NamespaceOwner(ns)
			}
			b.Set(labelProject, project) // "" removes it
			b.Set(labelEnvironment, environment)
		}
		return b.Labels()
	}
}

// containerID returns the id of the container that a control group is of, when the series
// does not say itself whose it is: the last part of a path like
// "/kubepods/pod<uid>/<64 digits>".
func containerID(ls labels.Labels) string {
	path := ls.Get("id")
	id := path[strings.LastIndexByte(path, '/')+1:]
	if len(id) != 64 || ls.Get("pod") != "" || ls.Get("container") != "" {
		return ""
	}
	return id
}

// nobody owns nothing.
type nobody struct{}

// NamespaceOwner returns nothing.
func (nobody) NamespaceOwner(string) (project, environment string) { return "", "" }

// Container finds nothing.
func (nobody) Container(string) (Container, bool) { return Container{}, false }

// pools is the scraper that runs now, for those who ask how it is.
type pools struct {
	mu sync.Mutex
	m  *scrape.Manager
}

func (p *pools) set(m *scrape.Manager) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.m = m
}

// each calls do for the active targets that a scope may see.
func (p *pools) each(in Scope, do func(pool string, t *scrape.Target, ls map[string]string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m == nil {
		return
	}
	for pool, ts := range p.m.TargetsActive() {
		for _, t := range ts {
			ls := t.Labels(labels.NewBuilder(labels.EmptyLabels())).Map()
			project := ls[labelProject]
			if project == markPlatform || project == markNamespace {
				project = ""
				delete(ls, labelProject)
			}
			if ls[labelEnvironment] == markNone {
				delete(ls, labelEnvironment)
			}
			if in.All || project == in.Project {
				do(pool, t, ls)
			}
		}
	}
}

// metadata calls do for what targets say of their metrics. What the cluster's own metrics
// mean is no secret: everybody sees it.
func (p *pools) metadata(in Scope, do func(name string, m metadata.Metadata)) {
	p.each(Scope{All: true}, func(_ string, t *scrape.Target, ls map[string]string) {
		if project := ls[labelProject]; project != "" && project != in.Project && !in.All {
			return
		}
		for _, m := range t.ListMetadata() {
			do(m.MetricFamily, metadata.Metadata{Type: m.Type, Help: m.Help, Unit: m.Unit})
		}
	})
}

// TargetStatus is how a target is; the names are those of Prometheus' /targets.
type TargetStatus struct {
	Discovered map[string]string `json:"discoveredLabels"`
	Labels     map[string]string `json:"labels"`
	Pool       string            `json:"scrapePool"`
	URL        string            `json:"scrapeUrl"`
	GlobalURL  string            `json:"globalUrl"`
	LastError  string            `json:"lastError"`
	LastScrape time.Time         `json:"lastScrape"`
	Seconds    float64           `json:"lastScrapeDuration"`
	Health     string            `json:"health" enum:"unknown,up,down"`
}

// TargetStatus returns how the targets of a scope are, by pool and URL.
func (s *Store) TargetStatus(in Scope) ([]TargetStatus, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return s.pools.status(in), nil
}

func (p *pools) status(in Scope) []TargetStatus {
	out := []TargetStatus{}
	p.each(in, func(pool string, t *scrape.Target, ls map[string]string) {
		st := TargetStatus{
			Discovered: map[string]string{}, Labels: ls, Pool: pool, URL: t.URL().String(), GlobalURL: t.URL().String(),
			LastScrape: t.LastScrape(), Seconds: t.LastScrapeDuration().Seconds(), Health: string(t.Health()),
		}
		if err := t.LastError(); err != nil {
			st.LastError = firstLine(err.Error())
		}
		out = append(out, st)
	})
	slices.SortFunc(out, func(a, b TargetStatus) int { return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.URL, b.URL)) })
	return out
}

// Fixed are targets that never change.
type Fixed []Target

// Targets returns them.
func (f Fixed) Targets() []Target { return f }

// Changed never closes.
func (Fixed) Changed() <-chan struct{} { return nil }

var _ Targets = Fixed(nil)

// Own is the target of this server's own metrics, answered by the Handler of that name.
func Own() Target { return Target{Job: "towpath", Address: "towpath", Instance: "server"} }

// Exposition answers with metrics in Prometheus' formats, for Own and for the path /metrics.
func Exposition(from ...Gatherer) http.Handler { return exposition(from) }
