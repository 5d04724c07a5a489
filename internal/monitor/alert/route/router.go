package route

import (
	"bytes"
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/alertmanager/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
)

const (
	retention = 5 * 24 * time.Hour // of the notification log
	sweep     = 5 * time.Minute    // between two clearings of what is over
	// maxGroups is how many groups of alerts there may be at a time.
	maxGroups = 10_000
)

// Options are what a Router is made of.
type Options struct {
	URL    string // of the platform, for links
	Guard  *Guard
	Record func(Attempt) // called from several goroutines
	Open   Opener
	Log    []byte // what Snapshot returned in an earlier life; nil for none
	Logger *slog.Logger
}

// Alert is an alert to route.
type Alert struct {
	Labels      map[string]string
	Annotations map[string]string
	Starts      time.Time
	Ends        time.Time // zero while it fires
	URL         string    // its page
}

// Router is Alertmanager in this process. It is safe for concurrent use.
type Router struct {
	opts     Options
	alerts   *mem.Alerts
	silences *silence.Silences
	silencer *silence.Silencer
	log      *nflog.Log
	groups   marker.GroupMarker
	pipeline *notify.PipelineBuilder
	metrics  *dispatch.DispatcherMetrics
	template *template.Template
	cancel   context.CancelFunc
	swept    chan struct{}

	mu         sync.Mutex // Guards what follows.
	dispatcher *dispatch.Dispatcher
	inhibitor  *inhibit.Inhibitor
	root       *dispatch.Route
	receivers  map[string]Receiver // by key
	running    sync.WaitGroup
}

// ready is a Peer that stands alone: there is nobody to wait for.
type ready struct{}

// WaitReady implements notify.Peer.
func (ready) WaitReady(context.Context) error { return nil }

type limits struct{}

// MaxNumberOfAggregationGroups implements dispatch.Limits.
func (limits) MaxNumberOfAggregationGroups() int { return maxGroups }

// New returns a Router that sends nothing until Apply was called. Close must be called.
func New(o Options) (*Router, error) {
	reg, flags, none := prometheus.NewRegistry(), featurecontrol.NoopFlags{}, eventrecorder.NopRecorder()
	r := &Router{opts: o, groups: marker.NewGroupMarker(), pipeline: notify.NewPipelineBuilder(reg, flags, none),
		metrics: dispatch.NewDispatcherMetrics(false, reg, flags), swept: make(chan struct{})}
	var err error
	if r.template, err = template.FromGlobs(nil); err != nil {
		return nil, err
	}
	if err := r.template.Parse(strings.NewReader(texts)); err != nil {
		return nil, err
	}
	if r.template.ExternalURL, err = url.Parse(o.URL); err != nil {
		return nil, err
	}
	if r.log, err = nflog.New(nflog.Options{SnapshotReader: bytes.NewReader(o.Log), Retention: retention, Logger: o.Logger, Metrics: reg}); err != nil {
		return nil, err
	}
	if r.silences, err = silence.New(silence.Options{Retention: retention, Logger: o.Logger, Metrics: reg, EventRecorder: none}); err != nil {
		return nil, err
	}
	r.silencer = silence.NewSilencer(r.silences, o.Logger, none)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	if r.alerts, err = mem.NewAlerts(ctx, sweep, 0, r.silencer, o.Logger, none, reg, flags); err != nil {
		cancel()
		return nil, err
	}
	go r.sweep(ctx)
	return r, nil
}

// sweep clears what is over.
func (r *Router) sweep(ctx context.Context) {
	defer close(r.swept)
	t := time.NewTicker(sweep)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if _, err := r.log.GC(); err != nil {
			r.opts.Logger.Warn("clearing the notification log", "err", err)
		}
		if _, err := r.silences.GC(); err != nil {
			r.opts.Logger.Warn("clearing silences", "err", err)
		}
	}
}

// Apply puts a configuration in force. When it is not sound, the one before stays.
func (r *Router) Apply(c Config) error {
	root, rules, err := c.build()
	if err != nil {
		return err
	}
	receivers, known := map[string][]notify.Integration{nowhere: nil}, map[string]Receiver{}
	for _, to := range c.Receivers {
		n, err := r.opts.notifier(to, r.template, r.opts.Logger)
		if err != nil {
			return err
		}
		name := key(to.Project, to.Name)
		known[name] = to
		receivers[name] = []notify.Integration{notify.NewIntegration(n, resolved(to.SendResolved), to.Kind, 0, name)}
	}
	none := eventrecorder.NopRecorder()
	inhibitor := inhibit.NewInhibitor(r.alerts, rules, r.opts.Logger, none)
	// The stage is asked by the dispatcher only, after the old one has stopped.
	stage := r.pipeline.New(receivers, func() time.Duration { return 0 }, inhibitor, r.silencer, timeinterval.NewIntervener(nil), r.groups, r.log, ready{})
	tree := dispatch.NewRoute(root, nil)
	dispatcher := dispatch.NewDispatcher(r.alerts, tree, stage, r.groups,
		func(d time.Duration) time.Duration { return max(d, notify.MinTimeout) }, sweep, limits{}, r.opts.Logger, none, r.metrics, r.template)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.halt()
	r.dispatcher, r.inhibitor, r.root, r.receivers = dispatcher, inhibitor, tree, known
	r.running.Go(inhibitor.Run)
	inhibitor.WaitForLoading()
	r.running.Go(func() { dispatcher.Run(time.Now()) })
	<-dispatcher.LoadingDone()
	return nil
}

// halt stops what runs. The caller holds mu.
func (r *Router) halt() {
	if r.dispatcher != nil {
		r.dispatcher.Stop()
		r.inhibitor.Stop()
		r.running.Wait()
	}
}

// Close stops; a notification on its way is given up and sent again in the next life.
func (r *Router) Close() {
	r.mu.Lock()
	r.halt()
	r.dispatcher = nil
	r.mu.Unlock()
	r.cancel()
	<-r.swept
	r.alerts.Close()
}

// Put tells of alerts: those that fire, and those that ended.
func (r *Router) Put(ctx context.Context, alerts ...Alert) error {
	list := make([]*types.Alert, len(alerts))
	for i, a := range alerts {
		list[i] = &alert.Alert{
			Alert:     model.Alert{Labels: set(a.Labels), Annotations: set(a.Annotations), StartsAt: a.Starts, EndsAt: a.Ends, GeneratorURL: a.URL},
			UpdatedAt: time.Now(),
		}
	}
	return r.alerts.Put(ctx, list...)
}

func set(m map[string]string) model.LabelSet {
	out := model.LabelSet{}
	for k, v := range m {
		if v != "" {
			out[model.LabelName(k)] = model.LabelValue(v)
		}
	}
	return out
}

// Held says what keeps notifications of an alert back: ids of silences, and whether another
// alert inhibits it.
func (r *Router) Held(ctx context.Context, labels map[string]string) (silences []string, inhibited bool) {
	r.mu.Lock()
	inhibitor := r.inhibitor
	r.mu.Unlock()
	ls := set(labels)
	m := marker.NewAlertMarker()
	ctx = marker.WithContext(ctx, m)
	r.silencer.Mutes(ctx, ls)
	inhibited = inhibitor != nil && inhibitor.Mutes(ctx, ls)
	return m.Status(ls.Fingerprint()).SilencedBy, inhibited
}

// Snapshot returns the notification log, for the next life.
func (r *Router) Snapshot() ([]byte, error) { return r.log.MarshalBinary() }
