package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// Part is what of a run is to run again, in the same run (J008).
type Part struct {
	// Failed takes the jobs that failed or were cancelled, of a matrix the legs, and what
	// depends on them; what succeeded stays with its outputs.
	Failed bool `json:"failed,omitempty"`
	// Stage is the stage that is meant; "" with Failed means every stage that failed.
	Stage string `json:"stage,omitempty"`
	// Following has the stages that depend on those also run again that ran already. Those
	// that never started follow in any case.
	Following bool `json:"following,omitempty"`
	// Stay is for how long jobs that fail again are kept; see Request.Stay.
	Stay time.Duration `json:"-"`
}

// Whole reports whether no part is meant but the whole run.
func (p Part) Whole() bool { return !p.Failed && p.Stage == "" }

// Repeat runs a part of a run again, in the run itself: the jobs that are meant begin a new
// attempt, everything else stays as it is, with its outputs and artifacts. The checks of the
// stages are asked anew. Logs, steps and test results of the attempts before stay readable.
// A run that was cancelled goes on. It needs the write role.
func (s *Service) Repeat(ctx context.Context, a identity.Actor, n int64, part Part) (Run, error) {
	known, err := s.authorized(ctx, a, n, identity.Write)
	if err != nil {
		return Run{}, err
	}
	if part.Stay, err = s.stayTime(ctx, a, known.Project, part.Stay); err != nil {
		return Run{}, err
	}
	if part.Whole() {
		return Run{}, fault.New(fault.Invalid, "It is not said what of run %d is to run again.", n).WithNext("name a stage, or ask for the jobs that failed")
	}
	var out Run
	err = s.again(ctx, func(tx *store.Tx) error {
		r, err := s.loadRun(ctx, tx, n)
		if err != nil {
			return err
		}
		if err := s.repeat(ctx, tx, r, a, part); err != nil {
			return err
		}
		out = r.Run
		return nil
	})
	return out, err
}

func (s *Service) repeat(ctx context.Context, tx *store.Tx, r *runRow, a identity.Actor, part Part) error {
	if r.canceled != "" && r.Status != plan.Completed {
		return fault.New(fault.Conflict, "Run %d is still being cancelled.", r.Number).WithNext("wait until it has ended")
	}
	stages, err := loadStages(ctx, tx, r.Number)
	if err != nil {
		return err
	}
	jobs, err := loadJobs(ctx, tx, r.Number)
	if err != nil {
		return err
	}
	again, err := newSelection(r, stages, jobs).choose(part)
	if err != nil {
		return err
	}
	fact := event.RunRepeated{V: 1, Run: r.Number, Failed: part.Failed, Following: part.Following}
	for _, row := range again.stages() {
		if err := s.beginStage(ctx, tx, r, row, again, a); err != nil {
			return err
		}
		fact.Stages = append(fact.Stages, row.name)
		for _, j := range again.jobs[row.name] {
			fact.Jobs = append(fact.Jobs, j.path())
		}
	}
	if err := setStay(ctx, tx, r.Number, part.Stay, a.String()); err != nil {
		return err
	}
	if r.canceled != "" {
		if _, err := tx.Exec(ctx, `UPDATE pipeline_run SET canceled = '' WHERE number = ?`, r.Number); err != nil {
			return fmt.Errorf("going on with run %d: %w", r.Number, err)
		}
		r.canceled = ""
	}
	err = s.log.Append(ctx, tx, event.Fact{
		Type: event.TypeRunRepeated, Subject: event.OfRun(r.Number), Project: r.Project, Actor: a.String(), Payload: fact,
		Links: []event.Link{{Rel: event.RelBuiltFrom, To: event.Of(event.KindCommit, r.Commit)}},
	})
	if err != nil {
		return err
	}
	if err := s.reopen(ctx, tx, r, a); err != nil {
		return err
	}
	return s.advance(ctx, tx, r)
}

// selection finds out what of a run runs again.
type selection struct {
	run  *runRow
	rows []stageRow
	all  []*jobRow
	// jobs are the rows that run again, by stage; a stage with an entry begins anew.
	jobs map[string][]*jobRow
}

func newSelection(r *runRow, rows []stageRow, jobs []*jobRow) *selection {
	return &selection{run: r, rows: rows, all: jobs, jobs: map[string][]*jobRow{}}
}

// stages are those that begin anew, in the order of the file.
func (c *selection) stages() []*stageRow {
	var out []*stageRow
	for i := range c.rows {
		if _, ok := c.jobs[c.rows[i].name]; ok {
			out = append(out, &c.rows[i])
		}
	}
	return out
}

func (c *selection) choose(part Part) (*selection, error) {
	n := c.run.Number
	if part.Stage == "" {
		for i := range c.rows {
			row := &c.rows[i]
			if row.status == plan.Completed && (row.result == plan.Failed || row.result == plan.Canceled) {
				c.jobs[row.name] = c.failed(row.name)
			}
		}
		if len(c.jobs) == 0 {
			return nil, fault.New(fault.Conflict, "No stage of run %d has failed or was cancelled.", n).WithNext("name a stage with --stage, or run the whole commit again: towpath run rerun %d", n)
		}
		return c, c.follow(part.Following)
	}
	planned := c.run.plan.Stage(part.Stage)
	if planned == nil {
		return nil, fault.New(fault.NotFound, "Run %d has no stage %q.", n, clip(part.Stage))
	}
	row := c.row(planned.Name)
	if row == nil || row.status != plan.Completed {
		return nil, fault.New(fault.Conflict, "The stage %s of run %d has not ended.", planned.Name, n).WithNext("wait, or cancel the run first: towpath run cancel %d", n)
	}
	if part.Failed {
		if row.result != plan.Failed && row.result != plan.Canceled {
			return nil, fault.New(fault.Conflict, "No job of the stage %s of run %d has failed.", planned.Name, n).WithNext("leave --failed away to run the whole stage again")
		}
		c.jobs[row.name] = c.failed(row.name)
	} else {
		c.jobs[row.name] = c.of(row.name)
	}
	return c, c.follow(part.Following)
}

func (c *selection) row(stage string) *stageRow {
	for i := range c.rows {
		if c.rows[i].name == stage {
			return &c.rows[i]
		}
	}
	return nil
}

// of are all rows of a stage.
func (c *selection) of(stage string) []*jobRow {
	var out []*jobRow
	for _, j := range c.all {
		if j.stage == stage {
			out = append(out, j)
		}
	}
	return out
}

// failed are the rows of a stage that did not come to their end, and those of the jobs that
// depend on them. When the stage ended before a job of it did, that is all of them.
func (c *selection) failed(stage string) []*jobRow {
	rows := c.of(stage)
	broken := map[string]bool{} // jobs, by lower-case name
	for _, j := range rows {
		if j.result == plan.Failed || j.result == plan.Canceled {
			broken[strings.ToLower(j.name)] = true
		}
	}
	if len(broken) == 0 {
		return rows
	}
	whole := c.dependents(stage, broken)
	var out []*jobRow
	for _, j := range rows {
		name := strings.ToLower(j.name)
		unfinished := j.result != plan.Succeeded && j.result != plan.SucceededWithIssues
		if whole[name] || broken[name] && unfinished {
			out = append(out, j)
		}
	}
	return out
}

// dependents are the jobs that depend on one of the given ones, directly or not.
func (c *selection) dependents(stage string, on map[string]bool) map[string]bool {
	out := map[string]bool{}
	planned := c.run.plan.Stage(stage)
	for grown := true; grown; {
		grown = false
		for i := range planned.Jobs {
			name := strings.ToLower(planned.Jobs[i].Name)
			for _, d := range planned.Jobs[i].DependsOn {
				if d = strings.ToLower(d); !out[name] && (on[d] || out[d]) {
					out[name], grown = true, true
				}
			}
		}
	}
	return out
}

// follow adds the stages behind those that run again: the ones that never started, and with
// ran also those that did. A stage that somebody left out stays out.
func (c *selection) follow(ran bool) error {
	for grown := true; grown; {
		grown = false
		for i := range c.run.plan.Stages {
			planned := &c.run.plan.Stages[i]
			row := c.row(planned.Name)
			if _, chosen := c.jobs[planned.Name]; chosen || row == nil || row.skipped != "" || !c.after(planned) {
				continue
			}
			switch {
			case row.status == plan.Completed && (ran || row.started.IsZero()):
				c.jobs[planned.Name], grown = c.of(planned.Name), true
			case row.status == plan.Running && ran:
				return fault.New(fault.Conflict, "The stage %s of run %d is running.", planned.Name, c.run.Number).WithNext("wait until it has ended")
			}
		}
	}
	return nil
}

// after reports whether a stage depends directly on one that runs again.
func (c *selection) after(stage *plan.Stage) bool {
	for _, d := range stage.DependsOn {
		if _, ok := c.jobs[c.run.plan.Stage(d).Name]; ok {
			return true
		}
	}
	return false
}
