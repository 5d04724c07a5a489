package web

import (
	"net/http"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/web/page"
	"towpath.dev/towpath/internal/work"
)

// sprintRoutes are the addresses of sprints and of the planning.
func (h *handler) sprintRoutes() {
	h.page("GET /projects/{project}/sprints", h.sprints)
	h.form("POST /projects/{project}/sprints", h.createSprint)
	h.page("GET /projects/{project}/sprints/{sprint}", h.sprint)
	h.form("POST /projects/{project}/sprints/{sprint}/start", h.startSprint)
	h.form("POST /projects/{project}/sprints/{sprint}/close", h.closeSprint)
	h.page("GET /projects/{project}/planning", h.planning)
	h.form("POST /projects/{project}/planning", h.triage)
}

func (h *handler) sprints(w http.ResponseWriter, r request) error {
	s, err := h.workShell(w, r, "Sprints", page.Crumb{Text: "sprints"})
	if err != nil {
		return err
	}
	v := page.SprintsView{MayWrite: h.holds(r, identity.Write)}
	if v.Sprints, err = h.Work.Sprints(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	if v.Velocity, err = h.Work.Velocity(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	return h.render(w, r, page.SprintsPage(s, v))
}

// maxSprintItems is how many items a sprint's page lists.
const maxSprintItems = 500

func (h *handler) sprint(w http.ResponseWriter, r request) error {
	sp, err := h.Work.Sprint(r.Context(), r.actor, r.project(), r.PathValue("sprint"))
	if err != nil {
		return err
	}
	s, err := h.workShell(w, r, sp.Name, page.Crumb{Text: "sprints", Href: page.Shell{Project: r.project()}.At("/sprints")}, page.Crumb{Text: sp.Name})
	if err != nil {
		return err
	}
	v := page.SprintView{Sprint: sp, MayWrite: h.holds(r, identity.Write)}
	if v.Burndown, err = h.Work.Burndown(r.Context(), r.actor, r.project(), sp.ID); err != nil {
		return err
	}
	b, err := h.Work.Backlog(r.Context(), r.actor, r.project(), work.Filter{Sprint: sp.ID, Limit: maxSprintItems})
	if err != nil {
		return err
	}
	v.Items = b.Items
	return h.render(w, r, page.SprintPage(s, v))
}

func (h *handler) createSprint(w http.ResponseWriter, r request) error {
	capacity, err := points(r.PostForm.Get("capacity"))
	if err != nil {
		return err
	}
	field := func(name string) *string {
		v := strings.TrimSpace(r.PostForm.Get(name))
		return &v
	}
	sp, err := h.Work.CreateSprint(r.Context(), r.actor, r.project(), work.SprintEdit{
		Name: field("name"), Start: field("start"), End: field("end"), Goal: field("goal"), Capacity: &capacity,
	})
	if err != nil {
		return err
	}
	return done(w, r, page.SprintHref(page.Shell{Project: r.project()}, sp.ID), "Sprint "+sp.Name+" is made.")
}

func (h *handler) startSprint(w http.ResponseWriter, r request) error {
	expect, err := strconv.ParseInt(r.PostForm.Get("expect"), 10, 64)
	if err != nil {
		return fault.New(fault.Invalid, "The form does not say which version of the sprint it changes.").WithNext("open the page again and send the form from there")
	}
	active := true
	sp, err := h.Work.ChangeSprint(r.Context(), r.actor, r.project(), r.PathValue("sprint"), work.SprintEdit{Expect: expect, Active: &active})
	if err != nil {
		return err
	}
	return done(w, r, page.SprintHref(page.Shell{Project: r.project()}, sp.ID), "Sprint "+sp.Name+" goes on.")
}

func (h *handler) closeSprint(w http.ResponseWriter, r request) error {
	sp, err := h.Work.CloseSprint(r.Context(), r.actor, r.project(), r.PathValue("sprint"), "@next")
	if err != nil {
		return err
	}
	return done(w, r, page.SprintHref(page.Shell{Project: r.project()}, sp.ID), "Sprint "+sp.Name+" is closed; what was left went into the next.")
}

func (h *handler) planning(w http.ResponseWriter, r request) error {
	s, err := h.workShell(w, r, "Planning", page.Crumb{Text: "planning"})
	if err != nil {
		return err
	}
	v := page.PlanningView{MayWrite: h.holds(r, identity.Write)}
	if v.Tray, err = h.Work.Tray(r.Context(), r.actor, r.project(), r.query("sprint")); err != nil {
		return err
	}
	return h.render(w, r, page.PlanningPage(s, v))
}

// triage accepts an insight into the sprint that is planned, or defers it.
func (h *handler) triage(w http.ResponseWriter, r request) error {
	n, err := strconv.ParseInt(r.PostForm.Get("item"), 10, 64)
	if err != nil {
		return fault.New(fault.Invalid, "%.40q is no item.", r.PostForm.Get("item"))
	}
	decision := r.PostForm.Get("do")
	if _, err := h.Work.Triage(r.Context(), r.actor, r.project(), []int64{n}, decision, r.PostForm.Get("sprint")); err != nil {
		return err
	}
	word := " is deferred."
	if decision == work.Accepted {
		word = " is in the sprint."
	}
	return done(w, r, page.Shell{Project: r.project()}.At("/planning"), "Item "+strconv.FormatInt(n, 10)+word)
}
