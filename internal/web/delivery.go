package web

import (
	"net/http"
	"strings"

	"towpath.dev/towpath/internal/web/page"
	"towpath.dev/towpath/internal/work/dora"
)

// dora shows how the project delivers.
func (h *handler) dora(w http.ResponseWriter, r request) error {
	s, err := h.workShell(w, r, "Delivery", page.Crumb{Text: "delivery"})
	if err != nil {
		return err
	}
	q := dora.Question{Environment: r.query("environment"), Bucket: r.query("by")}
	v := page.DoraView{}
	if v.Report, err = h.Dora.Report(r.Context(), r.actor, r.project(), q); err != nil {
		return err
	}
	for _, b := range []struct{ key, text string }{{dora.Day, "By day"}, {dora.Week, "By week"}, {dora.Month, "By month"}} {
		v.Filters = append(v.Filters, page.Filter{Text: b.text, Count: -1, On: v.Bucket == b.key, Href: s.At("/dora" + page.Query("by", b.key, "environment", q.Environment))})
	}
	list, err := h.Deploy.Environments(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	for _, e := range list {
		v.Filters = append(v.Filters, page.Filter{Text: e.Name, Count: -1, On: v.Report.Environment == e.Name, Href: s.At("/dora" + page.Query("by", q.Bucket, "environment", e.Name))})
	}
	return h.render(w, r, page.DoraPage(s, v))
}

// promoteCanary lets a canary go on.
func (h *handler) promoteCanary(w http.ResponseWriter, r request) error {
	v, err := h.Deploy.PromoteCanary(r.Context(), r.actor, r.PostForm.Get("release"), false)
	if err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: v.Project}.At("/environments/"+page.Esc(v.Environment)+"/releases/"+last(v.Release)), "The canary goes on.")
}

// rejectCanary puts everything back to the release that serves.
func (h *handler) rejectCanary(w http.ResponseWriter, r request) error {
	v, err := h.Deploy.RejectCanary(r.Context(), r.actor, r.PostForm.Get("release"), strings.TrimSpace(r.PostForm.Get("why")))
	if err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: v.Project}.At("/environments/"+page.Esc(v.Environment)+"/releases/"+last(v.Release)), "The canary is taken back.")
}

// last is the number at the end of a release's name.
func last(release string) string { return release[strings.LastIndexByte(release, '/')+1:] }
