package web

import (
	"net/http"

	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/web/page"
)

// sessions lists developers' sessions.
func (h *handler) sessions(w http.ResponseWriter, r request) error {
	if err := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Read); err != nil {
		return err
	}
	s, err := h.live(w, r, "environments", "Dev sessions", page.Crumb{Text: "environments", Href: "/projects/" + r.project() + "/environments"}, page.Crumb{Text: "dev sessions"})
	if err != nil {
		return err
	}
	all := r.query("show") == "all"
	v := page.SessionsView{MayWrite: h.holds(r, identity.Write), Me: r.actor.Name, Filters: []page.Filter{
		{Text: "Now", Count: -1, On: !all, Href: s.At("/sessions")}, {Text: "Ended too", Count: -1, On: all, Href: s.At("/sessions?show=all")},
	}}
	if v.Sessions, err = h.Dev.List(r.Context(), r.actor, r.project(), "", all); err != nil {
		return err
	}
	return h.render(w, r, page.SessionsPage(s, v))
}

// intercepting are the sessions of an environment that are on.
func (h *handler) intercepting(r request, environment string) ([]dev.Session, error) {
	return h.Dev.List(r.Context(), r.actor, r.project(), environment, false)
}

func (h *handler) stopSession(w http.ResponseWriter, r request) error {
	if err := h.Dev.Stop(r.Context(), r.actor, r.PathValue("session")); err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.At("/sessions"), "The session has ended.")
}
