package web

import (
	"net/http"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/web/page"
)

// answersShown is how many answers the page of checks remembers.
const answersShown = 50

// gateRoutes are the addresses of checks on resources and of who may use them.
func (h *handler) gateRoutes() {
	h.page("GET /projects/{project}/checks", h.gates)
	const one = "/projects/{project}/resources/{kind}/{name}"
	h.page("GET "+one, h.resource)
	h.form("POST "+one+"/checks", h.addCheck)
	h.form("POST "+one+"/checks/{check}/remove", h.removeCheck)
	h.form("POST "+one+"/access", h.permitUse)
}

// gates shows what holds stages of the project now, all checks, and who answered last.
func (h *handler) gates(w http.ResponseWriter, r request) error {
	s, err := h.live(w, r, "settings", "Checks and approvals", page.Crumb{Text: "settings", Href: "/projects/" + r.project() + "/settings"}, page.Crumb{Text: "checks"})
	if err != nil {
		return err
	}
	v := page.GatesView{}
	held, err := h.Pipeline.Holds(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	for _, one := range held {
		v.Holds = append(v.Holds, holdOf(one))
	}
	if v.Checks, err = h.Checks.List(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	v.Maintain = h.holds(r, identity.Maintain)
	if v.Environments, err = h.environmentNames(r); err != nil {
		return err
	}
	if v.Answers, err = h.answers(r); err != nil {
		return err
	}
	return h.render(w, r, page.GatesPage(s, v))
}

// environmentNames are those of the project, to begin with.
func (h *handler) environmentNames(r request) ([]string, error) {
	list, err := h.Deploy.Environments(r.Context(), r.actor, r.project())
	var out []string
	for _, e := range list {
		out = append(out, e.Name)
	}
	return out, err
}

// answers are what people and checks said last, newest first. The logbook is asked, because
// it knows of the runs of all time.
func (h *handler) answers(r request) ([]page.GateAnswer, error) {
	if err := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Read); err != nil {
		return nil, err
	}
	var out []page.GateAnswer
	for _, kind := range []string{event.TypeCheckAnswered, event.TypeCheckDecided} {
		list, err := h.Log.Read(r.Context(), event.Query{Project: r.project(), Type: kind, Newest: true, Limit: answersShown})
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			var p event.CheckHeld
			if e.Into(&p) != nil {
				continue // A payload of a later version says nothing that this page knows.
			}
			out = append(out, page.GateAnswer{
				At: e.Time, Actor: e.Actor, Run: p.Run, Stage: p.Stage, Title: p.Title, Resource: p.Resource, Said: orElse(p.Action, p.Result), Why: p.Why, Decided: kind == event.TypeCheckDecided,
			})
		}
	}
	slices.SortStableFunc(out, func(a, b page.GateAnswer) int { return b.At.Compare(a.At) })
	return out[:min(len(out), answersShown)], nil
}

// holdOf is a check as pages show it.
func holdOf(one pipeline.Hold) page.Hold {
	out := page.Hold{
		ID: one.Entry.Entry, Run: one.Run, Change: one.RunOf, Stage: one.Stage, Resource: one.For, Name: one.Name, Since: one.Started, Waits: one.Waits, Why: one.Why,
		Mine: one.Mine, Permit: one.Type == check.Permission, Deadline: one.Deadline, Status: string(one.Status), Finished: one.Finished, Attempt: one.Attempt,
	}
	if one.Approval != nil {
		out.Instructions = one.Approval.Instructions
	}
	for _, seat := range one.Seats {
		out.Seats = append(out.Seats, page.Seat{Who: seat.Who, From: seat.From, Vote: seat.Vote})
	}
	if one.Answer != nil && out.Why == "" {
		out.Why = one.Answer.Why
	}
	return out
}

// gateResource is the resource in the address.
func gateResource(r request) (check.Resource, error) {
	res := check.Resource{Kind: check.Kind(r.PathValue("kind")), Project: r.project(), Name: r.PathValue("name")}
	if res.Kind == check.Stage {
		return res, fault.New(fault.NotFound, "A stage carries no checks of its own.").WithNext("put them on what the stage uses")
	}
	return res, res.Check()
}

func resourcePath(res check.Resource) string {
	return "/projects/" + res.Project + "/resources/" + string(res.Kind) + "/" + page.Esc(res.Name)
}

// resource shows the checks on a resource and which pipelines may use it.
func (h *handler) resource(w http.ResponseWriter, r request) error {
	res, err := gateResource(r)
	if err != nil {
		return err
	}
	at := "/projects/" + r.project()
	s := h.room(w, r, "settings", res.Name, page.Crumb{Text: "settings", Href: at + "/settings"}, page.Crumb{Text: "checks", Href: at + "/checks"}, page.Crumb{Text: res.Path()})
	v := page.ResourceView{Resource: res, Maintain: h.holds(r, identity.Maintain), Add: check.Type(r.query("add"))}
	all, err := h.Checks.List(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	for _, d := range all {
		if d.Resource.Key() == res.Key() {
			v.Checks = append(v.Checks, d)
		}
	}
	if v.Access, err = h.Checks.Access(r.Context(), r.actor, res); err != nil {
		return err
	}
	repos, err := h.Source.Repos(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	for _, repo := range repos {
		if !slices.Contains(v.Access.Pipelines, repo.FullName()) {
			v.Pipelines = append(v.Pipelines, repo.FullName())
		}
	}
	return h.render(w, r, page.ResourcePage(s, v))
}

func (h *handler) addCheck(w http.ResponseWriter, r request) error {
	res, err := gateResource(r)
	if err != nil {
		return err
	}
	d, err := definitionOf(r.PostForm)
	if err != nil {
		return err
	}
	d.Resource = res
	if d, err = h.Checks.Add(r.Context(), r.actor, d); err != nil {
		return err
	}
	return done(w, r, resourcePath(res), "“"+d.Name()+"” holds stages that come to their gate from now on.")
}

func (h *handler) removeCheck(w http.ResponseWriter, r request) error {
	res, err := gateResource(r)
	if err != nil {
		return err
	}
	if err := h.Checks.Remove(r.Context(), r.actor, r.project(), r.PathValue("check")); err != nil {
		return err
	}
	return done(w, r, resourcePath(res), "The check is removed. Stages that it holds already go on being held.")
}

// permitUse lets a pipeline use a resource, or takes that back.
func (h *handler) permitUse(w http.ResponseWriter, r request) error {
	res, err := gateResource(r)
	if err != nil {
		return err
	}
	who, allowed := strings.TrimSpace(r.PostForm.Get("pipeline")), r.PostForm.Get("allowed") == "yes"
	if err := h.Checks.Permit(r.Context(), r.actor, res, who, allowed); err != nil {
		return err
	}
	name := who
	if who == check.Everyone {
		name = "Every pipeline of the project"
	}
	said := name + " may use it from now on."
	if !allowed {
		said = name + " may not use it any more."
		if who == check.Everyone {
			said = "Only the pipelines of the list may use it from now on."
		}
	}
	return done(w, r, resourcePath(res), said)
}
