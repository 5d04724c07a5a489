package deploy

import (
	"context"
	"fmt"

	"helm.sh/helm/v4/pkg/release/common"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Redeploy deploys the chart and the values of an earlier release again, as a new release
// of the same environment; images are those that it had. It goes out at once, also where
// the environment has a strategy: it is the way back. The actor needs the role write, in
// production maintain. fault.NotFound when Helm has forgotten the revision (it keeps ten).
func (s *Service) Redeploy(ctx context.Context, a identity.Actor, release string, say Say) (Release, error) {
	project, environmentName, number, err := parseRelease(release)
	if err != nil {
		return Release{}, err
	}
	old, err := s.Release(ctx, a, project, environmentName, number)
	if err != nil {
		return Release{}, err
	}
	env, err := environment(ctx, s.DB, project, environmentName)
	if err != nil {
		return Release{}, err
	}
	if err := s.Auth.Require(ctx, a, project, env.Decides()); err != nil {
		return Release{}, err
	}
	if old.Result != Deployed || old.Revision == 0 {
		return Release{}, fault.New(fault.Conflict, "Release %s never served: it is %s.", release, old.Result).WithNext("choose one that was deployed: `towpath env show %s --project %s`", env.Name, project)
	}
	ctx, at, err := s.occupy(ctx, env, a.String(), say)
	if err != nil {
		return Release{}, err
	}
	defer at.free()
	open, err := s.openCanary(ctx, env)
	if err != nil {
		return Release{}, err
	}
	if open != nil {
		if err := s.supersede(ctx, at, open.View.Release, a.String(), say); err != nil {
			return Release{}, err
		}
	}
	h, cfg, err := s.deployer(ctx, env, old.Run)
	if err != nil {
		return Release{}, err
	}
	was, err := h.revision(old.Name, old.Revision)
	if err != nil {
		return Release{}, err
	}
	r := Release{
		Project: project, Environment: env.Name, Namespace: env.Namespace, Name: old.Name, Chart: old.Chart, Run: old.Run, Commit: old.Commit,
		Actor: a.String(), Requester: a.Name,
	}
	say(fmt.Sprintf("Release %s is deployed again.", release))
	post := &pinner{replace: imagesOf(old.Images)}
	if was.Chart.Name() == manifestsChart {
		s.plain(ctx, post, env, old.Run, old.Name)
	}
	return s.perform(ctx, at, a, r, helmJob{
		name: old.Name, chart: was.Chart, values: was.Config, post: post, wait: true, install: true, reset: true, timeout: DefaultTimeout, whole: true,
	}, cfg, say)
}

// imagesOf maps the repositories of a release to the images that it had, so that a tag
// that moved since then changes nothing. A repository with two images is left out.
func imagesOf(images []string) map[string]string {
	out, twice := map[string]string{}, map[string]bool{}
	for _, i := range images {
		name := bare(i)
		_, there := out[name]
		twice[name] = there
		out[name] = i
	}
	for name, more := range twice {
		if more {
			delete(out, name)
		}
	}
	return out
}

// revision returns a revision of a release.
func (h *helm) revision(name string, number int) (*helmrelease.Release, error) {
	got, err := h.cfg.Releases.Get(name, number)
	rel := asRelease(got)
	if err != nil || rel == nil || rel.Info.Status != common.StatusSuperseded && rel.Info.Status != common.StatusDeployed {
		return nil, fault.New(fault.NotFound, "Revision %d of %s is not kept any more.", number, name).WithNext("run the pipeline of its commit again")
	}
	return rel, nil
}
