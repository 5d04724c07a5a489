package oci

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// tokenLife is how long a registry token lives.
const tokenLife = 5 * time.Minute

// tokenPrefix marks registry tokens, so that other bearer credentials (job tokens,
// personal tokens) can be told apart.
const tokenPrefix = "twr_"

// tokenPurpose binds sealed tokens to this use.
const tokenPurpose = "registry token"

// grant is what a registry token says: who it stands for and what it is cut down to.
type grant struct {
	Actor   identity.Actor `json:"actor"`
	Access  []access       `json:"access,omitempty"`
	Expires int64          `json:"expires"` // Unix seconds
}

// access is one scope of the token specification: "repository:shop/web:pull,push".
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func (a access) String() string { return a.Type + ":" + a.Name + ":" + strings.Join(a.Actions, ",") }

// tokens makes and reads registry tokens.
type tokens struct {
	seal  Sealer
	clock clock.Clock
}

func (t tokens) issue(g grant) (string, error) {
	g.Expires = t.clock.Now().Add(tokenLife).Unix()
	b, err := json.Marshal(g)
	if err != nil {
		return "", fmt.Errorf("encoding a registry token: %w", err)
	}
	s, err := t.seal.Seal(tokenPurpose, b)
	if err != nil {
		return "", fmt.Errorf("sealing a registry token: %w", err)
	}
	return tokenPrefix + s, nil
}

func (t tokens) read(token string) (*grant, error) {
	refused := fault.New(fault.Unauthentic, "The registry token is not valid or has expired.")
	b, err := t.seal.Unseal(tokenPurpose, strings.TrimPrefix(token, tokenPrefix))
	if err != nil {
		return nil, refused
	}
	var g grant
	if err := json.Unmarshal(b, &g); err != nil || t.clock.Now().Unix() >= g.Expires {
		return nil, refused
	}
	return &g, nil
}

// maxToken bounds a registry token in bytes.
const maxToken = 32 << 10

// authenticate finds out who asks. Nobody is an error: nothing here is for anonymous.
func (q *request) authenticate() error {
	c := identity.FromRequest(q.r)
	c.Session = "" // see the package's comment
	if strings.HasPrefix(c.Bearer, tokenPrefix) && len(c.Bearer) <= maxToken {
		g, err := q.tokens.read(c.Bearer)
		if err != nil {
			return err
		}
		q.actor, q.grant = g.Actor, g
		return nil
	}
	a, err := q.auth.Authenticate(q.ctx(), c)
	if err != nil {
		return err
	}
	if !a.Known() {
		return fault.New(fault.Unauthentic, "Log in to use the registry.")
	}
	q.actor = a
	return nil
}

// allows reports whether the token, if that is what the request came with, holds the
// actions for the request's repository. What its holder may do is asked later.
func (q *request) allows(actions string) bool {
	return actions == "" || q.grantHolds(q.name, strings.Split(actions, ","))
}

// refused returns why the actor may not do the actions, whatever token he brings: then
// a challenge to get another one would send him in a circle, without the reason.
func (q *request) refused(actions string) error {
	if q.name == "" {
		return nil
	}
	for _, action := range strings.Split(actions, ",") {
		if err := q.registry.Permit(q.ctx(), q.actor, q.name, action); err != nil {
			return err
		}
	}
	return nil
}

func (q *request) grantHolds(name string, actions []string) bool {
	if q.grant == nil {
		return true
	}
	kind := "repository"
	if name == "" {
		kind, name = "registry", "catalog"
	}
	for _, want := range actions {
		held := slices.ContainsFunc(q.grant.Access, func(a access) bool {
			return a.Type == kind && a.Name == name && (slices.Contains(a.Actions, want) || slices.Contains(a.Actions, "*"))
		})
		if !held {
			return false
		}
	}
	return true
}

// challenge answers 401 and says where to get a token and for what. short is set when
// there was a valid token that does not reach far enough.
func (q *request) challenge(actions string, short bool) {
	if actions == "" {
		to, _, _ := split(q.r.URL.Path)
		_, actions = (&request{Handler: q.Handler, w: discard{}, r: q.r}).method(to)
	}
	head := fmt.Sprintf(`Bearer realm="%s/v2/token",service="%s"`, q.origin(), serviceName)
	switch {
	case actions == "*":
		head += `,scope="registry:catalog:*"`
	case actions != "" && q.name != "":
		head += fmt.Sprintf(`,scope="repository:%s:%s"`, quotable(q.name), actions)
	}
	message := "Log in to use the registry. Next: run docker login with your user name and a personal token."
	if short {
		head += `,error="insufficient_scope"`
		message = "The registry token does not allow this: get one for the scope named."
	}
	q.w.Header().Set("WWW-Authenticate", head)
	q.write(http.StatusUnauthorized, "UNAUTHORIZED", message)
}

// serviceName is what the token service calls this registry.
const serviceName = "towpath"

// origin is the address that the client used, so that it finds the token service under
// whatever name it knows us by. It is sent back to that client only.
func (q *request) origin() string {
	scheme := "http"
	if q.r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + quotable(q.r.Host)
}

// quotable drops what would end a quoted string in a header.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

// discard is a writer for an answer that nobody wants.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
