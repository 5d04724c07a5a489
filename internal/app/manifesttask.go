package app

import (
	"context"
	"path"
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
	to := deploy.Target{Actor: jobActor(call.Job), Namespace: strings.TrimSpace(in["namespace"]), Name: "manifests-" + path.Base(call.Job.Repo)}
	if s := strings.TrimSpace(in["rolloutStatusTimeout"]); s != "" && s != "0" {
		seconds, err := strconv.Atoi(s)
		if err != nil || seconds < 0 {
			return nil, fault.New(fault.Invalid, "rolloutStatusTimeout must be seconds, not %q.", s)
		}
		to.Timeout = time.Duration(seconds) * time.Second
	}
	if do, ok := map[string]func(context.Context, deploy.Target, map[string]string, []deploy.File, deploy.Say) error{
		"scale": t.scale, "patch": t.patch, "delete": t.deleteObjects, "createsecret": t.createSecret,
	}[plan.action]; ok {
		return map[string]string{}, do(ctx, to, in, all, out)
	}
	m := deploy.Manifests{Target: to, Files: below(all, in["manifests"]), Images: list(in["containers"]), SMI: plan.smi, Replicas: plan.replicas}
	var r deploy.Release
	switch plan.action {
	case "promote":
		r, err = t.deploy.PromoteManifests(ctx, m, out)
	case "reject":
		return map[string]string{}, t.deploy.RejectManifests(ctx, m, out)
	default:
		m.CanaryPercent = plan.percent
		if call.Strategy.Name == "canary" && call.Strategy.Increment > 0 {
			m.Strategy = &deploy.CanaryRequest{Increment: call.Strategy.Increment}
		}
		r, err = t.deploy.Apply(ctx, m, out)
	}
	return map[string]string{"release": r.ID()}, err
}

// manifestAction reads what KubernetesManifest@1 is to do.
func manifestAction(in map[string]string) (manifestPlan, error) {
	word := func(name string) string { return strings.ToLower(strings.TrimSpace(in[name])) }
	p, strategy := manifestPlan{action: word("action")}, word("strategy")
	switch p.action {
	case "scale", "patch", "delete", "createsecret":
		return p, nil
	case "", "deploy":
		if strategy == "" || strategy == "none" {
			return p, nil
		}
	case "promote", "reject":
	default:
		return manifestPlan{}, fault.New(fault.Invalid, "The action %q of KubernetesManifest@1 is not supported.", in["action"]).
			WithNext("use deploy, promote, reject, scale, patch, delete or createSecret; what bake makes, HelmDeploy@1 deploys")
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

func (t tasks) scale(ctx context.Context, to deploy.Target, in map[string]string, _ []deploy.File, say deploy.Say) error {
	o, err := theObject(in)
	if err != nil {
		return err
	}
	n, err := within(in, "replicas", 0, 10000, "")
	if err != nil {
		return err
	}
	return t.deploy.Scale(ctx, to, o, n, say)
}

// patch changes the object that kind and name mean, or the one that the manifest in the
// patched file is.
func (t tasks) patch(ctx context.Context, to deploy.Target, in map[string]string, all []deploy.File, say deploy.Say) error {
	var o manifest.Named
	var err error
	if strings.EqualFold(strings.TrimSpace(in["resourceToPatch"]), "name") {
		o, err = theObject(in)
	} else {
		o, err = onlyObject(below(all, in["resourceFileToPatch"]))
	}
	if err != nil {
		return err
	}
	return t.deploy.PatchObject(ctx, to, deploy.Patch{Object: o, Strategy: strings.TrimSpace(in["mergeStrategy"]), Data: []byte(in["patch"])}, say)
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

func (t tasks) deleteObjects(ctx context.Context, to deploy.Target, in map[string]string, _ []deploy.File, say deploy.Say) error {
	args, err := words(in["arguments"])
	if err != nil {
		return err
	}
	doomed, missing, err := manifest.Doomed(args)
	if err != nil {
		return err
	}
	return t.deploy.DeleteObjects(ctx, to, doomed, missing, say)
}

func (t tasks) createSecret(ctx context.Context, to deploy.Target, in map[string]string, _ []deploy.File, say deploy.Say) error {
	if in["dockerRegistryEndpoint"] != "" {
		return fault.New(fault.Invalid, "The input dockerRegistryEndpoint of KubernetesManifest@1 is not supported: there are no service connections.").
			WithNext("write secretArguments: --docker-server=HOST --docker-username=NAME --docker-password=$(password)")
	}
	args, err := words(in["secretArguments"])
	if err != nil {
		return fault.New(fault.Invalid, "A quote in secretArguments is not closed.")
	}
	secret, err := manifest.Secret(strings.TrimSpace(in["secretType"]), strings.TrimSpace(in["secretName"]), args)
	if err != nil {
		return err
	}
	return t.deploy.CreateSecret(ctx, to, secret, say)
}
