package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// filesystem keeps files below a folder. distribution's own filesystem driver is not used:
// it does not sync the folders in which it renames, so a blob that was acknowledged could
// be gone after a power cut. All names are resolved inside the root by os.Root.
type filesystem struct {
	root *os.Root
}

func openFilesystem(dir string) (*filesystem, error) {
	if dir == "" {
		return nil, fault.New(fault.Invalid, "The filesystem blob driver needs a folder.")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the blob folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the blob folder: %w", err)
	}
	f := &filesystem{root: root}
	if err := f.folder(uploads); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *filesystem) open(_ context.Context, name string, offset int64) (io.ReadCloser, error) {
	file, err := f.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		if _, err := file.Seek(offset, io.SeekStart); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return file, nil
}

func (f *filesystem) size(_ context.Context, name string) (int64, error) {
	st, err := f.root.Stat(filepath.FromSlash(name))
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f *filesystem) write(_ context.Context, name string, at int64, r io.Reader) (int64, error) {
	file, err := f.root.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	if _, err := file.Seek(at, io.SeekStart); err != nil {
		return 0, errors.Join(err, file.Close())
	}
	// The copy hides file's ReadFrom on purpose: splicing from a socket would read past
	// the limit that r enforces.
	n, werr := io.Copy(struct{ io.Writer }{file}, r)
	if errors.Is(werr, errOverLimit) || errors.Is(werr, syscall.ENOSPC) || errors.Is(werr, syscall.EDQUOT) {
		// Refused bytes are not kept: the size stays what was acknowledged before.
		werr = errors.Join(werr, file.Truncate(at))
		n = 0
	}
	err = errors.Join(file.Sync(), file.Close())
	if at == 0 && n == 0 {
		// An upload begins empty, and its name must last. What Put writes gets its lasting
		// name by move.
		err = errors.Join(err, f.syncFolder(path.Dir(name)))
	}
	if err != nil {
		return 0, errors.Join(werr, err)
	}
	return n, werr
}

func (f *filesystem) move(_ context.Context, from, to string) error {
	if err := f.folder(path.Dir(to)); err != nil {
		return err
	}
	if err := f.root.Rename(filepath.FromSlash(from), filepath.FromSlash(to)); err != nil {
		return err
	}
	// The folder of the old name is not synced: if a power cut brings that name back, it is
	// an upload that nobody continues, and Sweep takes it.
	return f.syncFolder(path.Dir(to))
}

func (f *filesystem) remove(_ context.Context, name string) error {
	return f.root.Remove(filepath.FromSlash(name))
}

func (f *filesystem) stale(_ context.Context, folder string, before time.Time) ([]string, error) {
	entries, err := fs.ReadDir(f.root.FS(), folder)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if st.ModTime().Before(before) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// folder makes a folder and its parents, each durable before the next.
func (f *filesystem) folder(name string) error {
	if name == "." {
		return nil
	}
	if _, err := f.root.Stat(filepath.FromSlash(name)); err == nil {
		return nil
	}
	parent := path.Dir(name)
	if err := f.folder(parent); err != nil {
		return err
	}
	if err := f.root.Mkdir(filepath.FromSlash(name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the blob folder %s: %w", name, err)
	}
	return f.syncFolder(parent)
}

func (f *filesystem) syncFolder(name string) error {
	d, err := f.root.Open(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
