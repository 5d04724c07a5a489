//go:build cgo

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/monitor/lake/engine/duck"
	"towpath.dev/towpath/internal/monitor/lake/segment"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/table/sqltype"
)

// groupColumn numbers the row groups of all segments in the Parquet files: a condition on
// it makes DuckDB read the groups that are asked for and no others.
const groupColumn = "_group"

// groupsPerSegment is the distance between the numbers of two segments' first groups.
const groupsPerSegment = 1 << 12

// Seal makes segments of all hot rows and returns when they are durable.
func (e *Engine) Seal(ctx context.Context) error {
	t := &entry{freeze: true, done: make(chan error, 1)}
	if err := e.enter(t); err != nil {
		return err
	}
	select {
	case err := <-t.done:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return fmt.Errorf("sealing: %w", ctx.Err())
	}
	for _, done := range e.await() {
		select {
		case err := <-done:
			if err != nil {
				return unavailable(err, "The hot rows cannot be written as segments at the moment; they stay where they are.", 5*time.Second)
			}
		case <-ctx.Done():
			return fmt.Errorf("sealing: %w", ctx.Err())
		}
	}
	return nil
}

// await returns for each generation that waits to be sealed what will get the outcome.
func (e *Engine) await() []chan error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []chan error
	for _, g := range e.hot[:len(e.hot)-1] {
		done := make(chan error, 1)
		g.waiters = append(g.waiters, done)
		out = append(out, done)
	}
	return out
}

// tell gives the outcome of an attempt to those who wait for it.
func (e *Engine) tell(g *generation, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range g.waiters {
		w <- err
	}
	g.waiters = nil
}

// seal writes frozen generations as segments, one after the other, each until it can.
func (e *Engine) seal(ctx context.Context) {
	for g := range e.sealer {
		pause := 100 * time.Millisecond
		for ctx.Err() == nil { // When it has ended the rows stay in the log.
			err := e.sealOne(ctx, g)
			e.tell(g, err)
			if err == nil {
				break
			}
			if ctx.Err() == nil {
				e.logger.Error("cannot seal hot rows; trying again", "error", err, "again_in", pause)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, 10*time.Second)
		}
		if e.waiting() <= maxLag {
			e.gate.setLag(nil)
		}
	}
}

// waiting returns how many generations are frozen and not sealed.
func (e *Engine) waiting() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.hot) - 1
}

// sealOne writes the segments of a generation, commits them, and lets the hot rows go.
func (e *Engine) sealOne(ctx context.Context, g *generation) error {
	var come []*sealed
	var names []string
	for name := range g.rows {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t := e.tables[name]
		s, err := e.writeSegment(ctx, source{table: t, sql: "SELECT * FROM " + duck.Name(g.table(name)), rows: g.rows[name], arrived: e.clock.Now()})
		if err != nil {
			e.dropFiles(come)
			return err
		}
		come = append(come, s)
	}
	if err := e.recent.save(e.path("recent")); err != nil {
		e.dropFiles(come)
		return err
	}
	err := e.change(func(m *segment.Manifest) {
		m.Sealed = max(m.Sealed, g.frozen)
		for _, s := range come {
			m.Segments = append(m.Segments, s.info)
		}
	})
	if err != nil {
		e.dropFiles(come)
		return err
	}
	e.swap(g, come, nil)
	e.wakeMirror()
	e.count.seals.Add(1)
	if e.log == nil {
		return nil // It is being replayed; a later Drop takes these files too.
	}
	if err := e.log.Drop(g.frozen); err != nil {
		e.logger.Warn("cannot remove log files that are sealed", "error", err) // Done at the next start.
	}
	return nil
}

// change changes the manifest, on disk and then in memory.
func (e *Engine) change(f func(*segment.Manifest)) error {
	e.manifests.Lock()
	defer e.manifests.Unlock()
	next := *e.manifest
	next.Segments, next.Trash = slices.Clone(next.Segments), slices.Clone(next.Trash)
	f(&next)
	if err := next.Save(e.options.Dir); err != nil {
		return err
	}
	*e.manifest = next
	return nil
}

// emptyTrash notes that the files of segments are gone. What the blob store has of them, the
// mirror removes.
func (e *Engine) emptyTrash(old []*sealed) {
	err := e.change(func(m *segment.Manifest) {
		m.Trash = slices.DeleteFunc(m.Trash, func(i segment.Info) bool {
			return i.Data == "" && i.IndexData == "" && slices.ContainsFunc(old, func(s *sealed) bool { return s.info.ID == i.ID })
		})
	})
	if err != nil {
		e.logger.Warn("cannot note that segments were removed", "error", err) // The next start removes them again.
	}
	e.wakeMirror()
}

// dropFiles removes segments that never counted.
func (e *Engine) dropFiles(come []*sealed) {
	for _, s := range come {
		e.files.Remove(s.info)
	}
}

func columnNames(t *table.Table) []string {
	out := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = c.Name
	}
	return out
}

// source is the rows of which a segment is made.
type source struct {
	table   *table.Table
	sql     string // gives them
	rows    int64
	arrived time.Time // the youngest
	ordered bool      // they are in a good order already
}

// writeSegment writes rows as a segment that does not count yet.
func (e *Engine) writeSegment(ctx context.Context, from source) (*sealed, error) {
	t, columns := from.table, columnNames(from.table)
	e.manifests.Lock()
	id := e.manifest.Next
	e.manifest.Next++ // On disk with the next change; what a crash leaves under it is removed.
	e.manifests.Unlock()
	s := &sealed{info: segment.Info{ID: id, Table: t.Name, Columns: columns, Rows: from.rows, Arrived: from.arrived}}
	c, err := e.db.Connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	path := segment.Temp(e.files.Path(id))
	if err = c.Exec(ctx, e.copySQL(from, columns, path, id)); err == nil {
		err = e.index(ctx, c, t, s, path)
	}
	if err == nil {
		err = segment.SyncPath(path)
	}
	if err == nil {
		err = e.files.Keep(s.info)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("writing a segment of %s: %w", t.Name, err), os.RemoveAll(path), os.RemoveAll(segment.Temp(e.files.IndexPath(id))),
			os.RemoveAll(e.files.Path(id)), os.RemoveAll(e.files.IndexPath(id)))
	}
	return s, nil
}

// copySQL writes rows in the order of the segment, each with the number of its group.
func (e *Engine) copySQL(from source, columns []string, path string, id uint64) string {
	rows := from.sql
	if !from.ordered {
		keys := []string{duck.Name(table.Project)}
		for _, k := range append(slices.Clone(from.table.Sorted), table.TimeGenerated) {
			keys = append(keys, duck.Name(k))
		}
		rows = "SELECT * FROM (" + rows + ") ORDER BY " + strings.Join(keys, ", ")
	}
	names := make([]string, len(columns))
	for i, n := range columns {
		names[i] = duck.Name(n)
	}
	return fmt.Sprintf(`COPY (SELECT %s, %d + (row_number() OVER () - 1) // %d AS %s FROM (%s)) TO %s
		(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, PARQUET_VERSION v2, ROW_GROUP_SIZE %d)`,
		strings.Join(names, ", "), id*groupsPerSegment, e.options.Seal.Group, groupColumn, rows, duck.Quote(path), e.options.Seal.Group)
}

// index reads a segment back, checks that all rows are in it, and writes its index.
func (e *Engine) index(ctx context.Context, c *duck.Conn, t *table.Table, s *sealed, path string) error {
	var texts []segment.Column
	names := []string{groupColumn, duck.Name(table.TimeGenerated)}
	for _, n := range s.info.Columns {
		k := t.Columns[t.Place(n)].Kind
		if sqltype.DuckDB(k) != sqltype.VarChar {
			s.info.Raw += 8 * s.info.Rows
			continue
		}
		texts = append(texts, segment.Column{Name: n, Search: slices.Contains(t.Search, n), JSON: k == table.Dynamic, Count: n == table.Project})
		names = append(names, duck.Name(n))
	}
	b := segment.NewBuilder(s.info.ID, texts)
	rows, last := int64(0), int64(-1)
	err := c.Query(ctx, fmt.Sprintf("SELECT %s FROM read_parquet(%s)", strings.Join(names, ", "), duck.Quote(path)), func(k *duck.Chunk) error {
		groups, times := k.Longs(0), k.Longs(1)
		columns := make([][]string, len(texts))
		for i := range texts {
			columns[i] = k.Texts(i + 2)
			for _, x := range columns[i] {
				s.info.Raw += int64(len(x))
			}
		}
		rows += int64(k.Rows())
		for from := 0; from < k.Rows(); {
			to := from
			for to < k.Rows() && groups[to] == groups[from] {
				to++
			}
			if groups[from] < last {
				return errors.New("its rows are not in order")
			}
			if groups[from] != last {
				last = groups[from]
				b.Begin()
			}
			part := make([][]string, len(texts))
			for i := range part {
				part[i] = columns[i][from:to]
			}
			b.Add(times[from:to], part)
			from = to
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading it back: %w", err)
	}
	if rows != s.info.Rows {
		return fmt.Errorf("reading it back: it has %d rows, not %d", rows, s.info.Rows)
	}
	return e.finish(b, s, path)
}

// finish writes the index and fills in what the manifest says of the segment.
func (e *Engine) finish(b *segment.Builder, s *sealed, path string) error {
	var err error
	final := e.files.IndexPath(s.info.ID)
	if s.index, s.info.Index, err = b.Write(segment.Temp(final), final); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	s.info.Bytes = info.Size()
	s.info.Min, s.info.Max = s.index.Groups[0].Min, s.index.Groups[0].Max
	for _, g := range s.index.Groups {
		s.info.Min, s.info.Max = min(s.info.Min, g.Min), max(s.info.Max, g.Max)
	}
	return nil
}
