package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// AtEnd as an offset of AppendUpload means: after what is there.
const AtEnd = int64(-1)

// StartUpload begins an upload into the repository and returns its id. The upload
// survives restarts until it is finished, cancelled or has rested for Options.Uploads.
func (s *Service) StartUpload(ctx context.Context, a identity.Actor, repository string) (id string, err error) {
	if err := s.mayPush(ctx, a, repository); err != nil {
		return "", err
	}
	id = s.clock.NewID()
	u := upload{repository: repository, actor: a.String(), touched: s.now()}
	if s.remember(id, u) {
		return id, nil
	}
	return id, s.persist(ctx, id, u)
}

// upload is who uploads to where.
type upload struct {
	repository string
	actor      string
	touched    int64 // Unix milliseconds
}

// maxFresh is how many uploads without a byte are remembered in memory.
const maxFresh = 4096

// remember keeps a new upload in memory until its first bytes are stored. Most uploads
// bring all of theirs in the next request, and a row that lives for a millisecond would
// cost two more synced writes per blob; a crash before the first byte loses nothing that
// was acknowledged. With PostgreSQL several servers may share the registry, so the row is
// written at once; so it is when memory is full of uploads that never began.
func (s *Service) remember(id string, u upload) bool {
	if s.db.Postgres() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fresh) >= maxFresh {
		for k, old := range s.fresh {
			if u.touched-old.touched > time.Hour.Milliseconds() {
				delete(s.fresh, k)
			}
		}
		if len(s.fresh) >= maxFresh {
			return false
		}
	}
	s.fresh[id] = u
	return true
}

// persist writes the upload's row.
func (s *Service) persist(ctx context.Context, id string, u upload) error {
	_, err := s.db.Exec(ctx, `INSERT INTO registry_upload (id, repository, actor, touched) VALUES (?,?,?,?)`, id, u.repository, u.actor, u.touched)
	if err != nil {
		return fmt.Errorf("recording an upload: %w", err)
	}
	return nil
}

// isFresh returns a remembered upload.
func (s *Service) isFresh(id string) (upload, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.fresh[id]
	return u, ok
}

func (s *Service) unremember(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fresh, id)
}

// UploadSize returns how many bytes of an upload are safe on disk.
func (s *Service) UploadSize(ctx context.Context, a identity.Actor, repository, id string) (int64, error) {
	if err := s.ownUpload(ctx, a, repository, id); err != nil {
		return 0, err
	}
	return s.uploadSize(ctx, id)
}

func (s *Service) uploadSize(ctx context.Context, id string) (int64, error) {
	size, err := s.blobs.UploadSize(ctx, id)
	if fault.Is(err, fault.NotFound) {
		// The blob store learns of an upload with its first bytes only: most uploads bring
		// all of them in one request and never need its resumable kind.
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("measuring upload %s: %w", id, err)
	}
	return size, nil
}

// AppendUpload adds bytes at offset, which must be the size so far, or AtEnd. It returns
// the new size, also with an error: what arrived before a cut-off is kept. A wrong
// offset is an Error of CodeRangeInvalid.
func (s *Service) AppendUpload(ctx context.Context, a identity.Actor, repository, id string, offset int64, r io.Reader) (size int64, err error) {
	if err := s.ownUpload(ctx, a, repository, id); err != nil {
		return 0, err
	}
	release, err := s.hold(id)
	if err != nil {
		return 0, err
	}
	defer release()
	return s.append(ctx, id, offset, r)
}

func (s *Service) append(ctx context.Context, id string, offset int64, r io.Reader) (int64, error) {
	size, err := s.uploadSize(ctx, id)
	if err != nil {
		return 0, err
	}
	if offset != AtEnd && offset != size {
		return size, wrong(CodeRangeInvalid, "The chunk begins at byte %d, but the upload has %d bytes: send the next chunk from there.", offset, size)
	}
	if u, ok := s.isFresh(id); ok {
		if err := s.persist(ctx, id, u); err != nil {
			return 0, err
		}
		s.unremember(id)
	}
	if size == 0 {
		if err := s.blobs.StartUpload(ctx, id); err != nil && !fault.Is(err, fault.Conflict) {
			return 0, fmt.Errorf("starting upload %s: %w", id, err)
		}
	}
	size, err = s.blobs.AppendUpload(ctx, id, size, r, s.opt.MaxBlob)
	if err != nil {
		return size, fmt.Errorf("appending to upload %s: %w", id, err)
	}
	return size, nil
}

// FinishUpload adds the last bytes of r (which may be empty) at offset, as AppendUpload
// does, and turns the upload into the blob digest of the repository. When the bytes have
// another digest, the upload is dropped and the error is of CodeDigestInvalid.
func (s *Service) FinishUpload(ctx context.Context, a identity.Actor, repository, id, digest string, offset int64, r io.Reader) (size int64, err error) {
	if err := s.ownUpload(ctx, a, repository, id); err != nil {
		return 0, err
	}
	if err := checkDigest(digest); err != nil {
		return 0, err
	}
	release, err := s.hold(id)
	if err != nil {
		return 0, err
	}
	defer release()
	if size, err = s.commit(ctx, id, digest, offset, r); err != nil {
		return size, err
	}
	_, fresh := s.isFresh(id)
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if !fresh {
			if _, err := tx.Exec(ctx, `DELETE FROM registry_upload WHERE id = ?`, id); err != nil {
				return fmt.Errorf("ending upload %s: %w", id, err)
			}
		}
		return s.admit(ctx, tx, repository, digest, size)
	})
	if err == nil {
		s.unremember(id)
	}
	return size, err
}

// commit stores an upload's bytes with the last of them under their digest.
func (s *Service) commit(ctx context.Context, id, digest string, offset int64, r io.Reader) (size int64, err error) {
	if size, err = s.uploadSize(ctx, id); err != nil {
		return 0, err
	}
	if size == 0 && offset <= 0 {
		// All bytes come now: hash them on their way in, instead of reading them again.
		_, size, err = s.blobs.Put(ctx, r, digest, s.opt.MaxBlob)
	} else {
		if size, err = s.append(ctx, id, offset, r); err != nil {
			return size, err
		}
		size, err = s.blobs.CommitUpload(ctx, id, digest)
	}
	if fault.Is(err, fault.Invalid) {
		return 0, errors.Join(mismatch(digest, err), s.forget(ctx, id))
	}
	if err != nil {
		return 0, fmt.Errorf("finishing upload %s: %w", id, err)
	}
	return size, nil
}

// admit makes bytes that are in the blob store a blob of the repository.
func (s *Service) admit(ctx context.Context, tx *store.Tx, repository, digest string, size int64) error {
	now := s.now()
	if err := lock(ctx, tx, repository, now); err != nil {
		return err
	}
	if err := s.record(ctx, tx, digest, size, now); err != nil {
		return err
	}
	return link(ctx, tx, repository, digest, now)
}

func mismatch(digest string, cause error) error {
	return &Error{Code: CodeDigestInvalid, Fault: fault.Wrap(fault.Invalid, cause, "The bytes sent do not have the digest %s.", digest)}
}

// CancelUpload drops an upload.
func (s *Service) CancelUpload(ctx context.Context, a identity.Actor, repository, id string) error {
	if err := s.ownUpload(ctx, a, repository, id); err != nil {
		return err
	}
	release, err := s.hold(id)
	if err != nil {
		return err
	}
	defer release()
	return s.forget(ctx, id)
}

func (s *Service) forget(ctx context.Context, id string) error {
	if err := s.blobs.AbortUpload(ctx, id); err != nil && !fault.Is(err, fault.NotFound) {
		return fmt.Errorf("dropping upload %s: %w", id, err)
	}
	if _, fresh := s.isFresh(id); fresh {
		s.unremember(id)
		return nil
	}
	if _, err := s.db.Exec(ctx, `DELETE FROM registry_upload WHERE id = ?`, id); err != nil {
		return fmt.Errorf("dropping upload %s: %w", id, err)
	}
	return nil
}

// ownUpload checks that the upload exists, is of this repository and was begun by the
// same actor: an id that leaked gives nothing to others.
func (s *Service) ownUpload(ctx context.Context, a identity.Actor, repository, id string) error {
	if err := checkName(repository); err != nil {
		return err
	}
	if err := s.require(ctx, a, repository, identity.Write); err != nil {
		return err
	}
	u, ok := s.isFresh(id)
	if !ok {
		err := s.db.QueryRow(ctx, `SELECT repository, actor FROM registry_upload WHERE id = ?`, id).Scan(&u.repository, &u.actor)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("reading upload %.64s: %w", id, err)
		}
	}
	if u.repository != repository || u.actor != a.String() {
		return uploadUnknown(id)
	}
	return nil
}

// hold makes the caller the only writer of an upload. A second one is refused, not
// queued: two requests that append to one upload are a client's mistake or a retry that
// overtook the connection it replaces.
func (s *Service) hold(id string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return nil, conflict(CodeBlobUploadInvalid, "Another request is writing to this upload: wait for it, then ask for its range.")
	}
	s.busy[id] = true
	return func() {
		s.mu.Lock()
		delete(s.busy, id)
		s.mu.Unlock()
	}, nil
}
