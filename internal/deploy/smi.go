package deploy

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
)

// smiManager is the field manager of TrafficSplits, which no release of Helm has: promote and
// reject rewrite them.
const smiManager = "towpath-smi"

// splitVersion returns the API version of the TrafficSplits of a cluster. A cluster that has
// none, and an environment whose Services the router stands before, are refused before
// anything changes.
func (s *Service) splitVersion(ctx context.Context, t Target) (string, error) {
	job := t.Actor.Job
	env, err := s.ensure(ctx, t.Actor, job.Project, s.environmentOf(t), t.Namespace)
	if err != nil {
		return "", err
	}
	if env.Routing == On {
		return "", fault.New(fault.Conflict, "Environment %s is routed: the -stable Services that SMI makes are its router's.", env.Name).
			WithNext("give the environment a strategy and deploy with `strategy: none`, which has real weights, or use trafficSplitMethod: pod")
	}
	if err := s.await(ctx); err != nil {
		return "", err
	}
	at, err := s.reach(ctx, env, job.Run)
	if err != nil {
		return "", err
	}
	m, err := at.mapper.RESTMapping(schema.GroupKind{Group: manifest.TrafficSplitGroup, Kind: manifest.TrafficSplitKind})
	if meta.IsNoMatchError(err) {
		return "", fault.New(fault.Conflict, "The cluster has no %s (CustomResourceDefinition trafficsplits.%s), which trafficSplitMethod: smi needs.", manifest.TrafficSplitKind, manifest.TrafficSplitGroup).
			WithNext("use trafficSplitMethod: pod, or give the environment a strategy: its router needs no mesh")
	}
	if err != nil {
		return "", fmt.Errorf("asking the cluster for %s: %w", manifest.TrafficSplitKind, err)
	}
	return m.GroupVersionKind.GroupVersion().String(), nil
}

// applySMI is the action deploy of a canary by SMI: the copies and their Services, and then
// the split.
func (s *Service) applySMI(ctx context.Context, m Manifests, say Say) (Release, error) {
	version, err := s.splitVersion(ctx, m.Target)
	if err != nil {
		return Release{}, err
	}
	var splits []map[string]any
	r, err := s.applyFiles(ctx, m, helmJob{whole: true}, func(objects []map[string]any, live manifest.Live) ([]map[string]any, error) {
		known := func(kind, name string) (map[string]any, error) {
			if kind != manifest.TrafficSplitKind {
				return live(kind, name)
			}
			env, err := environment(ctx, s.DB, m.Actor.Job.Project, s.environmentOf(m.Target))
			if err != nil {
				return nil, err
			}
			at, err := s.reach(ctx, env, m.Actor.Job.Run)
			if err != nil {
				return nil, err
			}
			return at.get(ctx, map[string]any{"apiVersion": version, "kind": kind}, name)
		}
		got, err := manifest.SplitBySMI(objects, m.CanaryPercent, m.Replicas, version, known)
		splits = got.Splits
		return got.Objects, err
	}, say)
	if err != nil {
		return r, err
	}
	return r, s.putSplits(ctx, m.Target, splits, say)
}

// promoteSMI sends all traffic to the canary, applies the manifests as the stable ones, sends
// all traffic there and deletes the copies.
func (s *Service) promoteSMI(ctx context.Context, m Manifests, say Say) (Release, error) {
	objects, err := m.objects()
	if err != nil {
		return Release{}, err
	}
	if err := s.redirect(ctx, m, objects, manifest.Canary, say); err != nil {
		return Release{}, err
	}
	r, err := s.applyFiles(ctx, m, helmJob{whole: true}, func(objects []map[string]any, _ manifest.Live) ([]map[string]any, error) {
		return manifest.MarkStable(objects), nil
	}, say)
	if err != nil {
		return r, err
	}
	return r, s.RejectManifests(ctx, m, say)
}

// redirect sends all traffic of the Services among objects to the canary or to the stable one.
func (s *Service) redirect(ctx context.Context, m Manifests, objects []map[string]any, to string, say Say) error {
	version, err := s.splitVersion(ctx, m.Target)
	if err != nil {
		return err
	}
	return s.putSplits(ctx, m.Target, manifest.Redirect(objects, to, version), say)
}

func (s *Service) putSplits(ctx context.Context, t Target, splits []map[string]any, say Say) error {
	if len(splits) == 0 {
		return nil
	}
	ctx, at, err := s.objects(ctx, t, say)
	if err != nil {
		return err
	}
	defer at.free()
	for _, o := range splits {
		resource, err := at.resource(o)
		if err != nil {
			return err
		}
		if _, err := resource.Apply(ctx, nameOf(o), &unstructured.Unstructured{Object: o}, metav1.ApplyOptions{FieldManager: smiManager, Force: true}); err != nil {
			return fmt.Errorf("applying TrafficSplit %s: %w", nameOf(o), err)
		}
		say(fmt.Sprintf("TrafficSplit %s: %s.", nameOf(o), weightsOf(o)))
	}
	return nil
}

// weightsOf tells the weights of a TrafficSplit: "web-stable 700m, web-canary 150m".
func weightsOf(split map[string]any) string {
	text := ""
	for _, v := range listOf(mapOf(split, "spec"), "backends") {
		b, _ := v.(map[string]any)
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%v %v", b["service"], b["weight"])
	}
	return text
}
