package alert

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert/judge"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
)

const (
	maxValues     = 100         // of an evaluation that are kept
	maxValueBytes = 8 << 10     // of labels in an evaluation that are kept
	maxLabelBytes = 512         // of one label's value in an evaluation
	seenEvery     = time.Minute // how often it is noted that an alert goes on
)

// fingerprint names an alert: the rule and its labels.
func fingerprint(rule string, labels map[string]string) string {
	sum := sha256.Sum256([]byte(rule + "\x00" + judge.Key(labels)))
	return hex.EncodeToString(sum[:16])
}

// step is what an evaluation changes.
type step struct {
	fire    []Alert
	update  []Alert
	resolve []Alert
}

func (p step) empty() bool { return len(p.fire)+len(p.update)+len(p.resolve) == 0 }

// apply stores an evaluation with what follows from it, in one transaction, and hands the
// alerts that changed to the router.
func (s *Service) apply(ctx context.Context, r Rule, o outcome) error {
	var p step
	if o.err == nil {
		open, err := openOf(ctx, s.DB, r.ID)
		if err != nil {
			return err
		}
		if p, err = s.plan(ctx, r, o, open); err != nil {
			return err
		}
	}
	// An evaluation of a metric rule in which there was nothing says nothing to anybody.
	if r.Kind == Metric && o.err == nil && len(o.samples) == 0 && p.empty() {
		return nil
	}
	e := evaluation(r, o)
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		// It may have been removed or switched off while it was evaluated.
		if now, err := s.readRule(ctx, tx, r.ID); fault.Is(err, fault.NotFound) || (err == nil && !now.Enabled) {
			return nil
		} else if err != nil {
			return err
		}
		body, err := encode(e)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO alert_evaluation (rule, at, body) VALUES (?, ?, ?)`, r.ID, ms(e.At), body); err != nil {
			return fmt.Errorf("storing an evaluation of rule %s: %w", r.ID, err)
		}
		if r.Kind == Query && o.err == nil {
			if err := remember(ctx, tx, r.ID, o.at, o.memory); err != nil {
				return err
			}
		}
		facts, changed, err := s.enact(ctx, tx, p)
		if err != nil || len(facts) == 0 {
			return err
		}
		tx.AfterCommit(func() { s.send(changed...) })
		return s.Log.Append(ctx, tx, facts...)
	})
}

// plan finds what an evaluation changes of the alerts that are open. It may look things up;
// it writes nothing.
func (s *Service) plan(ctx context.Context, r Rule, o outcome, open map[string]Alert) (step, error) {
	var p step
	muted := o.at.Before(r.MutedUntil)
	there := map[string]bool{}
	for _, x := range o.samples {
		fp := fingerprint(r.ID, x.labels)
		a, is := open[fp]
		there[fp] = true
		switch {
		case is && x.resolve:
			p.resolve = append(p.resolve, s.resolved(a, o.at, "the condition no longer holds", x.value))
		case is:
			if x.known && !x.kept && (x.value != a.Value || o.at.Sub(a.Seen) >= seenEvery || r.KeepFiringFor > 0) && !math.IsNaN(x.value) {
				a.Value, a.Seen = finite(x.value), o.at
				if sum := x.annotations["summary"]; sum != "" {
					a.Summary, a.Description = table.Shorten(sum, maxText), table.Shorten(x.annotations["description"], maxText)
				}
				p.update = append(p.update, a)
			}
		case x.fire && !muted:
			p.fire = append(p.fire, s.fired(ctx, r, x, fp, o.at))
		}
	}
	if r.Kind == Query {
		return p, nil // What is not in a result has been judged as well.
	}
	for fp, a := range open {
		if there[fp] || s.settling(a) || (r.KeepFiringFor > 0 && o.at.Sub(a.Seen) < r.KeepFiringFor.Go()) {
			continue
		}
		p.resolve = append(p.resolve, s.resolved(a, o.at, "the condition no longer holds", a.Value))
	}
	if len(p.resolve) == 0 {
		return p, nil
	}
	blind, err := s.blind(ctx, o.at)
	if blind {
		p.resolve = nil
	}
	return p, err
}

// blind reports whether something that the platform scrapes has just failed to answer: all
// of its series end then, and that a condition is not seen to hold says nothing. What does
// not come back within two minutes is taken for gone.
func (s *Service) blind(ctx context.Context, at time.Time) (bool, error) {
	if len(s.opts.Jobs) == 0 {
		return false, nil
	}
	quoted := make([]string, len(s.opts.Jobs))
	for i, job := range s.opts.Jobs {
		quoted[i] = regexp.QuoteMeta(job)
	}
	up := "up{job=~" + strconv.Quote(strings.Join(quoted, "|")) + "}"
	q, err := s.PromQL.NewInstantQuery(ctx, s.Series, nil, "count(max_over_time("+up+"[2m]) == 1 and "+up+" == 0)", at)
	if err != nil {
		return false, fmt.Errorf("asking what is scraped: %w", err)
	}
	defer q.Close()
	found, err := q.Exec(ctx).Vector()
	if err != nil {
		return false, fmt.Errorf("asking what is scraped: %w", err)
	}
	return len(found) > 0, nil
}

// settling reports whether an alert of before the start is not resolved yet, because the
// first scrapes may not have come in.
func (s *Service) settling(a Alert) bool {
	s.mu.Lock()
	started := s.started
	s.mu.Unlock()
	return a.Fired.Before(started) && s.Clock.Now().Sub(started) < s.opts.Settle
}

// finite keeps numbers that JSON has a word for.
func finite(v float64) float64 {
	switch {
	case math.IsInf(v, 1):
		return math.MaxFloat64
	case math.IsInf(v, -1):
		return -math.MaxFloat64
	case math.IsNaN(v):
		return 0
	}
	return v
}

// fired makes an alert, with what is known of the place that its labels name.
func (s *Service) fired(ctx context.Context, r Rule, x sample, fp string, at time.Time) Alert {
	a := Alert{
		ID: s.Clock.NewID(), Fingerprint: fp, Rule: r.ID, Name: r.Name, Kind: r.Kind, Query: r.Query, Project: cmp.Or(r.Project, x.labels["project"]),
		Environment: cmp.Or(x.labels["environment"], r.Environment), Severity: cmp.Or(x.labels["severity"], r.Severity), State: Firing,
		Fired: at, Seen: at, Value: finite(x.value), Labels: maps.Clone(x.labels), Summary: table.Shorten(cmp.Or(x.annotations["summary"], r.Name), maxText),
		Description: table.Shorten(x.annotations["description"], maxText), NextStep: table.Shorten(x.annotations["next_step"], maxText), Namespace: x.labels["namespace"], Pod: x.labels["pod"],
	}
	if s.Places != nil && a.Namespace != "" && a.Pod != "" {
		// A rule of a project names labels as it likes; only its own places count.
		if p, ok := s.Places.ByName(a.Namespace, a.Pod); ok && (r.Project == "" || p.Project == r.Project) {
			a.PodUID, a.Release = p.UID, p.Release
			a.Project, a.Environment = cmp.Or(p.Project, a.Project), cmp.Or(p.Environment, a.Environment)
		}
	}
	if of := x.labels["release"]; a.Release == "" && a.Project != "" && strings.HasPrefix(of, a.Project+"/") {
		a.Release = of
	}
	if a.Release == "" && s.Releases != nil && a.Project != "" && a.Environment != "" {
		release, err := s.Releases.Current(ctx, a.Project, a.Environment)
		if err != nil {
			s.Logger.Warn("finding the release that an alert concerns", "alert", a.ID, "environment", a.Environment, "err", err)
		}
		a.Release = release
	}
	return a
}

func (s *Service) resolved(a Alert, at time.Time, why string, value float64) Alert {
	if at.Before(a.Fired) {
		at = a.Fired // The clock went back.
	}
	a.State, a.Resolved, a.Why, a.Value = Resolved, at, why, finite(value)
	return a
}

// enact writes what a step changes, and returns what is to be said and sent.
func (s *Service) enact(ctx context.Context, tx *store.Tx, p step) (facts []event.Fact, changed []Alert, err error) {
	for _, a := range p.update {
		if _, err := updateAlert(ctx, tx, a); err != nil {
			return nil, nil, err
		}
	}
	for _, a := range p.fire {
		if err := insertAlert(ctx, tx, a); err != nil {
			return nil, nil, err
		}
		if err := note(ctx, tx, a.ID, Change{At: a.Fired, What: "fired", By: system(), Note: a.Summary}); err != nil {
			return nil, nil, err
		}
		facts, changed = append(facts, alertFact(event.TypeAlertFired, a, system())), append(changed, a)
	}
	for _, a := range p.resolve {
		done, err := updateAlert(ctx, tx, a)
		if err != nil {
			return nil, nil, err
		}
		if !done {
			continue // Somebody closed it meanwhile.
		}
		if err := note(ctx, tx, a.ID, Change{At: a.Resolved, What: "resolved", By: system(), Note: a.Why}); err != nil {
			return nil, nil, err
		}
		facts, changed = append(facts, alertFact(event.TypeAlertResolved, a, system())), append(changed, a)
	}
	return facts, changed, nil
}

// end resolves the open alerts of a rule that is no more.
func (s *Service) end(ctx context.Context, tx *store.Tx, rule, why, actor string) ([]event.Fact, error) {
	open, err := openOf(ctx, tx, rule)
	if err != nil {
		return nil, err
	}
	var facts []event.Fact
	for _, fp := range slices.Sorted(maps.Keys(open)) {
		f, err := s.finish(ctx, tx, open[fp], "resolved", why, actor)
		if err != nil {
			return nil, err
		}
		facts = append(facts, f...)
	}
	return facts, nil
}

// finish resolves one alert for a reason other than its condition.
func (s *Service) finish(ctx context.Context, tx *store.Tx, a Alert, what, why, actor string) ([]event.Fact, error) {
	a = s.resolved(a, s.Clock.Now(), why, a.Value)
	done, err := updateAlert(ctx, tx, a)
	if err != nil || !done {
		return nil, err
	}
	if err := note(ctx, tx, a.ID, Change{At: a.Resolved, What: what, By: actor, Note: why}); err != nil {
		return nil, err
	}
	tx.AfterCommit(func() { s.send(a) })
	return []event.Fact{alertFact(event.TypeAlertResolved, a, actor)}, nil
}

// alertFact makes the event of an alert, linked to what it concerns.
func alertFact(kind string, a Alert, actor string) event.Fact {
	f := event.Fact{Type: kind, Subject: event.Of(event.KindAlert, a.ID), Project: a.Project, Actor: actor, Payload: event.Alert{
		V: 1, Alert: a.ID, Rule: a.Name, Kind: a.Kind, Severity: a.Severity, Environment: a.Environment, Release: a.Release, Summary: a.Summary, Labels: a.Labels,
		Value: a.Value, Query: a.Query, Fired: a.Fired, Resolved: a.Resolved, Why: a.Why,
	}}
	// The edges of the chain are said once, when it fires.
	if kind != event.TypeAlertFired {
		return f
	}
	if a.Release != "" {
		f.Links = append(f.Links, event.Link{Rel: event.RelConcerns, To: event.Of(event.KindRelease, a.Release)})
	}
	if a.PodUID != "" {
		f.Links = append(f.Links, event.Link{Rel: event.RelConcerns, To: event.Of(event.KindPod, a.PodUID)})
	}
	return f
}

// evaluation makes the record of an outcome.
func evaluation(r Rule, o outcome) Evaluation {
	e := Evaluation{At: o.at, Took: float64(o.took.Microseconds()) / 1000, State: Inactive, Groups: len(o.samples)}
	if o.err != nil {
		message, next := fault.Public(o.err)
		if next != "" {
			message += " Next: " + next + "."
		}
		e.State, e.Error = "error", message
		return e
	}
	rank := map[string]int{Firing: 3, judge.Muted: 2, Pending: 1, Inactive: 0}
	worst := 0
	for _, x := range o.samples {
		state := x.state
		if state == Firing && x.fire && o.at.Before(r.MutedUntil) {
			state = judge.Muted
		}
		if rank[state] > worst {
			worst, e.State = rank[state], state
		}
		e.Values = append(e.Values, Value{Labels: x.labels, Value: finite(x.value), Bad: x.bad, State: state})
	}
	slices.SortStableFunc(e.Values, func(a, b Value) int { return cmp.Compare(rank[b.State], rank[a.State]) })
	e.Values = few(e.Values)
	return e
}

// few returns the first values of an evaluation, as many as are kept: the dimensions of a
// query rule may be texts of any length, and an evaluation is kept every few seconds.
func few(values []Value) []Value {
	values = values[:min(len(values), maxValues)]
	room := maxValueBytes
	for i, v := range values {
		kept := make(map[string]string, len(v.Labels))
		for name, text := range v.Labels {
			kept[name] = table.Shorten(text, maxLabelBytes)
			room -= len(name) + len(kept[name])
		}
		if room < 0 && i > 0 {
			return values[:i]
		}
		values[i].Labels = kept
	}
	return values
}
