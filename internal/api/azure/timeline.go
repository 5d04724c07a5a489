package azure

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// record is a line of a timeline: a stage, a phase, a job or a task.
type record struct {
	ID         string     `json:"id"`
	ParentID   *string    `json:"parentId"`
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Identifier string     `json:"identifier,omitempty"`
	RefName    string     `json:"refName,omitempty"`
	StartTime  *time.Time `json:"startTime"`
	FinishTime *time.Time `json:"finishTime"`
	State      string     `json:"state"`
	Result     *string    `json:"result"`
	Order      int        `json:"order"`
	Attempt    int        `json:"attempt"`
	WorkerName string     `json:"workerName,omitempty"`
	Log        *ref       `json:"log"`
	Issues     []issue    `json:"issues,omitempty"`
}

// issue is an error of a record.
type issue struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// guid is a stable identifier in the form that clients expect, made of a path in a run.
func guid(run int64, path string) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%d\x00%s", run, path))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// entry is a step with the number of its log.
type entry struct {
	log  int
	job  string
	step pipeline.Step
}

// entries are the steps of a run in their order; the number of a log is its place among them.
func entries(d *pipeline.Detail) []entry {
	var out []entry
	for _, st := range d.Stages {
		for _, j := range st.Jobs {
			for _, step := range j.Steps {
				out = append(out, entry{len(out) + 1, j.Path, step})
			}
		}
	}
	return out
}

func (s *server) timeline(c *call) (any, error) {
	d, err := s.detail(c, "id")
	if err != nil {
		return nil, err
	}
	t := &timeline{s: s, d: d, logs: map[string]int{}, phases: map[string]bool{}}
	for _, e := range entries(d) {
		t.logs[fmt.Sprintf("%s/%d", e.job, e.step.Number)] = e.log
	}
	for i, st := range d.Stages {
		t.stage(i+1, st)
	}
	return map[string]any{
		"id": guid(d.Number, "timeline"), "changeId": len(t.records), "lastChangedOn": moment(d.Finished), "records": t.records,
		"url": s.path(d.Project, fmt.Sprintf("build/builds/%d/timeline", d.Number)),
	}, nil
}

// timeline is one while it is made.
type timeline struct {
	s       *server
	d       *pipeline.Detail
	logs    map[string]int // by "job/step"
	phases  map[string]bool
	records []record
}

func (t *timeline) add(parent, path string, r record, result plan.Result, why string) string {
	r.ID = guid(t.d.Number, path)
	if parent != "" {
		r.ParentID = &parent
	}
	if result != "" {
		word := lower(string(result))
		r.Result = &word
	}
	if why != "" && (result == plan.Failed || result == plan.SucceededWithIssues) {
		r.Issues = []issue{{"error", why}}
	}
	t.records = append(t.records, r)
	return r.ID
}

func (t *timeline) stage(order int, st pipeline.Stage) {
	at := t.add("", st.Name, record{
		Type: "Stage", Name: st.DisplayName, Identifier: st.Name, RefName: st.Name, StartTime: moment(st.Started), FinishTime: moment(st.Finished),
		State: state(st.Status), Order: order, Attempt: st.Attempt,
	}, st.Result, st.Why)
	for i, j := range st.Jobs {
		path := st.Name + "." + j.Name
		if !t.phases[path] { // The legs of a job share one.
			t.phases[path] = true
			t.add(at, "phase "+path, record{Type: "Phase", Name: j.DisplayName, Identifier: path, RefName: j.Name, StartTime: moment(j.Started), FinishTime: moment(j.Finished), State: state(j.Status), Order: i + 1, Attempt: j.Attempt}, j.Result, "")
		}
		t.job(guid(t.d.Number, "phase "+path), i+1, j)
	}
}

func (t *timeline) job(parent string, order int, j pipeline.Job) {
	at := t.add(parent, "job "+j.Path, record{
		Type: "Job", Name: j.DisplayName, Identifier: j.Path, RefName: j.Name, StartTime: moment(j.Started), FinishTime: moment(j.Finished),
		State: state(j.Status), Order: order, Attempt: j.Attempt, WorkerName: j.Agent,
	}, j.Result, j.Why)
	for _, st := range j.Steps {
		r := record{
			Type: "Task", Name: st.DisplayName, RefName: st.Name, StartTime: moment(st.Started), FinishTime: moment(st.Finished), State: state(st.Status),
			Order: st.Number, Attempt: j.Attempt,
		}
		if st.Lines > 0 {
			n := t.logs[fmt.Sprintf("%s/%d", j.Path, st.Number)]
			r.Log = &ref{ID: n, Type: "Container", URL: t.s.path(t.d.Project, fmt.Sprintf("build/builds/%d/logs/%d", t.d.Number, n))}
		}
		t.add(at, fmt.Sprintf("step %s/%d", j.Path, st.Number), r, st.Result, st.Why)
	}
}

// logs lists the logs of a run.
func (s *server) logs(c *call) (any, error) {
	d, err := s.detail(c, "id")
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for _, e := range entries(d) {
		if e.step.Lines > 0 {
			out = append(out, map[string]any{
				"id": e.log, "type": "Container", "lineCount": e.step.Lines, "createdOn": moment(e.step.Started), "lastChangedOn": moment(e.step.Finished),
				"url": s.path(d.Project, fmt.Sprintf("build/builds/%d/logs/%d", d.Number, e.log)),
			})
		}
	}
	return list(out), nil
}

// logText answers with the lines of a log, from startLine to endLine, which count from 1: as
// text, or as a list for who accepts JSON.
func (s *server) logText(c *call) (any, error) {
	d, err := s.detail(c, "id")
	if err != nil {
		return nil, err
	}
	n, err := c.number("log")
	if err != nil {
		return nil, err
	}
	all := entries(d)
	if n > int64(len(all)) {
		return nil, fault.New(fault.NotFound, "The run %d has no log %d.", d.Number, n)
	}
	from, to, err := lines(c.r)
	if err != nil {
		return nil, err
	}
	e := all[n-1]
	asJSON := strings.Contains(c.r.Header.Get("Accept"), "application/json")
	var texts []string
	for next := from; next < to; {
		page, err := s.pipeline.ReadLog(c.ctx, c.actor, d.Number, e.job, e.step.Number, next, int(min(to-next, 5000)))
		if err != nil {
			return nil, err
		}
		for _, l := range page.Lines {
			text := l.Time.UTC().Format("2006-01-02T15:04:05.0000000Z") + " " + l.Text
			if asJSON {
				texts = append(texts, text)
			} else if _, err := fmt.Fprintln(c.w, text); err != nil {
				return written{}, nil // The client is gone.
			}
		}
		if len(page.Lines) == 0 {
			break
		}
		next += int64(len(page.Lines))
	}
	if asJSON {
		return list(texts), nil
	}
	return written{}, nil
}

// maxLogLines bounds the lines of one answer.
const maxLogLines = 1_000_000

// lines reads which lines are asked for, from 0 and without the last.
func lines(r *http.Request) (from, to int64, err error) {
	q := r.URL.Query()
	to = maxLogLines
	if v := q.Get("startLine"); v != "" {
		if from, err = strconv.ParseInt(v, 10, 64); err != nil || from < 0 {
			return 0, 0, fault.New(fault.Invalid, "startLine is a number.")
		}
		from = max(from-1, 0)
	}
	if v := q.Get("endLine"); v != "" {
		if to, err = strconv.ParseInt(v, 10, 64); err != nil || to < 0 {
			return 0, 0, fault.New(fault.Invalid, "endLine is a number.")
		}
	}
	return from, min(to, from+maxLogLines), nil
}
