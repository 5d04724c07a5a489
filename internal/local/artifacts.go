package local

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"towpath.dev/towpath/internal/pipeline"
)

// keepArtifacts writes the artifacts of a run into folders of their names, in the place of
// what an earlier run left in folders of these names.
func (h *host) keepArtifacts(d *pipeline.Detail) error {
	if h.cfg.Artifacts == "" {
		return nil
	}
	if err := os.MkdirAll(h.cfg.Artifacts, 0o755); err != nil {
		return fmt.Errorf("keeping the artifacts: %w", err)
	}
	for _, a := range d.Artifacts {
		dir := filepath.Join(h.cfg.Artifacts, a.Name)
		if err := removeAll(dir); err != nil {
			return fmt.Errorf("keeping the artifact %s: %w", a.Name, err)
		}
		_, body, err := h.svc.OpenArtifact(context.Background(), h.actor, d.Number, a.Name)
		if err != nil {
			return err
		}
		err = errors.Join(unpack(body, dir), body.Close())
		if err != nil {
			return fmt.Errorf("keeping the artifact %s: %w", a.Name, err)
		}
	}
	return nil
}

// unpack writes the files of a tar into a new folder; nothing gets out of it.
func unpack(r io.Reader, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeSymlink:
			err = root.Symlink(h.Linkname, name)
		case tar.TypeReg:
			err = write(root, name, tr, h.FileInfo().Mode().Perm()|0o600)
		}
		if err != nil {
			return err
		}
	}
}

func write(root *os.Root, name string, from io.Reader, mode os.FileMode) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
