package bundle

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
)

// What a bundle says it is.
const (
	Format        = "https://towpath.dev/evidence/bundle/v1" // of the file, and the type of the predicate
	StatementType = "https://in-toto.io/Statement/v1"
	PayloadType   = "application/vnd.in-toto+json"
)

// Limits of a bundle.
const (
	MaxBundle    = 64 << 20 // bytes of the file
	MaxEvents    = 10000
	MaxDocuments = 1000
	MaxDocument  = 16 << 20 // bytes of one document
)

// Content is what a bundle says.
type Content struct {
	Subject event.Subject `json:"subject"` // whose chain it is
	Project string        `json:"project"` // whose events these are; "" of a user
	Created time.Time     `json:"created"`
	By      string        `json:"by"` // who took it, "kind:name"
	// Head is the newest event of the logbook when the chain was taken.
	Head Head `json:"head"`
	// Truncated says that the chain has more than a chain shows.
	Truncated bool          `json:"truncated,omitempty"`
	Events    []event.Event `json:"events"` // in the order of the logbook, each once
	// Absent are the documents that an event names and that could not be added.
	Absent []Absent `json:"absent,omitempty"`
}

// Head is an event by its place.
type Head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

// Absent is a document that is not there, and why.
type Absent struct {
	Digest string `json:"digest"`
	Why    string `json:"why"`
}

// Document is bytes that an event, or another document, names by digest.
type Document struct {
	Digest    string `json:"digest"` // "sha256:…"
	MediaType string `json:"media_type"`
	Data      []byte `json:"data"`
}

// file is a bundle as it is written.
type file struct {
	Format      string        `json:"format"`
	Certificate string        `json:"certificate"` // PEM, self-signed
	Envelope    dsse.Envelope `json:"envelope"`
	Documents   []Document    `json:"documents"`
}

// statement is the in-toto statement in the envelope.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     Content    `json:"predicate"`
}

// resource is a subject of an in-toto statement: the events, and each document.
type resource struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// Seal writes a bundle, signed with an ECDSA P-256 key. Documents are sorted by the
// caller, each once. A content that is larger than Verify reads is fault.TooLarge.
func Seal(ctx context.Context, c Content, documents []Document, key crypto.Signer) ([]byte, error) {
	if len(c.Events) > MaxEvents || len(documents) > MaxDocuments {
		return nil, tooLarge()
	}
	payload, err := json.Marshal(statement{Type: StatementType, Subject: resources(c, documents), PredicateType: Format, Predicate: c})
	if err != nil {
		return nil, fmt.Errorf("encoding the statement: %w", err)
	}
	certificate, err := certify(key, c.Created)
	if err != nil {
		return nil, err
	}
	signer, err := dsse.NewEnvelopeSigner(signing{signer: key})
	if err != nil {
		return nil, fmt.Errorf("signing the bundle: %w", err)
	}
	envelope, err := signer.SignPayload(ctx, PayloadType, payload)
	if err != nil {
		return nil, fmt.Errorf("signing the bundle: %w", err)
	}
	out, err := encode(file{Format: Format, Certificate: certificate, Envelope: *envelope, Documents: documents})
	if err == nil && len(out) > MaxBundle {
		return nil, tooLarge()
	}
	return out, err
}

func tooLarge() error {
	return fault.New(fault.TooLarge, "The chain is too large for a bundle (at most %d events, %d documents, %d MiB).", MaxEvents, MaxDocuments, MaxBundle>>20).
		WithNext("take the bundle of something smaller: a pod, a release or an image")
}

// encode is the one way to write a bundle.
func encode(f file) ([]byte, error) {
	if f.Documents == nil {
		f.Documents = []Document{}
	}
	out, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding the bundle: %w", err)
	}
	return append(out, '\n'), nil
}

// resources are what the statement is about.
func resources(c Content, documents []Document) []resource {
	h := sha256.New()
	for _, e := range c.Events {
		fmt.Fprintf(h, "%d %s\n", e.Seq, e.Hash)
	}
	out := []resource{{Name: "events of " + string(c.Subject), Digest: map[string]string{"sha256": hex.EncodeToString(h.Sum(nil))}}}
	for _, d := range documents {
		out = append(out, resource{Name: d.MediaType, Digest: map[string]string{"sha256": d.Digest[min(len(d.Digest), len("sha256:")):]}})
	}
	return out
}

// Digest is the digest of bytes, "sha256:…".
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Fingerprint names a public key: "sha256:" and the SHA-256 of its PKIX form, in hex.
func Fingerprint(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("encoding a public key: %w", err)
	}
	return Digest(der), nil
}

// certify makes the certificate that carries the public key. It is signed by the key
// itself: what makes it trusted is the reader, who knows the fingerprint.
func certify(key crypto.Signer, now time.Time) (string, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Towpath evidence"}, NotBefore: now.Truncate(time.Second), NotAfter: now.Truncate(time.Second).AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", fmt.Errorf("making the certificate of a bundle: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}
