package tail

import (
	"bytes"
	"os"
	"path/filepath"
	"time"

	"towpath.dev/towpath/internal/monitor/table"
)

func indexNewline(b []byte) int { return bytes.IndexByte(b, '\n') }

func ticksNow(t time.Time) int64 { return table.TicksOf(t) }

// patience is how long the end of a line that came in parts may take.
const patience = 5 * time.Second

// poll asks all files for their sizes, gives turns to those that have grown, ends those
// that are read to the end, and flushes what has waited long enough for another line.
func (l *loop) poll() {
	now := l.cfg.Now()
	l.polled = now
	peek := now.Sub(l.peeked) >= time.Second
	if peek {
		l.peeked = now
	}
	var behind, held int64
	for dir, list := range l.cat.seqs {
		for _, s := range list {
			for i, f := range s.files {
				l.look(f, now, peek)
				f.old = f.old || newer(s.files[i+1:])
				l.finish(f, now)
				if rest := f.size - f.read; f.src != nil && f.size < endless && rest > 0 {
					behind += rest
					if f.gone {
						held += rest
					}
				}
			}
			l.wake(s, now)
		}
		if peek {
			l.forget(dir)
		}
	}
	l.counts.behind.Store(behind)
	l.counts.files.Store(int64(l.cat.files))
	if held > l.cfg.Limits.Held {
		l.giveUp(held)
	}
}

// newer reports whether one of the files, which come after another one, has lines.
func newer(files []*file) bool {
	for _, f := range files {
		if f.size > 0 {
			return true
		}
	}
	return false
}

// look asks a file for its size.
func (l *loop) look(f *file, now time.Time, peek bool) {
	if f.done {
		return
	}
	if f.src == nil {
		if peek {
			l.peek(f)
		}
		if f.src == nil {
			return
		}
	}
	size, gone, err := f.src.look()
	if err != nil {
		l.cfg.Log.Error("looking at a log file", "file", filepath.Join(f.seq.dir, f.name), "error", err)
		return
	}
	f.gone = f.gone || gone
	if size < f.read {
		l.restart(f)
	} else if size == f.size {
		return
	}
	f.size, f.grown = size, now
	if f.head.n < probe {
		if head, err := fingerprintOf(f.src, probe); err == nil {
			f.head = head
		}
	}
}

// restart begins a file anew that was cut short in place. The kubelet does not do that,
// but others who keep logs may.
func (l *loop) restart(f *file) {
	l.cfg.Log.Warn("a log file was cut short; it is read from its beginning", "file", filepath.Join(f.seq.dir, f.name))
	l.flush(f.seq)
	f.read, f.skip, f.acked, f.sealed, f.idle, f.head = 0, marks{}, marks{}, marks{}, -1, fingerprint{}
}

// peek opens a file again that was closed because others needed the room, when it has grown.
func (l *loop) peek(f *file) {
	path := filepath.Join(l.cfg.Root, f.seq.dir, f.name)
	info, err := os.Lstat(path)
	if err != nil || info.Size() == f.read || identityOf(info) != f.id || f.missed >= absent {
		return
	}
	if l.cat.files < l.cfg.Limits.Open || l.cat.closeIdle() {
		l.cat.same(f, path, info)
	}
}

// finish closes a file for good that is read to its end and will not grow any more. What
// stands behind its last newline is taken as a line.
func (l *loop) finish(f *file, now time.Time) {
	if f.done || f.src == nil || !f.old && !f.gone && f.id != f.zip || f.size > f.read && f.size > f.idle || now.Sub(f.grown) < l.cfg.Limits.Grace {
		return
	}
	if f.id == f.zip && f.size == endless {
		return
	}
	if rest := min(f.size-f.read, int64(len(l.buf))); rest > 0 && !f.rest {
		if !l.room() {
			return
		}
		n, _ := f.src.ReadAt(l.buf[:rest], f.read)
		start := f.read
		f.read += int64(n)
		l.line(f, l.buf[:n], start)
	}
	l.cat.shut(f)
	f.done = true
	l.stale = true
}

// wake gives a sequence a turn when it has something to read; otherwise it flushes what
// has waited long enough.
func (l *loop) wake(s *sequence, now time.Time) {
	if s.queued {
		return
	}
	if s.unread() != nil {
		s.queued = true
		l.ring = append(l.ring, s)
		return
	}
	since := now.Sub(s.fed)
	if since < l.cfg.Limits.Join || !s.joining() || !l.room() {
		return
	}
	if since >= patience {
		l.flush(s)
		return
	}
	l.cur = s
	for o := range s.join {
		if j := &s.join[o]; !j.part.on {
			before := j.size()
			j.flush(l.emit)
			l.open += j.size() - before
		}
	}
}

// forget drops the files and sequences of a folder that are done and not there any more.
func (l *loop) forget(dir string) {
	kept := l.cat.seqs[dir][:0]
	for _, s := range l.cat.seqs[dir] {
		files := s.files[:0]
		for _, f := range s.files {
			if f.missed < absent || f.src != nil {
				files = append(files, f)
			}
		}
		clear(s.files[len(files):])
		s.files = files
		if len(files) > 0 || s.joining() || s.queued {
			kept = append(kept, s)
		}
	}
	clear(l.cat.seqs[dir][len(kept):])
	if l.cat.seqs[dir] = kept; len(kept) == 0 {
		delete(l.cat.seqs, dir)
	}
}

// giveUp closes deleted files that nobody has time to read before they fill the disk, the
// oldest first.
func (l *loop) giveUp(held int64) {
	for held > l.cfg.Limits.Held {
		var oldest *file
		for f := range l.cat.all {
			if f.gone && f.src != nil && f.size > f.read && f.size < endless && (oldest == nil || f.grown.Before(oldest.grown)) {
				oldest = f
			}
		}
		if oldest == nil {
			return
		}
		lost := oldest.size - oldest.read
		held -= lost
		l.counts.lost.Add(lost)
		l.cfg.Log.Error("logs are lost: a deleted file was given up before the server could take it", "file", filepath.Join(oldest.seq.dir, oldest.name), "bytes", lost)
		l.cat.shut(oldest)
		oldest.done = true
	}
}
