package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// DefaultTimeout is how long a release may take to become ready when nobody says.
const DefaultTimeout = 5 * time.Minute

// manifestsChart is the name of the chart that plain manifests are wrapped in.
const manifestsChart = "manifests"

// undoTimeout bounds going back to the version before.
const undoTimeout = 2 * time.Minute

// File is one file of a chart, its name relative to the chart's folder.
type File struct {
	Name string
	Data []byte
}

// Target says where a release goes and who makes it.
type Target struct {
	Actor     identity.Actor // a job of a run; its claims name the environment
	Namespace string         // "" takes the environment's
	Name      string         // Helm release name
	Timeout   time.Duration  // 0 means DefaultTimeout
}

// Chart asks for a Helm release.
type Chart struct {
	Target
	Files       []File   // the chart, at least Chart.yaml
	Values      [][]byte // YAML files, later ones win
	Set         []string // "key=value" as in `helm --set`, after Values
	Overrides            // the other ways to set values
	NoWait      bool     // do not wait until it is ready; then nothing is rolled back either
	NoInstall   bool     // upgrade only
	ReuseValues bool     // start from the values of the revision before
	Force       bool     // take fields over that others have set

	// Strategy asks for a canary; nil takes the strategy of the environment.
	Strategy *CanaryRequest
}

// Say receives progress, one line at a time.
type Say func(line string)

// Helm deploys a chart to the environment that the actor's job names. It returns the
// release as recorded. An error is returned when the release did not become ready; the
// version before serves again then, and the Release says so.
func (s *Service) Helm(ctx context.Context, c Chart, say Say) (Release, error) {
	ch, err := load(c.Files)
	if err != nil {
		return Release{}, err
	}
	values, err := c.values()
	if err != nil {
		return Release{}, err
	}
	r, err := s.release(ctx, c.Target, ch.Name()+"-"+ch.Metadata.Version, helmJob{
		chart: ch, values: values, wait: !c.NoWait, install: !c.NoInstall, reset: !c.ReuseValues, post: &pinner{}, try: c.Strategy, force: c.Force,
	}, say)
	if err != nil || r.Result != Started || c.Strategy != nil && c.Strategy.Increment > 0 {
		return r, err
	}
	return s.followTrial(ctx, r, say)
}

// load reads a chart.
func load(list []File) (*chart.Chart, error) {
	files := make([]*archive.BufferedFile, 0, len(list))
	for _, f := range list {
		files = append(files, &archive.BufferedFile{Name: f.Name, Data: f.Data})
	}
	ch, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The chart cannot be read: %v.", err).
			WithNext("check it with `helm lint`, and that `chartPath` names the folder that holds Chart.yaml")
	}
	if err := ch.Validate(); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The chart is not valid: %v.", err)
	}
	return ch, nil
}

// release is the one way in which anything reaches the cluster.
func (s *Service) release(ctx context.Context, t Target, chartName string, j helmJob, say Say) (Release, error) {
	ctx, at, err := s.arrive(ctx, t, say)
	if err != nil {
		return Release{}, err
	}
	defer at.free()
	job, env := t.Actor.Job, at.env
	if r, done, err := s.inTheWay(ctx, at, t, j, say); done || err != nil {
		return r, err
	}
	r := Release{
		Project: env.Project, Environment: env.Name, Namespace: env.Namespace, Name: t.Name, Chart: chartName,
		Run: job.Run, Commit: job.Commit, Actor: t.Actor.String(), Requester: job.Requester,
	}
	if t.Timeout <= 0 {
		t.Timeout = DefaultTimeout
	}
	cfg, err := s.Clusters.As(ctx, job, []string{Group(env.Project, env.Name)}, t.Timeout+undoTimeout+time.Minute)
	if err != nil {
		return r, err
	}
	j.name, j.timeout, j.stage, j.job = t.Name, t.Timeout, job.Stage, job.Job
	return s.perform(ctx, at, t.Actor, r, j, cfg, say)
}

// arrive locks the environment that the actor's job names, making it when missing.
func (s *Service) arrive(ctx context.Context, t Target, say Say) (context.Context, *site, error) {
	job := t.Actor.Job
	if err := s.Auth.Require(ctx, t.Actor, job.Project, identity.Write); err != nil {
		return ctx, nil, err
	}
	name := s.environmentOf(t)
	if name == "" {
		return ctx, nil, noEnvironment(job)
	}
	env, err := s.ensure(ctx, t.Actor, job.Project, name, t.Namespace)
	if err != nil {
		return ctx, nil, err
	}
	return s.occupy(ctx, env, fmt.Sprintf("run/%d", job.Run), say)
}

func noEnvironment(job identity.JobClaims) error {
	return fault.New(fault.Denied, "Job %s.%s names no environment, so it may not deploy.", job.Stage, job.Job).
		WithNext("make it a `deployment` job with `environment: NAME`")
}

// inTheWay deals with the canary that a release finds in its environment: the next round of
// the same pipeline's goes on with it, and then done is true; another one gives way.
func (s *Service) inTheWay(ctx context.Context, at *site, t Target, j helmJob, say Say) (r Release, done bool, err error) {
	open, err := s.openCanary(ctx, at.env)
	if err != nil || open == nil {
		return r, false, err
	}
	job := t.Actor.Job
	if j.try != nil && j.try.Increment > 0 && open.Trial.External && open.View.Run == job.Run && open.Stage == job.Stage && open.Name == t.Name {
		r, err := s.round(ctx, at, open.View.Release, j.try.Increment, say)
		return r, true, err
	}
	return r, false, s.supersede(ctx, at, open.View.Release, t.Actor.String(), say)
}

// perform makes a release of an environment that is held, with the rights of cfg.
func (s *Service) perform(ctx context.Context, at *site, a identity.Actor, r Release, j helmJob, cfg *rest.Config, say Say) (Release, error) {
	acc, err := newAccess(cfg, at.env.Namespace)
	if err != nil {
		return r, err
	}
	h, err := newHelm(acc)
	if err != nil {
		return r, err
	}
	j.post.ctx, j.post.actor, j.post.registry, j.post.auth, j.post.images = ctx, a, s.opts.Registry, s.Auth, s.Images
	if j.try == nil && !j.whole && at.env.Strategy != nil && len(at.env.Strategy.Steps) > 0 {
		j.try = &CanaryRequest{Strategy: *at.env.Strategy}
	}
	if j.try != nil && s.remote != nil {
		return r, fault.New(fault.Conflict, "A canary deals requests by the platform's router, and environment %s is on the cluster of the connection %s.", at.env.Name, at.env.Connection).
			WithNext("use KubernetesManifest@1 with strategy: canary and trafficSplitMethod: pod")
	}
	if j.try != nil && at.env.Routing != On {
		if err := s.routeForCanary(ctx, at, a, say); err != nil {
			return r, err
		}
	}
	var step *swapper
	if at.env.Routing == On {
		if step, err = s.routed(ctx, at, j.name, j.post, say); err != nil {
			return r, err
		}
	}
	if err := s.begin(ctx, &r); err != nil {
		return r, err
	}
	if s.Gate != nil {
		j.post.admit = func(objects []map[string]any) error {
			return s.Gate.Admit(ctx, Admission{
				Actor: a, Project: at.env.Project, Environment: at.env.Name, Cluster: at.env.Connection, Namespace: at.env.Namespace, Release: r.ID(), Objects: objects,
			}, say)
		}
	}
	j.note = fmt.Sprintf("release %s by run %d, commit %.12s", r.ID(), r.Run, r.Commit)
	if j.try != nil {
		err := s.tryFirst(ctx, attempt{at: at, release: &r, helm: h, config: cfg, job: j, ask: *j.try, say: say})
		if !errors.Is(err, errAllAtOnce) {
			return r, err
		}
		j.post.seen, j.post.hosts, j.post.kinds = nil, nil, nil
	}
	err = s.carryOut(ctx, &r, h, j, at.admin, say)
	if err == nil && step != nil {
		err = s.keepRoutes(ctx, at.env, j.name, step, true)
	}
	// The end is recorded even when the run was cancelled meanwhile.
	if rerr := s.finish(context.WithoutCancel(ctx), &r); rerr != nil {
		return r, errors.Join(err, rerr)
	}
	return r, err
}

// routeForCanary turns routing of an environment on, because a canary needs its share of
// the traffic.
func (s *Service) routeForCanary(ctx context.Context, at *site, a identity.Actor, say Say) error {
	say(fmt.Sprintf("A canary needs its share of the traffic: routing is turned on for environment %s.", at.env.Name))
	if err := s.turn(ctx, at, true, say); err != nil {
		return err
	}
	if err := s.set(ctx, a, at.env, "routing", On); err != nil {
		return err
	}
	at.env.Routing = On
	return nil
}

// tryFirst begins a canary; what cannot even begin ends the release.
func (s *Service) tryFirst(ctx context.Context, a attempt) error {
	if was, err := a.helm.recover(a.job.name); err != nil {
		return err
	} else if was != "" {
		a.say(fmt.Sprintf("An earlier revision was left %s; it is marked as failed now.", was))
	}
	err := s.try(ctx, a)
	if err == nil || errors.Is(err, errAllAtOnce) {
		return err
	}
	if a.release.Result == Started {
		a.release.Result, a.release.Why = Failed, publicWhy(err)
	}
	return errors.Join(err, s.finish(context.WithoutCancel(ctx), a.release))
}

// await gives a cluster that is starting, after `towpath up`, the time that it needs.
func (s *Service) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	return s.Clusters.Await(ctx)
}

func (s *Service) adminClient(ctx context.Context) (kubernetes.Interface, error) {
	cfg, err := s.Clusters.Admin(ctx)
	if err != nil {
		return nil, err
	}
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a cluster client: %w", err)
	}
	return c, nil
}

func (s *Service) carryOut(ctx context.Context, r *Release, h *helm, j helmJob, admin kubernetes.Interface, say Say) error {
	sayf := func(format string, args ...any) { say(fmt.Sprintf(format, args...)) }
	if was, err := h.recover(j.name); err != nil {
		r.Result, r.Why = Failed, publicWhy(err)
		return err
	} else if was != "" {
		sayf("An earlier revision was left %s; it is marked as failed now.", was)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	waiting, hopeless := context.WithCancelCause(watching)
	defer hopeless(nil)
	roll := &rollout{client: admin, namespace: r.Namespace, say: sayf, cancel: hopeless}
	if err := errors.Join(roll.watch(watching), roll.watchRefusals(watching)); err != nil && s.remote != nil {
		sayf("The credentials of the connection %s may not watch pods: what happens to them is not said here.", s.remote.Connection)
	} else if err != nil {
		r.Result, r.Why = Failed, publicWhy(err)
		return err
	}
	sayf("Release %s: applying %s to namespace %s as run %d (server-side apply).", r.ID(), orManifests(r.Chart), r.Namespace, r.Run)
	got, err := h.apply(waiting, j)
	r.Images, r.Hosts = j.post.seen, s.urls(j.post.hosts)
	if got != nil {
		r.Revision = got.Version
	}
	if err == nil {
		return s.deployed(ctx, r, j, admin, sayf)
	}
	return s.undo(ctx, r, h, j, got, roll, admin, sayf, causeOf(waiting, err))
}

// causeOf prefers what the watcher saw to Helm's "context canceled".
func causeOf(waiting context.Context, err error) error {
	if cause := context.Cause(waiting); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (s *Service) deployed(ctx context.Context, r *Release, j helmJob, admin kubernetes.Interface, sayf func(string, ...any)) error {
	r.Result = Deployed
	pods, err := podsOf(ctx, admin, r.Namespace, j.post.kinds)
	if err != nil && s.remote == nil {
		return err
	}
	now := s.Clock.Now()
	for i := range pods {
		pods[i].Since = now
	}
	if s.remote == nil { // Nobody watches the pods of another cluster.
		r.Pods = pods
	}
	sayf("Release %s is deployed: revision %d, %d pods.", r.ID(), r.Revision, len(pods))
	for _, u := range r.Hosts {
		sayf("It serves at %s", u)
	}
	return nil
}

func (s *Service) undo(ctx context.Context, r *Release, h *helm, j helmJob, got *helmrelease.Release, roll *rollout, admin kubernetes.Interface,
	sayf func(string, ...any), cause error) error {
	r.Result, r.Why = Failed, publicWhy(cause)
	// A cancelled run must not leave half a release behind.
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout+30*time.Second)
	defer cancel()
	if more := why(clean, admin, r.Namespace, roll.old); more != "" && !strings.Contains(r.Why, more) {
		r.Why = more
	}
	if ctx.Err() != nil {
		r.Why = "the run was cancelled"
		if errors.Is(context.Cause(ctx), errStopping) {
			r.Why = errStopping.Error()
		}
	}
	if got == nil || got.Version == 0 || !j.wait {
		return fault.Wrap(fault.Invalid, cause, "Release %s failed: %s", r.ID(), r.Why)
	}
	sayf("Release %s failed: %s", r.ID(), r.Why)
	sayf("Putting the version before back…")
	rev, err := h.back(j.name, got.Version, undoTimeout)
	switch {
	case err != nil:
		return fault.Wrap(fault.Conflict, errors.Join(cause, err), "Release %s failed (%s) and could not be rolled back.", r.ID(), r.Why).
			WithNext("look at it with `towpath kubectl -n %s get pods`", r.Namespace)
	case rev == 0:
		sayf("There was no version before; release %s was taken away.", j.name)
		return fault.Wrap(fault.Invalid, cause, "Release %s failed and was taken away: %s", r.ID(), r.Why)
	}
	r.Result = RolledBack
	sayf("Rolled back: revision %d serves on.", rev)
	return fault.Wrap(fault.Invalid, cause, "Release %s failed and was rolled back to revision %d: %s", r.ID(), rev, r.Why)
}

// publicWhy is the one line that people see. Helm's own errors hold no secrets of
// ours: they speak of objects and conditions.
func publicWhy(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return firstLine(f.Message)
	}
	if apierrors.IsForbidden(err) {
		return "a run may change nothing outside of its environment's namespace: " + firstLine(err.Error())
	}
	return firstLine(err.Error())
}

func orManifests(chart string) string {
	if chart == "" {
		return "manifests"
	}
	return "chart " + chart
}

// urls turns Ingress hosts into addresses that can be opened.
func (s *Service) urls(hosts []string) []string {
	scheme, addr, ok := strings.Cut(s.opts.FrontDoor, "://")
	var out []string
	for _, h := range hosts {
		if !ok {
			out = append(out, "http://"+h)
			continue
		}
		if i := strings.LastIndexByte(addr, ':'); i >= 0 {
			h += addr[i:]
		}
		out = append(out, scheme+"://"+h)
	}
	return out
}
