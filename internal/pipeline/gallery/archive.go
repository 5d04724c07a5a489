package gallery

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// Limits of what is sent.
const (
	// MaxUpload is the largest zip in bytes.
	MaxUpload   = 64 << 20
	maxFiles    = 20_000
	maxUnpacked = 512 << 20
	maxFile     = 64 << 20
	maxPath     = 400 // bytes of a name
	maxTasks    = 50  // in one zip
)

// Package is one task of a zip.
type Package struct {
	Manifest *Manifest
	// Archive is a zip of the task's folder alone, its files in the order of their names.
	Archive []byte
	// Files is how many files it has.
	Files int
	// Extension is "publisher.extension" when the zip is a .vsix.
	Extension string
}

// Read takes a zip apart: the folder of a task, or a .vsix. Nothing is unpacked to a disk.
func Read(data []byte) ([]Package, error) {
	if len(data) > MaxUpload {
		return nil, fault.New(fault.TooLarge, "The zip has more than %d MiB.", MaxUpload>>20).WithNext("leave out what the task does not need at run time")
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "This is neither the zip of a task nor a .vsix.")
	}
	files, err := judge(z)
	if err != nil {
		return nil, err
	}
	roots := taskFolders(files)
	switch {
	case len(roots) == 0:
		return nil, fault.New(fault.Invalid, "There is no task.json in it.").WithNext("name the folder that holds task.json, or a .vsix with tasks")
	case len(roots) > maxTasks:
		return nil, fault.New(fault.TooLarge, "It holds %d tasks; %d are the most.", len(roots), maxTasks)
	}
	extension, err := extensionOf(files)
	if err != nil {
		return nil, err
	}
	left := int64(maxUnpacked)
	var out []Package
	for _, root := range roots {
		p, err := pack(files, root, &left)
		if err != nil {
			return nil, err
		}
		p.Extension = extension
		out = append(out, p)
	}
	return out, nil
}

// judge refuses a zip that holds anything but plain files below its root.
func judge(z *zip.Reader) (map[string]*zip.File, error) {
	if len(z.File) > maxFiles {
		return nil, fault.New(fault.TooLarge, "The zip has %d files; %d are the most.", len(z.File), maxFiles)
	}
	files := map[string]*zip.File{}
	for _, f := range z.File {
		name := strings.TrimSuffix(f.Name, "/")
		if !inside(name) {
			return nil, fault.New(fault.Invalid, "The zip holds %q, which would lie outside of its folder.", clip(f.Name, 200)).WithNext("make the zip from within the folder of the task")
		}
		mode := f.Mode()
		switch {
		case mode.IsDir() || strings.HasSuffix(f.Name, "/"):
			continue
		case !mode.IsRegular():
			return nil, fault.New(fault.Invalid, "The zip holds %q, which is a link or a device.", clip(f.Name, 200)).WithNext("put a copy of the file in the place of the link")
		case files[name] != nil:
			return nil, fault.New(fault.Invalid, "The zip holds %q twice.", clip(f.Name, 200))
		}
		files[name] = f
	}
	for name := range files {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if files[dir] != nil {
				return nil, fault.New(fault.Invalid, "The zip holds %q as a file and as a folder.", clip(dir, 200))
			}
		}
	}
	return files, nil
}

// inside reports whether a name is that of a file below the root, on every system.
func inside(name string) bool {
	return fs.ValidPath(name) && name != "." && len(name) <= maxPath && !strings.ContainsAny(name, "\\:\x00") &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// taskFolders are the folders that hold a task.json and lie in no other such folder.
func taskFolders(files map[string]*zip.File) []string {
	var out []string
	for name := range files {
		if path.Base(name) != "task.json" {
			continue
		}
		nested := false
		for dir := path.Dir(name); dir != "."; {
			dir = path.Dir(dir)
			nested = nested || files[path.Join(dir, "task.json")] != nil
		}
		if !nested {
			out = append(out, path.Dir(name))
		}
	}
	slices.Sort(out)
	return out
}

// pack makes the package of one folder; left is what may still be unpacked.
func pack(files map[string]*zip.File, root string, left *int64) (Package, error) {
	below := map[string]*zip.File{}
	var names []string
	for name, f := range files {
		rel, ok := name, root == "."
		if !ok {
			rel, ok = strings.CutPrefix(name, root+"/")
		}
		if ok {
			below[rel] = f
			names = append(names, rel)
		}
	}
	slices.Sort(names)
	raw, err := read(below["task.json"], maxManifest+1)
	if err != nil {
		return Package{}, err
	}
	m, err := ParseManifest(raw, func(name string) bool { return below[name] != nil })
	if err != nil {
		return Package{}, err
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		if err := repack(w, name, below[name], left); err != nil {
			return Package{}, err
		}
	}
	if err := w.Close(); err != nil {
		return Package{}, fmt.Errorf("packing %s: %w", m.Name, err)
	}
	return Package{Manifest: m, Archive: b.Bytes(), Files: len(names)}, nil
}

// repack copies a file with nothing of the zip's own about it but whether it is a program.
func repack(w *zip.Writer, name string, f *zip.File, left *int64) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(0o644)
	if f.Mode()&0o111 != 0 {
		h.SetMode(0o755)
	}
	to, err := w.CreateHeader(h)
	if err != nil {
		return fmt.Errorf("packing %s: %w", name, err)
	}
	from, err := f.Open()
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The file %q of the zip cannot be read.", clip(name, 200))
	}
	defer from.Close()
	// What the zip says of the size is foreign; what comes out counts.
	n, err := io.Copy(to, io.LimitReader(from, min(maxFile, *left)+1))
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The file %q of the zip cannot be read.", clip(name, 200))
	}
	if *left -= n; n > maxFile || *left < 0 {
		return fault.New(fault.TooLarge, "Unpacked, the zip is too large: a file has at most %d MiB, all have %d MiB.", maxFile>>20, maxUnpacked>>20)
	}
	return nil
}

// read reads a small file of a zip.
func read(f *zip.File, most int64) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The file %q of the zip cannot be read.", clip(f.Name, 200))
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The file %q of the zip cannot be read.", clip(f.Name, 200))
	}
	return b, nil
}

// extensionOf is the "publisher.extension" of a .vsix, "" for the zip of a folder.
func extensionOf(files map[string]*zip.File) (string, error) {
	f := files["extension.vsixmanifest"]
	if f == nil {
		return "", nil
	}
	raw, err := read(f, maxManifest)
	if err != nil {
		return "", err
	}
	var doc struct {
		Metadata struct {
			Identity struct {
				ID        string `xml:"Id,attr"`
				Publisher string `xml:"Publisher,attr"`
			}
		}
	}
	err = xml.Unmarshal(raw, &doc)
	id := doc.Metadata.Identity
	if err != nil || !taskName.MatchString(id.ID) || !taskName.MatchString(id.Publisher) {
		return "", fault.Wrap(fault.Invalid, errors.Join(err, errNoIdentity), "extension.vsixmanifest names no publisher and extension.")
	}
	return id.Publisher + "." + id.ID, nil
}

var errNoIdentity = errors.New("no identity")
