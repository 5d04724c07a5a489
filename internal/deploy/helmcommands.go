package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// helmAt returns Helm in the environment that the actor's job names, for what only reads.
func (s *Service) helmAt(ctx context.Context, t Target) (*helm, Environment, error) {
	at, err := s.peek(ctx, t)
	if err != nil {
		return nil, Environment{}, err
	}
	h, _, err := s.deployer(ctx, at.env, t.Actor.Job.Run)
	return h, at.env, err
}

// HelmList lists the Helm releases of an environment's namespace, the newest revision of
// each; format is "", "table", "json" or "yaml".
func (s *Service) HelmList(ctx context.Context, t Target, format string) (string, error) {
	h, _, err := s.helmAt(ctx, t)
	if err != nil {
		return "", err
	}
	list := action.NewList(h.cfg)
	list.StateMask = action.ListDeployed | action.ListFailed
	got, err := list.Run()
	if err != nil {
		return "", fmt.Errorf("listing releases of %s: %w", h.namespace, err)
	}
	var all []*helmrelease.Release
	for _, v := range got {
		if r := asRelease(v); r != nil {
			all = append(all, r)
		}
	}
	return releasesText(all, format)
}

// HelmHistory lists the revisions of a release that Helm still has.
func (s *Service) HelmHistory(ctx context.Context, t Target, format string) (string, error) {
	h, _, err := s.helmAt(ctx, t)
	if err != nil {
		return "", err
	}
	got, err := h.cfg.Releases.History(t.Name)
	if err != nil {
		return "", noHelmRelease(t.Name, h.namespace)
	}
	var all []*helmrelease.Release
	for _, v := range got {
		if r := asRelease(v); r != nil {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *helmrelease.Release) int { return a.Version - b.Version })
	return releasesText(all, format)
}

func noHelmRelease(name, namespace string) error {
	return fault.New(fault.NotFound, "There is no release %s in namespace %s.", name, namespace).WithNext("list them with the command ls")
}

// releaseLine is a revision as `helm ls -o json` has it.
type releaseLine struct {
	Name       string `json:"name"`
	Namespace  string `json:"namespace"`
	Revision   string `json:"revision"`
	Updated    string `json:"updated"`
	Status     string `json:"status"`
	Chart      string `json:"chart"`
	AppVersion string `json:"app_version"`
}

func releasesText(all []*helmrelease.Release, format string) (string, error) {
	lines := make([]releaseLine, 0, len(all))
	for _, r := range all {
		l := releaseLine{Name: r.Name, Namespace: r.Namespace, Revision: fmt.Sprint(r.Version)}
		if r.Info != nil {
			l.Updated, l.Status = r.Info.LastDeployed.UTC().Format(time.RFC3339), r.Info.Status.String()
		}
		if r.Chart != nil && r.Chart.Metadata != nil {
			l.Chart, l.AppVersion = r.Chart.Metadata.Name+"-"+r.Chart.Metadata.Version, r.Chart.Metadata.AppVersion
		}
		lines = append(lines, l)
	}
	switch format {
	case "json":
		b, err := json.Marshal(lines)
		return string(b) + "\n", err
	case "yaml":
		b, err := yaml.Marshal(lines)
		return string(b), err
	case "", "table":
		var out strings.Builder
		w := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tNAMESPACE\tREVISION\tUPDATED\tSTATUS\tCHART\tAPP VERSION")
		for _, l := range lines {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, l.Namespace, l.Revision, l.Updated, l.Status, l.Chart, l.AppVersion)
		}
		err := w.Flush()
		return out.String(), err
	}
	return "", fault.New(fault.Invalid, "Helm has no output %q.", format).WithNext("use table, json or yaml")
}

// HelmGet says of a release what `helm get` and `helm status` say: what is "status", "values",
// "manifest", "notes" or "hooks"; revision 0 is the newest. Values may hold secrets that no log
// should have, so those of a manifest's Secrets are hidden.
func (s *Service) HelmGet(ctx context.Context, t Target, what string, revision int) (string, error) {
	h, _, err := s.helmAt(ctx, t)
	if err != nil {
		return "", err
	}
	r, err := h.last(t.Name)
	if err == nil && revision > 0 {
		got, gerr := h.cfg.Releases.Get(t.Name, revision)
		if r = asRelease(got); gerr != nil {
			r = nil
		}
	}
	if err != nil {
		return "", err
	}
	if r == nil {
		return "", noHelmRelease(t.Name, h.namespace)
	}
	switch what {
	case "status":
		return fmt.Sprintf("NAME: %s\nLAST DEPLOYED: %s\nNAMESPACE: %s\nSTATUS: %s\nREVISION: %d\nNOTES:\n%s\n", r.Name,
			r.Info.LastDeployed.UTC().Format(time.ANSIC), r.Namespace, r.Info.Status, r.Version, r.Info.Notes), nil
	case "values":
		b, err := yaml.Marshal(r.Config)
		return "USER-SUPPLIED VALUES:\n" + string(b), err
	case "notes":
		return "NOTES:\n" + r.Info.Notes + "\n", nil
	case "manifest", "hooks":
		text := r.Manifest
		if what == "hooks" {
			text = withHooks(&helmrelease.Release{Hooks: r.Hooks})
		}
		objects, err := decode(strings.NewReader(text))
		if err != nil {
			return "", fmt.Errorf("reading the manifest of %s: %w", t.Name, err)
		}
		return printed("yaml", objects, "")
	}
	return "", fault.New(fault.Invalid, "helm get has no %q.", what).WithNext("use values, manifest, notes or hooks")
}

// HelmRollback deploys an earlier revision of a release again, 0 the one before, as a new
// release of the environment: with its chart, its values and its images.
func (s *Service) HelmRollback(ctx context.Context, t Target, revision int, say Say) (Release, error) {
	ctx, at, err := s.arrive(ctx, t, say)
	if err != nil {
		return Release{}, err
	}
	defer at.free()
	h, _, err := s.deployer(ctx, at.env, t.Actor.Job.Run)
	if err != nil {
		return Release{}, err
	}
	if revision == 0 {
		if revision, err = h.before(t.Name); err != nil {
			return Release{}, err
		}
	}
	was, err := h.revision(t.Name, revision)
	if err != nil {
		return Release{}, err
	}
	if open, err := s.openCanary(ctx, at.env); err != nil {
		return Release{}, err
	} else if open != nil {
		if err := s.supersede(ctx, at, open.View.Release, t.Actor.String(), say); err != nil {
			return Release{}, err
		}
	}
	known, err := releases(ctx, s.DB, `project = ? AND environment = ? AND name = ? AND revision = ? AND result = ? ORDER BY number DESC LIMIT 1`,
		at.env.Project, at.env.Name, t.Name, revision, Deployed)
	if err != nil {
		return Release{}, err
	}
	job := t.Actor.Job
	r := Release{
		Project: at.env.Project, Environment: at.env.Name, Namespace: at.env.Namespace, Name: t.Name, Chart: was.Chart.Name() + "-" + was.Chart.Metadata.Version,
		Run: job.Run, Commit: job.Commit, Actor: t.Actor.String(), Requester: job.Requester,
	}
	post := &pinner{}
	if len(known) > 0 {
		// The images and the commit are those that served then, whatever a tag is now.
		post.replace, r.Commit = imagesOf(known[0].Images), known[0].Commit
	}
	if t.Timeout <= 0 {
		t.Timeout = DefaultTimeout
	}
	cfg, err := s.Clusters.As(ctx, job, []string{Group(at.env.Project, at.env.Name)}, t.Timeout+undoTimeout+time.Minute)
	if err != nil {
		return r, err
	}
	say(fmt.Sprintf("Revision %d of %s is deployed again.", revision, t.Name))
	return s.perform(ctx, at, t.Actor, r, helmJob{
		name: t.Name, chart: was.Chart, values: was.Config, post: post, wait: true, install: true, reset: true, whole: true, timeout: t.Timeout,
		stage: job.Stage, job: job.Job,
	}, cfg, say)
}

// before is the newest revision before the one that serves that has served too.
func (h *helm) before(name string) (int, error) {
	live, err := h.deployed(name)
	if err != nil {
		return 0, err
	}
	history, err := h.cfg.Releases.History(name)
	if err != nil || live == nil {
		return 0, noHelmRelease(name, h.namespace)
	}
	best := 0
	for _, v := range history {
		if r := asRelease(v); r != nil && r.Version < live.Version && r.Version > best && r.Info.Status == common.StatusSuperseded {
			best = r.Version
		}
	}
	if best == 0 {
		return 0, fault.New(fault.NotFound, "Release %s has no revision before %d that served.", name, live.Version)
	}
	return best, nil
}

// Uninstall says how a release is taken away.
type Uninstall struct {
	Target
	KeepHistory    bool
	IgnoreNotFound bool
	NoHooks        bool
	Wait           bool
}

// HelmUninstall takes a release away with its objects, and records that it is gone.
func (s *Service) HelmUninstall(ctx context.Context, u Uninstall, say Say) error {
	ctx, at, err := s.arrive(ctx, u.Target, say)
	if err != nil {
		return err
	}
	defer at.free()
	if at.env.Routing == On {
		return fault.New(fault.Conflict, "Environment %s is routed: its router would lead to nothing.", at.env.Name).
			WithNext("turn routing off first: towpath env edit %s --routing off --project %s", at.env.Name, at.env.Project)
	}
	h, _, err := s.deployer(ctx, at.env, u.Actor.Job.Run)
	if err != nil {
		return err
	}
	last, err := h.last(u.Name)
	if err != nil {
		return err
	}
	if last == nil || last.Info.Status == common.StatusUninstalled {
		if u.IgnoreNotFound {
			return nil
		}
		return noHelmRelease(u.Name, at.env.Namespace)
	}
	un := action.NewUninstall(h.cfg)
	un.KeepHistory, un.DisableHooks, un.Timeout, un.WaitStrategy = u.KeepHistory, u.NoHooks, u.Timeout, kube.HookOnlyStrategy
	if un.Timeout <= 0 {
		un.Timeout = DefaultTimeout
	}
	if u.Wait {
		un.WaitStrategy = kube.StatusWatcherStrategy
	}
	if _, err := un.Run(u.Name); err != nil {
		return fault.Wrap(fault.Conflict, err, "Release %s could not be taken away: %s", u.Name, firstLine(err.Error()))
	}
	say(fmt.Sprintf("release %q uninstalled", u.Name))
	return s.remember(ctx, at.env, u.Target)
}

// remember records that a Helm release is gone.
func (s *Service) remember(ctx context.Context, env Environment, t Target) error {
	return s.DB.Tx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		live, err := releases(ctx, tx, `project = ? AND environment = ? AND name = ? AND result = ? AND removed = 0 ORDER BY number DESC LIMIT 1`, env.Project, env.Name, t.Name, Deployed)
		if err != nil || len(live) == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE release SET removed = ? WHERE project = ? AND environment = ? AND name = ? AND removed = 0`,
			s.Clock.Now().UnixMilli(), env.Project, env.Name, t.Name); err != nil {
			return fmt.Errorf("recording that release %s is gone: %w", t.Name, err)
		}
		return s.Log.Append(ctx, tx, event.Fact{
			Type: event.TypeReleaseRemoved, Subject: live[0].Subject(), Project: env.Project, Actor: t.Actor.String(),
			Payload: event.ReleaseRemoved{V: 1, Release: live[0].ID(), Environment: env.Name, Name: t.Name, Run: t.Actor.Job.Run},
			Links:   []event.Link{{Rel: event.RelReleasedBy, To: event.OfRun(t.Actor.Job.Run)}},
		})
	})
}
