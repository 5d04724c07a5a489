package foreign

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"towpath.dev/towpath/internal/fault"
)

// Dial opens a connection, and refuses addresses that nobody may be led to (fault.Denied).
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Client asks registries. It is safe for concurrent use.
type Client struct{ dial Dial }

// New returns a client that reaches registries by dial.
func New(d Dial) *Client { return &Client{dial: d} }

// Pushed is an image as a registry has it.
type Pushed struct {
	Digest string
	Size   int64 // bytes of the manifest
}

// Push puts the image of a layout into a registry, under its name "HOST/REPOSITORY:TAG". What
// the registry has already is not sent. Credentials that the registry does not take are
// fault.Denied, a registry that does not answer is fault.Unavailable.
func (c *Client) Push(ctx context.Context, l Login, dir, digest, image string) (Pushed, error) {
	hash, err := v1.NewHash(digest)
	if err != nil {
		return Pushed{}, fault.Wrap(fault.Invalid, err, "%.100q is no digest.", digest)
	}
	ref, options, done, err := c.reach(ctx, image, l)
	if err != nil {
		return Pushed{}, err
	}
	defer done()
	found, err := layout.Path(dir).Image(hash)
	if err != nil {
		return Pushed{}, fmt.Errorf("reading the image %s: %w", image, err)
	}
	if err := remote.Write(ref, found, options...); err != nil {
		return Pushed{}, explain(err, ref)
	}
	size, err := found.Size()
	if err != nil {
		return Pushed{}, fmt.Errorf("reading the manifest of %s: %w", image, err)
	}
	return Pushed{Digest: digest, Size: size}, nil
}

// Digest returns the digest that an image name stands for now. The login of its registry is
// taken of the list, if there is one.
func (c *Client) Digest(ctx context.Context, image string, logins []Login) (string, error) {
	ref, err := name.ParseReference(image, name.WeakValidation)
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "%.200q is not the name of an image.", image)
	}
	ref, options, done, err := c.reach(ctx, image, of(logins, ref.Context().RegistryStr()))
	if err != nil {
		return "", err
	}
	defer done()
	d, err := remote.Head(ref, options...)
	if err != nil {
		return "", explain(err, ref)
	}
	return d.Digest.String(), nil
}

// reach is how to ask the registry of an image; done lets its connections go.
func (c *Client) reach(ctx context.Context, image string, l Login) (ref name.Reference, options []remote.Option, done func(), err error) {
	strict := []name.Option{name.WeakValidation}
	if l.plain() {
		strict = append(strict, name.Insecure)
	}
	if ref, err = name.ParseReference(image, strict...); err != nil {
		return nil, nil, nil, fault.Wrap(fault.Invalid, err, "%.200q is not the name of an image.", image)
	}
	who := authn.Anonymous
	if l.User != "" || l.Secret != "" {
		who = &authn.Basic{Username: l.User, Password: l.Secret}
	}
	t := &http.Transport{
		DialContext: c.dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 2 * time.Minute, MaxIdleConnsPerHost: 4,
		// No proxy: it would connect in our place, and to where we would not.
		Proxy: nil,
	}
	options = []remote.Option{remote.WithContext(ctx), remote.WithAuth(who), remote.WithTransport(sealed{t, l.plain()}), remote.WithUserAgent("towpath"), remote.WithJobs(2)}
	return ref, options, t.CloseIdleConnections, nil
}

// sealed refuses requests without TLS: the client would try them with private addresses.
type sealed struct {
	next  http.RoundTripper
	plain bool
}

func (s sealed) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !s.plain {
		return nil, fmt.Errorf("%s is not asked without TLS: the address of the registry does not say http://", r.URL.Host)
	}
	return s.next.RoundTrip(r)
}

// explain says what a registry has answered.
func explain(err error, ref name.Reference) error {
	host := ref.Context().RegistryStr()
	if fault.Is(err, fault.Denied) {
		return fault.Wrap(fault.Denied, err, "The registry %s is not at a public address, and tasks of the server may not go there.", host).
			WithNext("an operator may allow the host with --notify-allow")
	}
	var answer *transport.Error
	// Not found is what many registries say of a repository that one may not see.
	if errors.As(err, &answer) && slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}, answer.StatusCode) {
		return fault.Wrap(fault.Denied, err, "The registry %s refuses %s: %v", host, ref.Context().RepositoryStr(), answer).
			WithNext("look at the user name and the password of the service connection, and at what that user may do")
	}
	return fault.Wrap(fault.Unavailable, err, "The registry %s did not take part: %v", host, err)
}
