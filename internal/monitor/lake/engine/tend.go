//go:build cgo

package engine

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/segment"
)

// tendEvery is how often segments are looked after.
const tendEvery = 15 * time.Second

// Segments of a table are put together when there are compactCount of a size.
const (
	compactCount = 8
	// sortedGroups is up to how many groups of rows are sorted anew; larger segments are
	// joined as they are, group behind group, which needs hardly any memory.
	sortedGroups = 4
	joinedGroups = 32
	maxMerge     = 256 // segments at once
)

// tend compacts small segments, lets old ones go and keeps the cache within its limit.
func (e *Engine) tend(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	j := newJumps(e.clock.Now(), e.youngest())
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := e.compact(ctx); err != nil && ctx.Err() == nil {
			e.logger.Error("cannot compact segments", "error", err)
		}
		if now := e.clock.Now(); j.look(now) {
			if err := errors.Join(e.restamp(now), e.expire(now)); err != nil {
				e.logger.Error("cannot let old segments go", "error", err)
			}
		}
		e.files.Evict(e.inUse)
	}
}

// jumps notices a wall clock that jumped: by it nothing is let go for an hour, in which a
// person or a time server can set it right.
type jumps struct {
	wall, steady time.Time
	until        time.Time
}

// maxJump is what two clocks may differ between two looks.
const maxJump = time.Hour

// newJumps begins with a wall clock that may have jumped while no lake ran: newest is when the
// last rows came before, the zero time when none did.
func newJumps(wall, newest time.Time) *jumps {
	j := &jumps{wall: wall, steady: time.Now()}
	if d := wall.Sub(newest); !newest.IsZero() && (d > maxJump || d < -maxJump) {
		j.until = j.steady.Add(time.Hour) // Or nothing came for that long; then an hour does no harm.
	}
	return j
}

// look reports whether the wall clock may be trusted.
func (j *jumps) look(wall time.Time) bool {
	steady := time.Now()
	if d := wall.Sub(j.wall) - steady.Sub(j.steady); d > maxJump || d < -maxJump {
		j.until = steady.Add(time.Hour)
	}
	j.wall, j.steady = wall, steady
	return !steady.Before(j.until)
}

// youngest returns when the youngest sealed rows came.
func (e *Engine) youngest() time.Time {
	var out time.Time
	for _, s := range e.counting() {
		if s.info.Arrived.After(out) {
			out = s.info.Arrived
		}
	}
	return out
}

// restamp lets rows come now that came, by a clock that was ahead, in the future: otherwise
// they would stay until then and for the time of their retention.
func (e *Engine) restamp(now time.Time) error {
	ahead := map[uint64]bool{}
	for _, s := range e.counting() {
		if s.info.Arrived.Sub(now) > maxJump {
			ahead[s.info.ID] = true
		}
	}
	if len(ahead) == 0 {
		return nil
	}
	e.logger.Warn("rows came in the future, by a clock that was ahead; their time to stay begins now", "segments", len(ahead))
	err := e.change(func(m *segment.Manifest) {
		for i := range m.Segments {
			if ahead[m.Segments[i].ID] {
				m.Segments[i].Arrived = now
			}
		}
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for at, s := range e.segments {
		if ahead[s.info.ID] && s.users == 0 { // The others at a later look.
			s := &sealed{info: s.info, index: s.index}
			s.info.Arrived = now
			e.segments[at] = s
		}
	}
	return nil
}

func (e *Engine) inUse(id uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.segments, func(s *sealed) bool { return s.info.ID == id && s.users > 0 })
}

// counting returns the segments that count now.
func (e *Engine) counting() []*sealed {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.segments)
}

// expire lets the segments go whose rows have stayed as long as they may, counted from
// their arrival, and the oldest while all take more than they may.
func (e *Engine) expire(now time.Time) error {
	var leave, stay []*sealed
	total := int64(0)
	for _, s := range e.counting() {
		keep, own := e.options.Retention[s.info.Table]
		if !own {
			keep = e.options.Retention[""]
		}
		if keep > 0 && now.Sub(s.info.Arrived) > keep {
			leave = append(leave, s)
			continue
		}
		stay = append(stay, s)
		total += s.info.Stored()
	}
	if e.options.MaxBytes > 0 {
		slices.SortStableFunc(stay, func(a, b *sealed) int { return a.info.Arrived.Compare(b.info.Arrived) })
		for _, s := range stay {
			if total <= e.options.MaxBytes {
				break
			}
			total -= s.info.Stored()
			leave = append(leave, s)
		}
	}
	if len(leave) == 0 {
		return nil
	}
	if err := e.replace(nil, leave); err != nil {
		return err
	}
	e.count.expired.Add(int64(len(leave)))
	return nil
}

// replace makes some segments count and others not, on disk and then for queries.
func (e *Engine) replace(come, leave []*sealed) error {
	err := e.change(func(m *segment.Manifest) {
		var stay []segment.Info
		for _, i := range m.Segments {
			if slices.ContainsFunc(leave, func(s *sealed) bool { return s.info.ID == i.ID }) {
				m.Trash = append(m.Trash, i) // As the manifest has it: with what the blob store calls it.
			} else {
				stay = append(stay, i)
			}
		}
		m.Segments = stay
		for _, s := range come {
			m.Segments = append(m.Segments, s.info)
		}
	})
	if err == nil {
		e.swap(nil, come, leave)
		e.wakeMirror()
	}
	return err
}

// compact puts small segments of a table together, and middling ones.
func (e *Engine) compact(ctx context.Context) error {
	group := int64(e.options.Seal.Group)
	for _, tier := range []struct{ from, below, most int64 }{{0, group, sortedGroups * group}, {group, joinedGroups / 2 * group, joinedGroups * group}} {
		found := map[string][]*sealed{}
		for _, s := range e.counting() {
			if s.info.Rows >= tier.from && s.info.Rows < tier.below {
				found[s.info.Table] = append(found[s.info.Table], s)
			}
		}
		for name, list := range found {
			if len(list) < compactCount {
				continue
			}
			if err := e.merge(ctx, name, first(list, tier.most)); err != nil {
				return err
			}
		}
	}
	return nil
}

// first returns the oldest segments that have at most so many rows together.
func first(list []*sealed, most int64) []*sealed {
	slices.SortFunc(list, func(a, b *sealed) int { return a.info.Arrived.Compare(b.info.Arrived) })
	rows := int64(0)
	for i, s := range list {
		if rows += s.info.Rows; rows > most || i == maxMerge {
			return list[:i]
		}
	}
	return list
}

// merge writes segments as one and exchanges them for it.
func (e *Engine) merge(ctx context.Context, name string, list []*sealed) error {
	t := e.tables[name]
	if t == nil {
		return nil // A table of another version; its segments stay as they are.
	}
	v := &view{segments: list}
	e.mu.Lock()
	for _, s := range list {
		s.users++
	}
	e.mu.Unlock()
	defer e.leave(v)
	rows, arrived := int64(0), time.Time{}
	for _, s := range list {
		rows += s.info.Rows
		if s.info.Arrived.After(arrived) {
			arrived = s.info.Arrived
		}
	}
	p := &scanPlan{Scan: lake.Scan{Table: name, All: true}, table: t, files: e.files}
	if err := p.prepare(); err != nil {
		return err
	}
	if err := p.choose(ctx, v, &lake.Stats{}); err != nil {
		return err
	}
	s, err := e.writeSegment(ctx, source{table: t, sql: p.sql(v), rows: rows, arrived: arrived, ordered: rows > sortedGroups*int64(e.options.Seal.Group)})
	if err != nil {
		return err
	}
	if err := e.replace([]*sealed{s}, list); err != nil {
		e.dropFiles([]*sealed{s})
		return err
	}
	e.count.compacted.Add(1)
	return nil
}

// Stats returns what the lake holds.
func (e *Engine) Stats(context.Context) (*lake.Usage, error) {
	c := &e.count
	u := &lake.Usage{
		Tables: map[string]lake.TableUsage{}, WALBytes: e.log.Size(), Queue: c.queued.Load(), Appended: c.appended.Load(), Batches: c.batches.Load(),
		Duplicates: c.duplicates.Load(), Refused: c.refused.Load(), Queries: c.queries.Load(), TooLarge: c.tooLarge.Load(), Seals: c.seals.Load(),
		Compacted: c.compacted.Load(), Expired: c.expired.Load(), RSS: resident(), DiskFull: e.gate.isFull(), Unsent: e.unsent(),
	}
	v := e.look()
	defer e.leave(v)
	for _, rows := range v.rows {
		for name, n := range rows {
			t := u.Tables[name]
			t.HotRows += n
			u.Tables[name] = t
		}
	}
	for _, s := range v.segments {
		t := u.Tables[s.info.Table]
		t.SealedRows += s.info.Rows
		t.Segments++
		t.Raw += s.info.Raw
		t.Stored += s.info.Stored()
		u.Tables[s.info.Table] = t
	}
	return u, nil
}

// resident returns the memory of this process in bytes, 0 where the kernel does not say.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
