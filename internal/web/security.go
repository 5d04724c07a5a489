package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// contentPolicy lets a page load only what this server serves as a file of its own: no inline
// script, no inline style, no frame around it.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"

// secure sets the headers of every answer and refuses what another site sends in the
// visitor's name (Fetch Metadata and Origin, by net/http).
func (h *handler) secure(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.fail(w, request{Request: r}, fault.New(fault.Denied, "This request was started by another site.").WithNext("do it from a page of Towpath"))
	}))
	guarded := cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := w.Header()
		d.Set("Content-Security-Policy", contentPolicy)
		d.Set("X-Content-Type-Options", "nosniff")
		d.Set("X-Frame-Options", "DENY")
		d.Set("Referrer-Policy", "same-origin")
		d.Set("Cross-Origin-Opener-Policy", "same-origin")
		d.Set("Cross-Origin-Resource-Policy", "same-origin")
		d.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		guarded.ServeHTTP(w, r)
	})
}

// formToken is what a form of a session must carry: known to whoever can read a page of
// the session, and to nobody who only knows the address. The session's secret has over
// 250 random bits and cannot be found from it.
func formToken(session string) string {
	sum := sha256.Sum256([]byte("towpath form\x00" + session))
	return hex.EncodeToString(sum[:16])
}

func sameToken(got, want string) bool {
	return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// localPath returns next when it is a path of this server, else "/projects": nobody is
// to be led away by a link to our sign-in page.
func localPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/projects"
	}
	return next
}
