package kube

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/metric"
	"towpath.dev/towpath/internal/monitor/table"
)

// Cluster gives the credentials; cluster.Cluster is one.
type Cluster interface {
	// Admin returns a client configuration with the platform's own rights, and
	// fault.Unavailable while the cluster is not ready.
	Admin(ctx context.Context) (*rest.Config, error)
}

// Pod is what a release is known by.
type Pod struct {
	UID         string
	Namespace   string
	Name        string
	Images      []string // as the specification names them, containers in order
	Labels      map[string]string
	Annotations map[string]string
}

// Owners says whose things are. Both are asked again every half minute, so that they may
// answer with "" what is not decided yet.
type Owners interface {
	// Owner returns the environment that owns a namespace, "" and "" when none does: then it
	// is the platform's.
	Owner(ctx context.Context, namespace string) (project, environment string, err error)
	// ReleaseOf returns the release ("shop/production/48") that a pod of an environment
	// belongs to now, "" while it is not known. Of one that is gone p has UID and Namespace only.
	ReleaseOf(ctx context.Context, p Pod) (release string, err error)
}

// Sink takes rows; the lake and the ingest service are such.
type Sink interface {
	// Append returns nil when the batches are stored. A batch that comes again under the
	// same ID is stored once.
	Append(ctx context.Context, batches []*table.Batch) error
}

// Options are what a Watcher is made of.
type Options struct {
	Cluster Cluster
	Name    string // of the cluster, for ClusterName and ClusterId
	// Installation identifies this installation, for _ResourceId.
	Installation string
	Owners       Owners
	Sink         Sink // nil: no rows are made
	Clock        clock.Clock
	Logger       *slog.Logger
	// Direct says that the pods' addresses can be reached from this process, as those of an
	// embedded cluster; otherwise pods are scraped through the API server.
	Direct bool
	// Inventory is how often the inventory is written; a minute when 0.
	Inventory time.Duration
	// Meter answers for Top; nil: Top says that it is not there.
	Meter metric.Meter
	// Memory is a file that remembers which events were stored, so that a restart stores
	// none of them twice; "" keeps none.
	Memory string
	// Client makes the client of a configuration; nil: kubernetes.NewForConfig.
	Client func(*rest.Config) (kubernetes.Interface, error)
}

// States of a workload, as the Path names them.
const (
	Open    = "open"    // it has what it wants
	Passing = "passing" // it is on its way: rolling out, starting, stopping
	Held    = "held"    // it serves, but not as it should: fewer replicas, restarts
	Shut    = "shut"    // nothing of it serves
)

// Workload is how a workload is: a Deployment, StatefulSet, DaemonSet, Job, CronJob, or a
// Pod that nobody controls.
type Workload struct {
	Project     string `json:"project,omitempty"`
	Environment string `json:"environment,omitempty"`
	Namespace   string `json:"namespace"`
	Kind        string `json:"kind"`
	Name        string `json:"name"`
	Release     string `json:"release,omitempty"`

	State string `json:"state" enum:"open,passing,held,shut"`
	Why   string `json:"why,omitempty" doc:"the reason in a sentence; empty when it is open"`
	Next  string `json:"next,omitempty" doc:"what to do about it"`

	Desired int `json:"desired"`
	Ready   int `json:"ready"`
	Updated int `json:"updated"`

	Images []string   `json:"images"`
	Since  time.Time  `json:"since,omitzero" doc:"of the youngest change of a condition"`
	Pods   []PodState `json:"pods"`
}

// PodState is how one pod of a workload is.
type PodState struct {
	Name     string    `json:"name"`
	UID      string    `json:"uid"`
	Node     string    `json:"node,omitempty"`
	Phase    string    `json:"phase"`
	Ready    bool      `json:"ready"`
	Release  string    `json:"release,omitempty"`
	Restarts int       `json:"restarts"`
	Waiting  string    `json:"waiting,omitempty" doc:"reason why a container waits, e.g. CrashLoopBackOff"`
	Last     string    `json:"last,omitempty" doc:"reason of the last termination, e.g. OOMKilled"`
	LastCode int       `json:"last_code,omitempty"`
	LastAt   time.Time `json:"last_at,omitzero"`
	OOM      bool      `json:"oom,omitempty" doc:"a container was killed for its memory, now or last"`
	Digests  []string  `json:"digests,omitempty"`
	Started  time.Time `json:"started,omitzero"`
}

// Usage is what something uses, for `towpath top`.
type Usage struct {
	Namespace   string  `json:"namespace,omitempty"` // "" for a node
	Name        string  `json:"name"`
	Node        string  `json:"node,omitempty"`
	Project     string  `json:"project,omitempty"`
	Workload    string  `json:"workload,omitempty"`
	Release     string  `json:"release,omitempty"`
	CPU         float64 `json:"cpu" doc:"cores"`
	Memory      float64 `json:"memory" doc:"bytes of the working set"`
	CPULimit    float64 `json:"cpu_limit,omitempty" doc:"cores; of a node what it can give"`
	MemoryLimit float64 `json:"memory_limit,omitempty" doc:"bytes; of a node what it can give"`
	Restarts    int     `json:"restarts,omitempty"`
}

// Top is what uses the most, each list by CPU.
type Top struct {
	Nodes []Usage `json:"nodes"` // only when all is asked for
	Pods  []Usage `json:"pods"`
}
