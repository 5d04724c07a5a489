package insight

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/work"
)

// Authorizer says what an actor may do; identity.Service is one.
type Authorizer interface {
	// Require returns nil when the actor has the role in the project, fault.NotFound when
	// they may not know of the project, and fault.Denied otherwise.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
}

// Items is where signals become items that open and close; work.Service is one. Each call
// is a transaction of its own and may be repeated: a key has one signal.
type Items interface {
	// Raise gives a signal to its item: it makes one, joins one, counts a repeat, reopens one
	// that was closed within the time of regressions, or makes a new one that is linked to
	// the old. A signal that somebody dismissed stays so until its day.
	Raise(ctx context.Context, a identity.Actor, g work.Signal) (work.Raised, error)
	// Clear says that a signal does not hold any more, and why, in one line. An item whose
	// signals are all cleared is completed. fault.NotFound when there is no such signal.
	Clear(ctx context.Context, a identity.Actor, project, key, why string, evidence []work.Link) (work.Item, error)
	// Comment writes a comment in Markdown.
	Comment(ctx context.Context, a identity.Actor, item int64, text string) (work.Comment, error)
	// Get returns an item; fault.NotFound when there is none.
	Get(ctx context.Context, a identity.Actor, item int64) (work.Detail, error)
}

// Commit is a commit under suspicion, or one that mends.
type Commit struct {
	Hash   string    `json:"hash"`
	Title  string    `json:"title"`
	Author string    `json:"author"`         // name of the Git author
	User   string    `json:"user,omitempty"` // of the platform, when the author is one
	When   time.Time `json:"when"`
	Files  []string  `json:"files,omitempty"` // that it changed, at most MaxFiles
}

// Limits of what is looked at.
const (
	MaxCommits = 50
	MaxFiles   = 50
)

// Commits answers about the source of what runs.
type Commits interface {
	// Range returns the commits that are reachable from to and not from from, the newest
	// first, at most MaxCommits, and the repository of the project that has them. Without
	// from it is the commit to alone. It is fault.NotFound when no repository has to.
	Range(ctx context.Context, project, from, to string) (repo string, list []Commit, err error)
	// Owners returns the users who own the paths by CODEOWNERS at a commit, who owns most
	// of them first; none when there is no such file.
	Owners(ctx context.Context, repo, commit string, paths []string) ([]string, error)
}

// Finding is a vulnerability of a package in an image, or that code asks for.
type Finding struct {
	ID       string // of the advisory
	Aliases  []string
	Severity string // critical, high, medium, low, unknown
	Package  string
	Version  string
	Fixed    string // lowest version that mends it; "" for none
	Summary  string
	Where    string // digest of the image, or path of the manifest
	Running  bool   // the image runs somewhere
}

// Vulnerabilities answers what is known against what counts.
type Vulnerabilities interface {
	// OfImages returns what holds against the images of a repository that run or are the
	// newest there.
	OfImages(ctx context.Context, repository string) ([]Finding, error)
	// OfCode returns what holds against the packages that a commit of a repository asks for.
	OfCode(ctx context.Context, repo, commit string) ([]Finding, error)
}

// Compliance answers how what lives complies.
type Compliance interface {
	// Violators returns the live objects of an environment, "Deployment shop/cart", that
	// violate a rule of an assignment now, without past versions of workloads.
	// fault.Unavailable while that is not known.
	Violators(ctx context.Context, project, environment, assignment, rule string) ([]string, error)
}

// Telemetry answers what services do.
type Telemetry interface {
	// Impact returns what a role of an environment did since a moment; the zero value when
	// nothing is known.
	Impact(ctx context.Context, project, environment, role string, since time.Time) (Impact, error)
	// Callers returns the roles that call a role, directly or through others.
	Callers(ctx context.Context, project, environment, role string) ([]string, error)
	// LastError returns when a group of errors was seen last; zero when there is none such.
	LastError(ctx context.Context, project, group string) (time.Time, error)
}
