package supply

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/registry/supply/provenance"
	"towpath.dev/towpath/internal/registry/supply/sbom"
	"towpath.dev/towpath/internal/registry/supply/scan"
	"towpath.dev/towpath/internal/registry/supply/sign"
	"towpath.dev/towpath/internal/store"
)

// The kinds of documents.
const (
	docSPDX       = "spdx"
	docCycloneDX  = "cyclonedx"
	docScan       = "scan"
	docSignature  = "signature"
	docProvenance = "provenance"
)

// push is an image in a repository, with what Process knows of it.
type push struct {
	repository, image, project, announced string
	pushed                                time.Time
	run                                   int64
	subject                               ociv1.Descriptor
}

func (s *Service) push(ctx context.Context, h store.Handle, repository, image string) (push, error) {
	p := push{repository: repository, image: image}
	var pushed int64
	err := h.QueryRow(ctx, `SELECT project, pushed, run, announced FROM supply_push WHERE repository = ? AND image = ?`, repository, image).
		Scan(&p.project, &pushed, &p.run, &p.announced)
	if err != nil {
		return push{}, fmt.Errorf("looking up the push of %s to %s: %w", image, repository, err)
	}
	p.pushed = time.UnixMilli(pushed).UTC()
	return p, nil
}

// Process makes what is missing of an image: SBOM, verdict and report, and for an
// image that a run pushed signature and provenance. It may be called again at any
// time. An image that is gone is done. It is the system's own work: no actor asks for it.
func (s *Service) Process(ctx context.Context, repository, image string) error {
	p, err := s.push(ctx, s.db, repository, image)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	raw, mediaType, err := s.images.Manifest(ctx, repository, image)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading manifest %s: %w", image, err)
	}
	p.subject = ociv1.Descriptor{MediaType: mediaType, Digest: digest.Digest(image), Size: int64(len(raw))}
	for _, step := range []func(context.Context, push) error{s.examine, s.describe, s.report, s.vouch} {
		if err := step(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// examine lists the image's packages and judges them, once per image.
func (s *Service) examine(ctx context.Context, p push) error {
	done, err := s.matcher.Indexed(ctx, p.image)
	if err != nil || done {
		return err
	}
	list, problem, err := s.packages(ctx, p.repository, p.image)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.matcher.Index(ctx, tx, p.image, p.pushed, list, problem); err != nil {
			return err
		}
		coverage, err := s.advisories.Coverage(ctx, tx)
		if err != nil {
			return err
		}
		_, _, err = s.matcher.Judge(ctx, tx, p.image, coverage, s.clock.NewID, s.clock.Now())
		return err
	})
}

// describe writes the two SBOM documents.
func (s *Service) describe(ctx context.Context, p push) error {
	img := sbom.Image{Repository: p.repository, Digest: p.image, Created: p.pushed}
	for _, d := range []struct {
		kind, mediaType string
		write           func(sbom.Image, []sbom.Package) ([]byte, error)
	}{{docSPDX, sbom.MediaTypeSPDX, sbom.SPDX}, {docCycloneDX, sbom.MediaTypeCycloneDX, sbom.CycloneDX}} {
		have, err := s.has(ctx, p, d.kind, "")
		if err != nil {
			return err
		}
		if have {
			continue
		}
		list, err := s.matcher.Packages(ctx, p.image)
		if err != nil {
			return err
		}
		body, err := d.write(img, list)
		if err != nil {
			return err
		}
		ref, err := s.attach(ctx, p, d.mediaType, nil, Layer{MediaType: d.mediaType, Data: body})
		if err != nil {
			return err
		}
		err = s.record(ctx, p, document{kind: d.kind, digest: ref}, event.Fact{
			Type: event.TypeSBOMCreated, Subject: event.Of(event.KindSBOM, ref),
			Payload: event.SBOMCreated{V: 1, Repository: p.repository, Image: p.image, Digest: ref, Format: d.kind, Packages: len(list)},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// report keeps the verdict beside the image and says it, unless it was said already.
func (s *Service) report(ctx context.Context, p push) error {
	v, err := s.matcher.Verdict(ctx, s.db, p.image)
	if err != nil {
		return err
	}
	have, err := s.has(ctx, p, docScan, v.Scan)
	if err != nil || have {
		return err
	}
	found, err := s.matcher.Findings(ctx, s.db, p.image)
	if err != nil {
		return err
	}
	body, err := scan.Report{Repository: p.repository, Verdict: v, Findings: found}.Encode()
	if err != nil {
		return err
	}
	ref, err := s.attach(ctx, p, scan.MediaType, map[string]string{ociv1.AnnotationCreated: v.Time.Format(time.RFC3339)}, Layer{MediaType: scan.MediaType, Data: body})
	if err != nil {
		return err
	}
	doc := document{kind: docScan, digest: ref, scan: v.Scan}
	if p.announced == v.Scan {
		return s.record(ctx, p, doc)
	}
	return s.record(ctx, p, doc, scanned(p, v, ref))
}

// scanned is the fact of a verdict.
func scanned(p push, v scan.Verdict, ref string) event.Fact {
	return event.Fact{
		Type: event.TypeScanFinished, Subject: event.Of(event.KindScan, v.Scan),
		Payload: event.ScanFinished{
			V: 1, Scan: v.Scan, Repository: p.repository, Image: p.image, Digest: ref, Status: v.Status, Critical: v.Critical, High: v.High,
			Medium: v.Medium, Low: v.Low, Unknown: v.Unknown, Packages: v.Packages, Advisories: v.Advisories, Missing: v.Missing,
		},
	}
}

// vouch signs an image that a run pushed and states its provenance, both with one
// short-lived key.
func (s *Service) vouch(ctx context.Context, p push) error {
	if p.run == 0 {
		return nil
	}
	signed, err := s.has(ctx, p, docSignature, "")
	if err != nil {
		return err
	}
	stated, err := s.has(ctx, p, docProvenance, "")
	if err != nil || signed && stated {
		return err
	}
	facts, err := s.runs.Provenance(ctx, p.run)
	if err != nil {
		return fmt.Errorf("reading the records of run %d: %w", p.run, err)
	}
	if facts.Project != p.project {
		return job.Fatal(fmt.Errorf("signing %s: run %d is of project %q, the image of %q", p.image, p.run, facts.Project, p.project))
	}
	if facts.Builder == "" {
		facts.Builder = s.opt.Builder
	}
	leaf, err := s.authority.Issue(sign.Identity{Run: p.run, Project: facts.Project, Repo: facts.Repo, Pipeline: facts.Pipeline})
	if err != nil {
		return err
	}
	if !signed {
		if err := s.sign(ctx, p, leaf); err != nil {
			return err
		}
	}
	if stated {
		return nil
	}
	return s.state(ctx, p, facts, leaf)
}

func (s *Service) sign(ctx context.Context, p push, leaf *sign.Leaf) error {
	envelope, annotations, err := leaf.Sign(ctx, p.subject)
	if err != nil {
		return err
	}
	ref, err := s.attach(ctx, p, sign.ArtifactType, annotations, Layer{MediaType: sign.MediaType, Data: envelope})
	if err != nil {
		return err
	}
	who := leaf.Who.String()
	return s.record(ctx, p, document{kind: docSignature, digest: ref, identity: who, run: p.run}, event.Fact{
		Type: event.TypeImageSigned, Subject: event.Of(event.KindSignature, ref),
		Payload: event.ImageSigned{V: 1, Repository: p.repository, Image: p.image, Digest: ref, Identity: who, Run: p.run},
	})
}

func (s *Service) state(ctx context.Context, p push, facts provenance.Facts, leaf *sign.Leaf) error {
	statement, err := provenance.New(p.repository, p.image, facts)
	if err != nil {
		return err
	}
	envelope, err := provenance.Seal(ctx, statement, leaf)
	if err != nil {
		return err
	}
	ref, err := s.attach(ctx, p, provenance.ArtifactType, map[string]string{"in-toto.io/predicate-type": provenance.PredicateType},
		Layer{MediaType: provenance.MediaType, Data: envelope}, Layer{MediaType: provenance.MediaTypeChain, Data: leaf.Chain()})
	if err != nil {
		return err
	}
	return s.record(ctx, p, document{kind: docProvenance, digest: ref, identity: leaf.Who.String(), run: p.run}, event.Fact{
		Type: event.TypeProvenanceCreated, Subject: event.Of(event.KindProvenance, ref),
		Payload: event.ProvenanceCreated{V: 1, Repository: p.repository, Image: p.image, Digest: ref, Builder: facts.Builder, Commit: facts.Commit, Run: p.run},
	})
}

func (s *Service) attach(ctx context.Context, p push, artifactType string, annotations map[string]string, layers ...Layer) (string, error) {
	ref, err := s.images.PutReferrer(ctx, p.repository, Referrer{Subject: p.subject, ArtifactType: artifactType, Layers: layers, Annotations: annotations})
	if err != nil {
		return "", fmt.Errorf("keeping the %s of %s: %w", artifactType, p.image, err)
	}
	return ref, nil
}

type document struct {
	kind, digest, identity, scan string
	run                          int64
}

// has reports whether a document of the kind was made; scanID, when not empty, asks
// for the one of that scan.
func (s *Service) has(ctx context.Context, p push, kind, scanID string) (bool, error) {
	var n int
	err := s.db.QueryRow(ctx, `SELECT COUNT(*) FROM supply_document WHERE repository = ? AND image = ? AND kind = ? AND (? = '' OR scan = ?)`,
		p.repository, p.image, kind, scanID, scanID).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("looking up the %s of %s: %w", kind, p.image, err)
	}
	return n > 0, nil
}

// record notes a document and appends its facts, in one transaction. An image that was
// deleted meanwhile stays deleted.
func (s *Service) record(ctx context.Context, p push, d document, facts ...event.Fact) error {
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		if _, err := s.push(ctx, tx, p.repository, p.image); errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO supply_document (repository, image, kind, digest, created, identity, run, scan) VALUES (?,?,?,?,?,?,?,?)
			ON CONFLICT (repository, image, kind, digest) DO UPDATE SET scan = excluded.scan`,
			p.repository, p.image, d.kind, d.digest, s.clock.Now().UnixMilli(), d.identity, d.run, d.scan)
		if err != nil {
			return fmt.Errorf("noting the %s of %s: %w", d.kind, p.image, err)
		}
		return s.say(ctx, tx, p, d.scan, facts...)
	})
}

// say appends facts about an image; scanID, when not empty, is the scan they announce.
func (s *Service) say(ctx context.Context, tx *store.Tx, p push, scanID string, facts ...event.Fact) error {
	if len(facts) == 0 {
		return nil
	}
	if scanID != "" {
		_, err := tx.Exec(ctx, `UPDATE supply_push SET announced = ? WHERE repository = ? AND image = ?`, scanID, p.repository, p.image)
		if err != nil {
			return fmt.Errorf("noting the scan of %s: %w", p.image, err)
		}
	}
	for i := range facts {
		facts[i].Project, facts[i].Actor = p.project, actor
		facts[i].Links = []event.Link{{Rel: event.RelDescribes, To: event.Of(event.KindImage, p.image)}}
	}
	return s.log.Append(ctx, tx, facts...)
}
