package supply

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry/supply/sbom"
	"towpath.dev/towpath/internal/store"
)

// Limits on the shape of an image.
const (
	maxLayers    = 1000
	maxPlatforms = 64
)

const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// packages lists what an image holds, reading only layers that were never read. For
// an index it is the sum of its platforms. problem says why the image cannot be read
// when its bytes are at fault; err is for failures that another attempt may not have.
func (s *Service) packages(ctx context.Context, repository, digest string) (out []sbom.Package, problem string, err error) {
	out, err = s.list(ctx, repository, digest, true)
	var f *fault.Error
	if errors.As(err, &f) && (f.Kind == fault.TooLarge || f.Kind == fault.Invalid) {
		return nil, f.Message, nil
	}
	return out, "", err
}

func (s *Service) list(ctx context.Context, repository, digest string, mayIndex bool) ([]sbom.Package, error) {
	raw, mediaType, err := s.images.Manifest(ctx, repository, digest)
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", digest, err)
	}
	switch mediaType {
	case ociv1.MediaTypeImageIndex, dockerIndex:
		if !mayIndex {
			return nil, fault.New(fault.Invalid, "The image is an index of indexes, which is not supported.")
		}
		return s.index(ctx, repository, raw)
	case ociv1.MediaTypeImageManifest, dockerManifest:
		return s.image(ctx, repository, raw)
	}
	return nil, fault.New(fault.Invalid, "The manifest's media type %q is not an image's.", mediaType)
}

func (s *Service) index(ctx context.Context, repository string, raw []byte) ([]sbom.Package, error) {
	var idx ociv1.Index
	if err := json.Unmarshal(raw, &idx); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The index cannot be read.")
	}
	if len(idx.Manifests) > maxPlatforms {
		return nil, fault.New(fault.TooLarge, "The index has over %d platforms.", maxPlatforms)
	}
	var out []sbom.Package
	for _, m := range idx.Manifests {
		// BuildKit keeps attestations as "platform" unknown/unknown.
		if m.Platform != nil && m.Platform.OS == "unknown" {
			continue
		}
		list, err := s.list(ctx, repository, m.Digest.String(), false)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			if !slices.ContainsFunc(out, func(o sbom.Package) bool { return o.PURL == p.PURL }) {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

func (s *Service) image(ctx context.Context, repository string, raw []byte) ([]sbom.Package, error) {
	var m ociv1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The manifest cannot be read.")
	}
	if len(m.Layers) > maxLayers {
		return nil, fault.New(fault.TooLarge, "The image has over %d layers.", maxLayers)
	}
	var layers []sbom.Layer
	for _, l := range m.Layers {
		if !strings.Contains(l.MediaType, "tar") {
			continue // An artifact's part, not a file system.
		}
		c, err := s.layer(ctx, repository, l.Digest.String())
		if err != nil {
			return nil, err
		}
		layers = append(layers, sbom.Layer{Digest: l.Digest.String(), Content: c})
	}
	return sbom.Merge(layers), nil
}

// layer returns what a layer brings, from the cache or by reading it once.
func (s *Service) layer(ctx context.Context, repository, digest string) (sbom.Content, error) {
	var c sbom.Content
	var text string
	err := s.db.QueryRow(ctx, `SELECT content FROM supply_layer WHERE digest = ? AND version = ?`, digest, sbom.Version).Scan(&text)
	if err == nil {
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			return c, fmt.Errorf("decoding the content of layer %s: %w", digest, err)
		}
		return c, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("looking up layer %s: %w", digest, err)
	}
	blob, err := s.images.OpenBlob(ctx, repository, digest)
	if err != nil {
		return c, fmt.Errorf("opening layer %s: %w", digest, err)
	}
	defer blob.Close()
	if c, err = s.reader.Layer(ctx, blob); err != nil {
		return c, fmt.Errorf("reading layer %s: %w", digest, err)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return c, fmt.Errorf("encoding the content of layer %s: %w", digest, err)
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO supply_layer (digest, version, content, read_at) VALUES (?,?,?,?) ON CONFLICT (digest, version) DO NOTHING`,
			digest, sbom.Version, string(b), s.clock.Now().UnixMilli())
		return err
	})
	if err != nil {
		return c, fmt.Errorf("keeping the content of layer %s: %w", digest, err)
	}
	return c, nil
}
