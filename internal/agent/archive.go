package agent

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Limits of a tree that is packed or unpacked.
const maxFiles = 200_000

// entry is a file that goes into a tar under a name.
type entry struct {
	name string // in the tar, with slashes
	path string // relative to the workspace
}

// pack writes files of the workspace as a tar.
func (w *workspace) pack(out io.Writer, entries []entry) error {
	tw := tar.NewWriter(out)
	for _, e := range entries {
		if err := w.packOne(tw, e); err != nil {
			return fmt.Errorf("packing %s: %w", e.path, err)
		}
	}
	return tw.Close()
}

func (w *workspace) packOne(tw *tar.Writer, e entry) error {
	info, err := w.root.Lstat(e.path)
	if err != nil {
		return err
	}
	h := &tar.Header{Name: e.name, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = w.root.Readlink(e.path); err != nil {
			return err
		}
		return tw.WriteHeader(h)
	case info.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, e.name+"/"
		return tw.WriteHeader(h)
	}
	f, info, err := w.open(e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if n, err := io.CopyN(tw, f, h.Size); err != nil {
		return fmt.Errorf("it changed while it was read, after %d bytes: %w", n, err)
	}
	return nil
}

// tree lists everything below a folder of the workspace, or the one file that the path
// names, in order. skip, when not nil, leaves out what it says yes to, by the path
// relative to the folder.
func (w *workspace) tree(dir string, skip func(rel string, isDir bool) bool) ([]entry, error) {
	info, err := w.root.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []entry{{name: path.Base(filepath.ToSlash(dir)), path: dir}}, nil
	}
	var out []entry
	err = fs.WalkDir(w.root.FS(), path.Clean(filepath.ToSlash(dir)), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil || rel == "." {
			return err
		}
		rel = filepath.ToSlash(rel)
		if skip != nil && skip(rel, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.IsDir() && !d.Type().IsRegular() && d.Type()&fs.ModeSymlink == 0 {
			return nil // sockets, pipes
		}
		if len(out) == maxFiles {
			return fmt.Errorf("%s holds more than %d files", dir, maxFiles)
		}
		out = append(out, entry{name: rel, path: p})
		return nil
	})
	return out, err
}

// unpack writes a tar below a folder of the workspace. Names that lead out of it are
// refused; links are kept as they are, since nothing here follows them out.
func (w *workspace) unpack(in io.Reader, dir string, match func(name string) bool) (files int, err error) {
	tr := tar.NewReader(in)
	entries := 0
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return files, fmt.Errorf("reading the archive: %w", err)
		}
		if !cleanName(h.Name) {
			return files, fmt.Errorf("the archive holds the name %q, which leads out of its folder", h.Name)
		}
		if entries++; entries > maxFiles {
			return files, fmt.Errorf("the archive holds more than %d files", maxFiles)
		}
		if h.Typeflag != tar.TypeDir {
			if match != nil && !match(h.Name) {
				continue
			}
			files++
		}
		name := path.Join(filepath.ToSlash(dir), strings.TrimSuffix(h.Name, "/"))
		if err := w.unpackOne(tr, h, name); err != nil {
			return files, fmt.Errorf("unpacking %s: %w", h.Name, err)
		}
	}
}

func (w *workspace) unpackOne(tr *tar.Reader, h *tar.Header, name string) error {
	if h.Typeflag == tar.TypeDir {
		return w.mkdirAll(name)
	}
	if err := w.mkdirAll(path.Dir(name)); err != nil {
		return err
	}
	if err := w.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		if err := w.root.Symlink(h.Linkname, name); err != nil {
			return err
		}
		if w.uid != nil {
			return w.root.Lchown(name, int(*w.uid), int(*w.gid))
		}
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("entries of type %q are not supported", h.Typeflag)
	}
	f, err := w.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(h.Mode).Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, tr)
	if w.uid != nil {
		err = errors.Join(err, f.Chown(int(*w.uid), int(*w.gid)))
	}
	return errors.Join(err, f.Close())
}

// glob finds the files below a folder that one of the patterns matches, in order. A
// pattern that begins with "!" takes away again. A pattern without wildcards may name a
// folder, which stands for everything in it.
func (w *workspace) glob(dir string, patterns []string) ([]string, error) {
	all, err := w.tree(dir, func(rel string, isDir bool) bool { return isDir && path.Base(rel) == ".git" })
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		info, err := w.root.Lstat(e.path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if matchAny(patterns, e.name) {
			out = append(out, e.path)
		}
	}
	return slices.Compact(out), nil
}

// matchAny applies patterns in their order.
func matchAny(patterns []string, name string) bool {
	matched := false
	for _, p := range patterns {
		p, not := strings.CutPrefix(strings.TrimSpace(p), "!")
		p = strings.TrimPrefix(p, "./")
		if p == "" {
			continue
		}
		if matchPath(p, name) || !strings.ContainsAny(p, "*?[") && strings.HasPrefix(name, strings.TrimSuffix(p, "/")+"/") {
			matched = !not
		}
	}
	return matched
}

// matchPath matches a path against a pattern in which "**" stands for any folders and
// the rest is as in path.Match. A malformed pattern matches nothing.
func matchPath(pattern, name string) bool {
	return matchParts(strings.Split(pattern, "/"), strings.Split(name, "/"))
}

func matchParts(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for len(pattern) > 1 && pattern[1] == "**" {
				pattern = pattern[1:]
			}
			if len(pattern) == 1 {
				return len(name) > 0
			}
			for i := range name {
				if matchParts(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], name[0]); err != nil || !ok {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}

// list splits an input that holds one item a line, or several by commas.
func list(text string) []string {
	var out []string
	for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == ',' }) {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}
