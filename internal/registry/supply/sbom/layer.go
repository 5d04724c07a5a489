package sbom

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"towpath.dev/towpath/internal/fault"
)

// Version is the version of the layer reader: contents read by another one are not
// reused.
const Version = 1

// Limits bound what reading one layer may cost.
type Limits struct {
	Unpacked int64 // bytes after decompression
	Entries  int   // tar entries
	File     int64 // bytes of a program or database that is looked into
	Found    int   // packages
}

// DefaultLimits returns limits that real images stay far below.
func DefaultLimits() Limits {
	return Limits{Unpacked: 8 << 30, Entries: 1_000_000, File: 1 << 30, Found: 100_000}
}

// Content is what one layer brings. It is stored as JSON.
type Content struct {
	Files   []File            `json:"files,omitempty"`   // in order of appearance
	Removed []string          `json:"removed,omitempty"` // paths that hide lower layers' files
	Emptied []string          `json:"emptied,omitempty"` // directories that hide all lower layers' files
	Release map[string]string `json:"release,omitempty"` // ID, VERSION_ID, VERSION_CODENAME of os-release
}

// File is a file that can declare packages, with those it declares: none for a
// program that holds no module list.
type File struct {
	Path  string  `json:"path"`
	Found []Found `json:"found,omitempty"`
}

// Found is a package as the file declares it.
type Found struct {
	Type          string `json:"type"` // purl type: golang, deb, apk, npm
	Name          string `json:"name"`
	Version       string `json:"version,omitempty"`
	Source        string `json:"source,omitempty"` // source package, when it has another name
	SourceVersion string `json:"source_version,omitempty"`
	Arch          string `json:"arch,omitempty"`
}

// Reader reads layers. Temp is a directory for spooling one program at a time.
type Reader struct {
	temp   string
	limits Limits
}

// NewReader returns a reader that spools into the directory temp ("" is the
// system's).
func NewReader(temp string, limits Limits) *Reader { return &Reader{temp: temp, limits: limits} }

// Layer reads one layer: a tar stream, plain or packed by gzip or zstd, told apart by
// its first bytes. It returns a TooLarge fault when the layer crosses a limit and an
// Invalid one when it is no tar.
func (r *Reader) Layer(ctx context.Context, in io.Reader) (Content, error) {
	plain, done, err := unpack(in)
	if err != nil {
		return Content{}, err
	}
	defer done()
	counted := &budget{r: plain, left: r.limits.Unpacked}
	s := scanner{Reader: r}
	t := tar.NewReader(counted)
	for entries := 0; ; entries++ {
		if err := ctx.Err(); err != nil {
			return Content{}, err
		}
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return s.content, nil
		case err != nil:
			return Content{}, broken(err)
		case entries >= r.limits.Entries:
			return Content{}, fault.New(fault.TooLarge, "The layer has over %d files.", r.limits.Entries)
		}
		if err := s.entry(ctx, h, t); err != nil {
			return Content{}, broken(err)
		}
		if s.found > r.limits.Found {
			return Content{}, fault.New(fault.TooLarge, "The layer declares over %d packages.", r.limits.Found)
		}
	}
}

func broken(err error) error {
	var f *fault.Error
	if errors.As(err, &f) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.Wrap(fault.Invalid, err, "The layer is not a readable tar.")
}

// unpack returns the plain stream and a function that frees the decoder.
func unpack(in io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(in, 64<<10)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("reading the layer: %w", err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, broken(err)
		}
		return z, func() {}, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// One decoder goroutine and a bounded window keep memory flat.
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, broken(err)
		}
		return z, z.Close, nil
	}
	return b, func() {}, nil
}

// budget refuses a stream that unpacks to more than its allowance.
type budget struct {
	r    io.Reader
	left int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fault.New(fault.TooLarge, "The layer unpacks to more than the limit.").
			WithNext("split the layer, or check that it is not a decompression bomb")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// clean turns a tar name into the form of the extractors: relative, no dots. ""
// means the root or a name that leaves it.
func clean(name string) string {
	p := strings.TrimPrefix(path.Clean("/"+name), "/")
	if len(p) > 4096 {
		return ""
	}
	return p
}

// whiteout reads the marks by which a layer hides files of lower layers (OCI image
// layer specification, "Whiteouts").
func (c *Content) whiteout(p string) bool {
	dir, base := path.Split(p)
	hidden, ok := strings.CutPrefix(base, ".wh.")
	switch {
	case !ok:
		return false
	case hidden == ".wh..opq":
		c.Emptied = append(c.Emptied, strings.TrimSuffix(dir, "/"))
	default:
		c.Removed = append(c.Removed, dir+hidden)
	}
	return true
}
