package deploy

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Manifests asks for plain Kubernetes objects to be applied.
type Manifests struct {
	Target
	Files  []File
	Images []string // images to put in place of those with the same name: the `containers` input

	// CanaryPercent, when not 0, applies a canary and a baseline of each workload in the
	// place of it, each with that share of its replicas.
	CanaryPercent int
}

// Apply deploys plain manifests as the `deploy` action of KubernetesManifest@1 does:
// objects that are no longer in the files stay. They are applied through the same
// engine as a chart, so that they have a history and are put back on failure.
func (s *Service) Apply(ctx context.Context, m Manifests, say Say) (Release, error) {
	if len(m.Files) == 0 {
		return Release{}, noManifests()
	}
	var all strings.Builder
	for _, f := range m.Files {
		all.WriteString("---\n")
		all.Write(f.Data)
		all.WriteString("\n")
	}
	// The text goes through a file, not through a template: braces in it mean nothing.
	ch, err := loader.LoadFiles([]*archive.BufferedFile{
		{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: " + manifestsChart + "\nversion: 0.0.0\n")},
		{Name: "all.yaml", Data: []byte(all.String())},
		{Name: "templates/all.yaml", Data: []byte("{{ .Files.Get \"all.yaml\" }}\n")},
	})
	if err != nil {
		return Release{}, fault.Wrap(fault.Invalid, err, "The manifests cannot be read: %v.", err)
	}
	replace := map[string]string{}
	for _, i := range m.Images {
		replace[bare(i)] = i
	}
	post := &pinner{keep: true, replace: replace}
	if m.CanaryPercent != 0 {
		post.first = func(objects []map[string]any) ([]map[string]any, error) {
			return s.split(ctx, m, objects)
		}
	}
	return s.release(ctx, m.Target, "", helmJob{chart: ch, wait: true, install: true, reset: true, post: post}, say)
}

func noManifests() error {
	return fault.New(fault.Invalid, "No manifest file matches.").WithNext("check the `manifests` input of the task")
}

// split makes a canary of manifests, beside the workloads that live.
func (s *Service) split(ctx context.Context, m Manifests, objects []map[string]any) ([]map[string]any, error) {
	job := m.Actor.Job
	env, err := environment(ctx, s.DB, job.Project, job.Environment)
	if err != nil {
		return nil, err
	}
	at, err := s.reach(ctx, env, job.Run)
	if err != nil {
		return nil, err
	}
	objects = manifest.Expand(objects)
	return manifest.Split(objects, m.CanaryPercent, func(kind, name string) (map[string]any, error) {
		for _, o := range objects {
			if kindOf(o) != kind || nameOf(o) != name {
				continue
			}
			resource, err := at.resource(o)
			if err != nil {
				return nil, err
			}
			got, err := resource.Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil, nil
			}
			if err != nil {
				return nil, fmt.Errorf("reading %s %s: %w", kind, name, err)
			}
			return got.Object, nil
		}
		return nil, nil
	})
}

// PromoteManifests applies the manifests of a canary as they are, and deletes the canaries
// and baselines of their workloads: the `promote` action of KubernetesManifest@1. A copy
// that cannot be deleted is only said.
func (s *Service) PromoteManifests(ctx context.Context, m Manifests, say Say) (Release, error) {
	m.CanaryPercent = 0
	r, err := s.Apply(ctx, m, say)
	if err != nil {
		return r, err
	}
	return r, s.RejectManifests(ctx, m, say)
}

// RejectManifests deletes the canaries and baselines of the workloads of manifests: the
// `reject` action of KubernetesManifest@1. A copy that cannot be deleted is only said.
func (s *Service) RejectManifests(ctx context.Context, m Manifests, say Say) error {
	job := m.Actor.Job
	if err := s.Auth.Require(ctx, m.Actor, job.Project, identity.Write); err != nil {
		return err
	}
	var objects []map[string]any
	for _, f := range m.Files {
		more, err := decode(bytes.NewReader(f.Data))
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "The manifests cannot be read: %v.", err)
		}
		objects = append(objects, more...)
	}
	if len(objects) == 0 {
		return noManifests()
	}
	env, err := environment(ctx, s.DB, job.Project, job.Environment)
	if err != nil {
		return err
	}
	ctx, at, err := s.occupy(ctx, env, fmt.Sprintf("run/%d", job.Run), say)
	if err != nil {
		return err
	}
	defer at.free()
	to, err := s.reach(ctx, env, job.Run)
	if err != nil {
		return err
	}
	behind := metav1.DeletePropagationBackground
	for _, o := range manifest.Copies(manifest.Expand(objects)) {
		resource, err := to.resource(map[string]any{"apiVersion": o.APIVersion, "kind": o.Kind})
		if err == nil {
			err = resource.Delete(ctx, o.Name, metav1.DeleteOptions{PropagationPolicy: &behind})
		}
		if err != nil {
			say(fmt.Sprintf("Warning: %s %s was not deleted: %s", o.Kind, o.Name, firstLine(err.Error())))
			continue
		}
		say(fmt.Sprintf("%s %s is deleted.", o.Kind, o.Name))
	}
	return nil
}
