package deploy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	chart "helm.sh/helm/v4/pkg/chart/v2"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/deploy/route"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// trialManager is the field manager of the objects of a canary.
const trialManager = "towpath-canary"

// errAllAtOnce says that there is nothing to try: the release goes out as a whole.
var errAllAtOnce = errors.New("nothing of this release can be tried on a share of the traffic")

// attempt is what a canary is begun with.
type attempt struct {
	at      *site
	release *Release
	helm    *helm
	config  *rest.Config
	job     helmJob
	ask     CanaryRequest
	say     Say
}

// try begins a canary: it makes its objects beside what lives, waits until they are ready
// and gives them their share. The release stays started; the canary goes on by itself.
// errAllAtOnce when there is nothing to compare.
func (s *Service) try(ctx context.Context, a attempt) error {
	sayf := func(format string, args ...any) { a.say(fmt.Sprintf(format, args...)) }
	live, now, err := a.helm.liveObjects(a.job.name)
	if err != nil {
		return err
	}
	stable, err := current(ctx, s.DB, a.at.env.Project, a.at.env.Name)
	if err != nil {
		return err
	}
	if live == nil || stable == nil {
		sayf("Nothing serves in environment %s yet, so there is nothing to compare with: the release goes out at once.", a.at.env.Name)
		return errAllAtOnce
	}
	manifest, err := a.helm.render(a.job)
	if err != nil {
		return err
	}
	next, err := decode(strings.NewReader(manifest))
	if err != nil {
		return fmt.Errorf("reading the rendered manifest: %w", err)
	}
	t := s.newTrial(a, stable)
	plan, err := planTrial(now, next, t.Trial.Weight)
	if err != nil {
		return err
	}
	for _, name := range plan.unmeasured {
		sayf("Deployment %s changes, and no routed Service leads to it: it follows when the release is promoted.", name)
	}
	if len(plan.workloads) == 0 {
		sayf("No Deployment behind a routed Service changes: the release goes out at once.")
		return errAllAtOnce
	}
	t.adopt(plan, a.job)
	hold, err := s.holdTrial(ctx, t.View.Release)
	if err != nil {
		return err
	}
	defer hold()
	return s.begun(ctx, a, t, plan)
}

// begun stores a canary and brings its objects to the cluster. What goes wrong rejects it.
func (s *Service) begun(ctx context.Context, a attempt, t *trial, plan trialPlan) error {
	sayf := func(format string, args ...any) { a.say(fmt.Sprintf(format, args...)) }
	if err := keepSource(ctx, a.at.admin, a.at.env.Namespace, a.release.Number, a.job.chart, a.job.values); err != nil {
		return err
	}
	a.release.Images, a.release.Hosts = a.job.post.seen, s.urls(a.job.post.hosts)
	if err := s.putTrial(ctx, t, "", nil); err != nil {
		return err
	}
	names := make([]string, 0, len(plan.workloads))
	for _, w := range plan.workloads {
		names = append(names, w.Name)
	}
	sayf("Canary of release %s: %s, beside a baseline of equal size (release %s); %d %% of the traffic of %s.", t.View.Release,
		strings.Join(names, ", "), t.View.Stable, t.Trial.Weight, strings.Join(plan.services, ", "))
	err := s.raise(ctx, a, t, plan, sayf)
	if err == nil {
		t.Ready, t.Trial.Since = true, s.Clock.Now()
		if _, err = s.setWeights(ctx, a.at.env, t.View.Services, t.Trial.Weight, t.Trial.Strategy.Sticky); err == nil {
			err = s.putTrial(ctx, t, event.TypeCanaryStepped, nil)
		}
	}
	if err == nil {
		sayf("Canary of release %s: step %d of %d, %d %%.", t.View.Release, 1, max(1, len(t.Trial.Strategy.Steps)), t.Trial.Weight)
		s.trials.kick()
		return nil
	}
	// It never had traffic: what was made goes at once.
	why := publicWhy(err)
	if ctx.Err() != nil {
		why = "the run was cancelled"
		if errors.Is(context.Cause(ctx), errStopping) {
			why = errStopping.Error()
		}
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	sayf("Canary of release %s failed: %s", t.View.Release, why)
	t.Trial.Phase, t.Trial.Why = canary.Rejected, why
	a.release.Result, a.release.Why = RolledBack, why
	return errors.Join(fault.Wrap(fault.Invalid, err, "Release %s was rejected before it had traffic: %s", t.View.Release, why),
		s.clearTrial(clean, a.at, t), s.putTrial(clean, t, event.TypeCanaryFinished, nil))
}

// newTrial is a canary that is about to begin.
func (s *Service) newTrial(a attempt, stable *Release) *trial {
	now := s.Clock.Now()
	strategy := a.ask.Strategy
	driver := "environment"
	if a.ask.Increment > 0 {
		driver = "pipeline"
		strategy.Steps = []canary.Step{{Weight: a.ask.Increment}}
		if own := a.at.env.Strategy; own != nil {
			strategy.Hold = own.Hold
		}
	}
	t := &trial{
		Trial: *canary.New(strategy, now), Name: a.job.name,
		View: canary.View{
			Release: a.release.ID(), Project: a.release.Project, Environment: a.release.Environment, Stable: stable.ID(), Driver: driver,
			Run: a.release.Run, Commit: a.release.Commit, Started: now,
		},
		Timeout: a.job.timeout, Reset: a.job.reset, NoWait: !a.job.wait, Requester: a.release.Requester,
		Stage: a.job.stage, Job: a.job.job,
	}
	t.Trial.External = a.ask.Increment > 0
	return t
}

// adopt notes what a plan makes.
func (t *trial) adopt(plan trialPlan, j helmJob) {
	t.Plan, t.View.Services, t.Pins = plan.workloads, plan.services, j.post.pins
	for _, w := range plan.workloads {
		t.View.Workloads = append(t.View.Workloads, w.Name)
	}
	for _, c := range plan.configs {
		t.Configs = append(t.Configs, object{kindOf(c), nameOf(c)})
	}
}

// raise makes the objects of a canary, with the rights of the environment's deployers, and
// waits until its pods are ready.
func (s *Service) raise(ctx context.Context, a attempt, t *trial, plan trialPlan, sayf func(string, ...any)) error {
	mine, err := kubernetes.NewForConfig(a.config)
	if err != nil {
		return fmt.Errorf("making a cluster client: %w", err)
	}
	ctx, hopeless := context.WithCancelCause(ctx)
	defer hopeless(nil)
	roll := &rollout{client: a.at.admin, namespace: a.at.env.Namespace, say: sayf, cancel: hopeless}
	if err := errors.Join(roll.watch(ctx), roll.watchRefusals(ctx)); err != nil {
		return err
	}
	var list []applied
	for _, o := range slices.Concat(plan.configs, plan.objects) {
		list = append(list, applied{path: pathOf(o, a.at.env.Namespace), name: nameOf(o), body: o})
	}
	if err := apply(ctx, mine, trialManager, list); err != nil {
		return causeOf(ctx, err)
	}
	if err := awaitTracks(ctx, a.at.admin, a.at.env.Namespace, t, a.job.timeout); err != nil {
		return causeOf(ctx, err)
	}
	return s.notePods(ctx, a.at, t)
}

// pathOf is the path of the collection of an object that a canary makes.
func pathOf(o map[string]any, namespace string) string {
	switch kindOf(o) {
	case "Deployment":
		return "/apis/apps/v1/namespaces/" + namespace + "/deployments"
	case "Secret":
		return "/api/v1/namespaces/" + namespace + "/secrets"
	case "ConfigMap":
		return "/api/v1/namespaces/" + namespace + "/configmaps"
	}
	return "/api/v1/namespaces/" + namespace + "/services"
}

// trackNames lists the Deployments that a canary added.
func (t *trial) trackNames() []string {
	var out []string
	for _, w := range t.Plan {
		out = append(out, trackWorkload(w.Name, route.Canary), trackWorkload(w.Name, route.Baseline))
	}
	return out
}

func trackWorkload(name, track string) string {
	return clipName(name, 253-len("-"+route.Baseline)) + "-" + track
}

// awaitTracks waits until all pods of canary and baseline are available.
func awaitTracks(ctx context.Context, c kubernetes.Interface, namespace string, t *trial, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		missing := ""
		for _, name := range t.trackNames() {
			d, err := c.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("reading deployment %s: %w", name, err)
			}
			if d.Status.ObservedGeneration < d.Generation || d.Spec.Replicas == nil || d.Status.AvailableReplicas < *d.Spec.Replicas {
				missing = name
				break
			}
		}
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return cause
			}
			return fault.New(fault.Unavailable, "Deployment %s is not ready after %s.", missing, limit)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// notePods records the pods of canary and baseline with the releases whose programs they
// run, so that what they emit is told apart.
func (s *Service) notePods(ctx context.Context, at *site, t *trial) error {
	stableProject, stableEnv, stableNumber, err := parseRelease(t.View.Stable)
	if err != nil {
		return err
	}
	project, environmentName, number := t.release()
	for track, r := range map[string]Release{
		route.Canary:   {Project: project, Environment: environmentName, Number: number, Namespace: at.env.Namespace},
		route.Baseline: {Project: stableProject, Environment: stableEnv, Number: stableNumber, Namespace: at.env.Namespace},
	} {
		list, err := at.admin.CoreV1().Pods(at.env.Namespace).List(ctx, metav1.ListOptions{LabelSelector: route.Label + "=" + track})
		if err != nil {
			return fmt.Errorf("listing pods of %s: %w", at.env.Namespace, err)
		}
		err = s.DB.Tx(ctx, func(tx *store.Tx) error {
			for _, p := range list.Items {
				if p.DeletionTimestamp != nil {
					continue
				}
				pod := podOf(&p)
				pod.Since = s.Clock.Now()
				if err := putPod(ctx, tx, r, pod); err != nil {
					return err
				}
				if err := s.Log.Append(ctx, tx, podFact(r, pod)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// clearTrial takes away what a canary added. What is gone already is no error.
func (s *Service) clearTrial(ctx context.Context, at *site, t *trial) error {
	var errs []error
	note := func(err error) {
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	ns := at.env.Namespace
	background := metav1.DeletePropagationBackground
	for _, name := range t.trackNames() {
		note(at.admin.AppsV1().Deployments(ns).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background}))
	}
	for _, service := range t.View.Services {
		for _, track := range []string{route.Baseline, route.Canary} {
			note(at.admin.CoreV1().Services(ns).Delete(ctx, trackService(service, track), metav1.DeleteOptions{}))
		}
	}
	for _, c := range t.Configs {
		if c.Kind == "Secret" {
			note(at.admin.CoreV1().Secrets(ns).Delete(ctx, c.Name, metav1.DeleteOptions{}))
		} else {
			note(at.admin.CoreV1().ConfigMaps(ns).Delete(ctx, c.Name, metav1.DeleteOptions{}))
		}
	}
	_, _, number := t.release()
	note(at.admin.CoreV1().Secrets(ns).Delete(ctx, sourceName(number), metav1.DeleteOptions{}))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("taking away what the canary of %s added: %w", t.View.Release, err)
	}
	return nil
}

// source is what a canary is promoted with: as Helm does, it is kept in a Secret of the
// namespace, because values may hold secrets.
type source struct {
	Files  []File         `json:"files"`
	Values map[string]any `json:"values"`
}

func sourceName(number int64) string { return fmt.Sprintf("towpath-canary-%d", number) }

// maxSource bounds what a source may unpack to.
const maxSource = 64 << 20

func keepSource(ctx context.Context, c kubernetes.Interface, namespace string, number int64, ch *chart.Chart, values map[string]any) error {
	src := source{Values: values}
	for _, f := range ch.Raw {
		src.Files = append(src.Files, File{Name: f.Name, Data: f.Data})
	}
	raw, err := json.Marshal(src)
	if err != nil {
		return fmt.Errorf("encoding the chart: %w", err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(raw); err != nil {
		return fmt.Errorf("packing the chart: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("packing the chart: %w", err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: sourceName(number), Labels: map[string]string{"app.kubernetes.io/managed-by": "towpath"}},
		Type:       "towpath.dev/canary", Data: map[string][]byte{"source": packed.Bytes()},
	}
	if _, err := c.CoreV1().Secrets(namespace).Create(ctx, secret, metav1.CreateOptions{FieldManager: trialManager}); err != nil {
		return fmt.Errorf("keeping the chart of the canary: %w", err)
	}
	return nil
}

func readSource(ctx context.Context, c kubernetes.Interface, namespace string, number int64) (source, error) {
	var src source
	secret, err := c.CoreV1().Secrets(namespace).Get(ctx, sourceName(number), metav1.GetOptions{})
	if err != nil {
		return src, fmt.Errorf("reading the chart of the canary: %w", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(secret.Data["source"]))
	if err != nil {
		return src, fmt.Errorf("unpacking the chart of the canary: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(z, maxSource))
	if err != nil {
		return src, fmt.Errorf("unpacking the chart of the canary: %w", err)
	}
	if err := json.Unmarshal(raw, &src); err != nil {
		return src, fmt.Errorf("decoding the chart of the canary: %w", err)
	}
	return src, nil
}
