package app

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/alert/route"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/registry/supply/advisory"
)

// outside answers the checks that hold stages from what the other domains know. It asks
// through the App because they are opened after the pipelines.
type outside struct {
	app    *App
	guard  *route.Guard
	client *http.Client
}

var _ check.Outside = (*outside)(nil)

// invokeTime bounds one request of a check, with its answer.
const invokeTime = 20 * time.Second

// newOutside returns what answers. Requests go where notifications may go: to public
// addresses and to what the operator allowed.
func newOutside(a *App, allow []string) (*outside, error) {
	guard, err := route.NewGuard(allow)
	if err != nil {
		return nil, err
	}
	return &outside{app: a, guard: guard, client: &http.Client{
		Timeout: invokeTime,
		// No proxy: it would connect in our place, and to where we would not.
		Transport:     &http.Transport{DialContext: guard.Dial, TLSHandshakeTimeout: 10 * time.Second, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Protected says whether the rulesets have commits come to a branch by pull request only.
func (o *outside) Protected(ctx context.Context, b check.Branch) (protected, known bool, err error) {
	branch, ok := strings.CutPrefix(b.Ref, "refs/heads/")
	if !ok {
		return false, false, nil
	}
	r, err := o.app.Rulesets.Requirements(ctx, identity.SystemActor("pipeline"), b.Repo, branch)
	if fault.Is(err, fault.NotFound) {
		return false, false, nil
	}
	return r.Pull, err == nil, err
}

// Evidence sums up what the supply chain knows of an image.
func (o *outside) Evidence(ctx context.Context, i check.Image) (check.Evidence, error) {
	r, err := o.app.Supply.Report(ctx, identity.SystemActor("pipeline"), i.Repository, i.Digest)
	if fault.Is(err, fault.NotFound) {
		return check.Evidence{}, nil // It is on its way, or will never come: the check waits.
	}
	if err != nil {
		return check.Evidence{}, err
	}
	out := check.Evidence{Scanned: r.Scanned, Provenance: r.Provenance != nil && r.Provenance.Verified}
	for _, s := range r.Signatures {
		out.Signed = out.Signed || s.Verified
	}
	for _, d := range r.Documents {
		out.SBOM = out.SBOM || d.Kind == "spdx" || d.Kind == "cyclonedx"
	}
	for _, f := range r.Findings {
		switch f.Severity {
		case advisory.Critical:
			out.Critical++
		case advisory.High:
			out.High++
		case advisory.Medium:
			out.Medium++
		case advisory.Low:
			out.Low++
		default:
			out.Unknown++
		}
	}
	return out, nil
}

// Firing lists the alerts that fire in an environment, or in a whole project.
func (o *outside) Firing(ctx context.Context, project, environment string) ([]check.Alert, error) {
	list, err := o.app.Alerts.Alerts(ctx, identity.SystemActor("pipeline"), alert.Filter{Project: project, Environment: environment, State: alert.Firing})
	if err != nil {
		return nil, err
	}
	out := make([]check.Alert, len(list))
	for i, a := range list {
		out[i] = check.Alert{Name: a.Name, Severity: a.Severity}
	}
	return out, nil
}

// Invoke sends a request to an address that the guard lets through.
func (o *outside) Invoke(ctx context.Context, r check.Request) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, strings.NewReader(r.Body))
	if err != nil {
		return 0, nil, fault.Wrap(fault.Invalid, err, "The address of the check is none.")
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", "Towpath")
	resp, err := o.client.Do(req)
	if fault.Is(err, fault.Denied) {
		return 0, nil, fault.Wrap(fault.Denied, err, "%s is not a public address, and a check may not go there.", req.URL.Host).
			WithNext("an operator may allow the host with --notify-allow")
	}
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, r.Limit))
	return resp.StatusCode, body, err
}
