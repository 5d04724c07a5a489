package library

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/store"
)

// MaxFile is the largest secure file in bytes.
const MaxFile = 10 << 20

// chunk is how much of a file one sealed row holds, in bytes.
const chunk = 256 << 10

// File is a secure file: a key, a certificate, a profile. Nobody reads it but a job.
type File struct {
	Name    string    `json:"name"`
	Bytes   int64     `json:"bytes"`
	Changed time.Time `json:"changed"`
	By      string    `json:"by"`
}

// fileBody is what a row of a file holds.
type fileBody struct {
	Bytes int64 `json:"bytes"`
}

// fileName keeps the name a name: a job writes the file under it.
var fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_. -]{0,127}$`)

func fileOf(project, name string) check.Resource {
	return check.Resource{Kind: check.File, Project: project, Name: name}
}

// Files returns the secure files of a project by name. The actor needs the role read.
func (s *Service) Files(ctx context.Context, a identity.Actor, project string) ([]File, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	items, err := list(ctx, s.DB, project, check.File)
	if err != nil {
		return nil, err
	}
	out := make([]File, len(items))
	for i, it := range items {
		var b fileBody
		if err := decode(it, &b); err != nil {
			return nil, err
		}
		out[i] = File{Name: it.r.Name, Bytes: b.Bytes, Changed: it.changed, By: it.by}
	}
	return out, nil
}

// UploadFile keeps a secure file; open lets every pipeline of the project use it. It is not
// replaced: remove it first, so that its permissions are given anew. The actor needs the
// role maintain.
func (s *Service) UploadFile(ctx context.Context, a identity.Actor, project, name string, content io.Reader, open bool) (File, error) {
	r := fileOf(project, name)
	if err := s.may(ctx, a, r, identity.Maintain); err != nil {
		return File{}, err
	}
	if !fileName.MatchString(name) {
		return File{}, fault.New(fault.Invalid, "%q is no name of a secure file: letters, digits, '_', '.', '-' and spaces, at most 128.", clip(name))
	}
	e := edit{secrets: map[string]string{}}
	var size int64
	for buffer := make([]byte, chunk); ; {
		n, err := io.ReadFull(content, buffer)
		if n > 0 {
			e.secrets[fmt.Sprintf("%06d", len(e.secrets))] = string(buffer[:n])
			size += int64(n)
		}
		switch {
		case size > MaxFile:
			return File{}, fault.New(fault.TooLarge, "A secure file has at most %d bytes.", MaxFile)
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			if size == 0 {
				return File{}, fault.New(fault.Invalid, "The file is empty.")
			}
			e.body = fileBody{Bytes: size}
			if err := s.create(ctx, a, r, e, open); err != nil {
				return File{}, err
			}
			return File{Name: name, Bytes: size, Changed: s.Clock.Now().UTC(), By: a.String()}, nil
		case err != nil:
			return File{}, fault.Wrap(fault.Invalid, err, "The file could not be read to its end.")
		}
	}
}

// RemoveFile removes a secure file with the permissions on it. The actor needs the role
// maintain.
func (s *Service) RemoveFile(ctx context.Context, a identity.Actor, project, name string) error {
	return s.remove(ctx, a, fileOf(project, name))
}

// LendFile returns a secure file and its name as it is kept, for a job that may use it.
func (s *Service) LendFile(ctx context.Context, h store.Handle, project, name string) (kept string, content []byte, err error) {
	r := fileOf(project, name)
	it, err := find(ctx, h, r, "")
	if errors.Is(err, errNone) {
		return "", nil, missing(r)
	}
	if err != nil {
		return "", nil, err
	}
	var b fileBody
	if err := decode(it, &b); err != nil {
		return "", nil, err
	}
	parts, err := s.unseal(ctx, h, it)
	if err != nil {
		return "", nil, err
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(parts)) {
		text.WriteString(parts[key])
	}
	if int64(text.Len()) != b.Bytes {
		return "", nil, fmt.Errorf("the %s has %d bytes of %d", r, text.Len(), b.Bytes)
	}
	return it.r.Name, []byte(text.String()), nil
}
