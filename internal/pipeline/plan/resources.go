package plan

// Resources are the things outside the pipeline's own commit that it uses.
type Resources struct {
	Repositories []Repository        `json:"repositories,omitempty"`
	Containers   []ContainerResource `json:"containers,omitempty"`
	Pipelines    []PipelineResource  `json:"pipelines,omitempty"`
}

// Repository is another repository that templates or checkouts come from.
type Repository struct {
	Alias    string `json:"alias"`
	Type     string `json:"type,omitempty"`
	Name     string `json:"name,omitempty"`
	Ref      string `json:"ref,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`
	// Commit is what Ref was when the run was created; the compiler leaves it empty, and
	// so it stays for a repository that nothing of the pipeline uses.
	Commit string `json:"commit,omitempty"`
}

// ContainerResource is an image that jobs refer to by its alias.
type ContainerResource struct {
	Alias     string    `json:"alias"`
	Container Container `json:"container"`
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
