package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// pullWithin bounds the pull of one image.
const pullWithin = 30 * time.Minute

// image returns the name under which the engine has the image of a container, and pulls it when
// it has it not. What cannot be pulled is fault.Denied.
func (p *Pods) image(ctx context.Context, c protocol.Container, pulls []pool.Pull) (string, error) {
	e := p.engine
	if _, err := e.run(ctx, answerWithin, "image", "inspect", "--format", "{{.Id}}", c.Image); err == nil {
		return c.Image, nil
	}
	full := qualified(c.Image)
	if e.podman && full != c.Image {
		if _, err := e.run(ctx, answerWithin, "image", "inspect", "--format", "{{.Id}}", full); err == nil {
			return full, nil
		}
	}
	p.cfg.Note("Pulling " + full + ".")
	if err := p.pull(ctx, full, pulls); err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		return "", fault.New(fault.Denied, "The image %s of the container %s cannot be pulled: %v; check its name, or have %s pull it by hand", c.Image, or(c.Alias, c.Name), err, e.name)
	}
	return full, nil
}

// pull pulls an image. What opens its registry lies in a folder that is gone with the pull.
func (p *Pods) pull(ctx context.Context, image string, pulls []pool.Pull) (err error) {
	if len(pulls) == 0 {
		_, err := p.engine.run(ctx, pullWithin, "pull", "--quiet", image)
		return err
	}
	config, err := pool.DockerConfig(pulls)
	if err != nil {
		return fmt.Errorf("writing what opens the registries: %w", err)
	}
	dir, err := os.MkdirTemp(p.cfg.Dir, "pull-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		return err
	}
	more := []string{"REGISTRY_AUTH_FILE=" + filepath.Join(dir, "config.json")}
	if !p.engine.podman {
		// With another folder of settings the client would forget which daemon is the user's.
		if host, err := p.engine.run(ctx, answerWithin, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"); err == nil && host != "" {
			more = append(more, "DOCKER_HOST="+host)
		}
		more = append(more, "DOCKER_CONFIG="+dir)
	}
	_, err = p.engine.runWith(ctx, pullWithin, more, "pull", "--quiet", image)
	return err
}

// qualified is the name of an image with its registry: a name without one means Docker Hub, as
// it does with the service, whatever the engine searches.
func qualified(image string) string {
	first, _, more := strings.Cut(image, "/")
	switch {
	case !more:
		return "docker.io/library/" + image
	case strings.ContainsAny(first, ".:") || first == "localhost":
		return image
	}
	return "docker.io/" + image
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
