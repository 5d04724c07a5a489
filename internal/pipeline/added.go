package pipeline

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/gallery"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// tasksOf is the catalog of the run's project, the same for one whole transaction: the
// steps of a job and what its agent is told must agree.
func (sc *schedule) tasksOf() (*gallery.Catalog, error) {
	if sc.catalog == nil {
		c, err := sc.s.gallery.Catalog(sc.ctx, sc.tx, sc.run.Project)
		if err != nil {
			return nil, err
		}
		sc.catalog = c
	}
	return sc.catalog, nil
}

// numbered gives the steps of a phase their numbers and their tasks' default inputs, and
// puts the stages of added tasks around them: what they do before the job in the order of
// the steps, what they do after it in reverse, whatever has failed (K004).
func numbered(c *gallery.Catalog, steps []plan.Step, first int) []protocol.Step {
	var before, after []protocol.Step
	own := make([]protocol.Step, 0, len(steps))
	for _, step := range steps {
		name, major, _ := strings.Cut(step.Task, "@")
		if n, err := strconv.Atoi(major); err == nil {
			if task, ok := c.Task(name, n); ok {
				step.Inputs = task.WithDefaults(step.Inputs)
			}
		}
		own = append(own, protocol.Step{Step: step})
		task, ok := c.Added(step.Task)
		if !ok || !step.Enabled {
			continue
		}
		at := len(own) // counted from 1 among the steps, until their numbers are known
		if len(task.Stages[protocol.StagePre]) > 0 {
			before = append(before, around(step, protocol.StagePre, at))
		}
		if len(task.Stages[protocol.StagePost]) > 0 {
			after = append(after, around(step, protocol.StagePost, at))
		}
	}
	slices.Reverse(after)
	offset := first + len(before) - 1
	out := slices.Concat(before, own, after)
	for i := range out {
		out[i].Number = first + i
		if out[i].Of > 0 {
			out[i].Of += offset
		}
	}
	return out
}

// around is the step that runs another stage of a step's task.
func around(step plan.Step, stage string, of int) protocol.Step {
	title := map[string]string{protocol.StagePre: "Pre-job: ", protocol.StagePost: "Post-job: "}[stage]
	step.DisplayName, step.Name, step.ID = title+step.DisplayName, "", step.ID+"_"+stage
	step.Condition, step.Retries, step.Implicit = plan.DefaultCondition, 0, true
	if stage == protocol.StagePost {
		step.Condition = "always()"
	}
	return protocol.Step{Step: step, Stage: stage, Of: of}
}

// addedTasks are what an agent needs of the added tasks of a job.
func addedTasks(c *gallery.Catalog, phases []protocol.Phase) []protocol.Added {
	var out []protocol.Added
	known := map[string]bool{}
	for _, phase := range phases {
		for _, st := range phase.Steps {
			if task, ok := c.Added(st.Task); ok && st.Enabled && !known[task.Digest] {
				known[task.Digest] = true
				out = append(out, task)
			}
		}
	}
	return out
}

// serveAdded gives a job the files of an added task that one of its steps runs.
func (s *Service) serveAdded(w http.ResponseWriter, r *http.Request) error {
	row, err := s.job(r)
	if err != nil {
		return err
	}
	job, err := s.spec(r.Context(), row.id)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(job.Added, func(t protocol.Added) bool { return t.Digest == r.PathValue("digest") })
	if at < 0 {
		return fault.New(fault.NotFound, "No step of the job runs such a task.")
	}
	task := job.Added[at]
	files, err := s.gallery.Open(r.Context(), task.Digest)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "The task %s %s was removed after the run began.", task.Task, task.Version).WithNext("start a new run, or add the task again: towpath task add DIR|VSIX")
	}
	if err != nil {
		return fmt.Errorf("reading task %s: %w", task.Task, err)
	}
	defer files.Close()
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Length", strconv.FormatInt(task.Bytes, 10))
	_, _ = io.Copy(w, files) // that the agent is gone is its own trouble
	return nil
}
