package chart

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"towpath.dev/towpath/internal/fault"
)

// remoteRegistry is a registry elsewhere.
type remoteRegistry struct {
	host      string
	transport http.RoundTripper
	auth      Login
	plain     bool
}

var _ Registry = remoteRegistry{}

// maxTags bounds how many tags of a repository are read.
const maxTags = 20000

func (r remoteRegistry) repository(path string) (name.Repository, error) {
	options := []name.Option{name.StrictValidation}
	if r.plain {
		options = append(options, name.Insecure)
	}
	repo, err := name.NewRepository(r.host+"/"+path, options...)
	if err != nil {
		return repo, fault.New(fault.Invalid, "%q is no repository of a registry.", r.host+"/"+path)
	}
	return repo, nil
}

// options never look for credentials on this machine.
func (r remoteRegistry) options(ctx context.Context) []remote.Option {
	auth := authn.Anonymous
	if r.auth != (Login{}) {
		auth = authn.FromConfig(authn.AuthConfig{Username: r.auth.Username, Password: r.auth.Password})
	}
	return []remote.Option{remote.WithContext(ctx), remote.WithTransport(r.transport), remote.WithAuth(auth), remote.WithUserAgent("Towpath")}
}

// Tags lists the tags of a repository.
func (r remoteRegistry) Tags(ctx context.Context, repository string) ([]string, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return nil, err
	}
	puller, err := remote.NewPuller(r.options(ctx)...)
	if err != nil {
		return nil, r.failed(repository, err)
	}
	pages, err := puller.Lister(ctx, repo)
	if err != nil {
		return nil, r.failed(repository, err)
	}
	var out []string
	for pages.HasNext() && len(out) < maxTags {
		page, err := pages.Next(ctx)
		if err != nil {
			return nil, r.failed(repository, err)
		}
		out = append(out, page.Tags...)
	}
	return out, nil
}

// Manifest returns a manifest by its tag or digest.
func (r remoteRegistry) Manifest(ctx context.Context, repository, ref string) ([]byte, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return nil, err
	}
	var at name.Reference = repo.Tag(ref)
	if digests.MatchString(ref) {
		at = repo.Digest(ref)
	}
	got, err := remote.Get(at, r.options(ctx)...)
	if err != nil {
		return nil, r.failed(repository+":"+ref, err)
	}
	if len(got.Manifest) > maxManifest {
		return nil, fault.New(fault.TooLarge, "The manifest of %s/%s is larger than %d MiB.", r.host, repository, maxManifest>>20)
	}
	return got.Manifest, nil
}

// Blob returns a blob.
func (r remoteRegistry) Blob(ctx context.Context, repository, digest string, most int64) ([]byte, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return nil, err
	}
	layer, err := remote.Layer(repo.Digest(digest), r.options(ctx)...)
	if err != nil {
		return nil, r.failed(repository, err)
	}
	body, err := layer.Compressed()
	if err != nil {
		return nil, r.failed(repository, err)
	}
	data, err := io.ReadAll(io.LimitReader(body, most+1))
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, r.failed(repository, err)
	}
	if int64(len(data)) > most {
		return nil, fault.New(fault.TooLarge, "The chart %s/%s is larger than %d MiB.", r.host, repository, most>>20)
	}
	return data, nil
}

// PutBlob keeps a blob.
func (r remoteRegistry) PutBlob(ctx context.Context, repository, _ string, data []byte) error {
	repo, err := r.repository(repository)
	if err != nil {
		return err
	}
	if err := remote.WriteLayer(repo, static.NewLayer(data, types.MediaType(TypeArchive)), r.options(ctx)...); err != nil {
		return r.failed(repository, err)
	}
	return nil
}

// raw is a manifest as it is.
type raw []byte

// RawManifest returns the manifest.
func (m raw) RawManifest() ([]byte, error) { return m, nil }

// MediaType is that of every manifest of a chart.
func (m raw) MediaType() (types.MediaType, error) { return TypeManifest, nil }

// PutManifest keeps a manifest under a tag.
func (r remoteRegistry) PutManifest(ctx context.Context, repository, tag string, text []byte) (string, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return "", err
	}
	if err := remote.Put(repo.Tag(tag), raw(text), r.options(ctx)...); err != nil {
		return "", r.failed(repository, err)
	}
	sum, _, err := v1.SHA256(bytes.NewReader(text))
	return sum.String(), err
}

// failed says what a registry has against a request. Its own words are not repeated: they may
// hold what was sent to it.
func (r remoteRegistry) failed(what string, err error) error {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answered(r.host+"/"+what, answer.StatusCode)
	}
	return unreachable(r.host, err)
}

// Check wants that a registry lets a login in.
func (c *Client) Check(ctx context.Context, host string, auth Login, plain bool) error {
	var options []name.Option
	if plain {
		options = append(options, name.Insecure)
	}
	reg, err := name.NewRegistry(host, options...)
	if err != nil || !ociHost.MatchString(host) {
		return fault.New(fault.Invalid, "%q is no host of a registry.", host).WithNext("write HOST or HOST:PORT, without a path")
	}
	t, err := transport.NewWithContext(ctx, reg, authn.FromConfig(authn.AuthConfig{Username: auth.Username, Password: auth.Password}), c.http.Transport, nil)
	r := remoteRegistry{host: host}
	if err != nil {
		return r.failed("v2", err)
	}
	scheme := "https"
	if plain {
		scheme = "http"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+"/v2/", nil)
	if err != nil {
		return noAddress(host)
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return unreachable(host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return answered(host+"/v2", resp.StatusCode)
	}
	return nil
}
