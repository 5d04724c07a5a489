package build

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// Limits of a build context.
const (
	maxContext    = 4 << 30 // bytes of its files
	maxFiles      = 200_000
	maxDockerfile = 1 << 20
)

// contextDir returns the folder of the context, unpacking it into work when it came as a
// stream.
func (r Request) contextDir(work string) (string, error) {
	if r.ContextDir != "" {
		st, err := os.Stat(r.ContextDir)
		if err != nil || !st.IsDir() {
			return "", fault.Wrap(fault.Invalid, err, "The build context is not a folder.")
		}
		return r.ContextDir, nil
	}
	dir := filepath.Join(work, "context")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the build context: %w", err)
	}
	return dir, Untar(dir, r.Context)
}

// Untar unpacks a tar stream of files, folders and links below dir. Nothing is written
// outside of dir: names that leave it are refused, and links that lead out of it are made
// but never followed. Devices and pipes, more than 200,000 entries and more than 4 GiB are
// refused too; owners and set-user-id bits are dropped.
func Untar(dir string, r io.Reader) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the build context: %w", err)
	}
	defer root.Close()
	tail := &tail{r: r}
	t := tar.NewReader(tail)
	left := int64(maxContext)
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) && tail.closed() {
			return nil
		}
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "The build context did not arrive whole or is not a tar stream.")
		}
		if n == maxFiles {
			return fault.New(fault.TooLarge, "The build context has more than %d files.", maxFiles).WithNext("leave out what is not needed with a .dockerignore")
		}
		if left -= h.Size; left < 0 {
			return fault.New(fault.TooLarge, "The build context has more than %d bytes.", int64(maxContext)).WithNext("leave out what is not needed with a .dockerignore")
		}
		if err := entry(root, t, h); err != nil {
			return err
		}
	}
}

// tail remembers how the stream ended: archive/tar takes a stream that was cut off between
// two entries for a whole one.
type tail struct {
	r     io.Reader
	zeros int
}

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	for _, c := range p[max(0, n-1024):n] {
		if c != 0 {
			t.zeros = 0
		} else {
			t.zeros++
		}
	}
	return n, err
}

// closed reports whether the stream ended with the two empty blocks that close an archive.
func (t *tail) closed() bool { return t.zeros >= 1024 }

func entry(root *os.Root, t *tar.Reader, h *tar.Header) error {
	name := filepath.FromSlash(strings.TrimPrefix(h.Name, "./"))
	name = filepath.Clean(name)
	if name == "." {
		return nil
	}
	if !filepath.IsLocal(name) {
		return fault.New(fault.Invalid, "The build context names %.200q, which is outside of it.", h.Name)
	}
	if err := parents(root, filepath.Dir(name)); err != nil {
		return outside(err, h.Name)
	}
	mode := fs.FileMode(h.Mode) & fs.ModePerm
	var err error
	switch h.Typeflag {
	case tar.TypeDir:
		if err = root.Mkdir(name, mode|0o700); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case tar.TypeReg:
		if err = file(root, name, mode, t); err == nil {
			// Layers carry the times of files, so that they must not depend on when this ran.
			err = root.Chtimes(name, h.ModTime, h.ModTime)
		}
	case tar.TypeSymlink:
		if err = replace(root, name); err == nil {
			err = root.Symlink(h.Linkname, name)
		}
	case tar.TypeLink:
		if err = replace(root, name); err == nil {
			err = root.Link(filepath.FromSlash(filepath.Clean(h.Linkname)), name)
		}
	case tar.TypeXGlobalHeader:
	default:
		return fault.New(fault.Invalid, "The build context's entry %.200q is neither a file nor a folder nor a link.", h.Name)
	}
	return outside(err, h.Name)
}

func parents(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	return root.MkdirAll(dir, 0o755)
}

// replace takes an earlier entry of the same name away, so that a file is never written
// through a link.
func replace(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func file(root *os.Root, name string, mode fs.FileMode, r io.Reader) error {
	if err := replace(root, name); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

func outside(err error, name string) error {
	if err == nil || strings.Contains(err.Error(), "no space left on device") {
		return err
	}
	var p *fs.PathError
	var l *os.LinkError
	if errors.As(err, &p) || errors.As(err, &l) {
		return fault.Wrap(fault.Invalid, err, "The build context's entry %.200q cannot be unpacked.", name)
	}
	return fmt.Errorf("unpacking the build context: %w", err)
}
