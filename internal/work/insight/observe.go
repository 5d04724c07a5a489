package insight

import (
	"context"
	"slices"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
)

// Limits of what a signal remembers.
const (
	maxEvidence  = 12
	maxFiring    = 200
	maxWorkloads = 20
	maxResults   = 20
	maxText      = 230 // bytes of a text that comes from outside
	maxName      = 400 // bytes of a rule or a resource; what is longer is told apart by its hash
)

// observation is what one event says of one signal.
type observation struct {
	source, rule, resource string
	environment, release   string
	severity               string
	wait                   time.Duration // before it opens
	firing                 string        // alert or pod that holds from now on
	proof                  Evidence
	Record                 // what is remembered of it; Evidence and Firing are not used
}

// observe counts an observation on its signal. A repeat on an open signal changes counters
// and, when it brings something new, the record; nothing else.
func (f *feed) observe(ctx context.Context, o observation) error {
	if _, _, review := event.ReviewApp(o.environment); review {
		return nil // What a review app shows is the business of its pull request.
	}
	o.rule, o.resource = bounded(o.rule), bounded(o.resource)
	k := key(o.source, o.rule, o.resource)
	r, ok, err := locked(ctx, f.tx, f.e.Project, k)
	if err != nil || ok && r.seq >= f.e.Seq {
		return err // Counted before.
	}
	now := f.e.Time
	if !ok {
		r = row{Signal: Signal{
			Project: f.e.Project, Key: k, Source: o.source, Rule: o.rule, Resource: o.resource, State: Candidate, First: now, Record: Record{Title: o.Title},
		}, due: now.Add(o.wait)}
	}
	if r.State == Open && r.Healthy.IsZero() && r.Release == o.release && r.Severity == o.severity && o.firing == "" {
		return f.repeat(ctx, r)
	}
	r.Count, r.repeats, r.Last, r.seq = r.Count+1, r.repeats+1, now, f.e.Seq
	r.Environment, r.Release, r.Severity = o.environment, o.release, o.severity
	r.Healthy, r.Cure, r.Why = time.Time{}, "", ""
	if r.State == Open {
		r.due = now.Add(f.s.options.FlushEvery) // Whether it was well for a while or has something new: the item is told.
	}
	if r.State == Resolved {
		r.State, r.due, r.Resolved = Candidate, now.Add(o.wait), time.Time{}
	}
	r.learn(o)
	f.tx.AfterCommit(f.s.poke)
	return put(ctx, f.tx, r)
}

// repeat counts one more of the same.
func (f *feed) repeat(ctx context.Context, r row) error {
	due := ms(r.due)
	if due == 0 {
		due = ms(f.e.Time.Add(f.s.options.FlushEvery)) // The item is told of all of them at once.
	}
	_, err := f.tx.Exec(ctx, `UPDATE insight_signal SET seen = seen + 1, repeats = repeats + 1, last_seen = ?, seq = ?, due = ? WHERE project = ? AND sig_key = ?`,
		ms(f.e.Time), f.e.Seq, due, r.Project, r.Key)
	return err
}

// learn takes over what an observation knows.
func (r *row) learn(o observation) {
	old := r.Record
	r.Record = o.Record
	r.Evidence = old.Evidence
	if o.proof.Text != "" {
		r.Evidence = slices.Insert(r.Evidence, 0, o.proof)
		r.Evidence = r.Evidence[:min(len(r.Evidence), maxEvidence)]
	}
	r.Firing = old.Firing
	if o.firing != "" && !slices.Contains(r.Firing, o.firing) {
		r.Firing = append(r.Firing, o.firing)
		r.Firing = r.Firing[max(0, len(r.Firing)-maxFiring):]
	}
	if len(r.Workloads) > maxWorkloads {
		r.Workloads = r.Workloads[:maxWorkloads]
	}
	r.Results = old.Results + o.Results
	r.Results = r.Results[max(0, len(r.Results)-maxResults):]
	if r.Before == "" {
		r.Before = old.Before
	}
}

// well says that a signal is well since the event, by which release and why; it is looked
// at again after quiet.
func (f *feed) well(ctx context.Context, r row, quiet time.Duration, cure, why string) error {
	if r.seq >= f.e.Seq {
		return nil
	}
	r.seq, r.Cure, r.Why = f.e.Seq, cure, why
	if r.State == Candidate && r.Source != SourceCanary && r.Source != SourceRegression {
		// It was over before anybody was told: the debounce is for this.
		r.State, r.Resolved, r.due = Resolved, f.e.Time, time.Time{}
		return put(ctx, f.tx, r)
	}
	if r.State != Open {
		return put(ctx, f.tx, r)
	}
	if r.Healthy.IsZero() {
		r.Healthy = f.e.Time
	}
	r.due = f.e.Time.Add(quiet)
	r.Evidence = slices.Insert(r.Evidence, 0, Evidence{Subject: f.e.Subject, Text: why, At: f.e.Time})
	r.Evidence = r.Evidence[:min(len(r.Evidence), maxEvidence)]
	f.tx.AfterCommit(f.s.poke)
	return put(ctx, f.tx, r)
}

// standing lists the signals of the event's project with one of the sources that are not
// resolved, in an environment ("" is any).
func (f *feed) standing(ctx context.Context, environment string, sources ...string) ([]row, error) {
	all, err := list(ctx, f.tx, `project = ? AND (environment = ? OR ? = '') AND state IN (?, ?) ORDER BY first_seen, sig_key LIMIT 2000`,
		f.e.Project, environment, environment, Open, Candidate)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(r row) bool { return !slices.Contains(sources, r.Source) }), nil
}

// feed takes one event.
type feed struct {
	s  *Service
	tx *store.Tx
	e  event.Event
}
