package pipeline

import (
	"context"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// Target is one place to which a pipeline deploys.
type Target struct {
	Environment string `json:"environment"`
	Stage       string `json:"stage"`
	Job         string `json:"job"`
	File        string `json:"file"` // that holds the step: the pipeline's, or a template's
	Line        int    `json:"line"` // of the step in File
	// Strategy is that of the deployment; Increments are the percentages of a canary. What
	// the step deploys is rendered as it is after the last of them.
	Strategy   string `json:"strategy,omitempty"`
	Increments []int  `json:"increments,omitempty"`
	// Namespace is that of the step; "" takes the environment's.
	Namespace string `json:"namespace,omitempty"`
	// Release, ChartPath, ValueFiles and Set are those of HelmDeploy@1. Paths are from the
	// root of the repository; a chart is a folder or an archive.
	Release    string   `json:"release,omitempty"`
	ChartPath  string   `json:"chart_path,omitempty"`
	ValueFiles []string `json:"value_files,omitempty"`
	Set        []string `json:"set,omitempty"`   // "key=value", as written; macros that are known are expanded
	Reuse      bool     `json:"reuse,omitempty"` // the release starts from the values of the one before
	// Manifests are the files, folders and patterns of KubernetesManifest@1, from the root
	// of the repository; Images the `containers` that replace those of the same name.
	Manifests []string `json:"manifests,omitempty"`
	Images    []string `json:"images,omitempty"`
	// Unknown are the keys of Set with macros that only a run knows.
	Unknown []string `json:"unknown,omitempty"`
	// Why says what of the step only a run knows, so that nothing can be rendered; "" when
	// it can.
	Why string `json:"why,omitempty"`
}

// Targets lists where the pipeline of a commit deploys to, in the order of the file. It
// needs the read role. A commit without a file has no targets; one whose file does not
// compile is fault.Invalid.
func (s *Service) Targets(ctx context.Context, a identity.Actor, repo, commit string) ([]Target, error) {
	project, _, ok := strings.Cut(repo, "/")
	if !ok {
		return nil, fault.New(fault.Invalid, "%q is not the name of a repository.", repo).WithNext("write project/repo")
	}
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	list, err := s.ofRepo(ctx, repo)
	if err != nil {
		return nil, err
	}
	out := []Target{}
	for _, d := range list {
		if out, err = s.targetsOf(ctx, Order{Repo: repo, File: d.File, Project: project, Commit: commit}, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// targetsOf adds the targets of one pipeline.
func (s *Service) targetsOf(ctx context.Context, o Order, out []Target) ([]Target, error) {
	p, found, err := s.compile(ctx, o)
	if fault.Is(err, fault.NotFound) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	if found.Failed() {
		return nil, fault.New(fault.Invalid, "The pipeline does not compile:\n%s", strings.Join(messages(found), "\n")).
			WithNext("mend the file; check it with: towpath pipeline validate")
	}
	root := s.certain(o).with(p.Variables)
	for i := range p.Stages {
		stage := &p.Stages[i]
		known := root.with(stage.Variables)
		for k := range stage.Jobs {
			out = s.jobTargets(out, known.with(stage.Jobs[k].Variables), stage, &stage.Jobs[k])
		}
	}
	return out, nil
}

// certainties are the variables whose values are the same in every run of a file.
type certainties struct{ values plan.Values }

// certain are the predefined variables that do not depend on the run. The folders of an
// agent are written from the folder of the sources.
func (s *Service) certain(o Order) certainties {
	c := certainties{plan.Values{}}
	for _, v := range s.predefined(o, 0) {
		name := strings.ToLower(v.Name)
		if v.Text == "" || strings.HasPrefix(name, "build.source") || name == "build.reason" || strings.HasSuffix(name, "attempt") {
			continue
		}
		c.values.Set(v)
	}
	for name, text := range map[string]string{
		"Build.SourcesDirectory": ".", "Build.Repository.LocalPath": ".", "System.DefaultWorkingDirectory": ".",
		"Pipeline.Workspace": "..", "Agent.BuildDirectory": "..",
	} {
		c.values.Set(plan.Value{Name: name, Text: text, ReadOnly: true})
	}
	return c
}

// with lays the variables of a section over what is known: text is known as far as its
// macros are, an expression is known to a run alone.
func (c certainties) with(section []plan.Variable) certainties {
	out := certainties{c.values.With(nil)}
	for _, v := range section {
		if v.Group != "" {
			continue
		}
		if _, runtime := expr.RuntimeExpression(v.Value); runtime {
			delete(out.values, strings.ToLower(v.Name))
			continue
		}
		if old, ok := out.values.Get(v.Name); ok && old.ReadOnly {
			continue
		}
		out.values.Set(plan.Value{Name: v.Name, Text: out.expand(v.Value)})
	}
	return out
}

func (c certainties) expand(text string) string { return expr.ExpandMacros(text, c.values.Lookup) }

// jobTargets adds the targets of one deployment job.
func (s *Service) jobTargets(out []Target, known certainties, stage *plan.Stage, job *plan.Job) []Target {
	if job.Kind != plan.KindDeployment || job.Strategy == nil || job.Environment == nil {
		return out
	}
	for _, hook := range job.Strategy.Hooks {
		known := known.inRound(job.Strategy, hook.Name)
		for _, step := range numbered(s.builtin, hook.Steps, 1) {
			if !step.Enabled {
				continue
			}
			t := Target{
				Environment: known.expand(job.Environment.Name), Stage: stage.Name, Job: job.Name, File: step.Pos.File, Line: step.Pos.Line,
				Strategy: job.Strategy.Name, Increments: job.Strategy.Increments,
			}
			in := func(name string) string { return strings.TrimSpace(known.expand(inputOf(step.Inputs, name))) }
			switch {
			case (strings.EqualFold(step.Task, "HelmDeploy@1") || strings.EqualFold(step.Task, "HelmDeploy@0")) && (strings.EqualFold(in("command"), "upgrade") || strings.EqualFold(in("command"), "install")):
				t.helm(in)
			case strings.EqualFold(step.Task, "KubernetesManifest@1") && (strings.EqualFold(in("action"), "deploy") || strings.EqualFold(in("action"), "promote")):
				t.manifests(in)
			default:
				continue
			}
			t.uncertain("environment", t.Environment)
			t.uncertain("namespace", t.Namespace)
			if !slices.ContainsFunc(out, t.repeats) {
				out = append(out, t)
			}
		}
	}
	return out
}

// repeats reports whether another step of the same deployment, which stands before, brings
// the same: the promotion of a canary ends where its last round does.
func (t *Target) repeats(before Target) bool {
	before.File, before.Line = t.File, t.Line
	return t.Strategy == plan.Canary && reflect.DeepEqual(*t, before)
}

// inRound lays the variables of the strategy over what is known. Of a canary's rounds the
// last one counts: what it brings is what stays.
func (c certainties) inRound(s *plan.Strategy, hook string) certainties {
	out := certainties{c.values.With(nil)}
	set := func(name, text string) { out.values.Set(plan.Value{Name: name, Text: text, ReadOnly: true}) }
	set("strategy.name", s.Name)
	action := "deploy"
	if s.Name == plan.Canary {
		switch hook {
		case plan.HookSuccess:
			action = "promote"
		case plan.HookFailure:
			action = "reject"
		}
		if n := len(s.Increments); n > 0 {
			set("strategy.increment", strconv.Itoa(s.Increments[n-1]))
		}
	}
	set("strategy.action", action)
	return out
}

// inputOf is an input whatever the case of its name.
func inputOf(inputs map[string]string, name string) string {
	for k, v := range inputs {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// helm reads the inputs of HelmDeploy@1.
func (t *Target) helm(in func(string) string) {
	t.Namespace, t.Release = in("namespace"), in("releaseName")
	t.uncertain("releaseName", t.Release)
	if chart := in("chartPath"); chart != "" {
		t.ChartPath = t.path("chartPath", chart)
	} else {
		t.because("the chart comes from elsewhere than the repository")
	}
	for _, v := range items(in("valueFile")) {
		t.ValueFiles = append(t.ValueFiles, t.path("valueFile", v))
	}
	for line := range strings.SplitSeq(in("overrideValues"), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			t.Set = append(t.Set, line)
		}
	}
	words := strings.Fields(in("arguments"))
	reset, _ := plan.ParseBoolean(in("resetValues"))
	for i, w := range words {
		switch {
		case w == "--reuse-values":
			t.Reuse = !reset
		case w == "--set" && i+1 < len(words):
			t.Set = append(t.Set, words[i+1])
		case strings.HasPrefix(w, "--set="):
			t.Set = append(t.Set, strings.TrimPrefix(w, "--set="))
		case strings.HasPrefix(w, "--set-"):
			t.because("values are set by " + strings.SplitN(w, "=", 2)[0])
		}
	}
	for _, line := range t.Set {
		for _, pair := range pairs(line) {
			if key, value, _ := strings.Cut(pair, "="); macro(value) {
				t.Unknown = append(t.Unknown, strings.TrimSpace(key))
			}
		}
	}
}

// manifests reads the inputs of KubernetesManifest@1.
func (t *Target) manifests(in func(string) string) {
	t.Namespace = in("namespace")
	for _, m := range items(in("manifests")) {
		t.Manifests = append(t.Manifests, t.path("manifests", m))
	}
	t.Images = items(in("containers"))
}

// path is a path from the root of the repository.
func (t *Target) path(input, p string) string {
	if t.uncertain(input, p) {
		return p
	}
	clean := path.Clean(p)
	if rest, ok := strings.CutPrefix(clean, "../s/"); ok {
		clean = rest
	}
	if path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") {
		t.because("the input " + input + " names " + p + ", which is not in the repository")
	}
	return clean
}

// uncertain notes that a text holds what only a run knows.
func (t *Target) uncertain(input, text string) bool {
	if macro(text) {
		t.because("only a run knows the input " + input + ": " + text)
		return true
	}
	return false
}

func (t *Target) because(why string) {
	if t.Why == "" {
		t.Why = why
	}
}

// macro reports whether a text holds a macro.
func macro(text string) bool {
	_, rest, ok := strings.Cut(text, "$(")
	return ok && strings.Contains(rest, ")")
}

// items splits a list by lines and commas.
func items(text string) []string {
	var out []string
	for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == ',' }) {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

// pairs splits "a=1,b=2" at the commas that Helm splits at: not those with a backslash
// before them, nor those in braces.
func pairs(line string) []string {
	var out []string
	depth, from := 0, 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, line[from:i])
				from = i + 1
			}
		}
	}
	return append(out, line[min(from, len(line)):])
}
