package library

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/store"
)

// Vault seals secrets. vault.Vault does.
type Vault interface {
	// Seal encrypts a text for a purpose.
	Seal(purpose string, plain []byte) (string, error)
	// Unseal opens what Seal made for the same purpose.
	Unseal(purpose, sealed string) ([]byte, error)
}

// Parts are what a Service is made of.
type Parts struct {
	DB     *store.DB
	Log    *event.Log
	Auth   check.Authorizer
	Clock  clock.Clock
	Vault  Vault
	Checks *check.Service
}

// Service keeps the items. It is safe for concurrent use.
type Service struct{ Parts }

// New returns the service and tells the checks which items there are.
func New(p Parts) *Service {
	s := &Service{Parts: p}
	for _, k := range []check.Kind{check.Group, check.File, check.Connection} {
		p.Checks.Registry.Register(k, s)
	}
	return s
}

// Exists reports whether there is an item; see check.Finder.
func (s *Service) Exists(ctx context.Context, r check.Resource) (bool, error) {
	_, err := find(ctx, s.DB, r, "")
	if errors.Is(err, errNone) {
		return false, nil
	}
	return err == nil, err
}

// Value is a variable of a group, or a parameter of a connection.
type Value struct {
	Name string `json:"name" maxLength:"256"`
	// Value is empty in what is read when Secret is set.
	Value  string `json:"value,omitempty" maxLength:"65536"`
	Secret bool   `json:"secret,omitempty"`
}

// Limits of values and items.
const (
	maxValues      = 500
	maxValue       = 64 << 10
	maxDescription = 2000
	maxItems       = 1000 // of a kind in a project
	// minSecret is the length in bytes below which masking would hide half of a log.
	minSecret = 4
)

var valueName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_. -]{0,254}$`)

// check refuses what cannot be a value.
func (v Value) check() error {
	switch {
	case !valueName.MatchString(v.Name) || strings.HasSuffix(v.Name, " "):
		return fault.New(fault.Invalid, "%q is no name of a variable.", clip(v.Name)).WithNext("use letters, digits, '_', '.', '-' and spaces, and begin with a letter")
	case len(v.Value) > maxValue || strings.ContainsRune(v.Value, 0):
		return fault.New(fault.Invalid, "The value of %s is longer than %d bytes, or no text.", v.Name, maxValue).WithNext("keep it as a secure file")
	case v.Secret && len(strings.TrimSpace(v.Value)) < minSecret:
		return fault.New(fault.Invalid, "The secret %s has fewer than %d characters, which no log could hide.", v.Name, minSecret)
	}
	return nil
}

// item is a row.
type item struct {
	id      string
	r       check.Resource
	body    string
	by      string
	changed time.Time
}

// errNone is what find returns when there is no such item.
var errNone = errors.New("no such item")

const columns = `id, name, body, actor, changed`

func find(ctx context.Context, h store.Handle, r check.Resource, lock string) (item, error) {
	it := item{r: r}
	var changed int64
	err := h.QueryRow(ctx, `SELECT `+columns+` FROM library_item WHERE project = ? AND kind = ? AND folded = ?`+lock,
		r.Project, string(r.Kind), strings.ToLower(r.Name)).Scan(&it.id, &it.r.Name, &it.body, &it.by, &changed)
	if errors.Is(err, sql.ErrNoRows) {
		return it, errNone
	}
	if err != nil {
		return it, fmt.Errorf("reading the %s: %w", r, err)
	}
	it.changed = time.UnixMilli(changed).UTC()
	return it, nil
}

// lockRow keeps others from changing a row until the transaction ends.
func lockRow(tx *store.Tx) string {
	if tx.Postgres() {
		return " FOR UPDATE"
	}
	return ""
}

func list(ctx context.Context, h store.Handle, project string, k check.Kind) ([]item, error) {
	rows, err := h.Query(ctx, `SELECT `+columns+` FROM library_item WHERE project = ? AND kind = ? ORDER BY folded`, project, string(k))
	if err != nil {
		return nil, fmt.Errorf("listing the library: %w", err)
	}
	defer rows.Close()
	var out []item
	for rows.Next() {
		it := item{r: check.Resource{Kind: k, Project: project}}
		var changed int64
		if err := rows.Scan(&it.id, &it.r.Name, &it.body, &it.by, &changed); err != nil {
			return nil, fmt.Errorf("listing the library: %w", err)
		}
		it.changed = time.UnixMilli(changed).UTC()
		out = append(out, it)
	}
	return out, rows.Err()
}

// may asks for a role and refuses what cannot be a resource.
func (s *Service) may(ctx context.Context, a identity.Actor, r check.Resource, role identity.Role) error {
	if err := s.Auth.Require(ctx, a, r.Project, role); err != nil {
		return err
	}
	return r.Check()
}

// edit is what a change does to an item.
type edit struct {
	body    any
	secrets map[string]string // new texts by lower-case name
	removed []string          // lower-case names of secrets that go
	names   []string          // for the logbook: what changed
}

// create makes an item. open lets every pipeline of the project use it.
func (s *Service) create(ctx context.Context, a identity.Actor, r check.Resource, e edit, open bool) error {
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM library_item WHERE project = ? AND kind = ?`, r.Project, string(r.Kind)).Scan(&n); err != nil {
			return err
		}
		if n >= maxItems {
			return fault.New(fault.TooLarge, "The project has %d of these, which is the most.", n)
		}
		it := item{id: s.Clock.NewID(), r: r}
		res, err := tx.Exec(ctx, `INSERT INTO library_item (id, project, kind, folded, name, body, actor, changed) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (project, kind, folded) DO NOTHING`,
			it.id, r.Project, string(r.Kind), strings.ToLower(r.Name), r.Name, encode(e.body), a.String(), s.Clock.Now().UnixMilli())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fault.New(fault.Conflict, "There is a %s already.", r))
		}
		// Permissions that were given to a mere name do not count for what it is now.
		if _, err := tx.Exec(ctx, `DELETE FROM pipeline_permission WHERE resource = ?`, r.Key()); err != nil {
			return err
		}
		if open {
			if err := s.Checks.PermitIn(ctx, tx, a, r, check.Everyone, true); err != nil {
				return err
			}
		}
		if err := s.seal(ctx, tx, it, e); err != nil {
			return err
		}
		return s.say(ctx, tx, a, r, "created", e.names)
	})
	return wrap(err, "making the %s", r)
}

// change changes an item by what f makes of it.
func (s *Service) change(ctx context.Context, a identity.Actor, r check.Resource, f func(it item) (edit, error)) error {
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		it, err := find(ctx, tx, r, lockRow(tx))
		if errors.Is(err, errNone) {
			return missing(r)
		}
		if err != nil {
			return err
		}
		e, err := f(it)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE library_item SET body = ?, actor = ?, changed = ? WHERE id = ?`, encode(e.body), a.String(), s.Clock.Now().UnixMilli(), it.id)
		if err != nil {
			return err
		}
		if err := s.seal(ctx, tx, it, e); err != nil {
			return err
		}
		return s.say(ctx, tx, a, it.r, "changed", e.names)
	})
	return wrap(err, "changing the %s", r)
}

// remove removes an item with its secrets, checks and permissions.
func (s *Service) remove(ctx context.Context, a identity.Actor, r check.Resource) error {
	if err := s.may(ctx, a, r, identity.Maintain); err != nil {
		return err
	}
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		it, err := find(ctx, tx, r, lockRow(tx))
		if errors.Is(err, errNone) {
			return missing(r)
		}
		if err != nil {
			return err
		}
		for _, q := range []string{`DELETE FROM library_secret WHERE item = ?`, `DELETE FROM library_item WHERE id = ?`} {
			if _, err := tx.Exec(ctx, q, it.id); err != nil {
				return err
			}
		}
		if err := s.Checks.Forget(ctx, tx, it.r); err != nil {
			return err
		}
		return s.say(ctx, tx, a, it.r, "removed", nil)
	})
	return wrap(err, "removing the %s", r)
}

// purpose binds a sealed text to its place.
func purpose(item, name string) string { return "library:" + item + ":" + name }

func (s *Service) seal(ctx context.Context, tx *store.Tx, it item, e edit) error {
	for _, name := range e.removed {
		if _, err := tx.Exec(ctx, `DELETE FROM library_secret WHERE item = ? AND name = ?`, it.id, name); err != nil {
			return err
		}
	}
	for name, plain := range e.secrets {
		sealed, err := s.Vault.Seal(purpose(it.id, name), []byte(plain))
		if err != nil {
			return fmt.Errorf("sealing a secret: %w", err)
		}
		_, err = tx.Exec(ctx, `INSERT INTO library_secret (item, name, sealed) VALUES (?,?,?) ON CONFLICT (item, name) DO UPDATE SET sealed = excluded.sealed`, it.id, name, sealed)
		if err != nil {
			return err
		}
	}
	return nil
}

// unseal returns the secrets of an item by lower-case name.
func (s *Service) unseal(ctx context.Context, h store.Handle, it item) (map[string]string, error) {
	rows, err := h.Query(ctx, `SELECT name, sealed FROM library_secret WHERE item = ?`, it.id)
	if err != nil {
		return nil, fmt.Errorf("reading the secrets of the %s: %w", it.r, err)
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var name, sealed string
		if err := rows.Scan(&name, &sealed); err != nil {
			return nil, fmt.Errorf("reading the secrets of the %s: %w", it.r, err)
		}
		plain, err := s.Vault.Unseal(purpose(it.id, name), sealed)
		if err != nil {
			return nil, err
		}
		out[name] = string(plain)
	}
	return out, rows.Err()
}

func (s *Service) say(ctx context.Context, tx *store.Tx, a identity.Actor, r check.Resource, action string, names []string) error {
	return s.Log.Append(ctx, tx, event.Fact{
		Type: event.TypeLibraryChanged, Subject: event.Of(event.KindProject, r.Project), Project: r.Project, Actor: a.String(),
		Payload: event.LibraryChanged{V: 1, Resource: r.Path(), Action: action, Values: names},
	})
}

// merge lays values over those that there are, by name; a name that both lists have is
// replaced in its place.
func merge(have, set []Value, remove []string) ([]Value, edit, error) {
	e := edit{secrets: map[string]string{}}
	out := append([]Value{}, have...)
	at := func(name string) int {
		for i := range out {
			if strings.EqualFold(out[i].Name, name) {
				return i
			}
		}
		return -1
	}
	for _, name := range remove {
		i := at(name)
		if i < 0 {
			return nil, e, fault.New(fault.NotFound, "There is no variable %q.", clip(name))
		}
		e.removed, e.names = append(e.removed, strings.ToLower(name)), append(e.names, out[i].Name)
		out = append(out[:i], out[i+1:]...)
	}
	for _, v := range set {
		if err := v.check(); err != nil {
			return nil, e, err
		}
		key := strings.ToLower(v.Name)
		e.names = append(e.names, v.Name)
		if v.Secret {
			e.secrets[key], v.Value = v.Value, ""
		} else {
			delete(e.secrets, key)
			e.removed = append(e.removed, key)
		}
		if i := at(v.Name); i >= 0 {
			out[i] = v
		} else {
			out = append(out, v)
		}
	}
	if len(out) > maxValues {
		return nil, e, fault.New(fault.TooLarge, "There would be %d values; %d are the most.", len(out), maxValues)
	}
	return out, e, nil
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(b)
}

func decode(it item, into any) error {
	if err := json.Unmarshal([]byte(it.body), into); err != nil {
		return fmt.Errorf("decoding the %s: %w", it.r, err)
	}
	return nil
}

func missing(r check.Resource) error {
	next := map[check.Kind]string{check.Group: "towpath variable-group list", check.File: "towpath secure-file list", check.Connection: "towpath connection list"}[r.Kind]
	return fault.New(fault.NotFound, "There is no %s in project %s.", r, r.Project).WithNext("list them with: %s", next)
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "?") }

// wrap adds what was being done to an error that has no words for people.
func wrap(err error, format string, args ...any) error {
	if err == nil || fault.KindOf(err) != fault.Internal {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
