package identity

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// Bounds on a browser session.
const (
	SessionIdle     = 24 * time.Hour     // ends when unused for so long
	SessionAbsolute = 7 * 24 * time.Hour // ends in any case
	// seenEvery bounds how often the use of a session is written down.
	seenEvery = 5 * time.Minute
)

// CookieName is the name of the session cookie.
const CookieName = "towpath_session"

// Login checks a password and starts a session; the result goes into the cookie that
// SessionCookie makes. remote is the client's address. Wrong credentials give
// fault.Unauthentic, too many of them fault.Throttled.
func (s *Service) Login(ctx context.Context, user, password, remote string) (session string, err error) {
	if err := s.password(ctx, user, password, remote); err != nil {
		return "", err
	}
	session = rand.Text() + rand.Text()
	now := s.clock.Now()
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM identity_session WHERE username = ? AND (expires <= ? OR seen <= ?)`,
			user, millis(now), millis(now.Add(-SessionIdle))); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO identity_session (hash, id, username, created, seen, expires) VALUES (?,?,?,?,?,?)`,
			hashSecret(session), s.clock.NewID(), user, millis(now), millis(now), millis(now.Add(SessionAbsolute)))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("starting a session: %w", err)
	}
	return session, nil
}

// Logout ends a session. An unknown one is no error.
func (s *Service) Logout(ctx context.Context, session string) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM identity_session WHERE hash = ?`, hashSecret(session)); err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// SessionCookie returns the cookie for a session made by Login; for "" it returns the
// cookie that removes it.
func (s *Service) SessionCookie(session string) *http.Cookie {
	c := &http.Cookie{
		Name: CookieName, Value: session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(s.opts.PublicURL, "https://"), MaxAge: int(SessionAbsolute.Seconds()),
	}
	if session == "" {
		c.MaxAge = -1
	}
	return c
}

// session looks a session up and notes its use.
func (s *Service) session(ctx context.Context, secret string) (Actor, error) {
	ended := fault.New(fault.Unauthentic, "Your session has ended.").WithNext("sign in again")
	hash := hashSecret(secret)
	var id, user string
	var seen, expires, admin int64
	err := s.db.QueryRow(ctx, `SELECT s.id, s.username, s.seen, s.expires, u.admin FROM identity_session s
		JOIN identity_user u ON u.name = s.username WHERE s.hash = ?`, hash).Scan(&id, &user, &seen, &expires, &admin)
	if errors.Is(err, sql.ErrNoRows) {
		return Actor{}, ended
	}
	if err != nil {
		return Actor{}, fmt.Errorf("looking up a session: %w", err)
	}
	now := s.clock.Now()
	idle := now.Sub(fromMillis(seen))
	if !now.Before(fromMillis(expires)) || idle >= SessionIdle {
		return Actor{}, ended
	}
	if idle >= seenEvery {
		if _, err := s.db.Exec(ctx, `UPDATE identity_session SET seen = ? WHERE hash = ?`, millis(now), hash); err != nil {
			return Actor{}, fmt.Errorf("noting the use of a session: %w", err)
		}
	}
	return Actor{Kind: KindUser, Name: user, Admin: admin == 1, Cap: Admin, TokenID: id}, nil
}

// password checks a user's password, with throttle and record.
func (s *Service) password(ctx context.Context, user, password, remote string) error {
	if err := s.throttle.check(user, remote); err != nil {
		return err
	}
	_, hash, _, err := s.account(ctx, s.db, user)
	if err != nil {
		return err
	}
	ok, err := s.passwords.verify(ctx, hash, password)
	if err != nil {
		return err
	}
	if !ok {
		s.throttle.fail(user, remote)
		if err := s.loginFailed(ctx, user, "password", remote); err != nil {
			return err
		}
		return fault.New(fault.Unauthentic, "User name or password is wrong.").WithNext("check both and try again")
	}
	s.throttle.succeed(user, remote)
	return nil
}

// loginFailed records a failure. The name is recorded only when it could be a user's:
// people type passwords into the wrong field.
func (s *Service) loginFailed(ctx context.Context, user, method, remote string) error {
	if CheckUserName(user) != nil {
		user = "?"
	}
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		err := s.log.Append(ctx, tx, event.Fact{
			Type: event.TypeLoginFailed, Subject: event.Of(event.KindUser, user), Actor: Actor{}.String(),
			Payload: event.LoginFailed{V: 1, Method: method, Remote: clip(remote)},
		})
		if err != nil {
			return fmt.Errorf("recording a failed sign-in: %w", err)
		}
		return nil
	})
}
