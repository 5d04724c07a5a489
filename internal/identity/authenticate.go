package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// Credentials are what a request carries. Bearer wins over User and Password, and these
// over Session.
type Credentials struct {
	User, Password string // Basic
	Bearer         string
	Session        string // value of the cookie
	Remote         string // address of the client, without port
}

// maxSecret bounds a bearer secret, in bytes; a job token has about 900.
const maxSecret = 8 << 10

// FromRequest takes the credentials out of a request. The address is the connection's:
// headers that claim another one are not believed.
func FromRequest(r *http.Request) Credentials {
	c := Credentials{Remote: r.RemoteAddr}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.Remote = host
	}
	if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		if strings.EqualFold(scheme, "Bearer") {
			c.Bearer = strings.TrimSpace(rest)
		} else {
			c.User, c.Password, _ = r.BasicAuth()
		}
	}
	if cookie, err := r.Cookie(CookieName); err == nil {
		c.Session = cookie.Value
	}
	return c
}

// Authenticate says who the credentials belong to. No credentials are nobody, the zero
// Actor, without an error; wrong or expired ones are fault.Unauthentic, too many wrong
// passwords fault.Throttled.
//
// As Bearer it takes job tokens, personal tokens and the node's token. As Basic it takes
// a user with their password or a personal token of theirs, the user `run` with a job
// token, and the user `node` with the node's token.
func (s *Service) Authenticate(ctx context.Context, c Credentials) (Actor, error) {
	switch {
	case len(c.Bearer) > maxSecret || len(c.Password) > maxSecret || len(c.Session) > maxSecret:
		return Actor{}, fault.New(fault.Unauthentic, "The credentials are too long.")
	case c.Bearer != "":
		return s.bearer(ctx, c)
	case c.User != "" || c.Password != "":
		return s.basic(ctx, c)
	case c.Session != "":
		return s.session(ctx, c.Session)
	}
	return Actor{}, nil
}

func (s *Service) bearer(ctx context.Context, c Credentials) (Actor, error) {
	if looksLikeJWT(c.Bearer) {
		return s.jobToken(ctx, c.Bearer)
	}
	a, ok, err := s.personal(ctx, c.Bearer)
	if err != nil || ok {
		return a, err
	}
	if s.isNode(ctx, c.Bearer) {
		return nodeActor(), nil
	}
	return Actor{}, s.badToken(ctx, "", c.Remote)
}

func (s *Service) basic(ctx context.Context, c Credentials) (Actor, error) {
	switch c.User {
	case KindRun:
		return s.jobToken(ctx, c.Password)
	case KindNode:
		if s.isNode(ctx, c.Password) {
			return nodeActor(), nil
		}
		return Actor{}, s.badToken(ctx, c.User, c.Remote)
	}
	if c.User == KindPull {
		return s.pullToken(c.Password)
	}
	a, ok, err := s.personal(ctx, c.Password)
	if err != nil {
		return Actor{}, err
	}
	if ok && a.Name == c.User {
		return a, nil
	}
	if strings.HasPrefix(c.Password, TokenPrefix) {
		return Actor{}, s.badToken(ctx, c.User, c.Remote)
	}
	return s.basicPassword(ctx, c)
}

// remembered is how long a password that was verified is believed without computing
// argon2id again: Git and container clients send it with every request.
const remembered = 5 * time.Minute

func (s *Service) basicPassword(ctx context.Context, c Credentials) (Actor, error) {
	mac := hmac.New(sha256.New, s.cacheKey[:])
	_, _ = mac.Write([]byte(c.User + "\x00" + c.Password)) // A hash never returns an error.
	key := string(mac.Sum(nil))
	if v, ok := s.verified.get(key); ok {
		return v.actor, nil
	}
	if _, ok := s.checked.get(key); !ok {
		if err := s.password(ctx, c.User, c.Password, c.Remote); err != nil {
			return Actor{}, err
		}
		s.checked.put(key, struct{}{}, s.clock.Now().Add(remembered))
	}
	admin, _, ok, err := s.account(ctx, s.db, c.User)
	if err != nil {
		return Actor{}, err
	}
	if !ok {
		return Actor{}, fault.New(fault.Unauthentic, "User name or password is wrong.").WithNext("check both and try again")
	}
	a := Actor{Kind: KindUser, Name: c.User, Admin: admin, Cap: Admin, TokenID: "password"}
	s.verified.put(key, verifiedToken{actor: a}, s.clock.Now().Add(recheck))
	return a, nil
}

// isNode compares with the node's token; before one was asked for there is none.
func (s *Service) isNode(ctx context.Context, secret string) bool {
	want, err := s.NodeToken(ctx)
	return err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(secret)) == 1
}

func nodeActor() Actor { return Actor{Kind: KindNode, Name: "embedded", Cap: Read} }

// badToken records and refuses a token that is none. Guessing 160 bits needs no throttle;
// the record does, so that nobody fills the logbook.
func (s *Service) badToken(ctx context.Context, user, remote string) error {
	refused := fault.New(fault.Unauthentic, "The token is not valid: it is unknown, expired or revoked.").WithNext("create a new token")
	const anyone = "\ntoken" // no user's name
	if s.throttle.check(anyone, remote) != nil {
		return refused
	}
	s.throttle.fail(anyone, remote)
	if err := s.loginFailed(ctx, user, "token", remote); err != nil {
		return err
	}
	return refused
}
