package pod

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// Labels of what belongs to agents.
const (
	LabelPool = "towpath.dev/agent-pool" // its name in lower case, blanks as dashes
	LabelRun  = "towpath.dev/run"        // of a pod that was made for a job
	// LabelInstallation is that of the server, LabelShape that of the settings of the pool.
	LabelInstallation = "towpath.dev/installation"
	LabelShape        = "towpath.dev/agent-shape"
)

// Labels of the namespaces of agents.
const (
	labelManaged  = "app.kubernetes.io/managed-by"
	labelSecurity = "pod-security.kubernetes.io/enforce"
)

// Where things lie in the containers.
const (
	binDir   = "/towpath/bin"   // the agent's program
	sockDir  = "/towpath/run"   // the sockets of the containers
	workDir  = "/towpath/work"  // the workspace
	tokenDir = "/towpath/token" // in the agent's container alone
)

// user is whom the containers of a pod run as: the service's agent makes the same in the
// containers of jobs.
const user = 1001

// Spec is the pod of an agent. server is the address at which pods reach the server, image
// that of towpath-agent.
func Spec(p pool.PodSpec, server, image string) *corev1.Pod {
	no, yes, uid, grace := false, true, int64(user), int64(30)
	security := &corev1.PodSecurityContext{
		RunAsNonRoot: &yes, RunAsUser: &uid, RunAsGroup: &uid, FSGroup: &uid,
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		// A service may serve at port 80 without being root.
		Sysctls: []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}},
	}
	out := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Settings.In(), Labels: labels(p)},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no, EnableServiceLinks: &no, TerminationGracePeriodSeconds: &grace,
			RestartPolicy: corev1.RestartPolicyNever, SecurityContext: security, NodeSelector: p.Settings.NodeSelector,
			InitContainers: []corev1.Container{{
				Name: "inject", Image: image, Args: []string{"install", binDir}, SecurityContext: tight(), Resources: small(),
				VolumeMounts: []corev1.VolumeMount{{Name: "bin", MountPath: binDir}},
			}},
			Volumes: []corev1.Volume{
				empty("bin", "128Mi"), empty("run", "1Mi"), empty("work", or(p.Settings.Disk, "10Gi")),
				{Name: "token", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: p.Name, DefaultMode: mode(0o440)}}},
			},
		},
	}
	out.Spec.Volumes = append(out.Spec.Volumes, volumes(p)...)
	if len(p.Pulls) > 0 {
		out.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: pullSecret(p.Name)}}
	}
	// A kubelet starts containers one after the other: steps find the services begun, as they do
	// with the service. What they look for may still take its time to listen.
	for _, c := range p.Containers {
		if c.Role == protocol.RoleService {
			out.Spec.Containers = append(out.Spec.Containers, container(p, c))
		}
		if c.Role == protocol.RoleService && c.Alias != "" {
			out.Spec.HostAliases = []corev1.HostAlias{{IP: "127.0.0.1", Hostnames: append(hostnames(out), strings.ToLower(c.Alias))}}
		}
	}
	for _, c := range p.Containers {
		if c.Role != protocol.RoleService {
			out.Spec.Containers = append(out.Spec.Containers, container(p, c))
		}
	}
	out.Spec.Containers = append(out.Spec.Containers, agent(p, server, image))
	return out
}

// volumes are those that the containers of the job share or have for themselves, each as large as
// the workspace may be.
func volumes(p pool.PodSpec) []corev1.Volume {
	var out []corev1.Volume
	for _, c := range p.Containers {
		for _, v := range c.Volumes {
			if v.Name != "" && !slices.ContainsFunc(out, func(o corev1.Volume) bool { return o.Name == v.Name }) {
				out = append(out, empty(v.Name, or(p.Settings.Disk, "10Gi")))
			}
		}
	}
	return out
}

func hostnames(p *corev1.Pod) []string {
	if len(p.Spec.HostAliases) == 0 {
		return nil
	}
	return p.Spec.HostAliases[0].Hostnames
}

func labels(p pool.PodSpec) map[string]string {
	out := map[string]string{
		LabelPool: strings.ReplaceAll(pool.Fold(p.Pool), " ", "-"), labelManaged: "towpath", "app.kubernetes.io/name": "towpath-agent",
		LabelShape: p.Settings.Shape(),
	}
	if p.Run > 0 {
		out[LabelRun] = strconv.FormatInt(p.Run, 10)
	}
	return out
}

// agent is the container of the agent itself: no step runs in it.
func agent(p pool.PodSpec, server, image string) corev1.Container {
	names := make([]string, 0, len(p.Containers))
	for _, c := range p.Containers {
		if c.Role != protocol.RoleService {
			names = append(names, c.Name)
		}
	}
	return corev1.Container{
		Name: "agent", Image: image, SecurityContext: tight(), Resources: small(),
		Args: []string{
			"pod", "--server", server, "--name", p.Name, "--token-file", tokenDir + "/token", "--work", workDir + "/agent", "--sockets", sockDir,
			"--containers", strings.Join(names, ","),
		},
		VolumeMounts: []corev1.VolumeMount{{Name: "token", MountPath: tokenDir, ReadOnly: true}, {Name: "run", MountPath: sockDir}, {Name: "work", MountPath: workDir}},
	}
}

// container is one of the job's.
func container(p pool.PodSpec, c protocol.Container) corev1.Container {
	limits := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(or(c.Memory, or(p.Settings.Memory, "4Gi")))}
	requests := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi"), corev1.ResourceCPU: resource.MustParse("50m")}
	if cpu := or(c.CPU, p.Settings.CPU); cpu != "" {
		limits[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	for name, most := range limits {
		if want := requests[name]; want.Cmp(most) > 0 {
			requests[name] = most
		}
	}
	out := corev1.Container{Name: c.Name, Image: c.Image, SecurityContext: open(c.Root), Resources: corev1.ResourceRequirements{Limits: limits, Requests: requests}}
	if c.Endpoint != "" {
		// The registry is asked each time whether these credentials open it: what another job
		// has left on the node is no answer.
		out.ImagePullPolicy = corev1.PullAlways
	}
	for _, k := range pool.EnvNames(c) {
		// A dollar is itself: the pipeline has expanded its own macros.
		out.Env = append(out.Env, corev1.EnvVar{Name: k, Value: strings.ReplaceAll(c.Env[k], "$(", "$$(")})
	}
	for _, v := range c.Volumes {
		if v.Name != "" {
			out.VolumeMounts = append(out.VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: v.Path, ReadOnly: v.ReadOnly})
		}
	}
	if c.Role == protocol.RoleService {
		return out
	}
	out.Command = []string{binDir + "/towpath-agent", "warden", "listen", sockDir + "/" + c.Name + ".sock"}
	out.VolumeMounts = append(out.VolumeMounts, corev1.VolumeMount{Name: "bin", MountPath: binDir, ReadOnly: true},
		corev1.VolumeMount{Name: "run", MountPath: sockDir}, corev1.VolumeMount{Name: "work", MountPath: workDir})
	return out
}

// tight is the security of what is our own.
func tight() *corev1.SecurityContext {
	s := open(false)
	yes := true
	s.ReadOnlyRootFilesystem = &yes
	return s
}

// open is that of a job's container. Root has what container engines give by default, which
// is what pod security "baseline" allows, less what only a server of the network needs.
func open(root bool) *corev1.SecurityContext {
	no, zero := false, int64(0)
	s := &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	if root {
		s.RunAsUser, s.RunAsGroup, s.RunAsNonRoot = &zero, &zero, &no
		s.Capabilities.Add = []corev1.Capability{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID", "KILL"}
	}
	return s
}

func small() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("256Mi")},
	}
}

func empty(name, size string) corev1.Volume {
	q := resource.MustParse(size)
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &q}}}
}

func mode(m int32) *int32 { return &m }

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// namespace is that of the pods of a pool, with the pod security that fits them.
func namespace(s pool.Settings) *corev1.Namespace {
	level := "restricted"
	if s.Root {
		level = "baseline"
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.In(), Labels: map[string]string{
		labelManaged: "towpath", labelSecurity: level,
	}}}
}

// closed lets nobody open a connection to the pods of agents.
func closed(s pool.Settings) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "towpath-agents", Namespace: s.In(), Labels: map[string]string{"app.kubernetes.io/managed-by": "towpath"}},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": "towpath-agent"}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		},
	}
}
