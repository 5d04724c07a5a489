package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/source/depend"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/store"
)

// The kinds of jobs about pull requests.
const (
	kindPullPolicy = "pull.policy"
	kindPullDepend = "pull.dependencies"
	kindPullRun    = "pull.run"
	kindPullStatus = "pull.status"
)

// onPullEvent turns what concerns open pull requests into jobs.
func (a *App) onPullEvent(ctx context.Context, tx *store.Tx, e event.Event) error {
	enqueue := func(in judgement, kinds ...string) error {
		for _, k := range kinds {
			if err := a.queue.Enqueue(ctx, tx, k, fmt.Sprintf("%s %s#%d", e.ID, in.Repo, in.Number), in); err != nil {
				return err
			}
		}
		return nil
	}
	switch e.Type {
	case event.TypePullOpened, event.TypePullUpdated:
		var p event.Pull
		if err := e.Into(&p); err != nil {
			a.logger.Error("a pull request is skipped", "error", err)
			return nil
		}
		if p.Change == "title" || p.Change == "draft" {
			return nil
		}
		return enqueue(judgement{Repo: p.Repo, Number: p.Number}, kindPullPolicy, kindPullDepend, kindPullRun)
	case event.TypePullMerged, event.TypePullClosed:
		tx.AfterCommit(a.Deploy.SweepReviewApps)
	case event.TypeRunQueued, event.TypeRunStarted:
		var r event.Run
		if err := e.Into(&r); err != nil || r.Reason != "PullRequest" {
			return nil
		}
		return enqueue(judgement{Repo: r.Repo, Number: r.Pull, Run: r.Run}, kindPullStatus)
	case event.TypeRunFinished:
		var r event.RunFinished
		if err := e.Into(&r); err != nil {
			return nil
		}
		return enqueue(judgement{Run: r.Run}, kindPullStatus)
	case event.TypePolicyChanged, event.TypeAdvisoriesLoaded:
		kind := kindPullPolicy
		if e.Type == event.TypeAdvisoriesLoaded {
			kind = kindPullDepend
		}
		return a.queue.Enqueue(ctx, tx, kindPullAll, e.ID, again{Kind: kind})
	}
	return nil
}

// kindPullAll judges every open pull request again.
const kindPullAll = "pull.all"

type again struct {
	Kind string `json:"kind"`
}

// judgeAll enqueues every open pull request again, because the rules have changed.
func (a *App) judgeAll(ctx context.Context, payload json.RawMessage) error {
	var in again
	if err := json.Unmarshal(payload, &in); err != nil {
		return fmt.Errorf("reading what is to be judged again: %w", err)
	}
	system := identity.SystemActor("policy")
	projects, err := a.Identity.Visible(ctx, system)
	if err != nil {
		return err
	}
	for _, p := range projects {
		for skip := 0; ; skip += 200 {
			list, more, err := a.Pulls.List(ctx, system, p.Name, pull.Filter{Limit: 200, Skip: skip})
			if err != nil {
				return err
			}
			err = a.db.Tx(ctx, func(tx *store.Tx) error {
				for _, q := range list {
					key := fmt.Sprintf("%s %s#%d", a.clock.NewID(), q.Repo, q.Number)
					if err := a.queue.Enqueue(ctx, tx, in.Kind, key, judgement{Repo: q.Repo, Number: q.Number}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return nil
}

// runPulls follows the logbook and does the jobs about pull requests until ctx ends.
func (a *App) runPulls(ctx context.Context) error {
	works := map[string]func(context.Context, json.RawMessage) error{
		kindPullPolicy: a.judge.judgePolicy, kindPullDepend: a.judge.judgeDependencies, kindPullRun: a.judge.startRun, kindPullStatus: a.judge.reportRun,
		kindPullAll: a.judgeAll,
	}
	done := make(chan error, len(works))
	for kind, work := range works {
		go func() { done <- a.queue.Work(ctx, kind, 1, work, a.logger) }()
	}
	err := a.Log.Consume(ctx, "app.pulls", a.onPullEvent, a.logger)
	for range works {
		if werr := <-done; err == nil {
			err = werr
		}
	}
	return err
}

// startRun starts the pipeline of a pull request at its test merge.
func (j *judge) startRun(ctx context.Context, payload json.RawMessage) error {
	var in judgement
	if err := json.Unmarshal(payload, &in); err != nil {
		return fmt.Errorf("reading a pull request to run: %w", err)
	}
	p, err := j.settled(ctx, in)
	if fault.Is(err, fault.NotFound) || err == nil && (p.State != pull.Open || p.Test == "") {
		return nil
	}
	if err != nil {
		return err
	}
	_, requester, _ := strings.Cut(p.Pusher, ":")
	if kind, _, _ := strings.Cut(p.Pusher, ":"); kind != identity.KindUser {
		requester = p.Author
	}
	_, err = j.pipeline.StartPull(ctx, pipeline.PullOrder{
		Repo: p.Repo, Number: p.Number, Title: p.Title, Source: "refs/heads/" + p.Source, Target: "refs/heads/" + p.Target,
		Head: p.Head, Base: p.Tip, Merge: p.Test, Requester: requester, Draft: p.Draft,
	})
	return err
}

// reportRun makes a check of a pull request's run.
func (j *judge) reportRun(ctx context.Context, payload json.RawMessage) error {
	var in judgement
	if err := json.Unmarshal(payload, &in); err != nil {
		return fmt.Errorf("reading a run to report: %w", err)
	}
	who := identity.SystemActor("pipeline")
	r, err := j.pipeline.Show(ctx, who, in.Run)
	if fault.Is(err, fault.NotFound) || err == nil && (r.Pull == 0 || r.Head == "") {
		return nil
	}
	if err != nil {
		return err
	}
	c := pull.Check{
		Name: r.File, State: pull.Queued, Title: "run " + r.Name, Summary: r.Why,
		URL: "/projects/" + r.Project + "/runs/" + strconv.FormatInt(r.Number, 10),
	}
	switch {
	case r.Status == plan.Completed && (r.Result == plan.Succeeded || r.Result == plan.SucceededWithIssues):
		c.State = pull.Success
	case r.Status == plan.Completed && r.Result == plan.Canceled:
		c.State = pull.Error
	case r.Status == plan.Completed:
		c.State = pull.Failure
	case !r.Started.IsZero():
		c.State = pull.Running
	}
	_, err = j.pulls.Report(ctx, who, r.Repo, r.Head, c)
	return err
}

// judgeDependencies reviews what a pull request does to the packages it depends on.
func (j *judge) judgeDependencies(ctx context.Context, payload json.RawMessage) error {
	var in judgement
	if err := json.Unmarshal(payload, &in); err != nil {
		return fmt.Errorf("reading a pull request to review: %w", err)
	}
	who := dependActor()
	p, err := j.pulls.Get(ctx, who, in.Repo, in.Number)
	if fault.Is(err, fault.NotFound) || err == nil && p.State != pull.Open {
		return nil
	}
	if err != nil {
		return err
	}
	paths, err := j.pulls.Paths(ctx, who, p.Repo, p.Number)
	if err != nil {
		return err
	}
	var files []depend.File
	for _, name := range paths {
		if !depend.Manifest(name) {
			continue
		}
		f := depend.File{Path: name}
		if f.Base, err = j.maybe(ctx, p.Repo, p.Base, name); err != nil {
			return err
		}
		if f.Head, err = j.maybe(ctx, p.Repo, p.Head, name); err != nil {
			return err
		}
		files = append(files, f)
	}
	c := pull.Check{Name: checkDependencies, State: pull.Neutral, Title: "no manifest of packages is touched"}
	if len(files) > 0 {
		r, err := depend.Review(ctx, j.advise, files, "")
		if err != nil {
			return err
		}
		c.State, c.Title = r.Conclusion, r.Title
		for _, n := range r.Annotations {
			level := pull.LevelWarning
			if n.Fails {
				level = pull.LevelFailure
			}
			fix := ""
			if n.Fixed != "" {
				fix = fmt.Sprintf("take %s %s or newer", n.Package, n.Fixed)
			}
			c.Annotations = append(c.Annotations, pull.Annotation{
				Path: n.File, StartLine: n.Line, EndLine: n.Line, Level: level, Title: n.ID, Message: n.Message, Rule: n.ID, Fix: fix,
			})
		}
	}
	_, err = j.pulls.Report(ctx, who, p.Repo, p.Head, c)
	return err
}

// maybe reads a file of a commit, nil when it is not there.
func (j *judge) maybe(ctx context.Context, repo, commit, name string) ([]byte, error) {
	if commit == "" {
		return nil, nil
	}
	b, err := j.source.File(ctx, dependActor(), repo, commit, name)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if b == nil && err == nil {
		b = []byte{}
	}
	return b, err
}

// advisories answers the dependency review from the store of advisories.
type advisories struct{ supply *supply.Service }

var _ depend.Advisories = advisories{}

// Affecting lists what is known against a version.
func (a advisories) Affecting(ctx context.Context, ecosystem, name, version string) ([]depend.Advisory, error) {
	found, err := a.supply.Affecting(ctx, ecosystem, name, version)
	if err != nil {
		return nil, err
	}
	out := make([]depend.Advisory, 0, len(found))
	for _, f := range found {
		severity := string(f.Advisory.Severity)
		if severity == "unknown" {
			severity = depend.Unknown
		}
		out = append(out, depend.Advisory{ID: f.Advisory.ID, Aliases: f.Advisory.Aliases, Severity: severity, Summary: f.Advisory.Summary, Fixed: f.Fixed})
	}
	return out, nil
}
