package blob_test

import (
	"testing"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/fault"
)

func TestANoteIsReplacedAsAWhole(t *testing.T) {
	onDisk, err := blob.Open(t.Context(), blob.Config{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	inBucket, fake := onS3(t)
	for name, s := range map[string]*blob.Store{"filesystem": onDisk, "s3": inBucket} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Note(t.Context(), "list"); !fault.Is(err, fault.NotFound) {
				t.Errorf("of a note that nobody wrote: %v", err)
			}
			for _, text := range []string{"the first, which is longer", "the second"} {
				if err := s.WriteNote(t.Context(), "list", []byte(text)); err != nil {
					t.Fatal(err)
				}
				if b, err := s.Note(t.Context(), "list"); err != nil || string(b) != text {
					t.Errorf("got %q, %v; want %q", b, err, text)
				}
			}
			for _, wrong := range []string{"", "../list", "a/b", "Upper"} {
				if err := s.WriteNote(t.Context(), wrong, nil); !fault.Is(err, fault.Invalid) {
					t.Errorf("the name %q: %v", wrong, err)
				}
			}
		})
	}
	fake.Away(true)
	if err := inBucket.WriteNote(t.Context(), "list", []byte("x")); err == nil {
		t.Error("wrote into a bucket that is away")
	}
	if _, err := inBucket.Note(t.Context(), "list"); err == nil || fault.Is(err, fault.NotFound) {
		t.Errorf("read from a bucket that is away: %v", err)
	}
}
