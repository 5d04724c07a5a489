package config

import "path/filepath"

// maxDataPath leaves room for the longest socket below the data folder (kubelet/plugins_registry/<driver>-reg.sock) within the
// 107 bytes of a unix socket address.
const maxDataPath = 70

// runRoot holds what must not survive a reboot: sockets and mount points.
const runRoot = "/run/towpath-kube"

// ContainerLogsVariable is the name of the environment variable that moves the kubelet's folder of legacy log links away from
// /var/log/containers, so that a node leaves nothing outside its own folders.
const ContainerLogsVariable = "TOWPATH_CONTAINER_LOGS"

// Layout says where everything of one cluster lives on disk. All paths are absolute.
type Layout struct {
	// Data is the folder of everything that must survive, Run of everything that must not survive a reboot.
	Data, Run string
	// Programs is the folder of the programs that are not this executable: containerd, runc, the CNI plugins, …
	Programs string
	// Executable is this program, which every upstream component is started from.
	Executable string
}

// Layout returns the folders of the cluster for the given executable, whose tools stand in the folder "kube" beside it.
func (c Config) Layout(executable string) Layout {
	return Layout{
		Data:       c.Data,
		Run:        filepath.Join(runRoot, c.Bridge),
		Programs:   filepath.Join(filepath.Dir(executable), "kube"),
		Executable: executable,
	}
}

// Tool is the path of one of the programs beside this executable.
func (l Layout) Tool(name string) string { return filepath.Join(l.Programs, name) }

// AdminKubeconfig is the file that gives its reader every right on the cluster; mode 0600.
func (l Layout) AdminKubeconfig() string { return filepath.Join(l.Data, "admin.kubeconfig") }

// Kubeconfig is the client configuration of one component.
func (l Layout) Kubeconfig(component string) string {
	return filepath.Join(l.Data, "kubeconfig", component+".kubeconfig")
}

// PKI is the folder of keys and certificates.
func (l Layout) PKI() string { return filepath.Join(l.Data, "pki") }

// Certificate is the file of one certificate in PKI, by its name.
func (l Layout) Certificate(name string) string { return filepath.Join(l.PKI(), name+".crt") }

// Key is the private key that belongs to Certificate of that name; mode 0600.
func (l Layout) Key(name string) string { return filepath.Join(l.PKI(), name+".key") }

// File is a rendered configuration file. They are written anew at every start; editing them has no effect.
func (l Layout) File(name string) string { return filepath.Join(l.Data, "config", name) }

// Log is the log file of one component.
func (l Layout) Log(component string) string { return filepath.Join(l.Logs(), component+".log") }

// Logs is the folder of the components' own logs.
func (l Layout) Logs() string { return filepath.Join(l.Data, "logs") }

// PodLogs is the folder where the kubelet keeps the logs of containers (<namespace>_<pod>_<uid>/<container>/<n>.log).
func (l Layout) PodLogs() string { return filepath.Join(l.Data, "pod-logs") }

// AuditLog is the API server's audit log, JSON lines.
func (l Layout) AuditLog() string { return filepath.Join(l.Data, "audit", "audit.log") }

// Etcd is the folder of the cluster's objects.
func (l Layout) Etcd() string { return filepath.Join(l.Data, "etcd") }

// Containerd is the folder of images and container file systems.
func (l Layout) Containerd() string { return filepath.Join(l.Data, "containerd") }

// RegistryHosts is the folder in which containerd looks up where to pull a registry's images from.
func (l Layout) RegistryHosts() string { return filepath.Join(l.Data, "registry-hosts") }

// Kubelet is the kubelet's root folder: pod volumes, checkpoints and device state.
func (l Layout) Kubelet() string { return filepath.Join(l.Data, "kubelet") }

// Storage is the folder of persistent volumes.
func (l Layout) Storage() string { return filepath.Join(l.Data, "storage") }

// Network is the folder of the CNI configuration.
func (l Layout) Network() string { return filepath.Join(l.Data, "cni") }

// NetworkState is the folder in which host-local remembers which pod has which address. It does not survive a reboot, as the
// pods' network devices do not.
func (l Layout) NetworkState() string { return filepath.Join(l.Run, "cni") }

// Lock is the file whose lock the running supervisor holds.
func (l Layout) Lock() string { return filepath.Join(l.Data, "lock") }

// ContainerdState is the folder of containerd's runtime state.
func (l Layout) ContainerdState() string { return filepath.Join(l.Run, "containerd") }

// ContainerdSocket is the unix socket of containerd's gRPC services, CRI included.
func (l Layout) ContainerdSocket() string { return filepath.Join(l.Run, "containerd.sock") }

// PolicySocket is the unix socket that opens once the rules of network policies are in force.
func (l Layout) PolicySocket() string { return filepath.Join(l.Run, "network-policy.sock") }

// Folders lists every folder that must exist before the first component starts. All are of mode 0700.
func (l Layout) Folders() []string {
	return []string{
		l.Data, l.PKI(), filepath.Join(l.Data, "kubeconfig"), filepath.Join(l.Data, "config"), l.Logs(), l.PodLogs(),
		filepath.Dir(l.AuditLog()), l.Etcd(), l.Containerd(), l.RegistryHosts(), l.Kubelet(), l.Storage(), l.Network(),
		l.Run, l.NetworkState(), l.ContainerdState(), filepath.Join(l.Run, "tmp"), filepath.Join(l.Run, "container-logs"),
		filepath.Join(l.Kubelet(), "static-pods"),
	}
}
