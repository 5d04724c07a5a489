package insight

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/work"
)

// Authorizer says what an actor may do; identity.Service is one.
type Authorizer interface {
	// Require returns nil when the actor has the role in the project, fault.NotFound when
	// they may not know of the project, and fault.Denied otherwise.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
}

// Items is where insights become work; work.Service is one. Every method acts as the
// platform and writes its events in tx.
type Items interface {
	// Raise opens an item and returns its number.
	Raise(ctx context.Context, tx *store.Tx, r work.Raise) (int64, error)
	// Amend changes an open item; on one that is closed only links and comment are added.
	Amend(ctx context.Context, tx *store.Tx, item int64, a work.Amend) error
	// Complete moves an item into its type's state of category completed, with a comment.
	// An item that is completed or removed stays as it is.
	Complete(ctx context.Context, tx *store.Tx, item int64, why string, links []event.Link) error
	// Reopen moves a completed or resolved item back into its type's first state in
	// progress, into the current sprint when there is one, with a comment.
	Reopen(ctx context.Context, tx *store.Tx, item int64, why string, links []event.Link) error
	// Standing says where an item stands; fault.NotFound when there is none.
	Standing(ctx context.Context, h store.Handle, item int64) (work.Standing, error)
}

// Commit is a commit under suspicion, or one that mends.
type Commit struct {
	Hash   string    `json:"hash"`
	Title  string    `json:"title"`
	Author string    `json:"author"`         // name of the Git author
	User   string    `json:"user,omitempty"` // the platform's user with the author's name or address
	When   time.Time `json:"when"`
	Files  []string  `json:"files,omitempty"` // at most MaxFiles
}

// Limits of what is shown of commits.
const (
	MaxCommits = 50
	MaxFiles   = 50
)

// Commits answers about the source of what runs.
type Commits interface {
	// Range returns the commits of a project that are reachable from to and not from from,
	// the newest first, at most MaxCommits, with the repository ("project/repo") that has
	// them. Without from it is the commit to alone. It is fault.NotFound when no repository
	// of the project has to.
	Range(ctx context.Context, project, from, to string) (repo string, list []Commit, err error)
	// Owners returns the users who own paths by CODEOWNERS at a commit, the owner of most
	// paths first; none when there is no such file.
	Owners(ctx context.Context, repo, commit string, paths []string) ([]string, error)
	// Contains reports whether commit is reachable from tip in a repository of the project.
	Contains(ctx context.Context, project, tip, commit string) (bool, error)
}

// Finding is a vulnerability of an image.
type Finding struct {
	ID       string   `json:"id"` // of the advisory
	Aliases  []string `json:"aliases,omitempty"`
	Severity string   `json:"severity"` // critical, high, medium, low, unknown
	Package  string   `json:"package"`
	Version  string   `json:"version"`
	Fixed    string   `json:"fixed,omitempty"` // lowest version that mends it
	Summary  string   `json:"summary,omitempty"`
}

// Images answers what is known against images, and which of them count.
type Images interface {
	// Findings returns what holds against an image ("sha256:…") in a repository.
	Findings(ctx context.Context, repository, image string) ([]Finding, error)
	// Counts reports whether an image runs somewhere or is the newest of its repository.
	Counts(ctx context.Context, repository, image string) (bool, error)
}

// Telemetry answers what operations of a service did. It may be nil.
type Telemetry interface {
	// Impact returns what an operation of a release does since a moment. Without telemetry
	// it is the zero value.
	Impact(ctx context.Context, project, environment, release, role, operation string, since time.Time) (Impact, error)
	// Callers returns the roles that call a role, directly or through others.
	Callers(ctx context.Context, project, environment, role string) ([]string, error)
}

// Notices tells people of what cannot wait. It may be nil.
type Notices interface {
	// Critical says that an item of critical severity was opened.
	Critical(ctx context.Context, project string, item int64, title string) error
}
