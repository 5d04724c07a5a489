package pool

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// maxContainers bounds the containers of a job.
const maxContainers = 20

// Contain lays out the containers of a job for a pool of pods. machine says that the containers
// are those of a local run, which may have folders of the machine and its Docker. resources are
// those of the pipeline, expand replaces macros. What cannot be is refused by its name: the text
// says what, and is "" when all of it can be.
func Contain(s Settings, machine bool, job *plan.Job, resources []plan.ContainerResource, expand func(string) string) (list []protocol.Container, notices []string, refused string) {
	l := &layout{settings: s, machine: machine, named: map[string]string{}, resources: resources, expand: expand}
	switch {
	case job.Container != nil:
		l.add("job", protocol.RoleJob, job.Container.Alias, *job.Container)
		if s.Image != "" {
			l.list = append(l.list, protocol.Container{Name: "host", Role: protocol.RoleHost, Alias: "host", Image: s.Image})
		}
	case s.Image != "":
		l.list = append(l.list, protocol.Container{Name: "job", Role: protocol.RoleJob, Alias: "host", Image: s.Image})
	default:
		return nil, nil, "The pool has no image for jobs without a container; name a container in the job, or set one: towpath pool edit POOL --image IMAGE"
	}
	for _, step := range allSteps(job) {
		if step.Target != nil {
			l.target(step.Target.Container)
		}
	}
	for _, svc := range job.Services {
		l.add("service-"+label(svc.Name), protocol.RoleService, svc.Name, svc.Container)
	}
	if len(l.list) > maxContainers && l.refused == "" {
		l.refused = fmt.Sprintf("A job has at most %d containers", maxContainers)
	}
	return l.list, l.notices, l.refused
}

type layout struct {
	settings  Settings
	machine   bool
	named     map[string]string // volumes of the pod, by their names in the file
	volumes   int               // of the pod
	resources []plan.ContainerResource
	expand    func(string) string
	list      []protocol.Container
	notices   []string
	refused   string
	taken     map[int]string // ports, by whom
}

func (l *layout) refuse(form string, args ...any) {
	if l.refused == "" {
		l.refused = fmt.Sprintf(form, args...)
	}
}

// target adds the container that a step names, once.
func (l *layout) target(alias string) {
	if alias == "" || slices.ContainsFunc(l.list, func(c protocol.Container) bool {
		return c.Alias != "" && strings.EqualFold(c.Alias, alias) && c.Role != protocol.RoleService
	}) {
		return
	}
	if alias == "host" {
		l.refuse("A step has the target host, and the pool has no image for it: towpath pool edit POOL --image IMAGE")
		return
	}
	for _, r := range l.resources {
		if strings.EqualFold(r.Alias, alias) {
			l.add("target-"+label(alias), protocol.RoleTarget, r.Alias, r.Container)
			return
		}
	}
	l.refuse("The target %.60s is no container of resources.containers", alias)
}

// add adds a container of the pipeline.
func (l *layout) add(name, role, alias string, c plan.Container) {
	what := or(alias, name)
	out := protocol.Container{Name: name, Role: role, Alias: alias, Image: l.expand(c.Image), Endpoint: strings.TrimSpace(c.Endpoint), Env: map[string]string{}}
	switch {
	case c.MapDockerSocket && l.machine:
		out.Volumes = append(out.Volumes, protocol.Volume{Source: dockerSocket, Path: dockerSocket})
	case c.MapDockerSocket:
		l.refuse("mapDockerSocket of the container %s is not possible: there is no Docker on the nodes; build images with Docker@2", what)
	}
	if !imageName.MatchString(out.Image) {
		l.refuse("%.100q is no name of an image", out.Image)
	}
	l.mounts(&out, what, c.Volumes)
	if role == protocol.RoleService {
		out.Ports = l.ports(what, c.Ports)
	}
	for k, v := range c.Env {
		out.Env[k] = l.expand(v)
	}
	l.options(&out, what, l.expand(c.Options))
	if out.Root && !l.settings.Root {
		l.refuse("The container %s is to run as root, which the pool does not allow: towpath pool edit POOL --root", what)
	}
	l.list = append(l.list, out)
}

// options maps the options of a container engine that mean something in a pod, and refuses
// the others by name.
func (l *layout) options(c *protocol.Container, what, text string) {
	words := strings.Fields(text)
	for len(words) > 0 {
		name, value, given := strings.Cut(words[0], "=")
		words = words[1:]
		if strings.HasPrefix(name, "-") && !given && len(words) > 0 && !strings.HasPrefix(words[0], "-") {
			value, words = words[0], words[1:]
		}
		value = strings.Trim(value, `"'`)
		switch name {
		case "--user", "-u":
			user, _, _ := strings.Cut(value, ":")
			if c.Root = user == "0" || user == "root"; !c.Root {
				l.notices = append(l.notices, "The option "+name+" "+value+" of "+what+" has no effect: steps run as the pool's user.")
			}
		case "--env", "-e":
			k, v, _ := strings.Cut(value, "=")
			c.Env[k] = v
		case "--cpus":
			c.CPU = value
		case "--memory", "-m":
			c.Memory = memory(value)
		case "--name", "--hostname", "--network-alias", "--rm", "--init":
			l.notices = append(l.notices, "The option "+name+" of "+what+" has no effect in a pod.")
		default:
			l.refuse("The option %.40s of the container %s is not possible in a pod", name, what)
		}
	}
	for _, q := range []string{c.CPU, c.Memory} {
		if q != "" && !quantity.MatchString(q) {
			l.refuse("%.20q in the options of the container %s is no quantity", q, what)
		}
	}
}

// memory turns "512m" and "2g" of a container engine into quantities of Kubernetes.
func memory(v string) string {
	for _, s := range [][2]string{{"k", "Ki"}, {"m", "Mi"}, {"g", "Gi"}, {"b", ""}} {
		if n, ok := strings.CutSuffix(strings.ToLower(v), s[0]); ok {
			return n + s[1]
		}
	}
	return v
}

var notInLabel = regexp.MustCompile(`[^a-z0-9]+`)

// label makes an alias a part of the name of a container.
func label(alias string) string {
	out := strings.Trim(notInLabel.ReplaceAllString(strings.ToLower(alias), "-"), "-")
	return or(out[:min(len(out), 40)], "x")
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// allSteps are the steps of a job and of its hooks.
func allSteps(job *plan.Job) []plan.Step {
	out := slices.Clone(job.Steps)
	if job.Strategy != nil {
		for _, h := range job.Strategy.Hooks {
			out = append(out, h.Steps...)
		}
	}
	return out
}

// Plain reports whether containers are those of a pod that waits for any job.
func (s Settings) Plain(list []protocol.Container) bool {
	return s.Image != "" && len(list) == 1 && list[0].Role == protocol.RoleJob && list[0].Image == s.Image && list[0].Endpoint == "" && len(list[0].Env) == 0 && len(list[0].Volumes) == 0 && !list[0].Root && list[0].CPU+list[0].Memory == ""
}

// Waiting are the containers of a pod that waits for a job.
func (s Settings) Waiting() []protocol.Container {
	return []protocol.Container{{Name: "job", Role: protocol.RoleJob, Alias: "host", Image: s.Image}}
}

// PodSpec is a pod that is to be made for a pool.
type PodSpec struct {
	Name       string
	Pool       string
	Settings   Settings
	Token      string // with which its agent claims the one job of the pod
	Containers []protocol.Container
	Run        int64  // 0 for a pod that waits
	Job        string // its path in the run
	// Pulls open the registries of its images. They are secret.
	Pulls []Pull
}

// Pull is a registry and what opens it, for the nodes of a cluster.
type Pull struct {
	Server         string // as the file of docker's client names it: an address or a host
	Repository     string // that alone; "" for all of the registry
	User, Password string
}

// PodState is how a pod is.
type PodState struct {
	Name, Namespace string
	// Shape is the one of the settings that it was made with.
	Shape string
	// Over says that the pod has ended, and Stuck that it will not begin; Why says how, or what
	// it waits for, and Next what to do about it.
	Over, Stuck bool
	Why, Next   string
	// Leaving says that it is being removed.
	Leaving bool
}

// EnvNames are the names of the variables of a container in order.
func EnvNames(c protocol.Container) []string { return slices.Sorted(maps.Keys(c.Env)) }
