package plan

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/parse"
)

// The tasks that the short forms stand for.
const (
	TaskScript     = "CmdLine@2"
	TaskBash       = "Bash@3"
	TaskPowerShell = "PowerShell@2"
	TaskCheckout   = "Checkout@1"
	TaskPublish    = "PublishPipelineArtifact@1"
	TaskReviewApp  = "ReviewApp@0"
	TaskPackage    = "GetPackage@0"
	TaskBuild      = "DownloadBuild@0"
	TaskDownload   = "DownloadPipelineArtifact@2"
)

// steps makes the steps of a list.
func (b *builder) steps(list *parse.Node) []Step {
	steps := make([]Step, 0, len(items(list)))
	for _, n := range items(list) {
		steps = append(steps, b.step(n))
	}
	return numbered(steps)
}

func (b *builder) step(n *parse.Node) Step {
	s := Step{
		Name:             n.Get("name").Text(),
		DisplayName:      n.Get("displayName").Text(),
		Condition:        condition(n),
		ContinueOnError:  truth(n.Get("continueOnError"), false),
		Enabled:          truth(n.Get("enabled"), true),
		TimeoutMinutes:   natural(n.Get("timeoutInMinutes")),
		Retries:          min(natural(n.Get("retryCountOnTaskFailure")), MaxRetries),
		WorkingDirectory: n.Get("workingDirectory").Text(),
		Target:           target(n.Get("target")),
		Inputs:           map[string]string{},
		Pos:              n.Pos,
	}
	for _, p := range pairs(n.Get("env")) {
		if s.Env == nil {
			s.Env = map[string]string{}
		}
		s.Env[p.Key.Value] = p.Value.Text()
	}
	b.body(&s, n)
	s.DisplayName = or(s.DisplayName, b.title(s))
	return s
}

// body fills in the kind, the task and its inputs from the first key.
func (b *builder) body(s *Step, n *parse.Node) {
	s.Kind = StepKind(n.FirstKey())
	value := n.Get(string(s.Kind)).Text()
	copyInputs := func(names ...string) {
		for _, name := range names {
			if input := n.Get(name); !input.IsNull() {
				s.Inputs[name] = input.Text()
			}
		}
	}
	switch s.Kind {
	case StepScript:
		s.Task, s.Inputs["script"] = TaskScript, value
		copyInputs("failOnStderr", "workingDirectory")
	case StepBash:
		s.Task, s.Inputs["script"], s.Inputs["targetType"] = TaskBash, value, "inline"
		copyInputs("failOnStderr", "workingDirectory")
	case StepPowerShell, StepPwsh:
		s.Task, s.Inputs["script"], s.Inputs["targetType"] = TaskPowerShell, value, "inline"
		if s.Kind == StepPwsh {
			s.Inputs["pwsh"] = "true"
		}
		copyInputs("failOnStderr", "workingDirectory", "errorActionPreference", "ignoreLASTEXITCODE", "warningPreference",
			"informationPreference", "verbosePreference", "debugPreference", "progressPreference")
	case StepCheckout:
		s.Task, s.Inputs["repository"] = TaskCheckout, value
		copyInputs("clean", "fetchDepth", "fetchFilter", "fetchTags", "lfs", "persistCredentials", "submodules", "path",
			"sparseCheckoutDirectories", "sparseCheckoutPatterns", "workspaceRepo")
		for name, value := range b.checkouts[strings.ToLower(value)] {
			if _, said := s.Inputs[name]; !said {
				s.Inputs[name] = value
			}
		}
	case StepPublish, "upload":
		// "upload" is the deprecated name of "publish".
		s.Kind, s.Task, s.Inputs["path"] = StepPublish, TaskPublish, value
		if artifact := n.Get("artifact").Text(); artifact != "" {
			s.Inputs["artifactName"] = artifact
		}
	case StepReviewApp:
		s.Task, s.Inputs["resource"] = TaskReviewApp, value
	case StepPackage:
		s.Task, s.Inputs["package"] = TaskPackage, value
		copyInputs("path")
		b.fed(s, FeedPackage, value)
	case StepBuild:
		s.Task, s.Inputs["build"] = TaskBuild, value
		for _, p := range pairs(n.Get("inputs")) {
			s.Inputs[p.Key.Value] = p.Value.Text()
		}
		copyInputs("artifact", "path", "patterns")
		b.fed(s, FeedBuild, value)
	case StepDownload:
		s.Task = TaskDownload
		b.download(s, value)
		copyInputs("artifact", "patterns", "path")
	default:
		s.Kind, s.Task = StepTask, b.taskName(n.Get("task").Text())
		for _, p := range pairs(n.Get("inputs")) {
			s.Inputs[b.inputName(s.Task, p.Key.Value)] = p.Value.Text()
		}
		b.references(s)
		s.WorkingDirectory = or(s.WorkingDirectory, s.Inputs["workingDirectory"])
	}
}

// fed notes the service connection that opens what a step fetches from outside.
func (b *builder) fed(s *Step, kind, alias string) {
	for _, f := range b.feeds {
		if f.Kind == kind && strings.EqualFold(f.Alias, alias) {
			s.Connections = append(s.Connections, f.Connection)
		}
	}
}

// download says where "download" takes artifacts from: this run, nowhere, or the
// pipeline resource that it names.
func (b *builder) download(s *Step, value string) {
	switch value {
	case "current", "none":
		s.Inputs["source"] = value
	default:
		s.Inputs["source"], s.Inputs["pipeline"] = "specific", value
	}
}

// references notes what the inputs of a task name by their types.
func (b *builder) references(s *Step) {
	if b.options.Tasks == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.Inputs)) {
		var list *[]string
		switch kind := strings.ToLower(b.options.Tasks.InputType(s.Task, name)); {
		case strings.HasPrefix(kind, "connectedservice"):
			list = &s.Connections
		case kind == "securefile":
			list = &s.SecureFiles
		default:
			continue
		}
		for one := range strings.SplitSeq(s.Inputs[name], ",") {
			if one = strings.TrimSpace(one); one != "" {
				*list = append(*list, one)
			}
		}
	}
}

func (b *builder) inputName(task, input string) string {
	if b.options.Tasks == nil {
		return input
	}
	return b.options.Tasks.InputName(task, input)
}

func (b *builder) taskName(reference string) string {
	if b.options.Tasks == nil {
		return strings.TrimSpace(reference)
	}
	return b.options.Tasks.TaskName(reference)
}

// title is the display name of a step that has none, as the service shows it.
func (b *builder) title(s Step) string {
	switch s.Kind {
	case StepScript, StepPowerShell, StepPwsh, StepBash:
		return map[StepKind]string{StepScript: "CmdLine", StepBash: "Bash", StepPowerShell: "PowerShell", StepPwsh: "PowerShell"}[s.Kind]
	case StepCheckout:
		return "Checkout " + s.Inputs["repository"]
	case StepPublish:
		return "Publish " + or(s.Inputs["artifactName"], s.Inputs["path"])
	case StepDownload:
		return "Download " + or(s.Inputs["artifact"], "artifacts")
	case StepReviewApp:
		return "Review app of " + s.Inputs["resource"]
	case StepPackage:
		return "Get the package " + s.Inputs["package"]
	case StepBuild:
		return "Download the build " + s.Inputs["build"]
	}
	if b.options.Tasks != nil {
		if title := b.options.Tasks.Title(s.Task); title != "" {
			return title
		}
	}
	name, _, _ := strings.Cut(s.Task, "@")
	return name
}

// numbered gives every step its ID: the reference name, or the task without its
// version, with a number where that would repeat.
func numbered(steps []Step) []Step {
	taken, next := map[string]bool{}, map[string]int{}
	for _, s := range steps {
		if s.Name != "" {
			taken[strings.ToLower(s.Name)] = true
		}
	}
	for i := range steps {
		if steps[i].Name != "" {
			steps[i].ID = steps[i].Name
			continue
		}
		base, _, _ := strings.Cut(steps[i].Task, "@")
		base = base[strings.LastIndex(base, ".")+1:]
		id := base
		for taken[strings.ToLower(id)] {
			next[base]++
			id = base + strconv.Itoa(next[base])
		}
		taken[strings.ToLower(id)] = true
		steps[i].ID = id
	}
	return steps
}

func target(n *parse.Node) *Target {
	if n.IsNull() {
		return nil
	}
	if n.Kind == parse.Scalar {
		return &Target{Container: n.Text()}
	}
	t := &Target{Container: n.Get("container").Text(), RestrictedCommands: n.Get("commands").Text() == "restricted"}
	if settable := n.Get("settableVariables"); settable != nil {
		t.SettableRestricted = true
		if settable.Text() != "none" {
			t.Settable = texts(settable)
		}
	}
	return t
}

// natural reads a whole number; 0 stands for none.
func natural(n *parse.Node) int {
	number, err := strconv.Atoi(n.Text())
	if err != nil || number < 0 {
		return 0
	}
	return number
}

// container reads a container: an alias of a resource, an image, or a mapping.
func (b *builder) container(n *parse.Node) *Container {
	if n.IsNull() {
		return nil
	}
	if n.Kind == parse.Scalar {
		for _, resource := range b.containers {
			if equalFold(resource.Alias, n.Text()) {
				c := resource.Container
				return &c
			}
		}
		return &Container{Image: n.Text()}
	}
	c := containerOf(n)
	return &c
}

func containerOf(n *parse.Node) Container {
	c := Container{
		Alias:    n.Get("alias").Text(),
		Image:    n.Get("image").Text(),
		Endpoint: n.Get("endpoint").Text(),
		Options:  n.Get("options").Text(),
		Ports:    texts(n.Get("ports")),
		Volumes:  texts(n.Get("volumes")),
		// The service maps it by default; here there is none, so that only asking counts.
		MapDockerSocket: truth(n.Get("mapDockerSocket"), false),
	}
	for _, p := range pairs(n.Get("env")) {
		if c.Env == nil {
			c.Env = map[string]string{}
		}
		c.Env[p.Key.Value] = p.Value.Text()
	}
	return c
}
