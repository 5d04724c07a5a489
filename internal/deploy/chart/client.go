package chart

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// MaxArchive and MaxIndex bound the archive of a chart and the index of a repository, in bytes.
const (
	MaxArchive = 16 << 20
	MaxIndex   = 32 << 20
)

// fetchTime bounds one answer, with its body.
const fetchTime = 2 * time.Minute

// Client fetches charts and keeps them in registries. It is safe for concurrent use.
type Client struct {
	http *http.Client
	own  Own
}

// Own is the registry that needs no connection; Host is "" when there is none.
type Own struct {
	Host     string // as it stands in references: "localhost:7080"
	Registry Registry
}

// New returns a Client that connects by a transport, which decides where connections may go.
func New(transport http.RoundTripper, own Own) *Client {
	return &Client{http: &http.Client{Transport: transport, Timeout: fetchTime}, own: own}
}

// Want is a chart that is asked for.
type Want struct {
	// Ref is what a chart is called: "oci://HOST/PATH/NAME", "https://HOST/NAME-1.0.0.tgz",
	// "REPOSITORY/NAME", or "NAME" with Repo.
	Ref     string
	Version string // "" is the newest that is no pre-release; a range is the newest in it
	Devel   bool   // pre-releases count too, when Version is ""
	Repo    string // the address of a chart repository
	Auth    Login  // for the host of Ref or Repo
	Plain   bool   // an OCI registry speaks HTTP

	Repositories Repositories
	Logins       Logins
}

// Chart is a chart that was fetched.
type Chart struct {
	Name    string // of its file: "web-1.2.0.tgz"
	Archive []byte
	Digest  string // of the archive, "sha256:…"
	From    string // where it was
}

// IsRef reports whether a name can only be that of a chart elsewhere.
func IsRef(name string) bool {
	return strings.HasPrefix(name, "oci://") || strings.HasPrefix(name, "https://") || strings.HasPrefix(name, "http://")
}

// Fetch finds a chart and returns it. Errors are fault.Invalid for what cannot be a chart,
// fault.NotFound for one that is not there, fault.Denied for where nothing may be fetched.
func (c *Client) Fetch(ctx context.Context, w Want) (Chart, error) {
	if w.Version == "" && w.Devel {
		w.Version = ">0.0.0-0"
	}
	switch {
	case strings.HasPrefix(w.Ref, "oci://"):
		return c.pull(ctx, w)
	case IsRef(w.Ref):
		return c.archive(ctx, w.Ref, "", w.Auth)
	case w.Repo != "":
		return c.indexed(ctx, Repository{URL: w.Repo, Username: w.Auth.Username, Password: w.Auth.Password}, w.Ref, w.Version)
	}
	alias, name, ok := strings.Cut(w.Ref, "/")
	if !ok || name == "" {
		return Chart{}, fault.New(fault.NotFound, "There is no folder %q, and a chart by name needs its repository.", w.Ref).
			WithNext("write REPOSITORY/%s after helm repo add, oci://HOST/PATH/%s, or --repo URL in the arguments", w.Ref, w.Ref)
	}
	repo, ok := w.Repositories.Find(alias)
	if !ok {
		return Chart{}, fault.New(fault.NotFound, "There is no folder %q, and no chart repository %q was added in this job.", w.Ref, alias).
			WithNext("add it before with HelmDeploy@1, command: repo, arguments: add %s URL", alias)
	}
	if strings.HasPrefix(repo.URL, "oci://") {
		w.Ref = strings.TrimSuffix(repo.URL, "/") + "/" + name
		return c.pull(ctx, w)
	}
	return c.indexed(ctx, repo, name, w.Version)
}

// archive fetches the archive of a chart; digest "" takes what comes.
func (c *Client) archive(ctx context.Context, at, digest string, auth Login) (Chart, error) {
	data, err := c.get(ctx, at, auth, MaxArchive)
	if err != nil {
		return Chart{}, err
	}
	sum := sha256.Sum256(data)
	got := hex.EncodeToString(sum[:])
	if digest = strings.TrimPrefix(digest, "sha256:"); digest != "" && !strings.EqualFold(digest, got) {
		return Chart{}, fault.New(fault.Invalid, "The archive at %s has the digest %s, and its repository promises %s.", bare(at), got, digest).
			WithNext("have the owner of the repository make its index anew")
	}
	u, err := url.Parse(at)
	if err != nil {
		return Chart{}, noAddress(at)
	}
	return Chart{Name: u.Path[strings.LastIndexByte(u.Path, '/')+1:], Archive: data, Digest: "sha256:" + got, From: bare(at)}, nil
}

// get fetches what is at an address.
func (c *Client) get(ctx context.Context, at string, auth Login, most int64) ([]byte, error) {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, noAddress(at)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, noAddress(at)
	}
	if auth.Username != "" || auth.Password != "" {
		req.SetBasicAuth(auth.Username, auth.Password)
	}
	req.Header.Set("User-Agent", "Towpath")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(u.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, answered(bare(at), resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, unreachable(u.Host, err)
	}
	if int64(len(data)) > most {
		return nil, fault.New(fault.TooLarge, "%s is larger than %d MiB.", bare(at), most>>20)
	}
	return data, nil
}

func noAddress(at string) error {
	return fault.New(fault.Invalid, "%q is no address of a chart or a chart repository.", bare(at)).WithNext("write it as https://HOST/PATH")
}

// bare is an address without what may be a secret in it.
func bare(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return "the address"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// unreachable says why nothing came of a request, without the address that it went to.
func unreachable(host string, err error) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Kind == fault.Denied {
		return fault.Wrap(fault.Denied, err, "%s is not a public address, and no chart is fetched from there.", host).
			WithNext("an operator may allow the host with --notify-allow")
	}
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err
	}
	return fault.Wrap(fault.Unavailable, err, "%s cannot be asked for a chart: %v.", host, err)
}

// answered says what a status means.
func answered(what string, status int) error {
	switch status {
	case http.StatusNotFound:
		return fault.New(fault.NotFound, "There is nothing at %s.", what)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fault.New(fault.Denied, "%s is not open to this job (status %d).", what, status).
			WithNext("give --username and --password to helm repo add or helm registry login, from secret variables")
	}
	return fault.New(fault.Unavailable, "%s answers with the status %d.", what, status)
}

// same reports whether two addresses are on the same host by the same scheme.
func same(a, b string) bool {
	x, err := url.Parse(a)
	if err != nil {
		return false
	}
	y, err := url.Parse(b)
	return err == nil && x.Scheme == y.Scheme && strings.EqualFold(x.Host, y.Host)
}

// joined is an address that may be relative to the folder at base.
func joined(base, ref string) (string, error) {
	b, err := url.Parse(strings.TrimSuffix(base, "/") + "/")
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", bare(base), err)
	}
	u, err := b.Parse(ref)
	if err != nil {
		return "", noAddress(ref)
	}
	if u.Host == b.Host && u.RawQuery == "" {
		u.RawQuery = b.RawQuery // Tokens in the address of a repository are those of its charts.
	}
	return u.String(), nil
}
