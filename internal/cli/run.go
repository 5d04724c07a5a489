package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api/client"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

func (e *env) runs() *cobra.Command {
	list := e.inProject(&cobra.Command{
		Use: "list", Short: "List runs, newest first", Args: cobra.NoArgs, Example: "  towpath run list --project shop",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := e.projectPath("/runs")
			if err != nil {
				return err
			}
			got, err := fetch[[]pipeline.Run](c.Context(), e, path, nil)
			if err != nil {
				return err
			}
			return e.print(got, func() table {
				t := table{
					head: []string{"run", "result", "commit", "name", "ref", "by", "queued", "took"},
					none: "No runs yet. A push with an " + pipeline.File + " starts one.",
				}
				for _, r := range got {
					t.rows = append(t.rows, []string{
						fmt.Sprint(r.Number), state(r.Status, r.Result), short(r.Commit), r.Label, strings.TrimPrefix(r.Ref, "refs/heads/"),
						r.Requester, ago(r.Queued), took(r.Started, r.Finished),
					})
				}
				return t
			})
		},
	})
	show := &cobra.Command{
		Use: "show RUN", Short: "Show a run: stages, jobs, steps, tests", Args: cobra.ExactArgs(1), Example: "  towpath run show 7",
		RunE: func(c *cobra.Command, args []string) error {
			client, err := e.client()
			if err != nil {
				return err
			}
			got, err := runDetail(c.Context(), client, args[0])
			if err != nil {
				return err
			}
			// Which tests failed, and with what words, is not part of the run itself.
			if slices.ContainsFunc(got.Tests, func(t pipeline.TestRun) bool { return t.Failed > 0 }) {
				if err := client.Get(c.Context(), fmt.Sprintf("/runs/%d/tests", got.Number), nil, &got.Tests); err != nil {
					return err
				}
			}
			return e.print(got, func() table { return runTable(got) })
		},
	}
	var follow bool
	var job string
	var attempt int
	logs := &cobra.Command{
		Use: "logs RUN", Short: "Print the log of a run; with -f as it comes, until the run ends", Args: cobra.ExactArgs(1),
		Example: "  towpath run logs 7\n  towpath run logs -f 7\n  towpath run logs 7 --job Build.Go\n  towpath run logs 7 --job Build.Go --attempt 1",
		RunE: func(c *cobra.Command, args []string) error {
			client, err := e.client()
			if err != nil {
				return err
			}
			if attempt > 0 {
				return e.attemptLogs(c.Context(), client, args[0], job, attempt)
			}
			return e.runLogs(c.Context(), client, args[0], job, follow)
		},
	}
	logs.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the run ends; exit 1 when it failed")
	logs.Flags().StringVar(&job, "job", "", "only this job, STAGE.JOB")
	logs.Flags().IntVar(&attempt, "attempt", 0, "of an attempt before the last, from 1")
	return noun("run", "Runs of pipelines", list, show, logs, e.cancelRun(), e.rerun(), e.runAttachment(), e.retryStage(), e.keepRun(), e.unkeepRun(), e.attachRun(), e.releaseRun(), e.onStage("start", "Start a manual stage"),
		e.onStage("skip", "Leave out a stage that has not started"))
}

func (e *env) cancelRun() *cobra.Command {
	return &cobra.Command{
		Use: "cancel RUN", Short: "Cancel a run", Args: cobra.ExactArgs(1), Example: "  towpath run cancel 7",
		RunE: func(c *cobra.Command, args []string) error {
			n, err := runNumber(args[0])
			if err != nil {
				return err
			}
			client, err := e.client()
			if err != nil {
				return err
			}
			if err := client.Do(c.Context(), http.MethodPost, fmt.Sprintf("/runs/%d/cancel", n), nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(e.err, "run %d is being cancelled\n", n)
			return nil
		},
	}
}

func runNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(s, "run/"), 10, 64)
	if err != nil || n < 1 {
		return 0, fault.New(fault.Invalid, "%q is no number of a run.", s).WithNext("list them with `towpath run list`")
	}
	return n, nil
}

func runDetail(ctx context.Context, c *client.Client, arg string) (pipeline.Detail, error) {
	var got pipeline.Detail
	n, err := runNumber(arg)
	if err != nil {
		return got, err
	}
	err = c.Get(ctx, fmt.Sprintf("/runs/%d", n), nil, &got)
	return got, err
}

// state is one word for where a run, job or step is.
func state(s plan.Status, r plan.Result) string {
	if r != "" {
		return strings.ToLower(string(r[:1])) + string(r[1:])
	}
	return strings.ToLower(string(s))
}

func took(start, end time.Time) string {
	switch {
	case start.IsZero():
		return "-"
	case end.IsZero():
		return span(time.Since(start)) + "…"
	}
	return span(end.Sub(start))
}

// attemptOf says which attempt it is, when it is not the first.
func attemptOf(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(" (attempt %d)", n)
}

func runTable(r pipeline.Detail) table {
	t := table{rows: [][]string{
		{fmt.Sprintf("run %d", r.Number), state(r.Status, r.Result), took(r.Started, r.Finished), r.Label},
		{"commit", r.Commit, "", r.Ref},
	}}
	if r.Kept != "" {
		t.rows = append(t.rows, []string{"kept", r.Kept, "", ""})
	}
	if r.TriggeredBy > 0 {
		t.rows = append(t.rows, []string{"started by", fmt.Sprintf("run %d", r.TriggeredBy), "", r.Reason})
	}
	if r.Why != "" {
		t.rows = append(t.rows, []string{"why", r.Why, "", ""})
	}
	for _, s := range r.Stages {
		t.rows = append(t.rows, []string{grouped(s) + attemptOf(s.Attempt), state(s.Status, s.Result), took(s.Started, s.Finished), s.Why})
		for _, j := range s.Jobs {
			t.rows = append(t.rows, []string{"  " + j.Path + attemptOf(j.Attempt), state(j.Status, j.Result), took(j.Started, j.Finished), j.Why})
			if j.Kept != nil {
				t.rows = append(t.rows, []string{"    kept by " + j.Kept.By, "until " + j.Kept.Until.Local().Format("15:04"), "", fmt.Sprintf("towpath run attach %d %s", r.Number, j.Path)})
			}
			for i, p := range j.Steps {
				if head := j.Heading(i); head != "" {
					t.rows = append(t.rows, []string{"    " + head, "", "", ""})
				}
				t.rows = append(t.rows, []string{fmt.Sprintf("    %d %s", p.Number, p.DisplayName), state(p.Status, p.Result), took(p.Started, p.Finished), progress(p)})
			}
		}
	}
	for _, u := range r.Terminals {
		t.rows = append(t.rows, []string{"terminal", u.By, took(u.Opened, u.Closed), u.Job})
	}
	for _, x := range r.Tests {
		t.rows = append(t.rows, []string{"tests", fmt.Sprintf("%d of %d passed", x.Passed, x.Total), "", x.Title})
		for _, f := range x.Failures {
			outcome := "  failed"
			if f.Flaky {
				outcome = "  flaky"
			}
			t.rows = append(t.rows, []string{outcome, f.Suite + "/" + f.Name, "", f.Message})
		}
	}
	for _, a := range r.Artifacts {
		t.rows = append(t.rows, []string{"artifact", a.Name, size(a.Bytes), ""})
	}
	t.rows = append(t.rows, extraRows(r)...)
	return t
}

// runLogs prints the steps one after the other, in the order in which they stand in the
// run, each as far as it goes.
func (e *env) runLogs(ctx context.Context, c *client.Client, arg, only string, follow bool) error {
	next := map[string]int64{} // "job/step" → next line
	done := map[string]bool{}
	for {
		r, err := runDetail(ctx, c, arg)
		if err != nil {
			return err
		}
		moved := false
		for _, s := range r.Stages {
			for _, j := range s.Jobs {
				if only != "" && j.Path != only {
					continue
				}
				for _, p := range j.Steps {
					key := fmt.Sprintf("%s/%d", j.Path, p.Number)
					if done[key] || p.Status == plan.Pending {
						continue
					}
					over, n, err := e.stepLog(ctx, c, r.Number, j.Path, p, next, key, follow)
					if err != nil {
						return err
					}
					done[key], moved = over, moved || n > 0
				}
			}
		}
		if r.Status == plan.Completed && !moved {
			return verdictOf(r, follow)
		}
		if !follow && !moved {
			return nil
		}
		if !moved {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(150 * time.Millisecond):
			}
		}
	}
}

func verdictOf(r pipeline.Detail, follow bool) error {
	if !follow || r.Result == plan.Succeeded || r.Result == plan.SucceededWithIssues {
		return nil
	}
	return fault.New(fault.Conflict, "Run %d ended: %s. %s", r.Number, state(r.Status, r.Result), r.Why).
		WithNext("look at it with `towpath run show %d`", r.Number)
}

// stepLog prints what there is of a step's log from the next line on.
func (e *env) stepLog(ctx context.Context, c *client.Client, run int64, job string, p pipeline.Step, next map[string]int64, key string, follow bool) (over bool, printed int, err error) {
	for {
		q := url.Values{"job": {job}, "step": {strconv.Itoa(p.Number)}, "from": {strconv.FormatInt(next[key], 10)}, "limit": {"5000"}}
		if follow && next[key] > 0 {
			q.Set("wait", "2")
		}
		var page pipeline.LogPage
		if err := c.Get(ctx, fmt.Sprintf("/runs/%d/log", run), q, &page); err != nil {
			return false, printed, err
		}
		if next[key] == 0 && len(page.Lines) > 0 {
			if _, err := fmt.Fprintf(e.out, "== %s · %s\n", job, p.DisplayName); err != nil {
				return false, printed, err
			}
		}
		for _, l := range page.Lines {
			if _, err := fmt.Fprintln(e.out, clean([]string{l.Text})[0]); err != nil {
				return false, printed, err
			}
			next[key] = l.N + 1
			printed++
		}
		if page.Over && next[key] >= page.Total {
			return true, printed, nil
		}
		if len(page.Lines) == 0 {
			return false, printed, nil
		}
	}
}

// grouped is the name of a stage behind the group that it stands in.
func grouped(s pipeline.Stage) string {
	if s.Group == "" {
		return s.DisplayName
	}
	return s.Group + "/" + s.DisplayName
}
