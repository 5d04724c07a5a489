package frontdoor

import (
	"fmt"
	"html/template"
	"net/http"
	"strings"
)

// page is what a person sees instead of an application. It loads nothing: it must work when nothing else does.
var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:42rem;margin:12vh auto;padding:0 1.5rem}
small{letter-spacing:.06em;text-transform:uppercase;opacity:.65}
h1{font-size:1.5rem;line-height:1.25;margin:.25rem 0 1rem;overflow-wrap:anywhere}
code,li{font-family:ui-monospace,monospace}
</style></head><body>
<small>Towpath front door · {{.Status}}</small>
<h1>{{.Title}}</h1>
<p>{{.Next}}</p>
{{if .Hosts}}<p>Hosts that are served here:</p><ul>{{range .Hosts}}<li>{{.}}</li>{{end}}</ul>{{end}}
</body></html>
`))

// explain answers with what happened and what to do next: as a page for browsers, as plain text for everyone else.
func explain(w http.ResponseWriter, r *http.Request, status int, title, next string, hosts []string) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "2")
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.WriteHeader(status)
		_ = page.Execute(w, map[string]any{"Title": title, "Status": status, "Next": next, "Hosts": hosts})
		return
	}
	header.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "%s\n%s\n", title, next)
	if len(hosts) > 0 {
		fmt.Fprintf(w, "Hosts that are served here: %s\n", strings.Join(hosts, ", "))
	}
}
