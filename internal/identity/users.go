package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// User is an account.
type User struct {
	Name    string    `json:"name"`
	Admin   bool      `json:"admin"` // administrator of the installation
	Created time.Time `json:"created"`
}

// CreateUser makes an account. Only administrators may. password may be empty: such a
// user cannot sign in with a password, only with tokens.
func (s *Service) CreateUser(ctx context.Context, a Actor, name, password string, admin bool) (User, error) {
	if err := s.RequireAdmin(ctx, a); err != nil {
		return User{}, err
	}
	if err := CheckUserName(name); err != nil {
		return User{}, err
	}
	hash := ""
	if password != "" {
		var err error
		if hash, err = s.passwords.hash(ctx, password); err != nil {
			return User{}, err
		}
	}
	u := User{Name: name, Admin: admin, Created: s.clock.Now().Truncate(time.Millisecond)}
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO identity_user (name, admin, password, created) VALUES (?,?,?,?)`, name, bit(admin), hash, millis(u.Created))
		if err != nil {
			return err
		}
		return s.say(ctx, tx, a, event.TypeUserCreated, "", event.Of(event.KindUser, name), event.UserCreated{V: 1, Name: name, Admin: admin})
	})
	if store.Unique(err) {
		return User{}, fault.New(fault.Conflict, "A user %q exists already.", name).WithNext("choose another name")
	}
	if err != nil {
		return User{}, fmt.Errorf("creating user %s: %w", name, err)
	}
	return u, nil
}

// SetPassword changes a user's password and ends their sessions. Users may change their
// own, administrators everyone's.
func (s *Service) SetPassword(ctx context.Context, a Actor, user, password string) error {
	if a.Kind != KindUser || a.Name != user || a.Cap < Admin {
		if err := s.RequireAdmin(ctx, a); err != nil {
			return err
		}
	}
	hash, err := s.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `UPDATE identity_user SET password = ? WHERE name = ?`, hash, user)
		if err != nil {
			return fmt.Errorf("changing the password of %s: %w", user, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, noUser(user))
		}
		_, err = tx.Exec(ctx, `DELETE FROM identity_session WHERE username = ?`, user)
		return err
	})
	s.checked.clear()
	s.verified.clear()
	return err
}

// Users lists all accounts, by name. Only administrators may.
func (s *Service) Users(ctx context.Context, a Actor) ([]User, error) {
	if err := s.RequireAdmin(ctx, a); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT name, admin, created FROM identity_user ORDER BY name LIMIT 10000`)
	if err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	defer rows.Close()
	var out []User
	for rows.Next() {
		var u User
		var admin, created int64
		if err := rows.Scan(&u.Name, &admin, &created); err != nil {
			return nil, fmt.Errorf("listing users: %w", err)
		}
		u.Admin, u.Created = admin == 1, fromMillis(created)
		out = append(out, u)
	}
	return out, rows.Err()
}

// account reads one user; ok is false when there is none.
func (s *Service) account(ctx context.Context, h store.Handle, name string) (admin bool, hash string, ok bool, err error) {
	if !userName.MatchString(name) {
		return false, "", false, nil // Nor is it anything to ask a database for.
	}
	var n int64
	err = h.QueryRow(ctx, `SELECT admin, password FROM identity_user WHERE name = ?`, name).Scan(&n, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return false, "", false, nil
	}
	if err != nil {
		return false, "", false, fmt.Errorf("reading user %s: %w", name, err)
	}
	return n == 1, hash, true, nil
}

func noUser(name string) error { return fault.New(fault.NotFound, "There is no user %q.", clip(name)) }

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
