package app

import (
	"context"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/chart"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
)

// helmCall is a step HelmDeploy@1.
type helmCall struct {
	chart    deploy.Chart
	svc      *deploy.Service
	in       map[string]string
	call     pipeline.TaskCall
	files    []deploy.File
	args     helmArguments
	charts   *chart.Client
	own      string          // host of our registry
	ref      string          // the chart by its name elsewhere; "" when its files came with the call
	fetched  map[string]bool // files of the chart that depend fetched
	say      func(string)
	printing strings.Builder // what helm would print, for helmOutput
}

// helmInstead says of commands that are refused what to do.
var helmInstead = map[string]string{
	"init": "there is no Tiller any more: leave the step out", "expose": "use an Ingress or a Service in the chart",
	"save": "use the command package, and push for a registry", "plugin": "no plugins run here", "search": "name the chart and its version; no index is searched",
	"login": "no job holds a kubeconfig: each step HelmDeploy@1 finds its cluster by itself", "logout": "no job holds a kubeconfig",
	"verify": "no key ring is here: charts by digest are checked, and Towpath signs images itself", "env": "a step here has no helm program",
}

// helmCommands are the commands of HelmDeploy@1 that run here.
var helmCommands = map[string]func(*helmCall, context.Context) (deploy.Release, error){
	"install": (*helmCall).deploy, "upgrade": (*helmCall).deploy, "rollback": (*helmCall).rollback, "uninstall": (*helmCall).uninstall, "delete": (*helmCall).uninstall,
	"ls": (*helmCall).list, "list": (*helmCall).list, "history": (*helmCall).list, "status": (*helmCall).get, "get": (*helmCall).get, "test": (*helmCall).test,
	"template": (*helmCall).template, "lint": (*helmCall).lint, "package": (*helmCall).pack, "version": (*helmCall).version, "create": (*helmCall).create,
	"repo": (*helmCall).repo, "registry": (*helmCall).signIn, "push": (*helmCall).push, "pull": (*helmCall).pull, "show": (*helmCall).show, "dependency": (*helmCall).dependency,
}

func (t tasks) helm(ctx context.Context, call pipeline.TaskCall, out func(string)) (map[string]string, error) {
	in := call.Inputs
	command := strings.ToLower(strings.TrimSpace(in["command"]))
	do, ok := helmCommands[command]
	if !ok {
		next := helmInstead[command]
		if next == "" {
			next = "use " + strings.Join(slices.Sorted(maps.Keys(helmCommands)), ", ")
		}
		return nil, fault.New(fault.Invalid, "The command %q of HelmDeploy@1 is not supported.", in["command"]).WithNext("%s", next)
	}
	if err := noAzureCharts(in); err != nil {
		return nil, err
	}
	svc, err := t.target(ctx, call)
	if err != nil {
		return nil, err
	}
	h := &helmCall{svc: svc, in: in, call: call, say: out, own: t.host, charts: chart.New(t.web, chart.Own{Host: t.host, Registry: ownCharts{t.registry, jobActor(call.Job)}})}
	if err := h.read(command); err != nil {
		return nil, err
	}
	if truth(in["enableTls"], false) || truth(in["recreate"], false) || truth(in["canaryimage"], false) || strings.TrimSpace(in["tillernamespace"]) != "" {
		out("##[warning]enableTls, recreate, canaryimage and tillernamespace are of Helm 2 and have no effect.")
	}
	r, err := do(h, ctx)
	return h.result(r, err)
}

// read reads the inputs that more than one command has.
func (h *helmCall) read(command string) error {
	said, err := spoken(h.in, "words")
	if err != nil {
		return err
	}
	if said == nil {
		if said, err = words(h.in["arguments"]); err != nil {
			return err
		}
	}
	if h.args, err = readHelm(command, said); err != nil {
		return err
	}
	for _, idle := range []string{"history-max", "description", "skip-tests", "debug"} {
		if h.args.option(idle) != "" {
			h.say("##[warning]--" + idle + " has no effect: a release here keeps its history, its run says what it is, and tests are a command of their own.")
		}
	}
	if h.files, err = files(h.call.Context); err != nil {
		return err
	}
	c := &h.chart
	c.Target = deploy.Target{Actor: jobActor(h.call.Job), Namespace: strings.TrimSpace(h.in["namespace"]), Name: strings.TrimSpace(h.in["releaseName"]), Timeout: h.args.timeout}
	if ns := h.args.option("namespace"); ns != "" && c.Namespace == "" {
		c.Namespace = ns
	}
	h.name(command)
	if h.in["chartPath"] != "" {
		c.Files = below(h.files, h.in["chartPath"])
		if i := slices.IndexFunc(h.files, func(f deploy.File) bool { return f.Name == path.Clean(h.in["chartPath"]) }); i >= 0 {
			if c.Files, err = deploy.Unpack(h.files[i].Data); err != nil {
				return err
			}
		}
	}
	for _, name := range append(list(h.in["valueFile"]), h.args.options("values")...) {
		i := slices.IndexFunc(h.files, func(f deploy.File) bool { return f.Name == path.Clean(name) })
		if i < 0 {
			return fault.New(fault.NotFound, "The values file %s is not there.", name)
		}
		c.Values = append(c.Values, h.files[i].Data)
	}
	c.Set = append(lines(h.in["overrideValues"]), h.args.options("set")...)
	c.Overrides = deploy.Overrides{
		SetJSON: h.args.options("set-json"), SetString: h.args.options("set-string"), SetFile: h.args.options("set-file"), SetLiteral: h.args.options("set-literal"), Given: h.files,
	}
	return nil
}

// name reads which release and which chart the words of a command name, where the inputs do
// not: "[NAME] CHART" of those that take a chart, "NAME" of those that take a release.
func (h *helmCall) name(command string) {
	c, words := &h.chart, h.args.words
	if h.in["chartPath"] == "" {
		h.ref = strings.TrimSpace(h.in["chartName"])
	}
	switch command {
	case "install", "upgrade", "template":
		if at := len(words) - 1; at >= 0 && h.in["chartPath"] == "" && h.ref == "" && (at > 0 || c.Name != "" || command == "template" || chart.IsRef(words[at])) {
			h.ref, words = words[at], words[:at]
		}
	case "pull", "show":
		if at := len(words) - 1; at >= 0 && h.in["chartPath"] == "" {
			h.ref, words = words[at], words[:at]
		}
		h.args.words = words
		return
	case "lint", "package", "create", "repo", "registry", "push", "dependency":
		return
	}
	if c.Name == "" && len(words) > 0 {
		c.Name, words = words[0], words[1:]
	}
	h.args.words = words
}

// deploy is install and upgrade: a release, judged and recorded as each one is.
func (h *helmCall) deploy(ctx context.Context) (deploy.Release, error) {
	c := h.chart
	if strings.TrimSpace(h.in["releaseName"]) == "" && c.Name == "" {
		return deploy.Release{}, fault.New(fault.Invalid, "HelmDeploy@1 needs the input releaseName.").
			WithNext("the number of the run, which the service takes without it, would make a new release each time")
	}
	if err := h.fetch(ctx); err != nil {
		return deploy.Release{}, err
	}
	c = h.chart
	if strings.EqualFold(h.in["command"], "upgrade") {
		c.NoInstall = !truth(h.in["install"], true) && !h.args.on("install")
	}
	c.NoWait = !truth(h.in["waitForExecution"], true) && !h.args.on("wait") && !h.args.on("atomic")
	c.Force = truth(h.in["force"], false) || h.args.on("force")
	c.ReuseValues = (h.args.on("reuse-values") || h.args.on("reset-then-reuse-values")) && !truth(h.in["resetValues"], false) && !h.args.on("reset-values")
	if h.args.on("dry-run") {
		return h.template(ctx)
	}
	if h.call.Strategy.Name == "canary" && h.call.Strategy.Increment > 0 {
		c.Strategy = &deploy.CanaryRequest{Increment: h.call.Strategy.Increment}
	}
	return h.svc.Helm(ctx, c, func(line string) {
		h.say(line)
		h.printing.WriteString(line + "\n")
	})
}

// print says a text and keeps it for helmOutput.
func (h *helmCall) print(text string) {
	h.printing.WriteString(text)
	for line := range strings.Lines(text) {
		h.say(strings.TrimSuffix(line, "\n"))
	}
}

func (h *helmCall) rollback(ctx context.Context) (deploy.Release, error) {
	revision := 0
	if len(h.args.words) > 0 {
		n, err := strconv.Atoi(h.args.words[0])
		if err != nil || n < 0 {
			return deploy.Release{}, fault.New(fault.Invalid, "%q is no revision.", h.args.words[0]).WithNext("write its number, or leave it out for the one before")
		}
		revision = n
	}
	if h.chart.Name == "" {
		return deploy.Release{}, fault.New(fault.Invalid, "HelmDeploy@1 needs the input releaseName.")
	}
	r, err := h.svc.HelmRollback(ctx, h.chart.Target, revision, h.say)
	if err == nil {
		h.print("Rollback was a success! Happy Helming!\n")
	}
	return r, err
}

func (h *helmCall) uninstall(ctx context.Context) (deploy.Release, error) {
	if h.chart.Name == "" {
		return deploy.Release{}, fault.New(fault.Invalid, "HelmDeploy@1 needs the input releaseName.")
	}
	return deploy.Release{}, h.svc.HelmUninstall(ctx, deploy.Uninstall{
		Target: h.chart.Target, KeepHistory: h.args.on("keep-history"), IgnoreNotFound: h.args.on("ignore-not-found"), NoHooks: h.args.on("no-hooks"), Wait: h.args.on("wait"),
	}, func(line string) { h.print(line + "\n") })
}

func (h *helmCall) list(ctx context.Context) (deploy.Release, error) {
	show := h.svc.HelmList
	if strings.EqualFold(h.in["command"], "history") {
		show = h.svc.HelmHistory
	}
	text, err := show(ctx, h.chart.Target, h.args.option("output"))
	h.print(text)
	return deploy.Release{}, err
}

func (h *helmCall) get(ctx context.Context) (deploy.Release, error) {
	what := "status"
	to := h.chart.Target
	if strings.EqualFold(h.in["command"], "get") {
		if what = to.Name; len(h.args.words) > 0 {
			to.Name = h.args.words[0]
		} else if given := strings.TrimSpace(h.in["releaseName"]); given != "" {
			what = "manifest"
		}
	}
	revision, err := strconv.Atoi("0" + h.args.option("revision"))
	if err != nil {
		return deploy.Release{}, fault.New(fault.Invalid, "%q is no revision.", h.args.option("revision"))
	}
	text, err := h.svc.HelmGet(ctx, to, what, revision)
	h.print(text)
	return deploy.Release{}, err
}

func (h *helmCall) template(ctx context.Context) (deploy.Release, error) {
	if err := h.fetch(ctx); err != nil {
		return deploy.Release{}, err
	}
	text, err := deploy.Template(h.chart, nil)
	h.print(text)
	return deploy.Release{}, err
}

func (h *helmCall) lint(context.Context) (deploy.Release, error) {
	text, err := deploy.Lint(h.chart, h.args.on("strict"))
	h.print(text)
	return deploy.Release{}, err
}

func (h *helmCall) test(ctx context.Context) (deploy.Release, error) {
	if h.chart.Name == "" {
		return deploy.Release{}, fault.New(fault.Invalid, "HelmDeploy@1 needs the input releaseName.")
	}
	return deploy.Release{}, h.svc.HelmTest(ctx, h.chart.Target, h.args.on("logs"), func(line string) { h.print(line + "\n") })
}

func (h *helmCall) pack(ctx context.Context) (deploy.Release, error) {
	if truth(h.in["updatedependency"], false) || h.args.on("dependency-update") {
		if err := h.depend(ctx, false); err != nil {
			return deploy.Release{}, err
		}
	}
	version := strings.TrimSpace(h.in["version"])
	if v := h.args.option("version"); v != "" {
		version = v
	}
	name, archive, err := deploy.Package(h.chart.Files, version, h.args.option("app-version"))
	if err == nil {
		h.call.Save(name, archive)
		h.printing.WriteString("Successfully packaged chart: " + name + "\n")
	}
	return deploy.Release{}, err
}

func (h *helmCall) version(context.Context) (deploy.Release, error) {
	h.print("Helm v4, as a library of Towpath\n")
	return deploy.Release{}, nil
}

// result makes the output variables of the task (HelmDeployV1 task.json).
func (h *helmCall) result(r deploy.Release, err error) (map[string]string, error) {
	out := map[string]string{"helmExitCode": "0", "helmOutput": h.printing.String()}
	if err != nil {
		out["helmExitCode"] = "1"
	}
	if r.Number > 0 {
		out["release"] = r.ID()
	}
	if len(out["helmOutput"]) > maxOutput {
		delete(out, "helmOutput")
		h.say("##[warning]The output is longer than an output variable may be: helmOutput is not set.")
	}
	return out, err
}

// lines splits values that stand on lines; commas within a line are Helm's own.
func lines(s string) []string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}
