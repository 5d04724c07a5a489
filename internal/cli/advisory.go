package cli

import (
	"archive/zip"
	"context"
	"encoding/json"
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

	"towpath.dev/towpath/internal/api/client"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/registry/supply/advisory"
)

type (
	coverage = advisory.Coverage
	record   = advisory.Record
)

// uploadAdvisories sends a zip, or a folder as a zip, of this machine to the server.
func (e *env) uploadAdvisories(ctx context.Context, c *client.Client, path string, out *supply.Imported) error {
	st, err := os.Stat(path)
	if err != nil {
		return fault.Wrap(fault.NotFound, err, "There is no file or folder %s.", path)
	}
	var body io.Reader
	switch {
	case st.IsDir():
		r, w := io.Pipe()
		go func() { w.CloseWithError(zipFolder(w, path)) }()
		body = r
	case strings.EqualFold(filepath.Ext(path), ".zip"):
		f, err := os.Open(path)
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "%s cannot be read.", path)
		}
		defer f.Close()
		body = f
	default:
		return errNotZip
	}
	fmt.Fprintf(e.err, "sending %s\n", path)
	answer, err := c.Raw(ctx, http.MethodPost, "/advisories/upload?"+url.Values{"name": {filepath.Base(path)}}.Encode(), "application/zip", body)
	if err != nil {
		return err
	}
	defer answer.Close()
	return json.NewDecoder(answer).Decode(out)
}

func zipFolder(w io.Writer, dir string) error {
	z := zip.NewWriter(w)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Ext(path) != ".json" {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		entry, err := z.Create(filepath.ToSlash(name))
		if err != nil {
			return err
		}
		_, err = io.Copy(entry, f)
		return err
	})
	return errors.Join(err, z.Close())
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

// size says bytes for people, in units of 1024.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

func number(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
