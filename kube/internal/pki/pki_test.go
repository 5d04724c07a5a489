package pki_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"towpath.dev/towpath/kube/internal/pki"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that a test moves.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func request() pki.Request {
	return pki.Request{Name: "server", CommonName: "somebody", Organizations: []string{"group"}, DNSNames: []string{"here"}, IPs: []net.IP{net.ParseIP("10.0.0.1")}, Server: true, Client: true}
}

func load(t *testing.T, dir, name string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name+".crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func ensure(t *testing.T, store pki.Store, r pki.Request) bool {
	t.Helper()
	authority, err := store.Authority("ca")
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := authority.Ensure(r)
	if err != nil {
		t.Fatal(err)
	}
	return renewed
}

func TestCertificateVerifiesForItsUses(t *testing.T) {
	dir, now := t.TempDir(), &clock{start}
	ensure(t, pki.NewStore(dir, now.read), request())
	roots := x509.NewCertPool()
	roots.AddCert(load(t, dir, "ca"))
	cert := load(t, dir, "server")
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: "here", CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Error(err)
		}
	}
	if cert.Subject.CommonName != "somebody" || cert.Subject.Organization[0] != "group" {
		t.Errorf("subject is %s", cert.Subject)
	}
	info, err := os.Stat(filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v", info.Mode())
	}
}

func TestCertificateIsKeptUntilItMustChange(t *testing.T) {
	dir, now := t.TempDir(), &clock{start}
	store := pki.NewStore(dir, now.read)
	if !ensure(t, store, request()) {
		t.Fatal("the first certificate was not made")
	}
	if ensure(t, store, request()) {
		t.Error("a certificate that is good was made again")
	}
	now.now = start.Add(365*24*time.Hour - pki.RenewBefore - time.Hour)
	if ensure(t, store, request()) {
		t.Error("a certificate was renewed before its time")
	}
	now.now = start.Add(365*24*time.Hour - pki.RenewBefore + time.Hour)
	if !ensure(t, store, request()) {
		t.Error("a certificate that ends soon was kept")
	}
	other := request()
	other.IPs = []net.IP{net.ParseIP("10.0.0.2")}
	if !ensure(t, store, other) {
		t.Error("a certificate for other addresses was kept")
	}
}

func TestRenewedAuthorityStillVouches(t *testing.T) {
	dir, now := t.TempDir(), &clock{start}
	store := pki.NewStore(dir, now.read)
	ensure(t, store, request())
	before := load(t, dir, "ca")
	now.now = start.Add(10*365*24*time.Hour - time.Hour)
	if _, err := store.Authority("ca"); err != nil {
		t.Fatal(err)
	}
	after := load(t, dir, "ca")
	if bytes.Equal(before.Raw, after.Raw) {
		t.Error("the authority's certificate was not renewed")
	}
	if err := load(t, dir, "server").CheckSignatureFrom(after); err != nil {
		t.Errorf("the renewed authority does not vouch for what it signed before: %v", err)
	}
}

func TestDamagedFileIsReported(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.key"), []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.NewStore(dir, time.Now).Authority("ca"); err == nil {
		t.Error("a damaged key was silently replaced or accepted")
	}
}
