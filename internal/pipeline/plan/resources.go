package plan

import (
	"slices"
	"strings"
)

// Resources are the things outside the pipeline's own commit that it uses.
type Resources struct {
	Repositories []Repository        `json:"repositories,omitempty"`
	Containers   []ContainerResource `json:"containers,omitempty"`
	Pipelines    []PipelineResource  `json:"pipelines,omitempty"`
	Webhooks     []Webhook           `json:"webhooks,omitempty"`
	Feeds        []Feed              `json:"feeds,omitempty"`
}

// Repository is another repository that templates or checkouts come from.
type Repository struct {
	Alias    string `json:"alias"`
	Type     string `json:"type,omitempty"`
	Name     string `json:"name,omitempty"`
	Ref      string `json:"ref,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`
	// Checkout are inputs that its checkouts have when their steps do not say them: checkoutOptions.
	Checkout map[string]string `json:"checkout,omitempty"`
	// Trigger decides which pushes to the repository start the pipeline; nil for none.
	Trigger *Trigger `json:"trigger,omitempty"`
	// Commit is what Ref was when the run was created; the compiler leaves it empty, and
	// so it stays for a repository that nothing of the pipeline uses.
	Commit string `json:"commit,omitempty"`
}

// The kinds of feeds.
const (
	FeedPackage = "package"
	FeedBuild   = "build"
)

// Feed is a package of a registry, or a build of a build server, outside of the installation
// (resources.packages, resources.builds).
type Feed struct {
	Alias string `json:"alias"`
	Kind  string `json:"kind"` // FeedPackage or FeedBuild
	// Type is npm or NuGet of a package, Jenkins of a build, in any case.
	Type string `json:"type"`
	// Connection is the service connection that names the server and opens it.
	Connection string `json:"connection"`
	// Name is that of the package, or of the build's job: "source".
	Name string `json:"name"`
	// Version is the version or the number of the build that is wanted; "" and "latest" mean the
	// newest, among those of Tag (npm's dist-tag) or Branch (of a build).
	Version string `json:"version,omitempty"`
	Tag     string `json:"tag,omitempty"`
	Branch  string `json:"branch,omitempty"`
	// Trigger says whether a new version starts the pipeline.
	Trigger bool `json:"trigger,omitempty"`
	// Used is the version that the run takes, the same in all of its jobs; the compiler leaves it
	// empty, and so it stays when nobody could be asked before the run began.
	Used string `json:"used,omitempty"`
}

// ContainerResource is an image that jobs refer to by its alias.
type ContainerResource struct {
	Alias     string    `json:"alias"`
	Container Container `json:"container"`
	// Trigger says whether a new tag of the image starts the pipeline, and Tags which ones
	// do; the empty filter means every tag (J006).
	Trigger bool   `json:"trigger,omitempty"`
	Tags    Filter `json:"tags,omitzero"`
}

// Webhook is a call from outside that starts the pipeline (J007).
type Webhook struct {
	Alias string `json:"alias"`
	// Connection is the service connection of the type incomingwebhook that takes the call.
	Connection string          `json:"connection"`
	Filters    []WebhookFilter `json:"filters,omitempty"`
}

// WebhookFilter is one place of a payload and the text that must stand there.
type WebhookFilter struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// PipelineResource is another pipeline whose artifacts are used and whose
// completion may start this one.
type PipelineResource struct {
	Alias   string `json:"alias"`
	Source  string `json:"source,omitempty"`
	Project string `json:"project,omitempty"`
	Branch  string `json:"branch,omitempty"`
	Version string `json:"version,omitempty"`
	// Trigger says whether the completion of that pipeline starts this one.
	Trigger  bool     `json:"trigger,omitempty"`
	Branches Filter   `json:"branches,omitzero"`
	Stages   []string `json:"stages,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	// Carries are the tags of the run that is taken when no trigger gives one.
	Carries []string `json:"carries,omitempty"`
	// Used is the run whose artifacts and variables the pipeline gets; the compiler leaves it
	// nil, and so it stays when there is no such run.
	Used *UsedRun `json:"used,omitempty"`
}

// UsedRun is the run behind a pipeline resource.
type UsedRun struct {
	Number   int64  `json:"number"`
	Name     string `json:"name"`
	Repo     string `json:"repo"`     // "project/repo"
	Pipeline int64  `json:"pipeline"` // its System.DefinitionId
	// PipelineName is what the pipeline is called.
	PipelineName string `json:"pipelineName,omitempty"`
	Ref          string `json:"ref"`
	Commit       string `json:"commit"`
	Requester    string `json:"requester"`
}

// Starts reports whether a run of the resource that carries the given tags, of the given ref,
// passes the filters of the trigger (J005). All tags of the filter must be there.
func (r *PipelineResource) Starts(ref string, tags []string) bool {
	branch := strings.TrimPrefix(ref, "refs/heads/")
	return r.Trigger && r.Branches.matchNames(branch, "refs/heads/") && hasAll(tags, r.Tags)
}

// hasAll reports whether a list has every name, compared without regard to case.
func hasAll(list, names []string) bool {
	for _, name := range names {
		if !slices.ContainsFunc(list, func(t string) bool { return strings.EqualFold(t, name) }) {
			return false
		}
	}
	return true
}

// Starts reports whether a new tag of the image passes the filter of the trigger (J006).
func (r *ContainerResource) Starts(tag string) bool { return r.Trigger && r.Tags.matchNames(tag, "") }

// UseImage puts another image in the place of a container resource, wherever jobs use it.
func (p *Plan) UseImage(alias, image string) {
	set := func(c *Container) {
		if c != nil && equalFold(c.Alias, alias) {
			c.Image = image
		}
	}
	for i := range p.Resources.Containers {
		set(&p.Resources.Containers[i].Container)
	}
	for i := range p.Stages {
		for k := range p.Stages[i].Jobs {
			job := &p.Stages[i].Jobs[k]
			set(job.Container)
			for n := range job.Services {
				set(&job.Services[n].Container)
			}
		}
	}
}

// Stage returns the stage with the given name, compared without regard to case.
func (p *Plan) Stage(name string) *Stage {
	for i := range p.Stages {
		if equalFold(p.Stages[i].Name, name) {
			return &p.Stages[i]
		}
	}
	return nil
}

// Job returns the job with the given name, compared without regard to case.
func (s *Stage) Job(name string) *Job {
	for i := range s.Jobs {
		if equalFold(s.Jobs[i].Name, name) {
			return &s.Jobs[i]
		}
	}
	return nil
}

// Hook returns the hook with the given name, or nil.
func (s *Strategy) Hook(name string) *Hook {
	if s == nil {
		return nil
	}
	for i := range s.Hooks {
		if s.Hooks[i].Name == name {
			return &s.Hooks[i]
		}
	}
	return nil
}
