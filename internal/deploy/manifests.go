package deploy

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
)

// Manifests asks for plain Kubernetes objects to be applied.
type Manifests struct {
	Target
	Files  []File
	Images []string // images to put in place of those with the same name: the `containers` input
	// PullSecrets are names of Secrets that the pods of every workload pull images with,
	// beside those that they have: the `imagePullSecrets` input.
	PullSecrets []string
	// Notes are annotations that the objects and the pods of the release get when it serves.
	Notes  map[string]string
	Whole  bool // all at once, whatever the strategy of the environment is
	NoWait bool // do not wait until it is ready, and put nothing back

	// CanaryPercent, when not 0, applies a canary and a baseline of each workload in the
	// place of it, each with that share of its replicas.
	CanaryPercent int
	// SMI has canary and baseline get CanaryPercent of the traffic by a TrafficSplit, and
	// Replicas pods each.
	SMI      bool
	Replicas int

	// Strategy asks for a canary by the router; nil takes the strategy of the environment.
	// Where CanaryPercent says how, neither counts.
	Strategy *CanaryRequest
}

// Apply deploys plain manifests as the `deploy` action of KubernetesManifest@1 does:
// objects that are no longer in the files stay. They are applied through the same
// engine as a chart, so that they have a history and are put back on failure.
func (s *Service) Apply(ctx context.Context, m Manifests, say Say) (Release, error) {
	if m.CanaryPercent == 0 {
		r, err := s.applyFiles(ctx, m, helmJob{try: m.Strategy, whole: m.Whole}, nil, say)
		if err != nil || r.Result != Started || m.Strategy != nil && m.Strategy.Increment > 0 {
			return r, err
		}
		return s.followTrial(ctx, r, say)
	}
	if m.SMI {
		return s.applySMI(ctx, m, say)
	}
	return s.applyFiles(ctx, m, helmJob{whole: true}, func(objects []map[string]any, live manifest.Live) ([]map[string]any, error) {
		return manifest.Split(objects, m.CanaryPercent, live)
	}, say)
}

// applyFiles deploys manifests as a release, after turn, if it is not nil, has made other
// objects of theirs.
func (s *Service) applyFiles(ctx context.Context, m Manifests, j helmJob, turn func([]map[string]any, manifest.Live) ([]map[string]any, error), say Say) (Release, error) {
	ch, err := wrap(m.Files)
	if err != nil {
		return Release{}, err
	}
	replace := map[string]string{}
	for _, i := range m.Images {
		replace[bare(i)] = i
	}
	job := m.Actor.Job
	post := &pinner{replace: replace}
	name := s.environmentOf(m.Target)
	s.plain(ctx, post, Environment{Project: job.Project, Name: name}, job.Run, m.Name)
	if turn != nil {
		carry := post.first
		post.first = func(objects []map[string]any) ([]map[string]any, error) {
			objects = manifest.Expand(objects)
			live, err := s.living(ctx, job.Project, name, job.Run, objects)
			if err != nil {
				return nil, err
			}
			if objects, err = turn(objects, live); err != nil {
				return nil, err
			}
			return carry(objects)
		}
	}
	var applied []map[string]any
	inner := post.first
	post.first = func(objects []map[string]any) ([]map[string]any, error) {
		objects = manifest.Expand(objects)
		if i := slices.IndexFunc(objects, func(o map[string]any) bool { return ours(nameOf(o)) }); i >= 0 {
			return nil, fault.New(fault.Denied, "%s %s is the platform's own.", kindOf(objects[i]), nameOf(objects[i])).WithNext("use another name")
		}
		env, err := environment(ctx, s.DB, job.Project, name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(objects, env.owns) {
			objects = slices.DeleteFunc(objects, env.owns)
			say(leftOut(env))
		}
		manifest.PullSecrets(objects, m.PullSecrets)
		objects, err = inner(objects)
		applied = objects
		return objects, err
	}
	j.chart, j.post, j.wait, j.install, j.reset, j.adopt = ch, post, !m.NoWait, true, true, true
	r, err := s.release(ctx, m.Target, "", j, say)
	if err == nil && len(m.Notes) > 0 {
		s.annotate(ctx, m, r, applied, say)
	}
	return r, err
}

// wrap makes the chart that plain manifests are deployed as. The text goes through a file,
// not through a template: braces in it mean nothing.
func wrap(files []File) (*chart.Chart, error) {
	if len(files) == 0 {
		return nil, noManifests()
	}
	var all strings.Builder
	for _, f := range files {
		all.WriteString("---\n")
		all.Write(f.Data)
		all.WriteString("\n")
	}
	ch, err := loader.LoadFiles([]*archive.BufferedFile{
		{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: " + manifestsChart + "\nversion: 0.0.0\n")},
		{Name: "all.yaml", Data: []byte(all.String())},
		{Name: "templates/all.yaml", Data: []byte("{{ .Files.Get \"all.yaml\" }}\n")},
	})
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The manifests cannot be read: %v.", err)
	}
	return ch, nil
}

func noManifests() error {
	return fault.New(fault.Invalid, "No manifest file matches.").WithNext("check the `manifests` input of the task")
}

// plain makes a post-renderer one of plain manifests: lists are taken apart, Helm never
// deletes what they brought, and the Deployments and Services of the revision before that
// still live stay part of the release when the files do not have them any more. Without
// that, routing could not be turned on or off for what a canary or a dropped file left.
func (s *Service) plain(ctx context.Context, post *pinner, env Environment, run int64, name string) {
	post.keep = true
	post.first = func(objects []map[string]any) ([]map[string]any, error) {
		objects = manifest.Expand(objects)
		env, err := environment(ctx, s.DB, env.Project, env.Name)
		if err != nil {
			return nil, err
		}
		h, _, err := s.deployer(ctx, env, run)
		if err != nil {
			return nil, err
		}
		_, was, err := h.liveObjects(name)
		if err != nil || len(was) == 0 {
			return objects, err
		}
		live, err := s.living(ctx, env.Project, env.Name, run, was)
		if err != nil {
			return nil, err
		}
		return carry(objects, was, live)
	}
}

// carry adds to the objects of a release those Deployments and Services of the revision
// before that they do not have and that still live, with as many replicas as live. Copies of
// a canary are left out: they end with it.
func carry(objects, was []map[string]any, live manifest.Live) ([]map[string]any, error) {
	was, err := copyObjects(was)
	if err != nil {
		return nil, err
	}
	have := byKind(objects)
	for _, o := range unswap(was) {
		kind, name := kindOf(o), nameOf(o)
		if kind != "Deployment" && kind != "Service" || have[object{kind, name}] != nil || isCopy(o) {
			continue
		}
		now, err := live(kind, name)
		if err != nil {
			return nil, err
		}
		if now == nil {
			continue
		}
		if n, ok := mapOf(now, "spec")["replicas"]; ok && kind == "Deployment" {
			child(o, "spec")["replicas"] = n
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// isCopy reports whether an object is the canary or the baseline of KubernetesManifest@1.
func isCopy(o map[string]any) bool {
	version, _ := mapOf(mapOf(o, "metadata"), "labels")[manifest.VersionLabel].(string)
	return version == manifest.Canary || version == manifest.Baseline
}

// living returns what finds objects that live in the namespace of an environment, by the
// kinds among objects.
func (s *Service) living(ctx context.Context, project, environmentName string, run int64, objects []map[string]any) (manifest.Live, error) {
	env, err := environment(ctx, s.DB, project, environmentName)
	if err != nil {
		return nil, err
	}
	at, err := s.reach(ctx, env, run)
	if err != nil {
		return nil, err
	}
	return func(kind, name string) (map[string]any, error) {
		for _, o := range objects {
			if kindOf(o) == kind {
				return at.get(ctx, map[string]any{"apiVersion": o["apiVersion"], "kind": kind}, name)
			}
		}
		return nil, nil
	}, nil
}

// PromoteManifests applies the manifests of a canary as they are, and deletes the canaries
// and baselines of their workloads: the `promote` action of KubernetesManifest@1. A copy
// that cannot be deleted is only said. By SMI the traffic goes to the canary meanwhile.
func (s *Service) PromoteManifests(ctx context.Context, m Manifests, say Say) (Release, error) {
	if m.SMI {
		return s.promoteSMI(ctx, m, say)
	}
	r, err := s.applyFiles(ctx, m, helmJob{whole: true}, nil, say)
	if err != nil {
		return r, err
	}
	return r, s.RejectManifests(ctx, m, say)
}

// RejectManifests deletes the canaries and baselines of the workloads of manifests: the
// `reject` action of KubernetesManifest@1. A copy that cannot be deleted is only said. By SMI
// the traffic goes to what is stable first.
func (s *Service) RejectManifests(ctx context.Context, m Manifests, say Say) error {
	objects, err := m.objects()
	if err != nil {
		return err
	}
	copies := manifest.Copies(objects)
	if m.SMI {
		if err := s.redirect(ctx, m, objects, manifest.Stable, say); err != nil {
			return err
		}
		copies = manifest.SMICopies(objects)
	}
	ctx, at, err := s.objects(ctx, m.Target, say)
	if err != nil {
		return err
	}
	defer at.free()
	if err := s.forget(ctx, at, m.Target, "the canary ended", isCopy); err != nil {
		say("Warning: Helm's record of the release still has the canary: " + firstLine(err.Error()))
	}
	behind := metav1.DeletePropagationBackground
	for _, o := range copies {
		resource, err := at.resource(map[string]any{"apiVersion": o.APIVersion, "kind": o.Kind})
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

// forget makes a revision of a release without some of its objects: what Helm has is put
// back by drift, and applied again when routing is turned on or off.
func (s *Service) forget(ctx context.Context, at *objectSite, t Target, why string, gone func(map[string]any) bool) error {
	h, _, err := s.deployer(ctx, at.env, t.Actor.Job.Run)
	if err != nil {
		return err
	}
	live, objects, err := h.liveObjects(t.Name)
	if err != nil || live == nil || !slices.ContainsFunc(objects, gone) {
		return err
	}
	got, err := h.reapply(ctx, live, slices.DeleteFunc(objects, gone), why)
	if err != nil {
		return err
	}
	return s.moveRevision(ctx, at.env, t.Name, live.Version, got.Version)
}

// objects reads the manifests.
func (m Manifests) objects() ([]map[string]any, error) {
	var out []map[string]any
	for _, f := range m.Files {
		more, err := decode(bytes.NewReader(f.Data))
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "The manifests cannot be read: %v.", err)
		}
		out = append(out, more...)
	}
	if len(out) == 0 {
		return nil, noManifests()
	}
	return manifest.Expand(out), nil
}

// objectSite is an environment whose single objects are worked on, with the rights of its
// deployers.
type objectSite struct {
	*reach
	free func()
}

// objects locks the environment that the actor's job names, for work on single objects.
func (s *Service) objects(ctx context.Context, t Target, say Say) (context.Context, *objectSite, error) {
	ctx, at, err := s.arrive(ctx, t, say)
	if err != nil {
		return ctx, nil, err
	}
	to, err := s.reach(ctx, at.env, t.Actor.Job.Run)
	if err != nil {
		at.free()
		return ctx, nil, err
	}
	return ctx, &objectSite{reach: to, free: at.free}, nil
}
