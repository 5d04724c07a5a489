package registry

import (
	"context"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Delete removes a tag, or a manifest by digest with every tag that points to it. A
// manifest that an index holds is refused with CodeInUse. Its referrers stay until the
// collector finds that their subject is gone.
func (s *Service) Delete(ctx context.Context, a identity.Actor, repository, reference string) error {
	if err := s.mayDelete(ctx, a, repository); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		m, err := resolve(ctx, tx, repository, reference)
		if err != nil {
			return err
		}
		now := s.now()
		if err := lock(ctx, tx, repository, now); err != nil {
			return err
		}
		if strings.Contains(reference, ":") {
			if err := erase(ctx, tx, m, now); err != nil {
				return err
			}
			return s.announceRemoval(ctx, tx, a, m, "")
		}
		if _, err := tx.Exec(ctx, `DELETE FROM registry_tag WHERE repository = ? AND name = ?`, repository, reference); err != nil {
			return fmt.Errorf("deleting tag %s: %w", reference, err)
		}
		if _, err := tx.Exec(ctx, `UPDATE registry_manifest SET touched = ? WHERE repository = ? AND digest = ?`, now, repository, m.Digest); err != nil {
			return fmt.Errorf("touching manifest %s: %w", m.Digest, err)
		}
		return s.announceRemoval(ctx, tx, a, m, reference)
	})
}

// erase takes a manifest, its tags and its references out of the tables.
func erase(ctx context.Context, tx *store.Tx, m Manifest, now int64) error {
	parents, err := strings1(ctx, tx, `SELECT manifest FROM registry_reference WHERE repository = ? AND digest = ? AND kind = 'manifest' LIMIT 1`, m.Repository, m.Digest)
	if err != nil {
		return fmt.Errorf("looking for indexes that hold %s: %w", m.Digest, err)
	}
	if len(parents) > 0 {
		return conflict(CodeInUse, "Manifest %s is part of the index %s: delete that first.", m.Digest, parents[0])
	}
	for _, q := range []string{
		`DELETE FROM registry_tag WHERE repository = ? AND digest = ?`,
		`DELETE FROM registry_reference WHERE repository = ? AND manifest = ?`,
		`DELETE FROM registry_manifest WHERE repository = ? AND digest = ?`,
	} {
		if _, err := tx.Exec(ctx, q, m.Repository, m.Digest); err != nil {
			return fmt.Errorf("deleting manifest %s: %w", m.Digest, err)
		}
	}
	// Its referrers are orphans from now on; their grace begins here.
	if _, err := tx.Exec(ctx, `UPDATE registry_manifest SET touched = ? WHERE repository = ? AND subject = ?`, now, m.Repository, m.Digest); err != nil {
		return fmt.Errorf("touching referrers of %s: %w", m.Digest, err)
	}
	return nil
}

func (s *Service) announceRemoval(ctx context.Context, tx *store.Tx, a identity.Actor, m Manifest, tag string) error {
	if m.Subject != "" || m.Kind == KindArtifact {
		return nil
	}
	return s.log.Append(ctx, tx, event.Fact{
		Type: event.TypeImageDeleted, Subject: event.Of(event.KindImage, m.Digest), Project: ProjectOf(m.Repository), Actor: a.String(),
		Payload: event.ImageDeleted{V: 1, Repository: m.Repository, Digest: m.Digest, Tag: tag},
	})
}
