package identity_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// line makes the text of a public key, and its blob.
func line(t testing.TB, key crypto.PublicKey) (string, []byte) {
	t.Helper()
	pub, err := ssh.NewPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub))) + " ada@laptop\n", pub.Marshal()
}

func freshKey(t testing.TB) (string, []byte) {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return line(t, pub)
}

func TestUserKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		text, blob := freshKey(t)
		k, err := w.AddKey(t.Context(), bob(), "", text)
		if err != nil {
			t.Fatal(err)
		}
		if k.Title != "ada@laptop" || k.Type != "ssh-ed25519" || !strings.HasPrefix(k.Fingerprint, "SHA256:") || k.User != "bob" {
			t.Errorf("made %+v", k)
		}
		a, err := w.ActorForKey(t.Context(), blob)
		if err != nil || a.Kind != identity.KindUser || a.Name != "bob" || a.Admin || a.TokenID != k.ID || a.Cap != identity.Maintain {
			t.Errorf("the key is %+v, %v", a, err)
		}
		for name, err := range map[string]error{
			"by another":  second(w.AddKey(t.Context(), ada(), "mine", text)),
			"by the same": second(w.AddKey(t.Context(), bob(), "again", text)),
			"for a robot": second(w.AddDeployKey(t.Context(), ada(), "shop/web", "robot", text, false)),
		} {
			if !fault.Is(err, fault.Conflict) || strings.Contains(err.Error(), "bob") {
				t.Errorf("added %s: %v", name, err)
			}
		}
		if list, err := w.Keys(t.Context(), bob()); err != nil || len(list) != 1 || list[0].ID != k.ID || list[0].Type != "ssh-ed25519" {
			t.Errorf("bob's keys: %+v, %v", list, err)
		}
		if list, err := w.Keys(t.Context(), ada()); err != nil || len(list) != 0 {
			t.Errorf("ada's keys: %+v, %v", list, err)
		}
		eve := identity.Actor{Kind: identity.KindUser, Name: "eve", Cap: identity.Admin}
		if err := w.RemoveKey(t.Context(), eve, k.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("another removes it: %v", err)
		}
		if err := w.RemoveKey(t.Context(), bob(), k.ID); err != nil {
			t.Error(err)
		}
		if _, err := w.ActorForKey(t.Context(), blob); !fault.Is(err, fault.Unauthentic) {
			t.Errorf("a removed key: %v", err)
		}
		for _, kind := range []string{event.TypeKeyAdded, event.TypeKeyRemoved} {
			list, err := w.log.Read(t.Context(), event.Query{Type: kind})
			if err != nil || len(list) != 1 || list[0].Subject != "user:bob" || list[0].Actor != "user:bob" || !strings.Contains(string(list[0].Payload), k.Fingerprint) {
				t.Errorf("%s: %+v, %v", kind, list, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

// A deploy key opens one repository to Git and nothing at all to everything that asks for
// roles.
func TestDeployKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		text, blob := freshKey(t)
		if err := w.Grant(t.Context(), ada(), "shop", "bob", identity.Write); err != nil {
			t.Fatal(err)
		}
		if _, err := w.AddDeployKey(t.Context(), bob(), "shop/web", "robot", text, true); !fault.Is(err, fault.Denied) {
			t.Errorf("a writer adds one: %v", err)
		}
		if err := w.Grant(t.Context(), ada(), "shop", "bob", identity.Maintain); err != nil {
			t.Fatal(err)
		}
		k, err := w.AddDeployKey(t.Context(), bob(), "shop/web", "robot", text, true)
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.ActorForKey(t.Context(), blob)
		want := identity.Actor{Kind: identity.KindKey, Name: k.ID, Cap: identity.Write, Key: identity.KeyClaims{Repo: "shop/web", Write: true}, TokenID: k.ID}
		if err != nil || a != want {
			t.Fatalf("the key is %+v, %v", a, err)
		}
		for r := identity.Read; r <= identity.Admin; r++ {
			if err := w.Require(t.Context(), a, "shop", r); !fault.Is(err, fault.NotFound) {
				t.Errorf("as %s: %v", r, err)
			}
		}
		for name, err := range map[string]error{
			"administer":      w.RequireAdmin(t.Context(), a),
			"make a project":  second(w.CreateProject(t.Context(), a, "mine")),
			"push a project":  w.EnsureProject(t.Context(), a, "mine"),
			"make a token":    func() error { _, _, err := w.CreateToken(t.Context(), a, "x", "read", 0); return err }(),
			"add a key":       second(w.AddKey(t.Context(), a, "x", text)),
			"list keys":       second(w.DeployKeys(t.Context(), a, "shop/web")),
			"remove itself":   w.RemoveKey(t.Context(), a, k.ID),
			"see the members": second(w.Members(t.Context(), a, "shop")),
		} {
			if err == nil {
				t.Errorf("a deploy key may %s", name)
			}
		}
		if list, err := w.Visible(t.Context(), a); err != nil || len(list) != 0 {
			t.Errorf("it sees %v, %v", list, err)
		}
		if list, err := w.DeployKeys(t.Context(), bob(), "shop/web"); err != nil || len(list) != 1 || !list[0].Write || list[0].User != "" {
			t.Errorf("listed %+v, %v", list, err)
		}
		if list, err := w.Keys(t.Context(), bob()); err != nil || len(list) != 0 {
			t.Errorf("bob's own: %+v, %v", list, err)
		}
		added, err := w.log.Read(t.Context(), event.Query{Type: event.TypeKeyAdded})
		if err != nil || len(added) != 1 || added[0].Subject != "repo:shop/web" || added[0].Project != "shop" {
			t.Errorf("the logbook says %+v, %v", added, err)
		}
		if err := w.RemoveKey(t.Context(), bob(), k.ID); err != nil {
			t.Error(err)
		}
	})
}

func TestKeysThatAreRefused(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	good, _ := freshKey(t)
	private := func() string {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(block))
	}()
	for name, text := range map[string]string{
		"empty": "", "no key": "hello", "options": `command="sh" ` + good, "two lines": good + good, "NUL": strings.TrimSpace(good) + "\x00", "cut": good[:40],
		"long": strings.TrimSpace(good) + strings.Repeat(" x", 8<<10), "private": private, "weak RSA": rsaLine(t, 2048), "huge RSA": rsaLine(t, 16384), "small exponent": smallExponent(t),
		"DSA": "ssh-dss AAAAB3NzaC1kc3MAAAAJAQABAgMEBQYHAAAAAwEAAQAAAAMBAAEAAAADAQAB x", "other type inside": strings.Replace(good, "ssh-ed25519", "ssh-rsa", 1),
	} {
		if _, err := w.AddKey(t.Context(), bob(), "title", text); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, title := range []string{"two\nlines", strings.Repeat("x", 101)} {
		if _, err := w.AddKey(t.Context(), bob(), title, good); !fault.Is(err, fault.Invalid) {
			t.Errorf("title %q: %v", title, err)
		}
	}
	weak := bob()
	weak.Cap = identity.Write
	for _, a := range []identity.Actor{weak, {}, {Kind: identity.KindRun, Name: "1", Cap: identity.Admin}} {
		if _, err := w.AddKey(t.Context(), a, "title", good); !fault.Is(err, fault.Denied) {
			t.Errorf("%s adds a key: %v", a, err)
		}
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := line(t, &curve.PublicKey)
	for name, text := range map[string]string{"ed25519": good, "ecdsa": text, "RSA 3072": rsaLine(t, 3072)} {
		if _, err := w.AddKey(t.Context(), bob(), "title", text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// rsaLine is a public key of so many bits, which nobody has the private half of.
func rsaLine(t testing.TB, bits int) string {
	t.Helper()
	b := make([]byte, bits/8)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	b[0], b[len(b)-1] = b[0]|0x80, b[len(b)-1]|1
	text, _ := line(t, &rsa.PublicKey{N: new(big.Int).SetBytes(b), E: 65537})
	return text
}

func smallExponent(t testing.TB) string {
	t.Helper()
	b := bytes.Repeat([]byte{0xf1}, 384)
	text, _ := line(t, &rsa.PublicKey{N: new(big.Int).SetBytes(b), E: 3})
	return text
}

// The whole key decides, not its fingerprint.
func TestKeyIsComparedWhole(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	text, blob := freshKey(t)
	if _, err := w.AddKey(t.Context(), bob(), "mine", text); err != nil {
		t.Fatal(err)
	}
	_, other := freshKey(t)
	if _, err := w.db.Exec(t.Context(), `UPDATE identity_key SET blob = ?`, "AAAA"); err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{blob, other, nil, {}, append(bytes.Clone(blob), 0), blob[:len(blob)-1]} {
		if a, err := w.ActorForKey(t.Context(), b); err == nil {
			t.Errorf("%x is taken for %s", b, a)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	text, _ := freshKey(f)
	f.Add(text)
	f.Add("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== x")
	w := build(f, storetest.SQLite(f))
	f.Fuzz(func(t *testing.T, text string) {
		k, err := w.AddKey(t.Context(), bob(), "fuzzed", text)
		if err != nil {
			return
		}
		if err := w.RemoveKey(t.Context(), bob(), k.ID); err != nil {
			t.Error(err)
		}
	})
}
