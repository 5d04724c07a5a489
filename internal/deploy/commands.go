package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/deploy/kubectl"
	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Command is a command line of Kubernetes@1.
type Command struct {
	Target
	Call  kubectl.Call
	Files []File // those that the command line names, below their names there
}

// Kubectl carries a command of kubectl out in the environment that the actor's job names,
// with its rights there, and returns what kubectl would print. What apply and create bring
// from files is a release; single objects are judged by policy before they change. Values
// of Secrets are never said.
func (s *Service) Kubectl(ctx context.Context, c Command, say Say) (string, error) {
	if ns := c.Call.Option("namespace"); ns != "" {
		if c.Namespace != "" && c.Namespace != ns {
			return "", fault.New(fault.Invalid, "The input namespace is %s, and the arguments say %s.", c.Namespace, ns)
		}
		c.Namespace = ns
	}
	if len(c.Call.Options("filename")) > 0 || len(c.Call.Options("kustomize")) > 0 {
		return s.kubectlFiles(ctx, c, say)
	}
	switch c.Call.Verb {
	case "get", "describe", "logs", "exec", "top", "version", "wait":
		return s.kubectlLook(ctx, c, say)
	case "rollout":
		if c.Call.Sub == "status" || c.Call.Sub == "history" {
			return s.kubectlLook(ctx, c, say)
		}
	case "apply":
		return "", fault.New(fault.Invalid, "kubectl apply names no file.").WithNext("write arguments: -f FILE, or useConfigurationFile: true with configuration: FILE")
	}
	return s.kubectlChange(ctx, c, say)
}

// kubectlFiles is apply, create and delete of files.
func (s *Service) kubectlFiles(ctx context.Context, c Command, say Say) (string, error) {
	files, err := c.manifests()
	if err != nil {
		return "", err
	}
	m := Manifests{Target: c.Target, Files: files, Whole: true, NoWait: true}
	objects, err := m.objects()
	if err != nil {
		return "", err
	}
	switch c.Call.Verb {
	case "apply", "create":
	case "delete":
		var list []manifest.Named
		for _, o := range objects {
			list = append(list, namedAs(o))
		}
		return c.said(list, "deleted"), s.DeleteObjects(ctx, c.Target, list, c.Call.Flag("ignore-not-found", false), say)
	default:
		return "", fault.New(fault.Invalid, "Kubernetes@1 does not run kubectl %s with files here.", c.Call.Verb).WithNext("name the object: KIND/NAME")
	}
	if how := c.Call.Option("dry-run"); how != "" && how != "none" {
		return printed(c.Call.Option("output"), objects, "configured (dry run)")
	}
	if slices.ContainsFunc(objects, func(o map[string]any) bool { return kindOf(o) == "Namespace" }) {
		at, err := s.peek(ctx, c.Target)
		if err != nil {
			return "", err
		}
		objects = slices.DeleteFunc(objects, at.env.owns)
		if len(objects) == 0 {
			say(leftOut(at.env))
			return "", nil
		}
	}
	if c.Call.Verb == "create" {
		if err := s.absent(ctx, c, objects); err != nil {
			return "", err
		}
	}
	if _, err := s.Apply(ctx, m, say); err != nil {
		return "", err
	}
	return printed(c.Call.Option("output"), objects, map[string]string{"apply": "configured", "create": "created"}[c.Call.Verb])
}

// absent wants that none of the objects that create makes lives.
func (s *Service) absent(ctx context.Context, c Command, objects []map[string]any) error {
	at, err := s.peek(ctx, c.Target)
	if err != nil {
		return err
	}
	for _, o := range objects {
		now, err := at.get(ctx, o, nameOf(o))
		if err != nil {
			return err
		}
		if now != nil {
			return fault.New(fault.Conflict, "%s %s exists.", kindOf(o), nameOf(o)).WithNext("use the command apply")
		}
	}
	return nil
}

// manifests are the files that -f and -k mean.
func (c *Command) manifests() ([]File, error) {
	var out []File
	for _, dir := range c.Call.Options("kustomize") {
		text, err := Kustomize(c.Files, dir)
		if err != nil {
			return nil, err
		}
		out = append(out, File{Name: "kustomization.yaml", Data: text})
	}
	for _, word := range c.Call.Options("filename") {
		for name := range strings.SplitSeq(word, ",") {
			found := false
			for _, f := range c.Files {
				rest, below := strings.CutPrefix(f.Name, strings.TrimSuffix(name, "/")+"/")
				if f.Name == name || below && manifestName(rest) && (c.Call.Flag("recursive", false) || !strings.Contains(rest, "/")) {
					out, found = append(out, f), true
				}
			}
			if !found {
				return nil, fault.New(fault.NotFound, "No manifest is at %s.", name).WithNext("name a file of the workspace; addresses are not fetched")
			}
		}
	}
	return out, nil
}

// manifestName reports whether kubectl takes a file of a folder.
func manifestName(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".json")
}

// file finds a file by its name.
func (c *Command) file(name string) ([]byte, bool) {
	i := slices.IndexFunc(c.Files, func(f File) bool { return f.Name == name })
	if i < 0 {
		return nil, false
	}
	return c.Files[i].Data, true
}

// said is what kubectl prints of objects that it changed.
func (c *Command) said(list []manifest.Named, what string) string {
	var out strings.Builder
	for _, o := range list {
		fmt.Fprintf(&out, "%s/%s %s\n", strings.ToLower(o.Kind), o.Name, what)
	}
	return out.String()
}

// namedAs is an object by the full name of its kind.
func namedAs(o map[string]any) manifest.Named {
	kind := kindOf(o)
	if version, _ := o["apiVersion"].(string); strings.Contains(version, "/") {
		group, _, _ := strings.Cut(version, "/")
		kind += "." + group
	}
	return manifest.Named{Kind: kind, Name: nameOf(o)}
}

// lookup is an environment that is looked at: it is not locked.
type lookup struct {
	*reach
	cfg *rest.Config
}

// peek returns access to the environment that the actor's job names, for what changes nothing.
func (s *Service) peek(ctx context.Context, t Target) (*lookup, error) {
	job := t.Actor.Job
	if err := s.Auth.Require(ctx, t.Actor, job.Project, identity.Write); err != nil {
		return nil, err
	}
	if s.environmentOf(t) == "" {
		return nil, noEnvironment(job)
	}
	env, err := s.ensure(ctx, t.Actor, job.Project, s.environmentOf(t), t.Namespace)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx); err != nil {
		return nil, err
	}
	_, cfg, err := s.deployer(ctx, env, job.Run)
	if err != nil {
		return nil, err
	}
	at, err := s.reach(ctx, env, job.Run)
	return &lookup{reach: at, cfg: cfg}, err
}

// kubectlChange carries out what changes single objects.
func (s *Service) kubectlChange(ctx context.Context, c Command, say Say) (string, error) {
	if c.Call.Verb == "delete" {
		return s.kubectlDelete(ctx, c, say)
	}
	ctx, at, err := s.objects(ctx, c.Target, say)
	if err != nil {
		return "", err
	}
	defer at.free()
	switch c.Call.Verb {
	case "create", "run", "expose":
		return s.kubectlMake(ctx, at, c, say)
	}
	_, list, err := c.Call.TargetsBefore()
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", fault.New(fault.Invalid, "kubectl %s names no object.", c.Call.Verb).WithNext("write KIND/NAME")
	}
	var done []manifest.Named
	for _, o := range list {
		change, err := s.changeOf(ctx, at, c, o)
		if err != nil {
			return "", err
		}
		if err := s.patchTo(ctx, at, c.Target, o, change, say); err != nil {
			return "", err
		}
		done = append(done, o)
	}
	return c.said(done, pastOf(c.Call)), s.changed(ctx, at, c.Target, "kubectl "+strings.TrimSpace(c.Call.Verb+" "+c.Call.Sub), done...)
}

// pastOf is the word that kubectl prints when it is done.
func pastOf(c kubectl.Call) string {
	switch c.Verb {
	case "set":
		return c.Sub + " updated"
	case "rollout":
		return map[string]string{"restart": "restarted", "undo": "rolled back", "pause": "paused", "resume": "resumed"}[c.Sub]
	case "label":
		return "labeled"
	case "annotate":
		return "annotated"
	case "patch":
		return "patched"
	}
	return "scaled"
}

// change is a patch of one object.
type change struct {
	kind types.PatchType
	data []byte
	sub  string // subresource
}

// patchTo judges what comes of a patch and carries it out.
func (s *Service) patchTo(ctx context.Context, at *objectSite, t Target, o manifest.Named, ch change, say Say) error {
	resource, _, err := at.named(o)
	if err != nil {
		return err
	}
	var subs []string
	if ch.sub != "" {
		subs = []string{ch.sub}
	} else {
		try, err := resource.Patch(ctx, o.Name, ch.kind, ch.data, metav1.PatchOptions{FieldManager: taskManager, DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return objectFault(err, "changing", o)
		}
		if err := s.admitObject(ctx, at, t, try.Object, say); err != nil {
			return err
		}
	}
	if _, err := resource.Patch(ctx, o.Name, ch.kind, ch.data, metav1.PatchOptions{FieldManager: taskManager}, subs...); err != nil {
		return objectFault(err, "changing", o)
	}
	return nil
}

// kubectlMake makes one object from words.
func (s *Service) kubectlMake(ctx context.Context, at *objectSite, c Command, say Say) (string, error) {
	var owner map[string]any
	var err error
	if from, ok := c.Call.From(); ok {
		owner, err = at.read(ctx, from)
	} else if c.Call.Verb == "expose" {
		var list []manifest.Named
		if _, list, err = c.Call.Targets(); err == nil && len(list) != 1 {
			err = fault.New(fault.Invalid, "kubectl expose names one object.").WithNext("write expose KIND/NAME --port=80")
		}
		if err == nil {
			owner, err = at.read(ctx, list[0])
		}
	}
	if err != nil {
		return "", err
	}
	o, err := c.Call.Make(c.file, owner)
	if err != nil {
		return "", err
	}
	if how := c.Call.Option("dry-run"); how != "" && how != "none" {
		return printed(c.Call.Option("output"), []map[string]any{o}, "created (dry run)")
	}
	// Images of our registry by a tag run by digest, as in a release.
	if err := s.pinnerFor(ctx, c.Actor).document(o); err != nil {
		return "", err
	}
	if err := s.admitObject(ctx, at, c.Target, o, say); err != nil {
		return "", err
	}
	n := namedAs(o)
	resource, _, err := at.named(n)
	if err != nil {
		return "", err
	}
	if _, err := resource.Create(ctx, &unstructured.Unstructured{Object: o}, metav1.CreateOptions{FieldManager: taskManager}); err != nil {
		return "", objectFault(err, "creating", n)
	}
	if err := s.changed(ctx, at, c.Target, "kubectl "+strings.TrimSpace(c.Call.Verb+" "+c.Call.Sub), n); err != nil {
		return "", err
	}
	return printed(c.Call.Option("output"), []map[string]any{o}, "created")
}

// read returns an object that lives, by the words of kubectl.
func (r *reach) read(ctx context.Context, o manifest.Named) (map[string]any, error) {
	resource, _, err := r.named(o)
	if err != nil {
		return nil, err
	}
	got, err := resource.Get(ctx, o.Name, metav1.GetOptions{})
	if err != nil {
		return nil, objectFault(err, "reading", o)
	}
	return got.Object, nil
}

// kubectlDelete deletes objects by their names or by labels.
func (s *Service) kubectlDelete(ctx context.Context, c Command, say Say) (string, error) {
	kind, list, err := c.Call.Targets()
	if err != nil {
		return "", err
	}
	if selector := c.Call.Option("selector"); kind != "" {
		if selector == "" {
			return "", fault.New(fault.Invalid, "kubectl delete names no object.").WithNext("write delete %s NAME, or give a --selector", kind)
		}
		at, err := s.peek(ctx, c.Target)
		if err != nil {
			return "", err
		}
		for k := range strings.SplitSeq(kind, ",") {
			found, err := at.all(ctx, k, metav1.ListOptions{LabelSelector: selector})
			if err != nil {
				return "", err
			}
			for _, o := range found {
				if !ours(nameOf(o)) {
					list = append(list, namedAs(o))
				}
			}
		}
		if len(list) == 0 {
			return "No resources found\n", nil
		}
	}
	return c.said(list, "deleted"), s.DeleteObjects(ctx, c.Target, list, c.Call.Flag("ignore-not-found", false), say)
}

// all lists the objects of a kind.
func (r *reach) all(ctx context.Context, kind string, o metav1.ListOptions) ([]map[string]any, error) {
	resource, _, err := r.named(manifest.Named{Kind: kind, Name: "-"})
	if err != nil {
		return nil, err
	}
	list, err := resource.List(ctx, o)
	if err != nil {
		return nil, objectFault(err, "listing", manifest.Named{Kind: kind})
	}
	out := make([]map[string]any, len(list.Items))
	for i := range list.Items {
		out[i] = list.Items[i].Object
		if out[i]["kind"] == nil {
			out[i]["kind"], out[i]["apiVersion"] = strings.TrimSuffix(list.GetKind(), "List"), list.GetAPIVersion()
		}
	}
	return out, nil
}

// printed is what kubectl prints of objects that it brought.
func printed(format string, objects []map[string]any, what string) (string, error) {
	var out strings.Builder
	for _, o := range objects {
		o = hidden(o)
		switch format {
		case "yaml", "json":
			text, err := yaml.Marshal(o)
			if err == nil && format == "json" {
				text, err = yaml.YAMLToJSON(text)
				text = append(text, '\n')
			}
			if err != nil {
				return "", fmt.Errorf("encoding %s %s: %w", kindOf(o), nameOf(o), err)
			}
			if format == "yaml" && len(objects) > 1 {
				out.WriteString("---\n")
			}
			out.Write(text)
		case "", "none", "name", "wide":
			n := namedAs(o)
			line := strings.ToLower(n.Kind) + "/" + n.Name
			if format != "name" {
				line += " " + what
			}
			out.WriteString(line + "\n")
		default:
			return "", fault.New(fault.Invalid, "The output format %q of kubectl is none that Kubernetes@1 has here for that command.", format).WithNext("use json, yaml or name")
		}
	}
	return out.String(), nil
}

// pollEvery is how often wait and rollout status look.
const pollEvery = time.Second
