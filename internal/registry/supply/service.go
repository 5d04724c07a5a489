package supply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/registry/supply/provenance"
	"towpath.dev/towpath/internal/registry/supply/sbom"
	"towpath.dev/towpath/internal/registry/supply/scan"
	"towpath.dev/towpath/internal/registry/supply/sign"
	"towpath.dev/towpath/internal/store"
)

// Images is the registry as this package needs it. It acts with the rights of the
// system. A missing thing is a fault of kind NotFound.
type Images interface {
	// Manifest returns a manifest byte for byte with its media type.
	Manifest(ctx context.Context, repository, digest string) (raw []byte, mediaType string, err error)
	// OpenBlob reads a blob of the repository from its start.
	OpenBlob(ctx context.Context, repository, digest string) (io.ReadCloser, error)
	// PutReferrer stores a manifest whose subject is an image of the repository and
	// returns its digest. Equal referrers have equal digests.
	PutReferrer(ctx context.Context, repository string, r Referrer) (digest string, err error)
	// Referrers returns the digests of the image's referrers of an artifact type, at
	// most limit.
	Referrers(ctx context.Context, repository, digest, artifactType string, limit int) ([]string, error)
}

// Referrer is an artifact that says something about an image.
type Referrer struct {
	Subject      ociv1.Descriptor
	ArtifactType string
	Layers       []Layer
	Annotations  map[string]string
}

// Layer is one part of an artifact.
type Layer struct {
	MediaType string
	Data      []byte
}

// Runs answers for the pipeline's records.
type Runs interface {
	// Provenance returns the facts of a run, NotFound when there is no such run. Builder
	// may be left empty: it is then the installation's URL.
	Provenance(ctx context.Context, run int64) (provenance.Facts, error)
}

// Authoriser decides what an actor may do; identity.Service is one.
type Authoriser interface {
	// Require returns nil when a has at least role r in the project, else a fault.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	// RequireAdmin returns nil when a administers the installation, else a fault.
	RequireAdmin(ctx context.Context, a identity.Actor) error
}

// Queue is durable work; job.Queue is one.
type Queue interface {
	Enqueue(ctx context.Context, tx *store.Tx, kind, key string, payload any) error
	Work(ctx context.Context, kind string, parallel int, h job.Handler, log *slog.Logger) error
}

// Parts are what a Service is made of; all must be set.
type Parts struct {
	DB     *store.DB
	Log    *event.Log
	Clock  clock.Clock
	Queue  Queue
	Keys   sign.Keys
	Auth   Authoriser
	Images Images
	Runs   Runs
}

// Options are a Service's settings.
type Options struct {
	Builder string       // URL of the installation, the builder's id in provenance
	Temp    string       // directory for spooling one program at a time; "" is the system's
	Limits  sbom.Limits  // zero takes sbom.DefaultLimits
	Client  *http.Client // fetches advisories; nil takes one with a time limit
}

// Service makes and answers for the documents about images. It is safe for concurrent
// use.
type Service struct {
	db     *store.DB
	log    *event.Log
	clock  clock.Clock
	queue  Queue
	auth   Authoriser
	images Images
	runs   Runs

	opt        Options
	reader     *sbom.Reader
	advisories *advisory.Store
	matcher    *scan.Matcher
	authority  *sign.Authority
}

// New returns the service; it makes the signing authority at the first start.
func New(ctx context.Context, parts Parts, opt Options) (*Service, error) {
	if opt.Limits == (sbom.Limits{}) {
		opt.Limits = sbom.DefaultLimits()
	}
	if opt.Client == nil {
		opt.Client = &http.Client{Timeout: 10 * time.Minute}
	}
	authority, err := sign.Open(ctx, parts.DB, parts.Keys, parts.Clock)
	if err != nil {
		return nil, err
	}
	advisories := advisory.New(parts.DB)
	return &Service{
		db: parts.DB, log: parts.Log, clock: parts.Clock, queue: parts.Queue, auth: parts.Auth, images: parts.Images, runs: parts.Runs,
		opt: opt, reader: sbom.NewReader(opt.Temp, opt.Limits), advisories: advisories,
		matcher: scan.New(parts.DB, advisories), authority: authority,
	}, nil
}

// The kinds of jobs.
const (
	kindImage = "supply.image" // make what is missing of one image in one repository
	kindJudge = "supply.judge" // judge images anew after advisories changed
)

// actor is who the logbook names for what this package does by itself.
const actor = identity.KindSystem + ":supply"

// Run loads the built-in advisories if they are newer than the stored ones, then
// follows the logbook and does the work until ctx ends; it then returns nil.
func (s *Service) Run(ctx context.Context, log *slog.Logger) error {
	if err := s.LoadSeed(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	start := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, err)
			}
		})
	}
	start(func() error { return s.log.Consume(ctx, "supply", s.OnEvent, log) })
	start(func() error { return s.queue.Work(ctx, kindImage, 2, s.workImage, log) })
	start(func() error { return s.queue.Work(ctx, kindJudge, 1, s.workJudge, log) })
	wg.Wait()
	return failed
}

// imageJob is the payload of kindImage.
type imageJob struct {
	Repository string `json:"repository"`
	Image      string `json:"image"`
}

// OnEvent takes one event of the logbook: it notes a pushed image and enqueues its
// work, and forgets a deleted one. It is an event.Handler.
func (s *Service) OnEvent(ctx context.Context, tx *store.Tx, e event.Event) error {
	switch e.Type {
	case event.TypeImagePushed:
		var p event.ImagePushed
		if err := e.Into(&p); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO supply_push (repository, image, project, media_type, pushed, run, announced) VALUES (?,?,?,?,?,?,'')
			ON CONFLICT (repository, image) DO UPDATE SET run = CASE WHEN excluded.run = 0 THEN supply_push.run ELSE excluded.run END`,
			p.Repository, p.Digest, e.Project, p.MediaType, e.Time.UnixMilli(), p.Run)
		if err != nil {
			return fmt.Errorf("noting the push of %s: %w", p.Digest, err)
		}
		return s.queue.Enqueue(ctx, tx, kindImage, p.Repository+"@"+p.Digest, imageJob{Repository: p.Repository, Image: p.Digest})
	case event.TypeImageDeleted:
		var p event.ImageDeleted
		if err := e.Into(&p); err != nil {
			return err
		}
		if p.Digest == "" || p.Tag != "" {
			return nil // A tag went away, the image is still there.
		}
		return s.forget(ctx, tx, p.Repository, p.Digest)
	}
	return nil
}

func (s *Service) forget(ctx context.Context, tx *store.Tx, repository, image string) error {
	for _, q := range []string{`DELETE FROM supply_document WHERE repository = ? AND image = ?`, `DELETE FROM supply_push WHERE repository = ? AND image = ?`} {
		if _, err := tx.Exec(ctx, q, repository, image); err != nil {
			return fmt.Errorf("forgetting image %s: %w", image, err)
		}
	}
	var left int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM supply_push WHERE image = ?`, image).Scan(&left); err != nil || left > 0 {
		return err
	}
	return s.matcher.Forget(ctx, tx, image)
}

func (s *Service) workImage(ctx context.Context, payload json.RawMessage) error {
	var j imageJob
	if err := json.Unmarshal(payload, &j); err != nil {
		return job.Fatal(fmt.Errorf("decoding the job: %w", err))
	}
	return s.Process(ctx, j.Repository, j.Image)
}
