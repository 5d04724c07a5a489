package registry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Authoriser decides what an actor may do; identity.Service is one.
type Authoriser interface {
	// Require returns nil when a has at least role r in the project, else a fault:
	// NotFound when a may not know the project, Denied, or Unauthentic for nobody.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	// EnsureProject makes a missing project for an actor who may make projects;
	// otherwise it is Require(a, name, identity.Write).
	EnsureProject(ctx context.Context, a identity.Actor, name string) error
}

// Blobs keeps bytes under their digest ("sha256:…", "sha512:…"); blob.Store is one. A
// missing thing is a fault of kind NotFound, bytes over a limit TooLarge, bytes that do
// not have the digest asked for Invalid.
type Blobs interface {
	// Put stores what r gives, durably, under want, or under its sha256 when want is "".
	Put(ctx context.Context, r io.Reader, want string, limit int64) (digest string, size int64, err error)
	// Open reads from offset to the end.
	Open(ctx context.Context, digest string, offset int64) (io.ReadCloser, error)
	Stat(ctx context.Context, digest string) (size int64, err error)
	// Delete removes bytes; readers that have them open go on.
	Delete(ctx context.Context, digest string) error
	// Bytes reads a whole blob of at most limit bytes.
	Bytes(ctx context.Context, digest string, limit int64) ([]byte, error)

	// StartUpload makes an empty upload. AppendUpload adds r's bytes at offset, which must
	// be the upload's size; what it took when r or the process fails stays and counts.
	// The size it returns is the whole upload's, which limit bounds.
	StartUpload(ctx context.Context, id string) error
	AppendUpload(ctx context.Context, id string, offset int64, r io.Reader, limit int64) (size int64, err error)
	UploadSize(ctx context.Context, id string) (int64, error)
	// CommitUpload turns the upload into the blob want.
	CommitUpload(ctx context.Context, id string, want string) (size int64, err error)
	AbortUpload(ctx context.Context, id string) error
	// Sweep drops uploads that were not added to since before, and returns how many.
	Sweep(ctx context.Context, before time.Time) (int, error)
}

// Options are the registry's limits and ages; zero fields take the defaults named.
type Options struct {
	MaxBlob int64         // largest blob in bytes; 64 GiB
	Grace   time.Duration // how long a blob or an orphaned referrer stays unreferenced before the collector takes it; 24 h
	// Untagged is how long an image stays after its last tag moved away. 0 keeps it for
	// ever, since releases name images by digest.
	Untagged time.Duration
	Uploads  time.Duration // how long an unfinished upload rests before it is dropped; 72 h
	Log      *slog.Logger  // for the collector; none when nil
}

// Service is the registry. It is safe for concurrent use.
type Service struct {
	db    *store.DB
	log   *event.Log
	blobs Blobs
	auth  Authoriser
	clock clock.Clock
	opt   Options

	mu    sync.Mutex
	busy  map[string]bool   // uploads that a request writes to now
	fresh map[string]upload // uploads without a byte yet; see remember
}

// New returns the registry whose metadata is in db and whose bytes are in blobs. No one
// else may keep bytes in blobs: see the package's invariants.
func New(db *store.DB, log *event.Log, blobs Blobs, auth Authoriser, c clock.Clock, opt Options) *Service {
	if opt.MaxBlob <= 0 {
		opt.MaxBlob = 64 << 30
	}
	if opt.Grace <= 0 {
		opt.Grace = 24 * time.Hour
	}
	if opt.Uploads <= 0 {
		opt.Uploads = 72 * time.Hour
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{db: db, log: log, blobs: blobs, auth: auth, clock: c, opt: opt, busy: map[string]bool{}, fresh: map[string]upload{}}
}

// Descriptor names content: its media type, digest and size in bytes.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Platform     *Platform         `json:"platform,omitempty"`
	URLs         []string          `json:"urls,omitempty"`
}

// Platform is what an image runs on.
type Platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

func (s *Service) now() int64 { return s.clock.Now().UnixMilli() }

// mayPull is the authorisation of every read of one repository.
func (s *Service) mayPull(ctx context.Context, a identity.Actor, repository string) error {
	if err := checkName(repository); err != nil {
		return err
	}
	return s.require(ctx, a, repository, identity.Read)
}

func (s *Service) require(ctx context.Context, a identity.Actor, repository string, r identity.Role) error {
	if !a.Known() {
		return &Error{Code: CodeUnauthorized, Fault: fault.New(fault.Unauthentic, "Log in to use the registry.").
			WithNext("run docker login with a user name and a personal token")}
	}
	// The cluster's node pulls what was deployed, from every project; who may deploy what
	// was decided when the release was made.
	if a.Kind == identity.KindNode {
		if r == identity.Read {
			return nil
		}
		return fault.New(fault.Denied, "The cluster's node may pull images, and nothing else.")
	}
	if a.Kind == identity.KindPull {
		if r == identity.Read && repository == a.Name {
			return nil
		}
		return fault.New(fault.Denied, "This token pulls %s, and does nothing else.", a.Name)
	}
	if own(a, repository) {
		return nil
	}
	if err := s.auth.Require(ctx, a, ProjectOf(repository), r); err != nil {
		return fmt.Errorf("authorising %s for %s: %w", r, repository, err)
	}
	return nil
}

// OwnProject is the first segment of the platform's own repositories. No project may have
// that name, so that nobody but the platform reads or writes there; nodes pull, as always.
const OwnProject = "towpath"

func own(a identity.Actor, repository string) bool {
	return a.Kind == identity.KindSystem && ProjectOf(repository) == OwnProject
}

// mayPush is the authorisation of every write that may begin a repository: an
// administrator who pushes into a project that does not exist makes it.
func (s *Service) mayPush(ctx context.Context, a identity.Actor, repository string) error {
	if err := checkName(repository); err != nil {
		return err
	}
	if !a.Known() || a.Kind == identity.KindNode || a.Kind == identity.KindPull {
		return s.require(ctx, a, repository, identity.Write)
	}
	if own(a, repository) {
		return nil
	}
	if err := s.auth.EnsureProject(ctx, a, ProjectOf(repository)); err != nil {
		return fmt.Errorf("authorising a push to %s: %w", repository, err)
	}
	return nil
}

// mayDelete is the authorisation of every removal. Deleting takes evidence away, so
// that the right to push is not enough.
func (s *Service) mayDelete(ctx context.Context, a identity.Actor, repository string) error {
	if err := checkName(repository); err != nil {
		return err
	}
	return s.require(ctx, a, repository, identity.Maintain)
}

// Permit returns nil when the actor may do an action of the token specification in a
// repository, "pull", "push" or "delete", and otherwise why not, as a fault.
func (s *Service) Permit(ctx context.Context, a identity.Actor, repository, action string) error {
	role, ok := map[string]identity.Role{"pull": identity.Read, "push": identity.Write, "delete": identity.Maintain}[action]
	if !ok || !ValidName(repository) {
		return fault.New(fault.Denied, "There is no action %.20q on %.80q.", action, repository)
	}
	err := s.require(ctx, a, repository, role)
	if fault.Is(err, fault.NotFound) && a.Admin && a.Cap >= role {
		return nil // Who may make projects is asked when the push comes.
	}
	return err
}

// May reports whether Permit has nothing against it.
func (s *Service) May(ctx context.Context, a identity.Actor, repository, action string) (bool, error) {
	err := s.Permit(ctx, a, repository, action)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		return false, nil
	}
	return err == nil, err
}
