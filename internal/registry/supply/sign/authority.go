package sign

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// Keys keeps named private keys; vault.Vault is one.
type Keys interface {
	// Signer returns the ECDSA P-256 key of that name, making it at the first call.
	Signer(ctx context.Context, db *store.DB, name string) (crypto.Signer, error)
}

// name is under which the authority's key is in the vault and its certificate in SQL.
const name = "ca"

const (
	rootLife = 20 * 365 * 24 * time.Hour
	leafLife = 20 * time.Minute
	// skew lets machines whose clocks differ a little agree that a certificate is valid.
	skew = 5 * time.Minute
)

// Authority issues certificates to runs. It is safe for concurrent use.
type Authority struct {
	root  *x509.Certificate
	key   crypto.Signer
	clock clock.Clock
}

// Open returns the installation's authority, making its key and its self-signed
// certificate at the first call.
func Open(ctx context.Context, db *store.DB, keys Keys, c clock.Clock) (*Authority, error) {
	key, err := keys.Signer(ctx, db, name)
	if err != nil {
		return nil, fmt.Errorf("opening the signing key: %w", err)
	}
	text, err := stored(ctx, db)
	if errors.Is(err, sql.ErrNoRows) {
		text, err = found(ctx, db, key, c.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("opening the certificate authority: %w", err)
	}
	root, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("opening the certificate authority: %w", err)
	}
	pub, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || !pub.Equal(root.PublicKey) {
		return nil, fault.New(fault.Internal, "The certificate authority's certificate does not belong to the key in the vault.").
			WithNext("restore the key file that belongs to this database")
	}
	return &Authority{root: root, key: key, clock: c}, nil
}

func stored(ctx context.Context, h store.Handle) (string, error) {
	var text string
	err := h.QueryRow(ctx, `SELECT certificate FROM supply_authority WHERE name = ?`, name).Scan(&text)
	return text, err
}

// found makes the root certificate. When two processes do so at once, the first wins.
func found(ctx context.Context, db *store.DB, key crypto.Signer, now time.Time) (text string, err error) {
	serial, err := serial()
	if err != nil {
		return "", err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		// Country, state and organisation make the subject usable as a trusted identity
		// in a Notary Project trust policy, which requires them.
		Subject:   pkix.Name{Country: []string{"ZZ"}, Province: []string{"Towpath"}, Organization: []string{"Towpath"}, CommonName: "Towpath installation CA"},
		NotBefore: now.Add(-skew), NotAfter: now.Add(rootLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLen: 0, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return "", err
	}
	text = encode(der)
	err = db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO supply_authority (name, certificate, created) VALUES (?,?,?) ON CONFLICT (name) DO NOTHING`, name, text, now.UnixMilli())
		if err != nil {
			return err
		}
		text, err = stored(ctx, tx)
		return err
	})
	return text, err
}

// Root returns the authority's certificate as PEM, for trust stores elsewhere.
func (a *Authority) Root() []byte { return []byte(encode(a.root.Raw)) }

// Identity is who signs.
type Identity struct {
	Run      int64
	Project  string
	Repo     string // "project/repo"
	Pipeline string // pipeline file
}

// String returns the identity as it stands in the logbook: "run/2040 of shop/web".
func (i Identity) String() string { return fmt.Sprintf("run/%d of %s", i.Run, i.Repo) }

func (i Identity) subject() pkix.Name {
	return pkix.Name{
		Country: []string{"ZZ"}, Province: []string{"Towpath"}, Organization: []string{i.Project},
		OrganizationalUnit: []string{i.Repo, i.Pipeline}, CommonName: fmt.Sprintf("run/%d", i.Run),
	}
}

// Leaf is a key pair with a short-lived code-signing certificate.
type Leaf struct {
	key   *ecdsa.PrivateKey
	chain []*x509.Certificate // leaf, root
	Who   Identity
}

// Issue makes a key pair and certifies it for an identity, for a few minutes.
func (a *Authority) Issue(who Identity) (*Leaf, error) {
	if who.Run <= 0 || who.Project == "" || !strings.HasPrefix(who.Repo, who.Project+"/") {
		return nil, fmt.Errorf("issuing a certificate: %+v is no run of a project", who)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a signing key: %w", err)
	}
	serial, err := serial()
	if err != nil {
		return nil, err
	}
	now := a.clock.Now()
	// Notary Project signature specification, "Certificate requirements".
	t := &x509.Certificate{
		SerialNumber: serial, Subject: who.subject(), NotBefore: now.Add(-skew), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.root, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("certifying %s: %w", who, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certifying %s: %w", who, err)
	}
	return &Leaf{key: key, chain: []*x509.Certificate{cert, a.root}, Who: who}, nil
}

// Chain returns the leaf's certificate and the root as PEM.
func (l *Leaf) Chain() []byte {
	var out []byte
	for _, c := range l.chain {
		out = append(out, encode(c.Raw)...)
	}
	return out
}

// Key returns the private key of the leaf, for signing other statements of the same
// identity.
func (l *Leaf) Key() crypto.Signer { return l.key }

// Check verifies that a PEM chain was issued by this authority for code signing and
// was valid at the given time, and returns its leaf certificate.
func (a *Authority) Check(chain []byte, at time.Time) (*x509.Certificate, error) {
	cert, err := parse(string(chain))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The certificate cannot be read.")
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})
	if err != nil {
		return nil, fault.Wrap(fault.Denied, err, "The certificate was not issued by this installation, or was not valid when it was used.")
	}
	// A certificate without key usages verifies for all of them: ask for ours by name.
	if cert.IsCA || !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) {
		return nil, fault.New(fault.Denied, "The certificate is not one for signing.")
	}
	return cert, nil
}

// Speaks reports whether a certificate may vouch for an image of the repository: its
// organisation is the image's project.
func Speaks(cert *x509.Certificate, repository string) bool {
	project, _, _ := strings.Cut(repository, "/")
	return len(cert.Subject.Organization) == 1 && cert.Subject.Organization[0] == project
}

// Who returns the identity in a certificate as it stands in the logbook.
func Who(cert *x509.Certificate) string {
	repo := ""
	if len(cert.Subject.OrganizationalUnit) > 0 {
		repo = cert.Subject.OrganizationalUnit[0]
	}
	return cert.Subject.CommonName + " of " + repo
}

func serial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func encode(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// parse reads the first certificate of a PEM text.
func parse(text string) (*x509.Certificate, error) {
	b, _ := pem.Decode([]byte(text))
	if b == nil || b.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM certificate")
	}
	return x509.ParseCertificate(b.Bytes)
}
