package blob_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/blob/s3test"
	"towpath.dev/towpath/internal/fault"
)

// onS3 opens a store by the s3 driver over a fake.
func onS3(t *testing.T) (*blob.Store, *s3test.Server) {
	t.Helper()
	fake := s3test.New(t)
	parameters := fake.Parameters()
	parameters["rootdirectory"] = "towpath" // Root is a folder of it.
	s, err := blob.Open(t.Context(), blob.Config{Driver: "s3", Root: "data", Parameters: parameters})
	if err != nil {
		t.Fatal(err)
	}
	return s, fake
}

func TestS3LeavesOnlyBlobsBehind(t *testing.T) {
	s, fake := onS3(t)
	d, _, err := s.Put(t.Context(), strings.NewReader("hello"), "", big)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StartUpload(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"one ", "two ", "three"} {
		if _, err := s.AppendUpload(t.Context(), "u", int64(4*i), strings.NewReader(text), big); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.CommitUpload(t.Context(), "u", sum256("one two three")); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, d := range []string{d, sum256("one two three")} {
		hexa := strings.TrimPrefix(d, "sha256:")
		want = append(want, "towpath/data/sha256/"+hexa[:2]+"/"+hexa)
	}
	slices.Sort(want)
	if got := fake.Keys(); !slices.Equal(got, want) || fake.Unfinished() != 0 {
		t.Errorf("the bucket holds %v and %d open uploads, want %v", got, fake.Unfinished(), want)
	}
}

// full is a storage driver whose disk is full.
type full struct{ storagedriver.StorageDriver }

// fullWriter takes nothing.
type fullWriter struct{ storagedriver.FileWriter }

func (fullWriter) Write([]byte) (int, error) { return 0, fmt.Errorf("write: %w", syscall.ENOSPC) }

func (f full) Writer(ctx context.Context, path string, more bool) (storagedriver.FileWriter, error) {
	w, err := f.StorageDriver.Writer(ctx, path, more)
	return fullWriter{w}, err
}

func TestAFullDiskIsSaidClearly(t *testing.T) {
	s := blob.OverDriver(full{inmemory.New()})
	_, _, err := s.Put(t.Context(), strings.NewReader("hello"), "", big)
	message, next := fault.Public(err)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(message, "full") || next == "" || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Put() = %v", err)
	}
}
