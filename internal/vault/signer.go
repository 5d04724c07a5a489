package vault

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"

	"towpath.dev/towpath/internal/store"
)

// Signer returns the ECDSA P-256 key of that name, making it at the first call. It is
// kept in the table vault_key, sealed; callers keep the result, each call reads anew.
func (v *Vault) Signer(ctx context.Context, db *store.DB, name string) (crypto.Signer, error) {
	parsed, err := v.key(ctx, db, name, func() (any, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("parsing the signing key %q: it is a %T, not ECDSA", name, parsed)
	}
	return key, nil
}

// Ed25519 returns the Ed25519 key of that name, as Signer does an ECDSA key: its signatures
// are short and its verifier needs no parameters.
func (v *Vault) Ed25519(ctx context.Context, db *store.DB, name string) (ed25519.PrivateKey, error) {
	parsed, err := v.key(ctx, db, name, func() (any, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	})
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("parsing the signing key %q: it is a %T, not Ed25519", name, parsed)
	}
	return key, nil
}

// key returns the key of a name, and makes it with generate at the first call.
func (v *Vault) key(ctx context.Context, db *store.DB, name string, generate func() (any, error)) (any, error) {
	purpose := "vault_key:" + name
	var sealed string
	err := db.QueryRow(ctx, `SELECT sealed FROM vault_key WHERE name = ?`, name).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		sealed, err = v.makeKey(ctx, db, name, purpose, generate)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the signing key %q: %w", name, err)
	}
	der, err := v.Unseal(purpose, sealed)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("parsing the signing key %q: %w", name, err)
	}
	return parsed, nil
}

// makeKey stores a new key and returns what stands in the table afterwards, which is
// another process's key when that one was quicker.
func (v *Vault) makeKey(ctx context.Context, db *store.DB, name, purpose string, generate func() (any, error)) (string, error) {
	key, err := generate()
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	sealed, err := v.Seal(purpose, der)
	if err != nil {
		return "", err
	}
	err = db.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO vault_key (name, sealed) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, name, sealed); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT sealed FROM vault_key WHERE name = ?`, name).Scan(&sealed)
	})
	return sealed, err
}
