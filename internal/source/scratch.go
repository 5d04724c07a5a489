package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"towpath.dev/towpath/internal/identity"
)

// Scratch is a quarantine for objects that the platform makes: git run in Dir with Env
// reads the repository and writes new objects beside it. They enter the repository only
// when an Update takes them in. Nothing in it outlives Close.
type Scratch struct {
	Dir     string   // of the repository
	Env     []string // for git.RunEnv
	Objects string   // folder of the new objects, absolute

	repo string // id
}

// Scratch makes an empty quarantine in a repository. The actor needs the role read. The
// caller must Close it.
func (s *Service) Scratch(ctx context.Context, actor identity.Actor, full string) (*Scratch, error) {
	r, dir, err := s.Locate(ctx, actor, full)
	if err != nil {
		return nil, err
	}
	return newScratch(r, dir)
}

// newScratch makes the folder under a name that Recover removes, and that git itself uses
// for the quarantines of pushes.
func newScratch(r Repo, dir string) (*Scratch, error) {
	objects := filepath.Join(dir, "objects")
	at, err := os.MkdirTemp(objects, "tmp_objdir-scratch-")
	if err != nil {
		return nil, explained(fmt.Errorf("making a quarantine: %w", err))
	}
	// With GIT_QUARANTINE_PATH git refuses to move refs, so that none can come to point at
	// an object that is thrown away.
	env := append(quarantined(at, objects), "GIT_QUARANTINE_PATH="+at)
	return &Scratch{Dir: dir, Env: env, Objects: at, repo: r.id}, nil
}

// Close removes the quarantine and what was not taken in.
func (s *Scratch) Close() error {
	if err := os.RemoveAll(s.Objects); err != nil {
		return fmt.Errorf("removing a quarantine: %w", err)
	}
	return nil
}

var (
	fanForm   = regexp.MustCompile(`^[0-9a-f]{2}$`)
	looseForm = regexp.MustCompile(`^[0-9a-f]{38}$`)
	packForm  = regexp.MustCompile(`^pack-[0-9a-f]{40}\.(pack|rev|idx)$`)
)

// keep moves the objects into the repository. Objects that no ref reaches do no harm, so
// that a crash in between needs no repair. git has synced the files; their new names are
// synced here.
func (s *Scratch) keep() error {
	entries, err := os.ReadDir(s.Objects)
	if err != nil {
		return fmt.Errorf("taking in objects: %w", err)
	}
	for _, e := range entries {
		switch {
		case !e.IsDir():
		case fanForm.MatchString(e.Name()):
			err = s.take(e.Name(), looseForm.MatchString)
		case e.Name() == "pack":
			// git looks for a pack by its index, so that goes last.
			for _, end := range []string{".pack", ".rev", ".idx"} {
				err = errors.Join(err, s.take("pack", func(name string) bool { return packForm.MatchString(name) && filepath.Ext(name) == end }))
			}
		}
		if err != nil {
			return explained(fmt.Errorf("taking in objects: %w", err))
		}
	}
	return syncFolder(filepath.Join(s.Dir, "objects"))
}

// take renames the files of one folder that fit. One that the repository has already has
// the same content, because its name is the hash of it.
func (s *Scratch) take(folder string, fits func(name string) bool) error {
	from, to := filepath.Join(s.Objects, folder), filepath.Join(s.Dir, "objects", folder)
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !fits(e.Name()) {
			continue
		}
		target := filepath.Join(to, e.Name())
		if _, err := os.Lstat(target); err == nil {
			continue
		}
		if err := os.Rename(filepath.Join(from, e.Name()), target); err != nil {
			return err
		}
	}
	return syncFolder(to)
}

// syncFolder makes the names in a folder survive a power cut.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
