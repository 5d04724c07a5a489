package pipeline

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/logs"
	"towpath.dev/towpath/internal/pipeline/mask"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// Lost is why a job ended whose agent was not heard of any more.
const Lost = "agent lost: its heartbeats stopped"

// claim hands the oldest job that is ready for an agent to it; nil when there is none. A job
// that was handed out for the same ticket before, in an answer that was lost, is handed
// out again.
func (s *Service) claim(ctx context.Context, c caller, agent, ticket string) (*protocol.Job, error) {
	for {
		// Whoever only looks needs no transaction that writes.
		at, err := s.choose(ctx, c, agent, ticket)
		if err != nil || at.id == "" {
			return nil, err
		}
		lease := rand.Text() + rand.Text()
		row, run, given, err := s.take(ctx, c, at, agent, ticket, lease)
		switch {
		case err != nil:
			return nil, err
		case row != nil && given.refused != "":
			if err := s.end(ctx, row.id, protocol.Complete{Result: plan.Failed, Why: given.refused}); err != nil {
				return nil, err
			}
		case row != nil:
			return s.handOver(ctx, run, row, lease, given)
		}
		if !at.taken {
			return nil, nil // The caller's own job is gone, and there is no other for it.
		}
	}
}

// announceStart says that a job, and perhaps its run, has started.
func (s *Service) announceStart(ctx context.Context, tx *store.Tx, run *runRow, row *jobRow) error {
	var facts []event.Fact
	if run.Started.IsZero() {
		run.Status, run.Started = plan.Running, row.started
		_, err := tx.Exec(ctx, `UPDATE pipeline_run SET status = ?, started = ? WHERE number = ?`, run.Status, millis(run.Started), run.Number)
		if err != nil {
			return fmt.Errorf("starting run %d: %w", run.Number, err)
		}
		facts = append(facts, s.runFact(event.TypeRunStarted, run, system().String()))
	}
	facts = append(facts, s.jobFact(event.TypeJobStarted, run, row))
	n := run.Number
	tx.AfterCommit(func() { s.hub.signal(onRun(n)) })
	return s.log.Append(ctx, tx, facts...)
}

func (s *Service) jobFact(kind string, run *runRow, j *jobRow) event.Fact {
	p := event.Job{V: 1, Run: j.run, Stage: j.stage, Job: j.jobName(), Environment: j.environment, Agent: j.agent, Attempt: j.attempt, Agents: j.agents()}
	if kind == event.TypeJobFinished {
		p.Result, p.Why, p.Seconds = word(j.result), j.why, between(j.started, j.finished)
	}
	return event.Fact{
		Type: kind, Subject: j.subject(), Project: run.Project, Actor: system().String(), Payload: p,
		Links: []event.Link{{Rel: event.RelPartOf, To: event.OfRun(j.run)}},
	}
}

// jobName is the name of the job in its stage, with the leg.
func (j *jobRow) jobName() string {
	if j.leg != "" {
		return j.name + "." + j.leg
	}
	return j.name
}

// handOver completes what the agent is told with lease, token and what the job was lent.
func (s *Service) handOver(ctx context.Context, run *runRow, row *jobRow, lease string, given loan) (*protocol.Job, error) {
	s.renew(row.id)
	var job protocol.Job
	err := json.Unmarshal([]byte(row.spec), &job)
	if err == nil {
		job.Lease = lease
		var stay time.Duration
		stay, _, err = stayOf(ctx, s.db, row.run)
		job.StaySeconds = stay.Seconds()
	}
	if err == nil {
		c := claims(run, row)
		c.Clones = strings.Join(given.clones, " ")
		job.Token, err = s.token(ctx, &job, c, "towpath")
	}
	if err != nil {
		// The job cannot run: it must not wait for its lease to end.
		return nil, errors.Join(err, s.end(ctx, row.id, protocol.Complete{Result: plan.Failed, Why: "the server could not prepare the job"}))
	}
	s.mu.Lock()
	s.maskers[row.id] = mask.New(append(given.fill(&job), job.Token)...)
	s.mu.Unlock()
	return &job, nil
}

func claims(run *runRow, row *jobRow) identity.JobClaims {
	c := identity.JobClaims{
		Project: run.Project, Repo: run.Repo, Run: run.Number, Stage: row.stage, Job: row.jobName(), Commit: run.Commit, Ref: run.Ref,
		Environment: row.environment, Requester: run.Requester, Pull: run.Pull,
	}
	if _, _, review := event.ReviewApp(c.Environment); run.Pull > 0 && !review {
		c.Environment = "" // Whatever the row says: a pull request has no rights in an environment.
	}
	return c
}

// token issues a token of the job that lives as long as the job may.
func (s *Service) token(ctx context.Context, job *protocol.Job, c identity.JobClaims, audience string) (string, error) {
	ttl := 24 * time.Hour
	if job.TimeoutSeconds > 0 {
		ttl = min(ttl, time.Duration((job.TimeoutSeconds+job.CancelSeconds)*float64(time.Second))+5*time.Minute)
	}
	var groups []string
	if c.Environment != "" {
		groups = []string{"towpath:deploy:" + c.Project + ":" + c.Environment}
	}
	token, err := s.tokens.IssueJob(ctx, c, audience, groups, ttl)
	if err != nil {
		return "", fmt.Errorf("issuing the identity of a job: %w", err)
	}
	return token, nil
}

func hash(secret string) string {
	return protocol.LeaseDigest(secret)
}

// renew keeps a job alive for one more lease.
func (s *Service) renew(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases[id] = time.Now().Add(s.opts.Lease)
}

// leased returns the job of a request when the lease fits. over says that the job has
// ended.
func (s *Service) leased(ctx context.Context, id, lease string) (row *jobRow, over bool, err error) {
	row, err = loadJob(ctx, s.db, id)
	if err != nil {
		return nil, false, err
	}
	if row == nil || subtle.ConstantTimeCompare([]byte(row.lease), []byte(hash(lease))) != 1 {
		return nil, false, fault.New(fault.NotFound, "There is no such job, or its lease is not yours.")
	}
	return row, row.status != plan.Running, nil
}

// end ends a job; ending it again changes nothing.
func (s *Service) end(ctx context.Context, id string, c protocol.Complete) error {
	var refs []logs.Ref
	goesOn := false
	s.mu.Lock()
	lease := s.leases[id]
	s.mu.Unlock()
	err := s.again(ctx, func(tx *store.Tx) error {
		row, err := loadJob(ctx, tx, id)
		if err != nil || row == nil || row.status == plan.Completed {
			return err
		}
		run, err := s.loadRun(ctx, tx, row.run)
		if err != nil {
			return err
		}
		if c.Why == Lost && row.status != plan.Running {
			return nil // The lease was that of an agent which has handed the job on.
		}
		if goesOn, err = s.handOn(ctx, tx, run, row, &c); err != nil || goesOn {
			return err
		}
		row.status, row.result, row.why, row.finished = plan.Completed, c.Result, firstOf(row.why, c.Why), s.clock.Now()
		if row.result == plan.Failed && row.tolerant {
			row.result = plan.SucceededWithIssues
		}
		row.outputs = merged(row.outputs, outputs(run.plan, row, c.Outputs))
		if err := saveJob(ctx, tx, row); err != nil {
			return err
		}
		if refs, err = s.endSteps(ctx, tx, row); err != nil {
			return err
		}
		if err := s.beginStay(ctx, tx, run, row, c); err != nil {
			return err
		}
		if err := s.log.Append(ctx, tx, s.jobFact(event.TypeJobFinished, run, row)); err != nil {
			return err
		}
		if err := s.promote(ctx, tx, row); err != nil {
			return err
		}
		if err := s.rollOn(ctx, tx, row, c.Result); err != nil {
			return err
		}
		if err := s.settleLater(ctx, tx, run, row, c.Result); err != nil {
			return err
		}
		return s.advance(ctx, tx, run)
	})
	if err != nil {
		return fmt.Errorf("ending job %s: %w", id, err)
	}
	s.mu.Lock()
	if s.leases[id] == lease { // The agent that has the job next may have one already.
		delete(s.leases, id)
	}
	s.mu.Unlock()
	if goesOn {
		return nil // The tasks that run now may be those of the agent that has the job next.
	}
	s.busy.stop(id)
	for _, r := range refs {
		err = errors.Join(err, s.logs.Seal(r))
	}
	return err
}

// maxOutputs bounds the output variables of a job.
const maxOutputs = 1000

// outputs are the output variables of a job under the names that other jobs use.
func outputs(p *plan.Plan, row *jobRow, list []protocol.Output) map[string]string {
	out := map[string]string{}
	job := p.Stage(row.stage).Job(row.name)
	for _, o := range list {
		if len(out) == maxOutputs {
			break
		}
		if len(o.Value) <= protocol.MaxOutput {
			out[job.OutputName(row.leg, o.Round, o.Step, o.Name)] = o.Value
		}
	}
	return out
}

// endSteps ends the steps that the agent did not report to the end, and names the logs
// of the job.
func (s *Service) endSteps(ctx context.Context, tx *store.Tx, row *jobRow) ([]logs.Ref, error) {
	cut := plan.Canceled
	if row.result != plan.Canceled {
		cut = plan.Failed
	}
	_, err := tx.Exec(ctx, `UPDATE pipeline_step SET result = CASE WHEN status = 'Running' THEN CAST(? AS TEXT) ELSE 'Skipped' END,
		why = CASE WHEN status = 'Running' THEN CAST(? AS TEXT) ELSE '' END, finished = CASE WHEN status = 'Running' THEN CAST(? AS BIGINT) ELSE 0 END, status = 'Completed'
		WHERE job = ? AND status <> 'Completed'`, cut, row.why, millis(row.finished), row.id)
	if err != nil {
		return nil, fmt.Errorf("ending the steps of job %s: %w", row.path(), err)
	}
	var n int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM pipeline_step WHERE job = ?`, row.id).Scan(&n); err != nil {
		return nil, err
	}
	refs := make([]logs.Ref, n)
	for i := range refs {
		refs[i] = logs.Ref{Run: row.run, Job: row.id, Step: i + 1}
	}
	return refs, nil
}

// promote lets the next waiting leg of the same job start.
func (s *Service) promote(ctx context.Context, tx *store.Tx, row *jobRow) error {
	if row.maxParallel == 0 {
		return nil
	}
	var id string
	err := tx.QueryRow(ctx, `SELECT id FROM pipeline_job WHERE run = ? AND stage = ? AND name = ? AND status = 'Waiting' ORDER BY id LIMIT 1`, row.run, row.stage, row.name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("starting the next leg of %s: %w", row.path(), err)
	}
	// It has not waited for an agent so far, so that others go before it.
	res, err := tx.Exec(ctx, `UPDATE pipeline_job SET status = 'Queued', queued = ? WHERE id = ? AND status = 'Waiting'`, millis(s.clock.Now()), id)
	if err != nil {
		return fmt.Errorf("starting the next leg of %s: %w", row.path(), err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	leg, err := loadJob(ctx, tx, id)
	if err != nil || leg == nil {
		return err
	}
	s.enqueue(tx, leg)
	tx.AfterCommit(func() { s.hub.signal(onQueue) })
	return nil
}

// resume gives the jobs of an earlier server time to report, and reads those that wait.
func (s *Service) resume(ctx context.Context) error {
	if err := s.forgetStays(ctx); err != nil {
		return err
	}
	rows, err := s.db.Query(ctx, `SELECT id FROM pipeline_job WHERE status = 'Running' AND pool <> ?`, serverPool)
	if err != nil {
		return fmt.Errorf("reading the running jobs: %w", err)
	}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return errors.Join(fmt.Errorf("reading the running jobs: %w", err), rows.Close())
		}
		s.renew(id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("reading the running jobs: %w", err)
	}
	return s.refill(ctx)
}

// sweep ends the jobs whose leases have ended, and those whose machines are away, until
// ctx ends.
func (s *Service) sweep(ctx context.Context) {
	t := time.NewTicker(max(s.opts.Lease/9, 10*time.Millisecond))
	defer t.Stop()
	defer s.stays.endAll()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			if now.Sub(last) > s.opts.Lease/3 {
				// This server itself stood still: it heard of nobody, who may be there.
				s.renewAll()
				s.stays.renewAll(s.opts.Lease)
			}
			last = now
			for _, id := range s.expired(now) {
				if err := s.end(ctx, id, protocol.Complete{Result: plan.Failed, Why: Lost}); err != nil && ctx.Err() == nil {
					s.logger.Error("ending a lost job", "job", id, "error", err)
				}
			}
			if err := s.refill(ctx); err != nil && ctx.Err() == nil {
				s.logger.Error("comparing the queue with its rows", "error", err)
			}
			if err := s.sweepStays(ctx, now); err != nil && ctx.Err() == nil {
				s.logger.Error("ending kept jobs", "error", err)
			}
			if err := s.dropAbsent(ctx); err != nil && ctx.Err() == nil {
				s.logger.Error("ending the jobs of targets that are away", "error", err)
			}
			if err := s.tidy(ctx); err != nil && ctx.Err() == nil {
				s.logger.Error("tidying up after jobs", "error", err)
			}
		}
	}
}

// renewAll keeps all jobs alive for one more lease.
func (s *Service) renewAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.leases {
		s.leases[id] = time.Now().Add(s.opts.Lease)
	}
}

func (s *Service) expired(now time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for id, until := range s.leases {
		if now.After(until) {
			out = append(out, id)
		}
	}
	return out
}

// JobAlive reports whether a job runs: its token is good for that long. job is the name
// in the claims.
func (s *Service) JobAlive(ctx context.Context, run int64, stage, job string) bool {
	rows, err := s.db.Query(ctx, `SELECT name, leg FROM pipeline_job WHERE run = ? AND stage = ? AND status = 'Running'`, run, stage)
	if err != nil {
		return false
	}
	defer rows.Close()
	for rows.Next() {
		var j jobRow
		if rows.Scan(&j.name, &j.leg) == nil && j.jobName() == job {
			return true
		}
	}
	return false
}
