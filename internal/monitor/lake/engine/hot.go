//go:build cgo

package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine/duck"
	"towpath.dev/towpath/internal/monitor/lake/wal"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/table/sqltype"
)

// maxLag is how many generations may wait to be sealed before appends are refused.
const maxLag = 2

// heat appends what is in the log to the hot tables and then acknowledges it.
func (e *Engine) heat(context.Context) {
	defer close(e.sealer)
	c, err := e.db.Connect()
	if err != nil {
		e.die(err)
	}
	for g := range e.logged {
		if err == nil {
			err = e.warm(c, g.batches)
		}
		if err != nil {
			// The rows are safe in the log, but this process cannot show them.
			e.die(fmt.Errorf("appending to the hot tables: %w", err))
			for _, t := range g.entries {
				t.done <- unavailable(err, "The log engine is being started again.", time.Second)
			}
			continue
		}
		if g.through != 0 {
			e.freeze(g.through)
		}
		for _, t := range g.entries {
			t.done <- nil
		}
	}
	if c != nil {
		c.Close()
	}
}

// warm appends batches to the current generation, in one transaction. When memory is short
// it ends queries, the oldest first, and tries again.
func (e *Engine) warm(c *duck.Conn, batches []*table.Batch) error {
	if len(batches) == 0 {
		return nil
	}
	byTable := map[string][]*table.Batch{}
	added, shares := map[string]int64{}, map[share]int64{}
	for _, b := range batches {
		byTable[b.Table] = append(byTable[b.Table], b)
		added[b.Table] += int64(b.Rows())
		countShares(shares, b)
	}
	e.mu.Lock()
	g := e.hot[len(e.hot)-1]
	known := map[string]bool{}
	for t := range g.rows {
		known[t] = true
	}
	e.mu.Unlock()
	err := e.transaction(c, func() error {
		for name, list := range byTable {
			if !known[name] {
				if err := c.Exec(context.Background(), e.createHot(g, name)); err != nil {
					return err
				}
			}
			if err := c.Append(g.table(name), e.tables[name].Columns, list); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, n := range added {
		g.rows[name] += n
		e.count.appended.Add(n)
	}
	for s, n := range shares {
		g.shares[s] += n
	}
	return nil
}

// countShares counts the rows of a batch by their project.
func countShares(shares map[share]int64, b *table.Batch) {
	at := b.Index(table.Project)
	if at < 0 {
		shares[share{b.Table, ""}] += int64(b.Rows())
		return
	}
	projects := b.Vectors[at].Text
	for from := 0; from < len(projects); {
		to := from + 1
		for to < len(projects) && projects[to] == projects[from] {
			to++
		}
		shares[share{b.Table, projects[from]}] += int64(to - from)
		from = to
	}
}

// maxTries is for how long, in steps of 50 ms, an append waits for memory: longer than a
// seal takes, whose memory it may be.
const maxTries = 400

// transaction runs f in a transaction, again while it fails for want of memory. That a
// transaction is aborted is what an appender says whose rows found no memory before.
func (e *Engine) transaction(c *duck.Conn, f func() error) error {
	ctx := context.Background() // What is in the log must come into the hot tables.
	for try := 0; ; try++ {
		err := c.Exec(ctx, "BEGIN")
		if err == nil {
			if err = f(); err == nil {
				err = c.Exec(ctx, "COMMIT")
			}
			if err != nil {
				_ = c.Exec(ctx, "ROLLBACK") // After a failed COMMIT there is nothing to roll back.
			}
		}
		var d *duck.Error
		if err == nil || !errors.As(err, &d) || d.Reason != duck.OutOfMemory && d.Reason != duck.Aborted || try == maxTries {
			return err
		}
		e.queries.endOldest()
		time.Sleep(50 * time.Millisecond)
	}
}

func (e *Engine) createHot(g *generation, name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", duck.Name(g.table(name)))
	for i, c := range e.tables[name].Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s", duck.Name(c.Name), sqltype.DuckDB(c.Kind))
	}
	b.WriteString(")")
	return b.String()
}

// begin makes the next generation the current one. The caller holds the lock.
func (e *Engine) begin() {
	number := uint64(1)
	if len(e.hot) > 0 {
		number = e.hot[len(e.hot)-1].number + 1
	}
	e.hot = append(e.hot, &generation{number: number, rows: map[string]int64{}, shares: map[share]int64{}})
}

// freeze ends the current generation with a log file and hands it to the sealer.
func (e *Engine) freeze(through uint64) { e.sealer <- e.end(through) }

// end makes a new generation the current one, and returns the one before.
func (e *Engine) end(through uint64) *generation {
	e.mu.Lock()
	g := e.hot[len(e.hot)-1]
	g.frozen = through
	e.begin()
	waiting := len(e.hot) - 1
	e.mu.Unlock()
	if waiting > maxLag {
		e.gate.setLag(unavailable(nil, "The log engine writes its segments more slowly than rows come.", 2*time.Second))
	}
	return g
}

// replay opens the log and appends what it holds to hot tables.
func (e *Engine) replay(ctx context.Context) error {
	c, err := e.db.Connect()
	if err != nil {
		return err
	}
	defer c.Close()
	e.begin()
	r := &replayer{ctx: ctx, e: e, c: c, seen: map[[16]byte]bool{}}
	e.log, err = wal.Open(e.path("wal"), e.manifest.Sealed, e.logger, func(file uint64, record []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return r.take(file, record)
	})
	if err == nil {
		err = r.flush()
	}
	if err != nil {
		return fmt.Errorf("replaying the log: %w", err)
	}
	return nil
}

// replayer collects the batches of the log into larger appends.
type replayer struct {
	ctx     context.Context // of Open, which the replay is a part of
	e       *Engine
	c       *duck.Conn
	file    uint64
	batches []*table.Batch
	rows    int
	seen    map[[16]byte]bool
	late    bool // a generation could not be sealed: those after it must wait for it
}

// replayRows is how many rows are appended at once.
const replayRows = 1 << 15

func (r *replayer) take(file uint64, record []byte) error {
	if r.file != 0 && file != r.file && r.e.pace.full(r.e.options.Seal) {
		if err := r.flush(); err != nil {
			return err
		}
		r.freeze()
	}
	r.file = file
	b, err := table.Decode(record, table.Limits{})
	if err == nil {
		err = r.e.normalize(&lake.Sent{Batch: b, Raw: record})
	}
	if err != nil {
		// Its sum is right, so another version wrote it. It stays where it is until the file is sealed.
		r.e.logger.Error("cannot read a batch of the log", "file", file, "error", err)
		return nil
	}
	// The log may have a batch twice, from a write that failed and from its repetition. What
	// was remembered from before says nothing: it has the IDs of these very batches.
	if b.ID != ([16]byte{}) {
		if r.seen[b.ID] {
			return nil
		}
		r.seen[b.ID] = true
	}
	r.e.recent.add(b.ID)
	r.e.pace.add(r.e, []*table.Batch{b})
	r.batches, r.rows = append(r.batches, b), r.rows+b.Rows()
	if r.rows >= replayRows {
		return r.flush()
	}
	return nil
}

func (r *replayer) flush() error {
	err := r.e.warm(r.c, r.batches)
	r.batches, r.rows = nil, 0
	return err
}

// freeze ends the generation with the log file that was read last, and seals it at once, so
// that a long log needs no more memory than a short one.
func (r *replayer) freeze() {
	g := r.e.end(r.file)
	r.e.pace = pace{}
	if !r.late {
		err := r.e.sealOne(r.ctx, g)
		if err == nil {
			return
		}
		r.e.logger.Error("cannot seal what the log held; trying again later", "error", err)
		r.late = true
	}
	r.e.sealer <- g
}
