package identity

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// TokenPrefix begins every personal token that Towpath makes.
const TokenPrefix = "twp_"

// Bounds on the life of a personal token.
const (
	DefaultTokenTTL = 90 * 24 * time.Hour
	MaxTokenTTL     = 366 * 24 * time.Hour
)

// minAdopted is the length in bytes below which AdoptToken refuses a secret.
const minAdopted = 20

// Token is a personal token, without its secret.
type Token struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	Name    string    `json:"name"`
	Scope   string    `json:"scope"` // one of Scopes
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never (adopted tokens only)
	Revoked bool      `json:"revoked"`
}

// CreateToken makes a personal token of the actor and returns its secret, which is not
// kept and cannot be shown again. scope is one of Scopes and at most what the actor's own
// credentials allow. ttl 0 means DefaultTokenTTL; the most is MaxTokenTTL.
func (s *Service) CreateToken(ctx context.Context, a Actor, name, scope string, ttl time.Duration) (secret string, t Token, err error) {
	if a.Kind != KindUser {
		return "", t, fault.New(fault.Denied, "Only a user has personal tokens; %s is none.", a)
	}
	limit, ok := scopeCaps[scope]
	switch {
	case !ok:
		return "", t, fault.New(fault.Invalid, "%q is no scope of a token.", clip(scope)).WithNext("use one of: %s", strings.Join(Scopes(), ", "))
	case limit > a.Cap:
		return "", t, fault.New(fault.Denied, "A token of scope %q cannot make one of scope %q.", a.Cap, scope)
	case name == "" || len(name) > 100:
		return "", t, fault.New(fault.Invalid, "A token needs a name of 1 to 100 bytes, so that you know it again.")
	case ttl < 0 || ttl > MaxTokenTTL:
		return "", t, fault.New(fault.Invalid, "A token may live up to %d days.", int(MaxTokenTTL.Hours()/24))
	case ttl == 0:
		ttl = DefaultTokenTTL
	}
	secret = secretText(TokenPrefix)
	now := s.clock.Now().Truncate(time.Millisecond)
	t = Token{ID: s.clock.NewID(), User: a.Name, Name: name, Scope: scope, Created: now, Expires: now.Add(ttl)}
	err = s.db.Tx(ctx, func(tx *store.Tx) error { return s.insertToken(ctx, tx, a, t, secret) })
	if err != nil {
		return "", Token{}, fmt.Errorf("creating a token: %w", err)
	}
	return secret, t, nil
}

func (s *Service) insertToken(ctx context.Context, tx *store.Tx, a Actor, t Token, secret string) error {
	_, err := tx.Exec(ctx, `INSERT INTO identity_token (id, username, name, hash, scope, created, expires, revoked) VALUES (?,?,?,?,?,?,?,0)`,
		t.ID, t.User, t.Name, hashSecret(secret), t.Scope, millis(t.Created), millis(t.Expires))
	if err != nil {
		return err
	}
	return s.say(ctx, tx, a, event.TypeTokenCreated, "", event.Of(event.KindUser, t.User),
		event.Token{V: 1, ID: t.ID, Name: t.Name, Scopes: []string{t.Scope}, Expires: t.Expires})
}

// AdoptToken makes a secret that the operator chose (a token file given to the server) an
// unlimited token of the user, who must exist. The secret that was adopted before is
// revoked. Adopting the same one again does nothing.
func (s *Service) AdoptToken(ctx context.Context, user, secret string) error {
	if len(secret) < minAdopted || strings.ContainsAny(secret, " \t\r\n") || looksLikeJWT(secret) {
		return fault.New(fault.Invalid, "The given token must be one word of at least %d bytes.", minAdopted).
			WithNext("make one: head -c 20 /dev/urandom | base64")
	}
	const name = "token file"
	a := SystemActor("identity")
	hash := hashSecret(secret)
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		if _, _, ok, err := s.account(ctx, tx, user); err != nil || !ok {
			return errors.Join(err, noUser(user))
		}
		var n int
		err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM identity_token WHERE hash = ? AND username = ? AND revoked = 0`, hash, user).Scan(&n)
		if err != nil || n == 1 {
			return err
		}
		now := s.clock.Now().Truncate(time.Millisecond)
		_, err = tx.Exec(ctx, `UPDATE identity_token SET revoked = ? WHERE name = ? AND expires = 0 AND revoked = 0`, millis(now), name)
		if err != nil {
			return err
		}
		return s.insertToken(ctx, tx, a, Token{ID: s.clock.NewID(), User: user, Name: name, Scope: Admin.String(), Created: now}, secret)
	})
	s.verified.clear()
	if store.Unique(err) {
		return fault.New(fault.Conflict, "The given token was used and revoked before.").WithNext("make a new one")
	}
	return err
}

// Tokens lists the actor's own tokens, newest first, revoked ones included.
func (s *Service) Tokens(ctx context.Context, a Actor) ([]Token, error) {
	if a.Kind != KindUser {
		return nil, nil
	}
	rows, err := s.db.Query(ctx, `SELECT id, username, name, scope, created, expires, revoked FROM identity_token WHERE username = ? ORDER BY id DESC LIMIT 1000`, a.Name)
	if err != nil {
		return nil, fmt.Errorf("listing tokens: %w", err)
	}
	defer rows.Close()
	var out []Token
	for rows.Next() {
		var t Token
		var created, expires, revoked int64
		if err := rows.Scan(&t.ID, &t.User, &t.Name, &t.Scope, &created, &expires, &revoked); err != nil {
			return nil, fmt.Errorf("listing tokens: %w", err)
		}
		t.Created, t.Expires, t.Revoked = fromMillis(created), fromMillis(expires), revoked > 0
		out = append(out, t)
	}
	return out, rows.Err()
}

// RevokeToken ends a token at once. Users may revoke their own, administrators any.
func (s *Service) RevokeToken(ctx context.Context, a Actor, id string) error {
	missing := fault.New(fault.NotFound, "There is no token %q of yours.", clip(id))
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		var user, name, scope string
		err := tx.QueryRow(ctx, `SELECT username, name, scope FROM identity_token WHERE id = ? AND revoked = 0`, id).Scan(&user, &name, &scope)
		if errors.Is(err, sql.ErrNoRows) {
			return missing
		}
		if err != nil {
			return fmt.Errorf("revoking a token: %w", err)
		}
		own := a.Kind == KindUser && a.Name == user
		if !own && s.RequireAdmin(ctx, a) != nil {
			return missing
		}
		if _, err := tx.Exec(ctx, `UPDATE identity_token SET revoked = ? WHERE id = ?`, millis(s.clock.Now()), id); err != nil {
			return fmt.Errorf("revoking a token: %w", err)
		}
		return s.say(ctx, tx, a, event.TypeTokenRevoked, "", event.Of(event.KindUser, user), event.Token{V: 1, ID: id, Name: name, Scopes: []string{scope}})
	})
	s.verified.clear()
	return err
}

// verifiedToken is what the cache keeps about a bearer secret that was found good.
type verifiedToken struct {
	actor   Actor
	expires time.Time // zero: never
}

// recheck is how long a verified personal token is believed without asking the database,
// which bounds how late a revocation by another process is seen.
const recheck = 10 * time.Second

// personal looks a secret up among the personal tokens.
func (s *Service) personal(ctx context.Context, secret string) (Actor, bool, error) {
	hash := hashSecret(secret)
	now := s.clock.Now()
	if v, ok := s.verified.get(hash); ok {
		return v.actor, v.expires.IsZero() || now.Before(v.expires), nil
	}
	var id, user, stored, scope string
	var expires, revoked, admin int64
	err := s.db.QueryRow(ctx, `SELECT t.id, t.username, t.hash, t.scope, t.expires, t.revoked, u.admin
		FROM identity_token t JOIN identity_user u ON u.name = t.username WHERE t.hash = ?`, hash).
		Scan(&id, &user, &stored, &scope, &expires, &revoked, &admin)
	if errors.Is(err, sql.ErrNoRows) {
		return Actor{}, false, nil
	}
	if err != nil {
		return Actor{}, false, fmt.Errorf("looking up a token: %w", err)
	}
	v := verifiedToken{actor: Actor{Kind: KindUser, Name: user, Admin: admin == 1, Cap: scopeCaps[scope], TokenID: id}, expires: fromMillis(expires)}
	good := subtle.ConstantTimeCompare([]byte(stored), []byte(hash)) == 1 && revoked == 0 && (v.expires.IsZero() || now.Before(v.expires))
	if !good {
		return Actor{}, false, nil
	}
	s.verified.put(hash, v, now.Add(recheck))
	return v.actor, true, nil
}

// NodeToken returns the secret with which the embedded cluster's node pulls images. It is
// made once and stays the same over restarts; it is kept sealed.
func (s *Service) NodeToken(ctx context.Context) (string, error) {
	s.nodeMu.Lock()
	defer s.nodeMu.Unlock()
	if s.node != "" {
		return s.node, nil
	}
	const name, purpose = "node-token", "identity:node-token"
	fresh, err := s.vault.Seal(purpose, []byte(secretText("twn_")))
	if err != nil {
		return "", err
	}
	var sealed string
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO identity_secret (name, sealed) VALUES (?,?) ON CONFLICT (name) DO NOTHING`, name, fresh); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT sealed FROM identity_secret WHERE name = ?`, name).Scan(&sealed)
	})
	if err != nil {
		return "", fmt.Errorf("reading the node's token: %w", err)
	}
	plain, err := s.vault.Unseal(purpose, sealed)
	if err != nil {
		return "", err
	}
	s.node = string(plain)
	return s.node, nil
}
