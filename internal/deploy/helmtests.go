package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"

	"towpath.dev/towpath/internal/fault"
)

// HelmTest runs the tests of a release, which are hooks of its chart, as `helm test` does. An
// error is returned when one fails, and then its logs are said even when nobody asked for them.
func (s *Service) HelmTest(ctx context.Context, t Target, logs bool, say Say) error {
	ctx, at, err := s.arrive(ctx, t, say)
	if err != nil {
		return err
	}
	defer at.free()
	h, _, err := s.deployer(ctx, at.env, t.Actor.Job.Run)
	if err != nil {
		return err
	}
	last, err := h.last(t.Name)
	if err != nil {
		return err
	}
	if last == nil || last.Info.Status == common.StatusUninstalled {
		return noHelmRelease(t.Name, at.env.Namespace)
	}
	if !slices.ContainsFunc(last.Hooks, isTest) {
		say(fmt.Sprintf("The chart of %s has no tests.", t.Name))
		return nil
	}
	test := action.NewReleaseTesting(h.cfg)
	test.Namespace, test.Timeout, test.WaitOptions = at.env.Namespace, t.Timeout, []kube.WaitOption{kube.WithWaitContext(ctx)}
	if test.Timeout <= 0 {
		test.Timeout = DefaultTimeout
	}
	got, shutdown, failed := test.Run(t.Name)
	r := asRelease(got)
	if r == nil {
		r = last
	}
	for _, hook := range r.Hooks {
		if isTest(hook) {
			say(fmt.Sprintf("TEST SUITE: %s  %s", hook.Name, hook.LastRun.Phase))
		}
	}
	if logs || failed != nil {
		var text strings.Builder
		err = test.GetPodLogs(&text, r)
		for line := range strings.Lines(text.String()) {
			say(strings.TrimSuffix(line, "\n"))
		}
	}
	// The pods of tests are deleted, where the chart says so, once their logs are read.
	if serr := shutdown(); failed == nil {
		err = errors.Join(err, serr)
	}
	if failed != nil {
		return fault.Wrap(fault.Invalid, failed, "The tests of release %s fail: %s", t.Name, firstLine(failed.Error()))
	}
	return err
}

func isTest(h *helmrelease.Hook) bool { return slices.Contains(h.Events, helmrelease.HookTest) }
