package registry

import (
	"context"
	"fmt"
	"io"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// BlobSize returns the size in bytes of a blob of the repository. To someone who may
// push it is also a promise: the collector leaves the blob alone for the grace period.
func (s *Service) BlobSize(ctx context.Context, a identity.Actor, repository, digest string) (int64, error) {
	if err := s.mayPull(ctx, a, repository); err != nil {
		return 0, err
	}
	if err := checkDigest(digest); err != nil {
		return 0, err
	}
	size, touched, ok, err := linked(ctx, s.db, repository, digest)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, blobUnknown(repository, digest)
	}
	// Clients ask before they push and skip what is there. Renewing only what has used up
	// half of its grace keeps this read from being a write each time.
	if now := s.now(); now-touched > s.opt.Grace.Milliseconds()/2 {
		_, err := s.db.Exec(ctx, `UPDATE registry_blob_link SET touched = ? WHERE repository = ? AND digest = ?`, now, repository, digest)
		if err != nil {
			return 0, fmt.Errorf("touching blob %s: %w", digest, err)
		}
	}
	return size, nil
}

// Blob is a blob that an actor may read, for as long as it takes to read it.
type Blob struct {
	Digest string
	Size   int64 // bytes
	blobs  Blobs
}

// Open reads the blob from offset to its end. Close the reader.
func (b Blob) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	rc, err := b.blobs.Open(ctx, b.Digest, offset)
	if err != nil {
		return nil, fmt.Errorf("opening blob %s: %w", b.Digest, err)
	}
	return rc, nil
}

// Blob returns a blob of the repository to read from. It promises what BlobSize promises.
func (s *Service) Blob(ctx context.Context, a identity.Actor, repository, digest string) (Blob, error) {
	size, err := s.BlobSize(ctx, a, repository, digest)
	if err != nil {
		return Blob{}, err
	}
	return Blob{Digest: digest, Size: size, blobs: s.blobs}, nil
}

// OpenBlob reads a blob of the repository from offset to its end. Close the reader.
func (s *Service) OpenBlob(ctx context.Context, a identity.Actor, repository, digest string, offset int64) (io.ReadCloser, error) {
	b, err := s.Blob(ctx, a, repository, digest)
	if err != nil {
		return nil, err
	}
	return b.Open(ctx, offset)
}

// PutBlob stores what r gives as the blob digest of the repository, in one go.
func (s *Service) PutBlob(ctx context.Context, a identity.Actor, repository, digest string, r io.Reader) (size int64, err error) {
	if err := s.mayPush(ctx, a, repository); err != nil {
		return 0, err
	}
	if err := checkDigest(digest); err != nil {
		return 0, err
	}
	_, size, err = s.blobs.Put(ctx, r, digest, s.opt.MaxBlob)
	if fault.Is(err, fault.Invalid) {
		return 0, mismatch(digest, err)
	}
	if err != nil {
		return 0, fmt.Errorf("storing blob %s: %w", digest, err)
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error { return s.admit(ctx, tx, repository, digest, size) })
	return size, err
}

// maxMountSources is how many projects are tried for a mount that names no source.
const maxMountSources = 50

// MountBlob makes a blob of the repository from available also in repository, without
// sending it. With from "" any repository that the actor may read will do. It returns
// false when there is no such blob or the actor may not read it there, without telling
// which: the client then uploads the bytes, which proves that he has them.
func (s *Service) MountBlob(ctx context.Context, a identity.Actor, repository, digest, from string) (bool, error) {
	if err := s.mayPush(ctx, a, repository); err != nil {
		return false, err
	}
	if err := checkDigest(digest); err != nil {
		return false, err
	}
	source, err := s.mountSource(ctx, a, digest, from)
	if err != nil || source == "" {
		return false, err
	}
	mounted := false
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		now := s.now()
		if err := lock(ctx, tx, repository, now); err != nil {
			return err
		}
		r, err := tx.Exec(ctx, `UPDATE registry_blob SET touched = ? WHERE digest = ? AND doomed = 0
			AND EXISTS (SELECT 1 FROM registry_blob_link l WHERE l.digest = registry_blob.digest AND l.repository = ?)`, now, digest, source)
		if err != nil {
			return fmt.Errorf("mounting blob %s: %w", digest, err)
		}
		n, err := r.RowsAffected()
		if err != nil || n == 0 {
			return err
		}
		mounted = true
		return link(ctx, tx, repository, digest, now)
	})
	return mounted, err
}

// mountSource returns a repository that holds the blob and that the actor may read, ""
// when there is none.
func (s *Service) mountSource(ctx context.Context, a identity.Actor, digest, from string) (string, error) {
	candidates := []string{from}
	if from == "" {
		var err error
		candidates, err = strings1(ctx, s.db, `SELECT MIN(l.repository) FROM registry_blob_link l JOIN registry_repository r ON r.name = l.repository
			WHERE l.digest = ? GROUP BY r.project ORDER BY 1 LIMIT ?`, digest, maxMountSources)
		if err != nil {
			return "", fmt.Errorf("looking for blob %s: %w", digest, err)
		}
	}
	for _, c := range candidates {
		if !ValidName(c) {
			continue
		}
		_, _, ok, err := linked(ctx, s.db, c, digest)
		if err != nil {
			return "", err
		}
		if !ok {
			continue
		}
		switch err := s.require(ctx, a, c, identity.Read); fault.KindOf(err) {
		case "":
			return c, nil
		case fault.NotFound, fault.Denied:
		default:
			return "", err
		}
	}
	return "", nil
}

// DeleteBlob takes a blob out of the repository. One that a manifest references is
// refused with CodeInUse. The bytes go when no repository has the blob any more.
func (s *Service) DeleteBlob(ctx context.Context, a identity.Actor, repository, digest string) error {
	if err := s.mayDelete(ctx, a, repository); err != nil {
		return err
	}
	if err := checkDigest(digest); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		if _, _, ok, err := linked(ctx, tx, repository, digest); err != nil || !ok {
			if err == nil {
				err = blobUnknown(repository, digest)
			}
			return err
		}
		if err := lock(ctx, tx, repository, s.now()); err != nil {
			return err
		}
		var by string
		users, err := strings1(ctx, tx, `SELECT manifest FROM registry_reference WHERE repository = ? AND digest = ? AND kind = 'blob' LIMIT 1`, repository, digest)
		if err != nil {
			return fmt.Errorf("looking for users of blob %s: %w", digest, err)
		}
		if len(users) > 0 {
			by = users[0]
			return conflict(CodeInUse, "Blob %s is part of manifest %s: delete that first.", digest, by)
		}
		_, err = tx.Exec(ctx, `DELETE FROM registry_blob_link WHERE repository = ? AND digest = ?`, repository, digest)
		return err
	})
}
