package vault

import (
	"context"
	"crypto"
	"crypto/ecdsa"
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
	purpose := "vault_key:" + name
	var sealed string
	err := db.QueryRow(ctx, `SELECT sealed FROM vault_key WHERE name = ?`, name).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		sealed, err = v.makeKey(ctx, db, name, purpose)
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
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("parsing the signing key %q: it is a %T, not ECDSA", name, parsed)
	}
	return key, nil
}

// makeKey stores a new key and returns what stands in the table afterwards, which is
// another process's key when that one was quicker.
func (v *Vault) makeKey(ctx context.Context, db *store.DB, name, purpose string) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
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
