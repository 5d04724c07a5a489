package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/web/page"
)

// stayOf reads the tick box that keeps jobs that fail.
func stayOf(r request) time.Duration {
	if r.FormValue("keep") != "" {
		return pipeline.StayDefault
	}
	return 0
}

// keptInto collects the kept jobs of a run, and who was in them.
func (h *handler) keptInto(r request, d *pipeline.Detail, v *page.RunView) {
	v.CanKeep = h.Identity.Require(r.Context(), r.actor, r.project(), identity.Maintain) == nil
	for _, st := range d.Stages {
		for _, j := range st.Jobs {
			if j.Kept != nil {
				v.Kept = append(v.Kept, page.KeptJob{Path: j.Path, Title: jobTitle(st, j), Agent: j.Agent, Kept: *j.Kept})
			}
		}
	}
	if len(v.Kept) > 0 {
		v.CanEnter = h.Pipeline.MayEnter(r.Context(), r.actor, d.Number) == nil
	}
	v.Terminals = d.Terminals
}

// terminal is the page of a terminal in a kept job. The terminal itself is opened by the
// page's script, so that looking at the page leaves no trace.
func (h *handler) terminal(w http.ResponseWriter, r request) error {
	d, moved, err := h.detail(w, r)
	if err != nil || moved {
		return err
	}
	if err := h.Pipeline.MayEnter(r.Context(), r.actor, d.Number); err != nil {
		return err
	}
	var v page.RunView
	h.keptInto(r, d, &v)
	for _, k := range v.Kept {
		if k.Path != r.query("job") {
			continue
		}
		number := strconv.FormatInt(d.Number, 10)
		s := h.room(w, r, "runs", "Terminal in run "+number, page.Crumb{Text: "runs", Href: "/projects/" + r.project() + "/runs"},
			page.Crumb{Text: number, Href: runPath(d.Run)}, page.Crumb{Text: "terminal"})
		s.Styles, s.Scripts = []string{"vendor/xterm.css"}, []string{"vendor/xterm.min.js", "vendor/xterm-fit.min.js", "terminal.js"}
		return h.render(w, r, page.TerminalPage(s, runOf(d.Run), k))
	}
	return fault.New(fault.NotFound, "The job is not kept any more, or it never was.").WithNext("run it again and have it kept when it fails")
}

// releaseJob lets the agent of a kept job clear up.
func (h *handler) releaseJob(w http.ResponseWriter, r request) error {
	n, err := h.runNumber(r)
	if err != nil {
		return err
	}
	if err := h.Pipeline.Release(r.Context(), r.actor, n, r.FormValue("job")); err != nil {
		return err
	}
	return done(w, r, "/projects/"+r.project()+"/runs/"+r.PathValue("run"), "The job is released; its agent clears up.")
}

// socket joins a browser with a terminal in a kept job. Only pages of this server may ask: the
// origin is compared before the connection changes its protocol.
func (h *handler) socket(w http.ResponseWriter, r request) error {
	n, err := h.runNumber(r)
	if err != nil {
		return err
	}
	if !h.ownOrigin(r.Request) {
		return fault.New(fault.Denied, "This terminal was asked for by another site.").WithNext("open it from a page of Towpath")
	}
	one, err := h.Pipeline.OpenTerminal(r.Context(), r.actor, n, r.query("job"), protocol.ParseSize(r.query("columns"), r.query("rows")))
	if err != nil {
		return err
	}
	defer one.Close()
	// The origin was looked at above, with the public address as well.
	conn, err := websocket.Accept(w, r.Request, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return nil // The answer was written, and nobody waits for another.
	}
	conn.SetReadLimit(protocol.MaxFrame + 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	person := &browserEnd{ctx: ctx, conn: conn, room: unshown}
	person.more.L = &person.mu
	go person.keepAlive(cancel)
	one.Join(ctx, person)
	_ = conn.Close(websocket.StatusNormalClosure, "") // The browser may have left.
	return nil
}

// ownOrigin reports whether a request comes from a page of this server: of the address that it
// was sent to, or of the public one.
func (h *handler) ownOrigin(r *http.Request) bool {
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Host == "" {
		return false // A browser always says it for a WebSocket.
	}
	public, err := url.Parse(h.opts.PublicURL)
	return origin.Host == r.Host || err == nil && origin.Host == public.Host
}

const (
	// unshown is how many bytes may be on their way to a browser that it has not shown.
	unshown = 512 << 10
	// takenWithin bounds how long a browser may show nothing while something waits for it.
	takenWithin = time.Minute
	// pingEvery is how often a browser is asked whether it is there.
	pingEvery = 30 * time.Second
	// frameTaken is how many bytes the browser has shown, in digits. It ends here.
	frameTaken byte = 3
)

// browserEnd is a person at a browser. A message is the kind of a frame and its payload.
type browserEnd struct {
	ctx  context.Context // of the terminal
	conn *websocket.Conn

	mu   sync.Mutex
	more sync.Cond // that room has grown, or gone was set
	room int
	gone bool
}

var errForm = errors.New("the browser sent something that is no frame")

// Read returns the next frame that a person has typed.
func (b *browserEnd) Read() (byte, []byte, error) {
	for {
		kind, raw, err := b.conn.Read(b.ctx)
		if err == nil && (kind != websocket.MessageBinary || len(raw) == 0) {
			err = errForm
		}
		if err != nil {
			b.leave()
			return 0, nil, err
		}
		if raw[0] != frameTaken {
			return raw[0], raw[1:], nil
		}
		n, err := strconv.Atoi(string(raw[1:]))
		if err != nil || n < 0 || n > protocol.MaxFrame {
			b.leave()
			return 0, nil, errForm
		}
		b.mu.Lock()
		b.room = min(b.room+n, unshown)
		b.more.Broadcast()
		b.mu.Unlock()
	}
}

// leave wakes who waits for room.
func (b *browserEnd) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	b.more.Broadcast()
}

// Write shows a frame. It waits while too much has not been shown.
func (b *browserEnd) Write(kind byte, payload []byte) error {
	if kind == protocol.FrameData {
		late := time.AfterFunc(takenWithin, b.leave)
		b.mu.Lock()
		for b.room < len(payload) && !b.gone {
			b.more.Wait()
		}
		b.room -= len(payload)
		gone := b.gone
		b.mu.Unlock()
		late.Stop()
		if gone {
			return errors.New("the browser has left")
		}
	}
	ctx, cancel := context.WithTimeout(b.ctx, takenWithin)
	defer cancel()
	if err := b.conn.Write(ctx, websocket.MessageBinary, append([]byte{kind}, payload...)); err != nil {
		return fmt.Errorf("showing a frame: %w", err)
	}
	return nil
}

// keepAlive ends the terminal of a browser that does not answer.
func (b *browserEnd) keepAlive(end func()) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			b.leave()
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(b.ctx, pingEvery)
		err := b.conn.Ping(ctx)
		cancel()
		if err != nil {
			end()
		}
	}
}
