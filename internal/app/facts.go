package app

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/supply"
)

// facts keeps what policy knows of images up to date: everything that lies in the registry
// at the start, then what the logbook says. Policy answers from memory; an image that a
// question names and that is not in memory yet is looked up before it is answered.
type facts struct {
	registry pusher
	trust    truster
	origin   origins
	memory   memory
	log      *event.Log
	logger   *slog.Logger

	mu     sync.Mutex
	images map[string]rule.Image // by digest
}

// pusher lists what was pushed; registry.Service is one.
type pusher interface {
	// EachImage calls do with the digest of every image until it fails.
	EachImage(ctx context.Context, do func(digest string) error) error
	// RepositoriesOf lists the repositories in which an image lies.
	RepositoriesOf(ctx context.Context, digest string) ([]string, error)
}

// truster says what is known of an image in a repository; supply.Service is one.
type truster interface {
	Trust(ctx context.Context, repository, image string) (supply.Trust, error)
}

// origins tells runs of pull requests from others; pipeline.Service is one.
type origins interface {
	// OfPull reports whether a run judged a pull request: what it built was not reviewed.
	OfPull(ctx context.Context, run int64) (bool, error)
}

// memory is where policy keeps images; policy.Service is one.
type memory interface {
	PutImage(ctx context.Context, i rule.Image) error
}

func newFacts(r pusher, t truster, o origins, m memory, log *event.Log, logger *slog.Logger) *facts {
	return &facts{registry: r, trust: t, origin: o, memory: m, log: log, logger: logger, images: map[string]rule.Image{}}
}

// run loads and follows until ctx ends.
func (f *facts) run(ctx context.Context) error {
	seq, _, err := f.log.Head(ctx)
	if err != nil {
		return err
	}
	err = f.registry.EachImage(ctx, func(digest string) error {
		_, err := f.learn(ctx, digest)
		return err
	})
	if err != nil && ctx.Err() == nil {
		f.logger.Error("not all images are known to policy yet; they are looked up when they are named", "error", err)
	}
	for ctx.Err() == nil {
		changed := f.log.Changed()
		events, err := f.log.Read(ctx, event.Query{After: seq})
		if err != nil {
			f.logger.Error("following images", "error", err)
		}
		for _, e := range events {
			seq = e.Seq
			for _, digest := range concerned(e) {
				if _, err := f.learn(ctx, digest); err != nil && ctx.Err() == nil {
					f.logger.Error("learning about an image", "image", digest, "error", err)
				}
			}
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(time.Second):
		}
	}
	return nil
}

// concerned returns the digests that an event may say something new of.
func concerned(e event.Event) []string {
	var p struct {
		Digest string `json:"digest"`
		Image  string `json:"image"`
	}
	switch e.Type {
	case event.TypeImagePushed, event.TypeImageDeleted:
		if e.Into(&p) == nil && p.Digest != "" {
			return []string{p.Digest}
		}
	case event.TypeImageSigned, event.TypeScanFinished:
		if e.Into(&p) == nil && p.Image != "" {
			return []string{p.Image}
		}
	}
	return nil
}

// learn asks what is known of an image and tells policy.
func (f *facts) learn(ctx context.Context, digest string) (rule.Image, error) {
	repositories, err := f.registry.RepositoriesOf(ctx, digest)
	if err != nil {
		return rule.Image{}, err
	}
	i := rule.Image{Digest: digest, Repositories: repositories, Fixable: []string{}}
	for _, r := range repositories {
		t, err := f.trust.Trust(ctx, r, digest)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return i, err
		}
		i.Signed, i.Scanned = i.Signed || t.Signed, i.Scanned || t.Scanned
		for _, s := range t.Fixable {
			if !slices.Contains(i.Fixable, s) {
				i.Fixable = append(i.Fixable, s)
			}
		}
	}
	if i.Signed {
		// The signature says which installation built it. Whether the code was merged says
		// the run that pushed it.
		if i.Signed, err = f.merged(ctx, digest); err != nil {
			return i, err
		}
	}
	// The platform vouches for what it made itself: nobody else can push to its repositories.
	if len(repositories) > 0 && !slices.ContainsFunc(repositories, func(r string) bool { return registry.ProjectOf(r) != registry.OwnProject }) {
		i.Signed = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.memory.PutImage(ctx, i); err != nil {
		return i, err
	}
	f.images[digest] = i
	return i, nil
}

// merged reports whether a run other than that of a pull request pushed an image.
func (f *facts) merged(ctx context.Context, digest string) (bool, error) {
	pushes, err := f.log.Read(ctx, event.Query{Subject: event.Of(event.KindImage, digest), Type: event.TypeImagePushed})
	if err != nil {
		return false, err
	}
	for _, e := range pushes {
		var p event.ImagePushed
		if err := e.Into(&p); err != nil || p.Run == 0 {
			continue
		}
		pull, err := f.origin.OfPull(ctx, p.Run)
		if err != nil {
			return false, err
		}
		if !pull {
			return true, nil
		}
	}
	return false, nil
}

// ensure makes sure that the images of an object are in memory. With patience it waits
// for those of our registry to be signed and scanned, which a push is followed by within
// moments.
func (f *facts) ensure(ctx context.Context, object map[string]any, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	var errs []error
	for _, digest := range digestsIn(object, 0) {
		for {
			f.mu.Lock()
			i, ok := f.images[digest]
			f.mu.Unlock()
			if ok && (patience == 0 || i.Signed && i.Scanned) {
				break
			}
			i, err := f.learn(ctx, digest)
			if err != nil {
				errs = append(errs, err)
				break
			}
			if len(i.Repositories) == 0 || i.Signed && i.Scanned || time.Now().After(deadline) {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return errors.Join(errs...)
}

var digestPattern = regexp.MustCompile(`@(sha256:[0-9a-f]{64})$`)

// digestsIn lists the digests of the images that an object names, whatever kind it is.
func digestsIn(v any, depth int) []string {
	if depth > 32 {
		return nil
	}
	var out []string
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			if s, ok := child.(string); ok && (k == "image" || k == "reference") {
				if m := digestPattern.FindStringSubmatch(strings.TrimSpace(s)); m != nil {
					out = append(out, m[1])
				}
				continue
			}
			out = append(out, digestsIn(child, depth+1)...)
		}
	case []any:
		for _, child := range v {
			out = append(out, digestsIn(child, depth+1)...)
		}
	}
	return out
}
