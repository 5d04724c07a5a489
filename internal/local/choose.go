package local

import (
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/agent"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/validate"
)

// Choice is what of a plan runs here.
type Choice struct {
	// LeftOut are the stages, jobs and steps that a server is needed for, in the order of
	// the file.
	LeftOut []LeftOut
}

// LeftOut is a part of a plan that does not run here.
type LeftOut struct {
	// What names the part: "job Deploy.Web", "step Build.A: Docker".
	What string `json:"what"`
	// Why says what it needs, and Next what can be done.
	Why  string    `json:"why"`
	Next string    `json:"next"`
	Pos  parse.Pos `json:"pos"`

	stage, job string // of a job or stage; lower-case
}

// Choose narrows a plan to the jobs and steps that are named, and to what can run without a
// server; it changes the plan. A job is named "Job", "Stage.Job", or "Stage.Job.leg" for one
// leg of its matrix, a step by its name or title; no names mean all of them. What a chosen
// job or step depends on does not run, unless it is chosen too, and conditions of what was
// chosen by name do not count: who names it wants it.
func Choose(p *plan.Plan, jobs, steps []string) (Choice, error) {
	if err := chooseJobs(p, jobs); err != nil {
		return Choice{}, err
	}
	if err := chooseSteps(p, steps); err != nil {
		return Choice{}, err
	}
	var c Choice
	for i := range p.Stages {
		c.stage(&p.Stages[i], len(jobs) > 0)
	}
	return c, nil
}

// wanted is the condition of what was chosen by name: only the end of the run speaks
// against it.
const wanted = "not(canceled())"

// chooseJobs removes the jobs that are not named.
func chooseJobs(p *plan.Plan, names []string) error {
	if len(names) == 0 {
		return nil
	}
	var known, near []string
	met := map[string]bool{}
	var stages []plan.Stage
	for _, stage := range p.Stages {
		var kept []plan.Job
		for _, job := range stage.Jobs {
			known, near = append(known, Label(stage.Name, job.Name, "")), append(near, job.Name, stage.Name+"."+job.Name)
			if one, ok := chooseJob(stage.Name, job, names, met); ok {
				kept = append(kept, one)
			}
		}
		if len(kept) > 0 {
			stage.Jobs, stage.Condition, stage.Manual = kept, wanted, false
			stages = append(stages, stage)
		}
	}
	for _, name := range names {
		if !met[name] {
			return none("job", name, known, near)
		}
	}
	p.Stages = stages
	for i := range p.Stages {
		s := &p.Stages[i]
		s.DependsOn = slices.DeleteFunc(slices.Clone(s.DependsOn), func(n string) bool { return p.Stage(n) == nil })
		for k := range s.Jobs {
			s.Jobs[k].DependsOn = slices.DeleteFunc(slices.Clone(s.Jobs[k].DependsOn), func(n string) bool { return s.Job(n) == nil })
		}
	}
	return nil
}

// chooseJob returns the job as far as it is named, and notes the names that it has met.
func chooseJob(stage string, job plan.Job, names []string, met map[string]bool) (plan.Job, bool) {
	found := false
	var legs []plan.Leg
	for _, name := range names {
		switch {
		case strings.EqualFold(name, job.Name), strings.EqualFold(name, stage+"."+job.Name):
			found, met[name] = true, true
			if job.Matrix != nil {
				legs = append(legs, job.Matrix.Legs...)
			}
		case job.Matrix != nil:
			for _, leg := range job.Matrix.Legs {
				if strings.EqualFold(name, stage+"."+job.Name+"."+leg.Name) || strings.EqualFold(name, job.Name+"."+leg.Name) {
					found, met[name] = true, true
					legs = append(legs, leg)
				}
			}
		}
	}
	if !found {
		return job, false
	}
	job.Condition = wanted
	if job.Matrix != nil && len(job.Matrix.Legs) > 0 {
		m := *job.Matrix
		m.Legs = slices.DeleteFunc(slices.Clone(m.Legs), func(l plan.Leg) bool {
			return !slices.ContainsFunc(legs, func(x plan.Leg) bool { return x.Name == l.Name })
		})
		job.Matrix = &m
	}
	return job, true
}

// chooseSteps disables the steps that are not named, checkouts and downloads that the file
// does not hold excepted: without its sources a step has nothing to work on.
func chooseSteps(p *plan.Plan, names []string) error {
	if len(names) == 0 {
		return nil
	}
	var known []string
	met := map[string]bool{}
	for i := range p.Stages {
		for k := range p.Stages[i].Jobs {
			job := &p.Stages[i].Jobs[k]
			for _, s := range stepsOf(job) {
				if strings.EqualFold(s.Task, plan.TaskCheckout) {
					continue
				}
				known = append(known, firstOf(s.Name, s.DisplayName))
				chosen := false
				for _, name := range names {
					if strings.EqualFold(name, s.Name) || strings.EqualFold(name, s.DisplayName) || strings.EqualFold(name, s.ID) {
						chosen, met[name] = true, true
					}
				}
				switch {
				case chosen:
					s.Enabled, s.Condition = true, wanted
				default:
					s.Enabled = false
				}
			}
		}
	}
	for _, name := range names {
		if !met[name] {
			return none("step", name, known, known)
		}
	}
	return dropIdle(p)
}

// dropIdle removes the jobs that have nothing to do but check out.
func dropIdle(p *plan.Plan) error {
	var names []string
	for _, stage := range p.Stages {
		for k := range stage.Jobs {
			if slices.ContainsFunc(stepsOf(&stage.Jobs[k]), func(s *plan.Step) bool { return s.Enabled && !strings.EqualFold(s.Task, plan.TaskCheckout) }) {
				names = append(names, stage.Name+"."+stage.Jobs[k].Name)
			}
		}
	}
	return chooseJobs(p, names)
}

// none is the error for a name that nothing has.
func none(kind, name string, known, near []string) error {
	message := fmt.Sprintf("The pipeline has no %s %q", kind, name)
	if hint := validate.Nearest(name, near); hint != "" {
		message += hint
	} else {
		message += "."
	}
	err := fault.New(fault.NotFound, "%s", message)
	slices.Sort(known)
	return err.WithNext("it has: %s", strings.Join(slices.Compact(known), ", "))
}

// stage looks for what needs a server.
func (c *Choice) stage(s *plan.Stage, named bool) {
	if s.Manual && !named {
		c.LeftOut = append(c.LeftOut, LeftOut{
			What: "stage " + s.Name, Why: "it is started by hand", Next: "run its jobs with --job " + s.Name + ".JOB", Pos: s.Pos, stage: strings.ToLower(s.Name),
		})
		return
	}
	for i := range s.Jobs {
		job := &s.Jobs[i]
		if job.Kind == plan.KindDeployment {
			c.LeftOut = append(c.LeftOut, LeftOut{
				What: "job " + Label(s.Name, job.Name, ""), Why: "a deployment needs an environment, which a server has", Next: "push the file; the run of the push deploys",
				Pos: job.Pos, stage: strings.ToLower(s.Name), job: strings.ToLower(job.Name),
			})
			continue
		}
		for _, step := range stepsOf(job) {
			if step.Enabled && agent.NeedsServer(step.Task) {
				step.Enabled = false
				c.LeftOut = append(c.LeftOut, LeftOut{What: strings.TrimSpace("step " + Label(s.Name, job.Name, "") + " " + step.DisplayName), Why: needs(step.Task), Next: instead(step.Task), Pos: step.Pos})
			}
		}
	}
}

func needs(task string) string { return "the task " + task + " does its work on a server" }

// instead says what to do about a task that needs a server.
func instead(task string) string {
	switch strings.ToLower(task) {
	case "cache@2":
		return "nothing: steps fill their folders themselves"
	case "docker@2":
		return "build the image by hand where later steps need it, or push the file"
	}
	return "push the file; the run of the push does it"
}

// skips are the stages that are left out as a whole.
func (c Choice) skips() []string {
	var out []string
	for _, l := range c.LeftOut {
		if l.stage != "" && l.job == "" {
			out = append(out, l.stage)
		}
	}
	return out
}

// why is why a job is left out, or "".
func (c Choice) why(stage *plan.Stage, job *plan.Job) string {
	for _, l := range c.LeftOut {
		if l.job != "" && strings.EqualFold(l.stage, stage.Name) && strings.EqualFold(l.job, job.Name) {
			return "not in a local run: " + l.Why
		}
	}
	return ""
}

// Label names a job for people: without the stage and job that a file does not have, so
// that it may be empty.
func Label(stage, job, leg string) string {
	var parts []string
	for _, p := range []string{stage, job, leg} {
		if p != "" && p != plan.ImplicitStage && p != plan.ImplicitJob {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ".")
}

// stepsOf are all steps that a job may run.
func stepsOf(job *plan.Job) []*plan.Step {
	var out []*plan.Step
	for i := range job.Steps {
		out = append(out, &job.Steps[i])
	}
	if job.Strategy != nil {
		for h := range job.Strategy.Hooks {
			for i := range job.Strategy.Hooks[h].Steps {
				out = append(out, &job.Strategy.Hooks[h].Steps[i])
			}
		}
	}
	return out
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
