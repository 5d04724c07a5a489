package deploy

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// taskManager is the field manager of what the actions of KubernetesManifest@1 change beside
// releases.
const taskManager = "towpath-task"

// maxPatch bounds a patch, in bytes.
const maxPatch = 1 << 20

// named returns where the objects of a kind live, in any form that kubectl takes. Kinds of the
// whole cluster, and what the platform itself has in the namespace, are refused.
func (r *reach) named(o manifest.Named) (dynamic.ResourceInterface, schema.GroupVersionResource, error) {
	resource, group, _ := strings.Cut(strings.ToLower(strings.TrimSpace(o.Kind)), ".")
	mapper := restmapper.NewShortcutExpander(r.mapper, r.discovery, func(string) {})
	at, err := mapper.ResourceFor(schema.GroupVersionResource{Group: group, Resource: resource})
	if meta.IsNoMatchError(err) || resource == "" {
		return nil, at, fault.New(fault.Invalid, "The cluster has no kind %q.", o.Kind)
	}
	if err != nil {
		return nil, at, fmt.Errorf("finding the kind %s: %w", o.Kind, err)
	}
	kind, err := mapper.KindFor(at)
	if err != nil {
		return nil, at, fmt.Errorf("finding the kind %s: %w", o.Kind, err)
	}
	m, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, at, fmt.Errorf("finding the kind %s: %w", o.Kind, err)
	}
	if m.Scope.Name() != meta.RESTScopeNameNamespace {
		return nil, at, fault.New(fault.Denied, "%s is a kind of the whole cluster: a run may change nothing outside of its environment's namespace.", kind.Kind)
	}
	if o.Name == "" || strings.Contains(o.Name, "/") || ours(o.Name) {
		return nil, at, fault.New(fault.Invalid, "%q names no %s of the project.", o.Name, kind.Kind)
	}
	return r.client.Resource(at).Namespace(r.env.Namespace), at, nil
}

// Scale gives a workload so many replicas and waits until they are available: the action
// scale of KubernetesManifest@1.
func (s *Service) Scale(ctx context.Context, t Target, o manifest.Named, replicas int, say Say) error {
	ctx, at, err := s.objects(ctx, t, say)
	if err != nil {
		return err
	}
	defer at.free()
	resource, _, err := at.named(o)
	if err != nil {
		return err
	}
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	if _, err := resource.Patch(ctx, o.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: taskManager}, "scale"); err != nil {
		return objectFault(err, "scaling", o)
	}
	if err := s.changed(ctx, at, t, "scale", o); err != nil {
		return err
	}
	say(fmt.Sprintf("%s %s is to have %d replicas.", o.Kind, o.Name, replicas))
	limit := t.Timeout
	if limit <= 0 {
		limit = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		got, err := resource.Get(ctx, o.Name, metav1.GetOptions{})
		if err != nil {
			return objectFault(err, "reading", o)
		}
		if scaled(got, replicas) {
			return nil
		}
		if err := sleep(ctx, time.Second); err != nil {
			return fault.Wrap(fault.Unavailable, err, "%s %s does not have %d available replicas after %s.", o.Kind, o.Name, replicas, limit)
		}
	}
}

// scaled reports whether a workload has seen its newest spec and has its replicas.
func scaled(o *unstructured.Unstructured, replicas int) bool {
	status := mapOf(o.Object, "status")
	return number(status["observedGeneration"]) >= int(o.GetGeneration()) && number(status["availableReplicas"]) == replicas && number(status["replicas"]) == replicas
}

// Patch is a change of one object.
type Patch struct {
	Object   manifest.Named
	Strategy string // strategic, merge or json
	Data     []byte // as JSON or YAML
}

// patchTypes are the values of mergeStrategy; no value means strategic.
var patchTypes = map[string]types.PatchType{"": types.StrategicMergePatchType, "strategic": types.StrategicMergePatchType, "merge": types.MergePatchType, "json": types.JSONPatchType}

// PatchObject changes an object: the action patch of KubernetesManifest@1. What comes of it is
// judged before it is carried out, as the objects of a release are, and an image of our
// registry has to be named by its digest.
func (s *Service) PatchObject(ctx context.Context, t Target, p Patch, say Say) error {
	kind, ok := patchTypes[strings.ToLower(p.Strategy)]
	if !ok {
		return fault.New(fault.Invalid, "mergeStrategy cannot be %q.", p.Strategy).WithNext("use strategic, merge or json")
	}
	data, err := yaml.YAMLToJSON(p.Data)
	if err != nil || len(p.Data) > maxPatch || len(strings.TrimSpace(string(p.Data))) == 0 {
		return fault.New(fault.Invalid, "The patch is neither JSON nor YAML, or is larger than %d KiB.", maxPatch>>10)
	}
	ctx, at, err := s.objects(ctx, t, say)
	if err != nil {
		return err
	}
	defer at.free()
	resource, _, err := at.named(p.Object)
	if err != nil {
		return err
	}
	try, err := resource.Patch(ctx, p.Object.Name, kind, data, metav1.PatchOptions{FieldManager: taskManager, DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return objectFault(err, "patching", p.Object)
	}
	if err := s.admitObject(ctx, at, t, try.Object, say); err != nil {
		return err
	}
	if _, err := resource.Patch(ctx, p.Object.Name, kind, data, metav1.PatchOptions{FieldManager: taskManager}); err != nil {
		return objectFault(err, "patching", p.Object)
	}
	say(fmt.Sprintf("%s %s is patched.", p.Object.Kind, p.Object.Name))
	return s.changed(ctx, at, t, "patch", p.Object)
}

// admitObject judges an object that no release brings.
func (s *Service) admitObject(ctx context.Context, at *objectSite, t Target, o map[string]any, say Say) error {
	pinned := runtime.DeepCopyJSON(o)
	if err := s.pinnerFor(ctx, t.Actor).document(pinned); err != nil {
		return err
	}
	if !reflect.DeepEqual(pinned, o) {
		return fault.New(fault.Invalid, "The patch names an image by a tag, and images of this server's registry run by digest.").
			WithNext("write the digest, which Docker@2 gives as its output variable `image`, or use the action deploy")
	}
	if s.Gate == nil {
		return nil
	}
	release := at.env.Project + "/" + at.env.Name + "/0"
	if now, err := current(ctx, s.DB, at.env.Project, at.env.Name); err != nil {
		return err
	} else if now != nil {
		release = now.ID()
	}
	return s.Gate.Admit(ctx, Admission{
		Actor: t.Actor, Project: at.env.Project, Environment: at.env.Name, Cluster: at.env.Connection, Namespace: at.env.Namespace, Release: release, Objects: []map[string]any{pinned},
	}, say)
}

// DeleteObjects deletes objects: the action delete of KubernetesManifest@1. Those that plain
// manifests brought leave their release too. With missing, what is not there is no error.
func (s *Service) DeleteObjects(ctx context.Context, t Target, list []manifest.Named, missing bool, say Say) error {
	ctx, at, err := s.objects(ctx, t, say)
	if err != nil {
		return err
	}
	defer at.free()
	behind := metav1.DeletePropagationBackground
	var gone []object
	for _, o := range list {
		resource, where, err := at.named(o)
		if err != nil {
			return err
		}
		kind, err := at.mapper.KindFor(where)
		if err != nil {
			return fmt.Errorf("finding the kind %s: %w", o.Kind, err)
		}
		err = resource.Delete(ctx, o.Name, metav1.DeleteOptions{PropagationPolicy: &behind})
		if apierrors.IsNotFound(err) && missing {
			continue
		}
		if err != nil {
			return objectFault(err, "deleting", o)
		}
		gone = append(gone, object{kind.Kind, o.Name})
		say(fmt.Sprintf("%s %s is deleted.", kind.Kind, o.Name))
	}
	err = s.forget(ctx, at, t, "deleted by a run", func(o map[string]any) bool { return slices.Contains(gone, object{kindOf(o), nameOf(o)}) })
	if err != nil {
		say("Warning: Helm's record of the release still has what was deleted: " + firstLine(err.Error()))
	}
	return s.changed(ctx, at, t, "delete", list...)
}

// CreateSecret makes a Secret in the place of one of its name: the action createSecret of
// KubernetesManifest@1. Its values are said nowhere.
func (s *Service) CreateSecret(ctx context.Context, t Target, secret map[string]any, say Say) error {
	ctx, at, err := s.objects(ctx, t, say)
	if err != nil {
		return err
	}
	defer at.free()
	o := manifest.Named{Kind: "secret", Name: nameOf(secret)}
	resource, _, err := at.named(o)
	if err != nil {
		return err
	}
	if err := resource.Delete(ctx, o.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return objectFault(err, "replacing", o)
	}
	if _, err := resource.Create(ctx, &unstructured.Unstructured{Object: secret}, metav1.CreateOptions{FieldManager: taskManager}); err != nil {
		return objectFault(err, "creating", o)
	}
	say(fmt.Sprintf("Secret %s is created.", o.Name))
	return s.changed(ctx, at, t, "createSecret", o)
}

// maxChanged is how many objects an event of a change names.
const maxChanged = 50

// changed records that a job changed objects beside its releases.
func (s *Service) changed(ctx context.Context, at *objectSite, t Target, command string, list ...manifest.Named) error {
	if len(list) == 0 {
		return nil
	}
	names := make([]string, 0, min(len(list), maxChanged))
	for _, o := range list[:min(len(list), maxChanged)] {
		names = append(names, strings.ToLower(o.Kind)+"/"+o.Name)
	}
	run := t.Actor.Job.Run
	return s.DB.Tx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		return s.Log.Append(ctx, tx, event.Fact{
			Type: event.TypeObjectsChanged, Subject: event.OfRun(run), Project: at.env.Project, Actor: t.Actor.String(),
			Payload: event.ObjectsChanged{V: 1, Environment: at.env.Name, Namespace: at.env.Namespace, Run: run, Command: command, Objects: names},
		})
	})
}

// objectFault tells users why an object could not be changed.
func objectFault(err error, doing string, o manifest.Named) error {
	switch {
	case apierrors.IsNotFound(err):
		return fault.Wrap(fault.NotFound, err, "There is no %s %s in the environment's namespace.", o.Kind, o.Name)
	case apierrors.IsForbidden(err):
		return fault.Wrap(fault.Denied, err, "A run may not do that: %s", firstLine(err.Error()))
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err):
		return fault.Wrap(fault.Invalid, err, "The cluster refuses it: %s", firstLine(err.Error()))
	}
	return fmt.Errorf("%s %s %s: %w", doing, o.Kind, o.Name, err)
}
