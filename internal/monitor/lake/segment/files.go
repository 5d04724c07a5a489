package segment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/fault"
)

// maxFile bounds what is stored as one blob.
const maxFile = 8 << 30

// How long one transfer may take, so that a bucket that says nothing holds up nobody for ever.
const (
	uploadTime = 10 * time.Minute
	fetchTime  = 5 * time.Minute
	smallTime  = 20 * time.Second // an index, a deletion, the list of segments
)

// Files keeps the bytes of segments.
type Files struct {
	dir    string
	blobs  *blob.Store // nil when the folder is the only place
	limit  int64       // of the Parquet files in the folder when there is a blob store
	logger *slog.Logger

	mu    sync.Mutex
	used  map[uint64]int64  // when a segment was last read, counted by clock
	size  map[uint64]int64  // of the Parquet files that are in the folder and in the blob store
	data  map[uint64]string // digests of the Parquet files that are in the blob store
	clock int64
	busy  map[uint64]chan struct{} // segments being fetched
}

// OpenFiles prepares the folder. blobs is nil when segments live in it; otherwise it is a
// cache of at most limit bytes of Parquet files, indexes not counted.
func OpenFiles(dir string, blobs *blob.Store, limit int64, logger *slog.Logger) (*Files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of segments: %w", err)
	}
	return &Files{dir: dir, blobs: blobs, limit: limit, logger: logger, used: map[uint64]int64{}, size: map[uint64]int64{}, data: map[uint64]string{}, busy: map[uint64]chan struct{}{}}, nil
}

// Path returns where a segment's Parquet file stands.
func (f *Files) Path(id uint64) string { return filepath.Join(f.dir, fmt.Sprintf("%012d.parquet", id)) }

// IndexPath returns where a segment's index stands.
func (f *Files) IndexPath(id uint64) string {
	return filepath.Join(f.dir, fmt.Sprintf("%012d.index", id))
}

// Temp returns the name under which a file is written before it is whole.
func Temp(path string) string { return path + ".tmp" }

// Keep gives the two files of a segment, which stand synced under their temporary names,
// their own names.
func (f *Files) Keep(i Info) error {
	for _, path := range []string{f.Path(i.ID), f.IndexPath(i.ID)} {
		if err := os.Rename(Temp(path), path); err != nil {
			return fmt.Errorf("keeping a segment: %w", err)
		}
	}
	if err := SyncPath(f.dir); err != nil {
		return fmt.Errorf("keeping a segment: %w", err)
	}
	return nil
}

// Remote reports whether segments live in a blob store.
func (f *Files) Remote() bool { return f.blobs != nil }

// Upload stores the two files of a segment in the blob store, and fills in their digests.
// The same files have the same digests: what was interrupted can be done again.
func (f *Files) Upload(ctx context.Context, i *Info) error {
	ctx, cancel := context.WithTimeout(ctx, uploadTime)
	defer cancel()
	var err error
	if i.Data, err = f.put(ctx, f.Path(i.ID)); err != nil {
		return err
	}
	i.IndexData, err = f.put(ctx, f.IndexPath(i.ID))
	return err
}

// Uploaded notes that the blob store has a segment, so that the folder need not.
func (f *Files) Uploaded(i Info) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size[i.ID], f.data[i.ID] = i.Bytes, i.Data
	f.touch(i.ID)
}

func (f *Files) put(ctx context.Context, path string) (string, error) {
	r, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("storing a segment: %w", err)
	}
	defer r.Close()
	digest, _, err := f.blobs.Put(ctx, r, "", maxFile)
	if err != nil {
		return "", fmt.Errorf("storing a segment: %w", err)
	}
	return digest, nil
}

// Tidy removes from the folder what the manifest does not name, and fetches the indexes that
// are missing. Without the blob store it goes on without them; FetchIndex tries again.
func (f *Files) Tidy(ctx context.Context, m *Manifest) error {
	known := map[string]bool{}
	for _, i := range m.Segments {
		known[f.Path(i.ID)], known[f.IndexPath(i.ID)] = true, true
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("listing segments: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(f.dir, e.Name())
		if known[path] || !(strings.HasSuffix(path, ".parquet") || strings.HasSuffix(path, ".index") || strings.HasSuffix(path, ".tmp")) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing what is left of a segment: %w", err)
		}
	}
	away := false
	for _, i := range m.Segments {
		if _, err := os.Stat(f.IndexPath(i.ID)); err != nil && i.IndexData != "" && !away {
			if err := f.FetchIndex(ctx, i); err != nil {
				f.logger.Error("cannot fetch the indexes of segments; they are fetched later, queries read more until then", "error", err)
				away = true
			}
		}
		if i.Data == "" {
			continue
		}
		f.data[i.ID] = i.Data
		if _, err := os.Stat(f.Path(i.ID)); err == nil {
			f.size[i.ID] = i.Bytes
		}
	}
	return nil
}

// FetchIndex brings the index of a segment into the folder.
func (f *Files) FetchIndex(ctx context.Context, i Info) error {
	ctx, cancel := context.WithTimeout(ctx, smallTime)
	defer cancel()
	return f.get(ctx, i.IndexData, f.IndexPath(i.ID), i.Index)
}

// Fetch brings the Parquet file of a segment into the folder when it is not there.
func (f *Files) Fetch(ctx context.Context, i Info) error {
	for {
		f.mu.Lock()
		f.touch(i.ID)
		_, here := f.size[i.ID]
		digest, there := f.data[i.ID]
		if !there || here {
			f.mu.Unlock()
			return nil
		}
		other, fetching := f.busy[i.ID]
		if !fetching {
			f.busy[i.ID] = make(chan struct{})
			f.mu.Unlock()
			return f.fetch(ctx, i, digest)
		}
		f.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fetch gets a Parquet file that the caller has noted as being fetched.
func (f *Files) fetch(ctx context.Context, i Info, digest string) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	err := f.get(ctx, digest, f.Path(i.ID), i.Bytes)
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.busy[i.ID])
	delete(f.busy, i.ID)
	if err == nil {
		f.size[i.ID] = i.Bytes
	}
	return err
}

// get copies a blob into a file. A blob store is trusted to give what has the digest; the
// size is checked because a download can end early.
func (f *Files) get(ctx context.Context, digest, path string, size int64) error {
	if f.blobs == nil {
		return fault.New(fault.Unavailable, "A segment of the logs lies in a blob store that is no longer configured.").
			WithNext("configure the bucket again in which the logs were kept")
	}
	r, err := f.blobs.Open(ctx, digest, 0)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "A segment of the logs cannot be read from the blob store.").
			WithNext("look whether the bucket can be reached, then ask again")
	}
	defer r.Close()
	w, err := os.OpenFile(Temp(path), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fetching a segment: %w", err)
	}
	n, err := io.Copy(w, r)
	if err == nil && n != size {
		err = fmt.Errorf("it has %d bytes, not %d", n, size)
	}
	if err = errors.Join(err, w.Sync(), w.Close()); err == nil {
		err = os.Rename(Temp(path), path)
	}
	if err != nil {
		return fault.Wrap(fault.Unavailable, errors.Join(err, os.RemoveAll(Temp(path))), "A segment of the logs cannot be brought from the blob store.").
			WithNext("look whether the bucket can be reached and the disk has room, then ask again")
	}
	return nil
}

// touch notes that a segment is read now. The caller holds the lock.
func (f *Files) touch(id uint64) {
	f.clock++
	f.used[id] = f.clock
}

// Evict removes Parquet files that the blob store has too, the least lately read first,
// until the cache is within its limit. inUse says which must stay.
func (f *Files) Evict(inUse func(id uint64) bool) {
	if f.blobs == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	total := int64(0)
	var ids []uint64
	for id, n := range f.size {
		total += n
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b uint64) int { return int(f.used[a] - f.used[b]) })
	for _, id := range ids {
		if total <= f.limit {
			return
		}
		if inUse(id) {
			continue
		}
		if err := os.Remove(f.Path(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			f.logger.Warn("cannot remove a cached segment", "error", err)
			continue
		}
		total -= f.size[id]
		delete(f.size, id)
	}
}

// Remove deletes a segment that no longer counts from the folder.
func (f *Files) Remove(i Info) {
	f.mu.Lock()
	delete(f.size, i.ID)
	delete(f.used, i.ID)
	delete(f.data, i.ID)
	f.mu.Unlock()
	for _, path := range []string{f.Path(i.ID), f.IndexPath(i.ID)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			f.logger.Warn("cannot remove a segment", "error", err) // Tidy does at the next start.
		}
	}
}

// RemoveRemote deletes a segment that no longer counts from the blob store.
func (f *Files) RemoveRemote(ctx context.Context, i Info) error {
	ctx, cancel := context.WithTimeout(ctx, smallTime)
	defer cancel()
	for _, d := range []string{i.Data, i.IndexData} {
		if d == "" {
			continue
		}
		if err := f.blobs.Delete(ctx, d); err != nil && !fault.Is(err, fault.NotFound) {
			return fmt.Errorf("removing a segment from the blob store: %w", err)
		}
	}
	return nil
}

// Sweep removes from the blob store what uploads left that were interrupted a day ago.
func (f *Files) Sweep(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	_, err := f.blobs.Sweep(ctx, now.AddDate(0, 0, -1))
	return err
}

// manifestNote is the name of the manifest in the blob store.
const manifestNote = "manifest"

// Published returns the manifest in the blob store, nil when there is none.
func (f *Files) Published(ctx context.Context) (*Manifest, error) {
	ctx, cancel := context.WithTimeout(ctx, smallTime)
	defer cancel()
	b, err := f.blobs.Note(ctx, manifestNote)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "The list of segments cannot be read from the blob store.").WithNext("look whether the bucket can be reached")
	}
	return parseManifest(b)
}

// Publish puts a manifest into the blob store, so that a lake that lost its disk finds its
// segments again.
func (f *Files) Publish(ctx context.Context, m *Manifest) error {
	ctx, cancel := context.WithTimeout(ctx, smallTime)
	defer cancel()
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("publishing the manifest: %w", err)
	}
	if err := f.blobs.WriteNote(ctx, manifestNote, b); err != nil {
		return fmt.Errorf("publishing the manifest: %w", err)
	}
	return nil
}
