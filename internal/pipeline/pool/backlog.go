package pool

import (
	"container/heap"
	"strings"
	"sync"
)

// Place is where queued jobs lie that the same agents may have: a pool by its folded name, or
// the machine that the jobs are for.
type Place struct{ Pool, Machine string }

// Waiting is a queued job.
type Waiting struct {
	ID    string
	Place Place
	// Demands are what the job asks of its agent, as Text writes them.
	Demands string
	// Queued is when the job came into the queue, in milliseconds; of jobs that came together
	// the one with the lower Position goes first, then the one with the lower ID.
	Queued   int64
	Position int
}

func (w Waiting) before(o Waiting) bool {
	switch {
	case w.Queued != o.Queued:
		return w.Queued < o.Queued
	case w.Position != o.Position:
		return w.Position < o.Position
	}
	return w.ID < o.ID
}

// Backlog is the queued jobs in memory, so that who gets which is decided without reading
// them all. It is a cache of the rows and may be behind them: whoever takes a job looks at its
// row before he believes it, and Reconcile brings the two together again.
//
// A job that was taken is nobody else's until it is dropped (it has an agent, or is queued no
// more) or put back. The zero Backlog is empty and ready for use, by many at once.
type Backlog struct {
	mu     sync.Mutex
	now    uint64 // grows with every Put
	jobs   map[string]*waiting
	places map[Place]map[string]*queue // by demands
}

// waiting is a job in the backlog.
type waiting struct {
	Waiting
	added uint64
	at    int // in its queue; -1: taken
}

// queue is the jobs of a place with the same demands, oldest first.
type queue struct {
	demands []Demand // names in lower case
	jobs    []*waiting
}

// The queue is a heap.
func (q *queue) Len() int           { return len(q.jobs) }
func (q *queue) Less(i, j int) bool { return q.jobs[i].before(q.jobs[j].Waiting) }
func (q *queue) Swap(i, j int) {
	q.jobs[i], q.jobs[j] = q.jobs[j], q.jobs[i]
	q.jobs[i].at, q.jobs[j].at = i, j
}

// Push adds a job at the end; heap calls it.
func (q *queue) Push(v any) {
	w := v.(*waiting)
	w.at = len(q.jobs)
	q.jobs = append(q.jobs, w)
}

// Pop removes the job at the end; heap calls it.
func (q *queue) Pop() any {
	last := len(q.jobs) - 1
	w := q.jobs[last]
	q.jobs[last], w.at = nil, -1
	q.jobs = q.jobs[:last]
	return w
}

// Put adds a job, or moves one that waits to where it is now. One that was taken stays so.
func (b *Backlog) Put(w Waiting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(w)
}

func (b *Backlog) put(w Waiting) {
	if b.jobs == nil {
		b.jobs, b.places = map[string]*waiting{}, map[Place]map[string]*queue{}
	}
	b.now++
	j := b.jobs[w.ID]
	switch {
	case j == nil:
		j = &waiting{}
		b.jobs[w.ID] = j
	case j.at < 0:
		j.Waiting, j.added = w, b.now
		return
	default:
		b.remove(j)
	}
	j.Waiting, j.added = w, b.now
	b.insert(j)
}

// insert puts a job that lies nowhere into its queue.
func (b *Backlog) insert(j *waiting) {
	here := b.places[j.Place]
	if here == nil {
		here = map[string]*queue{}
		b.places[j.Place] = here
	}
	q := here[j.Demands]
	if q == nil {
		q = &queue{demands: FromText(j.Demands)}
		for i := range q.demands {
			q.demands[i].Name = strings.ToLower(q.demands[i].Name)
		}
		here[j.Demands] = q
	}
	heap.Push(q, j)
}

// remove takes a job out of its queue, and the queue away when it was the last.
func (b *Backlog) remove(j *waiting) {
	here := b.places[j.Place]
	q := here[j.Demands]
	heap.Remove(q, j.at)
	if len(q.jobs) > 0 {
		return
	}
	if delete(here, j.Demands); len(here) == 0 {
		delete(b.places, j.Place)
	}
}

// Take gives the oldest job of a place whose demands the capabilities meet; false when there
// is none. Whoever takes one ends with Drop or PutBack.
func (b *Backlog) Take(from Place, has Capabilities) (Waiting, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.oldest(from, has)
	if j == nil {
		return Waiting{}, false
	}
	b.remove(j)
	return j.Waiting, true
}

// oldest finds what Take gives.
func (b *Backlog) oldest(from Place, has Capabilities) *waiting {
	var best *waiting
	var lower Capabilities
	for demands, q := range b.places[from] {
		if best != nil && !q.jobs[0].before(best.Waiting) {
			continue
		}
		if demands != "" {
			if lower == nil {
				lower = has.lower()
			}
			if !lower.meetAll(q.demands) {
				continue
			}
		}
		best = q.jobs[0]
	}
	return best
}

// lower are the capabilities with their names in lower case.
func (c Capabilities) lower() Capabilities {
	out := make(Capabilities, len(c))
	for name, v := range c {
		out[strings.ToLower(name)] = v
	}
	return out
}

// meetAll is Lacks for names in lower case, on both sides, which need no search.
func (c Capabilities) meetAll(list []Demand) bool {
	for _, d := range list {
		v, ok := c[d.Name]
		if !d.met(v, ok) {
			return false
		}
	}
	return true
}

// PutBack gives up a job that was taken: it is where it was in the queue.
func (b *Backlog) PutBack(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j := b.jobs[id]; j != nil && j.at < 0 {
		b.insert(j)
	}
}

// Drop forgets a job, which is queued no more.
func (b *Backlog) Drop(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(id)
}

func (b *Backlog) drop(id string) {
	j := b.jobs[id]
	if j == nil {
		return
	}
	if j.at >= 0 {
		b.remove(j)
	}
	delete(b.jobs, id)
}

// Len is how many jobs there are, those that were taken counted, and Mark the moment for
// Reconcile.
func (b *Backlog) Len() (n int, mark uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.jobs), b.now
}

// Reconcile makes the backlog what the rows say that were read after mark: missing jobs come
// in, others go, except those that came after mark or that somebody has taken.
func (b *Backlog) Reconcile(mark uint64, rows []Waiting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	queued := make(map[string]bool, len(rows))
	for _, w := range rows {
		queued[w.ID] = true
		if b.jobs[w.ID] == nil {
			b.put(w)
		}
	}
	for id, j := range b.jobs {
		if !queued[id] && j.added <= mark && j.at >= 0 {
			b.drop(id)
		}
	}
}
