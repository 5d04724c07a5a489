package tail

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// loop is the one goroutine that reads. Everything in it belongs to it alone; the shipper
// has the batches that it was given.
type loop struct {
	cfg    *Config
	counts *counts
	cat    *catalog

	ring  []*sequence // those with something to read, in the order of their turns
	build builder
	dirty map[*file]bool // read since the last seal
	queue []*batch
	busy  bool // the shipper has a job
	stale bool // something was acknowledged that is not in the checkpoint

	jobs    chan job
	answers chan answer

	buf  []byte
	cur  *sequence
	emit func(entry)
	open int // bytes in joiners
	// When the files, the folders and the closed files were last looked at.
	polled, scanned, peeked, saved time.Time
}

// maxLine is how long a line of a log file may be before it is taken in pieces; the
// runtimes break lines at 16 KiB unless they are told otherwise. maxOpen bounds the bytes
// that wait in all joiners.
const (
	maxLine = whole + 4<<10
	maxOpen = 8 << 20
)

// Run follows the logs until ctx ends, sends what is already read, for three seconds at
// most, and returns nil. An error means that the state cannot be read or written, without
// which lines would be lost or doubled.
func (t *Tailer) Run(ctx context.Context) error {
	unlock, err := lock(filepath.Join(t.cfg.State, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	past, damaged, err := load(t.cfg.State)
	if err != nil {
		return err
	}
	if damaged {
		t.cfg.Log.Error("the checkpoint is damaged and was put aside; all logs are read again", "folder", t.cfg.State)
	}
	ship, err := newShipper(&t.cfg, &t.counts)
	if err != nil {
		return err
	}
	l := &loop{
		cfg: &t.cfg, counts: &t.counts, cat: newCatalog(&t.cfg, past.Files), build: builder{node: t.cfg.Node}, dirty: map[*file]bool{},
		jobs: make(chan job, 1), answers: make(chan answer, 1), buf: make([]byte, t.cfg.Limits.Turn),
	}
	l.emit = l.row
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	shipped := make(chan struct{})
	go func() {
		defer close(shipped)
		ship.run(sending, l.jobs, l.answers)
	}()
	defer func() {
		stop()
		close(l.jobs)
		<-shipped
		l.close()
	}()
	l.resume(past)
	l.cat.scan(overflow)
	l.scanned = t.cfg.Now()
	if err := l.run(ctx); err != nil {
		return err
	}
	return l.drain()
}

// resume takes up the parcel that was under way when the last Tailer ended.
func (l *loop) resume(past *checkpoint) {
	if past.Parcel == "" {
		return
	}
	b := &batch{count: past.Rows, body: past.body, marks: map[*file]marks{}}
	_, _ = hex.Decode(b.id[:], []byte(past.Parcel)) // load has checked it
	l.cat.resumed = b
	l.queue = append(l.queue, b)
}

// run reads while there is something to read and room for it, and waits otherwise.
func (l *loop) run(ctx context.Context) error {
	tick := time.NewTicker(max(l.cfg.Limits.Poll/2, time.Millisecond))
	defer tick.Stop()
	l.poll()
	for {
		l.ship()
		var err error
		if len(l.ring) > 0 && l.room() {
			l.turn()
			select {
			case <-ctx.Done():
				return nil
			case a := <-l.answers:
				err = l.answered(a)
			case folder := <-l.cat.changed():
				l.cat.scan(folder)
			case <-tick.C:
				l.tick()
			default:
			}
		} else {
			select {
			case <-ctx.Done():
				return nil
			case a := <-l.answers:
				err = l.answered(a)
			case folder := <-l.cat.changed():
				l.cat.scan(folder)
				l.poll()
			case <-tick.C:
				l.tick()
			}
		}
		if err != nil {
			return err
		}
	}
}

// room reports whether more may be read.
func (l *loop) room() bool {
	return len(l.queue) < l.cfg.Limits.Queue && !l.counts.waiting.Load()
}

// ship hands the shipper its next job when it has none.
func (l *loop) ship() {
	if l.busy {
		return
	}
	if len(l.queue) > 0 {
		b := l.queue[0]
		l.queue = l.queue[1:]
		l.jobs <- job{l.cat.records(b.marks), b}
		l.busy = true
		return
	}
	if now := l.cfg.Now(); l.stale && now.Sub(l.saved) > time.Second {
		l.jobs <- job{l.cat.records(nil), nil}
		l.busy, l.stale, l.saved = true, false, now
	}
}

func (l *loop) answered(a answer) error {
	l.busy = false
	if a.err != nil {
		return a.err
	}
	if a.batch == nil {
		return nil
	}
	for f, m := range a.batch.marks {
		f.acked = m
	}
	if a.batch == l.cat.resumed {
		l.cat.resumed = nil
		for _, list := range l.cat.known {
			for i := range list {
				list[i].Marks = list[i].Next
			}
		}
	}
	l.stale = true
	return nil
}

// tick does what is due.
func (l *loop) tick() {
	now := l.cfg.Now()
	if now.Sub(l.scanned) >= l.cat.every() {
		l.scanned = now
		l.cat.scan(overflow)
	}
	if now.Sub(l.polled) >= l.cfg.Limits.Poll {
		l.poll()
	}
	if l.build.rows() > 0 && now.Sub(l.build.since) >= l.cfg.Limits.Wait {
		l.seal()
	}
}

// turn lets the first sequence of the ring read.
func (l *loop) turn() {
	s := l.ring[0]
	l.ring = l.ring[1:]
	more := l.read(s)
	if s.queued = more; more {
		l.ring = append(l.ring, s)
	}
}

// unread returns the first file of a sequence that may have lines.
func (s *sequence) unread() *file {
	for _, f := range s.files {
		if f.src != nil && !f.done && f.size > f.read && f.size > f.idle {
			return f
		}
	}
	return nil
}

// read takes a piece of the sequence's oldest unread file and reports whether there is more.
func (l *loop) read(s *sequence) bool {
	f := s.unread()
	if f == nil {
		return false
	}
	n, err := f.src.ReadAt(l.buf, f.read)
	if err != nil && !errors.Is(err, io.EOF) {
		l.cfg.Log.Error("reading a log file", "file", filepath.Join(s.dir, f.name), "error", err)
		f.idle = f.size
		if z, ok := f.src.(*zipped); ok {
			z.end = true // a damaged one ends here
		}
		return s.unread() != nil
	}
	end := n < len(l.buf)
	took := l.consume(f, l.buf[:n])
	switch {
	case end:
		f.idle = f.read + int64(n-took)
		if size, gone, err := f.src.look(); err == nil { // a compressed file knows its size now
			f.size, f.gone = size, f.gone || gone
		}
	case took == 0 && len(l.buf) < maxLine:
		l.buf = make([]byte, min(2*len(l.buf), maxLine))
	case took == 0:
		start := f.read
		f.read, f.rest = start+int64(n), true
		l.line(f, l.buf[:n], start)
	}
	s.fed = l.cfg.Now()
	return s.unread() != nil
}

// consume takes the whole lines of a piece and returns how many bytes they were.
func (l *loop) consume(f *file, piece []byte) int {
	took := 0
	for took < len(piece) {
		i := indexNewline(piece[took:])
		if i < 0 {
			if f.rest {
				f.read += int64(len(piece) - took)
				took = len(piece)
			}
			break
		}
		start := f.read
		f.read += int64(i + 1)
		if raw := piece[took : took+i]; !f.rest {
			l.line(f, raw, start)
		}
		f.rest = false
		took += i + 1
	}
	l.counts.bytes.Add(int64(took))
	return took
}

// line takes one line of a file.
func (l *loop) line(f *file, raw []byte, start int64) {
	s := f.seq
	l.dirty[f] = true // again for each line: a seal between them may have cleared it
	l.counts.lines.Add(1)
	x, ok := parseLine(raw)
	if !ok {
		if s.ticks == 0 {
			s.ticks = ticksNow(l.cfg.Now())
		}
		x = line{ticks: s.ticks, text: raw}
		l.counts.malformed.Add(1)
	}
	s.ticks = x.ticks
	if start < f.skip[x.out] {
		return // an earlier Tailer has sent it
	}
	l.cur = s
	j := &s.join[x.out]
	before := j.size()
	j.push(x, span{f, start}, l.emit)
	if l.open += j.size() - before; l.open > maxOpen {
		l.open -= j.size()
		j.close(l.emit)
		j.flush(l.emit)
		l.open += j.size()
	}
	if l.build.size >= l.cfg.Limits.Batch {
		l.seal()
	}
}

// row takes an entry of the sequence that is being read.
func (l *loop) row(e entry) {
	now := l.cfg.Now()
	if l.build.add(l.cur, e, now) {
		l.counts.truncated.Add(1)
	}
	l.counts.rows.Add(1)
	l.counts.lag.Store((ticksNow(now) - e.ticks) * 100)
}

// seal ends the batch that is being built and notes up to where it goes in each file.
func (l *loop) seal() {
	if l.build.rows() == 0 {
		return
	}
	b := l.build.seal()
	for f := range l.dirty {
		m := l.marksOf(f)
		if m != f.sealed {
			f.sealed = m
			b.marks[f] = m
		}
		if m.lowest() >= f.read {
			delete(l.dirty, f) // no line of it waits in a joiner
		}
	}
	l.queue = append(l.queue, b)
}

func (l *loop) marksOf(f *file) marks {
	var m marks
	for o := range f.seq.join {
		m[o] = f.seq.join[o].mark(f, max(f.read, f.skip[o]))
	}
	return m
}

// drain sends what is read, for a while. What waits for another line stays where it is: the
// next Tailer reads it again and may see that line.
func (l *loop) drain() error {
	l.seal()
	end := time.After(3 * time.Second)
	for {
		l.ship()
		if !l.busy {
			break
		}
		select {
		case a := <-l.answers:
			if err := l.answered(a); err != nil {
				return err
			}
		case <-end:
			return nil
		}
	}
	l.jobs <- job{l.cat.records(nil), nil}
	select {
	case a := <-l.answers:
		return a.err
	case <-end:
		return nil
	}
}

// flush gives out everything that waits in a sequence's joiners.
func (l *loop) flush(s *sequence) {
	l.cur = s
	for o := range s.join {
		j := &s.join[o]
		before := j.size()
		j.close(l.emit)
		j.flush(l.emit)
		l.open += j.size() - before
	}
}

func (l *loop) close() {
	for f := range l.cat.all {
		l.cat.shut(f)
	}
	if l.cat.watch != nil {
		if err := l.cat.watch.close(); err != nil && !errors.Is(err, os.ErrClosed) {
			l.cfg.Log.Warn("ending the watch over the logs", "error", err)
		}
	}
}
