package sign_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry/supply/sign"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/vault"
)

func authority(t *testing.T) *sign.Authority {
	t.Helper()
	v, err := vault.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a, err := sign.Open(t.Context(), storetest.SQLite(t), v, clock.System())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func image(text string) ociv1.Descriptor {
	return ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString(text), Size: int64(len(text))}
}

var who = sign.Identity{Run: 2040, Project: "shop", Repo: "shop/web", Pipeline: "azure-pipelines.yml"}

func signed(t *testing.T, a *sign.Authority, who sign.Identity, desc ociv1.Descriptor) []byte {
	t.Helper()
	leaf, err := a.Issue(who)
	if err != nil {
		t.Fatal(err)
	}
	env, annotations, err := leaf.Sign(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	if annotations["io.cncf.notary.x509chain.thumbprint#S256"] == "" {
		t.Error("no thumbprint")
	}
	return env
}

func TestVerify(t *testing.T) {
	a, other := authority(t), authority(t)
	desc := image("one")
	good := signed(t, a, who, desc)
	got, err := a.Verify(t.Context(), "shop/web", desc, good, time.Now())
	if err != nil || got.Identity != "run/2040 of shop/web" || time.Since(got.Time) > time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := a.Verify(t.Context(), "shop/web", desc, good, time.Time{}); err != nil {
		t.Errorf("fresh and not recorded: %v", err)
	}
	stranger := who
	stranger.Project, stranger.Repo = "other", "other/web"
	bigger := desc
	bigger.Size++
	for name, c := range map[string]struct {
		repository string
		desc       ociv1.Descriptor
		envelope   []byte
		at         time.Time
	}{
		"unrelated authority":   {"shop/web", desc, signed(t, other, who, desc), time.Now()},
		"another image":         {"shop/web", image("two"), good, time.Now()},
		"another size":          {"shop/web", bigger, good, time.Now()},
		"another project's run": {"shop/web", desc, signed(t, a, stranger, desc), time.Now()},
		"recorded long after":   {"shop/web", desc, good, time.Now().Add(time.Hour)},
		"recorded before":       {"shop/web", desc, good, time.Now().Add(-time.Hour)},
		"tampered payload":      {"shop/web", desc, tamper(t, good, "payload"), time.Now()},
		"tampered signature":    {"shop/web", desc, tamper(t, good, "signature"), time.Now()},
		"payload of another":    {"shop/web", image("two"), graft(t, good, signed(t, a, who, image("two"))), time.Now()},
		"nothing":               {"shop/web", desc, nil, time.Now()},
		"no JSON":               {"shop/web", desc, []byte("{"), time.Now()},
		"too large":             {"shop/web", desc, bytes.Repeat([]byte(" "), sign.MaxEnvelope+1), time.Now()},
	} {
		if got, err := a.Verify(t.Context(), c.repository, c.desc, c.envelope, c.at); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// tamper flips a bit in the middle of a base64url field of the envelope.
func tamper(t *testing.T, envelope []byte, field string) []byte {
	t.Helper()
	return edit(t, envelope, func(e map[string]json.RawMessage) {
		var text string
		if err := json.Unmarshal(e[field], &text); err != nil {
			t.Fatal(err)
		}
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		e[field] = json.RawMessage(`"` + base64.RawURLEncoding.EncodeToString(b) + `"`)
	})
}

// graft puts the payload of one envelope under the signature of another.
func graft(t *testing.T, envelope, from []byte) []byte {
	t.Helper()
	var f map[string]json.RawMessage
	if err := json.Unmarshal(from, &f); err != nil {
		t.Fatal(err)
	}
	return edit(t, envelope, func(e map[string]json.RawMessage) { e["payload"] = f["payload"] })
}

func edit(t *testing.T, envelope []byte, change func(map[string]json.RawMessage)) []byte {
	t.Helper()
	var e map[string]json.RawMessage
	if err := json.Unmarshal(envelope, &e); err != nil {
		t.Fatal(err)
	}
	change(e)
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAuthorityStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		v, err := vault.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		one, err := sign.Open(t.Context(), db, v, clock.System())
		if err != nil {
			t.Fatal(err)
		}
		two, err := sign.Open(t.Context(), db, v, clock.System())
		if err != nil || !bytes.Equal(one.Root(), two.Root()) {
			t.Errorf("another root after a restart: %v", err)
		}
		if _, err := two.Verify(t.Context(), "shop/web", image("one"), signed(t, one, who, image("one")), time.Now()); err != nil {
			t.Error(err)
		}
		if _, err := sign.Open(t.Context(), db, fresh{}, clock.System()); err == nil {
			t.Error("took a key that is not the certificate's")
		}
	})
}

// fresh is a key store that lost its keys.
type fresh struct{}

func (fresh) Signer(context.Context, *store.DB, string) (crypto.Signer, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func TestIssueRefuses(t *testing.T) {
	a := authority(t)
	for _, bad := range []sign.Identity{{}, {Run: 1, Project: "shop", Repo: "other/web"}, {Run: 0, Project: "shop", Repo: "shop/web"}, {Run: 1, Repo: "/web"}} {
		if _, err := a.Issue(bad); err == nil {
			t.Errorf("issued to %+v", bad)
		}
	}
}

func TestCheck(t *testing.T) {
	a, other := authority(t), authority(t)
	leaf, err := a.Issue(who)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(leaf.Chain(), time.Now()); err != nil {
		t.Error(err)
	}
	if _, err := a.Check(a.Root(), time.Now()); err == nil {
		t.Error("the root passed as a signing certificate")
	}
	if _, err := other.Check(leaf.Chain(), time.Now()); !fault.Is(err, fault.Denied) {
		t.Errorf("unrelated authority: %v", err)
	}
	if _, err := a.Check(leaf.Chain(), time.Now().Add(time.Hour)); !fault.Is(err, fault.Denied) {
		t.Errorf("expired: %v", err)
	}
	if _, err := a.Check([]byte(strings.Repeat("x", 100)), time.Now()); !fault.Is(err, fault.Invalid) {
		t.Errorf("garbage: %v", err)
	}
}
