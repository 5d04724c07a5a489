package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

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

// gather packs into the quarantine everything that branches, tags and notes gain by moving
// to these objects: what was made in it, and what lies in the repository already without
// being reached by one of them, as test merges do. So guards see all that becomes visible,
// and what nothing reaches stays out.
func (s *Service) gather(ctx context.Context, r Repo, q *Scratch, gained []string) error {
	refs, err := s.git.Tips(ctx, q.Dir)
	if err != nil {
		return err
	}
	var in strings.Builder
	for _, g := range gained {
		in.WriteString(g + "\n")
	}
	for _, ref := range refs {
		if !platform(ref.Name) {
			in.WriteString("^" + ref.Object + "\n")
		}
	}
	packs := filepath.Join(q.Objects, "pack")
	if err := os.MkdirAll(packs, 0o700); err != nil {
		return explained(fmt.Errorf("gathering objects: %w", err))
	}
	_, err = s.git.RunEnv(ctx, q.Dir, q.Env, strings.NewReader(in.String()), 1<<10, "pack-objects", "-q", "--revs", "--non-empty", filepath.Join(packs, "pack"))
	if err != nil {
		return explained(fmt.Errorf("gathering objects for %s: %w", r.FullName(), err))
	}
	return nil
}

var packForm = regexp.MustCompile(`^pack-[0-9a-f]{40}\.(pack|rev|idx)$`)

// keep moves what was gathered into the repository. Objects that no ref reaches do no harm,
// so that a crash in between needs no repair. git has synced the files; their new names are
// synced here.
func (s *Scratch) keep() error {
	from, to := filepath.Join(s.Objects, "pack"), filepath.Join(s.Dir, "objects", "pack")
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return explained(fmt.Errorf("taking in objects: %w", err))
	}
	// git looks for a pack by its index, so that goes last.
	for _, end := range []string{".pack", ".rev", ".idx"} {
		if err := take(from, to, end); err != nil {
			return explained(fmt.Errorf("taking in objects: %w", err))
		}
	}
	return syncFolder(to)
}

// take renames the packs' files with one ending. A pack that the repository has already has
// the same objects, because its name is the hash of them.
func take(from, to, end string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !packForm.MatchString(e.Name()) || filepath.Ext(e.Name()) != end {
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
	return nil
}

// syncFolder makes the names in a folder survive a power cut.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
