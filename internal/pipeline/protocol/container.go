package protocol

// The parts that containers play in the pod of a job.
const (
	RoleJob     = "job"     // the steps run there
	RoleTarget  = "target"  // steps that name it as their target do
	RoleService = "service" // it runs its own program beside the job
	RoleHost    = "host"    // checkouts and steps with the target host run there
)

// Container is a container of the pod of a job.
type Container struct {
	Name  string `json:"name"` // in the pod: "job", "service-db"
	Role  string `json:"role"`
	Alias string `json:"alias,omitempty"` // as steps name it
	Image string `json:"image"`
	// Endpoint is the service connection that opens the registry of the image; what is secret
	// of it goes to the cluster alone.
	Endpoint string `json:"endpoint,omitempty"`
	// Env goes over that of the image.
	Env    map[string]string `json:"env,omitempty"`
	CPU    string            `json:"cpu,omitempty"`
	Memory string            `json:"memory,omitempty"`
	// Root says that the container is to run as root.
	Root bool `json:"root,omitempty"`
	// Ports are those of a service under which steps look for it.
	Ports []Port `json:"ports,omitempty"`
	// Volumes are what it has beside its own files and the workspace.
	Volumes []Volume `json:"volumes,omitempty"`
}

// Volume is a folder that is empty at the beginning of the job and goes with it, or one of the
// machine.
type Volume struct {
	// Name is that of the volume in the pod: "volume-1". Containers with the same one share it.
	Name string `json:"name,omitempty"`
	// Source is a path of the machine, of local runs alone; Name is "" then.
	Source   string `json:"source,omitempty"`
	Path     string `json:"path"` // in the container, absolute
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Port is a port of a service: what listens at Container is to be found at Host on localhost.
type Port struct {
	Host      int `json:"host"`
	Container int `json:"container"`
}
