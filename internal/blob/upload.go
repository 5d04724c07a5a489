package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// StartUpload begins an upload under an id that the caller chose: letters, digits, - and
// _, at most 128. An id in use is fault.Conflict.
func (s *Store) StartUpload(ctx context.Context, id string) error {
	done, err := s.take(id)
	if err != nil {
		return err
	}
	defer done()
	if _, err := s.files.size(ctx, uploadName(id)); err == nil {
		return fault.New(fault.Conflict, "The upload %s exists already.", id)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("starting an upload: %w", err)
	}
	if _, err := s.files.write(ctx, uploadName(id), 0, strings.NewReader("")); err != nil {
		return explain(err, "starting an upload", 0)
	}
	return nil
}

// AppendUpload adds what r gives at offset, which must be the upload's size
// (fault.Conflict otherwise), and returns the new size. limit is the largest size that the
// whole upload may reach; more is fault.TooLarge. When r breaks off, what had arrived is
// kept and its size returned with the error, so that the client can go on from there.
func (s *Store) AppendUpload(ctx context.Context, id string, offset int64, r io.Reader, limit int64) (size int64, err error) {
	done, err := s.take(id)
	if err != nil {
		return 0, err
	}
	defer done()
	size, err = s.uploadSize(ctx, id)
	if err != nil {
		return 0, err
	}
	if offset != size {
		return size, fault.New(fault.Conflict, "The upload has %d bytes; it cannot go on at byte %d.", size, offset).WithNext("go on at byte %d", size)
	}
	added, err := s.files.write(ctx, uploadName(id), size, &limited{r, max(0, limit-size)})
	if err != nil {
		return size + added, explain(err, "receiving an upload", limit)
	}
	return size + added, nil
}

// UploadSize returns how many bytes of an upload are stored, or fault.NotFound.
func (s *Store) UploadSize(ctx context.Context, id string) (int64, error) {
	if err := checkUpload(id); err != nil {
		return 0, err
	}
	return s.uploadSize(ctx, id)
}

func (s *Store) uploadSize(ctx context.Context, id string) (int64, error) {
	size, err := s.files.size(ctx, uploadName(id))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, noUpload(id)
	}
	if err != nil {
		return 0, fmt.Errorf("reading upload %s: %w", id, err)
	}
	return size, nil
}

// CommitUpload makes the upload the blob `want` and returns its size. When the bytes have
// another digest it returns fault.Invalid and the upload stays, to be aborted.
func (s *Store) CommitUpload(ctx context.Context, id string, want Digest) (size int64, err error) {
	if err := CheckDigest(want); err != nil {
		return 0, err
	}
	done, err := s.take(id)
	if err != nil {
		return 0, err
	}
	defer done()
	if size, err = s.uploadSize(ctx, id); err != nil {
		return 0, err
	}
	r, err := s.files.open(ctx, uploadName(id), 0)
	if err != nil {
		return 0, fmt.Errorf("reading upload %s: %w", id, err)
	}
	h := hasher(want)
	_, err = io.Copy(h, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return 0, fmt.Errorf("reading upload %s: %w", id, err)
	}
	if got := digestOf(want, h); got != want {
		return 0, mismatch(want, got)
	}
	if err := s.files.move(ctx, uploadName(id), blobName(want)); err != nil {
		return 0, explain(err, "committing an upload", 0)
	}
	return size, nil
}

// AbortUpload throws an upload away, or returns fault.NotFound.
func (s *Store) AbortUpload(ctx context.Context, id string) error {
	done, err := s.take(id)
	if err != nil {
		return err
	}
	defer done()
	err = s.files.remove(ctx, uploadName(id))
	if errors.Is(err, fs.ErrNotExist) {
		return noUpload(id)
	}
	if err != nil {
		return fmt.Errorf("aborting upload %s: %w", id, err)
	}
	return nil
}

// Sweep throws away the uploads to which nothing was added since `before`, and what
// interrupted calls left. It returns how many.
func (s *Store) Sweep(ctx context.Context, before time.Time) (int, error) {
	names, err := s.files.stale(ctx, uploads, before)
	if err != nil {
		return 0, fmt.Errorf("looking for stale uploads: %w", err)
	}
	n := 0
	for _, id := range names {
		err := s.AbortUpload(ctx, id)
		switch {
		case err == nil:
			n++
		case !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Conflict):
			return n, err
		}
	}
	return n, nil
}

// take claims an upload for one call. Two requests that write to the same upload would
// mix their bytes.
func (s *Store) take(id string) (done func(), err error) {
	if err := checkUpload(id); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return nil, fault.New(fault.Conflict, "Another request is writing to the upload %s.", id).WithNext("wait for it to end, then ask for the size")
	}
	s.busy[id] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.busy, id)
	}, nil
}

func checkUpload(id string) error {
	if !uploadForm.MatchString(id) {
		return fault.New(fault.NotFound, "There is no such upload.")
	}
	return nil
}

func noUpload(id string) error { return fault.New(fault.NotFound, "There is no upload %s.", id) }
