package protect

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/secret"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/vault"
)

// Authoriser decides what an actor may do. identity.Service is one.
type Authoriser interface {
	// Require returns nil when the actor may act as r in the project, else
	// fault.Unauthentic (nobody), NotFound (may not know of it) or Denied.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
}

// Parts are what a Service is made of; all are needed.
type Parts struct {
	DB    *store.DB
	Log   *event.Log
	Vault *vault.Vault // seals the key of the fingerprints
	Git   *git.Git
	Auth  Authoriser
	Clock clock.Clock
}

// Options of a Service.
type Options struct {
	// PublicURL is the address that people use, for messages: "http://localhost:7080".
	PublicURL string
	// Limit bounds the work for one push; 0 means 30 s. It must be shorter than the time
	// that hooks wait.
	Limit time.Duration
	// MaxScan is how many bytes of a blob are scanned, from its beginning; 0 means 5 MiB.
	MaxScan int64
	// Workers is how many blobs are scanned at a time; 0 means one for each core.
	Workers int
	// FailOpen lets a push through that could not be scanned. It is logged as an error.
	FailOpen bool
	// Logger takes what an operator should know; nil means the default logger.
	Logger *slog.Logger
}

// Service is push protection. It is a source.Guard and safe for concurrent use.
type Service struct {
	parts  Parts
	opts   Options
	engine *secret.Engine
	key    []byte // of the fingerprints
}

// Reasons for a bypass.
const (
	TestValue     = "test-value"     // it opens nothing: made for a test or an example
	FalsePositive = "false-positive" // it is no secret
	FixLater      = "fix-later"      // it is one, and will be replaced
)

// Limits of a bypass.
const (
	// DefaultFor is how long a bypass holds when nothing else is said.
	DefaultFor = 3 * time.Hour
	// MaxFor is the longest time for test-value and fix-later.
	MaxFor = 7 * 24 * time.Hour
	// MaxForFalsePositive is the longest time for false-positive.
	MaxForFalsePositive = 90 * 24 * time.Hour
	// MaxComment is the longest comment in bytes.
	MaxComment = 1000
)

// Finding is a secret that a push was refused for.
type Finding struct {
	ID          string    `json:"id"`
	Repo        string    `json:"repo"` // "project/repo"
	Rule        string    `json:"rule"`
	Title       string    `json:"title"`       // what the rule finds, one sentence
	Fingerprint string    `json:"fingerprint"` // keyed hash of the secret, 32 hex digits
	Redacted    string    `json:"redacted"`    // what may be shown of it
	Ref         string    `json:"ref"`         // that the push wanted to move
	Commit      string    `json:"commit"`      // first new commit with it; "" when no commit holds it
	Path        string    `json:"path"`        // in that commit
	Line        int       `json:"line"`
	Actor       string    `json:"actor"` // who pushed last: "user:ada"
	First       time.Time `json:"first"` // first refusal
	Last        time.Time `json:"last"`  // last refusal
	Times       int       `json:"times"` // refused pushes
	Bypass      *Granted  `json:"bypass,omitempty"`
}

// Bypass asks to let a finding through.
type Bypass struct {
	Reason  string        // one of the reasons above
	Comment string        // why, for whoever audits it; at most MaxComment bytes
	For     time.Duration // 0 means DefaultFor
}

// Granted is a bypass that somebody made.
type Granted struct {
	ID          string    `json:"id"`
	Finding     string    `json:"finding"` // its id
	Repo        string    `json:"repo"`
	Rule        string    `json:"rule"`
	Fingerprint string    `json:"fingerprint"`
	Redacted    string    `json:"redacted"`
	Reason      string    `json:"reason"`
	Comment     string    `json:"comment,omitempty"`
	Actor       string    `json:"actor"`
	Made        time.Time `json:"made"`
	Expires     time.Time `json:"expires"`
	Revoked     time.Time `json:"revoked,omitzero"`
	RevokedBy   string    `json:"revoked_by,omitempty"`
}

// Active reports whether the bypass holds at a time.
func (g Granted) Active(now time.Time) bool { return g.Revoked.IsZero() && now.Before(g.Expires) }

// New makes the guard and loads, or makes, the key of the fingerprints.
func New(ctx context.Context, parts Parts, o Options) (*Service, error) {
	if o.Limit == 0 {
		o.Limit = 30 * time.Second
	}
	if o.MaxScan == 0 {
		o.MaxScan = 5 << 20
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	engine, err := secret.New()
	if err != nil {
		return nil, err
	}
	s := &Service{parts: parts, opts: o, engine: engine}
	s.key, err = s.loadKey(ctx)
	return s, err
}
