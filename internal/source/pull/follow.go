package pull

import (
	"context"

	"towpath.dev/towpath/internal/source/git"
)

// maxAnchors is from how many commits the lines of threads are followed; threads on others
// are outdated.
const maxAnchors = 50

// followLimits keep every line that can be followed.
func followLimits() git.Limits {
	return git.Limits{Files: 5000, FileLines: 20000, Lines: 100000, LineBytes: 1 << 20, Bytes: 32 << 20}
}

// follow finds where the line of each thread is now. One comparison serves all threads
// that begin at the same commit.
func (s *Service) follow(ctx context.Context, at place, p row, list []Thread) error {
	diffs := map[[2]string]*git.Diff{}
	for i := range list {
		t := &list[i]
		if t.Path == "" {
			continue
		}
		to := p.Head
		if t.Side == SideOld {
			to = p.Base
		}
		if t.Commit == to {
			t.Now = Place{t.Path, t.Line}
			continue
		}
		d, ok := diffs[[2]string{t.Commit, to}]
		if !ok {
			if to == "" || len(diffs) == maxAnchors {
				t.Outdated = true
				continue
			}
			found, err := at.git.Diff(ctx, at.dir, t.Commit, to, followLimits())
			if err != nil {
				return err
			}
			d = &found
			diffs[[2]string{t.Commit, to}] = d
		}
		t.Now, ok = carry(*d, Place{t.Path, t.Line})
		t.Outdated = !ok
	}
	return nil
}

// carry finds a line of the old side on the new side; ok is false when it was changed or
// removed, or when too much changed to tell.
func carry(d git.Diff, from Place) (Place, bool) {
	for _, f := range d.Files {
		if f.Old != from.Path || f.Kind == git.Added || f.Kind == git.Copied {
			continue
		}
		if f.Kind == git.Deleted || f.Binary {
			return Place{}, false
		}
		line, ok := carryLine(f, from.Line)
		if !ok {
			return Place{}, false
		}
		return Place{f.New, line}, true
	}
	return from, !d.Truncated
}

func carryLine(f git.FileDiff, line int) (int, bool) {
	shift, end := 0, 0
	for _, h := range f.Hunks {
		if line < h.OldStart {
			break
		}
		if line < h.OldStart+h.OldLines {
			for _, l := range h.Lines {
				if l.Old == line {
					return l.New, l.Kind == git.Context
				}
			}
			return 0, false // the hunk was cut
		}
		end = h.OldStart + h.OldLines
		shift += h.NewLines - h.OldLines
	}
	if f.Truncated && line >= end && !before(f, line) {
		return 0, false // a hunk that was not kept may lie before it
	}
	return line + shift, true
}

// before reports whether a kept hunk begins after the line, so that none that was cut off
// can lie before it.
func before(f git.FileDiff, line int) bool {
	for _, h := range f.Hunks {
		if line < h.OldStart {
			return true
		}
	}
	return false
}
