package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// Limits of SSH keys.
const (
	maxKeyText = 8 << 10 // bytes of a public key as text
	maxKeyBits = 8192    // of RSA: verifying with a larger one is work for an attacker to give
	minKeyBits = 3072    // of RSA
	maxKeys    = 100     // of one user, and of one repository
	maxTitle   = 100     // bytes
)

// Key is an SSH public key. It belongs to a user, or as a deploy key to a repository.
type Key struct {
	ID          string    `json:"id"`
	Title       string    `json:"title"`
	Type        string    `json:"type"`        // "ssh-ed25519"
	Fingerprint string    `json:"fingerprint"` // "SHA256:…", as ssh-keygen -l shows it
	User        string    `json:"user,omitempty"`
	Repo        string    `json:"repo,omitempty"` // "project/repo", of a deploy key
	Write       bool      `json:"write,omitempty"`
	Created     time.Time `json:"created"`

	blob []byte
}

// AddKey lets the actor use Git over SSH with a key. publicKey is a line as in a .pub file.
// A key belongs to one user or one repository of the installation only. With a key one can
// do what the role maintain allows, so that credentials of a smaller scope cannot add one.
func (s *Service) AddKey(ctx context.Context, a Actor, title, publicKey string) (Key, error) {
	if a.Kind != KindUser {
		return Key{}, fault.New(fault.Denied, "Only a user has SSH keys; %s is none.", a)
	}
	if a.Cap < keyCap {
		return Key{}, fault.New(fault.Denied, "Adding a key needs a token with the scope %q; this one has %q.", keyCap, a.Cap)
	}
	k, err := s.newKey(title, publicKey)
	if err != nil {
		return Key{}, err
	}
	k.User = a.Name
	return k, s.insertKey(ctx, a, k)
}

// keyCap is what a user may do with a key.
const keyCap = Maintain

// AddDeployKey lets whoever holds a key read one repository by Git over SSH, or with write
// also push to it, and nothing else. repo is "project/repo"; whether it exists is asked by
// the caller. Maintainers of the project may.
func (s *Service) AddDeployKey(ctx context.Context, a Actor, repo, title, publicKey string, write bool) (Key, error) {
	project, _, _ := strings.Cut(repo, "/")
	if err := s.Require(ctx, a, project, Maintain); err != nil {
		return Key{}, err
	}
	k, err := s.newKey(title, publicKey)
	if err != nil {
		return Key{}, err
	}
	k.Repo, k.Write = repo, write
	return k, s.insertKey(ctx, a, k)
}

func (s *Service) newKey(title, publicKey string) (Key, error) {
	pub, comment, err := parseKey(publicKey)
	if err != nil {
		return Key{}, err
	}
	if title = strings.TrimSpace(title); title == "" {
		title = comment[:min(len(comment), maxTitle)]
	}
	if title == "" || len(title) > maxTitle || strings.ContainsFunc(title, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0xfffd }) {
		return Key{}, fault.New(fault.Invalid, "A key needs a title of 1 to %d bytes on one line, so that you know it again.", maxTitle)
	}
	return Key{
		ID: s.clock.NewID(), Title: title, Type: pub.Type(), Fingerprint: ssh.FingerprintSHA256(pub),
		Created: s.clock.Now().Truncate(time.Millisecond).UTC(), blob: pub.Marshal(),
	}, nil
}

// parseKey reads one line of authorized_keys without options, and takes strong keys only.
func parseKey(text string) (pub ssh.PublicKey, comment string, err error) {
	bad := fault.New(fault.Invalid, "This is not an SSH public key.").WithNext("paste the one line of a file like ~/.ssh/id_ed25519.pub")
	text = strings.TrimSpace(text)
	if strings.Contains(text, "PRIVATE KEY") {
		return nil, "", fault.New(fault.Invalid, "This is a private key. It was not stored; consider it as leaked if others saw it.").WithNext("paste the file that ends with .pub")
	}
	if len(text) > maxKeyText || strings.ContainsAny(text, "\r\n\x00") {
		return nil, "", bad
	}
	pub, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(options) > 0 {
		return nil, "", bad
	}
	return pub, comment, strong(pub)
}

// strong takes Ed25519, ECDSA on the NIST curves, and RSA of 3072 bits or more: the
// strength of 128 bits (NIST SP 800-57). Certificates are no keys here.
func strong(pub ssh.PublicKey) error {
	weak := func(why string) error {
		return fault.New(fault.Invalid, "The key is not accepted: %s.", why).WithNext("make one: ssh-keygen -t ed25519")
	}
	ck, ok := pub.(ssh.CryptoPublicKey)
	if !ok {
		return weak("keys of the type " + clip(pub.Type()) + " are not known here")
	}
	switch key := ck.CryptoPublicKey().(type) {
	case ed25519.PublicKey:
		if pub.Type() == ssh.KeyAlgoED25519 {
			return nil
		}
	case *ecdsa.PublicKey:
		switch pub.Type() {
		case ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
			return nil
		}
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		switch {
		case pub.Type() != ssh.KeyAlgoRSA:
		case bits < minKeyBits:
			return weak(fmt.Sprintf("it has %d bits, and RSA needs %d", bits, minKeyBits))
		case bits > maxKeyBits:
			return weak(fmt.Sprintf("it has %d bits, and at most %d are taken", bits, maxKeyBits))
		case key.E < 65537 || key.E%2 == 0:
			return weak("its exponent is too small")
		default:
			return nil
		}
	}
	return weak("keys of the type " + clip(pub.Type()) + " are not taken; use Ed25519, ECDSA or RSA")
}

func (s *Service) insertKey(ctx context.Context, a Actor, k Key) error {
	owner, args := `username`, []any{k.User}
	if k.Repo != "" {
		owner, args = `repo`, []any{k.Repo}
	}
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM identity_key WHERE `+owner+` = ?`, args...).Scan(&n); err != nil {
			return err
		}
		if n >= maxKeys {
			return fault.New(fault.TooLarge, "There are %d keys already, which is the most.", n).WithNext("remove one that is not used")
		}
		user := sql.NullString{String: k.User, Valid: k.User != ""}
		_, err := tx.Exec(ctx, `INSERT INTO identity_key (id, fingerprint, blob, title, username, repo, writes, created) VALUES (?,?,?,?,?,?,?,?)`,
			k.ID, k.Fingerprint, base64.StdEncoding.EncodeToString(k.blob), k.Title, user, k.Repo, bit(k.Write), millis(k.Created))
		if err != nil {
			return err
		}
		return s.sayKey(ctx, tx, a, event.TypeKeyAdded, k)
	})
	if store.Unique(err) {
		// Not whose it is: that would tell strangers who works here.
		return fault.New(fault.Conflict, "This key is in use in this installation already.").WithNext("make another: ssh-keygen -t ed25519")
	}
	if err != nil && fault.KindOf(err) == fault.Internal {
		return fmt.Errorf("adding a key: %w", err)
	}
	return err
}

func (s *Service) sayKey(ctx context.Context, tx *store.Tx, a Actor, kind string, k Key) error {
	project, subject := "", event.Of(event.KindUser, k.User)
	if k.Repo != "" {
		project, _, _ = strings.Cut(k.Repo, "/")
		subject = event.Of(event.KindRepo, k.Repo)
	}
	return s.say(ctx, tx, a, kind, project, subject, event.Key{V: 1, ID: k.ID, Title: k.Title, Fingerprint: k.Fingerprint, Repo: k.Repo, Write: k.Write})
}

// Keys lists the actor's own keys, newest first.
func (s *Service) Keys(ctx context.Context, a Actor) ([]Key, error) {
	if a.Kind != KindUser {
		return nil, nil
	}
	return s.listKeys(ctx, s.db, `WHERE username = ? ORDER BY id DESC`, a.Name)
}

// DeployKeys lists the deploy keys of a repository ("project/repo"), newest first.
// Maintainers of the project may.
func (s *Service) DeployKeys(ctx context.Context, a Actor, repo string) ([]Key, error) {
	project, _, _ := strings.Cut(repo, "/")
	if err := s.Require(ctx, a, project, Maintain); err != nil {
		return nil, err
	}
	return s.listKeys(ctx, s.db, `WHERE repo = ? AND username IS NULL ORDER BY id DESC`, repo)
}

func (s *Service) listKeys(ctx context.Context, h store.Handle, where string, args ...any) ([]Key, error) {
	rows, err := h.Query(ctx, `SELECT id, fingerprint, blob, title, username, repo, writes, created FROM identity_key `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("listing keys: %w", err)
	}
	defer rows.Close()
	var out []Key
	for rows.Next() {
		var k Key
		var blob string
		var user sql.NullString
		var writes, created int64
		if err := rows.Scan(&k.ID, &k.Fingerprint, &blob, &k.Title, &user, &k.Repo, &writes, &created); err != nil {
			return nil, fmt.Errorf("listing keys: %w", err)
		}
		if k.blob, err = base64.StdEncoding.DecodeString(blob); err != nil {
			return nil, fmt.Errorf("decoding key %s: %w", k.ID, err)
		}
		k.User, k.Write, k.Created, k.Type = user.String, writes == 1, fromMillis(created), keyType(k.blob)
		out = append(out, k)
	}
	return out, rows.Err()
}

// keyType reads the first field of a key's blob (RFC 4253, section 6.6).
func keyType(blob []byte) string {
	pub, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return "" // It was parsed when it was added; only the listing suffers.
	}
	return pub.Type()
}

// RemoveKey takes a key away at once. Users may remove their own, maintainers the deploy
// keys of their project, administrators any.
func (s *Service) RemoveKey(ctx context.Context, a Actor, id string) error {
	missing := fault.New(fault.NotFound, "There is no key %q of yours.", clip(id))
	list, err := s.listKeys(ctx, s.db, `WHERE id = ?`, id)
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return missing
	}
	k := list[0]
	if err := s.mayRemove(ctx, a, k); fault.KindOf(err) == fault.Internal {
		return err
	} else if err != nil {
		return missing
	}
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM identity_key WHERE id = ?`, id)
		if err != nil {
			return fmt.Errorf("removing a key: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, missing)
		}
		return s.sayKey(ctx, tx, a, event.TypeKeyRemoved, k)
	})
}

// mayRemove: taking a right away needs no more than being its owner.
func (s *Service) mayRemove(ctx context.Context, a Actor, k Key) error {
	if a.Kind == KindUser && k.User == a.Name && a.Cap >= Write || s.RequireAdmin(ctx, a) == nil {
		return nil
	}
	if k.Repo == "" {
		return noUser(k.User)
	}
	project, _, _ := strings.Cut(k.Repo, "/")
	return s.Require(ctx, a, project, Maintain)
}

// ActorForKey says who holds the SSH key with this blob, the public key in the form of RFC
// 4253. An unknown key is fault.Unauthentic. That the other side holds the private half is
// for the caller to have seen.
func (s *Service) ActorForKey(ctx context.Context, blob []byte) (Actor, error) {
	unknown := fault.New(fault.Unauthentic, "This SSH key is not known here.").WithNext("add it in your settings, or as a deploy key")
	pub, err := ssh.ParsePublicKey(blob)
	if err != nil || strong(pub) != nil || !bytes.Equal(pub.Marshal(), blob) {
		return Actor{}, unknown
	}
	list, err := s.listKeys(ctx, s.db, `WHERE fingerprint = ?`, ssh.FingerprintSHA256(pub))
	if err != nil {
		return Actor{}, err
	}
	// The fingerprint finds, the whole key decides.
	if len(list) != 1 || subtle.ConstantTimeCompare(list[0].blob, blob) != 1 {
		return Actor{}, unknown
	}
	k := list[0]
	if k.Repo != "" {
		a := Actor{Kind: KindKey, Name: k.ID, Cap: Read, Key: KeyClaims{Repo: k.Repo, Write: k.Write}, TokenID: k.ID}
		if k.Write {
			a.Cap = Write
		}
		return a, nil
	}
	admin, _, ok, err := s.account(ctx, s.db, k.User)
	if err != nil {
		return Actor{}, err
	}
	if !ok {
		return Actor{}, unknown
	}
	return Actor{Kind: KindUser, Name: k.User, Admin: admin, Cap: keyCap, TokenID: k.ID}, nil
}
