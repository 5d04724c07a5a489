//go:build cgo

package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake/segment"
)

// mirrorPause is the longest pause between two attempts to reach the blob store.
const mirrorPause = time.Minute

// mirror keeps the blob store up to date, after the fact: a bucket that is away holds up
// neither appends nor seals, and the folder keeps what it does not have yet.
func (e *Engine) mirror(ctx context.Context) {
	if !e.files.Remote() {
		return
	}
	pause := time.Second
	if err := e.files.Sweep(ctx, e.clock.Now()); err != nil {
		e.logger.Warn("cannot remove what interrupted uploads left in the blob store", "error", err) // At the next start.
	}
	for {
		err := e.reflect(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			pause = time.Second
			select {
			case <-ctx.Done():
				return
			case <-e.wake:
			}
			continue
		}
		e.logger.Error("the blob store does not have all segments; they stay on disk", "error", err, "again_in", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, mirrorPause)
	}
}

// wakeMirror says that something changed.
func (e *Engine) wakeMirror() {
	select {
	case e.wake <- struct{}{}:
	default: // It will look anyway.
	}
}

// identify gives the lake a name when its segments live in a blob store. A lake with an empty
// folder takes over the segments of which the blob store has a list: its folder was lost.
func (e *Engine) identify(ctx context.Context) error {
	if !e.files.Remote() || e.manifest.Lake != "" {
		return nil
	}
	if e.manifest.Fresh() {
		// Without an answer nobody knows whether there is something to take over.
		found, err := e.files.Published(ctx)
		if err != nil {
			return err
		}
		if found != nil {
			e.logger.Warn("the folder of the lake is new; the segments in the blob store are taken over", "segments", len(found.Segments), "of", found.Lake)
			e.manifest = found
			e.manifest.Before = found.Lake
		}
	}
	e.manifest.Lake = rand.Text()
	return e.manifest.Save(e.options.Dir)
}

// reflect brings the blob store up to date once.
func (e *Engine) reflect(ctx context.Context) error {
	e.mirrors.Lock()
	defer e.mirrors.Unlock()
	if err := e.own(ctx); err != nil {
		return err
	}
	err := errors.Join(e.sharpen(ctx), e.upload(ctx), e.publish(ctx))
	if err == nil {
		// Only what the published list no longer names may go.
		err = e.sweep(ctx)
	}
	return err
}

// snapshot returns the manifest as it is now.
func (e *Engine) snapshot() segment.Manifest {
	e.manifests.Lock()
	defer e.manifests.Unlock()
	m := *e.manifest
	m.Segments, m.Trash = slices.Clone(m.Segments), slices.Clone(m.Trash)
	return m
}

// own makes sure that no other lake keeps its segments in the same place: two would remove
// each other's.
func (e *Engine) own(ctx context.Context) error {
	found, err := e.files.Published(ctx)
	if err != nil {
		return err
	}
	mine := e.snapshot()
	if found != nil && found.Lake != mine.Lake && found.Lake != mine.Before {
		return fault.New(fault.Conflict, "Another lake keeps its segments in the same folder of the bucket.").
			WithNext("give one of the two installations a folder of its own with rootdirectory in --s3")
	}
	e.published = found
	return nil
}

// sharpen fetches the indexes that could not be fetched before.
func (e *Engine) sharpen(ctx context.Context) error {
	known := map[uint64]segment.Info{}
	for _, i := range e.snapshot().Segments {
		known[i.ID] = i
	}
	for _, s := range e.counting() {
		i, ok := known[s.info.ID]
		if !ok || !s.index.IsBlunt() {
			continue
		}
		if err := e.files.FetchIndex(ctx, i); err != nil {
			return err
		}
		x, err := segment.ReadIndex(e.files.IndexPath(i.ID))
		if err != nil {
			e.logger.Warn("an index from the blob store cannot be read", "segment", i.ID, "error", err)
			continue
		}
		e.mu.Lock()
		// One that is being read stays blunt until a later look.
		if at := slices.Index(e.segments, s); at >= 0 && s.users == 0 {
			e.segments[at] = &sealed{info: s.info, index: x}
		}
		e.mu.Unlock()
	}
	return nil
}

// upload stores the segments that the blob store does not have.
func (e *Engine) upload(ctx context.Context) error {
	for _, i := range e.snapshot().Segments {
		if i.Data != "" {
			continue
		}
		err := e.files.Upload(ctx, &i)
		if errors.Is(err, os.ErrNotExist) {
			continue // It was replaced meanwhile.
		}
		if err != nil {
			return err
		}
		still := false
		err = e.change(func(m *segment.Manifest) {
			at := slices.IndexFunc(m.Segments, func(k segment.Info) bool { return k.ID == i.ID })
			if still = at >= 0; still {
				m.Segments[at] = i
			} else { // It was replaced meanwhile; what is in the blob store now goes as well.
				m.Trash = append(slices.DeleteFunc(m.Trash, func(k segment.Info) bool { return k.ID == i.ID }), i)
			}
		})
		if err != nil {
			return err
		}
		if still {
			e.files.Uploaded(i)
		}
	}
	return nil
}

// publish writes the list of segments into the blob store when it has all of them: a list
// with some of them would say that the log files of the others are not needed either.
func (e *Engine) publish(ctx context.Context) error {
	m := e.snapshot()
	if !m.Complete() || e.published != nil && sameSegments(e.published, &m) {
		return nil
	}
	return e.files.Publish(ctx, &m)
}

func sameSegments(a, b *segment.Manifest) bool {
	return a.Lake == b.Lake && a.Sealed == b.Sealed && slices.EqualFunc(a.Segments, b.Segments, func(x, y segment.Info) bool { return x.ID == y.ID && x.Data == y.Data })
}

// sweep removes from the blob store what counts no more and nobody reads.
func (e *Engine) sweep(ctx context.Context) error {
	m := e.snapshot()
	if !m.Complete() {
		return nil // The published list may still name some of it.
	}
	gone := map[uint64]bool{}
	var failed error
	for _, i := range m.Trash {
		if e.isRead(i.ID) {
			continue
		}
		if failed = e.files.RemoveRemote(ctx, i); failed != nil {
			break
		}
		gone[i.ID] = true
	}
	if len(gone) == 0 {
		return failed
	}
	err := e.change(func(m *segment.Manifest) {
		m.Trash = slices.DeleteFunc(m.Trash, func(i segment.Info) bool { return gone[i.ID] })
	})
	if err != nil {
		err = fmt.Errorf("noting what was removed: %w", err)
	}
	return errors.Join(failed, err)
}

// isRead reports whether a query reads a segment that counts no more, or may still begin to.
func (e *Engine) isRead(id uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.going[id] || slices.ContainsFunc(e.segments, func(s *sealed) bool { return s.info.ID == id })
}

// unsent returns how many segments the blob store does not have, 0 without one.
func (e *Engine) unsent() int {
	n := 0
	if e.files.Remote() {
		for _, i := range e.snapshot().Segments {
			if i.Data == "" {
				n++
			}
		}
	}
	return n
}
