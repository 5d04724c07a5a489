package web

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/web/page"
)

// request is one request of somebody known.
type request struct {
	*http.Request
	actor   identity.Actor
	session string // value of the cookie, "" for other credentials
}

func (r request) project() string { return r.PathValue("project") }

// repo is the full name of the repository in the address.
func (r request) repo() string { return r.project() + "/" + r.PathValue("repo") }

// query returns a value of the address's query, at most 200 bytes of it.
func (r request) query(name string) string {
	v := r.URL.Query().Get(name)
	return strings.ToValidUTF8(v[:min(len(v), 200)], "")
}

// handle answers a request, or says why not.
type handle func(w http.ResponseWriter, r request) error

// page registers a page: nobody is sent to sign in first.
func (h *handler) page(pattern string, do handle) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		q, ok := h.who(w, r)
		if !ok {
			return
		}
		if err := do(w, q); err != nil {
			h.fail(w, q, err)
		}
	})
}

// maxForm is the largest form in bytes: a comment of 64 KiB, as a browser encodes it.
const maxForm = 256 << 10

// form registers what a form is sent to.
func (h *handler) form(pattern string, do handle) { h.formOf(maxForm, pattern, do) }

// formOf is form with another limit, in bytes.
func (h *handler) formOf(limit int64, pattern string, do handle) {
	h.page(pattern, func(w http.ResponseWriter, r request) error {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		if err := r.ParseForm(); err != nil {
			return fault.Wrap(fault.Invalid, err, "The form cannot be read.")
		}
		if r.session != "" && !sameToken(r.PostForm.Get("csrf"), formToken(r.session)) {
			return fault.New(fault.Denied, "This form does not come from a page of this session.").WithNext("open the page again and send the form from there")
		}
		return do(w, r)
	})
}

// who authenticates. A session that has ended counts as nobody, and nobody is sent to
// the sign-in page.
func (h *handler) who(w http.ResponseWriter, r *http.Request) (request, bool) {
	c := identity.FromRequest(r)
	actor, err := h.Identity.Authenticate(r.Context(), c)
	q := request{Request: r, actor: actor, session: c.Session}
	switch {
	case err == nil && actor.Known():
		return q, true
	case err != nil && !fault.Is(err, fault.Unauthentic):
		h.fail(w, q, err)
		return q, false
	case c.Bearer != "" || c.Password != "":
		h.fail(w, q, err)
		return q, false
	}
	h.toLogin(w, r)
	return q, false
}

// toLogin sends a browser to sign in and back to where it was.
func (h *handler) toLogin(w http.ResponseWriter, r *http.Request) {
	next := "/projects"
	if r.Method == http.MethodGet {
		next = r.URL.RequestURI()
	}
	to := "/login?next=" + url.QueryEscape(next)
	if r.Header.Get("HX-Request") != "" {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// shell collects what every page shows around its content.
func (h *handler) shell(w http.ResponseWriter, r request, title string) page.Shell {
	s := page.Shell{
		Title: title, Project: r.project(), User: r.actor.Name, Admin: r.actor.Admin, Now: h.Clock.Now(), Version: h.opts.Version,
		PublicURL: h.opts.PublicURL, Asset: h.assets.url, Theme: theme(r.Request),
	}
	if r.session != "" {
		s.CSRF = formToken(r.session)
	}
	if c, err := r.Cookie(noticeCookie); err == nil {
		if text, err := url.QueryUnescape(c.Value); err == nil {
			s.Notice = text
		}
		http.SetCookie(w, &http.Cookie{Name: noticeCookie, Path: "/", MaxAge: -1})
	}
	return s
}

// room is the shell of a page in one of the project's rooms.
func (h *handler) room(w http.ResponseWriter, r request, room, title string, crumbs ...page.Crumb) page.Shell {
	s := h.shell(w, r, title)
	s.Room, s.Crumbs = room, crumbs
	s.Counts = h.counts(r)
	return s
}

// counts are the numbers beside the rooms. They are no reason for a page to fail.
func (h *handler) counts(r request) map[string]page.Badge {
	out := map[string]page.Badge{}
	if list, _, err := h.Pulls.List(r.Context(), r.actor, r.project(), pull.Filter{Limit: countedPulls}); err == nil {
		out["pulls"] = page.Badge{N: len(list)}
	}
	if report, err := h.Compliance.Compliance(r.Context(), r.actor, audit.Filter{Project: r.project(), Outcome: audit.Violated, Limit: 1}); err == nil {
		out["policy"] = page.Badge{N: report.Total, Warn: true}
	}
	if open, err := h.Alerts.Open(r.Context(), r.actor, r.project()); err == nil {
		firing := 0
		for _, c := range open {
			firing += c.Total()
		}
		out["monitor"] = page.Badge{N: firing, Warn: true}
	}
	return out
}

const noticeCookie = "towpath_notice"

// done answers a form: it leads to a page, which shows the notice once.
func done(w http.ResponseWriter, r request, to, notice string) error {
	if notice != "" {
		http.SetCookie(w, &http.Cookie{
			Name: noticeCookie, Value: url.QueryEscape(notice), Path: "/", MaxAge: 20, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	}
	http.Redirect(w, r.Request, to, http.StatusSeeOther)
	return nil
}

// theme is what the visitor has chosen; "" follows their system.
func theme(r *http.Request) string {
	c, err := r.Cookie("towpath_theme")
	if err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

// render answers with a page. It is drawn whole before a byte is sent, so that an error
// gets its own status.
func (h *handler) render(w http.ResponseWriter, r request, c templ.Component) error {
	return h.renderStatus(w, r, http.StatusOK, c)
}

func (h *handler) renderStatus(w http.ResponseWriter, r request, status int, c templ.Component) error {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err := w.Write(b.Bytes())
	return ignoreGone(err)
}

// ignoreGone drops the error of writing to somebody who has left: there is nobody to
// tell, and nothing is wrong on our side.
func ignoreGone(error) error { return nil }

// titles of error pages by kind.
var titles = map[fault.Kind]string{
	fault.NotFound: "This is not here", fault.Denied: "You may not do this", fault.Invalid: "This cannot be done as asked",
	fault.Conflict: "The state has changed", fault.TooLarge: "This is too large", fault.Throttled: "Too often", fault.Unavailable: "Something is not there right now",
	fault.Unauthentic: "Please sign in",
}

// fail answers with a page that says what is wrong; the cause goes to the log.
func (h *handler) fail(w http.ResponseWriter, r request, err error) {
	kind := fault.KindOf(err)
	message, next := fault.Public(err)
	id := errorID()
	level := slog.LevelInfo
	if kind == fault.Internal {
		level = slog.LevelError
	}
	h.Logger.Log(r.Context(), level, "page refused", "error_id", id, "path", r.URL.Path, "actor", r.actor.String(), "error", err)
	title := titles[kind]
	if title == "" {
		title = "Something went wrong"
	}
	s := h.shell(w, r, title)
	if kind == fault.NotFound && s.Project != "" {
		s.Project = "" // The rooms of a project that may not exist would be dead links.
	}
	p := page.Problem{Status: kind.Status(), Title: title, Message: message, Next: next, ID: id}
	if rerr := h.renderStatus(w, r, p.Status, page.ErrorPage(s, p)); rerr != nil {
		h.Logger.Error("drawing an error page", "error_id", id, "error", rerr)
		http.Error(w, message+" (error id "+id+")", p.Status)
	}
}

func errorID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails.
	return hex.EncodeToString(b[:])
}

func (h *handler) nowhere(_ http.ResponseWriter, r request) error {
	path := r.URL.Path
	return fault.New(fault.NotFound, "There is no page at %s.", path[:min(len(path), 200)]).WithNext("start at the list of projects")
}
