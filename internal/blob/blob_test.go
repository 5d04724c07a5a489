package blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/fault"
)

const big = 1 << 40

func sum256(s string) string {
	h := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(h[:])
}

func sum512(s string) string {
	h := sha512.Sum512([]byte(s))
	return "sha512:" + hex.EncodeToString(h[:])
}

// each runs a test over the filesystem and over a storage driver of distribution.
func each(t *testing.T, test func(t *testing.T, s *blob.Store)) {
	t.Run("filesystem", func(t *testing.T) { test(t, onDisk(t, t.TempDir())) })
	t.Run("storagedriver", func(t *testing.T) { test(t, blob.OverDriver(inmemory.New())) })
	t.Run("s3", func(t *testing.T) {
		s, _ := onS3(t)
		test(t, s)
	})
}

func onDisk(t *testing.T, dir string) *blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), blob.Config{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t *testing.T, s *blob.Store, d blob.Digest, offset int64) string {
	t.Helper()
	r, err := s.Open(t.Context(), d, offset)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPut(t *testing.T) {
	tests := []struct {
		name, text, want string
		limit            int64
		kind             fault.Kind
	}{
		{"computed", "hello", "", 5, ""},
		{"wanted", "hello", sum256("hello"), 100, ""},
		{"sha512", "hello", sum512("hello"), 100, ""},
		{"empty", "", "", 0, ""},
		{"over the limit", "hello", "", 4, fault.TooLarge},
		{"other bytes", "hello", sum256("bye"), 100, fault.Invalid},
		{"no digest", "hello", "md5:abc", 100, fault.Invalid},
		{"a path", "hello", "sha256:../../../../etc/passwd", 100, fault.Invalid},
		{"upper case", "hello", strings.ToUpper(sum256("hello")), 100, fault.Invalid},
	}
	each(t, func(t *testing.T, s *blob.Store) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				d, n, err := s.Put(t.Context(), strings.NewReader(tt.text), tt.want, tt.limit)
				if fault.KindOf(err) != tt.kind {
					t.Fatalf("Put() = %v, want %q", err, tt.kind)
				}
				if err != nil {
					return
				}
				if want := max(tt.want, sum256(tt.text)); (tt.want != "" && d != want) || n != int64(len(tt.text)) {
					t.Errorf("Put() = %s, %d", d, n)
				}
				if got := read(t, s, d, 0); got != tt.text {
					t.Errorf("read %q", got)
				}
			})
		}
		if n, err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); err != nil || n != 0 {
			t.Errorf("failed calls left %d files, %v", n, err)
		}
	})
}

func TestOpenStatBytesDelete(t *testing.T) {
	each(t, func(t *testing.T, s *blob.Store) {
		ctx := t.Context()
		d, _, err := s.Put(ctx, strings.NewReader("hello"), "", big)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, s, d, 3); got != "lo" {
			t.Errorf("from byte 3: %q", got)
		}
		if _, err := s.Open(ctx, d, 6); !fault.Is(err, fault.Invalid) {
			t.Errorf("beyond the end: %v", err)
		}
		if size, err := s.Stat(ctx, d); size != 5 || err != nil {
			t.Errorf("Stat() = %d, %v", size, err)
		}
		if b, err := s.Bytes(ctx, d, 5); string(b) != "hello" || err != nil {
			t.Errorf("Bytes() = %q, %v", b, err)
		}
		if _, err := s.Bytes(ctx, d, 4); !fault.Is(err, fault.TooLarge) {
			t.Errorf("Bytes() over the limit: %v", err)
		}
		if err := s.Delete(ctx, d); err != nil {
			t.Error(err)
		}
		for name, f := range map[string]func() error{
			"Open":   func() error { _, err := s.Open(ctx, d, 0); return err },
			"Stat":   func() error { _, err := s.Stat(ctx, d); return err },
			"Bytes":  func() error { _, err := s.Bytes(ctx, d, 9); return err },
			"Delete": func() error { return s.Delete(ctx, d) },
		} {
			if err := f(); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s of a deleted blob: %v", name, err)
			}
		}
	})
}

func TestUploadInPieces(t *testing.T) {
	each(t, func(t *testing.T, s *blob.Store) {
		ctx := t.Context()
		step := func(want int64, kind fault.Kind) func(int64, error) {
			return func(got int64, err error) {
				t.Helper()
				if got != want || fault.KindOf(err) != kind {
					t.Errorf("got %d, %v; want %d, %q", got, err, want, kind)
				}
			}
		}
		if err := s.StartUpload(ctx, "u1"); err != nil {
			t.Fatal(err)
		}
		if err := s.StartUpload(ctx, "u1"); !fault.Is(err, fault.Conflict) {
			t.Errorf("started twice: %v", err)
		}
		step(0, "")(s.UploadSize(ctx, "u1"))
		step(4, "")(s.AppendUpload(ctx, "u1", 0, strings.NewReader("one "), big))
		step(4, fault.Conflict)(s.AppendUpload(ctx, "u1", 0, strings.NewReader("again"), big))
		step(8, "")(s.AppendUpload(ctx, "u1", 4, strings.NewReader("two "), 8))
		step(8, fault.TooLarge)(s.AppendUpload(ctx, "u1", 8, strings.NewReader("three"), 12))
		step(8, "")(s.UploadSize(ctx, "u1"))
		broken := io.MultiReader(strings.NewReader("th"), iotest.ErrReader(io.ErrUnexpectedEOF))
		step(10, fault.Internal)(s.AppendUpload(ctx, "u1", 8, broken, big))
		step(13, "")(s.AppendUpload(ctx, "u1", 10, strings.NewReader("ree"), big))
		step(0, fault.Invalid)(s.CommitUpload(ctx, "u1", sum256("one two")))
		step(13, "")(s.CommitUpload(ctx, "u1", sum256("one two three")))
		step(0, fault.NotFound)(s.CommitUpload(ctx, "u1", sum256("one two three")))
		step(0, fault.NotFound)(s.UploadSize(ctx, "u1"))
		if got := read(t, s, sum256("one two three"), 4); got != "two three" {
			t.Errorf("read %q", got)
		}
	})
}

func TestAbortAndSweepThrowUploadsAway(t *testing.T) {
	each(t, func(t *testing.T, s *blob.Store) {
		ctx := t.Context()
		for _, id := range []string{"a", "b"} {
			if err := s.StartUpload(ctx, id); err != nil {
				t.Fatal(err)
			}
			if _, err := s.AppendUpload(ctx, id, 0, strings.NewReader("x"), big); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.AbortUpload(ctx, "a"); err != nil {
			t.Error(err)
		}
		if err := s.AbortUpload(ctx, "a"); !fault.Is(err, fault.NotFound) {
			t.Errorf("aborted twice: %v", err)
		}
		if n, err := s.Sweep(ctx, time.Now().Add(-time.Hour)); n != 0 || err != nil {
			t.Errorf("Sweep() of an hour ago = %d, %v", n, err)
		}
		if n, err := s.Sweep(ctx, time.Now().Add(time.Hour)); n != 1 || err != nil {
			t.Errorf("Sweep() = %d, %v", n, err)
		}
		for _, id := range []string{"", "../x", "a/b", ".", "-x", strings.Repeat("x", 129)} {
			if err := s.StartUpload(ctx, id); !fault.Is(err, fault.NotFound) {
				t.Errorf("StartUpload(%q) = %v", id, err)
			}
		}
	})
}

func TestOneWriterAtATime(t *testing.T) {
	each(t, func(t *testing.T, s *blob.Store) {
		ctx := t.Context()
		if err := s.StartUpload(ctx, "u"); err != nil {
			t.Fatal(err)
		}
		pr, pw := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := s.AppendUpload(ctx, "u", 0, pr, big)
			done <- err
		}()
		if _, err := pw.Write([]byte("x")); err != nil { // Returns once the other call reads.
			t.Fatal(err)
		}
		if _, err := s.AppendUpload(ctx, "u", 0, strings.NewReader("y"), big); !fault.Is(err, fault.Conflict) {
			t.Errorf("a second writer: %v", err)
		}
		if err := errors.Join(pw.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
}

func TestBytesFindsADamagedBlob(t *testing.T) {
	dir := t.TempDir()
	s := onDisk(t, dir)
	d, _, err := s.Put(t.Context(), strings.NewReader("hello"), "", big)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.WriteFile(path, []byte("hullo"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Bytes(t.Context(), d, 9); !fault.Is(err, fault.Internal) {
		t.Errorf("Bytes() = %v", err)
	}
}

func TestLinksOutOfTheFolderAreNotFollowed(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	s := onDisk(t, dir)
	if err := os.Symlink(outside, filepath.Join(dir, "sha256")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Put(t.Context(), strings.NewReader("x"), "", big); err == nil {
		t.Error("stored through a link")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("%d files outside, %v", len(entries), err)
	}
}

// killEnv makes this test binary the child that is killed in the middle of an upload.
const killEnv = "BLOB_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

// child uploads pieces, says the size that each call acknowledged, and then waits.
func child(dir string) int {
	ctx := context.Background()
	s, err := blob.Open(ctx, blob.Config{Root: dir})
	if err != nil {
		return 1
	}
	if err := s.StartUpload(ctx, "u"); err != nil {
		return 1
	}
	if _, err := s.AppendUpload(ctx, "u", 0, strings.NewReader("acknowledged "), big); err != nil {
		return 1
	}
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return 1
	}
	_, err = s.AppendUpload(ctx, "u", 13, os.Stdin, big) // Blocks until the kill.
	if err != nil {
		return 1
	}
	return 0
}

func TestAcknowledgedBytesSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{killEnv + "=" + dir}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 6)
	if _, err := io.ReadFull(out, ready); err != nil || !bytes.Equal(ready, []byte("ready\n")) {
		t.Fatalf("the child said %q, %v", ready, err)
	}
	if _, err := in.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	s := onDisk(t, dir)
	size, err := s.UploadSize(t.Context(), "u")
	if err != nil || size < 13 {
		t.Fatalf("after the kill: %d bytes, %v; 13 were acknowledged", size, err)
	}
	rest := "acknowledged half and more"[size:]
	if _, err := s.AppendUpload(t.Context(), "u", size, strings.NewReader(rest), big); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CommitUpload(t.Context(), "u", sum256("acknowledged half and more")); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesUnknownDrivers(t *testing.T) {
	for _, c := range []blob.Config{{Driver: "ftp", Root: t.TempDir()}, {Driver: "filesystem"}, {Driver: "s3"}} {
		if _, err := blob.Open(t.Context(), c); err == nil {
			t.Errorf("Open(%+v) succeeded", c)
		}
	}
}
