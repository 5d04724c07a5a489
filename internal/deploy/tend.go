package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/loader"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/deploy/route"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
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
		s.trials.say(release, "Canary of release %s waits for a person: %s. Go on with `towpath canary promote %s`, or `towpath canary reject %s`.", release, d.Why, release, release)
		return s.putTrial(ctx, t, event.TypeCanaryStepped, nil)
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

// sample asks the routers what they counted and the pods how they are.
func (s *Service) sample(ctx context.Context, c kubernetes.Interface, namespace string, t *trial) ([]canary.Sample, error) {
	pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: routerApp + "=" + routerName})
	if err != nil {
		return nil, fmt.Errorf("listing routers: %w", err)
	}
	asked := 0
	for i := range pods.Items {
		p := &pods.Items[i]
		if word, _ := condition(p); word != "ready" || p.DeletionTimestamp != nil {
			continue
		}
		text, err := askRouter(ctx, c, p, "metrics")
		if err != nil {
			return nil, err
		}
		seen, err := canary.Scrape(text)
		if err != nil {
			return nil, err
		}
		t.Counter.Add(string(p.UID), seen, p.CreationTimestamp.After(t.View.Started))
		asked++
	}
	if asked == 0 {
		return nil, fault.New(fault.Unavailable, "No pod of the router is ready.")
	}
	health, err := s.health(ctx, c, namespace, t)
	if err != nil {
		return nil, err
	}
	var out []canary.Sample
	for _, service := range t.View.Services {
		v := t.Counter.Sums[service]
		v.Service = service
		v.CanaryHealth, v.BaselineHealth = health[canary.Key{Service: service, Track: route.Canary}], health[canary.Key{Service: service, Track: route.Baseline}]
		out = append(out, v)
	}
	return out, nil
}

// health counts restarts and kills of the pods of each track, by service.
func (s *Service) health(ctx context.Context, c kubernetes.Interface, namespace string, t *trial) (map[canary.Key]canary.Health, error) {
	list, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: route.Label + " in (" + route.Canary + "," + route.Baseline + ")"})
	if err != nil {
		return nil, fmt.Errorf("listing pods of the canary: %w", err)
	}
	out := map[canary.Key]canary.Health{}
	for _, p := range list.Items {
		track := p.Labels[route.Label]
		i := slices.IndexFunc(t.Plan, func(w workload) bool {
			return slices.ContainsFunc(p.OwnerReferences, func(o metav1.OwnerReference) bool {
				return strings.HasPrefix(o.Name, trackWorkload(w.Name, track)+"-")
			})
		})
		if i < 0 {
			continue
		}
		for _, st := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			for _, service := range t.Plan[i].Services {
				k := canary.Key{Service: service, Track: track}
				h := out[k]
				h.Restarts += int(st.RestartCount)
				if killed(st) {
					h.OOM++
				}
				out[k] = h
			}
		}
	}
	return out, nil
}

func killed(s corev1.ContainerStatus) bool {
	for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
		if t != nil && t.Reason == "OOMKilled" {
			return true
		}
	}
	return false
}

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
