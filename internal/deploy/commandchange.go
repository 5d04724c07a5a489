package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
)

// changeOf is the patch by which a command changes an object.
func (s *Service) changeOf(ctx context.Context, at *objectSite, c Command, o manifest.Named) (change, error) {
	_, words, _ := c.Call.Assignments()
	switch c.Call.Verb {
	case "scale":
		if c.Call.Option("replicas") == "" {
			return change{}, fault.New(fault.Invalid, "kubectl scale wants a number.").WithNext("write --replicas=3")
		}
		n, err := c.Call.Whole("replicas", 0)
		return change{kind: types.MergePatchType, data: fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n), sub: "scale"}, err
	case "label", "annotate":
		return s.marks(ctx, at, c, o, words)
	case "patch":
		return c.patch()
	case "rollout":
		return s.rollOut(ctx, at, c, o)
	}
	now, err := at.read(ctx, o)
	if err != nil {
		return change{}, err
	}
	spec := podSpecOf(now)
	if spec == nil {
		return change{}, fault.New(fault.Invalid, "%s %s has no pods.", o.Kind, o.Name)
	}
	switch c.Call.Sub {
	case "image":
		err = s.setImages(ctx, c, spec, words)
	case "env":
		err = setEnv(spec, slices.Concat(words, c.Call.Options("env")), c.Call.Option("containers"))
	case "serviceaccount":
		if len(words) == 0 && len(c.Call.Args) > 0 {
			spec["serviceAccountName"] = c.Call.Args[len(c.Call.Args)-1]
		}
	}
	if err != nil {
		return change{}, err
	}
	return whole(now)
}

// whole is a patch that leaves of an object what it is now, without what the API server keeps.
func whole(o map[string]any) (change, error) {
	meta := mapOf(o, "metadata")
	data, err := json.Marshal(map[string]any{"spec": o["spec"], "metadata": map[string]any{"resourceVersion": meta["resourceVersion"]}})
	return change{kind: types.MergePatchType, data: data}, err
}

// podSpecOf is the spec of the pods of a workload, nil when it has none.
func podSpecOf(o map[string]any) map[string]any {
	spec := mapOf(o, "spec")
	switch kindOf(o) {
	case "Pod":
		return spec
	case "CronJob":
		spec = mapOf(mapOf(spec, "jobTemplate"), "spec")
	}
	return mapOf(mapOf(spec, "template"), "spec")
}

// containersOf are the containers and those that run before.
func containersOf(spec map[string]any) []map[string]any {
	var out []map[string]any
	for _, key := range []string{"containers", "initContainers"} {
		for _, v := range listOf(spec, key) {
			if c, ok := v.(map[string]any); ok {
				out = append(out, c)
			}
		}
	}
	return out
}

// setImages is "set image": images of our registry run by digest.
func (s *Service) setImages(ctx context.Context, c Command, spec map[string]any, words []string) error {
	post := s.pinnerFor(ctx, c.Actor)
	for _, w := range words {
		name, image, _ := strings.Cut(w, "=")
		pinned, err := post.pin(image)
		if err != nil {
			return err
		}
		found := false
		for _, container := range containersOf(spec) {
			if name == "*" || container["name"] == name {
				container["image"], found = pinned, true
			}
		}
		if !found {
			return fault.New(fault.NotFound, "There is no container %s.", name)
		}
	}
	if len(words) == 0 {
		return fault.New(fault.Invalid, "kubectl set image names no container.").WithNext("write set image KIND/NAME CONTAINER=IMAGE")
	}
	return nil
}

// setEnv is "set env": NAME=VALUE sets a variable, NAME- takes it away.
func setEnv(spec map[string]any, words []string, only string) error {
	if len(words) == 0 {
		return fault.New(fault.Invalid, "kubectl set env names no variable.").WithNext("write set env KIND/NAME NAME=VALUE")
	}
	for _, container := range containersOf(spec) {
		if only != "" && only != "*" && container["name"] != only {
			continue
		}
		list := listOf(container, "env")
		for _, w := range words {
			name, value, set := strings.Cut(w, "=")
			if !set {
				name = strings.TrimSuffix(w, "-")
			}
			list = slices.DeleteFunc(list, func(v any) bool { e, _ := v.(map[string]any); return e["name"] == name })
			if set {
				list = append(list, map[string]any{"name": name, "value": value})
			}
		}
		container["env"] = list
	}
	return nil
}

// marks is label and annotate: KEY=VALUE sets, KEY- takes away; what is there with another
// value stays without --overwrite.
func (s *Service) marks(ctx context.Context, at *objectSite, c Command, o manifest.Named, words []string) (change, error) {
	field := map[string]string{"label": "labels", "annotate": "annotations"}[c.Call.Verb]
	now, err := at.read(ctx, o)
	if err != nil {
		return change{}, err
	}
	has, want := mapOf(mapOf(now, "metadata"), field), map[string]any{}
	for _, w := range words {
		key, value, set := strings.Cut(w, "=")
		if !set {
			want[strings.TrimSuffix(w, "-")] = nil
			continue
		}
		if old, there := has[key]; there && old != value && !c.Call.Flag("overwrite", false) {
			return change{}, fault.New(fault.Conflict, "%s %s has %s already, with another value.", o.Kind, o.Name, key).WithNext("write --overwrite")
		}
		want[key] = value
	}
	if len(want) == 0 {
		return change{}, fault.New(fault.Invalid, "kubectl %s says nothing to set.", c.Call.Verb).WithNext("write %s KIND/NAME KEY=VALUE", c.Call.Verb)
	}
	data, err := json.Marshal(map[string]any{"metadata": map[string]any{field: want}})
	return change{kind: types.MergePatchType, data: data}, err
}

// patch is the patch that the words or a file say.
func (c *Command) patch() (change, error) {
	text := []byte(c.Call.Option("patch"))
	if name := c.Call.Option("patch-file"); name != "" {
		var ok bool
		if text, ok = c.file(name); !ok {
			return change{}, fault.New(fault.NotFound, "The file %s is not there.", name)
		}
	}
	kind, ok := patchTypes[strings.ToLower(c.Call.Option("type"))]
	data, err := yaml.YAMLToJSON(text)
	if !ok || err != nil || len(text) == 0 || len(text) > maxPatch {
		return change{}, fault.New(fault.Invalid, "The patch of kubectl patch is neither JSON nor YAML, or its type is none of strategic, merge and json.")
	}
	return change{kind: kind, data: data}, nil
}

// restartedAt is the annotation by which kubectl rolls pods out anew.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

// rollOut is restart, pause, resume and undo.
func (s *Service) rollOut(ctx context.Context, at *objectSite, c Command, o manifest.Named) (change, error) {
	var spec map[string]any
	switch c.Call.Sub {
	case "pause", "resume":
		spec = map[string]any{"paused": c.Call.Sub == "pause"}
	case "restart":
		spec = map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{restartedAt: s.Clock.Now().UTC().Format("2006-01-02T15:04:05Z")}}}}
	case "undo":
		return s.undoRollout(ctx, at, c, o)
	}
	data, err := json.Marshal(map[string]any{"spec": spec})
	return change{kind: types.MergePatchType, data: data}, err
}

// undoRollout puts back the pods of the revision before, or of --to-revision, of a Deployment.
func (s *Service) undoRollout(ctx context.Context, at *objectSite, c Command, o manifest.Named) (change, error) {
	now, err := at.read(ctx, o)
	if err != nil {
		return change{}, err
	}
	if kindOf(now) != "Deployment" {
		return change{}, fault.New(fault.Invalid, "Kubernetes@1 undoes the rollout of a Deployment only, not of a %s.", kindOf(now)).
			WithNext("deploy an earlier release again: towpath release redeploy")
	}
	want, err := c.Call.Whole("to-revision", 0)
	if err != nil {
		return change{}, err
	}
	_, cfg, err := s.deployer(ctx, at.env, c.Actor.Job.Run)
	if err != nil {
		return change{}, err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return change{}, fmt.Errorf("making a cluster client: %w", err)
	}
	set, err := revisionSet(ctx, client, at.env.Namespace, now, want)
	if err != nil {
		return change{}, err
	}
	template, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&set.Spec.Template)
	if err != nil {
		return change{}, fmt.Errorf("reading the pods of revision %s: %w", set.Name, err)
	}
	delete(mapOf(mapOf(template, "metadata"), "labels"), appsv1.DefaultDeploymentUniqueLabelKey)
	child(now, "spec")["template"] = template
	return whole(now)
}

// deploymentRevision is the annotation that numbers the rollouts of a Deployment.
const deploymentRevision = "deployment.kubernetes.io/revision"

// revisionSet finds the ReplicaSet of a revision of a Deployment; 0 is the one before.
func revisionSet(ctx context.Context, c kubernetes.Interface, namespace string, d map[string]any, want int) (*appsv1.ReplicaSet, error) {
	sets, err := c.AppsV1().ReplicaSets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing replica sets of %s: %w", namespace, err)
	}
	uid, _ := mapOf(d, "metadata")["uid"].(string)
	live, _ := strconv.Atoi(fmt.Sprint(mapOf(mapOf(d, "metadata"), "annotations")[deploymentRevision]))
	var best *appsv1.ReplicaSet
	top := 0
	for i := range sets.Items {
		set := &sets.Items[i]
		n, err := strconv.Atoi(set.Annotations[deploymentRevision])
		owner := metav1.GetControllerOf(set)
		if err != nil || owner == nil || string(owner.UID) != uid {
			continue
		}
		if want > 0 && n == want || want == 0 && n < live && n > top {
			best, top = set, n
		}
	}
	if best == nil {
		return nil, fault.New(fault.NotFound, "Deployment %s has no such revision to go back to.", nameOf(d)).WithNext("list them with rollout history")
	}
	return best, nil
}
