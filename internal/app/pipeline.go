package app

import (
	"context"
	"strings"

	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/pod"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/registry/supply/provenance"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/store"
)

func (a *App) openPipeline(ctx context.Context) error {
	blobs, err := a.blobs(ctx, "pipeline")
	if err != nil {
		return err
	}
	token, err := a.agentToken()
	if err != nil {
		return err
	}
	answers, err := newOutside(a, a.cfg.NotifyAllow)
	if err != nil {
		return err
	}
	var pods pipeline.Pods
	if a.cfg.Cluster != cluster.KindNone {
		pods = pod.New(a.Cluster, agentPods{a}, nil)
	}
	a.Pipeline, err = pipeline.New(pipeline.Parts{
		DB: a.db, Log: a.Log, Clock: a.clock, Queue: a.queue, Auth: a.Identity, Source: commits{a.Source}, Tokens: a.Identity, Blobs: blobs,
		Tasks:       tasks{builder: a.builder, registry: a.Registry, deploy: a.Deploy, host: hostOf(a.URL), voices: a.voices, dial: answers.guard.Dial, url: a.URL, web: answers.client.Transport},
		Deployments: canaries{a.Deploy}, Needs: needs{a}, Environments: environments{a.Deploy}, Herald: asking{a}, Outside: answers, Outbound: answers.client.Transport, Internal: answers.guard.Named, Vault: a.vault,
		Pods: pods, Logger: a.logger,
	}, pipeline.Options{URL: a.URL, Registry: hostOf(a.URL), Data: a.cfg.Data, AgentToken: token, StayDefault: a.cfg.KeepDefault, StayMost: a.cfg.KeepMost})
	if err != nil {
		return err
	}
	a.Identity.JobAlive(a.Pipeline.JobAlive)
	return nil
}

// agentToken returns what agents that run jobs authenticate with.
func (a *App) agentToken() (string, error) { return a.keepToken("agent-token", "twa_") }

// asking tells people of what runs ask, over the routes of alerts.
type asking struct{ app *App }

var _ pipeline.Herald = asking{}

// Ask sends a question to the receivers that the routes name for it. It asks through the App
// because alerts are opened after the pipelines.
func (q asking) Ask(ctx context.Context, in pipeline.Question) error {
	if q.app.Alerts == nil {
		return fault.New(fault.Unavailable, "Alerting is not running.")
	}
	return q.app.Alerts.Ask(ctx, identity.SystemActor("pipeline"), alert.Question{
		Project: in.Project, Run: in.Run, Entry: in.Entry, Title: in.Title, Text: in.Text, Asked: in.Asked,
	})
}

// commits answers the pipeline's questions about commits.
type commits struct{ source *source.Service }

var _ pipeline.Source = commits{}

// File returns a file at a commit.
func (c commits) File(ctx context.Context, a identity.Actor, repo, commit, path string) ([]byte, error) {
	return c.source.File(ctx, a, repo, commit, path)
}

// ChangedPaths lists the paths that differ between two commits.
func (c commits) ChangedPaths(ctx context.Context, a identity.Actor, repo, before, after string) ([]string, error) {
	return c.source.ChangedPaths(ctx, a, repo, before, after)
}

// Resolve returns a ref's full name, commit and title.
func (c commits) Resolve(ctx context.Context, a identity.Actor, repo, ref string) (full, commit, title string, err error) {
	if ref == "" {
		r, err := c.source.Repo(ctx, a, repo)
		if err != nil {
			return "", "", "", err
		}
		ref = r.DefaultBranch
	}
	got, err := c.source.Commit(ctx, a, repo, ref)
	if err != nil {
		return "", "", "", err
	}
	if !strings.HasPrefix(ref, "refs/") {
		ref = "refs/heads/" + ref
	}
	return ref, got.Hash, got.Title, nil
}

// runs answers the supply chain's question where an image came from.
type runs struct {
	pipeline *pipeline.Service
	url      string
}

var _ supply.Runs = runs{}

// Provenance returns the facts of a run.
func (r runs) Provenance(ctx context.Context, n int64) (provenance.Facts, error) {
	got, err := r.pipeline.Show(ctx, identity.SystemActor("supply"), n)
	if err != nil {
		return provenance.Facts{}, err
	}
	return provenance.Facts{
		Run: n, Project: got.Project, Repo: got.Repo, Ref: got.Ref, Commit: got.Commit, Pipeline: got.File,
		Started: got.Started, Finished: got.Finished, Source: r.url + "/" + got.Repo + ".git",
	}, nil
}

// environments makes the environments of targets.
type environments struct{ deploy *deploy.Service }

var _ pipeline.Environments = environments{}

// Ensure makes an environment that is missing, with the namespace that it has by default.
func (e environments) Ensure(ctx context.Context, a identity.Actor, project, name string) error {
	_, err := e.deploy.CreateEnvironment(ctx, a, project, name, "")
	return err
}

// ReviewApps reports whether runs of pull requests may make review apps of an environment.
func (e environments) ReviewApps(ctx context.Context, h store.Handle, project, name string) (bool, error) {
	return e.deploy.ReviewApps(ctx, h, project, name)
}
