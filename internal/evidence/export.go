package evidence

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence/bundle"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Documents gives the bytes that events name by digest.
type Documents interface {
	// Document returns a manifest or a blob of an image repository ("shop/web"), at most
	// limit bytes, with its media type. fault.NotFound says that it is not there any more,
	// or not for the actor; fault.TooLarge that it has more bytes.
	Document(ctx context.Context, a identity.Actor, repository, digest string, limit int64) (data []byte, mediaType string, err error)
}

// Exporter hands chains out as signed bundles. It is safe for concurrent use.
type Exporter struct {
	service   *Service
	key       crypto.Signer // ECDSA P-256
	documents Documents
	clock     clock.Clock
}

// NewExporter returns an exporter that signs with a key of the vault.
func NewExporter(s *Service, key crypto.Signer, documents Documents, c clock.Clock) *Exporter {
	return &Exporter{service: s, key: key, documents: documents, clock: c}
}

// Key is the public key that bundles are checked with.
type Key struct {
	Fingerprint string `json:"fingerprint"` // "sha256:…", what `towpath verify --key` takes
	PEM         string `json:"pem"`
}

// Key returns the public key. It is no secret, but only somebody who signed in is told:
// what they compare bundles with should come from the server itself.
func (x *Exporter) Key(_ context.Context, a identity.Actor) (Key, error) {
	if !a.Known() {
		return Key{}, fault.New(fault.Unauthentic, "You are not signed in.").WithNext("sign in, or pass a token")
	}
	print, err := bundle.Fingerprint(x.key.Public())
	if err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(x.key.Public())
	if err != nil {
		return Key{}, fmt.Errorf("encoding the key of bundles: %w", err)
	}
	return Key{Fingerprint: print, PEM: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, nil
}

// Bundle returns the chain of what ref names (see Trace) as a signed bundle: the events of
// the actor's project alone, and the documents that they name.
func (x *Exporter) Bundle(ctx context.Context, a identity.Actor, ref string) ([]byte, error) {
	chain, w, err := x.service.chain(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	c := bundle.Content{Subject: chain.Subject, Project: chain.Project, Created: x.clock.Now().UTC(), By: a.String(), Truncated: chain.Truncated}
	for _, s := range w.list {
		c.Events = append(c.Events, w.events[s]...)
	}
	slices.SortFunc(c.Events, func(a, b event.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	c.Events = slices.CompactFunc(c.Events, func(a, b event.Event) bool { return a.Seq == b.Seq })
	// Read after the events: the head lies behind all of them.
	if c.Head.Seq, c.Head.Hash, err = x.service.events.Head(ctx); err != nil {
		return nil, fmt.Errorf("reading the head of the logbook: %w", err)
	}
	p := parcel{exporter: x, actor: a, room: bundle.MaxBundle / 2, have: map[string]bundle.Document{}}
	for _, e := range c.Events {
		if err := p.of(ctx, e); err != nil {
			return nil, err
		}
	}
	c.Absent = p.absent
	documents := make([]bundle.Document, 0, len(p.have))
	for _, d := range p.have {
		documents = append(documents, d)
	}
	slices.SortFunc(documents, func(a, b bundle.Document) int { return cmp.Compare(a.Digest, b.Digest) })
	return bundle.Seal(ctx, c, documents, x.key)
}

// parcel collects the documents of a bundle.
type parcel struct {
	exporter *Exporter
	actor    identity.Actor
	room     int64 // bytes that are left
	have     map[string]bundle.Document
	absent   []bundle.Absent
}

// of takes the documents that an event names, with the parts of their manifests.
func (p *parcel) of(ctx context.Context, e event.Event) error {
	repository, digest := "", ""
	switch e.Type {
	case event.TypeSBOMCreated:
		v, _ := decode[event.SBOMCreated](e)
		repository, digest = v.Repository, v.Digest
	case event.TypeScanFinished:
		v, _ := decode[event.ScanFinished](e)
		repository, digest = v.Repository, v.Digest
	case event.TypeImageSigned:
		v, _ := decode[event.ImageSigned](e)
		repository, digest = v.Repository, v.Digest
	case event.TypeProvenanceCreated:
		v, _ := decode[event.ProvenanceCreated](e)
		repository, digest = v.Repository, v.Digest
	}
	if digest == "" {
		return nil
	}
	manifest, err := p.take(ctx, repository, digest, "")
	if err != nil || manifest == nil {
		return err
	}
	for _, part := range bundle.Parts(manifest) {
		if _, err := p.take(ctx, repository, part.Digest, part.MediaType); err != nil {
			return err
		}
	}
	return nil
}

// take adds one document, or notes why it is not there.
func (p *parcel) take(ctx context.Context, repository, digest, mediaType string) ([]byte, error) {
	if _, ok := p.have[digest]; ok || slices.ContainsFunc(p.absent, func(a bundle.Absent) bool { return a.Digest == digest }) {
		return nil, nil
	}
	missing := func(why string) ([]byte, error) {
		p.absent = append(p.absent, bundle.Absent{Digest: digest, Why: why})
		return nil, nil
	}
	if len(p.have) >= bundle.MaxDocuments || p.room <= 0 {
		return missing("the bundle is full")
	}
	data, kind, err := p.exporter.documents.Document(ctx, p.actor, repository, digest, min(p.room, bundle.MaxDocument))
	switch {
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Denied):
		return missing("the registry does not have it any more")
	case fault.Is(err, fault.TooLarge):
		return missing("it is too large for the bundle")
	case err != nil:
		return nil, fmt.Errorf("reading the document %s: %w", digest, err)
	}
	if bundle.Digest(data) != digest {
		return missing("its bytes in the registry have another digest")
	}
	if mediaType == "" {
		mediaType = kind
	}
	p.room -= int64(len(data))
	p.have[digest] = bundle.Document{Digest: digest, MediaType: mediaType, Data: data}
	return data, nil
}
