package metric

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/rules"

	"towpath.dev/towpath/internal/fault"
)

// Scope is whose series a question may see.
type Scope struct {
	Project string // the series of this project
	All     bool   // every series instead, those of the platform too
}

// check refuses a scope that names nobody: it would be the platform.
func (s Scope) check() error {
	if s.Project == "" && !s.All {
		return fault.New(fault.Invalid, "The question names no project.").WithNext("name one, or ask for all as an administrator")
	}
	return nil
}

// Options say how a Store keeps and answers. The zero value of each takes its default.
type Options struct {
	Retention        time.Duration // how long samples are kept; 15 days
	MaxBytes         int64         // of sealed blocks; the oldest go first; 8 GiB
	OutOfOrder       time.Duration // how much older than the newest of its series a sample may be; 30 minutes
	SeriesPerProject int           // living series that a project may have; 50,000; the platform has no limit

	QueryTimeout     time.Duration // 30 seconds
	QuerySamples     int           // that one question may load; 10 million
	QueryConcurrency int           // questions at a time; the others wait; 4
}

// Origin is where pushed metrics come from, as the platform knows it. Its labels replace
// those that the sender gives.
type Origin struct {
	Project     string // "" is the platform itself
	Environment string
	Namespace   string // the following are "" outside of pods
	Pod         string
	Node        string
}

// Sample is a value of a series at a moment. Labels hold "__name__" too; names follow
// Prometheus' rules for UTF-8 names.
type Sample struct {
	Labels map[string]string
	At     time.Time
	Value  float64
	Type   string // counter, gauge, histogram or summary; "" when it is not known
	Help   string
	Unit   string
}

// Outcome says what became of samples.
type Outcome struct {
	Taken   int
	Refused int            // never to be sent again: too old, too many series, not valid
	Reasons map[string]int // of the refused: "series_limit", "too_old", "out_of_bounds", "duplicate", "invalid", "delta"
	Message string         // for the sender: what was refused first and what to do; "" when nothing was
}

// Target is one address to scrape.
type Target struct {
	Job      string // the value of the label `job`; targets of a job share its settings
	Address  string // host:port; or the name of a Handler
	Scheme   string // "http" or "https" (not verified: a pod's certificate is its own)
	Path     string // "/metrics"
	Params   map[string][]string
	Labels   map[string]string // put on every series; what the target exposes under these names becomes exported_…
	Instance string            // the value of the label `instance`; "" is Address
	// ByNamespace says that each series names a namespace in its label `namespace`, and gets
	// `project` and `environment` from it: kubelet, cAdvisor and state series.
	ByNamespace bool
	// Keep are the names of the metrics to keep, as an anchored regular expression; "" keeps all.
	Keep string
	Drop *Match // series that are not kept; nil drops none
}

// Match describes series by their labels.
type Match struct {
	Labels []string // whose values are joined by ";"
	Regex  string   // anchored
}

// Targets says what to scrape. *kube.Watcher is one.
type Targets interface {
	// Targets returns every target there is now, in no order.
	Targets() []Target
	// Changed returns a channel that closes when Targets would answer otherwise.
	Changed() <-chan struct{}
}

// Owners says whose a namespace is. *kube.Watcher is one.
type Owners interface {
	// NamespaceOwner returns "", "" for a namespace of the platform. It answers from memory.
	NamespaceOwner(namespace string) (project, environment string)
	// Container finds a container by its id, without the runtime's prefix. It answers from
	// memory, for a while after the container is gone too.
	Container(id string) (c Container, ok bool)
}

// Container names a container of a pod.
type Container struct {
	Namespace, Pod, Name, Image string
}

// ScrapeOptions say how to scrape.
type ScrapeOptions struct {
	Interval  time.Duration // 15 seconds
	BodyLimit int64         // of one answer, decompressed; 32 MiB
	Samples   int           // of one answer; 50,000
	Targets   []Targets
	Owners    Owners // nil: no series belongs to a namespace
	// Handlers answer in this process for the addresses that they are named by: the server's
	// own metrics, the state of the cluster, the way to the kubelets through the API server.
	Handlers map[string]http.Handler
}

// Remote is a server that everything is written to as well, by Prometheus remote write 1.0.
type Remote struct {
	URL      string
	User     string // basic authentication when it is set
	Password string
	Bearer   string // a token instead
}

// Rules says what rules there are, for the API; a rules.Manager of Prometheus is one.
type Rules interface {
	RuleGroups() []*rules.Group
}

// Point is a value of an instant vector.
type Point struct {
	Labels map[string]string
	At     time.Time
	Value  float64
}

// Meter answers instant questions; *Store is one.
type Meter interface {
	// Instant evaluates an expression at a moment (zero is now) and returns its vector; a
	// scalar is a vector of one point without labels.
	Instant(ctx context.Context, in Scope, expr string, at time.Time) ([]Point, error)
}
