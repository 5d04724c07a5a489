//go:build cgo

package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/table"
)

// The bounds of one group commit, and of what may wait for one.
const (
	groupBytes = 8 << 20
	queueBytes = 64 << 20
)

// entry is one call of Append, or of Seal when freeze is set.
type entry struct {
	batches []lake.Sent
	size    int64
	freeze  bool       // the generation is to end
	done    chan error // gets one value
}

// group is entries that were synced together.
type group struct {
	entries []*entry
	batches []*table.Batch // those that are new
	freeze  bool           // somebody asks that the generation ends behind them
	through uint64         // last log file of the generation when it does end, otherwise 0
}

// Append stores batches; lake.Client says what it promises.
func (e *Engine) Append(ctx context.Context, batches []lake.Sent) error {
	t := &entry{batches: batches, done: make(chan error, 1)}
	for i := range batches {
		if err := e.normalize(&batches[i]); err != nil {
			return err
		}
		t.size += int64(len(batches[i].Raw))
	}
	if len(batches) == 0 {
		return nil
	}
	if err := e.enter(t); err != nil {
		if fault.Is(err, fault.Unavailable) {
			e.count.refused.Add(1)
		}
		return err
	}
	select {
	case err := <-t.done:
		if fault.Is(err, fault.Unavailable) {
			e.count.refused.Add(1)
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("storing batches: %w", ctx.Err())
	}
}

// enter puts an entry into the queue when there is room.
func (e *Engine) enter(t *entry) error {
	leave, ok := e.gate.enter()
	if !ok {
		return unavailable(nil, "The log engine is being stopped.", time.Second)
	}
	defer leave()
	if len(t.batches) > 0 {
		if e.gate.lag != nil {
			return e.gate.lag
		}
		if e.count.queued.Load() > queueBytes {
			return unavailable(nil, "The log engine has more to store than it can take at the moment.", time.Second)
		}
	}
	e.count.queued.Add(t.size)
	select {
	case e.queue <- t:
		return nil
	default:
		e.count.queued.Add(-t.size)
		return unavailable(nil, "The log engine has more to store than it can take at the moment.", time.Second)
	}
}

func unavailable(cause error, message string, after time.Duration) error {
	return fault.Wrap(fault.Unavailable, cause, "%s", message).WithNext("the sender keeps the rows and tries again").WithAfter(after)
}

// gate says whether appends are let in.
type gate struct {
	mu     sync.RWMutex
	closed bool
	full   bool  // the disk is
	lag    error // why sealing does not keep up
}

// enter holds the gate open until leave is called; it is not ok when the lake is closed.
func (g *gate) enter() (leave func(), ok bool) {
	g.mu.RLock()
	if g.closed {
		g.mu.RUnlock()
		return nil, false
	}
	return g.mu.RUnlock, true
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// setFull notes whether the disk is full, and reports whether that is news.
func (g *gate) setFull(full bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	news := g.full != full
	g.full = full
	return news
}

func (g *gate) setLag(why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lag = why
}

func (g *gate) isFull() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.full
}

// normalize checks a batch against the catalogue and mends what DuckDB would not take: text
// that is no UTF-8, and rows without a time, which get that of their arrival.
func (e *Engine) normalize(s *lake.Sent) error {
	b := s.Batch
	t := e.tables[b.Table]
	if t == nil {
		return fault.New(fault.Invalid, "There is no table %q.", b.Table)
	}
	changed := false
	for i, c := range b.Columns {
		at := t.Place(c.Name)
		if at < 0 || t.Columns[at].Kind != c.Kind {
			return fault.New(fault.Invalid, "The table %s has no column %s of the type %s.", t.Name, c.Name, c.Kind)
		}
		for k, x := range b.Vectors[i].Text {
			if !utf8.ValidString(x) {
				b.Vectors[i].Text[k], changed = strings.ToValidUTF8(x, "\uFFFD"), true
			}
		}
	}
	at := b.Index(table.TimeGenerated)
	if at < 0 {
		b.Put(table.Column{Name: table.TimeGenerated, Kind: table.DateTime}, table.Nulls(table.DateTime, b.Rows()))
		at = b.Index(table.TimeGenerated)
	}
	v := &b.Vectors[at]
	for i := range v.Int {
		if v.IsNull(i) || v.Int[i] == math.MinInt64 {
			v.Int[i], changed = table.TicksOf(e.clock.Now()), true
		}
	}
	if v.Null = nil; changed {
		s.Raw = table.Encode(nil, b)
	}
	return nil
}

// pace is how much the current generation has of what ends it.
type pace struct {
	rows, bytes int64
	began       time.Time // monotonic: a clock that jumps does not seal
}

func (p *pace) add(e *Engine, batches []*table.Batch) {
	if p.rows == 0 {
		p.began = time.Now()
	}
	for _, b := range batches {
		p.rows += int64(b.Rows())
		p.bytes += weight(b, len(e.tables[b.Table].Columns))
	}
}

func (p *pace) full(o lake.SealOptions) bool {
	return p.rows > 0 && (p.rows >= int64(o.Rows) || p.bytes >= o.Bytes || time.Since(p.began) >= o.Age)
}

// commit writes what is in the queue into the log, group by group, and passes it on. A
// group is what came while the one before was synced, so an idle log syncs at once.
func (e *Engine) commit(ctx context.Context) {
	defer close(e.logged)
	age := time.NewTicker(min(time.Second, max(e.options.Seal.Age/4, time.Millisecond)))
	defer age.Stop()
	for {
		g := &group{}
		select {
		case t := <-e.queue:
			e.gather(g, t)
		case <-age.C:
			if !e.pace.full(e.options.Seal) {
				continue
			}
		case <-ctx.Done():
			if g = e.last(); g == nil {
				return
			}
		}
		if !e.write(g) {
			continue
		}
		if len(g.batches) > 0 {
			e.pace.add(e, g.batches)
		}
		if e.pace.rows > 0 && (g.freeze || e.pace.full(e.options.Seal)) {
			e.cut(g)
		}
		e.logged <- g
	}
}

// gather adds an entry, and what waits behind it, to a group.
func (e *Engine) gather(g *group, t *entry) {
	size := int64(0)
	for {
		g.entries = append(g.entries, t)
		g.freeze = g.freeze || t.freeze
		size += t.size
		if size >= groupBytes || g.freeze {
			return
		}
		select {
		case t = <-e.queue:
		default:
			return
		}
	}
}

// last gathers what is still in the queue when the lake is being closed, nil when nothing is.
func (e *Engine) last() *group {
	select {
	case t := <-e.queue:
		g := &group{}
		e.gather(g, t)
		return g
	default:
		return nil
	}
}

// write puts the new batches of a group into the log. It reports whether the group goes on;
// otherwise its entries were told.
func (e *Engine) write(g *group) bool {
	var records [][]byte
	ids := map[[16]byte]bool{}
	duplicates := int64(0)
	for _, t := range g.entries {
		e.count.queued.Add(-t.size)
		for _, s := range t.batches {
			if id := s.Batch.ID; id != ([16]byte{}) {
				if ids[id] || e.recent.has(id) {
					duplicates++
					continue
				}
				ids[id] = true
			}
			if s.Batch.Rows() == 0 {
				continue
			}
			records, g.batches = append(records, s.Raw), append(g.batches, s.Batch)
		}
	}
	if len(records) > 0 {
		if err := e.store(records); err != nil {
			for _, t := range g.entries {
				t.done <- err
			}
			return false
		}
	}
	for id := range ids {
		e.recent.add(id)
	}
	e.count.duplicates.Add(duplicates)
	e.count.batches.Add(int64(len(records)))
	return true
}

// store writes records, unless the disk has no room for them.
func (e *Engine) store(records [][]byte) error {
	size := int64(0)
	for _, r := range records {
		size += int64(len(r))
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(e.options.Dir, &fs); err == nil && int64(fs.Bavail)*fs.Bsize < e.options.MinFree+size {
		return e.full(syscall.ENOSPC)
	}
	err := e.log.Write(records...)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return e.full(err)
	}
	if err != nil {
		e.logger.Error("cannot write the log", "error", err)
		return unavailable(err, "The log engine cannot write to its disk.", 5*time.Second)
	}
	if e.gate.setFull(false) {
		e.logger.Info("the disk has room again; rows are taken")
	}
	return nil
}

// full notes that the disk is full. Appends are tried all the same, so that the first that
// finds room ends it.
func (e *Engine) full(cause error) error {
	if e.gate.setFull(true) {
		e.logger.Error("the disk is full; rows are refused until there is room", "error", cause)
	}
	return unavailable(cause, "The disk that holds the logs is full; nothing was stored.", 5*time.Second)
}

// cut ends the log file, so that the generation ends with it. A full disk may not let it;
// then the generation goes on.
func (e *Engine) cut(g *group) {
	n, err := e.log.Rotate()
	if err != nil {
		e.logger.Error("cannot begin a log file", "error", err)
		return
	}
	g.through = n
	e.pace = pace{}
}

// weight estimates what a batch takes in a hot table of so many columns.
func weight(b *table.Batch, columns int) int64 {
	n := int64(b.Rows()) * int64(columns) * 14
	for _, v := range b.Vectors {
		last := ""
		for _, s := range v.Text {
			if len(s) > 12 && s != last {
				n += int64(len(s))
			}
			last = s
		}
	}
	return n
}
