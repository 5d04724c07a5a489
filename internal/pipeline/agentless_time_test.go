package pipeline_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// timedHall is a world without any agent whose time a test moves.
func timedHall(t *testing.T, change ...func(*world)) (*world, *shifted) {
	t.Helper()
	c := &shifted{Clock: clock.System()}
	return newWorld(t, append(change, func(w *world) { w.clock, w.outside = c, &callee{} })...), c
}

// waiting waits until a step of the one job runs.
func (w *world) waiting(commit string, step int) *pipeline.Detail {
	w.t.Helper()
	return w.wait(commit, func(d *pipeline.Detail) bool {
		return len(d.Stages) > 0 && len(d.Stages[0].Jobs) > 0 && len(d.Stages[0].Jobs[0].Steps) > step && d.Stages[0].Jobs[0].Steps[step].Status == plan.Running
	})
}

const slow = `
jobs:
- job: slow
  pool: server
  timeoutInMinutes: %d
  steps:
  - task: Delay@1
    timeoutInMinutes: %d
    inputs: {delayForMinutes: 30}
  - task: Delay@1
    condition: succeeded()
    inputs: {delayForMinutes: 0}
`

// TestTimeOfJobsWithoutAnAgentK030 waits as long as a step says and no longer, and ends steps and
// jobs that are out of time; a restart in the middle begins nothing anew.
func TestTimeOfJobsWithoutAnAgentK030(t *testing.T) {
	for _, tt := range []struct {
		name      string
		job, step int // time-outs
		minutes   int // when it is over
		restart   bool
		result    plan.Result
		why       string
	}{
		{"K030 a delay", 0, 0, 30, false, plan.Succeeded, ""},
		{"K030 a delay over a restart", 0, 0, 30, true, plan.Succeeded, ""},
		{"K030 the time-out of a step", 0, 20, 20, false, plan.Failed, "the step ran longer than its time-out of 20 minutes"},
		{"K030 the time-out of a job", 10, 0, 10, false, plan.Failed, "the job ran longer than its time-out of 10 minutes"},
		{"K030 the time-out of a job over a restart", 10, 0, 10, true, plan.Failed, "the job ran longer than its time-out of 10 minutes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, c := timedHall(t)
			commit := w.pipeline(fmt.Sprintf(slow, tt.job, tt.step))
			w.waiting(commit, 0)
			c.forward(time.Duration(tt.minutes)*time.Minute - time.Minute)
			if tt.restart {
				w.down()
				w.up()
			}
			if err := w.svc.RunServerJobs(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d := w.waiting(commit, 0); d.Status == plan.Completed {
				t.Fatalf("it is over a minute early: %s, %s", d.Result, d.Why)
			}
			c.forward(2 * time.Minute)
			if d := w.wait(commit, over); d.Result != tt.result || !strings.Contains(d.Why, tt.why) {
				t.Errorf("%s: %s", d.Result, d.Why)
			}
		})
	}
}

// TestNobodyAnswersInTimeC015 ends a validation as onTimeout says, also when the server was down
// as its time came.
func TestNobodyAnswersInTimeC015(t *testing.T) {
	for _, tt := range []struct {
		name, onTimeout string
		restart         bool
		result          plan.Result
		says            string
	}{
		{"C015 reject", "reject", false, plan.Failed, "nobody answered in time, and onTimeout says reject"},
		{"C015 resume", "resume", false, plan.Succeeded, "Nobody answered in time; onTimeout says resume"},
		{"C015 resume after a restart", "resume", true, plan.Succeeded, "Nobody answered in time; onTimeout says resume"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, c := timedHall(t)
			commit := w.pipeline(fmt.Sprintf(validated, 5, tt.onTimeout))
			q := w.question(commit)
			c.forward(4 * time.Minute)
			if err := w.svc.RunServerJobs(t.Context()); err != nil {
				t.Fatal(err)
			}
			if again := w.question(commit); again.Entry.Entry != q.Entry.Entry {
				t.Fatalf("it is asked again: %+v", again)
			}
			if tt.restart {
				w.down()
			}
			c.forward(2 * time.Minute)
			if tt.restart {
				w.up()
			}
			d := w.wait(commit, over)
			w.until("the log of the step", func() bool { return strings.Contains(w.everything(d), tt.says) })
			if d.Result != tt.result {
				t.Errorf("%s: %s", d.Result, d.Why)
			}
		})
	}
}

func TestCancellingADelayK030(t *testing.T) {
	w, _ := timedHall(t)
	commit := w.pipeline(fmt.Sprintf(slow, 0, 0))
	d := w.waiting(commit, 0)
	w.down()
	w.up()
	if err := w.svc.Cancel(t.Context(), ada, d.Number); err != nil {
		t.Fatal(err)
	}
	if d := w.wait(commit, over); d.Result != plan.Canceled || d.Stages[0].Jobs[0].Steps[0].Result != plan.Canceled {
		t.Errorf("%s: %+v", d.Result, d.Stages[0].Jobs[0].Steps)
	}
}

// crier hears what people are asked.
type crier struct {
	mu    sync.Mutex
	heard []pipeline.Question
}

func (c *crier) Ask(_ context.Context, q pipeline.Question) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, q)
	return nil
}

func (c *crier) all() []pipeline.Question {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]pipeline.Question(nil), c.heard...)
}

// TestPeopleAreToldC015 tells those of notifyUsers of a question.
func TestPeopleAreToldC015(t *testing.T) {
	heard := &crier{}
	w, _ := timedHall(t, func(w *world) { w.herald = heard })
	commit := w.pipeline(fmt.Sprintf(validated, 0, "reject"))
	q := w.question(commit)
	w.until("somebody being told", func() bool { return len(heard.all()) > 0 })
	got := heard.all()[0]
	if got.Project != "shop" || got.Run != q.Run || got.Entry != q.Entry.Entry || got.Title != "Is it good?" || !strings.HasPrefix(got.Text, "Look at ") || strings.Join(got.Asked, " ") != "user:ada" {
		t.Errorf("%+v", got)
	}
}
