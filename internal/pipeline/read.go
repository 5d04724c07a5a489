package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"database/sql"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/logs"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// Run is a run in a list. Times are zero until they have come.
type Run struct {
	Number    int64       `json:"number"` // unique in the installation
	Name      string      `json:"name"`   // Build.BuildNumber
	Project   string      `json:"project"`
	Repo      string      `json:"repo"` // "project/repo"
	File      string      `json:"file"`
	Ref       string      `json:"ref"`
	Commit    string      `json:"commit"`
	Title     string      `json:"title"`  // first line of the commit's message
	Reason    string      `json:"reason"` // IndividualCI, Manual
	Requester string      `json:"requester"`
	RerunOf   int64       `json:"rerun_of,omitempty"`
	Status    plan.Status `json:"status"` // Pending, Running, Completed
	Result    plan.Result `json:"result,omitempty"`
	Why       string      `json:"why,omitempty"` // first error
	Queued    time.Time   `json:"queued"`
	Started   time.Time   `json:"started,omitzero"`
	Finished  time.Time   `json:"finished,omitzero"`
}

// Detail is a run with everything in it.
type Detail struct {
	Run
	Stages    []Stage             `json:"stages"`
	Artifacts []protocol.Artifact `json:"artifacts"`
	Tests     []TestRun           `json:"tests"`
	Images    []Image             `json:"images"`
}

// Stage is a stage of a run.
type Stage struct {
	Name        string      `json:"name"`
	DisplayName string      `json:"display_name"`
	DependsOn   []string    `json:"depends_on,omitempty"`
	Status      plan.Status `json:"status"`
	Result      plan.Result `json:"result,omitempty"`
	Why         string      `json:"why,omitempty"`
	// Manual stages wait until somebody starts them; Requested says who did.
	Manual    bool      `json:"manual,omitempty"`
	Requested string    `json:"requested,omitempty"`
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
	Jobs      []Job     `json:"jobs"`
}

// Job is a job of a run, or one leg of a job.
type Job struct {
	Path        string            `json:"path"` // "Stage.Job", "Stage.Job.leg"
	Name        string            `json:"name"`
	Leg         string            `json:"leg,omitempty"`
	DisplayName string            `json:"display_name"`
	Kind        plan.JobKind      `json:"kind"`
	DependsOn   []string          `json:"depends_on,omitempty"`
	Environment string            `json:"environment,omitempty"`
	Agent       string            `json:"agent,omitempty"`
	Status      plan.Status       `json:"status"` // also Queued, and Waiting for another leg
	Result      plan.Result       `json:"result,omitempty"`
	Why         string            `json:"why,omitempty"`
	Outputs     map[string]string `json:"outputs,omitempty"`
	Queued      time.Time         `json:"queued,omitzero"`
	Started     time.Time         `json:"started,omitzero"`
	Finished    time.Time         `json:"finished,omitzero"`
	Steps       []Step            `json:"steps"`
}

// Step is a step of a job.
type Step struct {
	Number      int         `json:"number"` // from 1, over all hooks
	Hook        string      `json:"hook,omitempty"`
	Name        string      `json:"name,omitempty"`
	DisplayName string      `json:"display_name"`
	Task        string      `json:"task"`
	Status      plan.Status `json:"status"`
	Result      plan.Result `json:"result,omitempty"`
	Why         string      `json:"why,omitempty"`
	Started     time.Time   `json:"started,omitzero"`
	Finished    time.Time   `json:"finished,omitzero"`
	Lines       int64       `json:"lines"` // of its log so far
}

// Image is an image that a step of the run put into the registry, as its output
// variables say.
type Image struct {
	Job    string `json:"job"`
	Step   string `json:"step"`
	Name   string `json:"name"` // host/repository:tag
	Digest string `json:"digest"`
}

// TestRun is a set of test results.
type TestRun struct {
	ID       string    `json:"id"`
	Job      string    `json:"job"`
	Title    string    `json:"title"`
	Total    int       `json:"total"`
	Passed   int       `json:"passed"`
	Failed   int       `json:"failed"`
	Skipped  int       `json:"skipped"`
	Seconds  float64   `json:"seconds"`
	Digest   string    `json:"digest"` // of the stored result file
	Failures []Failure `json:"failures,omitempty"`
}

// Failure is a test that failed.
type Failure struct {
	Suite   string  `json:"suite"`
	Name    string  `json:"name"`
	Message string  `json:"message"`
	Details string  `json:"details,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Filter selects runs; zero fields select everything.
type Filter struct {
	Project string // the project; needed unless Repo or Commit is set
	Repo    string // "project/repo"
	Ref     string // "refs/heads/main"
	Commit  string // full hash
	Status  plan.Status
	Result  plan.Result
	Before  int64 // only runs with a smaller number, for the next page
	Limit   int   // at most so many; 0 means 50, the most is 200
}

// Runs lists runs of one project, newest first. It needs the read role.
func (s *Service) Runs(ctx context.Context, a identity.Actor, f Filter) ([]Run, error) {
	if f.Project == "" {
		f.Project, _, _ = strings.Cut(f.Repo, "/")
	}
	if err := s.auth.Require(ctx, a, f.Project, identity.Read); err != nil {
		return nil, err
	}
	where, args := `project = ?`, []any{f.Project}
	for _, c := range []struct{ col, val string }{{"repo", f.Repo}, {"ref", f.Ref}, {"hash", f.Commit}, {"status", string(f.Status)}, {"result", string(f.Result)}} {
		if c.val != "" {
			where += ` AND ` + c.col + ` = ?`
			args = append(args, c.val)
		}
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
		return nil, noRun(n)
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
	if d.Artifacts, err = artifacts(ctx, s.db, n); err != nil {
		return nil, err
	}
	if d.Tests, err = s.testRuns(ctx, n, false); err != nil {
		return nil, err
	}
	return d, nil
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
	steps, err := s.loadSteps(ctx, r.Number)
	if err != nil {
		return err
	}
	d.Stages, d.Images = make([]Stage, len(stages)), []Image{}
	for i, st := range stages {
		planned := r.plan.Stage(st.name)
		d.Stages[i] = Stage{
			Name: st.name, DisplayName: planned.DisplayName, DependsOn: planned.DependsOn, Status: st.status, Result: st.result, Why: st.why,
			Manual: planned.Manual, Requested: st.requested, Started: st.started, Finished: st.finished, Jobs: []Job{},
		}
		for _, j := range jobs {
			if j.stage == st.name {
				d.Stages[i].Jobs = append(d.Stages[i].Jobs, s.showJob(j, planned.Job(j.name), steps[j.id]))
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
		Environment: j.environment, Agent: j.agent, Status: j.status, Result: j.result, Why: j.why, Outputs: j.outputs,
		Queued: j.queued, Started: j.started, Finished: j.finished, Steps: steps,
	}
	if j.leg != "" {
		out.DisplayName += " " + j.leg
	}
	if steps != nil {
		return out
	}
	out.Steps = []Step{}
	for _, phase := range s.phases(planned) {
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
func (s *Service) loadSteps(ctx context.Context, n int64) (map[string][]Step, error) {
	rows, err := s.db.Query(ctx, `SELECT s.job, s.number, s.hook, s.name, s.title, s.task, s.status, s.result, s.why, s.started, s.finished
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
		if err := rows.Scan(&job, &st.Number, &st.Hook, &st.Name, &st.DisplayName, &st.Task, &st.Status, &st.Result, &st.Why, &started, &finished); err != nil {
			return nil, fmt.Errorf("reading the steps of run %d: %w", n, err)
		}
		st.Started, st.Finished = fromMillis(started), fromMillis(finished)
		if st.Lines, err = s.logs.Lines(logs.Ref{Run: n, Job: job, Step: st.Number}); err != nil {
			return nil, err
		}
		out[job] = append(out[job], st)
	}
	return out, rows.Err()
}

// step finds a step of a run by the path of its job and its number.
func (s *Service) step(ctx context.Context, a identity.Actor, n int64, job string, number int) (logs.Ref, error) {
	if _, err := s.authorized(ctx, a, n, identity.Read); err != nil {
		return logs.Ref{}, err
	}
	jobs, err := loadJobs(ctx, s.db, n)
	if err != nil {
		return logs.Ref{}, err
	}
	for _, j := range jobs {
		if strings.EqualFold(j.path(), job) {
			return logs.Ref{Run: n, Job: j.id, Step: number}, nil
		}
	}
	return logs.Ref{}, fault.New(fault.NotFound, "Run %d has no job %q.", n, job)
}

// Line is one line of a log.
type Line = logs.Line

// LogPage is a part of the log of a step.
type LogPage struct {
	Lines []Line `json:"lines"`
	Total int64  `json:"total"` // lines so far
	Over  bool   `json:"over"`  // the step has ended: no more will come
}

// maxLines is how many lines a page of a log holds at most.
const maxLines = 10_000

// ReadLog returns at most limit lines (0: 1000, the most is 10 000) of the log of a
// step from line number from on, counted from 0. It needs the read role.
func (s *Service) ReadLog(ctx context.Context, a identity.Actor, n int64, job string, step int, from int64, limit int) (LogPage, error) {
	ref, err := s.step(ctx, a, n, job, step)
	if err != nil {
		return LogPage{}, err
	}
	if limit <= 0 {
		limit = 1000
	}
	return s.page(ctx, ref, from, min(limit, maxLines))
}

func (s *Service) page(ctx context.Context, ref logs.Ref, from int64, limit int) (LogPage, error) {
	var p LogPage
	var status string
	err := s.db.QueryRow(ctx, `SELECT status FROM pipeline_step WHERE job = ? AND number = ?`, ref.Job, ref.Step).Scan(&status)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return p, fmt.Errorf("reading a step: %w", err)
	}
	if errors.Is(err, sql.ErrNoRows) {
		// The job has not been queued yet, or was skipped.
		if err := s.db.QueryRow(ctx, `SELECT status FROM pipeline_job WHERE id = ?`, ref.Job).Scan(&status); err != nil {
			return p, fmt.Errorf("reading a job: %w", err)
		}
	}
	p.Over = plan.Status(status) == plan.Completed
	p.Lines, p.Total, err = s.logs.Read(ref, from, limit)
	return p, err
}

// Follow calls send with the lines of a step from line number from on, as they come,
// until the step has ended and all lines were sent, ctx ends, or send returns an error,
// which Follow returns. It needs the read role.
func (s *Service) Follow(ctx context.Context, a identity.Actor, n int64, job string, step int, from int64, send func([]Line) error) error {
	ref, err := s.step(ctx, a, n, job, step)
	if err != nil {
		return err
	}
	for {
		// Ask for news before looking, so that none is missed in between.
		news, lines := s.hub.changed(onRun(n)), s.logs.Changed(ref)
		p, err := s.page(ctx, ref, from, 1000)
		if err != nil {
			return err
		}
		if len(p.Lines) > 0 {
			if err := send(p.Lines); err != nil {
				return err
			}
			from += int64(len(p.Lines))
			continue
		}
		if p.Over {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		case <-lines:
		}
	}
}

// Changed returns a channel that is closed at the next change of a run: a job or step
// that starts or ends, an artifact, test results.
func (s *Service) Changed(n int64) <-chan struct{} { return s.hub.changed(onRun(n)) }

// Cancel asks a run to end: what has not started is cancelled, running steps are
// interrupted, steps with always() still run. It needs the write role.
func (s *Service) Cancel(ctx context.Context, a identity.Actor, n int64) error {
	if _, err := s.authorized(ctx, a, n, identity.Write); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		r, err := s.loadRun(ctx, tx, n)
		if err != nil {
			return err
		}
		if r.Status == plan.Completed {
			return fault.New(fault.Conflict, "Run %d has ended already: %s.", n, word(r.Result))
		}
		if r.canceled != "" {
			return nil
		}
		r.canceled = "cancelled by " + a.String()
		if _, err := tx.Exec(ctx, `UPDATE pipeline_run SET canceled = ? WHERE number = ?`, r.canceled, n); err != nil {
			return fmt.Errorf("cancelling run %d: %w", n, err)
		}
		return s.advance(ctx, tx, r)
	})
}

// StartStage starts a manual stage once the stages it depends on are complete. It needs
// the write role.
func (s *Service) StartStage(ctx context.Context, a identity.Actor, n int64, stage string) error {
	if _, err := s.authorized(ctx, a, n, identity.Write); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		r, err := s.loadRun(ctx, tx, n)
		if err != nil {
			return err
		}
		planned := r.plan.Stage(stage)
		if planned == nil {
			return fault.New(fault.NotFound, "Run %d has no stage %q.", n, stage)
		}
		if !planned.Manual {
			return fault.New(fault.Conflict, "The stage %s starts by itself.", planned.Name)
		}
		res, err := tx.Exec(ctx, `UPDATE pipeline_stage SET requested = ? WHERE run = ? AND name = ? AND requested = '' AND status = 'Pending'`, a.String(), n, planned.Name)
		if err != nil {
			return fmt.Errorf("starting stage %s: %w", planned.Name, err)
		}
		if changed, err := res.RowsAffected(); err != nil || changed == 0 {
			return errors.Join(err, fault.New(fault.Conflict, "The stage %s has been started already.", planned.Name))
		}
		return s.advance(ctx, tx, r)
	})
}

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

// Agent is an agent that has registered.
type Agent struct {
	Name    string    `json:"name"`
	OS      string    `json:"os"`
	Arch    string    `json:"arch"`
	Version string    `json:"version"`
	Slots   int       `json:"slots"`
	Seen    time.Time `json:"seen"` // when it registered last
	Running int       `json:"running"`
}

// Agents lists the agents that have registered. Every known actor may ask.
func (s *Service) Agents(ctx context.Context, a identity.Actor) ([]Agent, error) {
	if !a.Known() {
		return nil, fault.New(fault.Unauthentic, "Sign in to see the agents.")
	}
	rows, err := s.db.Query(ctx, `SELECT name, os, arch, version, slots, seen,
		(SELECT COUNT(*) FROM pipeline_job WHERE agent = pipeline_agent.name AND status = 'Running') FROM pipeline_agent ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("listing agents: %w", err)
	}
	defer rows.Close()
	out := []Agent{}
	for rows.Next() {
		var ag Agent
		var seen int64
		if err := rows.Scan(&ag.Name, &ag.OS, &ag.Arch, &ag.Version, &ag.Slots, &seen, &ag.Running); err != nil {
			return nil, fmt.Errorf("listing agents: %w", err)
		}
		ag.Seen = fromMillis(seen)
		out = append(out, ag)
	}
	return out, rows.Err()
}
