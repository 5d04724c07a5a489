package blob

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// Digest names bytes by their hash: "sha256:" and 64 or "sha512:" and 128 lower-case hex
// digits.
type Digest = string

var (
	digestForm = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)
	noteForm   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)
	uploadForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)
)

// CheckDigest returns fault.Invalid when d has not the form of a digest.
func CheckDigest(d Digest) error {
	if !digestForm.MatchString(d) {
		return fault.New(fault.Invalid, "A digest must be sha256: with 64 or sha512: with 128 hexadecimal digits in lower case.")
	}
	return nil
}

// Config says where blobs live.
type Config struct {
	Driver string // "filesystem" (also "") or "s3"
	Root   string // folder of the filesystem driver; prefix in the bucket for s3, may be ""
	// Parameters of the s3 driver, with the names that distribution documents: bucket,
	// region, regionendpoint, accesskey, secretkey, encrypt, secure, …
	Parameters map[string]any
}

// backend keeps files under slash-separated names. Names are made by this package only.
type backend interface {
	// open reads from offset on. A missing file gives fs.ErrNotExist.
	open(ctx context.Context, name string, offset int64) (io.ReadCloser, error)
	// size gives fs.ErrNotExist for a missing file.
	size(ctx context.Context, name string) (int64, error)
	// write appends what r gives to the file, which must have the size `at`, making it
	// when at is 0. Written bytes are durable when it returns, also when it returns an
	// error of r. It returns how many bytes were added.
	write(ctx context.Context, name string, at int64, r io.Reader) (int64, error)
	// move renames, replacing what is there; the new name is durable when it returns.
	move(ctx context.Context, from, to string) error
	// remove deletes; a missing file gives fs.ErrNotExist.
	remove(ctx context.Context, name string) error
	// stale lists files in a folder that were not changed since before.
	stale(ctx context.Context, folder string, before time.Time) ([]string, error)
}

// Store keeps blobs. It is safe for concurrent use.
type Store struct {
	files backend

	mu   sync.Mutex
	busy map[string]bool // uploads that someone is writing to
}

// Open prepares the store. For s3 no request is made yet.
func Open(ctx context.Context, c Config) (*Store, error) {
	var files backend
	var err error
	switch c.Driver {
	case "", "filesystem":
		files, err = openFilesystem(c.Root)
	case "s3":
		files, err = openS3(ctx, c.Root, c.Parameters)
	default:
		err = fault.New(fault.Invalid, "%q is no blob driver.", c.Driver).WithNext("use filesystem or s3")
	}
	if err != nil {
		return nil, err
	}
	return &Store{files: files, busy: map[string]bool{}}, nil
}

// blobName spreads blobs over 256 folders.
func blobName(d Digest) string {
	algorithm, hexa, _ := strings.Cut(d, ":")
	return algorithm + "/" + hexa[:2] + "/" + hexa
}

const uploads = "uploads"

func uploadName(id string) string { return uploads + "/" + id }

func hasher(want Digest) hash.Hash {
	if strings.HasPrefix(want, "sha512:") {
		return sha512.New()
	}
	return sha256.New()
}

func digestOf(want Digest, h hash.Hash) Digest {
	algorithm := "sha256:"
	if strings.HasPrefix(want, "sha512:") {
		algorithm = "sha512:"
	}
	return algorithm + hex.EncodeToString(h.Sum(nil))
}

// errOverLimit says that a reader had more bytes than allowed.
var errOverLimit = errors.New("more bytes than allowed")

// limited gives errOverLimit instead of the byte after the limit.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if int64(n) > l.left {
		return int(l.left), errOverLimit
	}
	l.left -= int64(n)
	return n, err
}

// Put stores what r gives and returns its digest and size. want is the digest that it
// must have; "" means that its sha256 is computed. More than limit bytes are
// fault.TooLarge, other bytes than wanted fault.Invalid; then nothing is kept.
func (s *Store) Put(ctx context.Context, r io.Reader, want Digest, limit int64) (Digest, int64, error) {
	if want != "" {
		if err := CheckDigest(want); err != nil {
			return "", 0, err
		}
	}
	name := uploadName("put-" + rand.Text())
	h := hasher(want)
	size, err := s.files.write(ctx, name, 0, io.TeeReader(&limited{r, limit}, h))
	if err != nil {
		s.discard(ctx, name)
		return "", 0, explain(err, "storing a blob", limit)
	}
	got := digestOf(want, h)
	if want != "" && got != want {
		s.discard(ctx, name)
		return "", 0, mismatch(want, got)
	}
	if err := s.files.move(ctx, name, blobName(got)); err != nil {
		s.discard(ctx, name)
		return "", 0, explain(err, "storing a blob", limit)
	}
	return got, size, nil
}

// discard removes what a failed call left. When that fails too, Sweep finds it later.
func (s *Store) discard(ctx context.Context, name string) {
	_ = s.files.remove(context.WithoutCancel(ctx), name)
}

// Open reads a blob from offset on; the caller closes the reader. A missing blob is
// fault.NotFound, an offset beyond the end fault.Invalid.
func (s *Store) Open(ctx context.Context, d Digest, offset int64) (io.ReadCloser, error) {
	size, err := s.Stat(ctx, d)
	if err != nil {
		return nil, err
	}
	if offset < 0 || offset > size {
		return nil, fault.New(fault.Invalid, "The blob has %d bytes; it cannot be read from byte %d.", size, offset)
	}
	r, err := s.files.open(ctx, blobName(d), offset)
	if err != nil {
		return nil, missing(err, d)
	}
	return r, nil
}

// Stat returns a blob's size in bytes, or fault.NotFound.
func (s *Store) Stat(ctx context.Context, d Digest) (size int64, err error) {
	if err := CheckDigest(d); err != nil {
		return 0, err
	}
	size, err = s.files.size(ctx, blobName(d))
	if err != nil {
		return 0, missing(err, d)
	}
	return size, nil
}

// Delete removes a blob, or returns fault.NotFound. Readers that have it open go on.
func (s *Store) Delete(ctx context.Context, d Digest) error {
	if err := CheckDigest(d); err != nil {
		return err
	}
	if err := s.files.remove(ctx, blobName(d)); err != nil {
		return missing(err, d)
	}
	return nil
}

// Bytes reads a whole blob and checks it against its digest: one of more than limit bytes
// is fault.TooLarge, a damaged one fault.Internal.
func (s *Store) Bytes(ctx context.Context, d Digest, limit int64) ([]byte, error) {
	size, err := s.Stat(ctx, d)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fault.New(fault.TooLarge, "The blob %s has %d bytes; at most %d are allowed here.", d, size, limit)
	}
	r, err := s.files.open(ctx, blobName(d), 0)
	if err != nil {
		return nil, missing(err, d)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", d, err)
	}
	h := hasher(d)
	_, _ = h.Write(b) // A hash never returns an error.
	if digestOf(d, h) != d {
		return nil, fault.New(fault.Internal, "the stored bytes of blob %s are damaged", d)
	}
	return b, nil
}

func missing(err error, d Digest) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "There is no blob %s.", d)
	}
	return fmt.Errorf("reading blob %s: %w", d, err)
}

func mismatch(want, got Digest) error {
	return fault.New(fault.Invalid, "The bytes have the digest %s, not %s as announced.", got, want).WithNext("send them again")
}

// explain turns the errors that a person can act on into faults.
func explain(err error, doing string, limit int64) error {
	var f *fault.Error
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(err, errOverLimit):
		return fault.New(fault.TooLarge, "More than the %d bytes that are allowed here were sent.", limit)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(fault.Unavailable, err, "The disk that holds Towpath's data is full; nothing was stored.").
			WithNext("free space on the server's data folder, then try again")
	}
	return fmt.Errorf("%s: %w", doing, err)
}
