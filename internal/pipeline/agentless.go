package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/logs"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// serverAgent is what a job that the server runs says of its agent.
const serverAgent = "server"

// serverState is how far a job is that the server runs (K030). All of it is kept, so that a
// restart changes nothing.
type serverState struct {
	Step   int         `json:"step"`   // index of the step in its phase, from 0
	Status plan.Result `json:"status"` // of the phase so far
	Why    string      `json:"why,omitempty"`
	Taken  time.Time   `json:"taken,omitzero"` // when the server began with the job
	// Ended are the rounds of a deployment that are over, with those of the agents before.
	Ended []plan.HookResult `json:"ended,omitempty"`
	// The rest is that of the step which runs.
	Begun time.Time `json:"begun,omitzero"`
	Until time.Time `json:"until,omitzero"` // when it is over, or times out
	Entry string    `json:"entry,omitempty"`
	// Sent says that a request is on its way, and Answered that its answer has come.
	Sent     bool   `json:"sent,omitempty"`
	Answered bool   `json:"answered,omitempty"`
	Outcome  string `json:"outcome,omitempty"` // why it failed; "" means that it did not
	Said     string `json:"said,omitempty"`    // what the log is told of the answer
	// Callback says that the step waits to be told the outcome.
	Callback bool `json:"callback,omitempty"`
}

// serverPool is where the jobs lie that the server runs itself; no pool can have its name.
const serverPool = "*server"

// forServer hands a job that is ready to the server itself.
func (sc *schedule) forServer(row *jobRow) error {
	_, err := sc.tx.Exec(sc.ctx, `INSERT INTO pipeline_server_job (job, wake, body) VALUES (?,0,?) ON CONFLICT (job) DO UPDATE SET wake = 0, body = excluded.body`,
		row.id, text(serverState{Status: plan.Succeeded}))
	if err != nil {
		return fmt.Errorf("handing job %s to the server: %w", row.path(), err)
	}
	return nil
}

// watchServerJobs runs the jobs without an agent until ctx ends.
func (s *Service) watchServerJobs(ctx context.Context) {
	for {
		if err := s.RunServerJobs(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("running the jobs without an agent", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.hub.changed(onQueue):
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// RunServerJobs brings every job without an agent as far as it can go now. Run does so all
// the time.
func (s *Service) RunServerJobs(ctx context.Context) error {
	rows, err := s.db.Query(ctx, `SELECT s.job FROM pipeline_server_job s JOIN pipeline_job j ON j.id = s.job
		WHERE j.status IN ('Queued', 'Running', 'Completed') AND (s.wake <= ? OR j.stop <> '' OR j.status = 'Completed') ORDER BY s.job LIMIT 500`, millis(s.clock.Now()))
	if err != nil {
		return fmt.Errorf("reading the jobs without an agent: %w", err)
	}
	var ids []string
	for rows.Next() {
		var id string
		if err = rows.Scan(&id); err != nil {
			break
		}
		ids = append(ids, id)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("reading the jobs without an agent: %w", err)
	}
	var errs []error
	for _, id := range ids {
		if err := s.runServerJob(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("job %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// serverTurn is one look at a job without an agent, in one transaction.
type serverTurn struct {
	schedule
	row     *jobRow
	job     *protocol.Job
	state   serverState
	masked  []string // what its log must hide
	wake    time.Time
	request *serverRequest     // to be sent after the transaction
	ended   *protocol.Complete // the job has ended so
	lines   []serverLine
}

// serverLine is a line of a log that is written once the transaction is.
type serverLine struct {
	step int
	text string
}

// runServerJob looks at one job.
func (s *Service) runServerJob(ctx context.Context, id string) error {
	if !s.begin("job:" + id) {
		return nil
	}
	var t *serverTurn
	err := s.again(ctx, func(tx *store.Tx) error {
		var err error
		t, err = s.serverTurn(ctx, tx, id)
		return err
	})
	if err != nil || t == nil {
		s.asked("job:" + id)
		return err
	}
	err = s.writeServerLines(t)
	switch {
	case t.ended != nil:
		err = errors.Join(err, s.end(ctx, id, *t.ended))
		if err == nil {
			err = s.again(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(ctx, `DELETE FROM pipeline_server_job WHERE job = ? AND EXISTS (SELECT 1 FROM pipeline_job WHERE id = ? AND status = 'Completed')`, id, id)
				return err
			})
		}
	case t.request != nil:
		go func() {
			defer s.asked("job:" + id)
			if err := s.sendServerRequest(context.WithoutCancel(ctx), id, t.request); err != nil {
				s.logger.Error("calling for a job without an agent", "job", id, "error", err)
			}
		}()
		return err
	}
	s.asked("job:" + id)
	return err
}

// writeServerLines writes to the logs of the steps what a turn has to say.
func (s *Service) writeServerLines(t *serverTurn) error {
	m := s.masker(t.row.id)
	for _, secret := range t.masked {
		m.Add(secret)
	}
	for _, l := range t.lines {
		ref := logs.Ref{Run: t.row.run, Job: t.row.id, Step: l.step}
		next, err := s.logs.Lines(ref)
		if err != nil {
			return err
		}
		if _, err := s.logs.Append(ref, next, protocol.AppendLine(nil, s.clock.Now().UnixMilli(), m.Bytes([]byte(l.text))), s.opts.LogLimit); err != nil {
			return err
		}
	}
	s.hub.signal(onRun(t.row.run))
	return nil
}

// serverTurn brings a job as far as it can go now; nil when there is nothing to do.
func (s *Service) serverTurn(ctx context.Context, tx *store.Tx, id string) (*serverTurn, error) {
	row, err := loadJob(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if row == nil || row.status == plan.Completed || row.pool != serverPool {
		_, err := tx.Exec(ctx, `DELETE FROM pipeline_server_job WHERE job = ?`, id)
		return nil, err
	}
	run, err := s.loadRun(ctx, tx, row.run)
	if err != nil {
		return nil, err
	}
	t := &serverTurn{schedule: schedule{s: s, ctx: ctx, tx: tx, run: run, now: s.clock.Now()}, row: row, job: &protocol.Job{}}
	var spec, body string
	if err := tx.QueryRow(ctx, `SELECT j.spec, s.body FROM pipeline_job j JOIN pipeline_server_job s ON s.job = j.id WHERE j.id = ?`, id).Scan(&spec, &body); err != nil {
		return nil, fmt.Errorf("reading job %s: %w", row.path(), err)
	}
	if err := errors.Join(json.Unmarshal([]byte(spec), t.job), json.Unmarshal([]byte(body), &t.state)); err != nil {
		return nil, fmt.Errorf("reading job %s: %w", row.path(), err)
	}
	if row.status == queued {
		row.status, row.agent, row.lease, t.state.Taken, t.state.Ended = plan.Running, serverAgent, "", t.now, t.job.Ended
		if row.started.IsZero() {
			row.started = t.now
		}
		if err := saveJob(ctx, tx, row); err != nil {
			return nil, err
		}
		if len(row.turns) == 0 {
			if err := s.announceStart(ctx, tx, run, row); err != nil {
				return nil, err
			}
		}
	}
	if err := t.advance(); err != nil {
		return nil, err
	}
	if len(t.facts) > 0 {
		if err := s.log.Append(ctx, tx, t.facts...); err != nil {
			return nil, err
		}
	}
	_, err = tx.Exec(ctx, `UPDATE pipeline_server_job SET wake = ?, body = ? WHERE job = ?`, millis(t.wake), text(t.state), id)
	return t, err
}

// advance runs the steps until one waits, or all are over.
func (t *serverTurn) advance() error {
	phase := t.phase()
	if why, result := t.over(); result != "" {
		if phase != nil && t.state.Step < len(phase.Steps) && !t.state.Begun.IsZero() {
			if err := t.finishStep(&phase.Steps[t.state.Step], plan.Canceled, why); err != nil {
				return err
			}
		}
		t.ended = &protocol.Complete{Result: result, Why: why, Ended: t.cut(phase)}
		return t.withdrawEntry(why)
	}
	for ; phase != nil; phase = t.phase() {
		for t.state.Step < len(phase.Steps) {
			done, err := t.step(&phase.Steps[t.state.Step])
			if err != nil || !done {
				return err
			}
			t.state = serverState{Step: t.state.Step + 1, Status: t.state.Status, Why: t.state.Why, Taken: t.state.Taken, Ended: t.state.Ended}
		}
		if t.job.Strategy == nil {
			t.ended = &protocol.Complete{Result: t.state.Status, Why: t.state.Why}
			return nil
		}
		t.state = serverState{Status: plan.Succeeded, Why: t.state.Why, Taken: t.state.Taken,
			Ended: append(t.state.Ended, plan.HookResult{HookRun: phase.Round, Result: t.state.Status})}
	}
	_, onward := t.job.Strategy.Next(t.state.Ended)
	t.ended = &protocol.Complete{Result: t.job.Strategy.Result(t.state.Ended), Why: t.state.Why, Ended: t.state.Ended, Onward: onward}
	return nil
}

// phase is the one that runs now; nil when the next round of the deployment is not the server's,
// or there is none.
func (t *serverTurn) phase() *protocol.Phase {
	if t.job.Strategy == nil {
		return &t.job.Phases[0]
	}
	round, more := t.job.Strategy.Next(t.state.Ended)
	at := slices.IndexFunc(t.job.Phases, func(p protocol.Phase) bool { return p.Round == round })
	if !more || at < 0 {
		return nil
	}
	return &t.job.Phases[at]
}

// cut are the rounds of a deployment that ends in the middle of a phase.
func (t *serverTurn) cut(phase *protocol.Phase) []plan.HookResult {
	if t.job.Strategy == nil || phase == nil {
		return t.state.Ended
	}
	return append(slices.Clone(t.state.Ended), plan.HookResult{HookRun: phase.Round, Result: plan.Canceled})
}

// over reports whether the whole job is to end now: it was cancelled, or is out of time.
func (t *serverTurn) over() (why string, result plan.Result) {
	if t.row.stop != "" {
		return t.row.stop, plan.Canceled
	}
	if limit := t.deadline(); !limit.IsZero() && !t.now.Before(limit) {
		return fmt.Sprintf("the job ran longer than its time-out of %g minutes", t.job.TimeoutSeconds/60), plan.Failed
	}
	return "", ""
}

// deadline is when the job is out of time; zero when it has no limit.
func (t *serverTurn) deadline() time.Time {
	if t.job.TimeoutSeconds <= 0 {
		return time.Time{}
	}
	begun := t.state.Taken
	if begun.IsZero() {
		begun = t.row.started // It was handed to the server before there were turns.
	}
	return begun.Add(time.Duration(t.job.TimeoutSeconds * float64(time.Second)))
}

// sleep has the job looked at again at a time, or when it is out of time if that is first.
func (t *serverTurn) sleep(until time.Time) {
	if limit := t.deadline(); !limit.IsZero() && (until.IsZero() || limit.Before(until)) {
		until = limit
	}
	if until.IsZero() {
		until = t.now.Add(24 * time.Hour)
	}
	t.wake = until
}

func (t *serverTurn) print(st *protocol.Step, text string) {
	t.lines = append(t.lines, serverLine{st.Number, text})
}

// step begins a step, or looks at one that has begun; done says that it is over.
func (t *serverTurn) step(st *protocol.Step) (done bool, err error) {
	if t.state.Begun.IsZero() {
		values := plan.Values{}
		for _, v := range t.job.Variables {
			values.Set(v)
		}
		runs := st.Enabled
		if runs {
			if runs, err = plan.StepRuns(st.Condition, t.state.Status, values); err != nil {
				return true, t.finishStep(st, plan.Failed, err.Error())
			}
		}
		if !runs {
			return true, t.finishStep(st, plan.Skipped, "")
		}
		t.state.Begun = t.now
		if st.TimeoutMinutes > 0 {
			t.state.Until = t.now.Add(time.Duration(st.TimeoutMinutes) * time.Minute)
		}
		_, err := t.tx.Exec(t.ctx, `UPDATE pipeline_step SET status = ?, started = ? WHERE job = ? AND number = ?`, plan.Running, millis(t.now), t.row.id, st.Number)
		if err != nil {
			return false, fmt.Errorf("writing step %d of job %s: %w", st.Number, t.row.path(), err)
		}
	}
	result, why, err := t.perform(st)
	if err != nil || result == "" {
		return false, err
	}
	return true, t.finishStep(st, result, why)
}

// finishStep writes the end of a step, and what it means for the job.
func (t *serverTurn) finishStep(st *protocol.Step, result plan.Result, why string) error {
	if result == plan.Failed && st.ContinueOnError {
		result = plan.SucceededWithIssues
	}
	if why != "" {
		t.print(st, "##[error]"+why)
	}
	finished, started := t.now, t.state.Begun
	if started.IsZero() {
		finished = time.Time{}
	}
	_, err := t.tx.Exec(t.ctx, `UPDATE pipeline_step SET status = ?, result = ?, why = ?, started = ?, finished = ? WHERE job = ? AND number = ?`,
		plan.Completed, result, firstLine(why), millis(started), millis(finished), t.row.id, st.Number)
	if err != nil {
		return fmt.Errorf("writing step %d of job %s: %w", st.Number, t.row.path(), err)
	}
	if result == plan.Failed && t.state.Why == "" {
		t.state.Why = st.DisplayName + ": " + firstLine(why)
	}
	if result != plan.Skipped {
		t.state.Status = plan.Combine(t.state.Status, result)
	}
	return nil
}

// withdrawEntry ends the waiting for an answer that nobody needs any more.
func (t *serverTurn) withdrawEntry(why string) error {
	if t.state.Entry == "" {
		return nil
	}
	e, err := loadEntry(t.ctx, t.tx, t.state.Entry)
	if err != nil || e == nil || e.Status.Over() {
		return err
	}
	withdraw([]*check.Entry{e}, why, t.now)
	return t.tellEntry(e, check.Waiting)
}
