package tail

import (
	"bytes"

	"towpath.dev/towpath/internal/monitor/level"
)

// How much of a row is taken. Beyond whole a row ends and another begins; of a row that is
// longer than shown, the beginning is kept (64 KiB is what ContainerLogV2 takes of a line;
// 1 MiB is where the OpenTelemetry Collector stops to stitch).
const (
	shown = 64 << 10
	whole = 1 << 20
)

// span is where in a file the lines of a group begin.
type span struct {
	file  *file
	start int64
}

// group is text that is being put together.
type group struct {
	text  []byte // the first bytes of it, at most shown
	total int    // how many there are
	ticks int64  // of its first line
	last  int64  // of its last line
	spans []span // one per file that it has lines of
	level string
	trace tracer
	on    bool // there is a line in it
}

// add puts bytes at the end.
func (g *group) add(text []byte) {
	g.total += len(text)
	if room := shown - len(g.text); room > 0 {
		g.text = append(g.text, text[:min(room, len(text))]...)
	}
}

// from notes that a line of the group begins here.
func (g *group) from(at span) {
	for _, s := range g.spans {
		if s.file == at.file {
			return
		}
	}
	g.spans = append(g.spans, at)
}

func (g *group) reset() {
	*g = group{text: g.text[:0], spans: g.spans[:0]}
	if cap(g.text) > 4<<10 {
		g.text = nil // what one long line needed is not kept for each container
	}
}

// entry is what becomes a row. Its text is the joiner's and valid until the next call.
type entry struct {
	ticks  int64
	out    output
	text   []byte
	total  int
	level  string
	object bool
}

// joiner makes entries of the lines of one output of one sequence: it stitches the parts
// of lines and joins the lines of stack traces.
type joiner struct {
	out  output
	gap  int64 // in ticks: a later line begins a new entry
	part group // of a line whose end has not come
	held group // an entry that may go on
}

// push takes a line that begins at a place and calls emit for entries that are complete.
func (j *joiner) push(l line, at span, emit func(entry)) {
	if !l.partial && !j.part.on {
		j.whole(l.ticks, l.text, len(l.text), at, nil, emit)
		return
	}
	p := &j.part
	if !p.on {
		p.on, p.ticks = true, l.ticks
	}
	p.from(at)
	p.last = l.ticks
	p.add(l.text)
	if !l.partial || p.total >= whole {
		j.close(emit)
	}
}

// close takes the line that is being stitched as complete.
func (j *joiner) close(emit func(entry)) {
	if p := &j.part; p.on {
		j.whole(p.ticks, p.text, p.total, p.spans[0], p.spans[1:], emit)
		p.reset()
	}
}

// whole takes a complete line, of which text is all or the beginning.
func (j *joiner) whole(ticks int64, text []byte, total int, at span, more []span, emit func(entry)) {
	if t := bytes.TrimSuffix(text, []byte("\r")); len(t) < len(text) && len(text) == total {
		text, total = t, total-1
	}
	h := &j.held
	switch {
	case h.on && ticks-h.last <= j.gap && h.trace.next(text):
		if h.total < whole {
			h.add([]byte("\n"))
			break
		}
		// The trace goes on in another row.
		rank, trace := h.levelOf(), h.trace
		j.flush(emit)
		h.on, h.ticks, h.level, h.trace = true, ticks, rank, trace
	default:
		j.flush(emit)
		object := isObject(text)
		rank := level.Of(text, object)
		if !object {
			h.trace.begin(text, rank)
		}
		if h.trace.form == single {
			emit(entry{ticks: ticks, out: j.out, text: text, total: total, level: rank, object: object})
			h.reset()
			return
		}
		h.on, h.ticks, h.level = true, ticks, rank
	}
	h.add(text)
	h.total += total - len(text)
	h.last = ticks
	h.from(at)
	for _, s := range more {
		h.from(s)
	}
}

// flush gives out the entry that may go on.
func (j *joiner) flush(emit func(entry)) {
	h := &j.held
	if !h.on {
		return
	}
	text := bytes.TrimRight(h.text, "\n")
	emit(entry{ticks: h.ticks, out: j.out, text: text, total: h.total - (len(h.text) - len(text)), level: h.levelOf()})
	h.reset()
}

// levelOf returns the level of a group: a stack trace whose head says nothing is an error,
// a panic is critical.
func (g *group) levelOf() string {
	switch {
	case g.trace.form == goroute && (g.level == level.Unknown || isPanic(g.text)):
		return level.Critical
	case g.level == level.Unknown && g.trace.form != block && g.trace.form != single:
		return level.Error
	}
	return g.level
}

// mark returns up to where in a file everything of this output is done, given how far the
// file was read.
func (j *joiner) mark(f *file, read int64) int64 {
	for _, g := range []*group{&j.part, &j.held} {
		if !g.on {
			continue
		}
		for _, s := range g.spans {
			if s.file == f {
				read = min(read, s.start)
			}
		}
	}
	return read
}

// size returns how many bytes wait in the joiner.
func (j *joiner) size() int { return len(j.part.text) + len(j.held.text) }
