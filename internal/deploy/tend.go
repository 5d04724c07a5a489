package deploy

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/deploy/route"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
)

// How often a canary is looked at, and how soon what failed is tried again.
const (
	tendEvery  = time.Second
	tendBackup = 5 * time.Second
)

// tendAll carries out all canaries until ctx ends, those too that the last server left.
func (s *Service) tendAll(ctx context.Context) {
	for ctx.Err() == nil {
		open, err := readTrials(ctx, s.DB, `finished = 0`)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("reading canaries", "error", err)
		}
		for _, t := range open {
			s.tendOne(ctx, t.View.Release)
		}
		select {
		case <-ctx.Done():
		case <-s.trials.wake:
		case <-time.After(2 * tendEvery):
		}
	}
}

// tendOne looks after one canary until it is over, unless somebody does already.
func (s *Service) tendOne(ctx context.Context, release string) {
	s.trials.mu.Lock()
	defer s.trials.mu.Unlock()
	if s.trials.tended[release] {
		return
	}
	s.trials.tended[release] = true
	go func() {
		defer func() {
			s.trials.mu.Lock()
			defer s.trials.mu.Unlock()
			delete(s.trials.tended, release)
		}()
		for ctx.Err() == nil {
			wait := tendEvery
			over, err := s.tend(ctx, release)
			if over {
				return
			}
			if err != nil && ctx.Err() == nil {
				s.Logger.Warn("looking after a canary", "release", release, "error", err)
				s.trials.say(release, "Canary of release %s: %s; trying again.", release, publicWhy(err))
				wait = tendBackup
			}
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	}()
}

// tend takes one look at a canary and does what is due. It says when it is over.
func (s *Service) tend(ctx context.Context, release string) (over bool, err error) {
	phase, err := s.look(ctx, release)
	if err != nil {
		return fault.Is(err, fault.NotFound), err
	}
	switch phase {
	case canary.Promoting, canary.Rejecting:
		err := s.conclude(ctx, release)
		return err == nil, err
	}
	return canary.Over(phase), nil
}

// look measures a canary that goes on and decides; it returns the phase that it is in then.
func (s *Service) look(ctx context.Context, release string) (phase string, err error) {
	hold, err := s.holdTrial(ctx, release)
	if err != nil {
		return "", err
	}
	defer hold()
	t, err := s.trialOf(ctx, release)
	if err != nil {
		return "", err
	}
	if d := t.Trial.Overdue(s.Clock.Now()); d.Do != canary.Stay {
		return s.expire(ctx, t, d)
	}
	if canary.Over(t.Trial.Phase) || t.Trial.Phase == canary.Rejecting || t.Trial.Phase == canary.Promoting {
		return t.Trial.Phase, nil
	}
	if !t.Ready {
		// Who begins it holds the lock until it is ready: that server is gone.
		t.Trial.Phase, t.Trial.Why = canary.Rejecting, "the server ended while the canary was being started"
		return t.Trial.Phase, s.putTrial(ctx, t, "", nil)
	}
	err = s.watchTrial(ctx, t)
	return t.Trial.Phase, err
}

// watchTrial measures a canary and decides.
func (s *Service) watchTrial(ctx context.Context, t *trial) error {
	client, err := s.adminClient(ctx)
	if err != nil {
		return err
	}
	env, err := environment(ctx, s.DB, t.View.Project, t.View.Environment)
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	samples, err := s.sample(ctx, client, env.Namespace, t)
	var taken []canary.Measurement
	if err != nil {
		t.Trial.Lost(now, publicWhy(err))
	} else if taken, err = t.Trial.Measure(now, samples); err != nil {
		return err
	}
	if err := s.keepMeasurements(ctx, t, taken); err != nil {
		return err
	}
	d := t.Trial.Decide(now)
	if t.Trial.Phase != canary.Progressing && d.Do != canary.Reject {
		return s.putTrial(ctx, t, "", nil) // a person is to say what comes
	}
	return s.act(ctx, client, env, t, d)
}

// act does what a decision says.
func (s *Service) act(ctx context.Context, c kubernetes.Interface, env Environment, t *trial, d canary.Decision) error {
	release := t.View.Release
	switch d.Do {
	case canary.Stay:
		return s.putTrial(ctx, t, "", nil)
	case canary.Pause, canary.Unsure:
		t.Trial.Phase, t.Trial.Why = canary.Paused, d.Why
		if d.Do == canary.Unsure {
			t.Trial.Phase = canary.InconclusivePhase
		}
		if err := s.putTrial(ctx, t, event.TypeCanaryStepped, nil); err != nil {
			return err
		}
		s.trials.say(release, "%s", waitsFor(env, t))
		return nil
	case canary.Promote:
		t.Trial.Phase, t.Trial.Why = canary.Promoting, ""
		s.trials.say(release, "Canary of release %s: every step passed; promoting.", release)
		return s.putTrial(ctx, t, event.TypeCanaryStepped, nil)
	case canary.Reject:
		t.Trial.Phase, t.Trial.Why = canary.Rejecting, d.Why
		s.trials.say(release, "Canary of release %s: %s", release, d.Why)
		return s.putTrial(ctx, t, event.TypeCanaryStepped, s.failing(ctx, t))
	}
	next := t.Trial.Step + 1
	return s.enter(ctx, c, env, t, next, t.Trial.Strategy.Steps[next].Weight)
}

// waitsFor says to whom reads the log what a canary waits for, who may decide, and what
// becomes of it when nobody does.
func waitsFor(env Environment, t *trial) string {
	release, who := t.View.Release, "write"
	if env.Production() {
		who = "maintain"
	}
	end := "the end of this job rejects it"
	if t.Trial.Strategy.Hold > 0 {
		end = "it is kept when this job ends"
	}
	return fmt.Sprintf("Canary of release %s waits for a person with the role %s: %s. Go on with `towpath canary promote %s`, or `towpath canary reject %s`. "+
		"Without a decision it is rejected at %s; %s.", release, who, t.Trial.Why, release, release, t.Trial.Deadline().Format(time.RFC3339), end)
}

// expire ends what was too long in its phase, and returns the phase that it is in then.
func (s *Service) expire(ctx context.Context, t *trial, d canary.Decision) (phase string, err error) {
	t.Trial.Why = d.Why
	if d.Do != canary.GiveUp {
		t.Trial.Phase = canary.Rejecting
		s.trials.say(t.View.Release, "Canary of release %s: %s", t.View.Release, d.Why)
		return t.Trial.Phase, s.putTrial(ctx, t, event.TypeCanaryStepped, nil)
	}
	project, environmentName, number := t.release()
	got, err := releases(ctx, s.DB, `project = ? AND environment = ? AND number = ?`, project, environmentName, number)
	if err != nil {
		return t.Trial.Phase, err
	}
	t.Trial.Phase = canary.Rejected
	s.Logger.Error("a canary was given up: its objects may still be there", "release", t.View.Release, "why", d.Why)
	if len(got) == 0 {
		return t.Trial.Phase, s.putTrial(ctx, t, event.TypeCanaryFinished, nil)
	}
	r := got[0]
	r.Result, r.Why = RolledBack, d.Why
	return t.Trial.Phase, s.finishTrial(ctx, &r, t)
}

// enter begins a step: pods first, then the traffic, then the record of it.
func (s *Service) enter(ctx context.Context, c kubernetes.Interface, env Environment, t *trial, step, weight int) error {
	if err := scaleTracks(ctx, c, env.Namespace, t, weight); err != nil {
		return err
	}
	if err := awaitTracks(ctx, c, env.Namespace, t, time.Minute); err != nil {
		return err
	}
	if err := s.notePods(ctx, &site{env: env, admin: c}, t); err != nil {
		return err
	}
	if _, err := s.setWeights(ctx, env, t.View.Services, weight, t.Trial.Strategy.Sticky); err != nil {
		return err
	}
	t.Trial.Enter(step, weight, s.Clock.Now())
	s.trials.say(t.View.Release, "Canary of release %s: step %d of %d, %d %%.", t.View.Release, step+1, len(t.Trial.Strategy.Steps), weight)
	return s.putTrial(ctx, t, event.TypeCanaryStepped, nil)
}

// scaleTracks gives canary and baseline the pods that a weight asks for.
func scaleTracks(ctx context.Context, c kubernetes.Interface, namespace string, t *trial, weight int) error {
	for _, w := range t.Plan {
		replicas := w.Replicas
		// An autoscaler may have changed what the manifest says.
		if d, err := c.AppsV1().Deployments(namespace).Get(ctx, w.Name, metav1.GetOptions{}); err == nil && d.Spec.Replicas != nil {
			replicas = int(*d.Spec.Replicas)
		}
		for _, track := range []string{route.Canary, route.Baseline} {
			name := trackWorkload(w.Name, track)
			scale, err := c.AppsV1().Deployments(namespace).GetScale(ctx, name, metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("reading the size of %s: %w", name, err)
			}
			want := int32(canary.Replicas(replicas, weight))
			if scale.Spec.Replicas == want {
				continue
			}
			scale.Spec.Replicas = want
			if _, err := c.AppsV1().Deployments(namespace).UpdateScale(ctx, name, scale, metav1.UpdateOptions{FieldManager: trialManager}); err != nil {
				return fmt.Errorf("scaling %s: %w", name, err)
			}
		}
	}
	return nil
}

// failing asks which operations are worse on the canary; what cannot be known is left out.
func (s *Service) failing(ctx context.Context, t *trial) []event.Operation {
	if s.Operations == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	list, err := s.Operations.Failing(ctx, t.View.Release, t.View.Stable, t.View.Started)
	if err != nil {
		s.Logger.Warn("asking which operations of a canary fail", "release", t.View.Release, "error", err)
	}
	return list
}
