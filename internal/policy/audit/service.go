package audit

import (
	"context"
	"log/slog"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Deps are the parts that a Service needs, all of them.
type Deps struct {
	DB       *store.DB
	Cluster  Cluster
	Policies Policies
	Recorder Recorder
	Appliers Appliers
	Auth     Authoriser
	Clock    clock.Clock
	Logger   *slog.Logger
}

// Options say how to audit.
type Options struct {
	Cluster string        // name of the cluster: "embedded"
	Sweep   time.Duration // between two sweeps; 0 means DefaultSweep
}

// DefaultSweep is how often everything is listed again.
const DefaultSweep = 5 * time.Minute

// Service audits one cluster. It is safe for concurrent use.
type Service struct {
	Deps
	opts Options
}

// New returns a Service.
func New(d Deps, o Options) *Service { return &Service{Deps: d, opts: o} }

// Run follows the cluster until ctx ends. It waits for the cluster and comes back after it
// was away.
func (s *Service) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// ImageChanged judges the pods again that use an image ("sha256:…"), because what is known
// of it changed.
func (s *Service) ImageChanged(digest string) {}

// PlaceChanged judges a namespace's objects again, because it was given to an environment.
func (s *Service) PlaceChanged(namespace string) {}

// SweepNow lists everything again, repairs what differs from what is stored and returns the
// number of differences, which is also published by Progress.
func (s *Service) SweepNow(ctx context.Context) (differences int, err error) { return 0, nil }

// Progress says how the audit does.
type Progress struct {
	Kinds       []string  `json:"kinds"`   // that are followed: "Pod", "Deployment.apps"
	Objects     int       `json:"objects"` // that live
	Synced      bool      `json:"synced"`  // every kind was listed under the set in force
	Set         string    `json:"set"`
	Sweeps      int64     `json:"sweeps"`
	Swept       time.Time `json:"swept,omitzero"` // end of the last sweep
	Differences int       `json:"differences"`    // that the last sweep found
	Total       int64     `json:"total"`          // differences of all sweeps
	Lag         Lag       `json:"lag"`
	Error       string    `json:"error,omitempty"`
}

// Lag is how long it takes from an object's change, as the API server announces it, until
// its verdicts can be read.
type Lag struct {
	Count int64         `json:"count"`
	P50   time.Duration `json:"p50"`
	P99   time.Duration `json:"p99"`
	Max   time.Duration `json:"max"`
}

// Progress returns how the audit does.
func (s *Service) Progress() Progress { return Progress{} }

// Differences returns what the last sweep found.
func (s *Service) Differences() int { return s.Progress().Differences }

// Changed returns a channel that closes when verdicts change next.
func (s *Service) Changed() <-chan struct{} { return nil }

// Filter selects verdicts. Empty parts select everything.
type Filter struct {
	Project     string
	Environment string // needs Project
	Assignment  string
	Outcome     string // compliant, denied, audited, exempt, error; "violated" for all but compliant ones
	Kind        string
	Namespace   string
	Text        string // in the object's name or the message
	Limit       int    // of objects, at most MaxLimit; 0 means DefaultLimit
	Offset      int
}

// Limits of a report.
const (
	DefaultLimit = 200
	MaxLimit     = 2000
)

// Report says how live objects comply. Counts are of everything that the filter's project,
// environment, assignment, kind and namespace select, objects of the page alone.
type Report struct {
	Set         string       `json:"set"` // digest of the set that was judged with
	Time        time.Time    `json:"time"`
	Synced      bool         `json:"synced"`
	Differences int          `json:"differences"`
	Assignments []Assignment `json:"assignments"`
	Objects     []Object     `json:"objects"`
	Total       int          `json:"total"` // objects that the whole filter selects
}

// Assignment adds up the verdicts of an assignment: objects count once, with their worst
// outcome (error, denied, audited, exempt, compliant).
type Assignment struct {
	Name      string         `json:"name"`
	Policy    string         `json:"policy"` // digest of the assignment as compiled
	Outcomes  map[string]int `json:"outcomes"`
	Objects   int            `json:"objects"`
	Percent   float64        `json:"percent"` // of objects that are compliant or exempt; 100 when there are none
	Compliant bool           `json:"compliant"`
	Since     time.Time      `json:"since,omitzero"` // the last time that one of its verdicts changed
}

// Object is one rule's verdict on a live object.
type Object struct {
	Assignment  string    `json:"assignment"`
	Rule        string    `json:"rule"`
	Title       string    `json:"title"`
	Policy      string    `json:"policy"`
	Cluster     string    `json:"cluster"`
	UID         string    `json:"uid"`
	Group       string    `json:"group,omitempty"`
	Kind        string    `json:"kind"`
	Namespace   string    `json:"namespace,omitempty"`
	Name        string    `json:"name"`
	Project     string    `json:"project,omitempty"`
	Environment string    `json:"environment,omitempty"`
	Outcome     string    `json:"outcome"`
	Path        string    `json:"path,omitempty"`
	Message     string    `json:"message,omitempty"`
	Violations  int       `json:"violations,omitempty"`
	Exemption   string    `json:"exemption,omitempty"`
	FirstSeen   time.Time `json:"first_seen"`
	Since       time.Time `json:"since"`
	Actor       string    `json:"actor,omitempty"` // who applied it
	Run         int64     `json:"run,omitempty"`
	Commit      string    `json:"commit,omitempty"`
}

// Compliance reports on live objects. Administrators of the installation may leave the
// project open; everybody else names one in which he holds Read, and sees the objects in
// its namespaces only.
func (s *Service) Compliance(ctx context.Context, a identity.Actor, f Filter) (Report, error) {
	return Report{}, nil
}
