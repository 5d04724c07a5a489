package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// maxCanaries is how many canaries one answer lists.
const maxCanaries = 100

// Canaries lists the canaries of a project, or of one of its environments, newest first,
// without their measurements.
func (s *Service) Canaries(ctx context.Context, a identity.Actor, project, environmentName string) ([]canary.View, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	list, err := readTrials(ctx, s.DB, `project = ? AND (? = '' OR environment = ?) ORDER BY started DESC LIMIT ?`, project, environmentName, environmentName, maxCanaries)
	if err != nil {
		return nil, err
	}
	out := make([]canary.View, 0, len(list))
	for i := range list {
		out = append(out, list[i].seen())
	}
	return out, nil
}

// Canary returns the canary of a release ("shop/production/48") with its measurements;
// fault.NotFound when the release was none.
func (s *Service) Canary(ctx context.Context, a identity.Actor, release string) (canary.View, error) {
	project, _, _, err := parseRelease(release)
	if err != nil {
		return canary.View{}, err
	}
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return canary.View{}, err
	}
	t, err := s.trialOf(ctx, release)
	if err != nil {
		return canary.View{}, err
	}
	v := t.seen()
	v.Counts = t.Trial.Counts
	v.Series, err = s.measurements(ctx, t)
	return v, err
}

// seen is a canary as people see it.
func (t *trial) seen() canary.View {
	v := t.View
	v.State, v.Why, v.Weight, v.Step, v.StepSince = t.Trial.Phase, t.Trial.Why, t.Trial.Weight, t.Trial.Step+1, t.Trial.Since
	v.Deadline = t.Trial.Deadline()
	v.Steps, v.Samples, v.MinSamples = t.Trial.Strategy.Steps, t.Trial.Samples(), t.Trial.Strategy.Samples()
	return v
}

// PromoteCanary has a person decide for a canary: one that waits at a step goes on, and one
// that is inconclusive, or with full, is promoted. In production the actor needs the role
// maintain, elsewhere write.
func (s *Service) PromoteCanary(ctx context.Context, a identity.Actor, release string, full bool) (canary.View, error) {
	return s.command(ctx, a, release, func(t *trial) error {
		switch {
		case t.Trial.Phase == canary.Paused && !full && t.Trial.Step+1 < len(t.Trial.Strategy.Steps):
			env, err := environment(ctx, s.DB, t.View.Project, t.View.Environment)
			if err != nil {
				return err
			}
			client, err := s.adminClient(ctx)
			if err != nil {
				return err
			}
			next := t.Trial.Step + 1
			return s.enter(ctx, client, env, t, next, t.Trial.Strategy.Steps[next].Weight)
		case t.Trial.Phase == canary.Rejecting:
			return fault.New(fault.Conflict, "Release %s is being rejected already: %s.", release, t.Trial.Why)
		}
		t.Trial.Phase, t.Trial.Why, t.View.By = canary.Promoting, "promoted by "+a.String(), a.String()
		return s.putTrial(ctx, t, event.TypeCanaryStepped, nil)
	})
}

// RejectCanary has a person decide against a canary. The rights are those of PromoteCanary.
func (s *Service) RejectCanary(ctx context.Context, a identity.Actor, release, why string) (canary.View, error) {
	return s.command(ctx, a, release, func(t *trial) error {
		if t.Trial.Phase == canary.Promoting {
			return fault.New(fault.Conflict, "Release %s is being promoted already.", release).WithNext("redeploy the one before when that is done")
		}
		if why == "" {
			why = "rejected by " + a.String()
		}
		t.Trial.Phase, t.Trial.Why, t.View.By = canary.Rejecting, why, a.String()
		return s.putTrial(ctx, t, event.TypeCanaryStepped, nil)
	})
}

// command lets a person change a canary that goes on.
func (s *Service) command(ctx context.Context, a identity.Actor, release string, do func(*trial) error) (canary.View, error) {
	project, environmentName, _, err := parseRelease(release)
	if err != nil {
		return canary.View{}, err
	}
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return canary.View{}, err
	}
	env, err := environment(ctx, s.DB, project, environmentName)
	if err != nil {
		return canary.View{}, err
	}
	if err := s.Auth.Require(ctx, a, project, env.Decides()); err != nil {
		return canary.View{}, err
	}
	hold, err := s.holdTrial(ctx, release)
	if err != nil {
		return canary.View{}, err
	}
	defer hold()
	t, err := s.trialOf(ctx, release)
	if err != nil {
		return canary.View{}, err
	}
	if canary.Over(t.Trial.Phase) {
		return t.seen(), fault.New(fault.Conflict, "The canary of release %s is over: it was %s.", release, t.Trial.Phase)
	}
	if err := do(t); err != nil {
		return t.seen(), err
	}
	s.trials.kick()
	return t.seen(), nil
}

// Settle ends what the canary of a pipeline's job left open: a job that succeeded promotes
// it, another one rejects it. One that is inconclusive waits for a person, whatever the job
// says. It asks for no rights: it is for the platform itself. It bears repetition, and
// returns when the canary is over or waits.
func (s *Service) Settle(ctx context.Context, run int64, stage, job string, succeeded bool) error {
	open, err := readTrials(ctx, s.DB, `finished = 0 AND run = ?`, run)
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range open {
		if !t.Trial.External || t.Stage != stage || t.Job != job {
			continue
		}
		errs = append(errs, s.settle(ctx, t.View.Release, succeeded))
	}
	return errors.Join(errs...)
}

func (s *Service) settle(ctx context.Context, release string, succeeded bool) error {
	hold, err := s.holdTrial(ctx, release)
	if err != nil {
		return err
	}
	t, err := s.trialOf(ctx, release)
	if err == nil && !canary.Over(t.Trial.Phase) {
		switch {
		case !succeeded && t.Trial.Waits() && t.Trial.Strategy.Hold > 0:
			// Somebody wanted it kept: it waits until its deadline.
		case !succeeded && t.Trial.Phase != canary.Promoting && t.Trial.Phase != canary.Rejecting:
			t.Trial.Phase, t.Trial.Why = canary.Rejecting, fmt.Sprintf("run %d failed or was cancelled", t.View.Run)
			err = s.putTrial(ctx, t, event.TypeCanaryStepped, nil)
		case succeeded && t.Trial.Phase == canary.Progressing:
			t.Trial.Phase = canary.Promoting
			err = s.putTrial(ctx, t, event.TypeCanaryStepped, nil)
		}
	}
	hold()
	if err != nil {
		return err
	}
	s.trials.kick()
	_, err = s.awaitTrial(ctx, release)
	return err
}

// followEvery is how often somebody who waits for a canary looks.
const followEvery = 300 * time.Millisecond

// awaitTrial waits until a canary is over, or waits for a person.
func (s *Service) awaitTrial(ctx context.Context, release string) (*trial, error) {
	for {
		t, err := s.trialOf(ctx, release)
		if err != nil {
			return nil, err
		}
		if canary.Over(t.Trial.Phase) || t.Trial.External && (t.Trial.Phase == canary.InconclusivePhase || t.Trial.Phase == canary.Paused) {
			return t, nil
		}
		if err := sleep(ctx, followEvery); err != nil {
			return t, err
		}
	}
}

// followTrial waits for a canary that the platform carries out, in the name of a run: when the
// run is cancelled or its job's time is over the canary is rejected, unless it waits for a
// person and its strategy holds it; when the server stops it goes on with the next one.
func (s *Service) followTrial(ctx context.Context, r Release, say Say) (Release, error) {
	defer s.trials.hear(r.ID(), say)()
	for {
		t, err := s.trialOf(ctx, r.ID())
		if err == nil && canary.Over(t.Trial.Phase) {
			break
		}
		if ctx.Err() == nil && err == nil {
			err = sleep(ctx, followEvery)
		}
		if ctx.Err() != nil {
			return r, s.abandon(context.WithoutCancel(ctx), r.ID())
		}
		if err != nil {
			return r, err
		}
	}
	got, err := releases(ctx, s.DB, `project = ? AND environment = ? AND number = ?`, r.Project, r.Environment, r.Number)
	if err != nil || len(got) == 0 {
		return r, err
	}
	if got[0].Result == Deployed {
		return got[0], nil
	}
	return got[0], fault.New(fault.Invalid, "Release %s was tried and rejected: %s", r.ID(), got[0].Why).WithNext("see towpath canary show %s", r.ID())
}

// abandon rejects a canary whose job has ended before it, unless the server is stopping or
// the canary is held for a person.
func (s *Service) abandon(ctx context.Context, release string) error {
	select {
	case <-s.shift.end:
		return errStopping
	default:
	}
	hold, err := s.holdTrial(ctx, release)
	if err != nil {
		return err
	}
	defer hold()
	t, err := s.trialOf(ctx, release)
	if err != nil {
		return err
	}
	if t.Trial.Waits() && t.Trial.Strategy.Hold > 0 {
		return fault.New(fault.Conflict, "Release %s still waits for a person (%s), and the job has ended: it keeps its share of the traffic until %s, and is rejected then.",
			release, t.Trial.Why, t.Trial.Deadline().Format(time.RFC3339)).WithNext("decide with `towpath canary promote %s` or `towpath canary reject %s`", release, release)
	}
	if !canary.Over(t.Trial.Phase) && t.Trial.Phase != canary.Promoting && t.Trial.Phase != canary.Rejecting {
		t.Trial.Phase, t.Trial.Why = canary.Rejecting, "the run was cancelled, or its job's time was over"
		if err := s.putTrial(ctx, t, event.TypeCanaryStepped, nil); err != nil {
			return err
		}
		s.trials.kick()
	}
	return fault.New(fault.Invalid, "Release %s is rejected: the run was cancelled, or its job's time was over.", release).
		WithNext("see towpath canary show %s; a strategy with \"hold\" keeps what waits for a person", release)
}

// supersede rejects the canary that another release finds in its environment, which the
// caller holds.
func (s *Service) supersede(ctx context.Context, at *site, release, by string, say Say) error {
	hold, err := s.holdTrial(ctx, release)
	if err != nil {
		return err
	}
	defer hold()
	t, err := s.trialOf(ctx, release)
	if err != nil || canary.Over(t.Trial.Phase) {
		return err
	}
	t.Trial.Why = "superseded by " + by
	say(fmt.Sprintf("Release %s is being tried in this environment; it is %s.", release, t.Trial.Why))
	t.Trial.Phase = canary.Rejecting
	return s.concludeHeld(ctx, at, t, false)
}

// finishTrial records the end of a canary and of its release at once.
func (s *Service) finishTrial(ctx context.Context, r *Release, t *trial) error {
	return s.finishWith(ctx, r, func(tx *store.Tx) error { return s.storeTrial(ctx, tx, t, event.TypeCanaryFinished, nil) })
}

// round gives a pipeline's canary the share of its next round.
func (s *Service) round(ctx context.Context, at *site, release string, increment int, say Say) (Release, error) {
	hold, err := s.holdTrial(ctx, release)
	if err != nil {
		return Release{}, err
	}
	defer hold()
	t, err := s.trialOf(ctx, release)
	if err != nil {
		return Release{}, err
	}
	_, _, number := t.release()
	got, err := releases(ctx, s.DB, `project = ? AND environment = ? AND number = ?`, at.env.Project, at.env.Name, number)
	if err != nil || len(got) == 0 {
		return Release{}, errors.Join(err, fault.New(fault.NotFound, "There is no release %s.", release))
	}
	switch t.Trial.Phase {
	case canary.Rejecting, canary.Rejected:
		return got[0], fault.New(fault.Invalid, "Release %s was tried and rejected: %s", release, t.Trial.Why).WithNext("see towpath canary show %s", release)
	case canary.InconclusivePhase:
		return got[0], fault.New(fault.Conflict, "Release %s waits for a person: %s.", release, t.Trial.Why).
			WithNext("decide with `towpath canary promote %s` or `towpath canary reject %s`", release, release)
	}
	if t.Trial.Weight == increment {
		return got[0], nil
	}
	defer s.trials.hear(release, say)()
	t.Trial.Strategy.Steps = append(t.Trial.Strategy.Steps, canary.Step{Weight: increment})
	return got[0], s.enter(ctx, at.admin, at.env, t, len(t.Trial.Strategy.Steps)-1, increment)
}
