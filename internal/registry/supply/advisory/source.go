package advisory

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// Limits on one import.
const (
	MaxEntries  = 400_000
	MaxTotal    = 4 << 30 // bytes of JSON, uncompressed
	MaxDownload = 1 << 30 // bytes of a file fetched from a URL
	maxRejected = 20      // how many refused entries are named
)

// Batch is what Read found in a source.
type Batch struct {
	Records  []Record
	Rejected int      // entries that are no usable advisory
	Why      []string // the first of them, with the reason
}

// Read reads all advisories of a source: a directory tree of OSV .json files, one
// .json file, a zip of them such as osv.dev's all.zip, or an http(s) URL of such a
// file. An entry that is no OSV document is counted and named in the Batch; a
// crossed total limit is a TooLarge fault, a source that is not there NotFound.
// A file's time stands in for an advisory's missing one.
func Read(ctx context.Context, client *http.Client, source string) (Batch, error) {
	if u, err := url.Parse(source); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		return readURL(ctx, client, u)
	}
	info, err := os.Stat(source)
	if errors.Is(err, fs.ErrNotExist) {
		return Batch{}, fault.New(fault.NotFound, "There is no file or directory %s on the server.", source).
			WithNext("name a directory of OSV files, an all.zip or a URL")
	}
	if err != nil {
		return Batch{}, fmt.Errorf("looking at %s: %w", source, err)
	}
	if info.IsDir() {
		return readDir(ctx, source)
	}
	return readFile(ctx, source)
}

// ReadZip reads the advisories in a zip of OSV .json files.
func ReadZip(ctx context.Context, r io.ReaderAt, size int64) (Batch, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return Batch{}, fault.Wrap(fault.Invalid, err, "The file is not a zip.")
	}
	c := collector{}
	for _, f := range z.File {
		if err := ctx.Err(); err != nil {
			return Batch{}, err
		}
		if f.FileInfo().IsDir() || !strings.HasSuffix(f.Name, ".json") {
			continue
		}
		if err := c.zipEntry(f); err != nil {
			return Batch{}, err
		}
	}
	return c.batch, nil
}

func readURL(ctx context.Context, client *http.Client, u *url.URL) (Batch, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Batch{}, fault.Wrap(fault.Invalid, err, "The URL cannot be used.")
	}
	res, err := client.Do(req)
	if err != nil {
		return Batch{}, fault.Wrap(fault.Unavailable, err, "%s does not answer.", u.Host)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return Batch{}, fault.New(fault.Unavailable, "%s answered %s.", u.Redacted(), res.Status)
	}
	f, err := os.CreateTemp("", "towpath-advisories-*")
	if err != nil {
		return Batch{}, fmt.Errorf("making a temporary file: %w", err)
	}
	defer func() {
		// Nothing in it is needed any more, so an error changes nothing.
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	n, err := io.Copy(f, io.LimitReader(res.Body, MaxDownload+1))
	if err != nil {
		return Batch{}, fault.Wrap(fault.Unavailable, err, "Fetching %s broke off.", u.Redacted())
	}
	if n > MaxDownload {
		return Batch{}, fault.New(fault.TooLarge, "%s is over %d bytes.", u.Redacted(), int64(MaxDownload))
	}
	return readOpen(ctx, f, n, time.Time{})
}

func readFile(ctx context.Context, path string) (Batch, error) {
	f, err := os.Open(path)
	if err != nil {
		return Batch{}, fmt.Errorf("opening %s: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Batch{}, fmt.Errorf("looking at %s: %w", path, err)
	}
	return readOpen(ctx, f, info.Size(), info.ModTime())
}

// readOpen tells a zip from a single document by its first bytes.
func readOpen(ctx context.Context, f *os.File, size int64, modified time.Time) (Batch, error) {
	magic := make([]byte, 2)
	if _, err := f.ReadAt(magic, 0); err != nil {
		return Batch{}, fault.New(fault.Invalid, "The file is empty.")
	}
	if string(magic) == "PK" {
		return ReadZip(ctx, f, size)
	}
	c := collector{}
	if err := c.add(filepath.Base(f.Name()), io.NewSectionReader(f, 0, size), modified); err != nil {
		return Batch{}, err
	}
	return c.batch, nil
}

func readDir(ctx context.Context, root string) (Batch, error) {
	c := collector{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case !d.Type().IsRegular() || !strings.HasSuffix(path, ".json"):
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return c.add(d.Name(), f, info.ModTime())
	})
	if err != nil {
		return Batch{}, fmt.Errorf("reading %s: %w", root, err)
	}
	return c.batch, nil
}

// collector gathers records under the limits of one import.
type collector struct {
	batch   Batch
	entries int
	total   int64
}

func (c *collector) zipEntry(f *zip.File) error {
	// The header may lie about the size; add limits what is really read.
	r, err := f.Open()
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The zip is damaged at %q.", cut(f.Name, 100))
	}
	defer r.Close()
	return c.add(f.Name, r, f.Modified)
}

func (c *collector) add(name string, r io.Reader, modified time.Time) error {
	if c.entries++; c.entries > MaxEntries {
		return fault.New(fault.TooLarge, "The source has over %d advisories.", MaxEntries)
	}
	data, err := io.ReadAll(io.LimitReader(r, MaxEntry+1))
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The source is damaged at %q.", cut(name, 100))
	}
	if c.total += int64(len(data)); c.total > MaxTotal {
		return fault.New(fault.TooLarge, "The source holds over %d bytes of advisories.", int64(MaxTotal))
	}
	rec, err := Parse(data)
	if err != nil {
		c.batch.Rejected++
		if len(c.batch.Why) < maxRejected {
			why, _ := fault.Public(err)
			c.batch.Why = append(c.batch.Why, cut(name, 100)+": "+why)
		}
		return nil
	}
	if rec.Modified.IsZero() {
		rec.Modified = latest(rec.Published, rec.Withdrawn, known(modified))
	}
	c.batch.Records = append(c.batch.Records, rec)
	return nil
}

func latest(times ...time.Time) time.Time {
	var out time.Time
	for _, t := range times {
		if t.After(out) {
			out = t
		}
	}
	return out
}
