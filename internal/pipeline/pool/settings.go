package pool

import (
	"path"
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// Settings are what an administrator sets of a pool.
type Settings struct {
	// VMImages are the hosted images that the pool stands for, as patterns: "ubuntu-*".
	VMImages []string `json:"vm_images,omitempty" maxItems:"50"`
	// Projects may use the pool; none means all.
	Projects []string `json:"projects,omitempty" maxItems:"200"`
	// Restricted closes the pool to pipelines until a project's maintainer permits them.
	Restricted bool `json:"restricted,omitempty"`
	// Capabilities are those of all its agents, over what they report.
	Capabilities Capabilities `json:"capabilities,omitempty"`

	// Image is what jobs without a container run in, and where steps with the target host do.
	Image string `json:"image,omitempty" maxLength:"512"`
	// Namespace is that of the pods; "" means towpath-agents.
	Namespace string `json:"namespace,omitempty" maxLength:"63"`
	// Warm is how many free agents wait for a job.
	Warm int `json:"warm,omitempty" minimum:"0" maximum:"100"`
	// Max is the most pods at a time, waiting ones counted; 0 means 10.
	Max int `json:"max,omitempty" minimum:"0" maximum:"1000"`
	// Root lets containers run as root, with the capabilities that container engines give by
	// default: pod security "baseline" in place of "restricted".
	Root bool `json:"root,omitempty"`
	// CPU and Memory are limits of the containers that steps run in; "" means none for the
	// CPU, and 4Gi. Requests are a tenth of them.
	CPU    string `json:"cpu,omitempty" maxLength:"20"`
	Memory string `json:"memory,omitempty" maxLength:"20"`
	// Disk bounds the workspace, and each volume of a container; "" means 10Gi.
	Disk string `json:"disk,omitempty" maxLength:"20"`
	// NodeSelector says which nodes the pods may run on.
	NodeSelector map[string]string `json:"node_selector,omitempty"`
}

// DefaultNamespace is where the pods of a pool run that names no namespace.
const DefaultNamespace = "towpath-agents"

// In is the namespace of the pods.
func (s Settings) In() string {
	if s.Namespace == "" {
		return DefaultNamespace
	}
	return s.Namespace
}

// Shape tells apart the settings that make different pods: a free pod of another shape than
// that of its pool takes no job.
func (s Settings) Shape() string {
	return hash(text(Settings{Image: s.Image, Namespace: s.In(), Root: s.Root, CPU: s.CPU, Memory: s.Memory, Disk: s.Disk, NodeSelector: s.NodeSelector}))[:16]
}

// Most is the most pods at a time.
func (s Settings) Most() int {
	if s.Max <= 0 {
		return 10
	}
	return s.Max
}

var (
	dnsLabel  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	quantity  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$`)
	labelKey  = regexp.MustCompile(`^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	imageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}$`)
)

// system namespaces hold what the cluster itself needs.
func system(namespace string) bool {
	return strings.HasPrefix(namespace, "kube-") || namespace == "default" || namespace == "towpath-system"
}

// check refuses settings that cannot be.
func (s *Settings) check(kind Kind) error {
	for _, p := range s.VMImages {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			return fault.New(fault.Invalid, "%.100q is no pattern of a vmImage.", p).WithNext("write a name, or one with *: ubuntu-*")
		}
	}
	if err := s.Capabilities.check(); err != nil {
		return fault.Wrap(fault.Invalid, err, "The capabilities of the pool cannot be: %v.", err)
	}
	if kind == Host {
		if s.Image+s.Namespace+s.CPU+s.Memory+s.Disk != "" || s.Warm+s.Max > 0 || s.Root || len(s.NodeSelector) > 0 {
			return fault.New(fault.Invalid, "A pool of kind host has no pods.").WithNext("make one of kind kubernetes: towpath pool create NAME --kind kubernetes")
		}
		return nil
	}
	if s.Image != "" && !imageName.MatchString(s.Image) {
		return fault.New(fault.Invalid, "%.100q is no name of an image.", s.Image)
	}
	if s.Namespace != "" && (!dnsLabel.MatchString(s.Namespace) || system(s.Namespace)) {
		return fault.New(fault.Invalid, "The pods of a pool cannot run in the namespace %.63q.", s.Namespace).WithNext("name a namespace for agents alone, such as towpath-agents")
	}
	if s.Warm < 0 || s.Max < 0 || s.Max > 1000 || s.Warm > s.Most() {
		return fault.New(fault.Invalid, "The pool cannot keep %d agents waiting with at most %d pods.", s.Warm, s.Most()).WithNext("raise --max, or lower --warm")
	}
	if s.Warm > 0 && s.Image == "" {
		return fault.New(fault.Invalid, "Agents that wait need an image that jobs without a container run in.").WithNext("add --image IMAGE, one with bash")
	}
	for _, q := range []string{s.CPU, s.Memory, s.Disk} {
		if q != "" && !quantity.MatchString(q) {
			return fault.New(fault.Invalid, "%.20q is no quantity.", q).WithNext("write it as Kubernetes does: 500m, 2, 4Gi")
		}
	}
	for k, v := range s.NodeSelector {
		if !labelKey.MatchString(k) || v != "" && !labelKey.MatchString(v) {
			return fault.New(fault.Invalid, "%.100q is no label of a node.", k+"="+v)
		}
	}
	return nil
}

// standsFor reports whether the pool stands for a hosted image.
func (s Settings) standsFor(vmImage string) bool {
	for _, p := range s.VMImages {
		if ok, err := path.Match(strings.ToLower(p), strings.ToLower(vmImage)); err == nil && ok {
			return true
		}
	}
	return false
}

// hosted reports whether a name is that of a pool that exists at the service alone.
func hosted(name string) bool {
	n := Fold(name)
	return n == "azure pipelines" || strings.HasPrefix(n, "hosted ") || n == "hosted"
}
