package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"towpath.dev/towpath/internal/agent/warden"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// shells are what a terminal may run, the first that there is: an image may have one alone.
var shells = [][]string{{"/bin/bash", "--norc", "-i"}, {"/bin/sh", "-i"}}

// lastWords bounds how long a terminal is read after its shell has ended.
const lastWords = time.Second

// terminal opens a terminal in the kept job and joins it with the server, which has asked for
// it. The connection goes out from here, as every one of the agent does.
func (r *jobRun) terminal(ctx context.Context, t protocol.Terminal) error {
	res, err := r.agent.client.upgrade().send(ctx, http.MethodGet, "jobs/"+r.job.ID+"/terminals/"+t.ID, r.job.Lease, nil,
		http.Header{"Connection": {"Upgrade"}, "Upgrade": {protocol.UpgradeTerminal}})
	if err != nil {
		return fmt.Errorf("joining a terminal: %w", err)
	}
	way, both := res.Body.(io.ReadWriteCloser)
	if res.StatusCode != http.StatusSwitchingProtocols || !both {
		return errors.Join(errors.New("the server does not speak the protocol of terminals"), res.Body.Close())
	}
	defer way.Close()
	frames := protocol.NewFrames(way)
	at := r.place()
	p, screen, err := r.shell(at, t.Size)
	if err != nil {
		return errors.Join(err, frames.WriteJSON(protocol.FrameEnd, protocol.End{Code: -1, Why: r.masker.String(err.Error())}))
	}
	defer screen.Close()
	gone := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { _ = way.Close() })
	defer stop()
	go func() {
		defer close(gone)
		typed(frames, screen)
	}()
	ended := make(chan warden.Exit, 1)
	go func() {
		exit, err := p.Wait()
		if err != nil {
			exit.Code = -1
		}
		ended <- exit
	}()
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		show(frames, screen)
	}()
	select {
	case exit := <-ended:
		// What it printed last is read before the end is told. A child may hold the terminal open
		// for ever; then this ends without it.
		_ = screen.SetReadDeadline(time.Now().Add(lastWords))
		<-printed
		return frames.WriteJSON(protocol.FrameEnd, protocol.End{Code: exit.Code})
	case <-gone:
		_ = p.Signal(syscall.SIGHUP)
		return p.Kill()
	}
}

// shell starts a shell with a terminal of its own where the job failed, as the user of the
// steps and with their environment.
func (r *jobRun) shell(at *failedStep, size protocol.Size) (*warden.Process, *os.File, error) {
	env := slices.DeleteFunc(slices.Clone(at.Env), func(kv string) bool { return strings.HasPrefix(kv, "TERM=") || strings.HasPrefix(kv, "PS1=") })
	env = append(env, "TERM=xterm-256color", `PS1=[failed step] \w\$ `) // It says where one is.
	starter := r.warden
	if at.in != nil {
		starter = at.in.warden
	}
	var errs []error
	for _, words := range shells {
		p, screen, err := starter.StartTerminal(warden.Command{Path: words[0], Args: words, Env: env, Dir: at.Dir, UID: r.space.uid, GID: r.space.gid})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		b := size.Bounded()
		return p, screen, warden.Resize(screen, b.Columns, b.Rows)
	}
	return nil, nil, fmt.Errorf("opening a terminal: %w", errors.Join(errs...))
}

// typed passes on what a person types until the connection ends or breaks the form.
func typed(frames *protocol.Frames, screen *os.File) {
	for {
		kind, payload, err := frames.Read()
		if err != nil {
			return
		}
		switch kind {
		case protocol.FrameData:
			_, err = screen.Write(payload)
		case protocol.FrameResize:
			var size protocol.Size
			if json.Unmarshal(payload, &size) == nil {
				b := size.Bounded()
				err = warden.Resize(screen, b.Columns, b.Rows)
			}
		default:
			return
		}
		if err != nil {
			return // The shell is over, which its exit tells.
		}
	}
}

// show passes on what a terminal prints. What the connection does not take holds it up.
func show(frames *protocol.Frames, screen *os.File) {
	buf := make([]byte, protocol.MaxFrame)
	for {
		n, err := screen.Read(buf)
		if n > 0 && frames.Write(protocol.FrameData, buf[:n]) != nil || err != nil {
			return
		}
	}
}
