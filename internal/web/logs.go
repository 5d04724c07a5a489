package web

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/web/page"
)

// firstQuery is what the log explorer begins with.
const firstQuery = "ContainerLogV2"

// maxAddressQuery is the longest query that stands in an address, in bytes.
const maxAddressQuery = 8 << 10

// plainRows is how many rows a page without a script shows.
const plainRows = 200

// monitorShell is the shell of a page of the room Monitor, which begins with asking whether
// the visitor may read.
func (h *handler) monitorShell(w http.ResponseWriter, r request, title string, crumbs ...page.Crumb) (page.Shell, error) {
	if err := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Read); err != nil {
		return page.Shell{}, err
	}
	s := page.Shell{Project: r.project()}
	all := append([]page.Crumb{{Text: "monitor", Href: s.At("/monitor")}}, crumbs...)
	s, err := h.live(w, r, "monitor", title, all...)
	return s, err
}

// asked is the query and the time of the address.
func asked(r request) (text string, seconds int) {
	text = r.URL.Query().Get("q")
	if text == "" || len(text) > maxAddressQuery {
		text = firstQuery
	}
	seconds, err := strconv.Atoi(r.query("range"))
	if err != nil || seconds <= 0 || seconds > 366*24*3600 {
		seconds = 1800
	}
	return text, seconds
}

// between is the time of the address that somebody chose on a chart; zero when nobody did,
// or when it cannot be meant.
func between(r request) (from, to time.Time) {
	from, err := time.Parse(time.RFC3339Nano, r.query("from"))
	if err != nil {
		return time.Time{}, time.Time{}
	}
	to, err = time.Parse(time.RFC3339Nano, r.query("to"))
	if err != nil || !from.Before(to) {
		return time.Time{}, time.Time{}
	}
	return from.UTC(), to.UTC()
}

// logs is the log explorer.
func (h *handler) logs(w http.ResponseWriter, r request) error {
	s, err := h.monitorShell(w, r, "Logs", page.Crumb{Text: "logs"})
	if err != nil {
		return err
	}
	s.Scripts = []string{"monitor.js", "kql.js", "rows.js", "logs.js"}
	v := page.LogsView{Me: r.actor.String()}
	v.Query, v.Range = asked(r)
	if v.Views, err = h.Monitor.Views(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	var tables []string
	for _, t := range table.Catalog() {
		tables = append(tables, t.Name)
	}
	from, to := between(r)
	first := map[string]any{"tables": tables}
	question := monitor.Question{Scope: monitor.Scope{Project: r.project()}, Text: v.Query, From: h.Clock.Now().Add(-time.Duration(v.Range) * time.Second), MaxRows: plainRows}
	if !from.IsZero() {
		question.From, question.To = from, to
		first["from"], first["to"] = from.Format(time.RFC3339Nano), to.Format(time.RFC3339Nano)
	}
	start, err := json.Marshal(first)
	if err != nil {
		return err
	}
	v.Start = string(start)
	v.Answer, err = h.Monitor.Newest(r.Context(), r.actor, question)
	if err != nil {
		// A query that is wrong is said beside it, so that it can be mended.
		if k := fault.KindOf(err); k == fault.Internal || k == fault.Unauthentic || k == fault.NotFound {
			return err
		}
		v.Wrong, _ = fault.Public(err)
	}
	return h.render(w, r, page.LogsPage(s, v))
}
