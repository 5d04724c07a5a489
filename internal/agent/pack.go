package agent

import (
	"archive/tar"
	"archive/zip"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxUnpacked is how much an archive may hold, in bytes.
const maxUnpacked = 16 << 30

// archiveFiles is ArchiveFiles@2 (K028): zip and tar, the latter plain or with gzip.
func archiveFiles(_ context.Context, s *stepRun) error {
	from, err := s.space.inside(s.space.path(dirSources), s.input("rootFolderOrFile"))
	if err != nil {
		return err
	}
	to, err := s.space.inside(s.space.path(dirSources), s.input("archiveFile"))
	if err != nil {
		return err
	}
	entries, err := s.space.tree(from, nil)
	if err != nil {
		return fmt.Errorf("archiving %s: %w", s.input("rootFolderOrFile"), err)
	}
	if info, err := s.space.root.Stat(from); err == nil && info.IsDir() && s.flag("includeRootFolder", true) {
		for i := range entries {
			entries[i].name = path.Join(path.Base(s.space.path(from)), entries[i].name)
		}
	}
	write, err := s.archiver(s.input("archiveType"), s.input("tarCompression"))
	if err != nil {
		return err
	}
	if _, err := s.space.root.Lstat(to); err == nil {
		if !s.flag("replaceExistingArchive", true) {
			return fmt.Errorf("the archive %s is there already; set replaceExistingArchive, or give another name", s.space.path(to))
		}
		if err := s.space.root.Remove(to); err != nil {
			return fmt.Errorf("replacing %s: %w", s.space.path(to), err)
		}
	}
	if err := s.space.mkdirAll(path.Dir(to)); err != nil {
		return fmt.Errorf("making the folder of %s: %w", s.space.path(to), err)
	}
	pr, pw := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := write(pw, entries)
		packed <- err
		_ = pw.CloseWithError(err)
	}()
	err = s.space.create(to, pr, 0o644)
	_ = pr.CloseWithError(io.ErrClosedPipe)
	if perr := <-packed; perr != nil {
		err = perr
	}
	if err != nil {
		return errors.Join(fmt.Errorf("archiving to %s: %w", s.space.path(to), err), s.space.root.Remove(to))
	}
	if !s.flag("quiet", false) {
		s.print(fmt.Sprintf("Archived %d files and folders in %s", len(entries), s.space.path(to)))
	}
	return nil
}

// archiver returns what writes an archive of a type.
func (s *stepRun) archiver(kind, compression string) (func(io.Writer, []entry) error, error) {
	switch strings.ToLower(kind) {
	case "", "default", "zip":
		return s.space.zip, nil
	case "tar":
	default:
		return nil, fmt.Errorf("archives of the type %s are not written here; use zip or tar", kind)
	}
	switch strings.ToLower(compression) {
	case "none":
		return s.space.pack, nil
	case "", "gz":
		return func(out io.Writer, entries []entry) error {
			z := gzip.NewWriter(out)
			return errors.Join(s.space.pack(z, entries), z.Close())
		}, nil
	}
	return nil, fmt.Errorf("tar archives with %s are not written here; use gz or none", compression)
}

// zip writes files of the workspace as a zip.
func (w *workspace) zip(out io.Writer, entries []entry) error {
	zw := zip.NewWriter(out)
	for _, e := range entries {
		if err := w.zipOne(zw, e); err != nil {
			return fmt.Errorf("packing %s: %w", e.path, err)
		}
	}
	return zw.Close()
}

func (w *workspace) zipOne(zw *zip.Writer, e entry) error {
	info, err := w.root.Lstat(e.path)
	if err != nil {
		return err
	}
	h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: info.ModTime()}
	h.SetMode(info.Mode())
	switch {
	case info.IsDir():
		h.Name += "/"
		h.Method = zip.Store
		_, err := zw.CreateHeader(h)
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := w.root.Readlink(e.path)
		if err != nil {
			return err
		}
		out, err := zw.CreateHeader(h)
		if err != nil {
			return err
		}
		_, err = io.WriteString(out, link)
		return err
	}
	f, _, err := w.open(e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	out, err := zw.CreateHeader(h)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	return err
}

// extractFiles is ExtractFiles@1 (K028).
func extractFiles(_ context.Context, s *stepRun) error {
	if s.input("destinationFolder") == "" {
		return errors.New("the input destinationFolder is empty")
	}
	to, err := s.space.inside(s.space.path(dirSources), s.input("destinationFolder"))
	if err != nil {
		return err
	}
	files, err := s.find(s.space.path(dirSources), strings.Split(s.input("archiveFilePatterns"), "\n"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no archive matches %s", strings.Join(list(s.input("archiveFilePatterns")), ", "))
	}
	if s.flag("cleanDestinationFolder", true) {
		if err := s.space.clean(to); err != nil {
			return err
		}
	}
	if err := s.space.mkdirAll(filepath.ToSlash(to)); err != nil {
		return fmt.Errorf("making the folder %s: %w", s.space.path(to), err)
	}
	for _, file := range files {
		x := extraction{s: s, to: filepath.ToSlash(to), overwrite: s.flag("overwriteExistingFiles", false), left: maxUnpacked}
		if err := x.archive(file); err != nil {
			return fmt.Errorf("extracting %s: %w", file, err)
		}
		s.print(fmt.Sprintf("Extracted %d files of %s to %s", x.files, s.space.path(file), s.space.path(to)))
	}
	return nil
}

// extraction is the unpacking of one archive.
type extraction struct {
	s         *stepRun
	to        string
	overwrite bool
	left      int64 // bytes that may still come
	files     int
	entries   int
}

// archive unpacks a file by what its name says that it is.
func (x *extraction) archive(file string) error {
	f, info, err := x.s.space.open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	name := strings.ToLower(path.Base(file))
	has := func(ends ...string) bool {
		for _, e := range ends {
			if strings.HasSuffix(name, e) {
				return true
			}
		}
		return false
	}
	switch {
	case has(".zip", ".jar", ".war", ".ear", ".nupkg", ".vsix"):
		return x.zip(f, info.Size())
	case has(".tar"):
		return x.tar(f)
	case has(".tar.bz2", ".tbz", ".tbz2"):
		return x.tar(bzip2.NewReader(f))
	case has(".gz", ".tgz"):
		z, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		if has(".tar.gz", ".tgz") {
			return x.tar(z)
		}
		return x.file(strings.TrimSuffix(path.Base(file), path.Ext(file)), z, 0o644)
	case has(".bz2"):
		return x.file(strings.TrimSuffix(path.Base(file), path.Ext(file)), bzip2.NewReader(f), 0o644)
	}
	return errors.New("its name says no format that is read here: zip, jar, war, ear, tar, tar.gz, tgz, tar.bz2, gz, bz2")
}

func (x *extraction) zip(f io.ReaderAt, size int64) error {
	zr, err := zip.NewReader(f, size)
	if err != nil {
		return err
	}
	for _, e := range zr.File {
		if err := x.zipped(e); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return nil
}

func (x *extraction) zipped(e *zip.File) error {
	if e.Mode().IsDir() {
		return x.folder(e.Name)
	}
	in, err := e.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	if e.Mode()&fs.ModeSymlink != 0 {
		link, err := io.ReadAll(io.LimitReader(in, 4096))
		if err != nil {
			return err
		}
		return x.link(e.Name, string(link))
	}
	return x.file(e.Name, in, e.Mode().Perm())
}

func (x *extraction) tar(in io.Reader) error {
	tr := tar.NewReader(in)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = x.folder(h.Name)
		case tar.TypeSymlink:
			err = x.link(h.Name, h.Linkname)
		case tar.TypeReg:
			err = x.file(h.Name, tr, fs.FileMode(h.Mode).Perm())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// place checks the name of an entry and makes its folder.
func (x *extraction) place(name string) (string, error) {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if !cleanName(name) {
		return "", errors.New("its name leads out of the folder")
	}
	if x.entries++; x.entries > maxFiles {
		return "", fmt.Errorf("the archive holds more than %d files", maxFiles)
	}
	to := path.Join(x.to, name)
	return to, x.s.space.mkdirAll(path.Dir(to))
}

func (x *extraction) folder(name string) error {
	if name == "./" || name == "." {
		return nil
	}
	to, err := x.place(name)
	if err != nil {
		return err
	}
	return x.s.space.mkdirAll(to)
}

// taken reports whether there is a file that stays; one that does not is removed.
func (x *extraction) taken(to string) (bool, error) {
	if _, err := x.s.space.root.Lstat(to); err != nil {
		return false, nil
	}
	if !x.overwrite {
		x.s.print("The file " + x.s.space.path(to) + " is there already and stays.")
		return true, nil
	}
	return false, x.s.space.root.Remove(to)
}

func (x *extraction) link(name, target string) error {
	to, err := x.place(name)
	if err != nil {
		return err
	}
	if stays, err := x.taken(to); err != nil || stays {
		return err
	}
	x.files++
	if err := x.s.space.root.Symlink(target, to); err != nil {
		return err
	}
	if w := x.s.space; w.uid != nil {
		return w.root.Lchown(to, int(*w.uid), int(*w.gid))
	}
	return nil
}

func (x *extraction) file(name string, in io.Reader, mode os.FileMode) error {
	to, err := x.place(name)
	if err != nil {
		return err
	}
	if stays, err := x.taken(to); err != nil || stays {
		return err
	}
	counted := &io.LimitedReader{R: in, N: x.left}
	if err := x.s.space.create(to, counted, mode|0o600); err != nil {
		return err
	}
	if x.left = counted.N; x.left <= 0 {
		return fmt.Errorf("the archive holds more than %d GiB", maxUnpacked>>30)
	}
	x.files++
	return nil
}
