package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Kind is what a resource is.
type Kind string

// The kinds of resources that carry checks and permissions.
const (
	Environment Kind = "environment"
	Connection  Kind = "connection" // a service connection
	Group       Kind = "group"      // a variable group
	File        Kind = "file"       // a secure file
	Repository  Kind = "repository"
	Pool        Kind = "pool" // of agents
	// Stage is a stage of a pipeline with a lockBehavior of its own (X027); the lock that
	// this makes is the only entry that it ever has.
	Stage Kind = "stage"
	// Job is a job that the server runs; the approval of a ManualValidation in it is the only
	// entry that it ever has (C015).
	Job Kind = "job"
)

// kinds are those that a person may name.
var kinds = []Kind{Environment, Connection, Group, File, Repository, Pool}

// title is a kind in a sentence.
func (k Kind) title() string {
	switch k {
	case Connection:
		return "service connection"
	case Group:
		return "variable group"
	case File:
		return "secure file"
	case Pool:
		return "agent pool"
	}
	return string(k)
}

// Resource is something that a pipeline borrows. Names compare without regard to case, as
// the service compares them; the name is kept as it was first written.
type Resource struct {
	Kind    Kind   `json:"kind"`
	Project string `json:"project"`
	// Name is the name in the project; of a repository without the project.
	Name string `json:"name"`
}

// maxName bounds the name of a resource, in bytes.
const maxName = 256

// String is the form for sentences: "environment production".
func (r Resource) String() string { return r.Kind.title() + " " + r.Name }

// Path is the form for addresses and flags: "environment/production".
func (r Resource) Path() string { return string(r.Kind) + "/" + r.Name }

// Key is the same for all spellings of the name.
func (r Resource) Key() string {
	return string(r.Kind) + "/" + r.Project + "/" + strings.ToLower(r.Name)
}

// Check refuses what cannot be a resource.
func (r Resource) Check() error {
	if !slices.Contains(kinds, r.Kind) {
		return fault.New(fault.Invalid, "%q is no kind of resource.", clip(string(r.Kind))).
			WithNext("use environment, connection, group, file, repository or pool")
	}
	if r.Name == "" || len(r.Name) > maxName || strings.TrimSpace(r.Name) != r.Name || strings.ContainsFunc(r.Name, unprintable) {
		return fault.New(fault.Invalid, "A resource has a name of 1 to %d bytes on one line.", maxName)
	}
	return identity.CheckProjectName(r.Project)
}

// ParseResource reads the form of Path: "environment/production".
func ParseResource(project, path string) (Resource, error) {
	kind, name, ok := strings.Cut(path, "/")
	if !ok {
		return Resource{}, fault.New(fault.Invalid, "%q names no resource.", clip(path)).WithNext("write KIND/NAME, such as environment/production")
	}
	r := Resource{Kind: Kind(kind), Project: project, Name: name}
	return r, r.Check()
}

// Finder knows the resources of one kind.
type Finder interface {
	// Exists reports whether there is such a resource now. It is asked within the
	// transaction that starts a stage, so it must be quick and must not write.
	Exists(ctx context.Context, r Resource) (bool, error)
}

// Registry knows which kinds exist as objects. A resource that exists as one is closed to
// pipelines until somebody permits them (C012); a name without an object is a name only,
// and open. It is safe for concurrent use.
type Registry struct {
	mu      sync.RWMutex
	finders map[Kind]Finder
}

// NewRegistry returns a registry that knows nothing.
func NewRegistry() *Registry { return &Registry{finders: map[Kind]Finder{}} }

// Register says who knows the resources of a kind; the last one counts.
func (g *Registry) Register(k Kind, f Finder) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.finders[k] = f
}

// Exists reports whether a resource exists as an object.
func (g *Registry) Exists(ctx context.Context, r Resource) (bool, error) {
	g.mu.RLock()
	f := g.finders[r.Kind]
	g.mu.RUnlock()
	if f == nil {
		return false, nil
	}
	ok, err := f.Exists(ctx, r)
	if err != nil {
		return false, fmt.Errorf("looking for the %s: %w", r, err)
	}
	return ok, nil
}

func unprintable(r rune) bool { return r < 0x20 || r == 0x7f }

// clip shortens foreign text for a message.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "?") }
