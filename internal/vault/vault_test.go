package vault_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/vault"
)

func open(t *testing.T, dir string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSealedTextOpensUnderTheSameKeyAndPurposeOnly(t *testing.T) {
	dir := t.TempDir()
	v, again, other := open(t, dir), open(t, dir), open(t, t.TempDir())
	for _, plain := range []string{"", "secret", strings.Repeat("x", 1<<16)} {
		sealed, err := v.Seal("token", []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		if plain != "" && strings.Contains(sealed, plain) {
			t.Error("the sealed text shows the secret")
		}
		if got, err := again.Unseal("token", sealed); err != nil || string(got) != plain {
			t.Errorf("the same key file: %q, %v", got, err)
		}
		if _, err := v.Unseal("password", sealed); err == nil {
			t.Error("opened for another purpose")
		}
		if _, err := other.Unseal("token", sealed); !fault.Is(err, fault.Unavailable) {
			t.Errorf("another key file: %v", err)
		}
		damaged := []byte(sealed)
		damaged[len(damaged)/2] ^= 1
		for _, bad := range []string{string(damaged), "", "v1.", "v2." + sealed[3:], sealed[:len(sealed)-4]} {
			if _, err := v.Unseal("token", bad); err == nil {
				t.Errorf("a damaged text opened: %.20q", bad)
			}
		}
	}
	a, _ := v.Seal("p", []byte("x"))
	b, _ := v.Seal("p", []byte("x"))
	if a == b {
		t.Error("sealing twice gives the same text")
	}
	if _, err := v.Seal("", []byte("x")); err == nil {
		t.Error("sealed without a purpose")
	}
}

func TestOpenRefusesAKeyFileThatOthersMayReadOrThatIsDamaged(t *testing.T) {
	good := strings.Repeat("ab", 32) + "\n"
	tests := []struct {
		name, text string
		mode       os.FileMode
		want       fault.Kind
	}{
		{"good", good, 0o600, ""},
		{"owner may only read", good, 0o400, ""},
		{"group reads", good, 0o640, fault.Denied},
		{"others read", good, 0o604, fault.Denied},
		{"short", "abcd\n", 0o600, fault.Invalid},
		{"long", good + "ab", 0o600, fault.Invalid},
		{"no hex", strings.Repeat("xy", 32), 0o600, fault.Invalid},
		{"empty", "", 0o600, fault.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, vault.KeyFile)
			if err := os.WriteFile(path, []byte(tt.text), tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			if _, err := vault.Open(dir); fault.KindOf(err) != tt.want {
				t.Errorf("Open() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOpenMakesAKeyFileThatOnlyTheOwnerReads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	open(t, dir)
	st, err := os.Stat(filepath.Join(dir, vault.KeyFile))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %d files, %v; want the key file only", len(entries), err)
	}
}

func TestSignerIsMadeOnceAndKeptSealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		v := open(t, t.TempDir())
		first, err := v.Signer(t.Context(), db, "jwt")
		if err != nil {
			t.Fatal(err)
		}
		again, err := v.Signer(t.Context(), db, "jwt")
		if err != nil {
			t.Fatal(err)
		}
		other, err := v.Signer(t.Context(), db, "images")
		if err != nil {
			t.Fatal(err)
		}
		public := first.Public().(*ecdsa.PublicKey)
		if !public.Equal(again.Public()) || public.Equal(other.Public()) {
			t.Error("a name must always give the same key, and its own")
		}
		sum := sha256.Sum256([]byte("text"))
		sig, err := again.Sign(rand.Reader, sum[:], nil)
		if err != nil || !ecdsa.VerifyASN1(public, sum[:], sig) {
			t.Errorf("the signature does not verify: %v", err)
		}
		if _, err := open(t, t.TempDir()).Signer(t.Context(), db, "jwt"); !fault.Is(err, fault.Unavailable) {
			t.Errorf("under another key file: %v", err)
		}
		// A row moved to another name is for another purpose.
		if _, err := db.Exec(t.Context(), `UPDATE vault_key SET sealed = (SELECT sealed FROM vault_key WHERE name = 'images') WHERE name = 'jwt'`); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Signer(t.Context(), db, "jwt"); err == nil {
			t.Error("a key passed as another one")
		}
	})
}
