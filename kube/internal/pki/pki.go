package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// RenewBefore is how long before its end a certificate is replaced at the next start.
	RenewBefore = 30 * 24 * time.Hour

	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
	// clockSkew backdates certificates, so that a client whose clock runs a little behind accepts them at once.
	clockSkew = 5 * time.Minute
)

// Store keeps certificates and keys as <name>.crt and <name>.key in one folder, which must exist.
type Store struct {
	dir string
	now func() time.Time
}

// NewStore returns a Store on the folder dir; now is the clock that decides about validity.
func NewStore(dir string, now func() time.Time) Store { return Store{dir: dir, now: now} }

// Authority is a certificate authority whose key is at hand.
type Authority struct {
	store Store
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
}

// Request says what a certificate shall state.
type Request struct {
	// Name is the file name without extension.
	Name string
	// CommonName and Organizations are the user and groups that Kubernetes reads from a client certificate.
	CommonName    string
	Organizations []string
	// DNSNames and IPs are what a server may be called by.
	DNSNames []string
	IPs      []net.IP
	// Server and Client are the uses it is good for; a certificate has at least one.
	Server, Client bool
}

// Authority loads the authority of that name, or makes it. One that ends within RenewBefore is renewed with the same key.
func (s Store) Authority(name string) (*Authority, error) {
	key, err := s.KeyPair(name)
	if err != nil {
		return nil, err
	}
	cert, err := s.certificate(name)
	if err != nil {
		return nil, err
	}
	if cert == nil || !key.PublicKey.Equal(cert.PublicKey) || !s.fresh(cert) {
		template := &x509.Certificate{
			Subject:               pkix.Name{CommonName: name},
			NotAfter:              s.now().Add(authorityLife),
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
			BasicConstraintsValid: true,
			IsCA:                  true,
		}
		if cert, err = s.sign(name, template, template, &key.PublicKey, key); err != nil {
			return nil, err
		}
	}
	return &Authority{store: s, cert: cert, key: key}, nil
}

// Certificate returns the authority's own certificate in PEM.
func (a *Authority) Certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Ensure makes sure that the certificate asked for exists, is signed by a, and is valid for more than RenewBefore. It reports
// whether it had to write a new one.
func (a *Authority) Ensure(request Request) (renewed bool, err error) {
	key, err := a.store.KeyPair(request.Name)
	if err != nil {
		return false, err
	}
	current, err := a.store.certificate(request.Name)
	if err != nil {
		return false, err
	}
	if current != nil && a.store.fresh(current) && key.PublicKey.Equal(current.PublicKey) && current.CheckSignatureFrom(a.cert) == nil && request.matches(current) {
		return false, nil
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: request.CommonName, Organization: request.Organizations},
		NotAfter:    a.store.now().Add(certificateLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: request.usages(),
		DNSNames:    request.DNSNames,
		IPAddresses: request.IPs,
	}
	_, err = a.store.sign(request.Name, template, a.cert, &key.PublicKey, a.key)
	return err == nil, err
}

func (r Request) usages() []x509.ExtKeyUsage {
	var usages []x509.ExtKeyUsage
	if r.Server {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	if r.Client {
		usages = append(usages, x509.ExtKeyUsageClientAuth)
	}
	return usages
}

func (r Request) matches(cert *x509.Certificate) bool {
	return cert.Subject.CommonName == r.CommonName &&
		slices.Equal(cert.Subject.Organization, r.Organizations) &&
		slices.Equal(cert.DNSNames, r.DNSNames) &&
		slices.EqualFunc(cert.IPAddresses, r.IPs, net.IP.Equal) &&
		slices.Equal(cert.ExtKeyUsage, r.usages())
}

// fresh reports whether the certificate is valid now and still will be after RenewBefore.
func (s Store) fresh(cert *x509.Certificate) bool {
	now := s.now()
	return now.After(cert.NotBefore) && now.Add(RenewBefore).Before(cert.NotAfter)
}

// sign completes the template, signs it and writes it as <name>.crt.
func (s Store) sign(name string, template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choosing a serial number for certificate %s: %w", name, err)
	}
	template.SerialNumber = serial
	template.NotBefore = s.now().Add(-clockSkew)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("signing certificate %s: %w", name, err)
	}
	if err := write(s.path(name, "crt"), &pem.Block{Type: "CERTIFICATE", Bytes: der}, 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// KeyPair loads the private key of that name, or makes it; its public half is written beside it as <name>.pub.
func (s Store) KeyPair(name string) (*ecdsa.PrivateKey, error) {
	block, err := read(s.path(name, "key"))
	if err != nil {
		return nil, err
	}
	if block != nil {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w", s.path(name, "key"), err)
		}
		pair, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("%s holds a key that is not ECDSA; move it away to have a new one made", s.path(name, "key"))
		}
		return pair, nil
	}
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating key %s: %w", name, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		return nil, fmt.Errorf("encoding key %s: %w", name, err)
	}
	public, err := x509.MarshalPKIXPublicKey(&pair.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encoding public key %s: %w", name, err)
	}
	if err := write(s.path(name, "pub"), &pem.Block{Type: "PUBLIC KEY", Bytes: public}, 0o644); err != nil {
		return nil, err
	}
	return pair, write(s.path(name, "key"), &pem.Block{Type: "PRIVATE KEY", Bytes: private}, 0o600)
}

func (s Store) path(name, extension string) string {
	return filepath.Join(s.dir, name+"."+extension)
}

// certificate returns the certificate of that name, or nil if there is none.
func (s Store) certificate(name string) (*x509.Certificate, error) {
	block, err := read(s.path(name, "crt"))
	if block == nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", s.path(name, "crt"), err)
	}
	return cert, nil
}

// read returns the first PEM block of a file, or nil if there is no such file.
func read(path string) (*pem.Block, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a key or certificate: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM; move it away to have a new one made", path)
	}
	return block, nil
}

// write replaces the file in one step, so that a crash leaves the old or the new content and never a half.
func write(path string, block *pem.Block, mode fs.FileMode) error {
	draft := path + ".new"
	if err := os.WriteFile(draft, pem.EncodeToMemory(block), mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(draft, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
