package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"helm.sh/helm/v4/pkg/kube"

	autoscaling "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/deploy/drift"
	"towpath.dev/towpath/internal/deploy/manifest"
)

// reach is what the objects of an environment are read and put back with: the rights of the
// run that deployed them.
type reach struct {
	client    dynamic.Interface
	mapper    meta.RESTMapper
	discovery discovery.DiscoveryInterface
	env       Environment
}

// lookForDrift compares what lives in an environment with what was deployed, and records
// or mends what differs. It does nothing while a release or a canary is under way.
func (s *Service) lookForDrift(ctx context.Context, env Environment) error {
	free, ok := s.locks.try(env.Project + "/" + env.Name)
	if !ok {
		return nil
	}
	now, quiet, err := s.differences(ctx, env)
	free()
	if err != nil || !quiet {
		return err
	}
	if env.Drift != Enforce || len(now) == 0 {
		return s.keepDrifts(ctx, env, now)
	}
	return s.mend(ctx, env)
}

// mend puts back what drifted in an environment, and records what it could not.
func (s *Service) mend(ctx context.Context, env Environment) error {
	ctx, at, err := s.occupy(ctx, env, "drift", func(string) {})
	if err != nil {
		return err
	}
	defer at.free()
	// Somebody may have deployed meanwhile.
	now, quiet, err := s.differences(ctx, env)
	if err != nil || !quiet {
		return err
	}
	var left, mended []found
	for _, f := range now {
		if !s.drift.mayMend(env.Namespace+" "+f.Object, s.Clock.Now()) {
			f.Why = fmt.Sprintf("it was put back %d times within %s; something else changes it again", maxMends, mendWindow)
			left = append(left, f)
			continue
		}
		if err := s.putBack(ctx, env, f); err != nil {
			s.Logger.Warn("putting back a drift", "release", f.Release, "object", f.Object, "error", err)
			f.Why = firstLine(err.Error())
			left = append(left, f)
			continue
		}
		mended = append(mended, f)
	}
	if err := s.sayMended(ctx, env, mended); err != nil {
		return err
	}
	return s.keepDrifts(ctx, env, left, mended...)
}

// differences compares the objects of all that Helm deployed to an environment. quiet is
// false when a release or a canary is under way; then there is nothing to compare.
func (s *Service) differences(ctx context.Context, env Environment) (out []found, quiet bool, err error) {
	latest, err := releases(ctx, s.DB, `project = ? AND environment = ? ORDER BY number DESC LIMIT 1`, env.Project, env.Name)
	if err != nil || len(latest) == 0 || latest[0].Result == Started {
		return nil, false, err
	}
	admin, err := s.adminClient(ctx)
	if err != nil {
		return nil, false, err
	}
	h, _, err := s.deployer(ctx, env, 0)
	if err != nil {
		return nil, false, err
	}
	names, err := h.names()
	if err != nil {
		return nil, false, err
	}
	scaled, err := autoscaled(ctx, admin, env.Namespace)
	if err != nil {
		return nil, false, err
	}
	for _, name := range names {
		newest, err := releases(ctx, s.DB, `project = ? AND environment = ? AND name = ? AND result = ? ORDER BY number DESC LIMIT 1`, env.Project, env.Name, name, Deployed)
		if err != nil {
			return nil, false, err
		}
		if len(newest) == 0 {
			continue // somebody deployed it with a Helm of his own
		}
		more, err := s.driftsOf(ctx, env, h, newest[0], scaled)
		if err != nil {
			return nil, false, err
		}
		out = append(out, more...)
	}
	return out, true, nil
}

// driftsOf compares the objects of one release.
func (s *Service) driftsOf(ctx context.Context, env Environment, h *helm, r Release, scaled map[object]bool) ([]found, error) {
	live, objects, err := h.liveObjects(r.Name)
	if err != nil || live == nil {
		return nil, err
	}
	at, err := s.reach(ctx, env, r.Run)
	if err != nil {
		return nil, err
	}
	var out []found
	for _, o := range objects {
		resource, err := at.resource(o)
		if err != nil {
			continue // the kind is gone, or it is none of this namespace's
		}
		got, err := resource.Get(ctx, nameOf(o), metav1.GetOptions{})
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) && fleeting(o) {
			continue
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("reading %s %s: %w", kindOf(o), nameOf(o), err)
		}
		f := found{object: o, Drift: Drift{Release: r.ID(), Object: fmt.Sprintf("%s %s/%s", kindOf(o), env.Namespace, nameOf(o)), Fields: []string{DeletedObject}, Found: s.Clock.Now()}}
		var content map[string]any
		if err == nil {
			content = got.Object
			f.Fields = drift.Compare(o, content, drift.Options{
				Scaled: scaled[object{kindOf(o), nameOf(o)}], Swapped: swappedNow(o) != swappedNow(content),
			})
			f.Manager = lastManager(got)
		}
		if len(f.Fields) == 0 {
			continue
		}
		if f.sum, err = sumOf(f.Fields, content); err != nil {
			return nil, err
		}
		f.Fields = f.Fields[:min(len(f.Fields), maxDriftFields)]
		out = append(out, f)
	}
	return out, nil
}

// fleeting reports whether an object may go by itself: a Job that is done is cleaned up, and
// the copies of a task's canary are deleted when it is promoted or rejected.
func fleeting(o map[string]any) bool {
	_, copied := mapOf(mapOf(o, "metadata"), "labels")[manifest.VersionLabel]
	return kindOf(o) == "Job" || copied
}

// swappedNow reports whether a Service leads to the router.
func swappedNow(o map[string]any) bool {
	return kindOf(o) == "Service" && mapOf(mapOf(o, "spec"), "selector")[routerApp] == routerName
}

// autoscaled lists the workloads of a namespace whose replicas an autoscaler sets.
func autoscaled(ctx context.Context, c kubernetes.Interface, namespace string) (map[object]bool, error) {
	list, err := c.AutoscalingV2().HorizontalPodAutoscalers(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing autoscalers of %s: %w", namespace, err)
	}
	return targets(list.Items), nil
}

func targets(list []autoscaling.HorizontalPodAutoscaler) map[object]bool {
	out := map[object]bool{}
	for _, a := range list {
		out[object{a.Spec.ScaleTargetRef.Kind, a.Spec.ScaleTargetRef.Name}] = true
	}
	return out
}

// lastManager names who changed an object last, beside the platform and the cluster's own
// controllers; "" when nobody did.
func lastManager(o *unstructured.Unstructured) string {
	var last metav1.ManagedFieldsEntry
	for _, e := range o.GetManagedFields() {
		if e.Subresource == "status" || e.Manager == fieldManager() || e.Manager == "kube-controller-manager" {
			continue
		}
		if last.Manager == "" || e.Time != nil && last.Time.Before(e.Time) {
			last = e
		}
	}
	return last.Manager
}

// fieldManager is the name under which Helm applies objects.
func fieldManager() string {
	if kube.ManagedFieldsManager != "" {
		return kube.ManagedFieldsManager
	}
	return filepath.Base(os.Args[0])
}

// reach returns access to an environment with the rights of a run.
func (s *Service) reach(ctx context.Context, env Environment, run int64) (*reach, error) {
	_, cfg, err := s.deployer(ctx, env, run)
	if err != nil {
		return nil, err
	}
	acc, err := newAccess(cfg, env.Namespace)
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a cluster client: %w", err)
	}
	return &reach{client: client, mapper: acc.mapper, discovery: acc.cache, env: env}, nil
}

// resource returns where an object of a manifest lives.
func (r *reach) resource(o map[string]any) (dynamic.ResourceInterface, error) {
	version, _ := o["apiVersion"].(string)
	gv, err := schema.ParseGroupVersion(version)
	if err != nil {
		return nil, fmt.Errorf("reading the kind of %s: %w", nameOf(o), err)
	}
	m, err := r.mapper.RESTMapping(schema.GroupKind{Group: gv.Group, Kind: kindOf(o)}, gv.Version)
	if err != nil {
		return nil, fmt.Errorf("finding the kind of %s %s: %w", kindOf(o), nameOf(o), err)
	}
	if m.Scope.Name() != meta.RESTScopeNameNamespace {
		return r.client.Resource(m.Resource), nil
	}
	return r.client.Resource(m.Resource).Namespace(r.env.Namespace), nil
}

// get returns an object of a kind that lives, nil when there is none of that name.
func (r *reach) get(ctx context.Context, kind map[string]any, name string) (map[string]any, error) {
	resource, err := r.resource(kind)
	if err != nil {
		return nil, err
	}
	got, err := resource.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", kindOf(kind), name, err)
	}
	return got.Object, nil
}

// putBack applies an object as it was deployed, over whoever changed it.
func (s *Service) putBack(ctx context.Context, env Environment, f found) error {
	newest, err := releases(ctx, s.DB, `project = ? AND environment = ? AND number = ?`, env.Project, env.Name, numberOf(f.Release))
	if err != nil || len(newest) == 0 {
		return err
	}
	at, err := s.reach(ctx, env, newest[0].Run)
	if err != nil {
		return err
	}
	resource, err := at.resource(f.object)
	if err != nil {
		return err
	}
	objects, err := copyObjects([]map[string]any{f.object})
	if err != nil {
		return err
	}
	// What Helm adds itself: a field that is not applied again would be taken away.
	metadata := child(objects[0], "metadata")
	child(metadata, "labels")["app.kubernetes.io/managed-by"] = "Helm"
	child(metadata, "annotations")["meta.helm.sh/release-name"] = newest[0].Name
	child(metadata, "annotations")["meta.helm.sh/release-namespace"] = env.Namespace
	b, err := json.Marshal(objects[0])
	if err != nil {
		return fmt.Errorf("encoding %s: %w", f.Object, err)
	}
	force := true
	_, err = resource.Patch(ctx, nameOf(f.object), types.ApplyPatchType, b, metav1.PatchOptions{FieldManager: fieldManager(), Force: &force})
	return err
}

func numberOf(release string) int64 {
	_, _, n, err := parseRelease(release)
	if err != nil {
		return 0
	}
	return n
}

// try takes the key if nobody has it.
func (l *locks) try(key string) (free func(), ok bool) {
	ch := l.of(key)
	select {
	case ch <- struct{}{}:
		return func() { <-ch }, true
	default:
		return nil, false
	}
}
