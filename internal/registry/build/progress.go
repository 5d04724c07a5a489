package build

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"
)

// maxLine is the longest line that is passed on, in bytes.
const maxLine = 16 << 10

// printer turns BuildKit's status messages into the lines that people know from
// `docker build --progress=plain`: "#4 [2/3] RUN make", "#4 0.312 output", "#4 DONE 1.2s".
type printer struct {
	out   func(line string)
	steps map[digest.Digest]*step
	ended []ending
}

// ending is the line that ends a step. It is held back for some messages, because BuildKit
// says that a step has ended before it says the last of what the step did.
type ending struct {
	line string
	hold int
}

// held is for how many messages.
const held = 2

// step is one vertex of the build that has begun.
type step struct {
	number int
	began  time.Time
	ended  bool
	rest   []byte          // output after its last line break
	said   map[string]bool // transfers whose end was told
}

func newPrinter(out func(string)) *printer {
	return &printer{out: out, steps: map[digest.Digest]*step{}}
}

func (p *printer) print(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		if v.Started != nil {
			p.begin(v)
		}
	}
	for _, t := range s.Statuses {
		p.transfer(t)
	}
	for _, l := range s.Logs {
		p.log(l)
	}
	for _, w := range s.Warnings {
		p.out("WARNING: " + clean(string(w.Short)))
	}
	p.age(1)
	for _, v := range s.Vertexes {
		if v.Completed != nil {
			p.end(v)
		}
	}
}

// flush passes on what was held back.
func (p *printer) flush() { p.age(held) }

func (p *printer) age(messages int) {
	kept := p.ended[:0]
	for _, e := range p.ended {
		if e.hold -= messages; e.hold <= 0 {
			p.out(e.line)
		} else {
			kept = append(kept, e)
		}
	}
	p.ended = kept
}

func (p *printer) begin(v *client.Vertex) *step {
	st, ok := p.steps[v.Digest]
	if ok {
		return st
	}
	st = &step{number: len(p.steps) + 1, said: map[string]bool{}}
	if v.Started != nil {
		st.began = *v.Started
	}
	p.steps[v.Digest] = st
	p.out(fmt.Sprintf("#%d %s", st.number, clean(v.Name)))
	return st
}

func (p *printer) end(v *client.Vertex) {
	st := p.begin(v)
	if st.ended {
		return
	}
	st.ended = true
	if len(st.rest) > 0 {
		p.out(fmt.Sprintf("#%d %s", st.number, clean(string(st.rest))))
		st.rest = nil
	}
	line := fmt.Sprintf("DONE %.1fs", v.Completed.Sub(st.began).Seconds())
	switch {
	case v.Error != "":
		line = "ERROR: " + clean(v.Error)
	case v.Cached:
		line = "CACHED"
	}
	p.ended = append(p.ended, ending{fmt.Sprintf("#%d %s", st.number, line), held})
}

func (p *printer) transfer(t *client.VertexStatus) {
	st, ok := p.steps[t.Vertex]
	if !ok || t.Completed == nil || st.said[t.ID] {
		return
	}
	st.said[t.ID] = true
	size := ""
	if t.Total > 0 {
		size = fmt.Sprintf(" %d bytes", t.Total)
	}
	p.out(fmt.Sprintf("#%d %s%s done", st.number, clean(t.ID), size))
}

// log passes output on line by line; what has no line break yet waits for it.
func (p *printer) log(l *client.VertexLog) {
	st, ok := p.steps[l.Vertex]
	if !ok {
		return
	}
	data := append(st.rest, l.Data...)
	st.rest = nil
	for {
		i := bytes.IndexByte(data, '\n')
		if i < 0 && len(data) > maxLine {
			i = maxLine
		}
		if i < 0 {
			st.rest = bytes.Clone(data)
			return
		}
		p.out(fmt.Sprintf("#%d %.3f %s", st.number, l.Timestamp.Sub(st.began).Seconds(), clean(string(data[:i]))))
		data = data[min(i+1, len(data)):]
	}
}

// source prints the lines of the Dockerfile that an error is about.
func (p *printer) source(err error) {
	for _, s := range errdefs.Sources(err) {
		var b bytes.Buffer
		if perr := s.Print(&b); perr != nil {
			continue
		}
		for line := range strings.SplitSeq(strings.TrimRight(b.String(), "\n"), "\n") {
			p.out(clean(line))
		}
	}
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		p.out(fmt.Sprintf("The step ended with exit code %d.", exit.ExitCode()))
	}
}

// clean keeps a line one line: what follows a carriage return overwrites what was before
// it, as on a terminal.
func clean(s string) string {
	s = strings.TrimRight(s, "\r\n")
	if i := strings.LastIndexByte(s, '\r'); i >= 0 {
		s = s[i+1:]
	}
	s = strings.ReplaceAll(s, "\n", " ")
	if len(s) > maxLine {
		s = s[:maxLine]
	}
	return s
}
