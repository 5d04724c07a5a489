package vault

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"towpath.dev/towpath/internal/fault"
)

// KeyFile is the name of the key file within the data folder.
const KeyFile = "key"

// version is the prefix of every sealed text; it names cipher and layout.
const version = "v1."

// Vault seals and unseals under the key of one key file. It is safe for concurrent use.
type Vault struct {
	aead cipher.AEAD
	path string
}

// Open reads the key file in dir, making dir and the key when they are missing. A key
// file that the group or others may read is refused with fault.Denied.
func Open(dir string) (*Vault, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the key file: %w", err)
	}
	path := filepath.Join(dir, KeyFile)
	key, err := load(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, err
		}
		key, err = load(path)
	}
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("preparing the cipher: %w", err)
	}
	return &Vault{aead: aead, path: path}, nil
}

// load reads the key; the check of the mode is on the opened file, not on its name.
func load(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the key file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening the key file: %w", err)
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Denied, "The key file %s has mode %04o: other users of this machine may read it.", path, st.Mode().Perm()).
			WithNext("chmod 600 %s, and replace the secrets if someone may have read it", path)
	}
	text := make([]byte, 2*chacha20poly1305.KeySize+2)
	n, _ := f.Read(text) // A short or failed read is found by the length below.
	key, err := hex.DecodeString(strings.TrimSpace(string(text[:n])))
	if err != nil || len(key) != chacha20poly1305.KeySize {
		return nil, fault.New(fault.Invalid, "The key file %s does not hold %d hexadecimal digits.", path, 2*chacha20poly1305.KeySize).
			WithNext("restore it from the backup")
	}
	return key, nil
}

// create makes the key file whole or not at all: what a crash leaves behind is a
// temporary file, never half a key. Of two processes that race, the first one's key stays.
func create(path string) error {
	key := make([]byte, chacha20poly1305.KeySize)
	// crypto/rand.Read never fails.
	_, _ = rand.Read(key)
	f, err := os.CreateTemp(filepath.Dir(path), ".key-")
	if err != nil {
		return fmt.Errorf("making the key file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	if err = errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the key file: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("naming the key file: %w", err)
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("making the key file durable: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("making the key file durable: %w", err)
	}
	return nil
}

// Seal encrypts plain. purpose is bound to the result as associated data: the same
// purpose must be given to Unseal. The result is printable text.
func (v *Vault) Seal(purpose string, plain []byte) (string, error) {
	if purpose == "" {
		return "", errors.New("sealing: the purpose is empty")
	}
	nonce := make([]byte, v.aead.NonceSize(), v.aead.NonceSize()+len(plain)+v.aead.Overhead())
	_, _ = rand.Read(nonce) // crypto/rand.Read never fails.
	return version + base64.RawURLEncoding.EncodeToString(v.aead.Seal(nonce, nonce, plain, []byte(purpose))), nil
}

// Unseal decrypts what Seal made for the same purpose under the same key file.
func (v *Vault) Unseal(purpose, sealed string) ([]byte, error) {
	text, ok := strings.CutPrefix(sealed, version)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) < v.aead.NonceSize() {
		return nil, fault.New(fault.Internal, "A sealed secret (%s) is damaged.", purpose)
	}
	n := v.aead.NonceSize()
	plain, err := v.aead.Open(nil, raw[:n], raw[n:], []byte(purpose))
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "The key file %s does not open the secret %q of this database.", v.path, purpose).
			WithNext("restore the key file that belongs to this database from the backup")
	}
	return plain, nil
}
