package app

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
)

// manifestPlan is what KubernetesManifest@1 is to do: its action and, of a canary, how.
type manifestPlan struct {
	action   string // in lower case; "" is deploy
	percent  int    // of a canary that is deployed; 0 for the strategy none
	smi      bool   // by a TrafficSplit, else by the number of pods
	replicas int    // of canary and baseline by SMI
}

// manifests runs KubernetesManifest@1.
func (t tasks) manifests(ctx context.Context, call pipeline.TaskCall, out func(string)) (map[string]string, error) {
	in := call.Inputs
	plan, err := manifestAction(in)
	if err != nil {
		return nil, err
	}
	all, err := files(call.Context)
	if err != nil {
		return nil, err
	}
	if plan.action == "bake" {
		return map[string]string{}, bake(call, all)
	}
	svc, err := t.target(ctx, call)
	if err != nil {
		return nil, err
	}
	to := deploy.Target{Actor: jobActor(call.Job), Namespace: strings.TrimSpace(in["namespace"]), Name: "manifests-" + repoName(call.Job.Repo)}
	if s := strings.TrimSpace(in["rolloutStatusTimeout"]); s != "" && s != "0" {
		seconds, err := strconv.Atoi(s)
		if err != nil || seconds < 0 {
			return nil, fault.New(fault.Invalid, "rolloutStatusTimeout must be seconds, not %q.", s)
		}
		to.Timeout = time.Duration(seconds) * time.Second
	}
	k := kubeCall{tasks: t, svc: svc, to: to, files: all, in: in, call: call, say: out}
	if do, ok := map[string]func(kubeCall, context.Context) error{
		"scale": kubeCall.scale, "patch": kubeCall.patch, "delete": kubeCall.deleteObjects, "createsecret": kubeCall.createSecret,
	}[plan.action]; ok {
		return map[string]string{}, do(k, ctx)
	}
	m := deploy.Manifests{
		Target: to, Files: below(all, in["manifests"]), Images: list(in["containers"]), PullSecrets: list(in["imagePullSecrets"]), SMI: plan.smi,
		Replicas: plan.replicas, Notes: t.traces(call),
	}
	var r deploy.Release
	switch plan.action {
	case "promote":
		r, err = svc.PromoteManifests(ctx, m, out)
	case "reject":
		return map[string]string{}, svc.RejectManifests(ctx, m, out)
	default:
		m.CanaryPercent = plan.percent
		if call.Strategy.Name == "canary" && call.Strategy.Increment > 0 {
			m.Strategy = &deploy.CanaryRequest{Increment: call.Strategy.Increment}
		}
		r, err = svc.Apply(ctx, m, out)
	}
	return map[string]string{"release": r.ID()}, err
}

// traces are the annotations that say where objects come from, by the names that the task has
// (azure-pipelines-tasks, kubernetesconstants).
func (t tasks) traces(call pipeline.TaskCall) map[string]string {
	j := call.Job
	return map[string]string{
		"azure-pipelines/run": call.RunName, "azure-pipelines/pipeline": strconv.Quote(repoName(j.Repo)), "azure-pipelines/pipelineId": strconv.Quote(j.Repo),
		"azure-pipelines/jobName": strconv.Quote(j.Job), "azure-pipelines/runuri": t.url + "/projects/" + j.Project + "/runs/" + strconv.FormatInt(j.Run, 10),
		"azure-pipelines/project": j.Project, "azure-pipelines/org": t.url + "/",
	}
}

// bake is the action bake: a chart or a kustomization becomes one file of manifests.
func bake(call pipeline.TaskCall, all []deploy.File) error {
	in := call.Inputs
	var text string
	if strings.EqualFold(strings.TrimSpace(in["renderType"]), "kustomize") {
		raw, err := deploy.Kustomize(all, in["kustomizationPath"])
		if err != nil {
			return err
		}
		if text, err = deploy.ReplaceImages(string(raw), list(in["containers"])); err != nil {
			return err
		}
	} else {
		c := deploy.Chart{Target: deploy.Target{Name: strings.TrimSpace(in["releaseName"]), Namespace: strings.TrimSpace(in["namespace"])}, Files: below(all, in["helmChart"])}
		for _, f := range all {
			if f.Name == in["helmChart"] {
				var err error
				if c.Files, err = deploy.Unpack(f.Data); err != nil {
					return err
				}
			}
			if slices.Contains(lines(in["overrideFiles"]), f.Name) {
				c.Values = append(c.Values, f.Data)
			}
		}
		for _, l := range lines(in["overrides"]) {
			name, value, ok := strings.Cut(l, ":")
			if !ok {
				return fault.New(fault.Invalid, "The line %q of overrides is no NAME:VALUE.", l)
			}
			c.Set = append(c.Set, name+"="+value)
		}
		var err error
		if text, err = deploy.Template(c, list(in["containers"])); err != nil {
			return err
		}
	}
	call.Save("baked-template-"+strconv.FormatInt(call.Job.Run, 10)+".yaml", []byte(text))
	return nil
}

// manifestAction reads what KubernetesManifest@1 is to do.
func manifestAction(in map[string]string) (manifestPlan, error) {
	word := func(name string) string { return strings.ToLower(strings.TrimSpace(in[name])) }
	p, strategy := manifestPlan{action: word("action")}, word("strategy")
	switch p.action {
	case "scale", "patch", "delete", "createsecret":
		return p, nil
	case "bake":
		switch word("renderType") {
		case "", "helm", "helm2", "kustomize":
			return p, nil
		}
		return manifestPlan{}, fault.New(fault.Invalid, "The renderType %q of KubernetesManifest@1 is not supported here.", in["renderType"]).
			WithNext("use helm or kustomize; turn a compose file into manifests with kompose once and commit them")
	case "", "deploy":
		if strategy == "" || strategy == "none" {
			return p, nil
		}
	case "promote", "reject":
	default:
		return manifestPlan{}, fault.New(fault.Invalid, "The action %q of KubernetesManifest@1 is not supported.", in["action"]).
			WithNext("use bake, createSecret, delete, deploy, patch, promote, reject or scale")
	}
	if strategy != "canary" {
		return manifestPlan{}, fault.New(fault.Invalid, "The action %s of KubernetesManifest@1 cannot have the strategy %q.", p.action, in["strategy"]).WithNext("use strategy: canary")
	}
	switch word("trafficSplitMethod") {
	case "", "pod":
	case "smi":
		p.smi = true
	default:
		return manifestPlan{}, fault.New(fault.Invalid, "The trafficSplitMethod %q of KubernetesManifest@1 is not supported.", in["trafficSplitMethod"]).WithNext("use pod or smi")
	}
	if p.action == "promote" || p.action == "reject" {
		return p, nil
	}
	var err error
	if p.percent, err = within(in, "percentage", 1, 100, ""); err == nil && p.smi {
		p.replicas, err = within(in, "baselineAndCanaryReplicas", 0, 1000, "1")
	}
	if err != nil {
		return manifestPlan{}, err
	}
	return p, nil
}

// within reads an input that is a number; unset is its value when there is none.
func within(in map[string]string, name string, least, most int, unset string) (int, error) {
	s := strings.TrimSpace(in[name])
	if s == "" {
		s = unset
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return 0, fault.New(fault.Invalid, "%s must be from %d to %d, not %q.", name, least, most, in[name])
	}
	return n, nil
}

// theObject is the object that the inputs kind and name mean.
func theObject(in map[string]string) (manifest.Named, error) {
	o := manifest.Named{Kind: strings.TrimSpace(in["kind"]), Name: strings.TrimSpace(in["name"])}
	if o.Kind == "" || o.Name == "" {
		return o, fault.New(fault.Invalid, "The action %s of KubernetesManifest@1 needs the inputs kind and name.", in["action"])
	}
	return o, nil
}

func (k kubeCall) scale(ctx context.Context) error {
	o, err := theObject(k.in)
	if err != nil {
		return err
	}
	n, err := within(k.in, "replicas", 0, 10000, "")
	if err != nil {
		return err
	}
	return k.svc.Scale(ctx, k.to, o, n, k.say)
}

// patch changes the object that kind and name mean, or the one that the manifest in the
// patched file is.
func (k kubeCall) patch(ctx context.Context) error {
	var o manifest.Named
	var err error
	if strings.EqualFold(strings.TrimSpace(k.in["resourceToPatch"]), "name") {
		o, err = theObject(k.in)
	} else {
		o, err = onlyObject(below(k.files, k.in["resourceFileToPatch"]))
	}
	if err != nil {
		return err
	}
	return k.svc.PatchObject(ctx, k.to, deploy.Patch{Object: o, Strategy: strings.TrimSpace(k.in["mergeStrategy"]), Data: []byte(k.in["patch"])}, k.say)
}

// onlyObject is the object of the one file of the input resourceFileToPatch.
func onlyObject(list []deploy.File) (manifest.Named, error) {
	if len(list) == 1 {
		if o, err := manifest.Only(list[0].Data); err == nil {
			return o, nil
		}
	}
	return manifest.Named{}, fault.New(fault.Invalid, "The input resourceFileToPatch names no file with one object.").
		WithNext("write resourceToPatch: name, with kind and name, for an object of several")
}

// deleteObjects is the action delete: its arguments are those of kubectl delete.
func (k kubeCall) deleteObjects(ctx context.Context) error {
	args, err := spoken(k.in, "words")
	if err != nil {
		return err
	}
	_, err = k.run(ctx, "delete", args)
	return err
}

// createSecret is the action createSecret: it takes the place of a Secret of its name.
func (k kubeCall) createSecret(ctx context.Context) error {
	name := strings.TrimSpace(k.in["secretName"])
	if name == "" {
		return fault.New(fault.Invalid, "The action createSecret needs the input secretName.")
	}
	k.in = maps.Clone(k.in)
	k.in["secretWords"], k.in["forceUpdate"] = k.in["words"], "true"
	return k.secret(ctx, name)
}
