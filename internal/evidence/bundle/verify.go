package bundle

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
)

// Report is what a bundle that holds says.
type Report struct {
	Subject   event.Subject `json:"subject"`
	Project   string        `json:"project"`
	Created   time.Time     `json:"created"`
	By        string        `json:"by"`
	Key       string        `json:"key"` // fingerprint of the key that signed
	Head      Head          `json:"head"`
	Events    int           `json:"events"`
	Segments  int           `json:"segments"` // runs of events that stand next to each other in the logbook
	Subjects  int           `json:"subjects"`
	Documents int           `json:"documents"`
	Absent    []Absent      `json:"absent,omitempty"`
	Truncated bool          `json:"truncated,omitempty"`
}

// refused is the fault for a bundle that does not hold.
func refused(format string, args ...any) error {
	return fault.New(fault.Denied, format, args...).WithNext("do not rely on this bundle; take a new one from the server with: towpath trace SUBJECT --bundle FILE")
}

// Read reads a bundle of at most MaxBundle bytes.
func Read(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxBundle+1))
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	if len(raw) > MaxBundle {
		return nil, refused("The file is larger than a bundle can be (%d MiB).", MaxBundle>>20)
	}
	return raw, nil
}

// Verify checks a bundle against the fingerprints of the keys that are trusted. The error
// is a fault whose message says what does not hold.
func Verify(ctx context.Context, raw []byte, trusted ...string) (Report, error) {
	f, err := decode(raw)
	if err != nil {
		return Report{}, err
	}
	key, payload, err := open(ctx, f, trusted)
	if err != nil {
		return Report{}, err
	}
	s, err := readStatement(payload)
	if err != nil {
		return Report{}, err
	}
	c := s.Predicate
	r := Report{
		Subject: c.Subject, Project: c.Project, Created: c.Created, By: c.By, Key: key, Head: c.Head, Events: len(c.Events), Documents: len(f.Documents),
		Absent: c.Absent, Truncated: c.Truncated,
	}
	if r.Segments, err = chained(c); err != nil {
		return Report{}, err
	}
	if r.Subjects, err = linked(c); err != nil {
		return Report{}, err
	}
	if err := documented(c, f.Documents); err != nil {
		return Report{}, err
	}
	if !equalResources(s.Subject, resources(c, f.Documents)) {
		return Report{}, refused("The documents of the bundle are not those that were signed: one was added, taken away or moved.")
	}
	return r, nil
}

// decode reads the file, and insists on the one way to write it.
func decode(raw []byte) (file, error) {
	var f file
	if len(raw) > MaxBundle {
		return f, refused("The file is larger than a bundle can be (%d MiB).", MaxBundle>>20)
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return f, refused("The file is no evidence bundle, or was cut off: %v.", err)
	}
	if f.Format != Format {
		return f, refused("The file is no evidence bundle of a version that is known here.")
	}
	if len(f.Documents) > MaxDocuments {
		return f, refused("The bundle has more than %d documents.", MaxDocuments)
	}
	again, err := encode(f)
	if err != nil {
		return f, err
	}
	if !bytes.Equal(raw, again) {
		at := 0
		for at < len(raw) && at < len(again) && raw[at] == again[at] {
			at++
		}
		return f, refused("The file was changed at byte %d: it is not written as a bundle is.", at)
	}
	return f, nil
}

// open checks who signed, and returns the fingerprint of the key and what was signed.
func open(ctx context.Context, f file, trusted []string) (key string, payload []byte, err error) {
	block, rest := pem.Decode([]byte(f.Certificate))
	if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 || string(pem.EncodeToMemory(block)) != f.Certificate {
		return "", nil, refused("The certificate of the bundle was changed: it is not PEM as it is written.")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", nil, refused("The certificate of the bundle was changed: %v.", err)
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return "", nil, refused("The certificate of the bundle was changed: its signature does not fit.")
	}
	if key, err = Fingerprint(cert.PublicKey); err != nil {
		return "", nil, refused("The certificate of the bundle holds no key that can be read.")
	}
	env := f.Envelope
	if env.PayloadType != PayloadType || len(env.Signatures) != 1 {
		return "", nil, refused("The envelope of the bundle is not an in-toto statement with one signature.")
	}
	if env.Signatures[0].KeyID != key {
		return "", nil, refused("The envelope names the key %s, the certificate is of %s.", env.Signatures[0].KeyID, key)
	}
	for _, text := range []string{env.Payload, env.Signatures[0].Sig} {
		if _, err := base64.StdEncoding.Strict().DecodeString(text); err != nil {
			return "", nil, refused("The envelope of the bundle was changed: %v.", err)
		}
	}
	verifier, err := dsse.NewEnvelopeVerifier(signing{public: cert.PublicKey})
	if err != nil {
		return "", nil, refused("The key of the bundle cannot verify: %v.", err)
	}
	if _, payload, err = verifier.VerifyAndDecode(ctx, &env); err != nil {
		return "", nil, refused("The signature does not fit: what it signs was changed, or another key made it.")
	}
	if !slices.Contains(trusted, key) {
		return "", nil, fault.New(fault.Denied, "The bundle is signed, but by a key that nothing here trusts: %s.", key).
			WithNext("compare the key with the server's (towpath verify --server-key), and pass it with --key if it is the same")
	}
	return key, payload, nil
}

// readStatement reads what was signed.
func readStatement(payload []byte) (statement, error) {
	var s statement
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, refused("What was signed is no statement about evidence: %v.", err)
	}
	if s.Type != StatementType || s.PredicateType != Format {
		return s, refused("What was signed is not a statement about evidence but %s.", s.PredicateType)
	}
	if len(s.Predicate.Events) == 0 || len(s.Predicate.Events) > MaxEvents {
		return s, refused("The statement has %d events; there must be some, at most %d.", len(s.Predicate.Events), MaxEvents)
	}
	return s, nil
}

// chained checks every event and every pair of neighbours.
func chained(c Content) (segments int, err error) {
	var last event.Event
	for _, e := range c.Events {
		switch {
		case e.Seq <= last.Seq:
			return 0, refused("Event %d stands after event %d.", e.Seq, last.Seq)
		case !e.Intact():
			return 0, refused("Event %d (%s) was changed: its content does not match its hash.", e.Seq, e.Type)
		case e.Project != c.Project:
			return 0, refused("Event %d belongs to the project %q, the bundle to %q.", e.Seq, e.Project, c.Project)
		case e.Seq == last.Seq+1 && last.Seq > 0 && e.PrevHash != last.Hash:
			return 0, refused("Event %d does not continue the hash of event %d.", e.Seq, last.Seq)
		case e.Seq > c.Head.Seq, e.Seq == c.Head.Seq && e.Hash != c.Head.Hash:
			return 0, refused("Event %d is not in the logbook whose head the bundle names (%d).", e.Seq, c.Head.Seq)
		}
		if e.Seq != last.Seq+1 || last.Seq == 0 {
			segments++
		}
		last = e
	}
	return segments, nil
}

// linked checks that everything in the bundle belongs to the chain of its subject: links
// lead from one to the other. Decisions are there for the objects that they judge, too,
// which no link names.
func linked(c Content) (subjects int, err error) {
	neighbours := map[event.Subject][]event.Subject{}
	first := map[event.Subject]int64{}
	for _, e := range c.Events {
		if _, ok := first[e.Subject]; !ok {
			first[e.Subject] = e.Seq
		}
		for _, l := range e.Links {
			neighbours[e.Subject] = append(neighbours[e.Subject], l.To)
			neighbours[l.To] = append(neighbours[l.To], e.Subject)
		}
	}
	if _, ok := first[c.Subject]; !ok {
		return 0, refused("The bundle says that it is about %s and has no event about it.", c.Subject)
	}
	seen := map[event.Subject]bool{c.Subject: true}
	for queue := []event.Subject{c.Subject}; len(queue) > 0; queue = queue[1:] {
		for _, n := range neighbours[queue[0]] {
			if !seen[n] {
				seen[n] = true
				queue = append(queue, n)
			}
		}
	}
	for _, e := range c.Events {
		if !seen[e.Subject] && e.Subject.Kind() != event.KindDecision {
			return 0, refused("Event %d is about %s, to which no link leads from %s.", e.Seq, e.Subject, c.Subject)
		}
	}
	return len(first), nil
}

// documented checks the bytes of each document, and that something names it.
func documented(c Content, documents []Document) error {
	named := map[string]bool{}
	for _, e := range c.Events {
		if _, digest, ok := strings.Cut(string(e.Subject), ":"); ok {
			named[digest] = true
		}
		if p := (struct {
			Digest string `json:"digest"`
		}{}); json.Unmarshal(e.Payload, &p) == nil {
			named[p.Digest] = true
		}
	}
	before := ""
	for _, d := range documents {
		switch {
		case d.Digest <= before:
			return refused("The documents of the bundle are not in order at %s.", d.Digest)
		case len(d.Data) > MaxDocument:
			return refused("The document %s is larger than %d MiB.", d.Digest, MaxDocument>>20)
		case Digest(d.Data) != d.Digest:
			return refused("The document %s was changed: its bytes have another digest.", d.Digest)
		}
		before = d.Digest
		if named[d.Digest] {
			for _, part := range Parts(d.Data) {
				named[part.Digest] = true
			}
		}
	}
	for _, d := range documents {
		if !named[d.Digest] {
			return refused("No event names the document %s.", d.Digest)
		}
	}
	return nil
}

// Part is a part that a manifest names.
type Part struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"`
}

// Parts returns the layers that an OCI manifest names; none of other bytes.
func Parts(manifest []byte) []Part {
	var m struct {
		Layers []Part `json:"layers"`
	}
	if json.Unmarshal(manifest, &m) != nil {
		return nil
	}
	return m.Layers
}

func equalResources(a, b []resource) bool {
	return slices.EqualFunc(a, b, func(x, y resource) bool {
		return x.Name == y.Name && len(x.Digest) == 1 && len(y.Digest) == 1 && x.Digest["sha256"] == y.Digest["sha256"]
	})
}
