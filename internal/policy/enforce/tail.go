package enforce

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxLine is the longest line of an audit log that is read. Ours hold no bodies and have a
// few KiB; longer ones are left out.
const maxLine = 256 << 10

// chunk is how much is read of a file at once.
const chunk = 256 << 10

// cursor is a place in a log that is rotated: bytes read of the file with that inode. An
// inode is given to another file once its file is gone; head tells them apart.
type cursor struct {
	inode  uint64
	offset int64
	head   string // digest of the file's first headBytes bytes, "" while it is shorter
}

// headBytes is how much of a file's beginning identifies it: an event is longer.
const headBytes = 256

// follower reads the lines of a log file that is renamed and begun anew when it is full
// ("audit.log" to "audit-2026-03-01T12-00-00.000.log"), from a cursor on, each once. It is
// not safe for concurrent use.
type follower struct {
	path string
	at   cursor
	file *os.File
	rest []byte // the beginning of a line whose end is not there yet
	skip bool   // the line that is being read is too long
	buf  []byte
}

// follow returns a follower that goes on at a cursor; the zero cursor is the beginning of
// the oldest file that is kept.
func follow(path string, at cursor) *follower {
	return &follower{path: path, at: at, buf: make([]byte, chunk)}
}

// close closes the file that is being read.
func (f *follower) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// read gives each whole line that is there to line, and returns how many there were. An
// error of line ends it; the line counts as not read. Lines are valid during the call only.
func (f *follower) read(line func([]byte) error) (n int, err error) {
	for {
		if f.file == nil {
			if ok, err := f.open(); err != nil || !ok {
				return n, err
			}
		}
		m, err := f.drain(line)
		n += m
		if err != nil {
			return n, err
		}
		more, err := f.rotate()
		if err != nil || !more {
			return n, err
		}
	}
}

// drain reads the open file to its present end.
func (f *follower) drain(line func([]byte) error) (n int, err error) {
	for {
		// What was read of an unfinished line is read again from rest, not from the file.
		m, err := f.file.ReadAt(f.buf, f.at.offset+int64(len(f.rest)))
		data := f.buf[:m]
		for len(data) > 0 {
			end := bytes.IndexByte(data, '\n')
			if end < 0 {
				f.keep(data)
				break
			}
			whole := data[:end]
			if len(f.rest) > 0 {
				whole = append(f.rest, whole...)
			}
			if !f.skip && len(whole) > 0 && len(whole) <= maxLine {
				if err := line(whole); err != nil {
					f.rest = nil
					return n, err
				}
				n++
			}
			f.at.offset += int64(len(whole)) + 1
			f.rest, f.skip = nil, false
			data = data[end+1:]
		}
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, fmt.Errorf("reading %s: %w", f.path, err)
		}
	}
}

// keep remembers the beginning of a line; of one that is too long nothing but that.
func (f *follower) keep(data []byte) {
	if f.skip || len(f.rest)+len(data) > maxLine {
		f.skip = true
		f.at.offset += int64(len(f.rest) + len(data))
		f.rest = nil
		return
	}
	f.rest = append(f.rest, data...)
}

// open opens the file in which the cursor stands; false when there is no log yet. When the
// file of the cursor is no longer kept, everything that is kept is read: a line twice does
// no harm, a line never would.
func (f *follower) open() (bool, error) {
	files, err := f.files()
	if err != nil || len(files) == 0 {
		return false, err
	}
	at := slices.IndexFunc(files, func(l logFile) bool {
		return l.inode == f.at.inode && l.size >= f.at.offset && (f.at.head == "" || headOf(l.path) == f.at.head)
	})
	if at < 0 {
		at, f.at = 0, cursor{inode: files[0].inode}
	}
	return true, f.use(files[at])
}

// headOf returns the digest of a file's beginning; "" of a file that is shorter, or away.
func headOf(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	return head(file)
}

func head(file *os.File) string {
	b := make([]byte, headBytes)
	if n, _ := file.ReadAt(b, 0); n < headBytes {
		return ""
	}
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

// cursor returns where the follower stands.
func (f *follower) cursor() cursor {
	if f.at.head == "" && f.at.offset >= headBytes && f.file != nil {
		f.at.head = head(f.file)
	}
	return f.at
}

func (f *follower) use(l logFile) error {
	file, err := os.Open(l.path)
	if err != nil {
		return fmt.Errorf("opening the audit log: %w", err)
	}
	// The name may stand for another file by now.
	info, err := file.Stat()
	if err == nil && inode(info) != f.at.inode {
		f.at = cursor{inode: inode(info)}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("opening the audit log: %w", err), file.Close())
	}
	f.file, f.rest, f.skip = file, nil, false
	return nil
}

// rotate goes on to the next file when the one that is open was read to its end and is no
// longer written to.
func (f *follower) rotate() (bool, error) {
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // Between renaming and beginning anew.
	}
	if err != nil {
		return false, fmt.Errorf("looking at the audit log: %w", err)
	}
	if inode(info) == f.at.inode {
		if info.Size() < f.at.offset {
			// Somebody emptied it.
			f.at, f.rest, f.skip = cursor{inode: f.at.inode}, nil, false
			return info.Size() > 0, nil
		}
		return false, nil
	}
	// The last lines may have been written between our reading and the renaming.
	if old, err := f.file.Stat(); err == nil && old.Size() > f.at.offset+int64(len(f.rest)) {
		return true, nil
	}
	files, err := f.files()
	if err != nil || len(files) == 0 {
		return false, err
	}
	next := slices.IndexFunc(files, func(l logFile) bool { return l.inode == f.at.inode }) + 1
	if next >= len(files) {
		return false, nil
	}
	if err := f.close(); err != nil {
		return false, err
	}
	f.at = cursor{inode: files[next].inode}
	return true, f.use(files[next])
}

// logFile is one file of the log.
type logFile struct {
	path  string
	inode uint64
	size  int64
}

// files returns the files of the log, oldest first. The names of those that were renamed
// end in their time.
func (f *follower) files() ([]logFile, error) {
	dir, base := filepath.Split(f.path)
	ext := filepath.Ext(base)
	prefix := strings.TrimSuffix(base, ext) + "-"
	entries, err := os.ReadDir(dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the folder of the audit log: %w", err)
	}
	var out []logFile
	last := logFile{}
	for _, e := range entries {
		name := e.Name()
		old := strings.HasPrefix(name, prefix) && strings.HasSuffix(name, ext)
		if !old && name != base {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", name, err)
		}
		l := logFile{path: filepath.Join(dir, name), inode: inode(info), size: info.Size()}
		if old {
			out = append(out, l)
		} else {
			last = l
		}
	}
	if last.path != "" {
		out = append(out, last)
	}
	return out, nil
}

func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
