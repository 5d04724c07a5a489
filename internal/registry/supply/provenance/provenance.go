package provenance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry/supply/sign"
)

// Names that the formats fix, and ours: the build type says how to read the
// parameters, the builder id who vouches.
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://slsa.dev/provenance/v1"
	BuildType     = "https://towpath.dev/buildtypes/azure-pipelines/v1"

	ArtifactType   = "application/vnd.in-toto+json"          // of the referrer
	MediaType      = "application/vnd.dsse.envelope.v1+json" // of its first layer
	MediaTypeChain = "application/pem-certificate-chain"     // of its second layer
)

// MaxEnvelope is the largest envelope that is verified, in bytes.
const MaxEnvelope = 4 << 20

// Facts is what the pipeline's records say about the run that pushed an image.
type Facts struct {
	Run      int64
	Project  string
	Repo     string // "project/repo"
	Ref      string // "refs/heads/main"
	Commit   string // full hash
	Pipeline string // pipeline file in the repository
	Started  time.Time
	Finished time.Time // zero while the run goes on
	Source   string    // clone URL without credentials
	Builder  string    // URL that names the installation, the builder's id
	Bases    []string  // images that the build started from, as "repository@digest", when known
}

// Statement is the in-toto statement, as far as it is written and read here.
type Statement struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     Predicate `json:"predicate"`
}

// Subject names the image.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"` // algorithm → hex
}

// Predicate is SLSA provenance v1.
type Predicate struct {
	BuildDefinition struct {
		BuildType            string         `json:"buildType"`
		ExternalParameters   map[string]any `json:"externalParameters"`
		InternalParameters   map[string]any `json:"internalParameters,omitempty"`
		ResolvedDependencies []Dependency   `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string    `json:"invocationId"`
			StartedOn    time.Time `json:"startedOn,omitzero"`
			FinishedOn   time.Time `json:"finishedOn,omitzero"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

// Dependency is something that the build used.
type Dependency struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest,omitempty"`
}

// New makes the statement about an image.
func New(repository, digest string, f Facts) (Statement, error) {
	alg, hash, ok := strings.Cut(digest, ":")
	if !ok || f.Commit == "" || f.Builder == "" {
		return Statement{}, errors.New("making provenance: digest, commit and builder must be known")
	}
	s := Statement{Type: StatementType, PredicateType: PredicateType, Subject: []Subject{{Name: repository, Digest: map[string]string{alg: hash}}}}
	d := &s.Predicate.BuildDefinition
	d.BuildType = BuildType
	d.ExternalParameters = map[string]any{"repository": f.Repo, "ref": f.Ref, "pipeline": f.Pipeline}
	d.InternalParameters = map[string]any{"run": f.Run, "project": f.Project}
	d.ResolvedDependencies = []Dependency{{URI: "git+" + f.Source + "@" + f.Ref, Digest: map[string]string{"gitCommit": f.Commit}}}
	for _, b := range f.Bases {
		name, digest, _ := strings.Cut(b, "@")
		alg, hash, ok := strings.Cut(digest, ":")
		if !ok {
			return Statement{}, fmt.Errorf("making provenance: base image %q has no digest", b)
		}
		d.ResolvedDependencies = append(d.ResolvedDependencies, Dependency{URI: "oci://" + name, Digest: map[string]string{alg: hash}})
	}
	r := &s.Predicate.RunDetails
	r.Builder.ID = f.Builder
	r.Metadata.InvocationID = fmt.Sprintf("run/%d", f.Run)
	r.Metadata.StartedOn, r.Metadata.FinishedOn = f.Started.UTC(), f.Finished.UTC()
	if f.Finished.IsZero() {
		r.Metadata.FinishedOn = time.Time{}
	}
	return s, nil
}

// Seal signs a statement with the leaf's key and returns the DSSE envelope as JSON.
func Seal(ctx context.Context, s Statement, leaf *sign.Leaf) ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the statement: %w", err)
	}
	e, err := dsse.NewEnvelopeSigner(key{signer: leaf.Key()})
	if err != nil {
		return nil, fmt.Errorf("sealing the statement: %w", err)
	}
	env, err := e.SignPayload(ctx, ArtifactType, body)
	if err != nil {
		return nil, fmt.Errorf("sealing the statement: %w", err)
	}
	out, err := json.Marshal(env)
	if err != nil {
		return nil, fmt.Errorf("encoding the envelope: %w", err)
	}
	return out, nil
}

// Authority checks certificates; sign.Authority is one.
type Authority interface {
	// Check verifies a PEM chain for a time and returns the leaf certificate.
	Check(chain []byte, at time.Time) (*x509.Certificate, error)
}

// Verify opens an envelope about an image and returns its statement. at is when the
// statement was recorded. The error is a Denied fault that says what does not hold.
func Verify(ctx context.Context, a Authority, repository, digest string, envelope, chain []byte, at time.Time) (Statement, error) {
	if len(envelope) > MaxEnvelope || len(chain) > MaxEnvelope {
		return Statement{}, fault.New(fault.Denied, "The provenance is too large to be verified.")
	}
	cert, err := a.Check(chain, at)
	if err != nil {
		return Statement{}, err
	}
	if !sign.Speaks(cert, repository) {
		return Statement{}, fault.New(fault.Denied, "The provenance is by %s, which is not of the image's project.", sign.Who(cert))
	}
	var env dsse.Envelope
	if err := json.Unmarshal(envelope, &env); err != nil {
		return Statement{}, fault.Wrap(fault.Denied, err, "The provenance is no DSSE envelope.")
	}
	// One signer, one signature: more would only blur who vouches.
	if env.PayloadType != ArtifactType || len(env.Signatures) != 1 {
		return Statement{}, fault.New(fault.Denied, "The provenance is not an in-toto statement with one signature.")
	}
	v, err := dsse.NewEnvelopeVerifier(key{public: cert.PublicKey})
	if err != nil {
		return Statement{}, fmt.Errorf("making the verifier: %w", err)
	}
	_, body, err := v.VerifyAndDecode(ctx, &env)
	if err != nil {
		return Statement{}, fault.Wrap(fault.Denied, err, "The provenance's signature is not valid.")
	}
	return read(body, repository, digest)
}

func read(body []byte, repository, digest string) (Statement, error) {
	var s Statement
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&s); err != nil {
		return Statement{}, fault.Wrap(fault.Denied, err, "The provenance is no in-toto statement.")
	}
	alg, hash, _ := strings.Cut(digest, ":")
	switch {
	case s.Type != StatementType || s.PredicateType != PredicateType:
		return Statement{}, fault.New(fault.Denied, "The statement is not SLSA provenance v1.")
	case len(s.Subject) != 1 || s.Subject[0].Name != repository || s.Subject[0].Digest[alg] != hash || hash == "":
		return Statement{}, fault.New(fault.Denied, "The provenance is about another image.")
	}
	return s, nil
}

// key is an ECDSA P-256 key as the DSSE library wants it: signatures are ASN.1 over the
// SHA-256 of the data.
type key struct {
	signer crypto.Signer
	public crypto.PublicKey
}

// Sign signs data.
func (k key) Sign(_ context.Context, data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	return k.signer.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// Verify checks a signature over data.
func (k key) Verify(_ context.Context, data, sig []byte) error {
	pub, ok := k.public.(*ecdsa.PublicKey)
	sum := sha256.Sum256(data)
	if !ok || !ecdsa.VerifyASN1(pub, sum[:], sig) {
		return errors.New("signature does not fit")
	}
	return nil
}

// KeyID is the SHA-256 of the public key in PKIX form, in hex.
func (k key) KeyID() (string, error) {
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return "", fmt.Errorf("encoding the public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// Public returns the public key.
func (k key) Public() crypto.PublicKey {
	if k.signer != nil {
		return k.signer.Public()
	}
	return k.public
}
