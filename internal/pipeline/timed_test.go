package pipeline_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// shifted is the system's clock moved by an amount that a test changes.
type shifted struct {
	clock.Clock
	by atomic.Int64
}

func (c *shifted) Now() time.Time { return c.Clock.Now().Add(time.Duration(c.by.Load())) }

func (c *shifted) forward(d time.Duration) { c.by.Add(int64(d)) }

// runs are the runs of the repository with a reason, oldest first.
func (w *world) runs(reason string) []pipeline.Run {
	w.t.Helper()
	list, err := w.svc.Runs(context.Background(), ada, pipeline.Filter{Repo: repoName})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []pipeline.Run
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Reason == reason {
			out = append(out, list[i])
		}
	}
	return out
}

// until waits for something that is to happen.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatalf("%s does not happen", what)
}

func (w *world) ends(n int64) *pipeline.Detail {
	w.t.Helper()
	var d *pipeline.Detail
	w.until("the end of the run", func() bool {
		var err error
		if d, err = w.svc.Show(context.Background(), ada, n); err != nil {
			w.t.Fatal(err)
		}
		return d.Status == plan.Completed
	})
	return d
}

const nightly = `
trigger: none
schedules:
- cron: 0 3 * * *
  displayName: Nightly build
  branches: {exclude: [release/*]}
- cron: 30 4 * * *
  displayName: Of other branches
  branches: {include: [release/*]}
steps:
- checkout: none
- bash: echo "reason=$BUILD_REASON by=$BUILD_CRONSCHEDULE_DISPLAYNAME for=$BUILD_REQUESTEDFOR"
`

func TestX020SchedulesRunWhenSomethingChanged(t *testing.T) {
	c := &shifted{Clock: clock.System()}
	w := newWorld(t, func(w *world) { w.clock = c })
	w.agent()
	w.pipeline(nightly)
	scheduled := func(n int) {
		t.Helper()
		w.until("a scheduled run", func() bool { return len(w.runs("Schedule")) >= n })
	}
	w.until("the schedule is known", func() bool { return w.rowsOf("pipeline_schedule") == 1 })
	c.forward(24 * time.Hour)
	scheduled(1)
	d := w.ends(w.runs("Schedule")[0].Number)
	if log := w.everything(d); !strings.Contains(log, "reason=Schedule by=Nightly build for=towpath") {
		t.Errorf("the log is:\n%s", log)
	}
	// Nothing changed: the next night is quiet.
	c.forward(24 * time.Hour)
	w.until("the next time", func() bool { return w.dueAfter(c.Now()) })
	if n := len(w.runs("Schedule")); n != 1 {
		t.Errorf("%d scheduled runs of one commit", n)
	}
	// A new commit, and a schedule that asks for every night.
	w.pipeline(strings.Replace(nightly, "displayName: Nightly", "always: true\n  displayName: Nightly", 1))
	w.until("the push is seen", func() bool { return w.alwaysRuns() })
	for n := 2; n <= 3; n++ {
		c.forward(24 * time.Hour)
		scheduled(n)
		w.ends(w.runs("Schedule")[n-1].Number)
	}
}

func (w *world) number(query string, args ...any) (n int64) {
	w.t.Helper()
	if err := w.db.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) rowsOf(table string) int64 { return w.number(`SELECT COUNT(*) FROM ` + table) }

func (w *world) dueAfter(now time.Time) bool {
	return w.number(`SELECT COUNT(*) FROM pipeline_schedule WHERE due <= ?`, now.UnixMilli()) == 0
}

func (w *world) alwaysRuns() bool {
	return w.number(`SELECT COUNT(*) FROM pipeline_schedule WHERE always = 1`) == 1
}

func TestX020AScheduleThatNoClockKnowsIsRefused(t *testing.T) {
	w := newWorld(t)
	if why := w.refusal(w.pipeline(strings.Replace(nightly, "0 3 * * *", "0 25 * * *", 1))); !strings.Contains(why, "hours of a schedule") {
		t.Errorf("refused: %s", why)
	}
}

const batched = `
trigger:
  batch: true
  branches: {include: [main]}
  paths: {exclude: [docs]}
steps:
- checkout: none
- bash: while [ ! -e MARK ]; do sleep 0.1; done
`

// TestX021BatchesCollect starts a run, pushes twice while it goes on, and looks for one run
// of what was pushed.
func TestX021BatchesCollect(t *testing.T) {
	w := newWorld(t)
	w.agent()
	mark := w.dir + "/mark"
	file := strings.ReplaceAll(batched, "MARK", mark)
	first := w.pipeline(file)
	w.wait(first, func(d *pipeline.Detail) bool { return d.Status == plan.Running })
	second := w.pipeline(file)
	w.until("the second push is kept", func() bool { return w.rowsOf("pipeline_batch") == 1 })
	third := w.pipeline(file)
	w.until("the third push is kept", func() bool {
		return w.number(`SELECT COUNT(*) FROM pipeline_batch WHERE push LIKE ?`, "%"+third+"%") == 1
	})
	w.run(w.dir, "init", "--quiet", mark)
	d := w.wait(third, over)
	if d.Reason != "BatchedCI" || d.Result != plan.Succeeded {
		t.Errorf("the batch ran as %s and ended %s", d.Reason, d.Result)
	}
	for _, r := range w.runs("BatchedCI") {
		if r.Commit == second {
			t.Error("the push in the middle has a run of its own")
		}
	}
	if n := w.rowsOf("pipeline_batch"); n != 0 {
		t.Errorf("%d batches are left", n)
	}
}

// TestX021TagsAndSkips pushes what starts nothing and what does.
func TestX021TagsAndSkips(t *testing.T) {
	w := newWorld(t)
	file := "trigger:\n  branches: {include: [release/*]}\n  tags: {include: ['v*'], exclude: ['*-rc*']}\nsteps: [{checkout: none}]\n"
	commit := w.pipeline(file) // main is not among the branches
	say := func(ref, title string) {
		t.Helper()
		if err := w.db.Tx(t.Context(), func(tx *store.Tx) error {
			return w.log.Append(t.Context(), tx, event.Fact{
				Type: event.TypeCommitPushed, Subject: event.Of(event.KindCommit, commit), Project: "shop", Actor: identity.KindUser + ":ada",
				Payload: event.CommitPushed{V: 1, Repo: repoName, Ref: ref, Before: strings.Repeat("0", 40), Commit: commit, Title: title},
			})
		}); err != nil {
			t.Fatal(err)
		}
	}
	say("refs/tags/v1-rc1", "a candidate")
	say("refs/tags/v1", "not now [skip ci]")
	say("refs/tags/other", "another tag")
	say("refs/tags/v2", "a release")
	say("refs/heads/release/2", "a branch")
	w.until("two runs", func() bool { return len(w.runs("IndividualCI")) >= 2 })
	var refs []string
	for _, r := range w.runs("IndividualCI") {
		refs = append(refs, r.Ref)
	}
	if got := strings.Join(refs, " "); !strings.Contains(got, "refs/tags/v2") || !strings.Contains(got, "refs/heads/release/2") || len(refs) != 2 {
		t.Errorf("runs of %s", got)
	}
}
