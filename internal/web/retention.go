package web

import (
	"net/http"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/web/page"
)

// retention shows the rules by which runs stay, what they let go, and the runs that are kept.
func (h *handler) retention(w http.ResponseWriter, r request) error {
	v := page.RetentionView{Maintain: h.holds(r, identity.Maintain)}
	var err error
	if v.Own, v.Installation, err = h.Retention.Retention(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	if v.Expired, err = h.Retention.Expired(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	if v.Kept, err = h.Retention.Kept(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	s := h.room(w, r, "settings", "Retention", page.Crumb{Text: "settings", Href: "/projects/" + r.project() + "/settings"}, page.Crumb{Text: "retention"})
	return h.render(w, r, page.RetentionPage(s, v))
}

// setRetention replaces the rules by the rows of the form; a row without days is none.
func (h *handler) setRetention(w http.ResponseWriter, r request) error {
	f := r.PostForm
	days := f["days"]
	rules := []pipeline.RetentionRule{}
	at := func(name string, i int) string {
		if i < len(f[name]) {
			return strings.TrimSpace(f[name][i])
		}
		return ""
	}
	for i := range days {
		if at("days", i) == "" {
			continue
		}
		rule := pipeline.RetentionRule{Repo: at("repo", i), File: at("file", i), Branch: at("branch", i)}
		var err1, err2 error
		rule.Days, err1 = strconv.Atoi(at("days", i))
		if keep := at("keep", i); keep != "" {
			rule.Keep, err2 = strconv.Atoi(keep)
		}
		if err1 != nil || err2 != nil {
			return fault.New(fault.Invalid, "Days and runs of rule %d are numbers.", i+1)
		}
		rules = append(rules, rule)
	}
	if err := h.Retention.SetRetention(r.Context(), r.actor, r.project(), rules); err != nil {
		return err
	}
	return done(w, r, "/projects/"+r.project()+"/retention", "Saved. What the rules let go is removed within ten minutes.")
}

// keepRun keeps a run, or lets the rules decide about it again.
func (h *handler) keepRun(w http.ResponseWriter, r request) error {
	n, err := h.runNumber(r)
	if err != nil {
		return err
	}
	to, said := "/projects/"+r.project()+"/retention", "The run is kept until somebody lets it go."
	if r.PostForm.Get("keep") == "false" {
		err, said = h.Retention.Unkeep(r.Context(), r.actor, n), "The rules decide about the run again."
	} else {
		err = h.Retention.Keep(r.Context(), r.actor, n, strings.TrimSpace(r.PostForm.Get("why")))
	}
	if err != nil {
		return err
	}
	return done(w, r, to, said)
}
