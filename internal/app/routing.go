package app

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/registry"
)

// agentRepository holds the image of the platform's own program; the registry lets nobody
// but the platform push there.
const agentRepository = registry.OwnProject + "/agent"

// agentImage makes the image that routers and session pods run from the program beside the
// server's own, and puts it into our registry.
type agentImage struct {
	registry *registry.Service
	program  string // path of towpath-agent
	host     string // of our registry in image names

	mu   sync.Mutex
	made time.Time // modification time of the program that ref was made from
	size int64
	ref  string
}

var _ deploy.AgentImages = (*agentImage)(nil)

func (a *App) newAgentImage() *agentImage {
	return &agentImage{registry: a.Registry, program: filepath.Join(a.cfg.Programs, "towpath-agent"), host: hostOf(a.URL)}
}

// AgentImage returns the image by digest. The same program gives the same image.
func (i *agentImage) AgentImage(ctx context.Context) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	info, err := os.Stat(i.program)
	if err != nil {
		return "", fault.Wrap(fault.Unavailable, err, "The program towpath-agent is not beside the server, so there is no image for routers and sessions.").
			WithNext("put it into the folder of the other programs")
	}
	if i.ref != "" && info.ModTime().Equal(i.made) && info.Size() == i.size {
		return i.ref, nil
	}
	program, err := os.ReadFile(i.program)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", i.program, err)
	}
	image, err := scratchImage("towpath-agent", program)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(program)
	digest, err := i.put(ctx, image, hex.EncodeToString(sum[:6]))
	if err != nil {
		return "", err
	}
	i.made, i.size, i.ref = info.ModTime(), info.Size(), i.host+"/"+agentRepository+"@"+digest
	return i.ref, nil
}

// put stores an image under a tag and returns its digest. The tag keeps it from being
// collected while routers of that version may still be started.
func (i *agentImage) put(ctx context.Context, image v1.Image, tag string) (string, error) {
	actor := identity.SystemActor("routing")
	digest, err := image.Digest()
	if err != nil {
		return "", fmt.Errorf("hashing the image of the agent: %w", err)
	}
	if got, err := i.registry.ManifestRecord(ctx, actor, agentRepository, tag); err == nil && got.Digest == digest.String() {
		return got.Digest, nil
	}
	layers, err := image.Layers()
	if err != nil {
		return "", fmt.Errorf("making the image of the agent: %w", err)
	}
	for _, l := range layers {
		d, err := l.Digest()
		if err != nil {
			return "", fmt.Errorf("hashing the image of the agent: %w", err)
		}
		r, err := l.Compressed()
		if err != nil {
			return "", fmt.Errorf("packing the image of the agent: %w", err)
		}
		_, err = i.registry.PutBlob(ctx, actor, agentRepository, d.String(), r)
		if err := errors.Join(err, r.Close()); err != nil {
			return "", fmt.Errorf("storing the image of the agent: %w", err)
		}
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return "", fmt.Errorf("making the image of the agent: %w", err)
	}
	name, err := image.ConfigName()
	if err != nil {
		return "", fmt.Errorf("making the image of the agent: %w", err)
	}
	if _, err := i.registry.PutBlob(ctx, actor, agentRepository, name.String(), bytes.NewReader(config)); err != nil {
		return "", fmt.Errorf("storing the image of the agent: %w", err)
	}
	manifest, err := image.RawManifest()
	if err != nil {
		return "", fmt.Errorf("making the image of the agent: %w", err)
	}
	if _, err := i.registry.PutManifest(ctx, actor, agentRepository, tag, string(types.OCIManifestSchema1), manifest); err != nil {
		return "", fmt.Errorf("storing the image of the agent: %w", err)
	}
	return digest.String(), nil
}

// scratchImage makes an image of one layer with one static program as its entry point. It
// depends on nothing but the program: no time, no user of this host.
func scratchImage(name string, program []byte) (v1.Image, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	header := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(header); err != nil {
		return nil, fmt.Errorf("packing %s: %w", name, err)
	}
	if _, err := w.Write(program); err != nil {
		return nil, fmt.Errorf("packing %s: %w", name, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("packing %s: %w", name, err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", name, err)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{Entrypoint: []string{"/" + name}, User: "65532:65532"},
	})
	if err != nil {
		return nil, fmt.Errorf("making an image of %s: %w", name, err)
	}
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		return nil, fmt.Errorf("making an image of %s: %w", name, err)
	}
	return image, nil
}

// canaries tells deploy how the canaries of pipelines end.
type canaries struct{ deploy *deploy.Service }

var _ pipeline.Deployments = canaries{}

// Settle promotes or rejects what a job left open.
func (c canaries) Settle(ctx context.Context, run int64, stage, job string, succeeded bool) error {
	return c.deploy.Settle(ctx, run, stage, job, succeeded)
}

// besides compares two releases that serve at the same time; *insight.Service does.
type besides interface {
	Beside(ctx context.Context, project, environment, release, stable string, since time.Time) ([]event.Operation, error)
}

// operations tells deploy which operations of a canary fail. What a request left behind
// arrives some seconds after it, so that it asks again while there is nothing to tell.
type operations struct{ insight besides }

var _ deploy.Operations = operations{}

// operationsPause is how long telemetry is given between two questions.
const operationsPause = 2 * time.Second

// Failing returns the operations of the canary that are worse. It waits for the first until
// ctx ends; then there are none.
func (o operations) Failing(ctx context.Context, canaryRelease, stableRelease string, since time.Time) ([]event.Operation, error) {
	parts := strings.Split(canaryRelease, "/")
	if len(parts) != 3 {
		return nil, fault.New(fault.Invalid, "%q is no release.", canaryRelease)
	}
	for {
		list, err := o.insight.Beside(ctx, parts[0], parts[1], canaryRelease, stableRelease, since)
		if err != nil || len(list) > 0 {
			return list, err
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(operationsPause):
		}
	}
}
