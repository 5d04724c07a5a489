package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// TerminalUse says who was in a kept job, and when. Closed is zero while the terminal is open.
type TerminalUse struct {
	Job    string    `json:"job"`
	By     string    `json:"by"` // "user:ada"
	Opened time.Time `json:"opened"`
	Closed time.Time `json:"closed,omitzero"`
}

const (
	// maxTerminals bounds the terminals of a kept job at a time.
	maxTerminals = 4
	// agentWithin is how long an agent may take to open a terminal.
	agentWithin = 20 * time.Second
	// maxUses bounds the list of terminals of a run.
	maxUses = 200
)

// Person is the end of a terminal at which somebody types. protocol.Frames are one.
type Person interface {
	// Read returns the next frame: data or a new size. Its error ends the terminal.
	Read() (kind byte, payload []byte, err error)
	// Write shows a frame: data, or the end. It may hold up who calls it, but not for ever.
	Write(kind byte, payload []byte) error
}

// Terminal is a terminal that is open in a kept job. Whoever has it joins it once.
type Terminal struct {
	Job   string    // path
	Until time.Time // when the job is released at the latest

	idle   time.Duration
	agent  *protocol.Frames
	way    io.ReadWriteCloser
	close  func()
	ending chan string // why it is to end
	once   sync.Once
}

// call is a terminal that an agent is to open.
type call struct {
	id, job string
	size    protocol.Size
	told    bool
	came    chan io.ReadWriteCloser // of one element
	over    chan struct{}           // closed when the stay has ended
}

// mayEnter refuses who may not have a terminal in the jobs of a run: a person who maintains
// the project, because secrets that the pipeline may use stand in the environment and on the
// disk of the job, and who may read every repository that it checks out.
func (s *Service) mayEnter(ctx context.Context, a identity.Actor, n int64) (*runRow, error) {
	if _, err := s.authorized(ctx, a, n, identity.Maintain); err != nil {
		return nil, err
	}
	if a.Kind != identity.KindUser {
		return nil, fault.New(fault.Denied, "A terminal is for people; %s is none.", a)
	}
	r, err := s.loadRun(ctx, s.db, n)
	if err != nil {
		return nil, err
	}
	for _, linked := range linkedRepos(r.plan, r.Project) {
		project, _, _ := strings.Cut(linked.Repo, "/")
		if project != r.Project && s.auth.Require(ctx, a, project, identity.Read) != nil {
			return nil, fault.New(fault.Denied, "The run has sources of another project, which you may not read.").
				WithNext("ask somebody who maintains that project for the role read")
		}
	}
	return r, nil
}

// MayEnter returns nil when the actor may open terminals in the kept jobs of a run, and a
// fault otherwise.
func (s *Service) MayEnter(ctx context.Context, a identity.Actor, n int64) error {
	_, err := s.mayEnter(ctx, a, n)
	return err
}

// OpenTerminal opens a terminal in a kept job; path "" means the only one. It needs the
// maintain role in the project and the read role wherever the job has its sources from. The
// caller joins it or closes it.
func (s *Service) OpenTerminal(ctx context.Context, a identity.Actor, n int64, path string, size protocol.Size) (*Terminal, error) {
	run, err := s.mayEnter(ctx, a, n)
	if err != nil {
		return nil, err
	}
	stay, err := s.standing(ctx, n, path)
	if err != nil {
		return nil, err
	}
	c := &call{id: s.clock.NewID(), job: stay.job, size: size.Bounded(), came: make(chan io.ReadWriteCloser, 1), over: make(chan struct{})}
	if err := s.stays.ask(c); err != nil {
		return nil, err
	}
	if err := s.noteTerminal(ctx, run, stay, c.id, a); err != nil {
		s.stays.unask(c)
		return nil, err
	}
	s.hub.signal(onStay(stay.job))
	way, err := s.await(ctx, c)
	if err != nil {
		s.noteClosed(c.id, stay.run)
		return nil, err
	}
	t := &Terminal{Job: stay.path, Until: stay.until, idle: s.opts.TerminalIdle, agent: protocol.NewFrames(way), way: way, ending: make(chan string, 1)}
	t.close = func() {
		s.stays.closed(stay.job, t)
		s.noteClosed(c.id, stay.run)
	}
	if !s.stays.entered(stay.job, t) {
		t.Close()
		return nil, fault.New(fault.Conflict, "The job was released while the terminal opened.")
	}
	return t, nil
}

// await waits for the agent that a terminal was asked of.
func (s *Service) await(ctx context.Context, c *call) (io.ReadWriteCloser, error) {
	late := time.NewTimer(agentWithin)
	defer late.Stop()
	defer s.stays.unask(c)
	select {
	case way := <-c.came:
		return way, nil
	case <-c.over:
		return nil, fault.New(fault.Conflict, "The job was released while the terminal opened.")
	case <-late.C:
		return nil, fault.New(fault.Unavailable, "The agent did not open a terminal within %s.", agentWithin).WithNext("try again; the agent may be cut off from the server")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// noteTerminal writes down that somebody opens a terminal.
func (s *Service) noteTerminal(ctx context.Context, run *runRow, stay *stayRow, id string, a identity.Actor) error {
	return s.again(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO pipeline_terminal (id, job, run, path, actor, opened) VALUES (?,?,?,?,?,?)`, id, stay.job, stay.run, stay.path, a.String(), millis(s.clock.Now()))
		if err != nil {
			return fmt.Errorf("noting that a terminal is opened: %w", err)
		}
		tx.AfterCommit(func() { s.hub.signal(onRun(stay.run)) })
		return s.log.Append(ctx, tx, stayFact(event.TypeTerminalOpened, run, stay, a.String()))
	})
}

// noteClosed writes down that a terminal is over. It is for people who look at the run: that
// it fails is no reason for anything else to.
func (s *Service) noteClosed(id string, run int64) {
	ctx := context.Background()
	err := s.again(ctx, func(tx *store.Tx) error {
		tx.AfterCommit(func() { s.hub.signal(onRun(run)) })
		_, err := tx.Exec(ctx, `UPDATE pipeline_terminal SET closed = ? WHERE id = ? AND closed = 0`, millis(s.clock.Now()), id)
		return err
	})
	if err != nil {
		s.logger.Error("noting that a terminal is closed", "error", err)
	}
}

// terminalUses lists who was in the kept jobs of a run, the last first.
func (s *Service) terminalUses(ctx context.Context, n int64) ([]TerminalUse, error) {
	rows, err := s.db.Query(ctx, `SELECT path, actor, opened, closed FROM pipeline_terminal WHERE run = ? ORDER BY opened DESC, id DESC LIMIT ?`, n, maxUses)
	if err != nil {
		return nil, fmt.Errorf("reading the terminals of run %d: %w", n, err)
	}
	defer rows.Close()
	var out []TerminalUse
	for rows.Next() {
		var u TerminalUse
		var opened, closed int64
		if err := rows.Scan(&u.Job, &u.By, &opened, &closed); err != nil {
			return nil, fmt.Errorf("reading the terminals of run %d: %w", n, err)
		}
		u.Opened, u.Closed = fromMillis(opened), fromMillis(closed)
		out = append(out, u)
	}
	return out, rows.Err()
}

// ask puts a terminal on the list of a job's agent.
func (t *stays) ask(c *call) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.opened[c.job])
	for _, other := range t.calls {
		if other.job == c.job {
			n++
		}
	}
	if n >= maxTerminals {
		return fault.New(fault.Conflict, "The job has %d terminals already, which is the most.", n).WithNext("close one of them")
	}
	t.calls[c.id] = c
	return nil
}

func (t *stays) unask(c *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.calls, c.id)
	select {
	case way := <-c.came:
		_ = way.Close() // Nobody waits for it any more.
	default:
	}
}

// take are the terminals of a job that its agent has not been told of.
func (t *stays) take(job string) []protocol.Terminal {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []protocol.Terminal
	for _, c := range t.calls {
		if c.job == job && !c.told {
			c.told = true
			out = append(out, protocol.Terminal{ID: c.id, Size: c.size})
		}
	}
	return out
}

// meet gives the agent's connection to who waits for it; false when nobody does.
func (t *stays) meet(job, id string, way io.ReadWriteCloser) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.calls[id]
	if c == nil || c.job != job || len(c.came) > 0 {
		return false
	}
	c.came <- way
	return true
}

// awaited reports whether somebody waits for a terminal of a job.
func (t *stays) awaited(job, id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.calls[id]
	return c != nil && c.job == job && len(c.came) == 0
}

// entered counts a terminal in; false when the job is not kept any more.
func (t *stays) entered(job string, one *Terminal) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, kept := t.until[job]; !kept {
		return false
	}
	if t.opened[job] == nil {
		t.opened[job] = map[*Terminal]bool{}
	}
	t.opened[job][one] = true
	return true
}

func (t *stays) closed(job string, one *Terminal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.opened[job], one)
	if len(t.opened[job]) == 0 {
		delete(t.opened, job)
	}
}

// end asks for the end of a terminal.
func (t *Terminal) end(why string) {
	select {
	case t.ending <- why:
	default:
	}
}

// Close ends the terminal and what runs in it.
func (t *Terminal) Close() {
	t.once.Do(func() {
		_ = t.way.Close() // It is over whatever it says.
		t.close()
	})
}

// Join carries frames between a person and the terminal until one of them ends, the job is
// released, or nothing has passed for the idle time. The person is told the end, unless it is
// the person's own. It closes the terminal; the person's connection is the caller's.
func (t *Terminal) Join(ctx context.Context, p Person) {
	defer t.Close()
	passed := make(chan struct{}, 1)
	pass := func() {
		select {
		case passed <- struct{}{}:
		default:
		}
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		t.typed(p, pass)
	}()
	over := make(chan []byte, 1)
	go func() { over <- t.shown(p, pass) }()
	quiet := time.NewTimer(t.idle)
	defer quiet.Stop()
	for {
		select {
		case <-passed:
			quiet.Reset(t.idle)
			continue
		case end := <-over:
			if end != nil {
				_ = p.Write(protocol.FrameEnd, end)
			}
			return
		case why := <-t.ending:
			t.say(p, "The job is not kept any more: "+why)
		case <-quiet.C:
			t.say(p, fmt.Sprintf("Nothing happened for %s.", t.idle))
		case <-left:
		case <-ctx.Done():
		}
		// The goroutine that shows must not write after the end: the way is closed first.
		t.Close()
		return
	}
}

// say tells a person why the terminal ends. A person who is gone hears nothing.
func (t *Terminal) say(p Person, why string) {
	raw, err := json.Marshal(protocol.End{Code: -1, Why: why})
	if err == nil {
		_ = p.Write(protocol.FrameEnd, raw)
	}
}

// typed passes on what a person types until the person leaves or breaks the form.
func (t *Terminal) typed(p Person, pass func()) {
	for {
		kind, payload, err := p.Read()
		if err != nil || kind != protocol.FrameData && kind != protocol.FrameResize || t.agent.Write(kind, payload) != nil {
			return
		}
		pass()
	}
}

// shown passes on what is printed, and returns the end that the agent tells, or one for an
// agent that is gone; nil when the person is.
func (t *Terminal) shown(p Person, pass func()) []byte {
	for {
		kind, payload, err := t.agent.Read()
		switch {
		case err != nil:
			raw, merr := json.Marshal(protocol.End{Code: -1, Why: "The agent has closed the terminal."})
			return onlyIf(raw, merr)
		case kind == protocol.FrameEnd:
			return payload
		case kind != protocol.FrameData || p.Write(kind, payload) != nil:
			return nil
		}
		pass()
	}
}

func onlyIf(raw []byte, err error) []byte {
	if err != nil {
		return nil
	}
	return raw
}
