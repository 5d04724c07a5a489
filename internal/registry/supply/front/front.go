// Package front lets package supply use the registry: it puts referrers together from
// the registry's blobs and manifests, and acts with the rights of the system.
//
// It imports the standard library, the kernel, registry and supply.
package front

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/supply"
)

// Registry is the part of registry.Service that is used.
type Registry interface {
	ManifestBytes(ctx context.Context, a identity.Actor, repository, reference string) (registry.Manifest, []byte, error)
	OpenBlob(ctx context.Context, a identity.Actor, repository, digest string, offset int64) (io.ReadCloser, error)
	PutBlob(ctx context.Context, a identity.Actor, repository, digest string, r io.Reader) (size int64, err error)
	PutManifest(ctx context.Context, a identity.Actor, repository, reference, mediaType string, body []byte, tags ...string) (registry.Pushed, error)
	Referrers(ctx context.Context, a identity.Actor, repository, digest, artifactType, last string) (list []registry.Descriptor, more bool, err error)
}

// Images is the registry as supply needs it.
type Images struct {
	registry Registry
	actor    identity.Actor
}

var _ supply.Images = (*Images)(nil)

// New returns an adapter over the registry.
func New(r Registry) *Images { return &Images{registry: r, actor: identity.SystemActor("supply")} }

// Manifest returns a manifest byte for byte with its media type.
func (i *Images) Manifest(ctx context.Context, repository, ref string) ([]byte, string, error) {
	m, raw, err := i.registry.ManifestBytes(ctx, i.actor, repository, ref)
	return raw, m.MediaType, err
}

// OpenBlob reads a blob of the repository from its start.
func (i *Images) OpenBlob(ctx context.Context, repository, ref string) (io.ReadCloser, error) {
	return i.registry.OpenBlob(ctx, i.actor, repository, ref, 0)
}

// PutReferrer stores an OCI 1.1 artifact manifest: an image manifest with an artifact
// type, the empty config and a subject.
func (i *Images) PutReferrer(ctx context.Context, repository string, r supply.Referrer) (string, error) {
	config := ociv1.DescriptorEmptyJSON
	if err := i.put(ctx, repository, config.Digest, config.Data); err != nil {
		return "", err
	}
	m := ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, ArtifactType: r.ArtifactType,
		Config: config, Subject: &r.Subject, Annotations: r.Annotations,
	}
	for _, l := range r.Layers {
		d := digest.FromBytes(l.Data)
		if err := i.put(ctx, repository, d, l.Data); err != nil {
			return "", err
		}
		m.Layers = append(m.Layers, ociv1.Descriptor{MediaType: l.MediaType, Digest: d, Size: int64(len(l.Data))})
	}
	body, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encoding the manifest: %w", err)
	}
	ref := digest.FromBytes(body).String()
	if _, err := i.registry.PutManifest(ctx, i.actor, repository, ref, m.MediaType, body); err != nil {
		return "", fmt.Errorf("storing the manifest: %w", err)
	}
	return ref, nil
}

func (i *Images) put(ctx context.Context, repository string, d digest.Digest, data []byte) error {
	if _, err := i.registry.PutBlob(ctx, i.actor, repository, d.String(), bytes.NewReader(data)); err != nil {
		return fmt.Errorf("storing blob %s: %w", d, err)
	}
	return nil
}

// Referrers returns the digests of an image's referrers of an artifact type.
func (i *Images) Referrers(ctx context.Context, repository, ref, artifactType string, limit int) ([]string, error) {
	var out []string
	last := ""
	for {
		list, more, err := i.registry.Referrers(ctx, i.actor, repository, ref, artifactType, last)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			if out = append(out, d.Digest); len(out) == limit {
				return out, nil
			}
			last = d.Digest
		}
		if !more || len(list) == 0 {
			return out, nil
		}
	}
}
