package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/pipeline/gallery"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// launch makes a job, or each of its legs, ready for agents. Legs that wait here run again,
// beside others that stay as they are.
func (sc *schedule) launch(rows []*jobRow) error {
	var waits []*jobRow
	for _, j := range rows {
		if j.status == plan.Pending {
			waits = append(waits, j)
		}
	}
	if len(waits) == 0 {
		return nil
	}
	if _, err := sc.tasksOf(); err != nil {
		return err
	}
	row := waits[0]
	p := sc.run.plan
	stage := p.Stage(row.stage)
	job := stage.Job(row.name)
	rt := sc.s.runtime(sc.ctx, sc.tx, sc.run.Key(), sc.run.Queued, sc.run.Pull > 0)
	state := sc.state()
	values, err := p.JobVariables(state, stage, job, nil, rt)
	if err != nil {
		return sc.complete(row, plan.Failed, err.Error())
	}
	legs, err := p.Legs(state, stage, job, values)
	if err != nil {
		return sc.complete(row, plan.Failed, err.Error())
	}
	settings, err := p.JobSettings(state, stage, job, values)
	if err != nil {
		return sc.complete(row, plan.Failed, err.Error())
	}
	for _, j := range waits {
		j.tolerant, j.maxParallel = settings.ContinueOnError, settings.MaxParallel
	}
	if row.leg != "" {
		return sc.relaunch(waits, stage, job, settings, legs, rt)
	}
	if sc.run.Pull > 0 && job.Kind == plan.KindDeployment {
		row.environment = sc.reviewApp(job, values)
		if err := sc.describe(row, stage, job, settings, values, nil, 0); err != nil {
			return err
		}
		return sc.ready(row, false)
	}
	machines, on, err := sc.chosen(job, values)
	if u, ok := errors.AsType[unfit](err); ok {
		return sc.complete(row, plan.Failed, u.Error())
	}
	if err != nil {
		return err
	}
	if on {
		return sc.launchMachines(row, stage, job, settings, machines, rt)
	}
	if job.Matrix == nil {
		if err := sc.describe(row, stage, job, settings, values, nil, 0); err != nil {
			return err
		}
		return sc.ready(row, false)
	}
	if len(legs) == 0 {
		return sc.complete(row, plan.Skipped, "The matrix has no legs")
	}
	return sc.launchLegs(row, stage, job, settings, legs, rt)
}

// launchLegs puts a row for each leg in the place of the job's one.
func (sc *schedule) launchLegs(row *jobRow, stage *plan.Stage, job *plan.Job, settings plan.Settings, legs []plan.Leg, rt plan.Runtime) error {
	state := sc.state()
	rows, err := sc.fanOut(row, len(legs), func(i int, leg *jobRow) { leg.leg = legs[i].Name })
	if err != nil {
		return err
	}
	for i, leg := range rows {
		values, err := sc.run.plan.JobVariables(state, stage, job, &legs[i], rt)
		if err != nil {
			err = sc.complete(leg, plan.Failed, err.Error())
		} else {
			values.Set(plan.Value{Name: "System.JobPositionInPhase", Text: strconv.Itoa(i + 1), ReadOnly: true})
			values.Set(plan.Value{Name: "System.TotalJobsInPhase", Text: strconv.Itoa(len(legs)), ReadOnly: true})
			if err = sc.describe(leg, stage, job, settings, values, &legs[i], i+1); err == nil {
				err = sc.ready(leg, settings.MaxParallel > 0 && i >= settings.MaxParallel)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// relaunch makes legs ready that run again. Those of a matrix get their variables from it as
// it is now; machines take their turns as before.
func (sc *schedule) relaunch(rows []*jobRow, stage *plan.Stage, job *plan.Job, settings plan.Settings, legs []plan.Leg, rt plan.Runtime) error {
	state, machines := sc.state(), false
	for i, row := range rows {
		leg, position := &plan.Leg{Name: row.leg}, i+1
		source := (*plan.Leg)(nil)
		if row.machine == "" {
			at := slices.IndexFunc(legs, func(l plan.Leg) bool { return l.Name == row.leg })
			if at < 0 {
				if err := sc.complete(row, plan.Skipped, "The matrix has no leg "+row.leg+" any more"); err != nil {
					return err
				}
				continue
			}
			leg, source, position = &legs[at], &legs[at], at+1
		}
		machines = machines || row.machine != ""
		values, err := sc.run.plan.JobVariables(state, stage, job, source, rt)
		if err != nil {
			err = sc.complete(row, plan.Failed, err.Error())
		} else {
			if source != nil {
				values.Set(plan.Value{Name: "System.JobPositionInPhase", Text: strconv.Itoa(position), ReadOnly: true})
				values.Set(plan.Value{Name: "System.TotalJobsInPhase", Text: strconv.Itoa(len(legs)), ReadOnly: true})
			}
			if err = sc.describe(row, stage, job, settings, values, leg, position); err == nil {
				err = sc.ready(row, row.machine != "" || settings.MaxParallel > 0 && i >= settings.MaxParallel)
			}
		}
		if err != nil {
			return err
		}
	}
	if machines {
		return sc.s.startBatch(sc.ctx, sc.tx, rows)
	}
	return nil
}

// fanOut puts n rows, which fill completes, in the place of a job's one.
func (sc *schedule) fanOut(row *jobRow, n int, fill func(i int, leg *jobRow)) ([]*jobRow, error) {
	if _, err := sc.tx.Exec(sc.ctx, `DELETE FROM pipeline_job WHERE id = ?`, row.id); err != nil {
		return nil, fmt.Errorf("replacing job %s by its legs: %w", row.path(), err)
	}
	sc.jobs = slices.DeleteFunc(sc.jobs, func(j *jobRow) bool { return j == row })
	legs := make([]*jobRow, n)
	for i := range legs {
		leg := *row
		leg.id = sc.s.clock.NewID()
		fill(i, &leg)
		if err := insertJob(sc.ctx, sc.tx, &leg); err != nil {
			return nil, err
		}
		legs[i] = &leg
	}
	sc.jobs = append(sc.jobs, legs...)
	return legs, nil
}

// describe makes what an agent is told about a job; token and lease come when it is
// claimed.
func (sc *schedule) describe(row *jobRow, stage *plan.Stage, job *plan.Job, settings plan.Settings, values plan.Values, leg *plan.Leg, position int) error {
	r := sc.run
	spec := &protocol.Job{
		ID: row.id, Run: r.Number, RunName: r.Name, Project: r.Project, Repo: r.Repo, Ref: r.Ref, Commit: r.Commit,
		Stage: stage.Name, Name: job.Name, Leg: row.leg, DisplayName: job.DisplayName, Kind: job.Kind, CloneURL: sc.s.cloneURL(r.Repo),
		TimeoutSeconds: settings.Timeout.Seconds(), CancelSeconds: settings.CancelTimeout.Seconds(), LogLimit: sc.s.opts.LogLimit,
		Phases: turnPhases(sc.catalog, job, nil, row.machine != ""), Repositories: sc.s.checkouts(r.plan, job, r.Project), Feeds: fetched(r.plan, job),
	}
	spec.Added = addedTasks(sc.catalog, spec.Phases)
	if job.Strategy != nil {
		bare := *job.Strategy
		bare.Hooks = make([]plan.Hook, len(job.Strategy.Hooks))
		for i, h := range job.Strategy.Hooks {
			bare.Hooks[i] = plan.Hook{Name: h.Name}
		}
		spec.Strategy = &bare
	}
	own := [][2]string{
		{"System.StageName", stage.Name}, {"System.StageDisplayName", stage.DisplayName}, {"System.JobName", job.Name}, {"System.JobId", row.id},
		{"System.PhaseName", job.Name}, {"System.PhaseDisplayName", job.DisplayName}, {"System.JobDisplayName", job.DisplayName},
		{"System.StageAttempt", strconv.Itoa(sc.stage(row.stage).attempt)}, {"System.PhaseAttempt", strconv.Itoa(row.attempt)}, {"System.JobAttempt", strconv.Itoa(row.attempt)},
	}
	if leg != nil {
		own[2][1] = leg.Name
		own[6][1] = job.DisplayName + " " + leg.Name
		spec.DisplayName = own[6][1]
	}
	if env := job.Environment; env != nil {
		resource, id := env.Resource, env.Resource
		if row.machine != "" {
			resource, id = row.leg, row.machine
		}
		if _, name, review := event.ReviewApp(row.environment); review {
			resource, id = name, name
		}
		own = append(own, [2]string{"Environment.Name", env.Name}, [2]string{"Environment.Id", env.Name},
			[2]string{"Environment.ResourceName", resource}, [2]string{"Environment.ResourceId", id})
	}
	for _, v := range sc.s.resourceVariables(r.plan, r.Project) {
		values.Set(v)
	}
	for _, kv := range own {
		values.Set(plan.Value{Name: kv[0], Text: kv[1], ReadOnly: true})
	}
	for _, v := range values.Sorted() {
		spec.Variables = append(spec.Variables, v)
	}
	return sc.placeAll(row, job, values, spec)
}

// phases are the steps of a job with their numbers: one phase, or every round that a
// deployment may come to.
func phases(c *gallery.Catalog, job *plan.Job) []protocol.Phase {
	if job.Strategy == nil {
		return []protocol.Phase{{Steps: numbered(c, job.Steps, 1)}}
	}
	var out []protocol.Phase
	var ended []plan.HookResult
	number := 1
	add := func(round plan.HookRun) {
		hook := job.Strategy.Hook(round.Hook)
		if hook == nil {
			return
		}
		steps := numbered(c, hook.Steps, number)
		out = append(out, protocol.Phase{Round: round, Steps: steps})
		number += len(steps)
	}
	for {
		round, more := job.Strategy.Next(ended)
		if !more {
			break
		}
		add(round)
		ended = append(ended, plan.HookResult{HookRun: round, Result: plan.Succeeded})
	}
	if len(ended) > 0 {
		ended[0].Result = plan.Failed
		if round, more := job.Strategy.Next(ended[:1]); more {
			add(round)
		}
	}
	return out
}

// ready queues a job with its steps, or lets it wait for another leg.
func (sc *schedule) ready(row *jobRow, hold bool) error {
	if row.refused != "" {
		return sc.complete(row, plan.Failed, row.refused)
	}
	row.status, row.queued = queued, sc.now
	if hold {
		row.status = waiting
	}
	sc.queued = sc.queued || !hold
	_, err := sc.tx.Exec(sc.ctx, `UPDATE pipeline_job SET status = ?, spec = ?, queued = ?, max_parallel = ?, tolerant = ?, pool = ?, demands = ?, environment = ? WHERE id = ?`,
		row.status, row.spec, millis(row.queued), row.maxParallel, bit(row.tolerant), row.pool, row.demands, row.environment, row.id)
	if err != nil {
		return fmt.Errorf("queueing job %s: %w", row.path(), err)
	}
	if !hold {
		sc.s.enqueue(sc.tx, row)
	}
	job := sc.run.plan.Stage(row.stage).Job(row.name)
	if row.pool == serverPool {
		if err := sc.forServer(row); err != nil {
			return err
		}
	}
	for _, phase := range phases(sc.catalog, job) {
		for _, st := range phase.Steps {
			_, err := sc.tx.Exec(sc.ctx, `INSERT INTO pipeline_step (job, number, hook, name, title, task, status, result, why, started, finished)
				VALUES (?,?,?,?,?,?,?,'','',0,0)`, row.id, st.Number, phase.Round.Hook, st.Name, st.DisplayName, st.Task, plan.Pending)
			if err != nil {
				return fmt.Errorf("adding the steps of job %s: %w", row.path(), err)
			}
		}
	}
	return nil
}
