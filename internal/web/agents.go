package web

import (
	"net/http"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/web/page"
)

// agents lists the agents that can run the project's jobs.
func (h *handler) agents(w http.ResponseWriter, r request) error {
	if err := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Read); err != nil {
		return err
	}
	list, err := h.Pipeline.Agents(r.Context(), r.actor)
	if err != nil {
		return err
	}
	s := h.room(w, r, "settings", "Agents", page.Crumb{Text: "settings", Href: "/projects/" + r.project() + "/settings"}, page.Crumb{Text: "agents"})
	return h.render(w, r, page.AgentsPage(s, list))
}
