package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// maxConfig is the largest image config that is read, in bytes.
const maxConfig = 4 << 20

// maxImages is how many images one listing returns.
const maxImages = 1000

// Image is an image for people: what stands in the tables, and in its documents.
type Image struct {
	Manifest
	Tags      []string
	Platforms []Platforms // one for an image, each of an index; not in a listing
	Layers    []Descriptor
	Config    Config
	Referrers []Manifest // newest first; not in a listing
}

// Platforms is one platform's image of an index.
type Platforms struct {
	Platform
	Digest string
	Bytes  int64 // compressed
}

// Config is the part of an image's config that people ask about.
type Config struct {
	Created      time.Time
	Author       string
	User         string
	Env          []string
	Entrypoint   []string
	Cmd          []string
	WorkingDir   string
	ExposedPorts []string
	Labels       map[string]string
}

// Images lists the images and indexes of a project, newest first, at most 1,000. Manifests
// that only an index names are left out, and so are referrers and other artifacts.
func (s *Service) Images(ctx context.Context, a identity.Actor, project string) ([]Image, error) {
	if err := s.require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	ms, err := readManifests(ctx, s.db, `SELECT `+manifestColumns+` FROM registry_manifest m JOIN registry_repository r ON r.name = m.repository
		WHERE r.project = ? AND m.kind <> ? AND m.subject = ''
		AND NOT EXISTS (SELECT 1 FROM registry_reference p WHERE p.repository = m.repository AND p.digest = m.digest AND p.kind = 'manifest')
		ORDER BY m.pushed DESC, m.digest LIMIT ?`, project, KindArtifact, maxImages)
	if err != nil {
		return nil, err
	}
	tags, err := s.tagsOf(ctx, project)
	if err != nil {
		return nil, err
	}
	out := make([]Image, len(ms))
	for i, m := range ms {
		out[i] = Image{Manifest: m, Tags: tags[m.Repository+"@"+m.Digest]}
	}
	return out, nil
}

// tagsOf returns the tags of a project's manifests, by "repository@digest", newest first.
func (s *Service) tagsOf(ctx context.Context, project string) (map[string][]string, error) {
	rows, err := s.db.Query(ctx, `SELECT t.repository, t.digest, t.name FROM registry_tag t JOIN registry_repository r ON r.name = t.repository
		WHERE r.project = ? ORDER BY t.updated DESC, t.name`, project)
	if err != nil {
		return nil, fmt.Errorf("listing tags of %s: %w", project, err)
	}
	defer rows.Close()
	out := map[string][]string{}
	for rows.Next() {
		var repository, digest, name string
		if err := rows.Scan(&repository, &digest, &name); err != nil {
			return nil, fmt.Errorf("listing tags of %s: %w", project, err)
		}
		out[repository+"@"+digest] = append(out[repository+"@"+digest], name)
	}
	return out, rows.Err()
}

// Image returns one image, by tag or digest, with its layers, config, platforms and
// referrers. For an index layers and config are empty. It works for artifacts too.
func (s *Service) Image(ctx context.Context, a identity.Actor, repository, reference string) (Image, error) {
	m, body, err := s.ManifestBytes(ctx, a, repository, reference)
	if err != nil {
		return Image{}, err
	}
	img := Image{Manifest: m}
	if img.Tags, err = strings1(ctx, s.db, `SELECT name FROM registry_tag WHERE repository = ? AND digest = ? ORDER BY updated DESC, name`, repository, m.Digest); err != nil {
		return Image{}, fmt.Errorf("reading tags of %s: %w", m.Digest, err)
	}
	img.Referrers, err = readManifests(ctx, s.db, `SELECT `+manifestColumns+` FROM registry_manifest m WHERE m.repository = ? AND m.subject = ?
		ORDER BY m.pushed DESC, m.digest LIMIT ?`, repository, m.Digest, MaxPage)
	if err != nil {
		return Image{}, err
	}
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		// Only a manifest of an unknown type may be something else than JSON of this shape.
		return img, nil
	}
	img.Layers = d.Layers
	switch m.Kind {
	case KindImage:
		err = s.readConfig(ctx, &img)
	case KindIndex:
		err = s.readPlatforms(ctx, &img, d.Manifests)
	}
	return img, err
}

// configFile is an image config, in the fields that are shown.
type configFile struct {
	Platform
	Created time.Time `json:"created"`
	Author  string    `json:"author"`
	Config  struct {
		User         string              `json:"User"`
		Env          []string            `json:"Env"`
		Entrypoint   []string            `json:"Entrypoint"`
		Cmd          []string            `json:"Cmd"`
		WorkingDir   string              `json:"WorkingDir"`
		ExposedPorts map[string]struct{} `json:"ExposedPorts"`
		Labels       map[string]string   `json:"Labels"`
	} `json:"config"`
}

func (s *Service) readConfig(ctx context.Context, img *Image) error {
	b, err := s.blobs.Bytes(ctx, img.Manifest.Config, maxConfig)
	if fault.Is(err, fault.TooLarge) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the config of %s: %w", img.Digest, err)
	}
	var c configFile
	if err := json.Unmarshal(b, &c); err != nil {
		// Nobody promised that a config is valid; the image is shown without it.
		return nil
	}
	img.Config = Config{
		Created: c.Created, Author: c.Author, User: c.Config.User, Env: c.Config.Env, Entrypoint: c.Config.Entrypoint, Cmd: c.Config.Cmd,
		WorkingDir: c.Config.WorkingDir, ExposedPorts: sortedKeys(c.Config.ExposedPorts), Labels: c.Config.Labels,
	}
	img.Platforms = []Platforms{{Platform: c.Platform, Digest: img.Digest, Bytes: img.Bytes}}
	return nil
}

func (s *Service) readPlatforms(ctx context.Context, img *Image, children []Descriptor) error {
	for _, c := range children {
		p := Platforms{Digest: c.Digest}
		if c.Platform != nil {
			p.Platform = *c.Platform
		}
		m, err := resolve(ctx, s.db, img.Repository, c.Digest)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		p.Bytes = m.Bytes
		img.Platforms = append(img.Platforms, p)
	}
	return nil
}
