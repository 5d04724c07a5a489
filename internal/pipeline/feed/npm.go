package feed

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha1" //nolint:gosec // What old registries give; sha512 goes before it.
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// npm speaks the protocol of npm's registry (npm/registry, docs/responses/package-metadata.md).
type npm struct{ *Client }

// npmName is what a package may be called (npm/validate-npm-package-name; old names have capitals).
var npmName = regexp.MustCompile(`^(@[A-Za-z0-9~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*$`)

func checkNPM(s *Source) error {
	if len(s.Name) > 214 || !npmName.MatchString(s.Name) {
		return fault.New(fault.Invalid, "%.100q is no name of an npm package.", s.Name).WithNext("write NAME or @SCOPE/NAME")
	}
	return nil
}

// npmPackage is what a registry says of a package.
type npmPackage struct {
	Tags     map[string]string `json:"dist-tags"`
	Versions map[string]struct {
		Dist struct {
			Tarball   string `json:"tarball"`
			Integrity string `json:"integrity"`
			Shasum    string `json:"shasum"`
		} `json:"dist"`
	} `json:"versions"`
}

func (n npm) describe(ctx context.Context, s *Source) (p npmPackage, err error) {
	return p, n.document(ctx, s, s.below(strings.ReplaceAll(url.PathEscape(s.Name), "@", "%40")), "the package "+s.Name, &p)
}

func (n npm) resolve(ctx context.Context, s *Source) (string, error) {
	p, err := n.describe(ctx, s)
	if err != nil {
		return "", err
	}
	version := s.Version
	if s.newest() {
		tag := s.Tag
		if tag == "" {
			tag = "latest"
		}
		if version = p.Tags[tag]; version == "" {
			return "", fault.New(fault.NotFound, "The package %s has no tag %.60s.", s.Name, tag).WithNext("it has the tags %s", few(slices.Sorted(maps.Keys(p.Tags))))
		}
	}
	if _, ok := p.Versions[version]; !ok {
		return "", errVersion("the package "+s.Name, version, newestFirst(slices.Collect(maps.Keys(p.Versions))))
	}
	return version, nil
}

func (n npm) fetch(ctx context.Context, s *Source, version string, _ Keep, write Write) error {
	p, err := n.describe(ctx, s)
	if err != nil {
		return err
	}
	v, ok := p.Versions[version]
	if !ok {
		return errVersion("the package "+s.Name, version, newestFirst(slices.Collect(maps.Keys(p.Versions))))
	}
	what := "the package " + s.Name + " " + version
	sum, want, err := checksum(v.Dist.Integrity, v.Dist.Shasum)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The registry gives no checksum for %s that could be looked at.", what)
	}
	body, err := n.get(ctx, s, v.Dist.Tarball, what)
	if err != nil {
		return err
	}
	defer body.Close()
	// Nothing is written before all of it is known to be what the registry says.
	f, _, err := n.spool(io.TeeReader(body, sum), what)
	if err != nil {
		return err
	}
	defer discard(f)
	if subtle.ConstantTimeCompare(sum.Sum(nil), want) != 1 {
		return fault.New(fault.Invalid, "What came for %s has another checksum than the registry says.", what).WithNext("run again; if it stays so, ask who runs the registry")
	}
	return n.untar(f, what, write)
}

// checksum is how a tarball is looked at: by the strongest sum that is given (W3C Subresource
// Integrity, "sha512-BASE64"), else by the old one in hexadecimal numbers.
func checksum(integrity, shasum string) (hash.Hash, []byte, error) {
	for one := range strings.FieldsSeq(integrity) {
		if text, ok := strings.CutPrefix(one, "sha512-"); ok {
			text, _, _ = strings.Cut(text, "?")
			want, err := base64.StdEncoding.DecodeString(text)
			return sha512.New(), want, err
		}
	}
	want, err := hex.DecodeString(shasum)
	if err == nil && len(want) != sha1.Size {
		err = errors.New("it gives neither a sha512 nor a shasum")
	}
	return sha1.New(), want, err //nolint:gosec // See above.
}

// spool keeps an archive in a file that goes with discard.
func (c *Client) spool(r io.Reader, what string) (*os.File, int64, error) {
	f, err := os.CreateTemp("", "towpath-feed-")
	if err != nil {
		return nil, 0, err
	}
	n, err := io.Copy(f, io.LimitReader(r, c.limits.archive+1))
	switch {
	case err != nil:
		err = fault.Wrap(fault.Unavailable, err, "What was fetched for %s did not come to its end.", what)
	case n > c.limits.archive:
		err = fault.New(fault.TooLarge, "What was fetched for %s is larger than %d MiB.", what, c.limits.archive>>20)
	default:
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		discard(f)
		return nil, 0, err
	}
	return f, n, nil
}

func discard(f *os.File) {
	_ = f.Close()
	_ = os.Remove(f.Name())
}

// untar writes the files of a tarball without the folder that all of them lie in.
func (c *Client) untar(r io.Reader, what string, write Write) error {
	unreadable := func(err error) error {
		return fault.Wrap(fault.Invalid, err, "The archive of %s cannot be read.", what)
	}
	zip, err := gzip.NewReader(r)
	if err != nil {
		return unreadable(err)
	}
	b := budget{limits: c.limits}
	for tr, seen := tar.NewReader(zip), 0; ; seen++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return unreadable(err)
		}
		if seen > c.limits.entries {
			return fault.New(fault.TooLarge, "The archive of %s has more than %d entries.", what, c.limits.entries)
		}
		switch h.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg:
		default:
			return fault.New(fault.Invalid, "The archive of %s has %.100q, which is no file.", what, h.Name)
		}
		_, name, ok := strings.Cut(strings.TrimPrefix(h.Name, "./"), "/")
		if !ok {
			name = h.Name
		}
		if err := b.write(write, name, tr); err != nil {
			return err
		}
	}
}
