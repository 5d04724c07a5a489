package tail

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// meet sees a file in a listing: one that is known under this or another name, or a new
// one, which is opened. It returns false when the file has to be met again.
func (c *catalog) meet(dir, name string, n logName) bool {
	path := filepath.Join(c.cfg.Root, dir, name)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return err == nil || errors.Is(err, fs.ErrNotExist)
	}
	s, id := c.sequenceOf(dir, n.run), identityOf(info)
	for _, f := range s.files {
		if (f.id == id || f.zip == id) && (f.seen || f.src != nil || f.zip == id || c.same(f, path, info)) {
			f.seen = true
			if f.id == id {
				f.name = name
			}
			return true
		}
	}
	if c.files >= c.cfg.Limits.Open && !c.closeIdle() {
		if !c.blind {
			c.blind = true // look again soon
			c.cfg.Log.Warn("too many log files are open; this one is read later", "file", path, "open", c.files)
		}
		return false
	}
	src, id, err := open(path, n.gz)
	if err == nil {
		err = c.take(s, name, n, src, id)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.cfg.Log.Error("opening a log file", "error", err)
		return false
	}
	return true
}

// same reports whether what lies at path now is the closed file f, and opens it again when
// it has grown. An inode that was used again is told by the first bytes.
func (c *catalog) same(f *file, path string, info os.FileInfo) bool {
	unchanged := info.Size() == f.read
	if unchanged && info.ModTime().Equal(f.wrote) {
		return true
	}
	src, id, err := open(path, false)
	if err != nil {
		return true // it is gone again; the next listing will tell
	}
	if id != f.id || !f.head.is(src) {
		_ = src.Close()
		return false
	}
	if unchanged {
		f.wrote = info.ModTime()
		_ = src.Close()
		return true
	}
	f.src, f.done, f.size = src, false, info.Size()
	c.files++
	return true
}

// take puts an opened file into its sequence.
func (c *catalog) take(s *sequence, name string, n logName, src source, id identity) error {
	head, err := fingerprintOf(src, probe)
	if err != nil {
		return errors.Join(err, src.Close())
	}
	for _, f := range s.files {
		if (n.gz || f.zip == f.id) && f.head.n >= distinct && f.head.is(src) { // a file that we have, compressed or not yet
			f.seen = true
			if n.gz {
				f.zip = id
			}
			return src.Close()
		}
	}
	f := &file{seq: s, name: name, id: id, head: head, src: src, seen: true, idle: -1, grown: c.cfg.Now()}
	if n.gz {
		f.zip = id
	}
	if f.size, _, err = src.look(); err != nil {
		return errors.Join(err, src.Close())
	}
	if r, ok := c.recall(s, id, src); ok {
		f.acked, f.sealed, f.skip, f.read = r.Marks, r.Next, r.Next, r.Next.lowest()
		f.done = r.Done && (n.gz || f.size <= f.read)
		if c.resumed != nil {
			c.resumed.marks[f] = r.Next
		}
	}
	at := len(s.files)
	if last := at - 1; n.rotated != "" && last >= 0 && s.files[last].seen && !strings.Contains(s.files[last].name, ".log.") {
		at = last // an older one that comes late stands before the current file
	}
	s.files = slices.Insert(s.files, at, f)
	if f.done {
		f.src = nil
		return src.Close()
	}
	c.files++
	return nil
}

// recall finds what the checkpoint says of a file: by its inode, or, for one that was
// compressed or whose device has another number now, by its first bytes.
func (c *catalog) recall(s *sequence, id identity, src source) (record, bool) {
	list := c.known[s.dir]
	for _, byInode := range []bool{true, false} {
		for i, r := range list {
			head := fingerprint{r.Head, r.Sum}
			if r.Run != s.run || byInode != (identity{r.Dev, r.Ino} == id) || !byInode && r.Head < distinct || !head.is(src) {
				continue
			}
			c.known[s.dir] = slices.Delete(slices.Clone(list), i, i+1)
			return r, true
		}
	}
	return record{}, false
}

// closeIdle closes the file that has not grown for the longest time, of those that are
// there and read to the end.
func (c *catalog) closeIdle() bool {
	var oldest *file
	for f := range c.all {
		if f.src == nil || f.gone || f.done || f.read < f.size || f.id == f.zip {
			continue
		}
		if oldest == nil || f.grown.Before(oldest.grown) {
			oldest = f
		}
	}
	if oldest == nil {
		return false
	}
	c.shut(oldest)
	return true
}

// shut closes a file.
func (c *catalog) shut(f *file) {
	if f.src == nil {
		return
	}
	if err := f.src.Close(); err != nil {
		c.cfg.Log.Warn("closing a log file", "error", err)
	}
	f.src = nil
	c.files--
}
