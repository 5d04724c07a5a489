package feed

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// limits bound what comes in.
type limits struct {
	document int64 // bytes of a description
	archive  int64 // bytes of a package as it is sent, or of one file of a build
	unpacked int64 // bytes of all files
	entries  int
}

// Client speaks to registries and build servers. It is safe for concurrent use.
type Client struct {
	http   *http.Client
	limits limits
}

// maxRedirects is how often a server may send to another address.
const maxRedirects = 5

// New returns a client; nil takes http.DefaultTransport.
func New(transport http.RoundTripper) *Client {
	c := &Client{limits: limits{document: 32 << 20, archive: 1 << 30, unpacked: 4 << 30, entries: 100_000}}
	c.http = &http.Client{Transport: transport, Timeout: 30 * time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// parseURL reads the address of a server.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fault.New(fault.Invalid, "The service connection has no address of http or https.").WithNext("write its address as https://HOST/PATH")
	}
	return u, nil
}

// below is an address below that of the server; parts are escaped already.
func (s *Source) below(parts ...string) string {
	return strings.TrimRight(strings.TrimSpace(s.URL), "/") + "/" + strings.Join(parts, "/")
}

// get asks for an address. What opens the server goes to its own host alone, by whatever way
// one comes to another. what names the thing in errors.
func (c *Client) get(ctx context.Context, s *Source, address, what string) (io.ReadCloser, error) {
	home, err := parseURL(s.URL)
	if err != nil {
		return nil, err
	}
	for range maxRedirects + 1 {
		at, err := home.Parse(address)
		if err != nil || at.Scheme != "http" && at.Scheme != "https" {
			return nil, fault.New(fault.Invalid, "The server gives no address of http or https for %s.", what)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
		if err != nil {
			return nil, fault.New(fault.Invalid, "The server gives an address for %s that cannot be asked.", what)
		}
		req.Header.Set("User-Agent", "towpath")
		if at.Scheme == home.Scheme && strings.EqualFold(at.Host, home.Host) {
			for k, v := range s.Header {
				req.Header.Set(k, v)
			}
		}
		res, err := c.http.Do(req)
		if err != nil {
			return nil, unreachable(at, err)
		}
		if to := res.Header.Get("Location"); res.StatusCode >= 300 && res.StatusCode < 400 && to != "" {
			_ = res.Body.Close()
			next, err := at.Parse(to)
			if err != nil {
				return nil, fault.New(fault.Invalid, "%s sends to no address for %s.", at.Host, what)
			}
			address = next.String()
			continue
		}
		if res.StatusCode != http.StatusOK {
			_ = res.Body.Close()
			return nil, refused(at, res, what)
		}
		return res.Body, nil
	}
	return nil, fault.New(fault.Invalid, "%s sends from address to address for %s.", home.Host, what)
}

// unreachable says that a server does not answer, without its path and query.
func unreachable(at *url.URL, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fault.Wrap(fault.Unavailable, err, "%s does not answer: %v.", at.Host, err).WithNext("check the address of the service connection, and that the server can be reached from here")
}

func refused(at *url.URL, res *http.Response, what string) error {
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fault.New(fault.Denied, "%s does not let the service connection read %s.", at.Host, what).WithNext("check its user name, password or token")
	case http.StatusNotFound, http.StatusGone:
		return fault.New(fault.NotFound, "%s has no %s.", at.Host, what)
	}
	return fault.New(fault.Unavailable, "%s answers %s for %s.", at.Host, res.Status, what).WithNext("try again later")
}

// document reads a description in JSON into v.
func (c *Client) document(ctx context.Context, s *Source, address, what string, v any) error {
	body, err := c.get(ctx, s, address, what)
	if err != nil {
		return err
	}
	defer body.Close()
	raw, err := io.ReadAll(io.LimitReader(body, c.limits.document+1))
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "The description of %s did not come to its end.", what)
	}
	if int64(len(raw)) > c.limits.document {
		return fault.New(fault.TooLarge, "The description of %s is larger than %d MiB.", what, c.limits.document>>20)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fault.Wrap(fault.Invalid, err, "The description of %s cannot be read.", what).WithNext("check that the service connection names the server itself")
	}
	return nil
}

// budget counts what was written of one package or build.
type budget struct {
	limits limits
	bytes  int64
	files  int
}

// safe wants that the name of a file stays in its folder, wherever it is unpacked.
func safe(name string) error {
	clean := path.Clean(name)
	if name == "" || clean == "." || clean == ".." || strings.HasPrefix(clean, "../") || strings.HasPrefix(clean, "/") || strings.ContainsAny(name, "\\\x00:") {
		return fault.New(fault.Invalid, "The archive has the file %.100q, which would leave its folder.", name)
	}
	return nil
}

// write hands one file on and stops at the limits.
func (b *budget) write(to Write, name string, r io.Reader) error {
	if err := safe(name); err != nil {
		return err
	}
	if b.files++; b.files > b.limits.entries {
		return fault.New(fault.TooLarge, "There are more than %d files.", b.limits.entries)
	}
	counted := &counter{r: r, left: b.limits.unpacked - b.bytes}
	if err := to(path.Clean(name), counted); err != nil {
		return err
	}
	b.bytes += counted.n
	return nil
}

// counter is a reader that refuses to give more than what is left.
type counter struct {
	r       io.Reader
	n, left int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.n += int64(n); c.n > c.left {
		return 0, fault.New(fault.TooLarge, "What was fetched is larger than it may be.")
	}
	return n, err
}

func errVersion(what, version string, known []string) error {
	return fault.New(fault.NotFound, "There is no version %.60s of %s.", version, what).WithNext("it has %s", few(known))
}

// few names some of a list.
func few(list []string) string {
	const most = 5
	switch {
	case len(list) == 0:
		return "none"
	case len(list) > most:
		return strings.Join(list[:most], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}
