package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"towpath.dev/towpath/internal/fault"
)

// maxHistory is how many revisions Helm keeps to go back to.
const maxHistory = 10

// helm is one Helm client: one identity, one namespace.
type helm struct {
	cfg       *action.Configuration
	namespace string
}

func newHelm(a *access) (*helm, error) {
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.NewTextHandler(io.Discard, nil)))
	if err := cfg.Init(a, a.namespace, "secrets"); err != nil {
		return nil, fmt.Errorf("starting Helm: %w", err)
	}
	return &helm{cfg: cfg, namespace: a.namespace}, nil
}

// last returns the newest revision of a release, nil when there is none.
func (h *helm) last(name string) (*helmrelease.Release, error) {
	got, err := h.cfg.Releases.Last(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(name, err)
	}
	rel, ok := got.(*helmrelease.Release)
	if !ok {
		return nil, fmt.Errorf("reading the history of %s: unknown release type %T", name, got)
	}
	return rel, nil
}

// recover marks a revision that a crash left pending as failed, so that the next one
// may begin. The caller holds the lease, so nobody else is at work on it.
func (h *helm) recover(name string) (was common.Status, err error) {
	rel, err := h.last(name)
	if err != nil || rel == nil || !rel.Info.Status.IsPending() {
		return "", err
	}
	was = rel.Info.Status
	rel.SetStatus(common.StatusFailed, "interrupted: the server ended while this revision was "+was.String())
	if err := h.cfg.Releases.Update(rel); err != nil {
		return was, fmt.Errorf("marking revision %d of %s as failed: %w", rel.Version, name, err)
	}
	return was, nil
}

// job is what helm is to bring about.
type helmJob struct {
	name    string
	chart   *chart.Chart
	values  map[string]any
	post    *pinner
	timeout time.Duration
	wait    bool
	install bool // install when there is no release yet
	reset   bool // forget values of the revision before
	note    string
	try     *CanaryRequest // nil: as the environment says
	whole   bool           // all at once, whatever the environment says
	force   bool           // take fields over that others have set
	adopt   bool           // take objects over that live and are of no release, or of another one
	stage   string         // of the job that asks
	job     string
}

// apply installs or upgrades and waits until everything is ready by kstatus, until
// waiting ends (the run was cancelled, or the watcher saw a fault), or until the time
// is up. Helm is not given a context that ends: it would return at once while its own
// goroutine still writes the history, in a race with the rollback that follows.
func (h *helm) apply(waiting context.Context, j helmJob) (*helmrelease.Release, error) {
	if err := context.Cause(waiting); err != nil {
		return nil, err
	}
	ctx := context.WithoutCancel(waiting)
	strategy := kube.StatusWatcherStrategy
	if !j.wait {
		strategy = kube.HookOnlyStrategy
	}
	options := []kube.WaitOption{kube.WithWaitContext(waiting)}
	last, err := h.last(j.name)
	if err != nil {
		return nil, err
	}
	if last == nil || last.Info.Status == common.StatusUninstalled {
		if !j.install {
			return nil, fault.New(fault.NotFound, "There is no release %s in namespace %s to upgrade.", j.name, h.namespace).
				WithNext("set `install: true` on the task")
		}
		in := action.NewInstall(h.cfg)
		in.ReleaseName, in.Namespace, in.Timeout, in.Description = j.name, h.namespace, j.timeout, j.note
		in.WaitStrategy, in.WaitOptions, in.WaitForJobs, in.PostRenderer = strategy, options, j.wait, j.post
		in.Replace, in.TakeOwnership, in.ForceConflicts = last != nil, j.adopt, j.adopt || j.force
		got, err := in.RunWithContext(ctx, j.chart, j.values)
		return asRelease(got), err
	}
	up := action.NewUpgrade(h.cfg)
	up.Namespace, up.Timeout, up.Description, up.MaxHistory = h.namespace, j.timeout, j.note, maxHistory
	up.WaitStrategy, up.WaitOptions, up.WaitForJobs, up.PostRenderer = strategy, options, j.wait, j.post
	up.ResetValues, up.ResetThenReuseValues = j.reset, !j.reset
	up.ServerSideApply, up.TakeOwnership, up.ForceConflicts = "true", j.adopt, j.adopt || j.force
	got, err := up.RunWithContext(ctx, j.name, j.chart, j.values)
	return asRelease(got), err
}

// render makes the manifest that apply would apply over a live release, without applying it.
func (h *helm) render(j helmJob) (string, error) {
	up := action.NewUpgrade(h.cfg)
	up.Namespace, up.DryRunStrategy, up.PostRenderer = h.namespace, action.DryRunServer, j.post
	up.ResetValues, up.ResetThenReuseValues, up.ServerSideApply = j.reset, !j.reset, "true"
	got, err := up.RunWithContext(context.Background(), j.name, j.chart, j.values)
	if err != nil {
		return "", err
	}
	return asRelease(got).Manifest, nil
}

// fixed is a post-renderer that puts a manifest in place of what was rendered.
type fixed struct{ manifest *bytes.Buffer }

// Run returns the manifest.
func (f fixed) Run(*bytes.Buffer) (*bytes.Buffer, error) {
	return bytes.NewBuffer(f.manifest.Bytes()), nil
}

// reapply makes a new revision of a live release whose manifest is another, and waits until
// it is ready. Nothing is rendered anew, and no hook runs.
func (h *helm) reapply(ctx context.Context, live *helmrelease.Release, manifest []map[string]any, note string) (*helmrelease.Release, error) {
	text, err := encode(manifest)
	if err != nil {
		return nil, err
	}
	up := action.NewUpgrade(h.cfg)
	up.Namespace, up.Timeout, up.Description, up.MaxHistory = h.namespace, DefaultTimeout, note, maxHistory
	up.WaitStrategy, up.WaitOptions = kube.StatusWatcherStrategy, []kube.WaitOption{kube.WithWaitContext(ctx)}
	up.PostRenderer, up.PostRenderStrategy, up.DisableHooks = fixed{text}, action.PostRenderStrategyNoHooks, true
	up.ResetValues, up.ServerSideApply = true, "true"
	got, err := up.RunWithContext(context.WithoutCancel(ctx), live.Name, live.Chart, live.Config)
	return asRelease(got), err
}

// deployed returns the revision of a release that serves, nil when none does.
func (h *helm) deployed(name string) (*helmrelease.Release, error) {
	got, err := h.cfg.Releases.Deployed(name)
	if errors.Is(err, driver.ErrReleaseNotFound) || errors.Is(err, driver.ErrNoDeployedReleases) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the live revision of %s: %w", name, err)
	}
	return asRelease(got), nil
}

// liveObjects returns the deployed revision of a Helm release with the objects of its
// manifest; nil when nothing is deployed under that name.
func (h *helm) liveObjects(name string) (*helmrelease.Release, []map[string]any, error) {
	live, err := h.deployed(name)
	if err != nil || live == nil {
		return nil, nil, err
	}
	objects, err := decode(strings.NewReader(live.Manifest))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the manifest of %s: %w", name, err)
	}
	return live, objects, nil
}

// names lists the releases of the namespace that serve.
func (h *helm) names() ([]string, error) {
	list, err := h.cfg.Releases.ListDeployed()
	if err != nil {
		return nil, fmt.Errorf("listing releases of %s: %w", h.namespace, err)
	}
	var out []string
	for _, v := range list {
		if r := asRelease(v); r != nil && !slices.Contains(out, r.Name) {
			out = append(out, r.Name)
		}
	}
	return out, nil
}

func asRelease(v any) *helmrelease.Release {
	r, _ := v.(*helmrelease.Release)
	return r
}

// back returns to the newest revision before failed that was deployed; when there is
// none, it takes the failed one away. It says which revision serves now, 0 for none.
func (h *helm) back(name string, failed int, timeout time.Duration) (int, error) {
	history, err := h.cfg.Releases.History(name)
	if err != nil {
		return 0, unreadable(name, err)
	}
	good := 0
	for _, v := range history {
		r := asRelease(v)
		if r != nil && r.Version < failed && r.Version > good && (r.Info.Status == common.StatusDeployed || r.Info.Status == common.StatusSuperseded) {
			good = r.Version
		}
	}
	if good == 0 {
		un := action.NewUninstall(h.cfg)
		un.Timeout, un.WaitStrategy, un.IgnoreNotFound = timeout, kube.StatusWatcherStrategy, true
		if _, err := un.Run(name); err != nil {
			return 0, fmt.Errorf("taking release %s away: %w", name, err)
		}
		return 0, nil
	}
	rb := action.NewRollback(h.cfg)
	rb.Version, rb.Timeout, rb.MaxHistory = good, timeout, maxHistory
	rb.WaitStrategy, rb.WaitForJobs, rb.ServerSideApply = kube.StatusWatcherStrategy, true, "true"
	if err := rb.Run(name); err != nil {
		return 0, fmt.Errorf("rolling %s back to revision %d: %w", name, good, err)
	}
	return good, nil
}

// unreadable is why the history of a release cannot be read. Credentials that may not do so, as
// those of a connection in a namespace that is not theirs, are no failure of ours.
func unreadable(name string, err error) error {
	if apierrors.IsForbidden(err) || strings.Contains(err.Error(), "is forbidden:") {
		return fault.Wrap(fault.Denied, err, "The history of %s, which lies in Secrets, may not be read: %s", name, firstLine(err.Error())).
			WithNext("deploy to a namespace in which the credentials may work, or give them the role admin there")
	}
	return fmt.Errorf("reading the history of %s: %w", name, err)
}
