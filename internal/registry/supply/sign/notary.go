package sign

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/notaryproject/notation-core-go/revocation"
	"github.com/notaryproject/notation-core-go/revocation/result"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"towpath.dev/towpath/internal/fault"
)

// ArtifactType is the artifact type of a signature's referrer (Notary Project
// specification), MediaType that of its one layer, the JWS envelope.
const (
	ArtifactType = "application/vnd.cncf.notary.signature"
	MediaType    = jws.MediaTypeEnvelope
)

// MaxEnvelope is the largest envelope that is verified, in bytes.
const MaxEnvelope = 1 << 20

// Sign signs an image's descriptor and returns the envelope with the annotations that
// the Notary Project asks for on its referrer.
func (l *Leaf) Sign(ctx context.Context, image ociv1.Descriptor) (envelope []byte, annotations map[string]string, err error) {
	s, err := signer.NewGenericSigner(l.key, l.chain)
	if err != nil {
		return nil, nil, fmt.Errorf("making the signer: %w", err)
	}
	envelope, info, err := s.Sign(ctx, image, notation.SignerSignOptions{SignatureMediaType: MediaType, SigningAgent: "towpath"})
	if err != nil {
		return nil, nil, fmt.Errorf("signing %s: %w", image.Digest, err)
	}
	prints := make([]string, 0, len(l.chain))
	for _, c := range l.chain {
		sum := sha256.Sum256(c.Raw)
		prints = append(prints, hex.EncodeToString(sum[:]))
	}
	list, err := json.Marshal(prints)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the thumbprints: %w", err)
	}
	return envelope, map[string]string{
		"io.cncf.notary.x509chain.thumbprint#S256": string(list),
		ociv1.AnnotationCreated:                    info.SignedAttributes.SigningTime.UTC().Format(time.RFC3339),
	}, nil
}

// Signed is what a valid signature says.
type Signed struct {
	Identity string    // "run/2040 of shop/web"
	Time     time.Time // when it was made, by the signer's word
}

// Verify checks an envelope against the descriptor of an image in a repository: made
// by a certificate of this authority, over this very image, by a run of the image's
// project. recorded is when the Ledger saw the signature made; zero means that it did
// not, so that the certificate must be valid now. The error is a Denied fault that
// says what does not hold.
func (a *Authority) Verify(ctx context.Context, repository string, image ociv1.Descriptor, envelope []byte, recorded time.Time) (Signed, error) {
	if len(envelope) > MaxEnvelope {
		return Signed{}, fault.New(fault.Denied, "The signature has over %d bytes.", MaxEnvelope)
	}
	v, err := a.verifier()
	if err != nil {
		return Signed{}, err
	}
	out, err := v.Verify(ctx, image, envelope, notation.VerifierVerifyOptions{
		ArtifactReference: "towpath.local/" + repository + "@" + image.Digest.String(), SignatureMediaType: MediaType,
	})
	if err != nil {
		return Signed{}, fault.Wrap(fault.Denied, err, "The signature is not valid for this image.")
	}
	// notation-go has checked the chain up to the root; its order is leaf first.
	info := out.EnvelopeContent.SignerInfo
	cert := info.CertificateChain[0]
	at := recorded
	if at.IsZero() {
		at = a.clock.Now()
	}
	if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
		return Signed{}, fault.New(fault.Denied, "The signing certificate was not valid when the signature was recorded.")
	}
	if !Speaks(cert, repository) {
		return Signed{}, fault.New(fault.Denied, "The signature is by %s, which is not of the image's project.", Who(cert))
	}
	return Signed{Identity: Who(cert), Time: info.SignedAttributes.SigningTime.UTC()}, nil
}

// verifier is notation-go's, strict, with this authority as its only trust. The
// certificate's validity now is only logged by it: Verify judges it at the recorded
// time. There is no revocation: certificates are over in minutes.
func (a *Authority) verifier() (notation.Verifier, error) {
	policy := &trustpolicy.Document{Version: "1.0", TrustPolicies: []trustpolicy.TrustPolicy{{
		Name: "installation", RegistryScopes: []string{"*"}, TrustStores: []string{"ca:installation"}, TrustedIdentities: []string{"*"},
		SignatureVerification: trustpolicy.SignatureVerification{
			VerificationLevel: trustpolicy.LevelStrict.Name,
			Override: map[trustpolicy.ValidationType]trustpolicy.ValidationAction{
				trustpolicy.TypeAuthenticTimestamp: trustpolicy.ActionLog,
				trustpolicy.TypeRevocation:         trustpolicy.ActionSkip,
			},
		},
	}}}
	v, err := verifier.NewWithOptions(policy, anchor{a.root}, nil, verifier.VerifierOptions{
		RevocationCodeSigningValidator: offline{}, RevocationTimestampingValidator: offline{},
	})
	if err != nil {
		return nil, fmt.Errorf("making the verifier: %w", err)
	}
	return v, nil
}

// anchor is a trust store with one certificate authority in it.
type anchor struct{ root *x509.Certificate }

var _ truststore.X509TrustStore = anchor{}

// GetCertificates returns the root for the one store that the policy names.
func (s anchor) GetCertificates(_ context.Context, kind truststore.Type, named string) ([]*x509.Certificate, error) {
	if kind != truststore.TypeCA || named != "installation" {
		return nil, fmt.Errorf("no trust store %s:%s", kind, named)
	}
	return []*x509.Certificate{s.root}, nil
}

// offline refuses to look anything up: the policy skips revocation, so a call would be
// a mistake.
type offline struct{}

var _ revocation.Validator = offline{}

// ValidateContext always fails.
func (offline) ValidateContext(context.Context, revocation.ValidateContextOptions) ([]*result.CertRevocationResult, error) {
	return nil, errors.New("revocation is not looked up")
}
