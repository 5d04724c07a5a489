package sbom

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/google/osv-scalibr/binary/proto/config_go_proto"
	"github.com/google/osv-scalibr/extractor"
	"github.com/google/osv-scalibr/extractor/filesystem"
	"github.com/google/osv-scalibr/extractor/filesystem/language/golang/gobinary"
	"github.com/google/osv-scalibr/extractor/filesystem/os/apk"
	apkmeta "github.com/google/osv-scalibr/extractor/filesystem/os/apk/metadata"
	"github.com/google/osv-scalibr/extractor/filesystem/os/dpkg"
	dpkgmeta "github.com/google/osv-scalibr/extractor/filesystem/os/dpkg/metadata"
	scalibrfs "github.com/google/osv-scalibr/fs"
	"github.com/google/osv-scalibr/purl"
)

// scanner gathers one layer's content.
type scanner struct {
	*Reader
	content Content
	found   int
}

// maxText bounds a package.json or os-release; real ones have a few kilobytes.
const maxText = 1 << 20

func (s *scanner) entry(ctx context.Context, h *tar.Header, body io.Reader) error {
	p := clean(h.Name)
	if p == "" || s.content.whiteout(p) {
		return nil
	}
	if h.Typeflag != tar.TypeReg || h.Size == 0 {
		return nil
	}
	switch {
	case p == "etc/os-release" || p == "usr/lib/os-release":
		return s.release(body)
	case h.Size > s.limits.File:
		return nil
	case dpkgFile(p):
		return s.database(ctx, dpkg.New, p, h, body)
	case p == "lib/apk/db/installed" || p == "usr/lib/apk/db/installed":
		return s.database(ctx, apk.New, p, h, body)
	case path.Base(p) == "package.json" && strings.Contains("/"+p, "/node_modules/"):
		return s.npm(p, body)
	case h.FileInfo().Mode()&0o111 != 0:
		return s.program(ctx, p, h, body)
	}
	return nil
}

func dpkgFile(p string) bool {
	return p == "var/lib/dpkg/status" || strings.HasPrefix(p, "var/lib/dpkg/status.d/") && !strings.HasSuffix(p, ".md5sums")
}

// program looks into an executable for Go's module list. Only ELF, PE and Mach-O
// files are spooled; scripts end at their first bytes.
func (s *scanner) program(ctx context.Context, p string, h *tar.Header, body io.Reader) error {
	b := bufio.NewReader(body)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !object(magic) {
		s.add(p, nil)
		return nil
	}
	f, done, err := s.spool(b)
	if err != nil {
		return err
	}
	defer done()
	e, err := gobinary.New(&config_go_proto.PluginConfig{})
	if err != nil {
		return fmt.Errorf("making the Go extractor: %w", err)
	}
	inv, err := e.Extract(ctx, &filesystem.ScanInput{Path: p, Info: h.FileInfo(), Reader: f})
	if err != nil {
		return fmt.Errorf("reading the program %s: %w", p, err)
	}
	s.add(p, inv.Packages)
	return nil
}

func object(magic []byte) bool {
	for _, m := range []string{"\x7fELF", "MZ", "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe"} {
		if bytes.HasPrefix(magic, []byte(m)) {
			return true
		}
	}
	return false
}

// spool writes body to a nameless file, so that it can be read at any offset
// without holding it in memory.
func (s *scanner) spool(body io.Reader) (*os.File, func(), error) {
	f, err := os.CreateTemp(s.temp, "towpath-layer-*")
	if err != nil {
		return nil, nil, fmt.Errorf("making a temporary file: %w", err)
	}
	// Unlinked at once: nothing stays behind, whatever happens.
	err = os.Remove(f.Name())
	if err == nil {
		_, err = io.Copy(f, body)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("spooling a program: %w", err), f.Close())
	}
	return f, func() {
		// Only read from, so closing loses nothing.
		_ = f.Close()
	}, nil
}

func (s *scanner) database(ctx context.Context, make func(*config_go_proto.PluginConfig) (filesystem.Extractor, error), p string, h *tar.Header, body io.Reader) error {
	e, err := make(&config_go_proto.PluginConfig{})
	if err != nil {
		return fmt.Errorf("making the extractor: %w", err)
	}
	inv, err := e.Extract(ctx, &filesystem.ScanInput{FS: bare{}, Path: p, Info: h.FileInfo(), Reader: body})
	if err != nil {
		return fmt.Errorf("reading the package database %s: %w", p, err)
	}
	s.add(p, inv.Packages)
	return nil
}

func (s *scanner) add(p string, packages []*extractor.Package) {
	f := File{Path: p}
	for _, pkg := range packages {
		found := Found{Type: pkg.PURLType, Name: pkg.Name, Version: pkg.Version}
		switch m := pkg.Metadata.(type) {
		case *dpkgmeta.Metadata:
			found.Source, found.SourceVersion, found.Arch = m.SourceName, m.SourceVersion, m.Architecture
		case *apkmeta.Metadata:
			found.Source, found.Arch = m.OriginName, m.Architecture
		}
		if pkg.PURLType == purl.TypeGolang && pkg.Name == "go" {
			// What is linked in is the standard library; advisories call it so.
			found.Name, found.Version = "stdlib", goVersion(pkg.Version)
		}
		f.Found = append(f.Found, found)
	}
	s.found += len(f.Found)
	s.content.Files = append(s.content.Files, f)
}

// goVersion writes a Go release as a semantic version: "1.27rc1" is 1.27.0-rc.1.
func goVersion(v string) string {
	for _, pre := range []string{"rc", "beta"} {
		if base, n, ok := strings.Cut(v, pre); ok && !strings.Contains(base, "-") {
			if strings.Count(base, ".") == 1 {
				base += ".0"
			}
			return base + "-" + pre + "." + n
		}
	}
	return v
}

// npm reads an installed package's own description. One that names no package (a
// fixture, a nested "type" marker) declares nothing.
func (s *scanner) npm(p string, body io.Reader) error {
	var in struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	data, err := io.ReadAll(io.LimitReader(body, maxText))
	if err != nil {
		return err
	}
	if json.Unmarshal(data, &in) != nil || in.Name == "" || in.Version == "" || len(in.Name)+len(in.Version) > 500 {
		return nil
	}
	// The directory must be the package's: node_modules/NAME/package.json.
	if !strings.HasSuffix("/"+path.Dir(p), "/node_modules/"+in.Name) {
		return nil
	}
	s.found++
	s.content.Files = append(s.content.Files, File{Path: p, Found: []Found{{Type: purl.TypeNPM, Name: in.Name, Version: in.Version}}})
	return nil
}

func (s *scanner) release(body io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(body, maxText))
	if err != nil {
		return err
	}
	out := map[string]string{}
	for _, line := range strings.Split(string(data), "\n") {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		if ok && len(value) < 200 && (name == "ID" || name == "VERSION_ID" || name == "VERSION_CODENAME") {
			out[name] = value
		}
	}
	if len(out) > 0 {
		s.content.Release = out
	}
	return nil
}

// bare is a file system with an empty os-release and nothing else. The database
// extractors look there; which release an image is of is known only when all its layers
// are put together.
type bare struct{}

var _ scalibrfs.FS = bare{}

func (bare) Open(name string) (fs.File, error) {
	if name == "etc/os-release" {
		return nothing{}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (bare) ReadDir(string) ([]fs.DirEntry, error) { return nil, nil }

func (bare) Stat(name string) (fs.FileInfo, error) {
	if name == "etc" {
		return nil, nil // The extractors ask only whether it is there.
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// nothing is an empty file.
type nothing struct{}

func (nothing) Stat() (fs.FileInfo, error) { return nil, fs.ErrInvalid }
func (nothing) Read([]byte) (int, error)   { return 0, io.EOF }
func (nothing) Close() error               { return nil }
