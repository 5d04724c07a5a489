package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Pushed is what a push of a manifest came to.
type Pushed struct {
	Digest  string
	Subject string   // digest of the subject when the manifest is a referrer
	Tags    []string // the tags that point to it now because of this push
}

// maxPushTags is how many tags one push may set.
const maxPushTags = 64

// PutManifest stores a manifest in the repository under a tag or under its digest, with
// further tags when given. Everything that it references must be there, except its
// subject, which may come later. mediaType is the type it was sent with, "" to take the
// document's own.
func (s *Service) PutManifest(ctx context.Context, a identity.Actor, repository, reference, mediaType string, body []byte, tags ...string) (Pushed, error) {
	if err := s.mayPush(ctx, a, repository); err != nil {
		return Pushed{}, err
	}
	if len(body) > MaxManifest {
		return Pushed{}, tooLarge()
	}
	digest, tags, err := target(reference, tags, body)
	if err != nil {
		return Pushed{}, err
	}
	c, err := parse(mediaType, body)
	if err != nil {
		return Pushed{}, err
	}
	if _, _, err := s.blobs.Put(ctx, bytes.NewReader(body), digest, MaxManifest); err != nil {
		return Pushed{}, fmt.Errorf("storing manifest %s: %w", digest, err)
	}
	p := push{Service: s, actor: a, repository: repository, digest: digest, content: c, size: int64(len(body)), tags: tags, now: s.now()}
	if err := s.db.Tx(ctx, func(tx *store.Tx) error { return p.write(ctx, tx) }); err != nil {
		return Pushed{}, err
	}
	return Pushed{Digest: digest, Subject: c.subject, Tags: tags}, nil
}

func tooLarge() error {
	return &Error{Code: CodeManifestInvalid, Fault: fault.New(fault.TooLarge, "The manifest is larger than %d bytes.", MaxManifest)}
}

// target works out the digest and the tags of a push from its reference.
func target(reference string, tags []string, body []byte) (digest string, all []string, err error) {
	all = append(all, tags...)
	if strings.Contains(reference, ":") {
		if err := checkDigest(reference); err != nil {
			return "", nil, err
		}
		if digest = digestLike(reference, body); digest != reference {
			return "", nil, mismatch(reference, nil)
		}
	} else {
		digest = digestLike("sha256", body)
		all = append([]string{reference}, all...)
	}
	if len(all) > maxPushTags {
		return "", nil, wrong(CodeTagInvalid, "A push sets at most %d tags at once.", maxPushTags)
	}
	for _, t := range all {
		if !ValidTag(t) {
			return "", nil, wrong(CodeTagInvalid, "%.150q is not a tag: it takes letters, digits, '_', '.' and '-', at most 128, and does not begin with '.' or '-'.", t)
		}
	}
	return digest, all, nil
}

// digestLike returns body's digest in the algorithm that a digest or its name has.
func digestLike(like string, body []byte) string {
	if strings.HasPrefix(like, "sha512") {
		sum := sha512.Sum512(body)
		return "sha512:" + hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// push is one manifest on its way into the tables.
type push struct {
	*Service
	actor      identity.Actor
	repository string
	digest     string
	content    content
	size       int64
	tags       []string
	now        int64
}

func (p *push) write(ctx context.Context, tx *store.Tx) error {
	if err := lock(ctx, tx, p.repository, p.now); err != nil {
		return err
	}
	total, err := p.present(ctx, tx)
	if err != nil {
		return err
	}
	if err := p.record(ctx, tx, p.digest, p.size, p.now); err != nil {
		return err
	}
	news, err := p.row(ctx, tx, total)
	if err != nil {
		return err
	}
	moved, err := p.tag(ctx, tx)
	if err != nil {
		return err
	}
	return p.announce(ctx, tx, news, moved, total)
}

// present checks that what the manifest references is in the repository, and returns the
// bytes it adds up to.
func (p *push) present(ctx context.Context, tx *store.Tx) (total int64, err error) {
	var keptBlobs, keptManifests []Descriptor
	for _, d := range p.content.blobs {
		size, _, ok, err := linked(ctx, tx, p.repository, d.Digest)
		switch {
		case err != nil:
			return 0, err
		case !ok && !p.content.loose:
			return 0, unknown(CodeManifestBlobUnknown, "The manifest references blob %s, which repository %s does not have: push it first.", d.Digest, p.repository)
		case ok && size != d.Size && !p.content.loose:
			return 0, wrong(CodeSizeInvalid, "The manifest says that blob %s has %d bytes, but it has %d.", d.Digest, d.Size, size)
		case ok:
			total += size
			keptBlobs = append(keptBlobs, d)
		}
	}
	for _, d := range p.content.manifests {
		var size, sum int64
		err := tx.QueryRow(ctx, `SELECT size, bytes FROM registry_manifest WHERE repository = ? AND digest = ?`, p.repository, d.Digest).Scan(&size, &sum)
		switch {
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return 0, fmt.Errorf("looking for manifest %s: %w", d.Digest, err)
		case err != nil && !p.content.loose:
			return 0, unknown(CodeManifestBlobUnknown, "The index references manifest %s, which repository %s does not have: push it first.", d.Digest, p.repository)
		case err == nil && size != d.Size && !p.content.loose:
			return 0, wrong(CodeSizeInvalid, "The index says that manifest %s has %d bytes, but it has %d.", d.Digest, d.Size, size)
		case err == nil:
			total += sum
			keptManifests = append(keptManifests, d)
		}
	}
	p.content.blobs, p.content.manifests = keptBlobs, keptManifests
	return total, nil
}

// row writes the manifest and its references; news is true when the manifest is new here
// or another run pushed it now.
func (p *push) row(ctx context.Context, tx *store.Tx, total int64) (news bool, err error) {
	run := p.actor.Job.Run
	var before int64
	err = tx.QueryRow(ctx, `SELECT run FROM registry_manifest WHERE repository = ? AND digest = ?`, p.repository, p.digest).Scan(&before)
	switch {
	case err == nil:
		if run == 0 {
			run = before
		}
		_, err := tx.Exec(ctx, `UPDATE registry_manifest SET touched = ?, run = ? WHERE repository = ? AND digest = ?`, p.now, run, p.repository, p.digest)
		if err != nil {
			return false, fmt.Errorf("touching manifest %s: %w", p.digest, err)
		}
		return run != before, nil
	case !errors.Is(err, sql.ErrNoRows):
		return false, fmt.Errorf("reading manifest %s: %w", p.digest, err)
	}
	notes := "{}"
	if len(p.content.annotations) > 0 {
		b, err := json.Marshal(p.content.annotations)
		if err != nil {
			return false, fmt.Errorf("encoding annotations: %w", err)
		}
		notes = string(b)
	}
	_, err = tx.Exec(ctx, `INSERT INTO registry_manifest (repository, digest, media_type, artifact_type, kind, subject, config, annotations, size, bytes, pushed, touched, pusher, run)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`, p.repository, p.digest, p.content.mediaType, p.content.artifactType, p.content.kind, p.content.subject,
		p.content.config, notes, p.size, total, p.now, p.now, p.actor.String(), run)
	if err != nil {
		return false, fmt.Errorf("recording manifest %s: %w", p.digest, err)
	}
	return true, errors.Join(p.references(ctx, tx, "blob", p.content.blobs), p.references(ctx, tx, "manifest", p.content.manifests))
}

func (p *push) references(ctx context.Context, tx *store.Tx, kind string, ds []Descriptor) error {
	for _, d := range ds {
		_, err := tx.Exec(ctx, `INSERT INTO registry_reference (repository, manifest, kind, digest) VALUES (?,?,?,?)
			ON CONFLICT (repository, manifest, kind, digest) DO NOTHING`, p.repository, p.digest, kind, d.Digest)
		if err != nil {
			return fmt.Errorf("recording that %s references %s: %w", p.digest, d.Digest, err)
		}
	}
	return nil
}

// tag points the tags to the manifest and returns those that pointed elsewhere before. A
// manifest that loses its last tag counts as touched now, so that its age as an untagged
// one begins here.
func (p *push) tag(ctx context.Context, tx *store.Tx) (moved []string, err error) {
	for _, t := range p.tags {
		was, err := strings1(ctx, tx, `SELECT digest FROM registry_tag WHERE repository = ? AND name = ?`, p.repository, t)
		if err != nil {
			return nil, fmt.Errorf("reading tag %s: %w", t, err)
		}
		if len(was) == 1 && was[0] == p.digest {
			continue
		}
		if len(was) == 1 {
			_, err := tx.Exec(ctx, `UPDATE registry_manifest SET touched = ? WHERE repository = ? AND digest = ?`, p.now, p.repository, was[0])
			if err != nil {
				return nil, fmt.Errorf("touching manifest %s: %w", was[0], err)
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO registry_tag (repository, name, digest, updated) VALUES (?,?,?,?)
			ON CONFLICT (repository, name) DO UPDATE SET digest = excluded.digest, updated = excluded.updated`, p.repository, t, p.digest, p.now)
		if err != nil {
			return nil, fmt.Errorf("moving tag %s: %w", t, err)
		}
		moved = append(moved, t)
	}
	return moved, nil
}

// announce says in the logbook that an image is here: once for each tag that moved, once
// without a tag for a new one by digest. Referrers and other artifacts are no images.
func (p *push) announce(ctx context.Context, tx *store.Tx, news bool, moved []string, total int64) error {
	if p.content.subject != "" || p.content.kind == KindArtifact || !news && len(moved) == 0 {
		return nil
	}
	said := moved
	if len(said) == 0 {
		said = p.tags
	}
	if len(said) == 0 {
		said = []string{""}
	}
	var links []event.Link
	if p.actor.Job.Run != 0 {
		links = []event.Link{{Rel: event.RelProducedBy, To: event.OfRun(p.actor.Job.Run)}}
	}
	facts := make([]event.Fact, 0, len(said))
	for _, t := range said {
		facts = append(facts, event.Fact{
			Type: event.TypeImagePushed, Subject: event.Of(event.KindImage, p.digest), Project: ProjectOf(p.repository), Actor: p.actor.String(), Links: links,
			Payload: event.ImagePushed{V: 1, Repository: p.repository, Digest: p.digest, Tag: t, MediaType: p.content.mediaType, Bytes: total, Run: p.actor.Job.Run},
		})
	}
	return p.log.Append(ctx, tx, facts...)
}
