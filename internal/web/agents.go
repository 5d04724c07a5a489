package web

import (
	"net/http"
	"strings"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/web/page"
)

// agents lists the pools, and the agents that can run the project's jobs.
func (h *handler) agents(w http.ResponseWriter, r request) error {
	if err := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Read); err != nil {
		return err
	}
	v := page.FleetView{Pool: r.query("pool"), Add: r.query("add") != ""}
	var err error
	if v.Pools, err = h.Pools.Pools(r.Context(), r.actor); err != nil {
		return err
	}
	if v.Agents, err = h.Pipeline.AgentsOf(r.Context(), r.actor, v.Pool); err != nil {
		return err
	}
	s := h.room(w, r, "settings", "Agents", page.Crumb{Text: "settings", Href: "/projects/" + r.project() + "/settings"}, page.Crumb{Text: "agents"})
	return h.render(w, r, page.AgentsPage(s, v))
}

func (h *handler) createPool(w http.ResponseWriter, r request) error {
	p, err := h.Pools.Create(r.Context(), r.actor, strings.TrimSpace(r.PostForm.Get("name")), pool.Kind(r.PostForm.Get("kind")), pool.Settings{})
	if err != nil {
		return err
	}
	return done(w, r, "/projects/"+r.project()+"/agents", "The pool "+p.Name+" is there. Its agents register with the token that towpath pool token prints.")
}

// switchAgent enables or disables an agent.
func (h *handler) switchAgent(w http.ResponseWriter, r request) error {
	on := r.PostForm.Get("enabled") == "true"
	got, err := h.Pools.EditAgent(r.Context(), r.actor, r.PathValue("agent"), pool.Edit{Enabled: &on})
	if err != nil {
		return err
	}
	said := "The agent " + got.Name + " takes jobs again."
	if !on {
		said = "The agent " + got.Name + " ends its jobs and gets no new ones."
	}
	return done(w, r, "/projects/"+r.project()+"/agents", said)
}
