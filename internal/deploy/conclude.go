package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/loader"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// conclude ends a canary that is being promoted or rejected. It may be called again when it
// was cut off: each part bears repetition. The environment is held before the canary, by
// everybody who holds both.
func (s *Service) conclude(ctx context.Context, release string) error {
	project, environmentName, _, err := parseRelease(release)
	if err != nil {
		return err
	}
	env, err := environment(ctx, s.DB, project, environmentName)
	if err != nil {
		return err
	}
	ctx, at, err := s.occupy(ctx, env, release, func(line string) { s.trials.say(release, "%s", line) })
	if err != nil {
		return err
	}
	defer at.free()
	hold, err := s.holdTrial(ctx, release)
	if err != nil {
		return err
	}
	defer hold()
	t, err := s.trialOf(ctx, release)
	if err != nil || canary.Over(t.Trial.Phase) {
		return err
	}
	return s.concludeHeld(ctx, at, t, t.Trial.Phase == canary.Promoting)
}

// concludeHeld is conclude for who holds the environment as well.
func (s *Service) concludeHeld(ctx context.Context, at *site, t *trial, promote bool) error {
	_, _, number := t.release()
	got, err := releases(ctx, s.DB, `project = ? AND environment = ? AND number = ?`, at.env.Project, at.env.Name, number)
	if err != nil {
		return err
	}
	if len(got) == 0 {
		return fault.New(fault.NotFound, "There is no release %s.", t.View.Release)
	}
	r := got[0]
	r.Namespace, r.Result, r.Why = at.env.Namespace, RolledBack, t.Trial.Why
	phase := canary.Rejected
	if promote {
		if err := s.promote(ctx, at, t, &r); err != nil {
			return err
		}
		if r.Result == Deployed {
			phase = canary.Promoted
		} else {
			t.Trial.Why = r.Why
		}
	}
	if err := s.retreat(ctx, at, t); err != nil {
		return err
	}
	t.Trial.Phase = phase
	if err := s.finishTrial(context.WithoutCancel(ctx), &r, t); err != nil {
		return err
	}
	if phase == canary.Promoted {
		s.trials.say(t.View.Release, "Release %s is promoted.", t.View.Release)
	} else {
		s.trials.say(t.View.Release, "Release %s is rejected: %s. Release %s serves on.", t.View.Release, t.Trial.Why, t.View.Stable)
	}
	return nil
}

// promote deploys the release as any other. r says how it ended; an error means that it
// was cut off and is to be tried again.
func (s *Service) promote(ctx context.Context, at *site, t *trial, r *Release) error {
	src, err := readSource(ctx, at.admin, at.env.Namespace, r.Number)
	if err != nil {
		if apierrors.IsNotFound(err) {
			r.Why = "the chart of the canary is gone from its namespace"
			return nil
		}
		return err
	}
	files := make([]*archive.BufferedFile, 0, len(src.Files))
	for _, f := range src.Files {
		files = append(files, &archive.BufferedFile{Name: f.Name, Data: f.Data})
	}
	ch, err := loader.LoadFiles(files)
	if err != nil {
		return fmt.Errorf("reading the chart of the canary: %w", err)
	}
	h, _, err := s.deployer(ctx, at.env, t.View.Run)
	if err != nil {
		return err
	}
	say := func(line string) { s.trials.say(t.View.Release, "%s", line) }
	post := s.pinnerFor(ctx, identity.SystemActor("deploy"))
	post.pins = t.Pins
	if ch.Name() == manifestsChart {
		s.plain(ctx, post, at.env, t.View.Run, t.Name)
	}
	step, err := s.routed(ctx, at, t.Name, post, say)
	if err != nil {
		return err
	}
	if s.Gate != nil {
		post.admit = func(objects []map[string]any) error {
			return s.Gate.Admit(ctx, Admission{
				Actor: s.actorOf(t), Project: at.env.Project, Environment: at.env.Name, Namespace: at.env.Namespace, Release: t.View.Release, Objects: objects,
			}, say)
		}
	}
	j := helmJob{
		name: t.Name, chart: ch, values: src.Values, post: post, timeout: t.Timeout, wait: !t.NoWait, install: true, reset: t.Reset,
		note: fmt.Sprintf("release %s, promoted", t.View.Release),
	}
	if err := s.carryOut(ctx, r, h, j, at.admin, say); err != nil {
		if errors.Is(context.Cause(ctx), errStopping) {
			return err // the next start promotes it again
		}
		return nil // r says why
	}
	return s.keepRoutes(ctx, at.env, t.Name, step, true)
}

// actorOf is the run that a canary came from, as policy sees it.
func (s *Service) actorOf(t *trial) identity.Actor {
	return identity.Actor{Kind: identity.KindRun, Name: fmt.Sprint(t.View.Run), Cap: identity.Write, Job: identity.JobClaims{
		Run: t.View.Run, Project: t.View.Project, Environment: t.View.Environment, Commit: t.View.Commit, Stage: t.Stage, Job: t.Job, Requester: t.Requester,
	}}
}

// patienceForRouter bounds the wait for a router that is told of new weights: one that is
// not there sends nothing to the canary either.
const patienceForRouter = 20 * time.Second

// retreat sends all traffic to stable and takes away what the canary added.
func (s *Service) retreat(ctx context.Context, at *site, t *trial) error {
	if _, err := s.setWeights(ctx, at.env, t.View.Services, 0, ""); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, patienceForRouter)
	defer cancel()
	if err := s.awaitTable(wait, at); err != nil && ctx.Err() != nil {
		return err
	}
	if t.Ready {
		if err := sleep(ctx, drainTime); err != nil {
			return err
		}
	}
	return s.clearTrial(ctx, at, t)
}
