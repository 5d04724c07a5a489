package insight

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/event"
)

// maxJobs is how many jobs of a run are looked at.
const maxJobs = 200

// runFinished makes a signal of each job that fails on a default branch, and heals those
// that succeed again.
func (f *feed) runFinished(ctx context.Context, p event.RunFinished) error {
	if p.Pull != 0 || p.Result == "canceled" {
		return nil
	}
	run, ok, err := f.defaultRun(ctx)
	if err != nil || !ok {
		return err
	}
	jobs, err := f.jobs(ctx)
	if err != nil {
		return err
	}
	release, err := f.releaseOf(ctx)
	if err != nil {
		return err
	}
	if len(jobs) == 0 && p.Result == "failed" {
		jobs = []event.Job{{Result: "failed", Why: p.Why}}
	}
	for _, j := range jobs {
		switch j.Result {
		case "failed":
			err = f.jobFailed(ctx, run, j, release)
		case "succeeded", "succeededWithIssues":
			err = f.jobSucceeded(ctx, run, j)
		}
		if err != nil {
			return err
		}
	}
	if p.Result == "failed" {
		return nil
	}
	return f.jobSucceeded(ctx, run, event.Job{})
}

// defaultRun returns what the event's run was made of, when that was a default branch.
func (f *feed) defaultRun(ctx context.Context) (event.Run, bool, error) {
	queued, err := f.s.Log.Read(ctx, event.Query{Subject: f.e.Subject, Type: event.TypeRunQueued, Limit: 1})
	if err != nil || len(queued) == 0 {
		return event.Run{}, false, err
	}
	var run event.Run
	if queued[0].Into(&run) != nil || run.Pull != 0 {
		return run, false, nil // What cannot be read is passed over, as in take.
	}
	pushes, err := f.s.Log.Read(ctx, event.Query{Subject: event.Of(event.KindCommit, run.Commit), Type: event.TypeCommitPushed, Limit: 50, Newest: true})
	if err != nil {
		return run, false, err
	}
	return run, slices.ContainsFunc(pushes, func(e event.Event) bool {
		var p event.CommitPushed
		return e.Into(&p) == nil && p.Repo == run.Repo && p.Ref == run.Ref && p.Default
	}), nil
}

// jobs returns how the jobs of the event's run ended, by their last attempt.
func (f *feed) jobs(ctx context.Context) ([]event.Job, error) {
	edges, err := f.s.Log.In(ctx, f.e.Subject, event.RelPartOf, maxJobs)
	if err != nil {
		return nil, err
	}
	var out []event.Job
	for _, k := range edges {
		if k.From.Kind() != event.KindJob {
			continue
		}
		ended, err := f.s.Log.Read(ctx, event.Query{Subject: k.From, Type: event.TypeJobFinished, Limit: 1, Newest: true})
		if err != nil {
			return nil, err
		}
		for _, e := range ended {
			var j event.Job
			if e.Into(&j) == nil {
				out = append(out, j)
			}
		}
	}
	slices.Reverse(out) // Edges come newest first.
	return out, nil
}

// releaseOf returns the newest release of the event's run, "" for none.
func (f *feed) releaseOf(ctx context.Context) (string, error) {
	edges, err := f.s.Log.In(ctx, f.e.Subject, event.RelReleasedBy, 1)
	if err != nil || len(edges) == 0 {
		return "", err
	}
	return edges[0].From.ID(), nil
}

// pipelineResource names a job of a pipeline on a branch.
func pipelineResource(run event.Run, j event.Job) string {
	return run.Repo + ":" + run.Ref + ":" + run.Pipeline + ":" + strings.Trim(j.Stage+"."+j.Job, ".")
}

func (f *feed) jobFailed(ctx context.Context, run event.Run, j event.Job, release string) error {
	name := strings.Trim(j.Stage+"."+j.Job, ".")
	before, flaky, err := f.past(ctx, pipelineResource(run, j))
	if err != nil {
		return err
	}
	o := observation{
		source: SourcePipeline, rule: cmp.Or(name, "run"), resource: pipelineResource(run, j), severity: "high", wait: f.s.options.Debounce,
		proof: Evidence{Subject: f.e.Subject, Text: clip(fmt.Sprintf("Run %s failed in %s: %s", cmp.Or(run.Name, fmt.Sprint(run.Run)), cmp.Or(name, "the run"), j.Why)), At: f.e.Time},
		Record: Record{
			Title: fmt.Sprintf("%s fails on %s of %s", cmp.Or(name, run.Pipeline), strings.TrimPrefix(run.Ref, "refs/heads/"), run.Repo), Type: "bug", Repo: run.Repo,
			Commit: run.Commit, Before: before, Results: "x", Exposure: 4,
		},
	}
	if flaky {
		o.Title, o.severity = fmt.Sprintf("%s is flaky on %s of %s", cmp.Or(name, run.Pipeline), strings.TrimPrefix(run.Ref, "refs/heads/"), run.Repo), "medium"
	}
	if j.Environment != "" && release != "" {
		// The deployment failed with its release, and says what the release says.
		o.environment, o.release = j.Environment, release
	}
	return f.observe(ctx, o)
}

// past returns the last commit at which a job succeeded, and whether its results alternate.
func (f *feed) past(ctx context.Context, resource string) (before string, flaky bool, err error) {
	var tip string
	rows, err := f.tx.Query(ctx, `SELECT tip FROM insight_inventory WHERE kind = 'green' AND name = ?`, resource)
	if err != nil {
		return "", false, err
	}
	for rows.Next() {
		if err := rows.Scan(&tip); err != nil {
			return "", false, err
		}
	}
	if err := rows.Close(); err != nil {
		return "", false, err
	}
	rule := resource[strings.LastIndex(resource, ":")+1:]
	r, ok, err := find(ctx, f.tx, f.e.Project, key(SourcePipeline, cmp.Or(rule, "run"), resource))
	if err != nil || !ok {
		return tip, false, err
	}
	return tip, turns(r.Results+"x") >= 4, nil
}

// turns counts how often a row of results changes.
func turns(results string) (n int) {
	for i := 1; i < len(results); i++ {
		if results[i] != results[i-1] {
			n++
		}
	}
	return n
}

// jobSucceeded remembers the commit at which a job was well, and heals what failed once it
// succeeded often enough.
func (f *feed) jobSucceeded(ctx context.Context, run event.Run, j event.Job) error {
	resource := pipelineResource(run, j)
	_, err := f.tx.Exec(ctx, `INSERT INTO insight_inventory (kind, name, project, tip, due) VALUES ('green', ?, ?, ?, 0)
		ON CONFLICT (kind, name) DO UPDATE SET tip = excluded.tip`, resource, f.e.Project, run.Commit)
	if err != nil {
		return fmt.Errorf("noting a run that succeeded: %w", err)
	}
	name := strings.Trim(j.Stage+"."+j.Job, ".")
	r, ok, err := locked(ctx, f.tx, f.e.Project, key(SourcePipeline, cmp.Or(name, "run"), resource))
	if err != nil || !ok || r.seq >= f.e.Seq {
		return err
	}
	r.Results += "."
	r.Results = r.Results[max(0, len(r.Results)-maxResults):]
	green := len(r.Results) - len(strings.TrimRight(r.Results, "."))
	enough := f.s.options.GreenRuns
	if r.Release != "" {
		enough = 1 // It failed with its release, and is well with the next.
	}
	if r.State != Open || green < enough {
		r.seq = f.e.Seq
		return put(ctx, f.tx, r)
	}
	return f.well(ctx, r, 0, "", fmt.Sprintf("%d run(s) succeeded since, the last at commit %.12s.", green, run.Commit))
}
