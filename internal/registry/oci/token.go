package oci

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
)

// Limits of a token request.
const (
	maxTokenForm = 64 << 10 // bytes
	maxScopes    = 64       // scopes in one request
)

// issued is the answer of the token service, in the words of both the Docker token
// specification (token) and OAuth 2 (access_token).
type issued struct {
	Token       string    `json:"token"`
	AccessToken string    `json:"access_token"`
	ExpiresIn   int       `json:"expires_in"`
	IssuedAt    time.Time `json:"issued_at"`
	Scope       string    `json:"scope,omitempty"`
}

// token is the token service: GET with Basic credentials (Docker) or POST with a form
// (OAuth 2 grants "password" and "refresh_token"; as the latter a personal token or a job
// token serves).
func (q *request) token() {
	q.w.Header().Set("Cache-Control", "no-store")
	c, scopes, ok := q.tokenRequest()
	if !ok {
		return
	}
	a, err := q.auth.Authenticate(q.ctx(), c)
	if err == nil && !a.Known() {
		err = fault.New(fault.Unauthentic, "No credentials were sent.")
	}
	if err != nil {
		if fault.Is(err, fault.Unauthentic) {
			// Not Bearer: that would send the client here again.
			q.w.Header().Set("WWW-Authenticate", `Basic realm="`+serviceName+`"`)
			message, _ := fault.Public(err)
			q.write(http.StatusUnauthorized, registry.CodeUnauthorized, message)
			return
		}
		q.fail(err)
		return
	}
	g := grant{Actor: a}
	var words []string
	for _, s := range scopes {
		got, err := q.granted(a, s)
		if err != nil {
			q.fail(err)
			return
		}
		if len(got.Actions) > 0 {
			g.Access = append(g.Access, got)
			words = append(words, got.String())
		}
	}
	token, err := q.tokens.issue(g)
	if err != nil {
		q.fail(err)
		return
	}
	q.json(http.StatusOK, "application/json", issued{
		Token: token, AccessToken: token, ExpiresIn: int(tokenLife / time.Second), IssuedAt: q.tokens.clock.Now().Truncate(time.Second), Scope: strings.Join(words, " "),
	})
}

// tokenRequest reads credentials and scopes from either form of the request. It answers
// itself when it returns false.
func (q *request) tokenRequest() (c identity.Credentials, scopes []access, ok bool) {
	c = identity.FromRequest(q.r)
	c.Session = ""
	var words []string
	switch q.r.Method {
	case http.MethodGet:
		words = q.r.URL.Query()["scope"]
	case http.MethodPost:
		q.r.Body = http.MaxBytesReader(q.w, q.r.Body, maxTokenForm)
		if err := q.r.ParseForm(); err != nil {
			q.write(http.StatusBadRequest, registry.CodeUnsupported, "The token request's form cannot be read.")
			return c, nil, false
		}
		words = q.r.PostForm["scope"]
		switch q.r.PostForm.Get("grant_type") {
		case "password":
			c = identity.Credentials{User: q.r.PostForm.Get("username"), Password: q.r.PostForm.Get("password"), Remote: c.Remote}
		case "refresh_token":
			c = identity.Credentials{Bearer: q.r.PostForm.Get("refresh_token"), Remote: c.Remote}
		default:
			q.write(http.StatusBadRequest, registry.CodeUnsupported, "The token service takes the grant types password and refresh_token.")
			return c, nil, false
		}
	default:
		q.write(http.StatusMethodNotAllowed, registry.CodeUnsupported, "The token service takes GET and POST.")
		return c, nil, false
	}
	for _, w := range words {
		for _, s := range strings.Fields(w) {
			if a, ok := parseScope(s); ok {
				scopes = append(scopes, a)
			}
		}
	}
	if len(scopes) > maxScopes {
		q.write(http.StatusBadRequest, registry.CodeUnsupported, "The token request asks for too many scopes.")
		return c, nil, false
	}
	return c, scopes, true
}

// parseScope reads "type:name:action,action". A name has no colon here, since it has no
// host. What is not understood is not granted, as the token specification asks.
func parseScope(s string) (access, bool) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return access{}, false
	}
	a := access{Type: parts[0], Name: parts[1]}
	known := []string{"pull", "push", "delete", "*"}
	for _, w := range strings.Split(parts[2], ",") {
		if slices.Contains(known, w) && !slices.Contains(a.Actions, w) {
			a.Actions = append(a.Actions, w)
		}
	}
	switch {
	case a.Type == "repository" && registry.ValidName(a.Name):
		return a, true
	case a.Type == "registry" && a.Name == "catalog":
		return a, slices.Contains(a.Actions, "*")
	}
	return access{}, false
}

// granted cuts a scope down to what the actor may do now. It is asked again at each use
// of the token; this only keeps a client from believing in rights it has not.
func (q *request) granted(a identity.Actor, want access) (access, error) {
	if want.Type == "registry" {
		return want, nil
	}
	if slices.Contains(want.Actions, "*") {
		want.Actions = []string{"pull", "push", "delete"}
	}
	got := access{Type: want.Type, Name: want.Name}
	for _, action := range want.Actions {
		ok, err := q.registry.May(q.ctx(), a, want.Name, action)
		if err != nil {
			return access{}, err
		}
		if ok {
			got.Actions = append(got.Actions, action)
		}
	}
	return got, nil
}
