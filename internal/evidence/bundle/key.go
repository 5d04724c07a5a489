package bundle

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// signing is an ECDSA P-256 key as the DSSE library wants it: signatures are ASN.1 over
// the SHA-256 of the data.
type signing struct {
	signer crypto.Signer // nil when it only verifies
	public crypto.PublicKey
}

// Sign signs data.
func (s signing) Sign(_ context.Context, data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	return s.signer.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// Verify checks a signature over data.
func (s signing) Verify(_ context.Context, data, sig []byte) error {
	public, ok := s.public.(*ecdsa.PublicKey)
	sum := sha256.Sum256(data)
	if !ok || !ecdsa.VerifyASN1(public, sum[:], sig) {
		return errors.New("the signature does not fit")
	}
	return nil
}

// KeyID is the fingerprint of the key.
func (s signing) KeyID() (string, error) { return Fingerprint(s.Public()) }

// Public returns the public key.
func (s signing) Public() crypto.PublicKey {
	if s.signer != nil {
		return s.signer.Public()
	}
	return s.public
}

var fingerprint = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// ParseKey reads what a person names a key by: a fingerprint ("sha256:" and 64 hexadecimal
// digits), or PEM of a public key or of a certificate. It returns the fingerprint.
func ParseKey(text string) (string, error) {
	text = strings.TrimSpace(text)
	if low := strings.ToLower(text); fingerprint.MatchString(low) {
		return low, nil
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return "", fault.New(fault.Invalid, "This is no key.").WithNext("give a fingerprint (sha256:…), or a file with a public key or a certificate in PEM")
	}
	var public crypto.PublicKey
	var err error
	switch block.Type {
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = c.PublicKey
		}
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	default:
		err = errors.New("it holds a " + block.Type)
	}
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "The key cannot be read: %v.", err).WithNext("give a public key or a certificate in PEM")
	}
	return Fingerprint(public)
}
