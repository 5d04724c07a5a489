package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Manifest is a stored manifest's record.
type Manifest struct {
	Repository   string
	Digest       string
	MediaType    string
	ArtifactType string // artifactType, else the config's media type
	Kind         string // KindImage, KindIndex or KindArtifact
	Subject      string // digest of its subject, "" when it is no referrer
	Config       string // digest of its config, "" for an index
	Annotations  map[string]string
	Size         int64 // of the document itself
	Bytes        int64 // of everything that it references, compressed, as pushed
	Pushed       time.Time
	Pusher       string // the actor who pushed it first, "user:ada"
	Run          int64  // the run that pushed it last, 0 for none
}

// ManifestRecord resolves a tag or digest.
func (s *Service) ManifestRecord(ctx context.Context, a identity.Actor, repository, reference string) (Manifest, error) {
	if err := s.mayPull(ctx, a, repository); err != nil {
		return Manifest{}, err
	}
	return resolve(ctx, s.db, repository, reference)
}

// ManifestBytes returns a manifest with the document as it was pushed, byte for byte.
func (s *Service) ManifestBytes(ctx context.Context, a identity.Actor, repository, reference string) (Manifest, []byte, error) {
	m, err := s.ManifestRecord(ctx, a, repository, reference)
	if err != nil {
		return Manifest{}, nil, err
	}
	b, err := s.blobs.Bytes(ctx, m.Digest, MaxManifest)
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("reading manifest %s: %w", m.Digest, err)
	}
	return m, b, nil
}

// BlobBytes returns a whole blob of at most limit bytes.
func (s *Service) BlobBytes(ctx context.Context, a identity.Actor, repository, digest string, limit int64) ([]byte, error) {
	if _, err := s.BlobSize(ctx, a, repository, digest); err != nil {
		return nil, err
	}
	b, err := s.blobs.Bytes(ctx, digest, limit)
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", digest, err)
	}
	return b, nil
}

const manifestColumns = `m.repository, m.digest, m.media_type, m.artifact_type, m.kind, m.subject, m.config, m.annotations, m.size, m.bytes, m.pushed, m.pusher, m.run`

func resolve(ctx context.Context, h store.Handle, repository, reference string) (Manifest, error) {
	query := `SELECT ` + manifestColumns + ` FROM registry_manifest m WHERE m.repository = ? AND m.digest = ?`
	if strings.Contains(reference, ":") {
		if err := checkDigest(reference); err != nil {
			return Manifest{}, err
		}
	} else {
		if !ValidTag(reference) {
			return Manifest{}, manifestUnknown(repository, reference)
		}
		query = `SELECT ` + manifestColumns + ` FROM registry_tag t JOIN registry_manifest m ON m.repository = t.repository AND m.digest = t.digest
			WHERE t.repository = ? AND t.name = ?`
	}
	m, err := scanManifest(h.QueryRow(ctx, query, repository, reference))
	if errors.Is(err, sql.ErrNoRows) {
		return Manifest{}, manifestUnknown(repository, reference)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("reading manifest %s of %s: %w", reference, repository, err)
	}
	return m, nil
}

func scanManifest(row interface{ Scan(...any) error }) (Manifest, error) {
	var m Manifest
	var notes string
	var pushed int64
	err := row.Scan(&m.Repository, &m.Digest, &m.MediaType, &m.ArtifactType, &m.Kind, &m.Subject, &m.Config, &notes, &m.Size, &m.Bytes, &pushed, &m.Pusher, &m.Run)
	if err != nil {
		return Manifest{}, err
	}
	m.Pushed = time.UnixMilli(pushed).UTC()
	if notes != "{}" {
		if err := json.Unmarshal([]byte(notes), &m.Annotations); err != nil {
			return Manifest{}, fmt.Errorf("decoding annotations of %s: %w", m.Digest, err)
		}
	}
	return m, nil
}

func readManifests(ctx context.Context, h store.Handle, query string, args ...any) ([]Manifest, error) {
	rows, err := h.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("listing manifests: %w", err)
	}
	defer rows.Close()
	var out []Manifest
	for rows.Next() {
		m, err := scanManifest(rows)
		if err != nil {
			return nil, fmt.Errorf("listing manifests: %w", err)
		}
		out = append(out, m)
	}
	return out, rows.Err()
}
