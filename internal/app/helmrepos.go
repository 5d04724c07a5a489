package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/chart"
	"towpath.dev/towpath/internal/fault"
)

// repo is helm repo: the repositories of the job are a file that the agent keeps.
func (h *helmCall) repo(ctx context.Context) (deploy.Release, error) {
	w, err := h.want()
	if err != nil {
		return deploy.Release{}, err
	}
	what, words := "", h.args.words
	if len(words) > 0 {
		what, words = words[0], words[1:]
	}
	have, said := w.Repositories, ""
	switch {
	case what == "add" && len(words) == 2:
		have, err = h.charts.Add(ctx, have, chart.Repository{
			Name: words[0], URL: words[1], Username: w.Auth.Username, Password: w.Auth.Password, Everywhere: h.args.on("pass-credentials"),
		}, h.args.on("force-update"))
		said = fmt.Sprintf("%q has been added to your repositories\n", words[0])
	case (what == "remove" || what == "rm") && len(words) > 0:
		have, err = have.Remove(words...)
		said = fmt.Sprintf("%s removed from your repositories\n", strings.Join(words, ", "))
	case what == "list" || what == "ls":
		for _, r := range have {
			said += r.Name + "\t" + r.URL + "\n"
		}
		h.print(said)
		return deploy.Release{}, nil
	case what == "update" || what == "up":
		h.print("Nothing to update: the index of a repository is read when a chart is fetched.\n")
		return deploy.Release{}, nil
	default:
		return deploy.Release{}, fault.New(fault.Invalid, "helm repo %s of HelmDeploy@1 is not supported.", what).WithNext("write arguments: add NAME URL, remove NAME, list or update")
	}
	if err != nil {
		return deploy.Release{}, err
	}
	text, err := have.Text()
	if err != nil {
		return deploy.Release{}, fmt.Errorf("writing the repositories of the job: %w", err)
	}
	h.call.Save("repositories.yaml", text)
	h.print(said)
	return deploy.Release{}, nil
}

// signIn is helm registry: the logins of the job are a file that the agent keeps.
func (h *helmCall) signIn(ctx context.Context) (deploy.Release, error) {
	w, err := h.want()
	if err != nil {
		return deploy.Release{}, err
	}
	words := h.args.words
	if len(words) != 2 || words[0] != "login" && words[0] != "logout" {
		return deploy.Release{}, fault.New(fault.Invalid, "helm registry %s of HelmDeploy@1 is not supported.", strings.Join(words, " ")).
			WithNext("write arguments: login HOST --username NAME --password $(SECRET), or logout HOST")
	}
	host := strings.TrimSuffix(strings.TrimPrefix(words[1], "oci://"), "/")
	if strings.EqualFold(host, h.own) {
		h.print("Nothing to do: the job is signed in to Towpath's own registry by its identity.\n")
		return deploy.Release{}, nil
	}
	var said string
	if words[0] == "login" {
		if w.Auth.Username == "" || w.Auth.Password == "" {
			return deploy.Release{}, fault.New(fault.Invalid, "helm registry login needs a name and a password.").
				WithNext("write --username NAME --password $(SECRET); nobody types here, and --password-stdin reads nothing")
		}
		if err := h.charts.Check(ctx, host, w.Auth, w.Plain); err != nil {
			return deploy.Release{}, err
		}
		w.Logins, err = w.Logins.With(host, w.Auth)
		said = "Login Succeeded\n"
	} else {
		if !slices.Contains(slices.Collect(maps.Keys(w.Logins)), host) {
			return deploy.Release{}, fault.New(fault.NotFound, "The job is not signed in to %s.", host)
		}
		w.Logins, said = w.Logins.Without(host), "Removing login credentials for "+host+"\n"
	}
	if err != nil {
		return deploy.Release{}, err
	}
	text, err := w.Logins.Text()
	if err != nil {
		return deploy.Release{}, fmt.Errorf("writing the logins of the job: %w", err)
	}
	h.call.Save("config.json", text)
	h.print(said)
	return deploy.Release{}, nil
}
