package page

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/pipeline"
)

// EnvironmentsView is what the page of all environments shows; its maps are by the names of
// environments.
type EnvironmentsView struct {
	Environments []deploy.Environment
	Open         map[string]alert.Counts
	Canaries     map[string]canary.View // that go on
	Sessions     map[string]int         // developers who intercept
}

// EnvironmentView is what an environment's page shows.
type EnvironmentView struct {
	deploy.Environment
	History  []deploy.Release
	Alerts   []alert.Alert // that fire here
	Sessions []dev.Session // that are on
	Canary   *canary.View  // that goes on
	Drifts   DriftView
	// Machines are its targets, Deployments the newest jobs that deployed to it or them.
	Machines    []pipeline.Machine
	Deployments []pipeline.Deployment
	Apps        []deploy.Environment // its review apps
	// MayEdit, MayRedeploy and MayEnd say which forms there are.
	MayEdit, MayRedeploy, MayEnd bool
}

// resource is the environment whose checks hold here: of a review app the one that it is of.
func (v EnvironmentView) resource() string {
	if v.Review != nil {
		return v.Review.Base
	}
	return v.Name
}

// ReleaseState is where a release stands.
func ReleaseState(r *deploy.Release) (State, string) {
	if r == nil {
		return Wait, "nothing deployed"
	}
	switch r.Result {
	case deploy.Deployed:
		return Open, "deployed"
	case deploy.Started:
		return Passing, "deploying"
	case deploy.RolledBack:
		return Shut, "rolled back"
	}
	return Shut, r.Result
}

// ReleaseHref is a release's page.
func ReleaseHref(s Shell, r deploy.Release) string {
	return s.At("/environments/" + Esc(r.Environment) + "/releases/" + strconv.FormatInt(r.Number, 10))
}

// imageOf takes "host/shop/web@sha256:…" apart into the repository and the digest.
func imageOf(ref string) (repository, digest string) {
	repository, digest, _ = strings.Cut(ref, "@")
	if host, rest, ok := strings.Cut(repository, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		repository = rest
	}
	return repository, digest
}

// imageLink is the page of a deployed image, "" for an image of another project or
// registry.
func imageLink(s Shell, ref string) string {
	repository, digest := imageOf(ref)
	if digest == "" || repository != s.Project && !strings.HasPrefix(repository, s.Project+"/") {
		return ""
	}
	return ImageHref(s, repository, digest)
}

func podState(p deploy.Pod) (State, string) {
	switch {
	case p.Gone:
		return Wait, "gone"
	case p.Ready:
		return Open, "ready"
	}
	return Passing, "not ready"
}

// ready counts the pods that serve, and all that should.
func ready(pods []deploy.Pod) (n, of int) {
	for _, p := range pods {
		if p.Gone {
			continue
		}
		of++
		if p.Ready {
			n++
		}
	}
	return n, of
}

func readyWords(pods []deploy.Pod) string {
	n, of := ready(pods)
	return strconv.Itoa(n) + " of " + strconv.Itoa(of) + " pods ready"
}

// shortURL drops the scheme of a URL for its text.
func shortURL(u string) string {
	_, rest, ok := strings.Cut(u, "://")
	if !ok {
		return u
	}
	return rest
}

// safeHost is u when it is a web address, else "".
func safeHost(u string) string {
	if strings.HasPrefix(u, "http://") || strings.HasPrefix(u, "https://") {
		return u
	}
	return ""
}
