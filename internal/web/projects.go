package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/web/page"
)

func (h *handler) projects(w http.ResponseWriter, r request) error {
	list, err := h.Identity.Visible(r.Context(), r.actor)
	if err != nil {
		return err
	}
	q := r.query("q")
	var shown []identity.Project
	for _, p := range list {
		if matches(q, p.Name) {
			shown = append(shown, p)
		}
	}
	s := h.shell(w, r, "Projects")
	s.Crumbs = []page.Crumb{{Text: "projects"}}
	return h.render(w, r, page.ProjectsPage(s, shown, q))
}

// matches reports whether one of the texts contains q, in any case.
func matches(q string, texts ...string) bool {
	q = strings.ToLower(strings.TrimSpace(q))
	if q == "" {
		return true
	}
	for _, t := range texts {
		if strings.Contains(strings.ToLower(t), q) {
			return true
		}
	}
	return false
}

func (h *handler) createProject(w http.ResponseWriter, r request) error {
	p, err := h.Identity.CreateProject(r.Context(), r.actor, strings.TrimSpace(r.PostForm.Get("name")))
	if err != nil {
		return err
	}
	return done(w, r, "/projects/"+p.Name, "Project "+p.Name+" is there. Push a repository to it.")
}

func (h *handler) settings(w http.ResponseWriter, r request) error {
	members, err := h.Identity.Members(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	mayGrant := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Admin) == nil
	s := h.room(w, r, "settings", "Settings", page.Crumb{Text: "settings"})
	return h.render(w, r, page.SettingsPage(s, members, mayGrant))
}

func (h *handler) grant(w http.ResponseWriter, r request) error {
	role, ok := identity.ParseRole(r.PostForm.Get("role"))
	if !ok {
		return fault.New(fault.Invalid, "%q is no role.", r.PostForm.Get("role")).WithNext("choose read, write, maintain or admin")
	}
	user := strings.TrimSpace(r.PostForm.Get("user"))
	if err := h.Identity.Grant(r.Context(), r.actor, r.project(), user, role); err != nil {
		return err
	}
	notice := user + " has the role " + role.String() + " now."
	if role == identity.None {
		notice = user + " has no role here any more."
	}
	return done(w, r, "/projects/"+r.project()+"/settings", notice)
}

func (h *handler) tokens(w http.ResponseWriter, r request) error { return h.tokensPage(w, r, "") }

func (h *handler) tokensPage(w http.ResponseWriter, r request, secret string) error {
	list, err := h.Identity.Tokens(r.Context(), r.actor)
	if err != nil {
		return err
	}
	keys, err := h.Identity.Keys(r.Context(), r.actor)
	if err != nil {
		return err
	}
	s := h.shell(w, r, "My tokens and keys")
	s.Crumbs = []page.Crumb{{Text: "projects", Href: "/projects"}, {Text: "my tokens and keys"}}
	return h.render(w, r, page.TokensPage(s, list, keys, secret))
}

// createToken answers with the page itself: the secret is in this one answer and nowhere
// else, neither in an address nor in a cookie.
func (h *handler) createToken(w http.ResponseWriter, r request) error {
	days, err := strconv.Atoi(r.PostForm.Get("days"))
	if err != nil || days < 1 || days > 3650 {
		return fault.New(fault.Invalid, "A token ends after a number of days.").WithNext("choose one of the list")
	}
	secret, _, err := h.Identity.CreateToken(r.Context(), r.actor, strings.TrimSpace(r.PostForm.Get("name")), r.PostForm.Get("scope"), time.Duration(days)*24*time.Hour)
	if err != nil {
		return err
	}
	return h.tokensPage(w, r, secret)
}

func (h *handler) revokeToken(w http.ResponseWriter, r request) error {
	if err := h.Identity.RevokeToken(r.Context(), r.actor, r.PathValue("id")); err != nil {
		return err
	}
	return done(w, r, "/settings", "The token is revoked.")
}

func (h *handler) status(w http.ResponseWriter, r request) error {
	coverage, err := h.Supply.Advisories(r.Context(), r.actor)
	if err != nil {
		return err
	}
	list, err := h.Pipeline.Agents(r.Context(), r.actor)
	if err != nil {
		return err
	}
	agents := make([]page.Agent, 0, len(list))
	for _, a := range list {
		state, word := page.Open, "free"
		switch {
		case a.Running > 0:
			state, word = page.Passing, "working"
		case !a.Enabled:
			state, word = page.Held, "disabled"
		case !a.Online:
			state, word = page.Shut, "offline"
		}
		agents = append(agents, page.Agent{
			Name: a.Name, System: a.OS + "/" + a.Arch, Version: a.Version, Busy: strconv.Itoa(a.Running) + " of " + strconv.Itoa(a.Slots),
			State: state, Word: word, Seen: a.Seen,
		})
	}
	s := h.shell(w, r, "Installation")
	s.Crumbs = []page.Crumb{{Text: "projects", Href: "/projects"}, {Text: "installation"}}
	return h.render(w, r, page.StatusPage(s, h.Cluster.Status(), agents, coverage))
}

// trace draws the evidence chain of one thing.
func (h *handler) trace(w http.ResponseWriter, r request) error {
	if err := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Read); err != nil {
		return err
	}
	ref := r.PathValue("kind") + "/" + r.PathValue("id")
	chain, err := h.Evidence.Trace(r.Context(), r.actor, ref)
	if err != nil {
		return err
	}
	if chain.Project != r.project() { // Shown where it belongs, so that its links lead there.
		http.Redirect(w, r.Request, "/projects/"+chain.Project+"/trace/"+page.EscPath(ref), http.StatusSeeOther)
		return nil
	}
	s := h.room(w, r, "path", "Evidence of "+ref, page.Crumb{Text: "evidence"}, page.Crumb{Text: page.Short(chain.Subject.ID())})
	return h.render(w, r, page.TracePage(s, ref, chain))
}
