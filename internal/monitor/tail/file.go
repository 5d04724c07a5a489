package tail

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// identity is what the file system calls a file.
type identity struct{ dev, ino uint64 }

// probe is how many bytes at the beginning of a file tell it from another one. Every CRI
// line begins with its time to the nanosecond.
const probe = 1024

// fingerprint is the hash of a file's first bytes; of a file that was shorter when it was
// taken, of those that it had. That tells an inode that was used again from the file that
// had it before, and finds a file again that was compressed.
type fingerprint struct {
	n   int
	sum string // hex, of n bytes
}

// distinct is how many bytes a fingerprint must have to stand for a file without its inode.
const distinct = 32

func fingerprintOf(r io.ReaderAt, n int) (fingerprint, error) {
	buf := make([]byte, n)
	got, err := r.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fingerprint{}, err
	}
	sum := sha256.Sum256(buf[:got])
	return fingerprint{got, hex.EncodeToString(sum[:16])}, nil
}

// is reports whether a file begins as this fingerprint says.
func (p fingerprint) is(r io.ReaderAt) bool {
	if p.n == 0 {
		return true
	}
	got, err := fingerprintOf(r, p.n)
	return err == nil && got == p
}

// marks are places in a file, one for each output.
type marks [outputs]int64

func (m marks) lowest() int64 { return min(m[stdout], m[stderr]) }

// file is one log file of a sequence.
type file struct {
	seq  *sequence
	name string // when it was last seen
	id   identity
	zip  identity // of its compressed form, when that was seen
	head fingerprint

	src  source // nil when it is closed
	read int64  // up to where lines were taken
	size int64  // when it was last looked at; of a compressed file unknown until its end
	skip marks  // lines of an output before this were done by an earlier Tailer

	acked  marks // up to where the server has everything
	sealed marks // the same with the parcels that are under way

	idle   int64     // the size at which nothing more could be read, -1 before
	grown  time.Time // when it last grew
	wrote  time.Time // the file's own time of that, when it was last closed
	seen   bool      // in the listing that is being gone through
	missed int       // how many listings it was not in, one after the other
	gone   bool      // deleted
	old    bool      // a newer file of the sequence has lines
	rest   bool      // the rest of a line that was too long is passed over
	done   bool      // read to its end and closed for good
}

// source is an open file. Offsets count bytes of the text, also of a compressed file.
type source interface {
	io.ReaderAt
	io.Closer
	// look returns the size and whether the file was deleted.
	look() (size int64, gone bool, err error)
}

var errNotRegular = errors.New("it is no regular file")

// open opens a log file by its path. Links are not followed: nothing but the kubelet's own
// files is read.
func open(path string, gz bool) (source, identity, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, identity{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		_ = f.Close()
		return nil, identity{}, fmt.Errorf("opening %s: %w", path, err)
	}
	id := identityOf(info)
	if gz {
		return &zipped{file: f}, id, nil
	}
	return plain{f}, id, nil
}

func identityOf(info os.FileInfo) identity {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{uint64(st.Dev), st.Ino} //nolint:unconvert // Dev is narrower on other systems
}

type plain struct{ *os.File }

func (p plain) look() (int64, bool, error) {
	info, err := p.Stat()
	if err != nil {
		return 0, false, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return info.Size(), ok && st.Nlink == 0, nil
}

// zipped reads a compressed file as if it was not: forward, and from the beginning again
// when an earlier place is asked for that the last answer did not have.
type zipped struct {
	file *os.File
	zip  *gzip.Reader
	at   int64  // where the next byte of zip belongs
	last []byte // the bytes before at
	end  bool
}

// endless is the size of a compressed file whose end was not reached.
const endless = int64(1) << 62

func (z *zipped) look() (int64, bool, error) {
	_, gone, err := plain{z.file}.look()
	if z.end {
		return z.at, gone, err
	}
	return endless, gone, err
}

func (z *zipped) Close() error { return z.file.Close() }

func (z *zipped) ReadAt(p []byte, off int64) (int, error) {
	if z.zip == nil || off < z.at-int64(len(z.last)) {
		if err := z.restart(); err != nil {
			return 0, err
		}
	}
	if gap := off - z.at; gap > 0 {
		n, err := io.CopyN(io.Discard, z.zip, gap)
		z.at, z.last = z.at+n, nil
		if err != nil {
			z.end = z.end || errors.Is(err, io.EOF)
			return 0, err
		}
	}
	n := copy(p, z.last[int64(len(z.last))-(z.at-off):])
	more, err := io.ReadFull(z.zip, p[n:])
	n, z.at = n+more, z.at+int64(more)
	z.last = append(z.last[:0], p[:n]...)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		z.end = true
		if n < len(p) {
			return n, io.EOF
		}
	case err != nil:
		return n, err
	}
	return n, nil
}

func (z *zipped) restart() error {
	if _, err := z.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	z.at, z.last = 0, nil
	var err error
	z.zip, err = gzip.NewReader(z.file)
	if err != nil {
		return fmt.Errorf("reading the compressed log %s: %w", filepath.Base(z.file.Name()), err)
	}
	return nil
}
