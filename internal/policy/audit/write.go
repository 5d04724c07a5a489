package audit

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
)

// Limits of a batch: it holds the database's one writer, and others wait.
const (
	batchObjects  = 256
	batchVerdicts = 4000
	linger        = 20 * time.Millisecond // so that changes that come together are one commit
)

// maxText bounds what is stored of a message.
const maxText = 500

// writer stores what was judged. It is the only one who does.
type writer struct {
	*session
	rules map[ruleID]int64
}

// ruleID names a rule as it was compiled.
type ruleID struct{ assignment, rule, policy string }

// row is a stored verdict.
type row struct {
	ruleID
	key       int64 // of the rule
	said      saying
	firstSeen int64
	since     int64
}

// saying is what a verdict says.
type saying struct {
	outcome    string
	path       string // of the first violation
	message    string
	violations int
	exemption  string
}

func newWriter(ctx context.Context, s *session) (*writer, error) {
	w := &writer{session: s, rules: map[ruleID]int64{}}
	rows, err := s.DB.Query(ctx, `SELECT id, assignment, rule, policy FROM audit_rule`)
	if err != nil {
		return nil, fmt.Errorf("reading audited rules: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var r ruleID
		if err := rows.Scan(&id, &r.assignment, &r.rule, &r.policy); err != nil {
			return nil, err
		}
		w.rules[r] = id
	}
	return w, rows.Err()
}

// run stores results in batches until ctx ends.
func (w *writer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-w.results:
			batch := w.collect(ctx, first)
			for ctx.Err() == nil {
				err := w.store(ctx, batch)
				if err == nil {
					break
				}
				if ctx.Err() == nil {
					w.Logger.Error("storing verdicts; trying again", "error", err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(retryEvery):
				}
			}
		}
	}
}

// collect waits for more results for a moment. A mark ends a batch.
func (w *writer) collect(ctx context.Context, first result) []result {
	batch, n := []result{first}, len(first.verdicts)
	end := time.NewTimer(linger)
	defer end.Stop()
	for len(batch) < batchObjects && n < batchVerdicts && batch[len(batch)-1].mark == nil {
		select {
		case <-ctx.Done():
			return batch
		case <-end.C:
			return batch
		case r := <-w.results:
			batch = append(batch, r)
			n += len(r.verdicts)
		}
	}
	return batch
}

// write is what a result changes.
type write struct {
	result
	id     int64 // of the object; 0 when it is not stored yet
	had    bool
	put    []row
	drop   []int64 // rules
	fresh  []rule.Verdict
	turned []event.Verdict // that violates since now, or does not any more
	remove bool
	move   bool // the object's own row differs
	bearing
}

// touches reports whether there is something to write.
func (c write) touches() bool { return c.move || len(c.put) > 0 || len(c.drop) > 0 }

// store works out what a batch changes, records what violates anew, and writes.
func (w *writer) store(ctx context.Context, batch []result) error {
	latest := map[types.UID]int{} // of an object that changed often the last one counts
	for i, r := range batch {
		if r.mark == nil {
			if j, twice := latest[r.uid]; twice && r.gone == "" && batch[j].gone == "" && r.version < batch[j].version {
				continue
			}
			latest[r.uid] = i
		}
	}
	var current []result
	var uids []types.UID
	for i, r := range batch {
		if r.mark == nil && latest[r.uid] == i && !w.stale(r) {
			current, uids = append(current, r), append(uids, r.uid)
		}
	}
	known, err := w.formerOf(ctx, uids)
	if err != nil {
		return err
	}
	writes := make([]write, 0, len(current))
	for _, r := range current {
		if err := w.name(ctx, r); err != nil {
			return err
		}
		was, had := known[r.uid]
		c := w.compare(r, was, had)
		if err := w.record(ctx, c); err != nil {
			return err
		}
		writes = append(writes, c)
	}
	news, err := w.commit(ctx, writes)
	if err != nil {
		return err
	}
	for _, r := range batch {
		if len(r.forget) > 0 {
			if err := w.forgetRules(ctx, r.forget); err != nil {
				return err
			}
		}
	}
	w.done(batch, writes, news)
	return nil
}

// stale reports whether a result is older than what is stored, or its object gone.
func (w *writer) stale(r result) bool {
	if r.gone != "" {
		return false
	}
	at, lives := w.index.get(r.uid)
	return !lives || r.version < at
}

// name makes rows for the rules of a result that have none.
func (w *writer) name(ctx context.Context, r result) error {
	for _, v := range r.verdicts {
		id := ruleID{v.Assignment, v.Reference, v.Policy}
		if w.rules[id] != 0 {
			continue
		}
		var n int64
		err := w.DB.Tx(ctx, func(tx *store.Tx) error {
			if err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(id), 0) + 1 FROM audit_rule`).Scan(&n); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO audit_rule (id, assignment, rule, title, policy) VALUES (?,?,?,?,?)`, n, v.Assignment, v.Reference, v.Title, v.Policy)
			return err
		})
		if err != nil {
			return fmt.Errorf("storing rule %s of assignment %s: %w", v.Reference, v.Assignment, err)
		}
		w.rules[id] = n
	}
	return nil
}

// compare works out what a result changes of what was stored, if anything was.
func (w *writer) compare(r result, was former, had bool) write {
	out := write{result: r, id: was.id, had: had}
	if r.gone != "" || len(r.verdicts) == 0 {
		out.remove = out.had
		out.bearing, out.turned = was.bearing, ended(was, was.rows)
		return out
	}
	out.bearing = bearing{
		project: r.place.Project, environment: r.place.Environment, actor: r.by.Actor, run: r.by.Run, commit: r.by.Commit, images: strings.Join(r.images, " "),
	}
	if out.had {
		if out.actor == "" { // Nobody knows, or not now: what was known stays.
			out.actor, out.run, out.commit = was.actor, was.run, was.commit
		}
		out.move = out.bearing != was.bearing
	}
	now, old := w.Clock.Now().UnixMilli(), maps.Clone(was.rows)
	for _, v := range r.verdicts {
		id := [2]string{v.Assignment, v.Reference}
		was, had := old[id]
		delete(old, id)
		rule := ruleID{v.Assignment, v.Reference, v.Policy}
		is := row{ruleID: rule, key: w.rules[rule], said: said(v), firstSeen: now, since: now}
		if had {
			is.firstSeen = was.firstSeen
			if was.said.outcome == is.said.outcome {
				is.since = was.since
			}
		}
		if !had || was != is {
			if had && was.key != is.key {
				out.drop = append(out.drop, was.key)
			}
			out.put = append(out.put, is)
		}
		if r.cause == changed && v.Refuses && (!had || was.policy != is.policy || was.said.outcome != is.said.outcome) {
			out.fresh = append(out.fresh, v)
		}
		if turns(was.said.outcome, v.Outcome) {
			out.turned = append(out.turned, turn(titleOf(r.kind, r.place.Namespace, r.name), v))
		}
	}
	out.turned = append(out.turned, ended(was, old)...)
	for _, gone := range old {
		out.drop = append(out.drop, gone.key)
	}
	return out
}

func clip(s string) string {
	if r := []rune(s); len(r) > maxText {
		return string(r[:maxText-1]) + "…"
	}
	return s
}

// record keeps a decision for each refusing rule that an object violates although it was let
// in. It is done before the verdicts are stored: what is interrupted is done again, and
// counts once.
func (w *writer) record(ctx context.Context, c write) error {
	for _, v := range c.fresh {
		d := policy.Decision{
			Time: w.Clock.Now(), Point: policy.PointAudit, Actor: c.by.Actor, Judges: w.judges(c), Project: c.by.Project, Environment: c.place.Environment,
			Run: c.by.Run, Job: c.by.Job, Commit: c.by.Commit, Input: c.input, Set: c.set.Digest(),
			Objects: []policy.Judged{{
				Group: c.kind.Group, Version: c.apiV, Kind: c.kind.Kind, Namespace: c.place.Namespace, Name: c.name, UID: string(c.uid), Input: c.input,
				Verdicts: []policy.Located{{Verdict: v}},
			}},
		}
		if d.Project == "" {
			d.Project = c.place.Project
		}
		if d.Actor == "" {
			d.Actor = "system:audit"
		}
		key := "audit:" + string(c.uid) + ":" + v.Assignment + "/" + v.Reference + ":" + v.Policy
		kept, fresh, err := w.Recorder.RecordRefusal(ctx, key, d)
		if err != nil {
			return fmt.Errorf("recording a violation: %w", err)
		}
		if fresh && w.OnRefusal != nil {
			w.OnRefusal(ctx, kept)
		}
	}
	return nil
}

func (w *writer) judges(c write) []event.Subject {
	var out []event.Subject
	if c.kind == podKind {
		out = append(out, event.Of(event.KindPod, string(c.uid)))
	}
	if c.by.Run != 0 {
		out = append(out, event.OfRun(c.by.Run))
	}
	if c.by.Commit != "" {
		out = append(out, event.Of(event.KindCommit, c.by.Commit))
	}
	return out
}

// done notes what is stored, tells about it and answers marks.
func (w *writer) done(batch []result, writes []write, news bool) {
	for _, c := range writes {
		if c.gone == "" {
			w.index.stored(c.uid, c.version)
		}
	}
	now := time.Now()
	for _, r := range batch {
		if !r.received.IsZero() {
			w.lag.add(now.Sub(r.received))
		}
		if r.mark != nil {
			r.mark()
		}
	}
	if news {
		w.publish(func(*Progress) {})
	}
}
