package app

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/monitor/kube"
)

// owners says whose a namespace and a pod are.
type owners struct{ deploy *deploy.Service }

var _ kube.Owners = owners{}

// Owner returns the environment of a namespace.
func (o owners) Owner(ctx context.Context, namespace string) (project, environment string, err error) {
	return o.deploy.Owner(ctx, namespace)
}

// ReleaseOf returns the release of a pod.
func (o owners) ReleaseOf(ctx context.Context, p kube.Pod) (string, error) {
	return o.deploy.ReleaseOfPod(ctx, p.Namespace, p.UID)
}

// running says which release an environment has.
type running struct{ deploy *deploy.Service }

var _ alert.Releases = running{}

// Current returns the release that was deployed last, "" for none.
func (r running) Current(ctx context.Context, project, environment string) (string, error) {
	e, err := r.deploy.Environment(ctx, identity.SystemActor("monitor"), project, environment)
	if fault.Is(err, fault.NotFound) || err == nil && e.Current == nil {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return e.Current.ID(), nil
}

// rollouts says what was rolled out, and what served before.
type rollouts struct{ deploy *deploy.Service }

var _ insight.Releases = rollouts{}

// Rollouts returns the releases that became live since a moment.
func (r rollouts) Rollouts(ctx context.Context, since time.Time) ([]insight.Rollout, error) {
	list, err := r.deploy.Rollouts(ctx, since)
	return seen(list), err
}

// Between returns the releases of a project that were started in a range of time.
func (r rollouts) Between(ctx context.Context, project, environment string, from, to time.Time) ([]insight.Rollout, error) {
	list, err := r.deploy.RolloutsBetween(ctx, project, environment, from, to)
	return seen(list), err
}

// seen gives rollouts the form in which telemetry looks at them.
func seen(list []deploy.Rollout) []insight.Rollout {
	out := make([]insight.Rollout, 0, len(list))
	for _, r := range list {
		actor := r.Actor
		if r.Requester != "" {
			actor = r.Requester
		}
		out = append(out, insight.Rollout{
			Release: r.ID(), Project: r.Project, Environment: r.Environment, Baseline: r.Baseline, Result: r.Result, Commit: r.Commit, Run: r.Run,
			Actor: actor, Started: r.Started, Live: r.Finished,
		})
	}
	return out
}

// marks says what was rolled out when, and how it compared.
type marks struct{ insight *insight.Service }

var _ monitor.Releases = marks{}

// Marks returns the releases of a project that started in a range of time.
func (m marks) Marks(ctx context.Context, a identity.Actor, project string, from, to time.Time) ([]monitor.Mark, error) {
	list, err := m.insight.Marks(ctx, a, insight.Scope{Project: project, From: from, To: to})
	out := make([]monitor.Mark, 0, len(list))
	for _, r := range list {
		out = append(out, monitor.Mark{
			Release: r.Release, Result: r.Result, Run: r.Run, Commit: r.Commit, Actor: r.Actor, At: r.Started, Verdict: r.Verdict, Why: r.Why,
		})
	}
	return out, err
}
