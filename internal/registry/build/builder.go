package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/tonistiigi/fsutil"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
)

// Images tells what the registry has; registry.Service is one.
type Images interface {
	// ManifestRecord resolves a tag or digest in a repository.
	ManifestRecord(ctx context.Context, a identity.Actor, repository, reference string) (registry.Manifest, error)
}

// Builder builds images. It is safe for concurrent use. Run must run beside it.
type Builder struct {
	cfg    Config
	images Images
	clock  clock.Clock
	log    *slog.Logger

	mu     sync.Mutex
	client *client.Client // nil while the daemon is not ready
	down   error          // why, when that is known
	change chan struct{}  // closed and replaced when either changes
}

// New returns a builder whose daemon does not run yet.
func New(cfg Config, images Images, c clock.Clock, log *slog.Logger) *Builder {
	return &Builder{cfg: cfg, images: images, clock: c, log: log, change: make(chan struct{})}
}

// Auth is what the build pulls from and pushes to our registry with.
type Auth struct {
	User   string // "run" for a job token
	Secret string
}

// Request is one build.
type Request struct {
	// Context is the files that the Dockerfile may copy, as a tar stream; ContextDir a
	// folder of this host instead. One of the two. A .dockerignore in it is obeyed.
	Context    io.Reader
	ContextDir string
	// Dockerfile is its path within the context, "" for "Dockerfile". DockerfileText is the
	// file itself, for one that lies outside of the context.
	Dockerfile     string
	DockerfileText []byte

	Args     map[string]string // ARG values
	Labels   map[string]string // labels of the image, besides the Dockerfile's
	Target   string            // stage to build, "" for the last
	Platform string            // "linux/arm64"; "" for the host's
	NoCache  bool              // build every step again
	Pull     bool              // ask for newer base images

	Repository string // "shop/web"
	Tags       []string
	Auth       Auth

	// Layout is a folder that the image goes to instead of our registry, as an OCI image
	// layout beside the images that are there, under Names: full names such as
	// "images.example.com/shop/web:1". Repository and Tags then mean nothing.
	Layout string
	Names  []string
	// Logins open other registries that base images come from, by their hosts.
	Logins map[string]Auth
}

// Result is the image that was built and pushed.
type Result struct {
	Digest string
	Size   int64 // bytes of config and layers, compressed; 0 in a layout
}

// readyWait is how long a build waits for a daemon that is starting.
const readyWait = 30 * time.Second

// Build builds and pushes. progress is called with one line after the other, never
// at the same time, while the build goes on; it may be nil. A Dockerfile that does not build is a
// fault of kind Invalid whose message is the build's own; a full disk or a daemon that is
// down is Unavailable. The caller has authorised the build; the push is authorised by the
// registry, by Auth.
func (b *Builder) Build(ctx context.Context, r Request, progress func(line string)) (Result, error) {
	if err := r.check(); err != nil {
		return Result{}, err
	}
	c, err := b.ready(ctx)
	if err != nil {
		return Result{}, err
	}
	work, err := os.MkdirTemp(filepath.Join(b.cfg.Root, "tmp"), "build-")
	if err != nil {
		return Result{}, full(fmt.Errorf("making a folder for the build: %w", err))
	}
	defer b.sweep(work)
	opt, err := b.options(r, work)
	if err != nil {
		return Result{}, full(err)
	}
	if progress == nil {
		progress = func(string) {}
	}
	p := newPrinter(progress)
	status, printed := make(chan *client.SolveStatus, 64), make(chan struct{})
	go func() {
		defer close(printed)
		for s := range status {
			p.print(s)
		}
		p.flush()
	}()
	resp, err := c.Solve(ctx, nil, opt, status)
	<-printed
	if err != nil {
		return Result{}, b.explain(ctx, err, p)
	}
	digest := resp.ExporterResponse["containerimage.digest"]
	if r.Layout != "" {
		return Result{Digest: digest}, nil
	}
	m, err := b.images.ManifestRecord(ctx, identity.SystemActor("builder"), r.Repository, digest)
	if err != nil {
		return Result{}, fmt.Errorf("looking up the image that was built: %w", err)
	}
	return Result{Digest: digest, Size: m.Bytes}, nil
}

func (b *Builder) sweep(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		b.log.Warn("a build's folder could not be removed", "error", err)
	}
}

// check refuses what would not do or would reach outside of the context.
func (r Request) check() error {
	bad := func(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }
	switch {
	case (r.Context == nil) == (r.ContextDir == ""):
		return bad("A build takes its context either as a stream or as a folder.")
	case r.Layout == "" && !registry.ValidName(r.Repository):
		return bad("%.80q is not the name of an image repository.", r.Repository)
	case r.Layout == "" && len(r.Tags) == 0:
		return bad("A build needs at least one tag.").(*fault.Error).WithNext("set the task's input tags")
	case r.Dockerfile != "" && !filepath.IsLocal(filepath.FromSlash(r.Dockerfile)):
		return bad("The Dockerfile %.200q is not inside of the build context.", r.Dockerfile)
	case len(r.DockerfileText) > maxDockerfile:
		return bad("The Dockerfile is larger than %d bytes.", maxDockerfile)
	case strings.Contains(r.Platform, ","):
		return bad("A build makes an image for one platform, not for %.80q.", r.Platform)
	}
	for _, t := range r.Tags {
		if !registry.ValidTag(t) {
			return bad("%.150q is not a tag: it takes letters, digits, '_', '.' and '-', at most 128.", t)
		}
	}
	for k := range r.Args {
		if k == "" || strings.ContainsAny(k, "=\x00") {
			return bad("%.80q is not the name of a build argument.", k)
		}
	}
	return nil
}

// options turns a request into what BuildKit's Dockerfile frontend takes.
func (b *Builder) options(r Request, work string) (client.SolveOpt, error) {
	dir, err := r.contextDir(work)
	if err != nil {
		return client.SolveOpt{}, err
	}
	files, err := fsutil.NewFS(dir)
	if err != nil {
		return client.SolveOpt{}, fmt.Errorf("reading the build context: %w", err)
	}
	name := path.Clean(filepath.ToSlash(r.Dockerfile))
	if r.Dockerfile == "" {
		name = "Dockerfile"
	}
	recipe := files
	if r.DockerfileText != nil {
		name = "Dockerfile"
		if recipe, err = recipeFS(work, r.DockerfileText); err != nil {
			return client.SolveOpt{}, err
		}
	}
	attrs := map[string]string{
		"filename": name,
		"cmdline":  "towpath", // its presence makes the frontend ignore "# syntax=" lines
	}
	for k, v := range r.Args {
		attrs["build-arg:"+k] = v
	}
	for k, v := range r.Labels {
		attrs["label:"+k] = v
	}
	for k, v := range map[string]string{"target": r.Target, "platform": r.Platform} {
		if v != "" {
			attrs[k] = v
		}
	}
	if r.NoCache {
		attrs["no-cache"] = ""
	}
	if r.Pull {
		attrs["image-resolve-mode"] = "pull"
	}
	return client.SolveOpt{
		Frontend: "dockerfile.v0", FrontendAttrs: attrs,
		LocalMounts: map[string]fsutil.FS{"context": files, "dockerfile": recipe},
		// The context is copied from a folder that is new each time: the key lets the daemon
		// compare it with what it was last time for the same repository.
		SharedKey: r.Repository,
		Session:   []session.Attachable{b.credentials(r)},
		Exports:   []client.ExportEntry{b.export(r)},
	}, nil
}

func (b *Builder) credentials(r Request) *credentials {
	c := &credentials{logins: map[string]Auth{}}
	maps.Copy(c.logins, r.Logins)
	if r.Auth != (Auth{}) {
		c.logins[b.cfg.Host] = r.Auth
	}
	return c
}

// export is where the image goes.
func (b *Builder) export(r Request) client.ExportEntry {
	if r.Layout != "" {
		attrs := map[string]string{"oci-mediatypes": "true", "tar": "false"}
		if len(r.Names) > 0 {
			attrs["name"] = strings.Join(r.Names, ",")
		}
		return client.ExportEntry{Type: client.ExporterOCI, Attrs: attrs, OutputDir: r.Layout}
	}
	names := make([]string, 0, len(r.Tags))
	for _, t := range r.Tags {
		names = append(names, b.cfg.Host+"/"+r.Repository+":"+t)
	}
	return client.ExportEntry{Type: client.ExporterImage, Attrs: map[string]string{
		"name": strings.Join(names, ","), "push": "true", "oci-mediatypes": "true", "store": "false",
	}}
}

func recipeFS(work string, text []byte) (fsutil.FS, error) {
	dir := filepath.Join(work, "recipe")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("writing the Dockerfile: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), text, 0o600); err != nil {
		return nil, fmt.Errorf("writing the Dockerfile: %w", err)
	}
	return fsutil.NewFS(dir)
}

// ready returns the connection to the daemon, waiting for it when it is starting.
func (b *Builder) ready(ctx context.Context) (*client.Client, error) {
	deadline := time.NewTimer(readyWait)
	defer deadline.Stop()
	for {
		b.mu.Lock()
		c, down, change := b.client, b.down, b.change
		b.mu.Unlock()
		if c != nil {
			return c, nil
		}
		// A daemon that cannot run here will not be there in a while either.
		if err := b.cfg.check(); err != nil {
			return nil, err
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-deadline.C:
			if down == nil {
				down = fault.New(fault.Unavailable, "The image builder did not start in time.").WithNext("look into the builder's log %s", b.cfg.LogFile)
			}
			return nil, down
		}
	}
}

func (b *Builder) setUp(c *client.Client) { b.set(c, nil) }
func (b *Builder) setDown(reason error)   { b.set(nil, reason) }
func (b *Builder) set(c *client.Client, reason error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client != nil {
		if err := b.client.Close(); err != nil {
			b.log.Debug("closing the connection to buildkitd", "error", err)
		}
	}
	b.client, b.down = c, reason
	close(b.change)
	b.change = make(chan struct{})
}

// explain turns what BuildKit says into a fault that a person can act on.
func (b *Builder) explain(ctx context.Context, err error, p *printer) error {
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	if f := full(err); f != err {
		return f
	}
	text := err.Error()
	for _, s := range []string{"error reading from server: EOF", "connection refused", "transport is closing", "code = Unavailable"} {
		if strings.Contains(text, s) {
			return fault.Wrap(fault.Unavailable, err, "The image builder went away during the build.").WithNext("run the build again")
		}
	}
	if strings.Contains(text, "failed to push") && (strings.Contains(text, "authorization failed") || strings.Contains(text, "unauthorized") || strings.Contains(text, "denied") || strings.Contains(text, "that you may see")) {
		return fault.Wrap(fault.Denied, err, "The image was built, but its push was refused: these credentials may not push there.").
			WithNext("push into the job's own project")
	}
	p.source(err)
	return fault.Wrap(fault.Invalid, err, "The image build did not succeed: %s", firstLine(text))
}

// full turns an error that says that the disk is full into a fault that says so. BuildKit's
// errors come over a wire and keep their text only.
func full(err error) error {
	if err == nil || !strings.Contains(err.Error(), "no space left on device") {
		return err
	}
	return fault.Wrap(fault.Unavailable, err, "The disk that holds the build cache is full; no image was pushed.").
		WithNext("free space on the server's data folder, then run the build again")
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if len(s) > 500 {
		s = s[:500] + "…"
	}
	return s
}
