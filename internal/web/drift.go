package web

import (
	"encoding/json"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/web/page"
)

// How far back a page looks for what was put back, in events, and how many it shows.
const (
	driftsRead  = 500
	mendedShown = 20
)

// drift is what differs, and what was put back, in an environment, or of one release there
// ("shop/production/48").
func (h *handler) drift(r request, env deploy.Environment, release string) (page.DriftView, error) {
	v := page.DriftView{
		Mode: env.Drift, Releases: release == "",
		Settings: page.Shell{Project: r.project()}.At("/environments/" + page.Esc(env.Name) + "#envsettings"),
	}
	if v.Mode == "" {
		v.Mode = deploy.Off
	}
	for _, d := range env.Drifted {
		if release == "" || d.Release == release {
			v.Now = append(v.Now, d)
		}
	}
	q := event.Query{Project: r.project(), Type: event.TypeDriftFound, Limit: driftsRead, Newest: true}
	if release != "" {
		q.Subject = event.Of(event.KindRelease, release)
	}
	events, err := h.Log.Read(r.Context(), q)
	if err != nil {
		return v, err
	}
	for _, e := range events {
		var d event.DriftFound
		if json.Unmarshal(e.Payload, &d) != nil || !d.Mended || d.Environment != env.Name || len(v.Mended) == mendedShown {
			continue
		}
		v.Mended = append(v.Mended, page.Mended{DriftFound: d, At: e.Time})
	}
	return v, nil
}
