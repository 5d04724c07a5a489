package pipeline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// chosen are the machines that a deployment job goes to; on is false when it goes to the
// environment's namespace. A machine whose agent never came is no resource yet.
func (sc *schedule) chosen(job *plan.Job, values plan.Values) (machines []Machine, on bool, err error) {
	if job.Environment == nil || job.Strategy == nil {
		return nil, false, nil
	}
	there, err := sc.s.machines(sc.ctx, sc.tx, `project = ? AND environment = ? AND registered > 0`, sc.run.Project, job.Environment.Name)
	if err != nil {
		return nil, false, err
	}
	known := make([]plan.Machine, len(there))
	for i, m := range there {
		known[i] = plan.Machine{Name: m.Name, Tags: m.Tags}
	}
	names, on, err := job.Machines(values, known)
	if err != nil {
		return nil, on, unfit{err}
	}
	for _, m := range there {
		if slices.ContainsFunc(names, func(n plan.Machine) bool { return n.Name == m.Name }) {
			machines = append(machines, m)
		}
	}
	return machines, on, nil
}

// unfit is an error of the file or of the environment, not of the server: the job fails.
type unfit struct{ error }

// Error begins with a capital: it is what people read of the job.
func (u unfit) Error() string {
	text := u.error.Error()
	first, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[n:]
}

// launchMachines puts a leg for each machine in the place of the job's row, in batches as
// the strategy says, and starts the first.
func (sc *schedule) launchMachines(row *jobRow, stage *plan.Stage, job *plan.Job, settings plan.Settings, machines []Machine, rt plan.Runtime) error {
	size, err := job.Strategy.Batch(settings.Batch, len(machines))
	if err != nil {
		return sc.complete(row, plan.Failed, unfit{err}.Error())
	}
	state := sc.state()
	legs, err := sc.fanOut(row, len(machines), func(i int, leg *jobRow) {
		leg.leg, leg.machine, leg.batch = machines[i].Name, machines[i].ID, i/size+1
	})
	if err != nil {
		return err
	}
	for i, leg := range legs {
		values, err := sc.run.plan.JobVariables(state, stage, job, nil, rt)
		if err != nil {
			err = sc.complete(leg, plan.Failed, err.Error())
		} else {
			if err = sc.describe(leg, stage, job, settings, values, &plan.Leg{Name: machines[i].Name}, i+1); err == nil {
				err = sc.ready(leg, true)
			}
		}
		if err != nil {
			return err
		}
	}
	return sc.s.startBatch(sc.ctx, sc.tx, legs)
}

// rollOn goes on with a deployment over machines after one of its legs has ended: the next
// batch starts when this one is through, and never when a machine failed. result is that of
// the agent, before continueOnError: a job that may fail does not break one machine after
// the other.
func (s *Service) rollOn(ctx context.Context, tx *store.Tx, leg *jobRow, result plan.Result) error {
	if leg.machine == "" {
		return nil
	}
	jobs, err := loadJobs(ctx, tx, leg.run)
	if err != nil {
		return err
	}
	legs := slices.DeleteFunc(jobs, func(j *jobRow) bool { return j.stage != leg.stage || j.name != leg.name })
	switch result {
	case plan.Failed:
		return s.holdBatches(ctx, tx, legs, "not deployed to: "+leg.leg+" failed before")
	case plan.Canceled:
		return s.holdBatches(ctx, tx, legs, "not deployed to: "+leg.leg+" was cancelled before")
	}
	return s.startBatch(ctx, tx, legs)
}

// startBatch queues the legs of the first batch that waits, once no leg is queued or runs.
// A machine that is not there when its turn comes fails, and what comes after it is held.
func (s *Service) startBatch(ctx context.Context, tx *store.Tx, legs []*jobRow) error {
	batch := 0
	for _, leg := range legs {
		switch {
		case leg.status == waiting && (batch == 0 || leg.batch < batch):
			batch = leg.batch
		case leg.status != waiting && leg.status != plan.Completed:
			return nil
		}
	}
	missing := ""
	for _, leg := range legs {
		if batch == 0 || leg.batch != batch || leg.status != waiting {
			continue
		}
		why, err := s.absent(ctx, tx, leg)
		switch {
		case err != nil:
			return err
		case why != "":
			missing = leg.leg
			err = s.endLeg(ctx, tx, leg, plan.Failed, why)
		default:
			leg.status, leg.queued = queued, s.clock.Now()
			_, err = tx.Exec(ctx, `UPDATE pipeline_job SET status = ?, queued = ? WHERE id = ?`, leg.status, millis(leg.queued), leg.id)
			s.enqueue(tx, leg)
		}
		if err != nil {
			return fmt.Errorf("queueing job %s: %w", leg.path(), err)
		}
	}
	tx.AfterCommit(func() { s.hub.signal(onQueue) })
	if missing != "" {
		return s.holdBatches(ctx, tx, legs, "not deployed to: "+missing+" failed before")
	}
	return nil
}

// holdBatches skips the legs whose turn has not come.
func (s *Service) holdBatches(ctx context.Context, tx *store.Tx, legs []*jobRow, why string) error {
	for _, leg := range legs {
		if leg.status == waiting {
			if err := s.endLeg(ctx, tx, leg, plan.Skipped, why); err != nil {
				return err
			}
		}
	}
	return nil
}

// endLeg ends a leg that no agent has.
func (s *Service) endLeg(ctx context.Context, tx *store.Tx, leg *jobRow, result plan.Result, why string) error {
	if leg.tolerant && result == plan.Failed {
		result = plan.SucceededWithIssues
	}
	leg.status, leg.result, leg.why, leg.finished = plan.Completed, result, why, s.clock.Now()
	if err := saveJob(ctx, tx, leg); err != nil {
		return err
	}
	_, err := s.endSteps(ctx, tx, leg)
	return err
}

// absent says why the machine of a leg cannot take it; "" when it can.
func (s *Service) absent(ctx context.Context, h store.Handle, leg *jobRow) (string, error) {
	var seen int64
	err := h.QueryRow(ctx, `SELECT seen FROM environment_machine WHERE id = ?`, leg.machine).Scan(&seen)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Sprintf("the target %s was removed from the environment %s", leg.leg, leg.environment), nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the target %s: %w", leg.leg, err)
	}
	if at := fromMillis(seen); !s.online(at) {
		return fmt.Sprintf("the target %s of the environment %s is offline: its agent was last heard of at %s", leg.leg, leg.environment, at.Format(time.RFC3339)), nil
	}
	return "", nil
}

// dropAbsent ends the legs that are queued for machines that went away, and those that run
// on machines which were removed. A machine that is offline while it runs a leg loses it
// with its lease.
func (s *Service) dropAbsent(ctx context.Context) error {
	rows, err := s.db.Query(ctx, `SELECT `+jobColumns+` FROM pipeline_job WHERE status IN ('Queued', 'Running') AND machine <> ''`)
	if err != nil {
		return fmt.Errorf("reading the jobs of targets: %w", err)
	}
	var legs []*jobRow
	for rows.Next() {
		leg, err := scanJob(rows)
		if err != nil {
			return errors.Join(fmt.Errorf("reading the jobs of targets: %w", err), rows.Close())
		}
		legs = append(legs, leg)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("reading the jobs of targets: %w", err)
	}
	var errs []error
	for _, leg := range legs {
		why, err := s.absent(ctx, s.db, leg)
		switch {
		case err != nil || why == "":
		case leg.status == queued:
			err = s.giveUp(ctx, leg.id, why)
		case strings.Contains(why, "was removed"):
			err = s.end(ctx, leg.id, protocol.Complete{Result: plan.Failed, Why: why})
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// giveUp fails a leg that is queued; one that was claimed meanwhile goes on.
func (s *Service) giveUp(ctx context.Context, id, why string) error {
	err := s.again(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `UPDATE pipeline_job SET status = ? WHERE id = ? AND status = ?`, waiting, id, queued)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		leg, err := loadJob(ctx, tx, id)
		if err != nil {
			return err
		}
		run, err := s.loadRun(ctx, tx, leg.run)
		if err != nil {
			return err
		}
		if err := s.endLeg(ctx, tx, leg, plan.Failed, why); err != nil {
			return err
		}
		if err := s.log.Append(ctx, tx, s.jobFact(event.TypeJobFinished, run, leg)); err != nil {
			return err
		}
		if err := s.rollOn(ctx, tx, leg, plan.Failed); err != nil {
			return err
		}
		return s.advance(ctx, tx, run)
	})
	if err != nil {
		return fmt.Errorf("giving up job %s: %w", id, err)
	}
	return nil
}
