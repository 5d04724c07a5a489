package promrule

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"towpath.dev/towpath/internal/fault"
)

const (
	labelProject = "project"
	// maxActive is how many alerts one rule may have; more is a mistake in the rule.
	maxActive = 1000
	// outage is how long ago the state of `for` may have been written to count on.
	outage = time.Hour
)

// Storage is what rules read and write.
type Storage interface {
	storage.Queryable
	storage.Appendable
}

// Rule is an alerting rule.
type Rule struct {
	ID            string
	Project       string   // "" sees every series
	Jobs          []string // with Project "": only series of these jobs; nil for all
	Name          string   // the label alertname
	Expr          string
	Every         time.Duration
	For           time.Duration
	KeepFiringFor time.Duration
	Labels        map[string]string // templates
	Annotations   map[string]string // templates
}

func (r Rule) equal(o Rule) bool {
	return r.ID == o.ID && r.Project == o.Project && slices.Equal(r.Jobs, o.Jobs) && r.Name == o.Name && r.Expr == o.Expr && r.Every == o.Every && r.For == o.For &&
		r.KeepFiringFor == o.KeepFiringFor && maps.Equal(r.Labels, o.Labels) && maps.Equal(r.Annotations, o.Annotations)
}

// Active is one set of labels for which an expression holds.
type Active struct {
	Labels      map[string]string
	Annotations map[string]string
	Value       float64
	Firing      bool      // false: pending
	Since       time.Time // when the expression began to hold
	Fired       time.Time // zero while pending
	// Kept is when the expression ceased to hold, while KeepFiringFor keeps it firing.
	Kept time.Time
}

// Engine holds rules. It is safe for concurrent use, with one Put or Remove at a time.
type Engine struct {
	store   Storage
	query   promql.QueryEngine
	metrics *rules.Metrics
	logger  *slog.Logger

	mu    sync.Mutex
	rules map[string]*held
}

// held is a rule with its state in the library.
type held struct {
	mu      sync.Mutex // Held by whoever evaluates the rule or takes its state over; before that of the engine.
	rule    Rule
	group   *rules.Group
	alert   *rules.AlertingRule
	opts    *rules.ManagerOptions
	restore int // evaluations until the state of `for` is read from the storage; 0 for never
}

// New returns an Engine without rules.
func New(s Storage, q promql.QueryEngine, l *slog.Logger) *Engine {
	return &Engine{store: s, query: q, metrics: rules.NewGroupMetrics(nil), logger: l, rules: map[string]*held{}}
}

// Put adds a rule or replaces the one of its ID, whose alerts it goes on with as far as
// name and labels are the same. After a restart, restore is true: then what `for` has
// counted is read from the storage at the second evaluation, when scrapes have come in.
func (e *Engine) Put(r Rule, restore bool) error {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
	if err != nil {
		return located(r.Expr, err)
	}
	old := e.find(r.ID)
	if old != nil {
		old.mu.Lock()
		defer old.mu.Unlock()
		if old.rule.equal(r) {
			return nil
		}
	}
	h := &held{rule: r, opts: e.options(r)}
	fixed := maps.Clone(r.Labels)
	if r.Project != "" {
		if fixed == nil {
			fixed = map[string]string{}
		}
		fixed[labelProject] = r.Project
	}
	if restore && old == nil {
		h.restore = 2
	}
	h.alert = rules.NewAlertingRule(r.Name, expr, r.For, r.KeepFiringFor, labels.FromMap(fixed), labels.FromMap(r.Annotations), labels.EmptyLabels(), "",
		h.restore == 0, e.logger)
	h.group = e.group(r, h.opts, h.alert)
	if old != nil {
		h.group.CopyState(old.group)
		h.restore = old.restore
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rules[r.ID] = h
	return nil
}

func (e *Engine) find(id string) *held {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rules[id]
}

// take returns a rule locked; nil when there is none. It may have been replaced while its
// last evaluation was waited for.
func (e *Engine) take(id string) *held {
	for {
		h := e.find(id)
		if h == nil {
			return nil
		}
		h.mu.Lock()
		if e.find(id) == h {
			return h
		}
		h.mu.Unlock()
	}
}

func (e *Engine) group(r Rule, o *rules.ManagerOptions, list ...rules.Rule) *rules.Group {
	file := "platform"
	if r.Project != "" {
		file = "project/" + r.Project
	}
	return rules.NewGroup(rules.GroupOptions{Name: r.Name, File: file, Interval: r.Every, Limit: maxActive, Rules: list, Opts: o})
}

// options give a rule its view of the storage.
func (e *Engine) options(r Rule) *rules.ManagerOptions {
	var q storage.Queryable = e.store
	switch {
	case r.Project != "":
		q = confined{e.store, labels.MustNewMatcher(labels.MatchEqual, labelProject, r.Project), ""}
	case len(r.Jobs) > 0:
		q = confined{e.store, oneOf(model.JobLabel, r.Jobs), forState}
	}
	return &rules.ManagerOptions{
		Context: context.Background(), ExternalURL: &url.URL{}, Queryable: q, Appendable: e.store, QueryFunc: rules.EngineQueryFunc(e.query, q),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Metrics: e.metrics, Logger: e.logger, OutageTolerance: outage,
	}
}

// Remove forgets a rule; its series end at that moment.
func (e *Engine) Remove(ctx context.Context, id string, at time.Time) {
	h := e.take(id)
	if h == nil {
		return
	}
	defer h.mu.Unlock()
	e.mu.Lock()
	delete(e.rules, id)
	e.mu.Unlock()
	// A group without rules that takes the state over marks all of its series stale.
	empty := e.group(h.rule, h.opts)
	empty.CopyState(h.group)
	empty.Eval(ctx, at)
}

// Eval evaluates a rule as of a moment and returns what is active then, the pending and the
// firing ones. An error means that nothing is known.
func (e *Engine) Eval(ctx context.Context, id string, at time.Time) ([]Active, error) {
	h := e.take(id)
	if h == nil {
		return nil, fault.New(fault.NotFound, "There is no metric rule %q.", id)
	}
	defer h.mu.Unlock()
	h.group.Eval(ctx, at)
	if err := h.alert.LastError(); err != nil && !late(err) {
		return nil, explained(err)
	}
	if h.restore > 0 {
		if h.restore--; h.restore == 0 {
			h.group.RestoreForState(at)
			// What was restored counts now, not an interval later.
			h.group.Eval(ctx, at.Add(time.Millisecond))
		}
	}
	return active(h.alert), nil
}

// late reports whether an error only says that the series of the alert's own state have a
// younger sample: the clock went back. The alerts themselves are known.
func late(err error) bool {
	return errors.Is(err, storage.ErrOutOfOrderSample) || errors.Is(err, storage.ErrTooOldSample) || errors.Is(err, storage.ErrDuplicateSampleForTimestamp) ||
		errors.Is(err, storage.ErrOutOfBounds)
}

// explained gives an error of the query engine the words that a person may see: it is about
// the expression that this person wrote.
func explained(err error) error {
	if fault.KindOf(err) != fault.Internal {
		return err
	}
	var timeout promql.ErrQueryTimeout
	var many promql.ErrTooManySamples
	var canceled promql.ErrQueryCanceled
	var store promql.ErrStorage
	switch {
	case errors.As(err, &timeout), errors.As(err, &many):
		return fault.Wrap(fault.TooLarge, err, "The expression costs too much: %v.", err).WithNext("narrow its selectors or shorten its ranges")
	case errors.As(err, &canceled):
		return fault.Wrap(fault.Unavailable, err, "The evaluation was cancelled.")
	case errors.As(err, &store):
		return fault.Wrap(fault.Unavailable, err, "The metric store could not be read.")
	}
	return fault.Wrap(fault.Invalid, err, "The expression cannot be evaluated: %v.", err)
}

// Active returns what the last evaluation of a rule found.
func (e *Engine) Active(id string) []Active {
	h := e.find(id)
	if h == nil {
		return nil
	}
	return active(h.alert)
}

func active(r *rules.AlertingRule) []Active {
	var out []Active
	for _, a := range r.ActiveAlerts() {
		if a.State != rules.StateFiring && a.State != rules.StatePending {
			continue
		}
		out = append(out, Active{
			Labels: a.Labels.Map(), Annotations: a.Annotations.Map(), Value: a.Value, Firing: a.State == rules.StateFiring,
			Since: a.ActiveAt.UTC(), Fired: utc(a.FiredAt), Kept: utc(a.KeepFiringSince),
		})
	}
	slices.SortFunc(out, func(a, b Active) int {
		return cmp.Compare(labels.FromMap(a.Labels).String(), labels.FromMap(b.Labels).String())
	})
	return out
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// RuleGroups returns every rule as Prometheus has it, each in a group of its own whose file
// is "platform" or "project/NAME".
func (e *Engine) RuleGroups() []*rules.Group {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*rules.Group
	for _, id := range slices.Sorted(maps.Keys(e.rules)) {
		out = append(out, e.rules[id].group)
	}
	return out
}
