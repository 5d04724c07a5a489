package pipeline

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/logs"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// Runs lists runs of one project, newest first. It needs the read role.
func (s *Service) Runs(ctx context.Context, a identity.Actor, f Filter) ([]Run, error) {
	if f.Project == "" {
		f.Project, _, _ = strings.Cut(f.Repo, "/")
	}
	if err := s.auth.Require(ctx, a, f.Project, identity.Read); err != nil {
		return nil, err
	}
	where, args := `project = ?`, []any{f.Project}
	for _, c := range []struct{ col, val string }{{"repo", f.Repo}, {"file", f.File}, {"ref", f.Ref}, {"hash", f.Commit}, {"name", f.Name}, {"reason", f.Reason}, {"status", string(f.Status)}, {"result", string(f.Result)}} {
		if c.val != "" {
			where += ` AND ` + c.col + ` = ?`
			args = append(args, c.val)
		}
	}
	if f.Pull > 0 {
		where += ` AND pull = ?`
		args = append(args, f.Pull)
	}
	for _, tag := range f.Tags {
		where += ` AND EXISTS (SELECT 1 FROM pipeline_tag t WHERE t.run = pipeline_run.number AND t.folded = ?)`
		args = append(args, strings.ToLower(strings.TrimSpace(tag)))
	}
	if f.Before > 0 {
		where += ` AND number < ?`
		args = append(args, f.Before)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	rows, err := s.db.Query(ctx, `SELECT `+runColumns+` FROM pipeline_run WHERE `+where+` ORDER BY number DESC LIMIT ?`, append(args, min(limit, 200))...)
	if err != nil {
		return nil, fmt.Errorf("listing runs: %w", err)
	}
	defer rows.Close()
	out := []Run{}
	for rows.Next() {
		r, err := scanRun(rows)
		if err != nil {
			return nil, fmt.Errorf("listing runs: %w", err)
		}
		out = append(out, r.Run)
	}
	return out, rows.Err()
}

// authorized reads a run that the actor has a role for; a run of a project that he may
// not read does not exist.
func (s *Service) authorized(ctx context.Context, a identity.Actor, n int64, role identity.Role) (*runRow, error) {
	r, err := scanRun(s.db.QueryRow(ctx, `SELECT `+runColumns+` FROM pipeline_run WHERE number = ?`, n))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, s.gone(ctx, func(project string) error { return s.auth.Require(ctx, a, project, identity.Read) }, n)
	}
	if err != nil {
		return nil, fmt.Errorf("reading run %d: %w", n, err)
	}
	if err := s.auth.Require(ctx, a, r.Project, role); err != nil {
		if fault.Is(err, fault.NotFound) {
			return nil, noRun(n)
		}
		return nil, err
	}
	return &r, nil
}

// parameters are those that a run was started with.
func (s *Service) parameters(ctx context.Context, n int64) (map[string]string, error) {
	var raw string
	if err := s.db.QueryRow(ctx, `SELECT parameters FROM pipeline_run WHERE number = ?`, n).Scan(&raw); err != nil {
		return nil, fmt.Errorf("reading the parameters of run %d: %w", n, err)
	}
	var p map[string]string
	err := json.Unmarshal([]byte(raw), &p)
	return p, err
}

// Show returns a run with everything in it. It needs the read role.
func (s *Service) Show(ctx context.Context, a identity.Actor, n int64) (*Detail, error) {
	if _, err := s.authorized(ctx, a, n, identity.Read); err != nil {
		return nil, err
	}
	r, err := s.loadRun(ctx, s.db, n)
	if err != nil {
		return nil, err
	}
	d := &Detail{Run: r.Run}
	if err := s.showStages(ctx, r, d); err != nil {
		return nil, err
	}
	if err := s.staysInto(ctx, d); err != nil {
		return nil, err
	}
	if d.Kept, err = s.keptBecause(ctx, n); err != nil {
		return nil, err
	}
	if d.Artifacts, err = artifacts(ctx, s.db, n); err != nil {
		return nil, err
	}
	if d.Tests, err = s.testRuns(ctx, n, false); err != nil {
		return nil, err
	}
	return d, s.addExtras(ctx, d)
}

func (s *Service) showStages(ctx context.Context, r *runRow, d *Detail) error {
	stages, err := loadStages(ctx, s.db, r.Number)
	if err != nil {
		return err
	}
	jobs, err := loadJobs(ctx, s.db, r.Number)
	if err != nil {
		return err
	}
	steps, err := s.loadSteps(ctx, s.db, r.Number)
	if err != nil {
		return err
	}
	known := map[shelf]string{}
	d.Stages, d.Images = make([]Stage, len(stages)), []Image{}
	for i, st := range stages {
		planned := r.plan.Stage(st.name)
		d.Stages[i] = Stage{
			Name: st.name, DisplayName: planned.DisplayName, Group: planned.Group, DependsOn: planned.DependsOn, Status: st.status, Result: st.result, Why: st.why,
			Attempt: st.attempt, Skippable: planned.Skippable, LeftOut: st.skipped, Manual: planned.Manual, Requested: st.requested, Started: st.started, Finished: st.finished, Jobs: []Job{},
		}
		if st.gate == gateHeld {
			if d.Stages[i].HeldBy, err = s.heldBy(ctx, r.Number, st); err != nil {
				return err
			}
			d.Stages[i].Held = st.held
		}
		for _, j := range jobs {
			if j.stage == st.name {
				shown := s.showJob(j, planned.Job(j.name), steps[j.id])
				if shown.Waits, err = s.waits(ctx, j, known); err != nil {
					return err
				}
				d.Stages[i].Jobs = append(d.Stages[i].Jobs, shown)
				d.Images = append(d.Images, images(j)...)
			}
		}
	}
	return nil
}

// showJob is a job with its steps; those of a job that is not queued yet come from the
// plan.
func (s *Service) showJob(j *jobRow, planned *plan.Job, steps []Step) Job {
	out := Job{
		Path: j.path(), Name: j.name, Leg: j.leg, DisplayName: planned.DisplayName, Kind: planned.Kind, DependsOn: planned.DependsOn,
		Environment: j.environment, Pool: j.pool, Demands: lines(j.demands), Agent: j.agent, Turns: j.turns, Status: j.status, Result: j.result, Why: j.why, Outputs: j.outputs,
		Attempt: j.attempt, Queued: j.queued, Started: j.started, Finished: j.finished, Steps: steps,
	}
	if j.leg != "" {
		out.DisplayName += " " + j.leg
	}
	if steps != nil {
		return out
	}
	out.Steps = []Step{}
	for _, phase := range phases(s.builtin, planned) {
		for _, st := range phase.Steps {
			step := Step{Number: st.Number, Hook: phase.Round.Hook, Name: st.Name, DisplayName: st.DisplayName, Task: st.Task, Status: plan.Pending}
			if j.status == plan.Completed {
				step.Status, step.Result = plan.Completed, plan.Skipped
			}
			out.Steps = append(out.Steps, step)
		}
	}
	return out
}

// images finds the pushed images among the outputs of a job: Docker@2 sets "digest" and
// "image" of its step.
func images(j *jobRow) []Image {
	var out []Image
	for name, digest := range j.outputs {
		step, ok := strings.CutSuffix(name, ".digest")
		if name := j.outputs[step+".image"]; ok && name != "" {
			out = append(out, Image{Job: j.path(), Step: step, Name: name, Digest: digest})
		}
	}
	slices.SortFunc(out, func(a, b Image) int { return strings.Compare(a.Step, b.Step) })
	return out
}

// loadSteps reads the steps of all jobs of a run, by job.
func (s *Service) loadSteps(ctx context.Context, h store.Handle, n int64) (map[string][]Step, error) {
	rows, err := h.Query(ctx, `SELECT s.job, s.number, s.hook, s.name, s.title, s.task, s.status, s.result, s.why, s.started, s.finished, s.progress, s.operation, s.details
		FROM pipeline_step s JOIN pipeline_job j ON j.id = s.job WHERE j.run = ? ORDER BY s.job, s.number`, n)
	if err != nil {
		return nil, fmt.Errorf("reading the steps of run %d: %w", n, err)
	}
	defer rows.Close()
	out := map[string][]Step{}
	for rows.Next() {
		var job string
		var st Step
		var started, finished int64
		var details string
		if err := rows.Scan(&job, &st.Number, &st.Hook, &st.Name, &st.DisplayName, &st.Task, &st.Status, &st.Result, &st.Why, &started, &finished,
			&st.Progress, &st.Operation, &details); err != nil {
			return nil, fmt.Errorf("reading the steps of run %d: %w", n, err)
		}
		if details != "" {
			if err := json.Unmarshal([]byte(details), &st.Details); err != nil {
				return nil, fmt.Errorf("reading the steps of run %d: %w", n, err)
			}
		}
		st.Started, st.Finished = fromMillis(started), fromMillis(finished)
		if st.Lines, err = s.logs.Lines(logs.Ref{Run: n, Job: job, Step: st.Number}); err != nil {
			return nil, err
		}
		out[job] = append(out[job], st)
	}
	return out, rows.Err()
}

// Changed returns a channel that is closed at the next change of a run: a job or step
// that starts or ends, an artifact, test results.
func (s *Service) Changed(n int64) <-chan struct{} { return s.hub.changed(onRun(n)) }

// Tests returns the test runs of a run with their failures. It needs the read role.
func (s *Service) Tests(ctx context.Context, a identity.Actor, n int64) ([]TestRun, error) {
	if _, err := s.authorized(ctx, a, n, identity.Read); err != nil {
		return nil, err
	}
	return s.testRuns(ctx, n, true)
}

// OpenArtifact returns an artifact of a run as a tar, which the caller closes. It needs
// the read role.
func (s *Service) OpenArtifact(ctx context.Context, a identity.Actor, n int64, name string) (protocol.Artifact, io.ReadCloser, error) {
	if _, err := s.authorized(ctx, a, n, identity.Read); err != nil {
		return protocol.Artifact{}, nil, err
	}
	return s.openArtifact(ctx, n, name)
}
