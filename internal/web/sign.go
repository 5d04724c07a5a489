package web

import (
	"net/http"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/web/page"
)

func (h *handler) loginPage(w http.ResponseWriter, r *http.Request) {
	q := request{Request: r}
	s := h.shell(w, q, "Sign in")
	if err := h.render(w, q, page.Login(s, "", localPath(r.URL.Query().Get("next")), "", "")); err != nil {
		h.fail(w, q, err)
	}
}

// login checks the password and leads to where the visitor wanted to be.
func (h *handler) login(w http.ResponseWriter, r *http.Request) {
	q := request{Request: r}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		h.fail(w, q, fault.Wrap(fault.Invalid, err, "The form cannot be read."))
		return
	}
	user, next := r.PostForm.Get("user"), localPath(r.PostForm.Get("next"))
	session, err := h.Identity.Login(r.Context(), user, r.PostForm.Get("password"), identity.FromRequest(r).Remote)
	if err != nil {
		kind := fault.KindOf(err)
		if kind == fault.Internal {
			h.fail(w, q, err)
			return
		}
		message, hint := fault.Public(err)
		if err := h.renderStatus(w, q, kind.Status(), page.Login(h.shell(w, q, "Sign in"), user[:min(len(user), 63)], next, message, hint)); err != nil {
			h.fail(w, q, err)
		}
		return
	}
	http.SetCookie(w, h.Identity.SessionCookie(session))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (h *handler) logout(w http.ResponseWriter, r request) error {
	if err := h.Identity.Logout(r.Context(), r.session); err != nil {
		return err
	}
	http.SetCookie(w, h.Identity.SessionCookie(""))
	http.Redirect(w, r.Request, "/login", http.StatusSeeOther)
	return nil
}
