package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/protect"
	"towpath.dev/towpath/internal/web/page"
)

// secrets lists what push protection stopped in a repository.
func (h *handler) secrets(w http.ResponseWriter, r request) error {
	rv, err := h.repoView(r, "secrets")
	if err != nil {
		return err
	}
	v := page.SecretsView{RepoView: rv, May: h.holds(r, identity.Write)}
	if v.Findings, err = h.Protection.Blocked(r.Context(), r.actor, r.repo()); err != nil {
		return err
	}
	if v.Bypasses, err = h.Protection.Bypasses(r.Context(), r.actor, r.repo()); err != nil {
		return err
	}
	return h.render(w, r, page.SecretsPage(h.codeShell(w, r, "Blocked secrets", page.Crumb{Text: "blocked secrets"}), v))
}

// finding reads the finding in the address; one of another repository is not here.
func (h *handler) finding(r request) (protect.Finding, error) {
	f, err := h.Protection.Show(r.Context(), r.actor, r.PathValue("id"))
	if err == nil && f.Repo != r.repo() {
		return f, fault.New(fault.NotFound, "There is no blocked secret %q in %s.", r.PathValue("id"), r.repo()).WithNext("choose one from the list of blocked secrets")
	}
	return f, err
}

func (h *handler) secret(w http.ResponseWriter, r request) error {
	rv, err := h.repoView(r, "secrets")
	if err != nil {
		return err
	}
	v := page.SecretView{RepoView: rv, May: h.holds(r, identity.Write)}
	if v.Finding, err = h.finding(r); err != nil {
		return err
	}
	return h.render(w, r, page.SecretPage(h.codeShell(w, r, v.Finding.Rule, page.Crumb{Text: "blocked secrets", Href: repoPath(r, "/secrets")}, page.Crumb{Text: v.Finding.Rule}), v))
}

// bypass lets a finding through for a while.
func (h *handler) bypass(w http.ResponseWriter, r request) error {
	f, err := h.finding(r)
	if err != nil {
		return err
	}
	hours, err := strconv.Atoi(r.PostForm.Get("hours"))
	if err != nil || hours < 1 || hours > 24*365 {
		return fault.New(fault.Invalid, "A bypass ends after a number of hours.").WithNext("choose one of the list")
	}
	g, err := h.Protection.Bypass(r.Context(), r.actor, f.ID, protect.Bypass{
		Reason: r.PostForm.Get("reason"), Comment: strings.TrimSpace(r.PostForm.Get("comment")), For: time.Duration(hours) * time.Hour,
	})
	if err != nil {
		return err
	}
	return done(w, r, repoPath(r, "/secrets/"+page.Esc(f.ID)), "Let through until "+g.Expires.UTC().Format("2006-01-02 15:04")+" UTC. Push again.")
}

func (h *handler) revokeBypass(w http.ResponseWriter, r request) error {
	if err := h.Protection.Revoke(r.Context(), r.actor, r.PathValue("id")); err != nil {
		return err
	}
	return done(w, r, repoPath(r, "/secrets"), "Revoked: the next push with it is refused.")
}
