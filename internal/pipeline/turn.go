package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"towpath.dev/towpath/internal/pipeline/gallery"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// Turn is a part of a deployment that is over: the hooks of a deployment may have different
// pools, and the job goes from one to the next (D001).
type Turn struct {
	Agent    string            `json:"agent"`
	Pool     string            `json:"pool,omitempty"` // in lower case
	Rounds   []plan.HookResult `json:"rounds"`
	Finished time.Time         `json:"finished"`
}

// ended are the rounds of the turns that are over.
func (j *jobRow) ended() []plan.HookResult {
	var out []plan.HookResult
	for _, t := range j.turns {
		out = append(out, t.Rounds...)
	}
	return out
}

// turnPhases are those phases of a job to which whoever has it next may come.
func turnPhases(c *gallery.Catalog, job *plan.Job, ended []plan.HookResult, machine bool) []protocol.Phase {
	all := phases(c, job)
	if job.Strategy == nil {
		return all
	}
	rounds := job.Strategy.Turn(ended, machine)
	return slices.DeleteFunc(all, func(p protocol.Phase) bool { return !slices.Contains(rounds, p.Round) })
}

// turnOf is a job as whoever has it next sees it: a deployment with the pool of its next hook.
func turnOf(job *plan.Job, ended []plan.HookResult) *plan.Job {
	if job.Strategy == nil {
		return job
	}
	round, more := job.Strategy.Next(ended)
	if !more {
		return job
	}
	own := *job
	own.Pool = job.Strategy.Hook(round.Hook).Pool
	return &own
}

// turnAlone is a deployment with those hooks alone to which whoever has it now may come: an agent
// is lent what its own part names.
func turnAlone(job *plan.Job, spec *protocol.Job) *plan.Job {
	if job.Strategy == nil {
		return job
	}
	own, strategy := *job, *job.Strategy
	strategy.Hooks = slices.DeleteFunc(slices.Clone(strategy.Hooks), func(h plan.Hook) bool {
		return !slices.ContainsFunc(spec.Phases, func(p protocol.Phase) bool { return p.Round.Hook == h.Name })
	})
	own.Strategy = &strategy
	return &own
}

// placeAll refuses a deployment one of whose hooks no pool takes, before anything is done.
func (sc *schedule) placeAll(row *jobRow, job *plan.Job, values plan.Values, spec *protocol.Job) error {
	if job.Strategy != nil {
		var asked []plan.Pool
		for _, hook := range job.Strategy.Hooks {
			if slices.ContainsFunc(asked, hook.Pool.Same) {
				continue
			}
			asked = append(asked, hook.Pool)
			own, told := *job, *spec
			own.Pool = hook.Pool
			if err := sc.place(row, &own, values, &told); err != nil || row.refused != "" {
				return err
			}
		}
	}
	return sc.place(row, turnOf(job, row.ended()), values, spec)
}

// handOn gives a deployment whose next hook has another pool to whoever has it next (D001). It
// reports false when the deployment is over; the end of it may have changed then. A hook that no
// pool takes has failed, so that on.failure follows (D006).
func (s *Service) handOn(ctx context.Context, tx *store.Tx, run *runRow, row *jobRow, c *protocol.Complete) (bool, error) {
	job := run.plan.Stage(row.stage).Job(row.name)
	if job.Strategy == nil {
		return false, nil
	}
	if why := firstOf(row.stop, run.canceled); why != "" {
		if c.Onward {
			c.Result, c.Why = plan.Canceled, why
		}
		return false, nil
	}
	before := row.ended()
	ended := job.Strategy.Goes(before, c.Ended)
	if !c.Onward || len(ended) == len(before) {
		return false, nil
	}
	sc := &schedule{s: s, ctx: ctx, tx: tx, run: run, now: s.clock.Now()}
	if _, err := sc.tasksOf(); err != nil {
		return false, err
	}
	var raw string
	if err := tx.QueryRow(ctx, `SELECT spec FROM pipeline_job WHERE id = ?`, row.id).Scan(&raw); err != nil {
		return false, fmt.Errorf("reading job %s: %w", row.path(), err)
	}
	var spec protocol.Job
	if err := json.Unmarshal([]byte(raw), &spec); err != nil {
		return false, fmt.Errorf("reading job %s: %w", row.path(), err)
	}
	values := plan.Values{}
	for _, v := range spec.Variables {
		values.Set(v)
	}
	for _, o := range c.Outputs {
		if len(o.Value) <= protocol.MaxOutput {
			values.Set(plan.Value{Name: o.Step + "." + o.Name, Text: o.Value})
		}
	}
	spec.Variables = values.Sorted()
	turn := Turn{Agent: row.agent, Pool: row.pool, Rounds: ended[len(before):], Finished: sc.now}
	for {
		round, more := job.Strategy.Next(ended)
		if !more {
			c.Result = job.Strategy.Result(ended)
			return false, nil
		}
		spec.Ended, spec.Phases = ended, turnPhases(sc.catalog, job, ended, row.machine != "")
		spec.Added = addedTasks(sc.catalog, spec.Phases)
		spec.Containers, spec.Notices = nil, nil
		if err := sc.place(row, turnOf(job, ended), values, &spec); err != nil {
			return false, err
		}
		if row.refused == "" {
			break
		}
		c.Why = firstOf(c.Why, row.refused)
		ended = append(ended, plan.HookResult{HookRun: round, Result: plan.Failed})
		turn.Rounds = append(turn.Rounds, ended[len(ended)-1])
	}
	row.turns = append(row.turns, turn)
	row.status, row.agent, row.why = queued, "", firstOf(row.why, c.Why)
	row.outputs = merged(row.outputs, outputs(run.plan, row, c.Outputs))
	return true, sc.requeue(row)
}

// requeue puts a deployment into the queue again, in the place that it had there: it has
// begun, so that nothing which came later goes before it.
func (sc *schedule) requeue(row *jobRow) error {
	if err := saveJob(sc.ctx, sc.tx, row); err != nil {
		return err
	}
	_, err := sc.tx.Exec(sc.ctx, `UPDATE pipeline_job SET spec = ?, pool = ?, demands = ?, turns = ?, ticket = '' WHERE id = ?`, row.spec, row.pool, row.demands, text(row.turns), row.id)
	if err != nil {
		return fmt.Errorf("handing on job %s: %w", row.path(), err)
	}
	// The pod of the turn before is nobody's: it goes, and the next turn gets its own.
	if _, err := sc.tx.Exec(sc.ctx, `UPDATE agent_pod SET job = ? WHERE job = ?`, podOver, row.id); err != nil {
		return fmt.Errorf("handing on job %s: %w", row.path(), err)
	}
	if _, err := sc.tx.Exec(sc.ctx, `DELETE FROM pipeline_server_job WHERE job = ?`, row.id); err != nil {
		return fmt.Errorf("handing on job %s: %w", row.path(), err)
	}
	if err := sc.endRounds(row); err != nil {
		return err
	}
	sc.s.enqueue(sc.tx, row)
	if row.pool == serverPool {
		if err := sc.forServer(row); err != nil {
			return err
		}
	}
	n := row.run
	sc.tx.AfterCommit(func() {
		sc.s.hub.signal(onQueue)
		sc.s.hub.signal(onRun(n))
	})
	return nil
}

// endRounds skips the steps of rounds that no pool took.
func (sc *schedule) endRounds(row *jobRow) error {
	ended := row.ended()
	for _, p := range phases(sc.catalog, sc.run.plan.Stage(row.stage).Job(row.name)) {
		if !slices.ContainsFunc(ended, func(e plan.HookResult) bool { return e.HookRun == p.Round }) {
			continue
		}
		for _, st := range p.Steps {
			if _, err := sc.tx.Exec(sc.ctx, `UPDATE pipeline_step SET status = 'Completed', result = 'Skipped' WHERE job = ? AND number = ? AND status <> 'Completed'`, row.id, st.Number); err != nil {
				return fmt.Errorf("skipping the steps of job %s: %w", row.path(), err)
			}
		}
	}
	return nil
}

// podOver stands in the place of the job of a pod whose part of a deployment is over.
const podOver = "over"

// merged are output variables with those of a later part over them.
func merged(before, later map[string]string) map[string]string {
	out := make(map[string]string, len(before)+len(later))
	maps.Copy(out, before)
	maps.Copy(out, later)
	return out
}

// agents are those that had a job, in order.
func (j *jobRow) agents() []string {
	var out []string
	for _, t := range j.turns {
		out = append(out, t.Agent)
	}
	if len(out) > 0 && j.agent != "" {
		out = append(out, j.agent)
	}
	return out
}

// Heading is what stands before the steps of a hook, at the first of them: "deploy", or "deploy
// on agent-1" where more than one agent has had the job. It is "" at every other step. i is an
// index of Steps.
func (j Job) Heading(i int) string {
	hook := j.Steps[i].Hook
	if hook == "" || i > 0 && j.Steps[i-1].Hook == hook {
		return ""
	}
	if len(j.Turns) == 0 {
		return hook
	}
	before := 0 // A canary has the same hook several times.
	for k := range i {
		if j.Steps[k].Hook == hook && (k == 0 || j.Steps[k-1].Hook != hook) {
			before++
		}
	}
	for _, t := range j.Turns {
		for _, r := range t.Rounds {
			if r.Hook != hook {
				continue
			}
			if before == 0 {
				return hook + " on " + t.Agent
			}
			before--
		}
	}
	if j.Agent != "" && !j.Steps[i].Started.IsZero() {
		return hook + " on " + j.Agent
	}
	return hook
}
