package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"towpath.dev/towpath/internal/fault"
)

// maxNote bounds a note in bytes.
const maxNote = 64 << 20

func noteName(name string) (string, error) {
	if !noteForm.MatchString(name) {
		return "", fault.New(fault.Invalid, "A note's name must be lower-case letters, digits and dashes.")
	}
	return "notes/" + name, nil
}

// WriteNote keeps a document under a name, in the place of the one that has it. A reader gets
// the old bytes or the new ones, and what WriteNote has returned from is durable.
func (s *Store) WriteNote(ctx context.Context, name string, b []byte) error {
	to, err := noteName(name)
	if err != nil {
		return err
	}
	from := uploadName("note-" + rand.Text())
	if _, err := s.files.write(ctx, from, 0, &limited{bytes.NewReader(b), maxNote}); err != nil {
		s.discard(ctx, from)
		return explain(err, "writing a note", maxNote)
	}
	if err := s.files.move(ctx, from, to); err != nil {
		s.discard(ctx, from)
		return explain(err, "writing a note", maxNote)
	}
	return nil
}

// Note returns the document of a name, or fault.NotFound.
func (s *Store) Note(ctx context.Context, name string) ([]byte, error) {
	from, err := noteName(name)
	if err != nil {
		return nil, err
	}
	r, err := s.files.open(ctx, from, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "There is no note %s.", name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading note %s: %w", name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(&limited{r, maxNote})
	if err != nil {
		return nil, fmt.Errorf("reading note %s: %w", name, err)
	}
	return b, nil
}
