package web

import (
	"net/http"
	"slices"
	"strconv"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/web/page"
)

// live is a room whose pages follow the project's logbook.
func (h *handler) live(w http.ResponseWriter, r request, room, title string, crumbs ...page.Crumb) (page.Shell, error) {
	seq, _, err := h.Log.Head(r.Context())
	s := h.room(w, r, room, title, crumbs...)
	s.Live = s.At("/events?after=" + strconv.FormatInt(seq, 10))
	return s, err
}

func (h *handler) environments(w http.ResponseWriter, r request) error {
	s, err := h.live(w, r, "environments", "Environments", page.Crumb{Text: "environments"})
	if err != nil {
		return err
	}
	list, err := h.Deploy.Environments(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	open, err := h.Alerts.Open(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	v := page.EnvironmentsView{Environments: list, Open: open, Canaries: map[string]canary.View{}, Sessions: map[string]int{}}
	if err := h.underWay(r, "", func(c canary.View) { v.Canaries[c.Environment] = c }); err != nil {
		return err
	}
	sessions, err := h.intercepting(r, "")
	if err != nil {
		return err
	}
	for _, x := range sessions {
		v.Sessions[x.Environment]++
	}
	return h.render(w, r, page.EnvironmentsPage(s, v))
}

// underWay tells of the canaries that go on in an environment, or in all with "".
func (h *handler) underWay(r request, environment string, tell func(canary.View)) error {
	list, err := h.Deploy.Canaries(r.Context(), r.actor, r.project(), environment)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.Finished.IsZero() {
			tell(c)
		}
	}
	return nil
}

func (h *handler) environment(w http.ResponseWriter, r request) error {
	name := r.PathValue("env")
	s, err := h.live(w, r, "environments", name, page.Crumb{Text: "environments", Href: "/projects/" + r.project() + "/environments"}, page.Crumb{Text: name})
	if err != nil {
		return err
	}
	env, err := h.Deploy.Environment(r.Context(), r.actor, r.project(), name)
	if err != nil {
		return err
	}
	v := page.EnvironmentView{Environment: env, MayEdit: h.holds(r, identity.Maintain)}
	v.MayEnd = h.holds(r, identity.Write)
	if env.ReviewApps == deploy.On {
		if v.Apps, err = h.reviewApps(r, func(x *deploy.Review) bool { return x.Base == name }); err != nil {
			return err
		}
	}
	v.MayRedeploy = v.MayEdit || !env.Production() && h.holds(r, identity.Write)
	if err := h.underWay(r, name, func(c canary.View) { v.Canary = &c }); err != nil {
		return err
	}
	if v.History, err = h.Deploy.Releases(r.Context(), r.actor, r.project(), name, 100); err != nil {
		return err
	}
	if v.Machines, err = h.Pipeline.Machines(r.Context(), r.actor, r.project(), name); err != nil {
		return err
	}
	if len(v.Machines) > 0 {
		if v.Deployments, err = h.Pipeline.Deployments(r.Context(), r.actor, r.project(), name, "", 500); err != nil {
			return err
		}
	}
	if v.Sessions, err = h.intercepting(r, name); err != nil {
		return err
	}
	if v.Drifts, err = h.drift(r, env, ""); err != nil {
		return err
	}
	if v.Alerts, err = h.Alerts.Alerts(r.Context(), r.actor, alert.Filter{Project: r.project(), Environment: name, State: alert.Firing, Limit: alertsPerPage}); err != nil {
		return err
	}
	return h.render(w, r, page.EnvironmentPage(s, v))
}

// reviewApps lists the review apps that a page is about.
func (h *handler) reviewApps(r request, about func(*deploy.Review) bool) ([]deploy.Environment, error) {
	list, err := h.Deploy.Environments(r.Context(), r.actor, r.project())
	return slices.DeleteFunc(list, func(e deploy.Environment) bool { return e.Review == nil || !about(e.Review) }), err
}

func (h *handler) release(w http.ResponseWriter, r request) error {
	n, err := strconv.ParseInt(r.PathValue("release"), 10, 64)
	if err != nil || n < 1 {
		return fault.New(fault.NotFound, "A release has a number; this is none.")
	}
	name := r.PathValue("env")
	at := "/projects/" + r.project() + "/environments"
	s, err := h.live(w, r, "environments", "Release "+r.PathValue("release")+" · "+name, page.Crumb{Text: "environments", Href: at},
		page.Crumb{Text: name, Href: at + "/" + page.Esc(name)}, page.Crumb{Text: "release " + r.PathValue("release")})
	if err != nil {
		return err
	}
	rel, err := h.Deploy.Release(r.Context(), r.actor, r.project(), name, n)
	if err != nil {
		return err
	}
	env, err := h.Deploy.Environment(r.Context(), r.actor, r.project(), name)
	if err != nil {
		return err
	}
	v := page.ReleaseView{Release: rel}
	v.MayRedeploy = rel.Result == deploy.Deployed && (env.Current == nil || env.Current.Number != n) && (h.holds(r, identity.Maintain) || !env.Production() && h.holds(r, identity.Write))
	drifts, err := h.drift(r, env, rel.ID())
	if err != nil {
		return err
	}
	if env.Current != nil && env.Current.Number == n || len(drifts.Now)+len(drifts.Mended) > 0 {
		v.Drifts = &drifts
	}
	if err := h.found(r, &v); err != nil {
		return err
	}
	return h.render(w, r, page.ReleasePage(s, v))
}
