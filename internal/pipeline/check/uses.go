package check

import (
	"maps"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// Uses are the resources of a stage.
type Uses struct {
	// Resources are without repetition, in the order of the file.
	Resources []Resource
	// Unresolved are names that only a running job could know: "service connection
	// $(conn)". A stage that has one cannot be judged (X050).
	Unresolved []string
}

// Of lists what a stage of a plan uses. repo is the repository of the file,
// "project/repo". deploys says which deployment jobs run: of a pull request's run only those
// with a review app.
func Of(p *plan.Plan, stage *plan.Stage, repo string, deploys func(*plan.Job) bool) Uses {
	project, name, _ := strings.Cut(repo, "/")
	u := &uses{project: project}
	u.add(Repository, name)
	u.variables(p.Variables)
	u.variables(stage.Variables)
	for i := range stage.Jobs {
		if job := &stage.Jobs[i]; job.Kind != plan.KindDeployment || deploys(job) {
			u.job(p, job)
		}
	}
	return u.Uses
}

// OfJob lists what one job of a plan uses by itself, without the variables of its stage.
func OfJob(p *plan.Plan, job *plan.Job, repo string) Uses {
	project, _, _ := strings.Cut(repo, "/")
	u := &uses{project: project}
	u.job(p, job)
	return u.Uses
}

type uses struct {
	Uses
	project string
}

func (u *uses) add(k Kind, name string) {
	if name = strings.TrimSpace(name); name == "" || strings.EqualFold(name, "none") && k == Repository {
		return
	}
	r := Resource{Kind: k, Project: u.project, Name: name}
	if strings.Contains(name, "$(") || strings.Contains(name, "$[") {
		if text := r.String(); !slices.Contains(u.Unresolved, text) && (k == Connection || k == Group || k == File) {
			u.Unresolved = append(u.Unresolved, text)
		}
		return
	}
	if !slices.ContainsFunc(u.Resources, func(o Resource) bool { return o.Key() == r.Key() }) {
		u.Resources = append(u.Resources, r)
	}
}

func (u *uses) variables(list []plan.Variable) {
	for _, v := range list {
		u.add(Group, v.Group)
	}
}

func (u *uses) job(p *plan.Plan, job *plan.Job) {
	u.variables(job.Variables)
	u.add(Pool, job.Pool.Name)
	u.container(job.Container)
	for i := range job.Services {
		u.container(&job.Services[i].Container)
	}
	if env := job.Environment; env != nil {
		u.add(Environment, env.Name)
		if env.Resource != "" {
			u.add(Environment, env.Name+"."+env.Resource)
		}
	}
	if job.Uses != nil {
		for _, name := range job.Uses.Pools {
			u.add(Pool, name)
		}
		for _, alias := range job.Uses.Repositories {
			u.repository(p, alias)
		}
	}
	for i := range job.Steps {
		u.step(p, &job.Steps[i])
	}
	if job.Strategy == nil {
		return
	}
	for _, hook := range job.Strategy.Hooks {
		u.add(Pool, hook.Pool.Name)
		for i := range hook.Steps {
			u.step(p, &hook.Steps[i])
		}
	}
}

func (u *uses) container(c *plan.Container) {
	if c != nil {
		u.add(Connection, c.Endpoint)
	}
}

// connections are the inputs of tasks that name a service connection, in lower case.
var connections = []string{
	"containerregistry", "dockerregistryendpoint", "dockerregistryserviceconnection", "kubernetesserviceconnection", "kubernetesserviceendpoint",
	"azuresubscription", "azuresubscriptionendpoint", "azureresourcemanagerconnection", "connectedservicename", "connectedservicenamearm",
	"serviceconnection", "githubconnection", "externalendpoint", "externalendpoints", "nugetserviceconnections", "customendpoint", "publishendpoint",
	"sshendpoint", "sonarqube", "serviceendpoint",
}

func (u *uses) step(p *plan.Plan, s *plan.Step) {
	if !s.Enabled {
		return
	}
	for _, name := range s.Connections {
		u.add(Connection, name)
	}
	u.targeted(p, s.Target)
	for _, name := range s.SecureFiles {
		u.add(File, name)
	}
	task, _, _ := strings.Cut(strings.ToLower(s.Task), "@")
	for _, name := range slices.Sorted(maps.Keys(s.Inputs)) {
		value := s.Inputs[name]
		if slices.Contains(connections, strings.ToLower(name)) {
			for one := range strings.SplitSeq(value, ",") {
				u.add(Connection, one)
			}
		}
		switch {
		case task == "downloadsecurefile" && strings.EqualFold(name, "secureFile"):
			u.add(File, value)
		case task == "checkout" && strings.EqualFold(name, "repository"):
			u.repository(p, value)
		}
	}
}

// targeted adds what opens the registry of the container that a step runs in.
func (u *uses) targeted(p *plan.Plan, t *plan.Target) {
	if t == nil {
		return
	}
	for i := range p.Resources.Containers {
		if c := &p.Resources.Containers[i]; strings.EqualFold(c.Alias, t.Container) {
			u.container(&c.Container)
		}
	}
}

// repository adds the repository that an alias stands for; those of other projects carry
// the checks of theirs.
func (u *uses) repository(p *plan.Plan, alias string) {
	for _, r := range p.Resources.Repositories {
		if !strings.EqualFold(r.Alias, alias) {
			continue
		}
		u.add(Connection, r.Endpoint)
		project, name, ok := strings.Cut(r.Name, "/")
		if !ok {
			project, name = u.project, r.Name
		}
		own := u.project
		u.project = project
		u.add(Repository, name)
		u.project = own
	}
}
