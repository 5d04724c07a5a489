package ingest

import (
	"context"
	"slices"
	"sync"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/table"
)

// What may wait for the reader of one watch, and how many watches there may be. A person
// reads far less than that; a reader that needs every row asks the lake.
const (
	waitingBatches = 64
	waitingRows    = 20_000
	maxWatches     = 256
	maxShare       = 32 // of them, that look at one project
)

// Watch sees rows that were just acknowledged. It is for one reader.
type Watch struct {
	in     *watches
	filter Filter
	wake   chan struct{} // holds a token while there is something to take

	mu      sync.Mutex
	queue   []*table.Batch
	rows    int
	dropped int64
}

// Watch begins to watch; Close ends it. Whether somebody may see the rows is for the
// caller to have asked.
func (s *Service) Watch(f Filter) (*Watch, error) { return s.watches.open(f) }

// Follow calls do with each batch of a table that has rows of the project (of everything
// when all is set) until ctx ends or do fails; with "" for every table. dropped is as in Seen.
func (s *Service) Follow(ctx context.Context, tableName, project string, all bool, do func(b *table.Batch, dropped int64) error) error {
	f := Filter{Project: project, All: all}
	if tableName != "" {
		f.Tables = []string{tableName}
	}
	w, err := s.Watch(f)
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		seen, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if err := do(seen.Batch, seen.Dropped); err != nil {
			return err
		}
	}
}

// Next waits for rows, or for something to tell of rows that were dropped. Its error is
// that of ctx.
func (w *Watch) Next(ctx context.Context) (Seen, error) {
	for {
		select {
		case <-ctx.Done():
			return Seen{}, ctx.Err()
		case <-w.wake:
		}
		b, dropped := w.take()
		if b != nil {
			b = w.filter.pick(b)
		}
		if b != nil || dropped > 0 {
			return Seen{Batch: b, Dropped: dropped}, nil
		}
	}
}

// Close ends the watch.
func (w *Watch) Close() { w.in.remove(w) }

// take takes the oldest batch, and what is to be told.
func (w *Watch) take() (b *table.Batch, dropped int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) > 0 {
		b, w.queue = w.queue[0], w.queue[1:]
		w.rows -= b.Rows()
	}
	dropped, w.dropped = w.dropped, 0
	if len(w.queue) > 0 {
		w.signal()
	}
	return b, dropped
}

// offer gives a batch to the reader unless too much is waiting. It returns how many rows
// were dropped.
func (w *Watch) offer(b *table.Batch) int64 {
	mine := w.filter.count(b)
	if mine == 0 {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.signal()
	if len(w.queue) >= waitingBatches || (len(w.queue) > 0 && w.rows+b.Rows() > waitingRows) {
		w.dropped += mine
		return mine
	}
	w.queue = append(w.queue, b)
	w.rows += b.Rows()
	return 0
}

func (w *Watch) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// count returns how many rows of a batch belong to the project.
func (f *Filter) count(b *table.Batch) int64 {
	if f.Tables != nil && !slices.Contains(f.Tables, b.Table) {
		return 0
	}
	if f.All {
		return int64(b.Rows())
	}
	at := b.Index(table.Project)
	if at < 0 || f.Project == "" {
		return 0
	}
	n := int64(0)
	for _, p := range b.Vectors[at].Text {
		if p == f.Project {
			n++
		}
	}
	return n
}

// pick returns the rows that the filter lets through, nil for none.
func (f *Filter) pick(b *table.Batch) *table.Batch {
	at := b.Index(table.Project)
	rows := make([]int, 0, b.Rows())
	for row := range b.Rows() {
		if (f.All || b.Vectors[at].Text[row] == f.Project) && (f.Match == nil || f.Match(b, row)) {
			rows = append(rows, row)
		}
	}
	switch len(rows) {
	case 0:
		return nil
	case b.Rows():
		return b
	}
	return b.Pick(rows)
}

// watches are those that are open.
type watches struct {
	mu     sync.RWMutex
	all    []*Watch
	missed int64
}

func (a *watches) open(f Filter) (*Watch, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.all) >= maxWatches {
		return nil, fault.New(fault.Throttled, "There are %d live tails open already.", maxWatches).WithNext("close one, or ask with a query")
	}
	mine := 0
	for _, w := range a.all {
		if w.filter.All == f.All && w.filter.Project == f.Project {
			mine++
		}
	}
	if mine >= maxShare {
		return nil, fault.New(fault.Throttled, "There are %d live tails of this project open already.", maxShare).WithNext("close one, or ask with a query")
	}
	w := &Watch{in: a, filter: f, wake: make(chan struct{}, 1)}
	a.all = append(a.all, w)
	return w, nil
}

func (a *watches) remove(w *Watch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = slices.DeleteFunc(slices.Clone(a.all), func(x *Watch) bool { return x == w })
}

// tell offers batches to everybody.
func (a *watches) tell(batches []*table.Batch) {
	a.mu.RLock()
	open := a.all
	a.mu.RUnlock()
	missed := int64(0)
	for _, w := range open {
		for _, b := range batches {
			missed += w.offer(b)
		}
	}
	if missed > 0 {
		a.mu.Lock()
		a.missed += missed
		a.mu.Unlock()
	}
}

func (a *watches) stats() (open int, missed int64) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.all), a.missed
}
