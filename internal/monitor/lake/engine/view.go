//go:build cgo

package engine

import (
	"context"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/monitor/lake/engine/duck"
	"towpath.dev/towpath/internal/monitor/lake/segment"
)

// generation is hot rows that came between two marks of the log.
type generation struct {
	number uint64
	began  time.Time
	rows   map[string]int64 // by table; a table without rows is not there
	shares map[share]int64  // the same by table and project
	frozen uint64           // last log file of its rows, once it takes no more

	users int  // views that have it
	gone  bool // it is in segments

	waiters []chan error // get the outcome of the next attempt to seal it
}

// share names the rows of a project in a table.
type share struct{ table, project string }

func (g *generation) table(name string) string { return fmt.Sprintf("%s#%d", name, g.number) }

// sealed is a segment that counts, or is still being read.
type sealed struct {
	info  segment.Info
	index *segment.Index
	users int
	gone  bool // it counts no more
}

// view is what one query sees.
type view struct {
	hot      []*generation
	rows     []map[string]int64 // of the generations, at the time
	segments []*sealed
}

// look returns a view of what counts now. The caller calls leave.
func (e *Engine) look() *view {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := &view{}
	for _, g := range e.hot {
		g.users++
		rows := make(map[string]int64, len(g.rows))
		for t, n := range g.rows {
			rows[t] = n
		}
		v.hot, v.rows = append(v.hot, g), append(v.rows, rows)
	}
	for _, s := range e.segments {
		s.users++
		v.segments = append(v.segments, s)
	}
	return v
}

// leave gives a view back, and removes what only it still used.
func (e *Engine) leave(v *view) {
	var hot []*generation
	var old []*sealed
	e.mu.Lock()
	for _, g := range v.hot {
		if g.users--; g.users == 0 && g.gone {
			hot = append(hot, g)
		}
	}
	for _, s := range v.segments {
		if s.users--; s.users == 0 && s.gone {
			delete(e.going, s.info.ID)
			old = append(old, s)
		}
	}
	e.mu.Unlock()
	e.discard(hot, old)
}

// discard drops generations and segments that nobody uses.
func (e *Engine) discard(hot []*generation, old []*sealed) {
	ctx := context.Background() // The context of whoever came last has nothing to do with it.
	for _, g := range hot {
		c, err := e.db.Connect()
		if err != nil {
			e.logger.Warn("cannot drop hot rows that are sealed", "error", err)
			continue
		}
		for t := range g.rows {
			if err := c.Exec(ctx, "DROP TABLE "+duck.Name(g.table(t))); err != nil {
				e.logger.Warn("cannot drop hot rows that are sealed", "table", t, "error", err)
			}
		}
		c.Close()
	}
	for _, s := range old {
		e.files.Remove(s.info)
	}
	if len(old) > 0 {
		e.emptyTrash(old)
	}
}

// swap exchanges in one step what counts: a generation that was sealed and segments that
// were replaced go, new segments come.
func (e *Engine) swap(g *generation, come, leave []*sealed) {
	var hot []*generation
	var old []*sealed
	e.mu.Lock()
	if g != nil {
		kept := make([]*generation, 0, len(e.hot))
		for _, h := range e.hot {
			if h != g {
				kept = append(kept, h)
			}
		}
		e.hot = kept
		if g.gone = true; g.users == 0 {
			hot = append(hot, g)
		}
	}
	out := map[*sealed]bool{}
	for _, s := range leave {
		out[s] = true
		if s.gone = true; s.users == 0 {
			old = append(old, s)
		} else {
			e.going[s.info.ID] = true
		}
	}
	kept := make([]*sealed, 0, len(e.segments)+len(come))
	for _, s := range e.segments {
		if !out[s] {
			kept = append(kept, s)
		}
	}
	e.segments = append(kept, come...)
	e.mu.Unlock()
	e.discard(hot, old)
}
