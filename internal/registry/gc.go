package registry

import (
	"context"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Collected is what one round of the collector removed.
type Collected struct {
	Manifests int
	Links     int   // blobs that left a repository
	Blobs     int   // blobs whose bytes are gone
	Bytes     int64 // of those
	Uploads   int
}

// collectBatch is how many things the collector looks at in one transaction, so that
// pushes come in between.
const collectBatch = 200

// CollectForever runs Collect every so often until ctx ends, and returns nil.
func (s *Service) CollectForever(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		c, err := s.Collect(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.opt.Log.Error("collecting unused images", "error", err)
		case c != Collected{}:
			s.opt.Log.Info("collected unused images", "manifests", c.Manifests, "blobs", c.Blobs, "bytes", c.Bytes, "uploads", c.Uploads)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Collect removes what nothing needs any more and what has rested for its time: orphaned
// referrers, untagged images when Options.Untagged is set, links and bytes of blobs that
// no manifest references, and unfinished uploads. Pushes and pulls go on meanwhile. One
// process runs it at a time.
//
// What it takes is decided again inside the transaction that takes it, with the
// repository's row held; bytes go in three steps (doom the row, remove the bytes, remove
// the row), so that a push of the same bytes either finds them or is told to send them
// again. See record.
func (s *Service) Collect(ctx context.Context) (Collected, error) {
	var c Collected
	for _, step := range []func(context.Context, *Collected) (int, error){s.collectManifests, s.collectLinks, s.collectBlobs, s.collectUploads} {
		for {
			n, err := step(ctx, &c)
			if err != nil {
				return c, err
			}
			if n == 0 {
				break
			}
		}
	}
	return c, nil
}

// dead is the condition under which a manifest m may go; its parameters are the age limits
// for orphaned referrers and for untagged images. A tag keeps a manifest, and so does an
// index that names it. A referrer lives and dies with its subject.
const dead = `NOT EXISTS (SELECT 1 FROM registry_tag t WHERE t.repository = m.repository AND t.digest = m.digest)
	AND NOT EXISTS (SELECT 1 FROM registry_reference p WHERE p.repository = m.repository AND p.digest = m.digest AND p.kind = 'manifest')
	AND ((m.subject <> '' AND m.touched < ? AND NOT EXISTS (SELECT 1 FROM registry_manifest s WHERE s.repository = m.repository AND s.digest = m.subject))
	  OR (m.subject = '' AND m.touched < ?))`

func (s *Service) collectManifests(ctx context.Context, c *Collected) (int, error) {
	now := s.now()
	orphans, untagged := now-s.opt.Grace.Milliseconds(), int64(0)
	if s.opt.Untagged > 0 {
		untagged = now - s.opt.Untagged.Milliseconds()
	}
	ms, err := readManifests(ctx, s.db, `SELECT `+manifestColumns+` FROM registry_manifest m WHERE `+dead+` LIMIT ?`, orphans, untagged, collectBatch)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, m := range ms {
		gone := false
		err := s.db.Tx(ctx, func(tx *store.Tx) error {
			if err := lock(ctx, tx, m.Repository, now); err != nil {
				return err
			}
			still, err := exists(ctx, tx, `SELECT 1 FROM registry_manifest m WHERE m.repository = ? AND m.digest = ? AND `+dead, m.Repository, m.Digest, orphans, untagged)
			if err != nil || !still {
				return err
			}
			gone = true
			if err := erase(ctx, tx, m, now); err != nil {
				return err
			}
			return s.announceRemoval(ctx, tx, identity.SystemActor("registry"), m, "")
		})
		if err != nil {
			return n, fmt.Errorf("collecting manifest %s of %s: %w", m.Digest, m.Repository, err)
		}
		if gone {
			n++
		}
	}
	c.Manifests += n
	return n, nil
}

// idle is the condition under which a blob may leave a repository.
const idle = `touched < ? AND NOT EXISTS (SELECT 1 FROM registry_reference r
	WHERE r.repository = registry_blob_link.repository AND r.digest = registry_blob_link.digest AND r.kind = 'blob')`

func (s *Service) collectLinks(ctx context.Context, c *Collected) (int, error) {
	now := s.now()
	before := now - s.opt.Grace.Milliseconds()
	repositories, err := strings1(ctx, s.db, `SELECT DISTINCT repository FROM registry_blob_link WHERE `+idle+` LIMIT ?`, before, collectBatch)
	if err != nil {
		return 0, fmt.Errorf("looking for unused blobs: %w", err)
	}
	n := 0
	for _, repository := range repositories {
		err := s.db.Tx(ctx, func(tx *store.Tx) error {
			if err := lock(ctx, tx, repository, now); err != nil {
				return err
			}
			r, err := tx.Exec(ctx, `DELETE FROM registry_blob_link WHERE repository = ? AND `+idle, repository, before)
			if err != nil {
				return err
			}
			k, err := r.RowsAffected()
			n += int(k)
			return err
		})
		if err != nil {
			return n, fmt.Errorf("collecting blobs of %s: %w", repository, err)
		}
	}
	c.Links += n
	return n, nil
}

// unused is the condition under which bytes may go.
const unused = `touched < ? AND NOT EXISTS (SELECT 1 FROM registry_blob_link l WHERE l.digest = registry_blob.digest)
	AND NOT EXISTS (SELECT 1 FROM registry_manifest m WHERE m.digest = registry_blob.digest)`

func (s *Service) collectBlobs(ctx context.Context, c *Collected) (int, error) {
	before := s.now() - s.opt.Grace.Milliseconds()
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE registry_blob SET doomed = 1 WHERE digest IN (SELECT digest FROM registry_blob WHERE doomed = 0 AND `+unused+` LIMIT ?)
			AND `+unused, before, collectBatch, before)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("choosing unused blobs: %w", err)
	}
	// Rows that an interrupted round doomed are found here too.
	doomed, err := strings1(ctx, s.db, `SELECT digest FROM registry_blob WHERE doomed = 1 LIMIT ?`, collectBatch)
	if err != nil {
		return 0, fmt.Errorf("reading unused blobs: %w", err)
	}
	for _, d := range doomed {
		if err := s.blobs.Delete(ctx, d); err != nil && !fault.Is(err, fault.NotFound) {
			return 0, fmt.Errorf("removing blob %s: %w", d, err)
		}
		var size int64
		err := s.db.Tx(ctx, func(tx *store.Tx) error {
			if err := tx.QueryRow(ctx, `SELECT size FROM registry_blob WHERE digest = ?`, d).Scan(&size); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `DELETE FROM registry_blob WHERE digest = ? AND doomed = 1`, d)
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("forgetting blob %s: %w", d, err)
		}
		c.Blobs++
		c.Bytes += size
	}
	return len(doomed), nil
}

// collectUploads drops uploads by the age of their row. The bytes of one that is still
// fed are younger than that by as long as one request takes, which is not days.
func (s *Service) collectUploads(ctx context.Context, c *Collected) (int, error) {
	ids, err := strings1(ctx, s.db, `SELECT id FROM registry_upload WHERE touched < ? LIMIT ?`, s.now()-s.opt.Uploads.Milliseconds(), collectBatch)
	if err != nil {
		return 0, fmt.Errorf("looking for old uploads: %w", err)
	}
	n := 0
	for _, id := range ids {
		release, err := s.hold(id)
		if err != nil {
			continue
		}
		err = s.forget(ctx, id)
		release()
		if err != nil {
			return n, err
		}
		n++
	}
	c.Uploads += n
	if n > 0 {
		return n, nil
	}
	// What is left has no row: a call that was interrupted wrote it.
	swept, err := s.blobs.Sweep(ctx, s.clock.Now().Add(-s.opt.Uploads))
	if err != nil {
		return 0, fmt.Errorf("sweeping uploads: %w", err)
	}
	c.Uploads += swept
	return 0, nil
}
