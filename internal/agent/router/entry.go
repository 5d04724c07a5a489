package router

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"towpath.dev/towpath/internal/deploy/route"
)

// entry is a request that came in by a preview's host: "<key>.<rest>".
type entry struct {
	host string // as the client named it
	rest string // as the service knows it, with the port
}

// enter lets a request in. A request to the host of a live session's key needs a preview
// token, is given the key and goes on under the rest of its host; any other request
// from outside loses its key. It returns false when the request was answered here.
func (f *forward) enter(w *response, st *state) bool {
	key, rest, ok := strings.Cut(f.in.Host, ".")
	key = strings.ToLower(key)
	live := f.live(st.keys[key])
	token, byLink := f.token()
	if !ok || rest == "" || len(live) == 0 {
		if token != "" && f.ended(st, token, key) {
			f.key, f.reason = key, "the session of this preview has ended: ask for a new one"
			refuse(w, f.in, http.StatusForbidden, f.reason)
			return false
		}
		if f.p.service.FromOutside(f.in.Host, f.in.Header) {
			route.Strip(f.in.Header)
		}
		return true
	}
	f.key = key
	p, err := route.Verify(st.table.PreviewKey, token, f.r.cfg.Now())
	switch {
	case token == "":
		f.reason = "this is the preview of a session: open it by its link, which " + link
	case err != nil:
		f.reason = err.Error() + ": ask for a new one, which " + link
	case p.Key != key || !has(live, p.Session):
		f.reason = "the preview link is for another session, or for one that has ended"
	}
	if f.reason != "" {
		refuse(w, f.in, http.StatusForbidden, f.reason)
		return false
	}
	if byLink {
		http.SetCookie(w, &http.Cookie{
			Name: route.PreviewCookie, Value: token, Path: "/", Expires: p.Expires, HttpOnly: true,
			SameSite: http.SameSiteLaxMode, Secure: f.in.Header.Get("X-Forwarded-Proto") == "https",
		})
		if f.in.Method == http.MethodGet || f.in.Method == http.MethodHead {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Referrer-Policy", "no-referrer")
			w.Header().Set("Location", withoutToken(f.in.URL))
			w.WriteHeader(http.StatusSeeOther)
			return false
		}
	}
	f.entry = &entry{host: f.in.Host, rest: rest}
	f.in.Host = rest
	f.in.URL.RawQuery = dropParameter(f.in.URL.RawQuery)
	dropCookie(f.in.Header)
	route.Add(f.in.Header, key)
	return true
}

// ended reports whether a token is good for a key. Without a live session of that key the
// service's own answer would be taken for the session's.
func (f *forward) ended(st *state, token, key string) bool {
	p, err := route.Verify(st.table.PreviewKey, token, f.r.cfg.Now())
	return err == nil && p.Key == key
}

// link says how a preview's link is had.
const link = "towpath dev share makes"

func (f *forward) live(sessions []route.Session) []route.Session {
	now := f.r.cfg.Now()
	var live []route.Session
	for _, s := range sessions {
		if now.Before(s.Expires) {
			live = append(live, s)
		}
	}
	return live
}

func has(sessions []route.Session, id string) bool {
	for _, s := range sessions {
		if s.ID == id {
			return true
		}
	}
	return false
}

// token returns the preview token of the query, else of the cookie.
func (f *forward) token() (token string, byLink bool) {
	if strings.Contains(f.in.URL.RawQuery, route.PreviewParameter) {
		if t := f.in.URL.Query().Get(route.PreviewParameter); t != "" {
			return t, true
		}
	}
	if c, err := f.in.Cookie(route.PreviewCookie); err == nil {
		return c.Value, false
	}
	return "", false
}

// withoutToken returns where a link leads when its token is in the cookie. The way stays
// on this host: a path that begins with two slashes would name another one.
func withoutToken(u *url.URL) string {
	to := "/" + strings.TrimLeft(u.EscapedPath(), `/\`)
	if q := dropParameter(u.RawQuery); q != "" {
		to += "?" + q
	}
	return to
}

func dropParameter(query string) string {
	if !strings.Contains(query, route.PreviewParameter) {
		return query
	}
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); err == nil && plain == route.PreviewParameter {
			continue
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, "&")
}

// dropCookie takes the preview's cookie out of a request: the token is no business of the
// service's.
func dropCookie(h http.Header) {
	var kept []string
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			part = strings.TrimSpace(part)
			if name, _, _ := strings.Cut(part, "="); part != "" && name != route.PreviewCookie {
				kept = append(kept, part)
			}
		}
	}
	if len(kept) == 0 {
		h.Del("Cookie")
		return
	}
	h["Cookie"] = []string{strings.Join(kept, "; ")}
}

// relocate keeps a redirect of the service to its own host within the preview.
func (e *entry) relocate(h http.Header) {
	to, err := url.Parse(h.Get("Location"))
	if err != nil || to.Host == "" || !strings.EqualFold(bare(to.Host), bare(e.rest)) {
		return
	}
	to.Host = e.host
	h.Set("Location", to.String())
}

func bare(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}
