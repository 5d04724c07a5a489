package local

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
)

// owner lets the calling user do everything: all that there is is his own.
type owner struct{}

// Require returns nil.
func (owner) Require(context.Context, identity.Actor, string, identity.Role) error { return nil }

// RequireAdmin returns nil.
func (owner) RequireAdmin(context.Context, identity.Actor) error { return nil }

// nowhere answers no question about commits: the plan is compiled before the run begins.
type nowhere struct{}

// File returns fault.NotFound.
func (nowhere) File(context.Context, identity.Actor, string, string, string) ([]byte, error) {
	return nil, fault.New(fault.NotFound, "A local run has no commits.")
}

// ChangedPaths returns fault.NotFound.
func (nowhere) ChangedPaths(context.Context, identity.Actor, string, string, string) ([]string, error) {
	return nil, fault.New(fault.NotFound, "A local run has no commits.")
}

// Resolve returns fault.NotFound.
func (nowhere) Resolve(context.Context, identity.Actor, string, string) (full, commit, title string, err error) {
	return "", "", "", fault.New(fault.NotFound, "A local run has no commits.")
}

// tokens issues words that open nothing: there is no server that asks for them.
type tokens struct{}

// IssueJob returns a random word.
func (tokens) IssueJob(context.Context, identity.JobClaims, string, []string, time.Duration) (string, error) {
	return rand.Text() + rand.Text(), nil
}

// outside calls what InvokeRESTAPI@1 calls. Where to is said by the connections that the
// calling user has given, so any address that he reaches is his to call.
type outside struct{ client *http.Client }

var _ check.Outside = outside{}

// callTime bounds one call with its answer.
const callTime = 20 * time.Second

func newOutside() outside {
	return outside{&http.Client{Timeout: callTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Protected knows of no branch.
func (outside) Protected(context.Context, check.Branch) (protected, known bool, err error) {
	return false, false, nil
}

// Evidence knows of no image.
func (outside) Evidence(context.Context, check.Image) (check.Evidence, error) {
	return check.Evidence{}, nil
}

// Firing knows of no alert.
func (outside) Firing(context.Context, string, string) ([]check.Alert, error) { return nil, nil }

// Invoke sends a request; redirects are not followed.
func (o outside) Invoke(ctx context.Context, r check.Request) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, strings.NewReader(r.Body))
	if err != nil {
		return 0, nil, fault.Wrap(fault.Invalid, err, "The address of the connection is none.")
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", "Towpath")
	resp, err := o.client.Do(req)
	if err != nil {
		return 0, nil, fault.Wrap(fault.Unavailable, err, "%s did not answer.", req.URL.Host)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, r.Limit))
	return resp.StatusCode, body, err
}
