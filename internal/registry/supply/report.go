package supply

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry/supply/provenance"
	"towpath.dev/towpath/internal/registry/supply/sbom"
	"towpath.dev/towpath/internal/registry/supply/scan"
	"towpath.dev/towpath/internal/registry/supply/sign"
)

// Report is all that is known about an image in a repository.
type Report struct {
	Repository string         `json:"repository"`
	Image      string         `json:"image"`
	Pushed     time.Time      `json:"pushed"`
	Run        int64          `json:"run,omitempty"` // the run that pushed it
	Scanned    bool           `json:"scanned"`       // whether Verdict says anything yet
	Verdict    scan.Verdict   `json:"verdict"`
	Findings   []scan.Finding `json:"findings"` // worst first
	Ended      []scan.Finding `json:"ended,omitempty"`
	Packages   []sbom.Package `json:"packages"`
	Documents  []Document     `json:"documents"` // referrers made by Towpath, oldest first
	Signatures []Signature    `json:"signatures"`
	Provenance *Provenance    `json:"provenance,omitempty"`
}

// Document is a referrer that Towpath made.
type Document struct {
	Kind    string    `json:"kind"` // spdx, cyclonedx, scan, signature, provenance
	Digest  string    `json:"digest"`
	Created time.Time `json:"created"`
}

// Signature is a signature beside the image, verified when the report was asked for.
type Signature struct {
	Digest   string    `json:"digest"`
	Verified bool      `json:"verified"`
	Identity string    `json:"identity,omitempty"` // "run/2040 of shop/web"
	Time     time.Time `json:"time,omitzero"`
	Why      string    `json:"why,omitempty"` // why it is not valid
}

// Provenance is the statement beside the image, verified when the report was asked for.
type Provenance struct {
	Digest    string                `json:"digest"`
	Verified  bool                  `json:"verified"`
	Why       string                `json:"why,omitempty"`
	Statement *provenance.Statement `json:"statement,omitempty"`
}

// Report returns what is known about an image. It is a NotFound fault when the image
// was not pushed there, or when the actor may not read the project.
func (s *Service) Report(ctx context.Context, a identity.Actor, repository, image string) (Report, error) {
	project, _, _ := strings.Cut(repository, "/")
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return Report{}, err
	}
	p, err := s.push(ctx, s.db, repository, image)
	if errors.Is(err, sql.ErrNoRows) {
		return Report{}, fault.New(fault.NotFound, "There is no image %s in %s.", image, repository)
	}
	if err != nil {
		return Report{}, err
	}
	out := Report{Repository: repository, Image: image, Pushed: p.pushed, Run: p.run}
	out.Verdict, err = s.matcher.Verdict(ctx, s.db, image)
	if errors.Is(err, sql.ErrNoRows) {
		out.Verdict = scan.Verdict{Image: image} // Not looked into yet.
	} else if err != nil {
		return Report{}, err
	}
	out.Scanned = out.Verdict.Scan != ""
	if out.Findings, err = s.matcher.Findings(ctx, s.db, image); err != nil {
		return Report{}, err
	}
	if out.Ended, err = s.matcher.Ended(ctx, image); err != nil {
		return Report{}, err
	}
	if out.Packages, err = s.matcher.Packages(ctx, image); err != nil {
		return Report{}, err
	}
	if out.Documents, err = s.documents(ctx, repository, image); err != nil {
		return Report{}, err
	}
	if out.Signatures, err = s.signatures(ctx, repository, image); err != nil {
		return Report{}, err
	}
	out.Provenance, err = s.provenance(ctx, repository, image)
	return out, err
}

// Verdicts returns the stored verdicts of images, for lists; an image that is not
// judged is left out. The caller has checked that the actor may see them.
func (s *Service) Verdicts(ctx context.Context, images []string) (map[string]scan.Verdict, error) {
	out := make(map[string]scan.Verdict, len(images))
	for _, i := range images {
		v, err := s.matcher.Verdict(ctx, s.db, i)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if v.Scan != "" {
			out[i] = v
		}
	}
	return out, nil
}

// Ready reports whether an image carries a valid signature and whether it was judged,
// whatever the verdict. A deployment asks it before it uses an image.
func (s *Service) Ready(ctx context.Context, repository, image string) (signed, scanned bool, err error) {
	v, err := s.matcher.Verdict(ctx, s.db, image)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, false, err
	}
	list, err := s.signatures(ctx, repository, image)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return false, false, err
	}
	for _, sig := range list {
		signed = signed || sig.Verified
	}
	return signed, v.Scan != "", nil
}

// Verify returns the signatures beside an image, each verified now. It is a Denied
// fault when none is valid.
func (s *Service) Verify(ctx context.Context, a identity.Actor, repository, image string) ([]Signature, error) {
	project, _, _ := strings.Cut(repository, "/")
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	list, err := s.signatures(ctx, repository, image)
	if err != nil {
		return nil, err
	}
	why := "It carries no signature."
	for _, sig := range list {
		if sig.Verified {
			return list, nil
		}
		why = sig.Why
	}
	return list, fault.New(fault.Denied, "%s@%s has no valid signature. %s", repository, image, why)
}

// Root returns the certificate of the installation's signing authority as PEM, for
// trust stores of other verifiers.
func (s *Service) Root() []byte { return s.authority.Root() }

// maxSignatures bounds how many signatures of an image are looked at: anybody who may
// push can add some.
const maxSignatures = 20

func (s *Service) signatures(ctx context.Context, repository, image string) ([]Signature, error) {
	refs, err := s.signatureRefs(ctx, repository, image)
	if err != nil {
		return nil, err
	}
	if len(refs) == 0 {
		return nil, nil
	}
	raw, mediaType, err := s.images.Manifest(ctx, repository, image)
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", image, err)
	}
	subject := ociv1.Descriptor{MediaType: mediaType, Digest: digest.Digest(image), Size: int64(len(raw))}
	out := make([]Signature, 0, len(refs))
	for _, ref := range refs {
		sig := Signature{Digest: ref}
		signed, err := s.signature(ctx, repository, subject, ref)
		switch {
		case fault.Is(err, fault.Denied), fault.Is(err, fault.NotFound):
			sig.Why, _ = fault.Public(err)
		case err != nil:
			return nil, err
		default:
			sig.Verified, sig.Identity, sig.Time = true, signed.Identity, signed.Time
		}
		out = append(out, sig)
	}
	return out, nil
}

// signatureRefs returns the referrers that may be signatures: those that Towpath made
// come first, so that no number of others can hide them.
func (s *Service) signatureRefs(ctx context.Context, repository, image string) ([]string, error) {
	there, err := s.images.Referrers(ctx, repository, image, sign.ArtifactType, maxSignatures)
	if err != nil {
		return nil, fmt.Errorf("looking for signatures of %s: %w", image, err)
	}
	made, err := s.documents(ctx, repository, image)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range made {
		if d.Kind == docSignature {
			out = append(out, d.Digest)
		}
	}
	for _, ref := range there {
		if !slices.Contains(out, ref) && len(out) < maxSignatures {
			out = append(out, ref)
		}
	}
	return out, nil
}

func (s *Service) signature(ctx context.Context, repository string, subject ociv1.Descriptor, ref string) (sign.Signed, error) {
	parts, err := s.parts(ctx, repository, ref, 1, sign.MaxEnvelope)
	if err != nil {
		return sign.Signed{}, err
	}
	at, err := s.recorded(ctx, repository, subject.Digest.String(), docSignature, ref)
	if err != nil {
		return sign.Signed{}, err
	}
	return s.authority.Verify(ctx, repository, subject, parts[0], at)
}

// provenance verifies the statement that Towpath made; nil when there is none.
func (s *Service) provenance(ctx context.Context, repository, image string) (*Provenance, error) {
	var ref string
	var created int64
	err := s.db.QueryRow(ctx, `SELECT digest, created FROM supply_document WHERE repository = ? AND image = ? AND kind = ? ORDER BY created DESC LIMIT 1`,
		repository, image, docProvenance).Scan(&ref, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the provenance of %s: %w", image, err)
	}
	out := &Provenance{Digest: ref}
	parts, err := s.parts(ctx, repository, ref, 2, provenance.MaxEnvelope)
	if err == nil {
		var st provenance.Statement
		st, err = provenance.Verify(ctx, s.authority, repository, image, parts[0], parts[1], time.UnixMilli(created))
		if err == nil {
			out.Verified, out.Statement = true, &st
		}
	}
	if fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid) {
		out.Why, _ = fault.Public(err)
		return out, nil
	}
	return out, err
}

// parts returns the first n layers of an artifact. An artifact of another shape is a
// Denied fault: it is no proof of anything.
func (s *Service) parts(ctx context.Context, repository, ref string, n int, limit int64) ([][]byte, error) {
	raw, _, err := s.images.Manifest(ctx, repository, ref)
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", ref, err)
	}
	var m ociv1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil || len(m.Layers) != n {
		return nil, fault.New(fault.Denied, "The artifact %s has not the shape of a proof.", ref)
	}
	var out [][]byte
	for _, l := range m.Layers {
		if l.Size > limit {
			return nil, fault.New(fault.Denied, "The artifact %s is too large for a proof.", ref)
		}
		b, err := s.blob(ctx, repository, l.Digest.String(), limit)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

func (s *Service) blob(ctx context.Context, repository, ref string, limit int64) ([]byte, error) {
	r, err := s.images.OpenBlob(ctx, repository, ref)
	if err != nil {
		return nil, fmt.Errorf("opening blob %s: %w", ref, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", ref, err)
	}
	return b, nil
}

// recorded is when a document was noted, zero when Towpath did not make it.
func (s *Service) recorded(ctx context.Context, repository, image, kind, ref string) (time.Time, error) {
	var created int64
	err := s.db.QueryRow(ctx, `SELECT created FROM supply_document WHERE repository = ? AND image = ? AND kind = ? AND digest = ?`,
		repository, image, kind, ref).Scan(&created)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("looking up %s: %w", ref, err)
	}
	return time.UnixMilli(created).UTC(), nil
}

func (s *Service) documents(ctx context.Context, repository, image string) ([]Document, error) {
	rows, err := s.db.Query(ctx, `SELECT kind, digest, created FROM supply_document WHERE repository = ? AND image = ? ORDER BY created, kind, digest`, repository, image)
	if err != nil {
		return nil, fmt.Errorf("reading the documents of %s: %w", image, err)
	}
	defer rows.Close()
	var out []Document
	for rows.Next() {
		var d Document
		var created int64
		if err := rows.Scan(&d.Kind, &d.Digest, &created); err != nil {
			return nil, fmt.Errorf("reading the documents of %s: %w", image, err)
		}
		d.Created = time.UnixMilli(created).UTC()
		out = append(out, d)
	}
	return out, rows.Err()
}
