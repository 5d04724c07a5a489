package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
)

// maxRequests is how many requests a session takes before its command.
const maxRequests = 64

// session is one channel, which runs one command.
type session struct {
	peer     *peer
	ch       ssh.Channel
	protocol string // GIT_PROTOCOL
}

func newSession(p *peer, ch ssh.Channel) *session { return &session{peer: p, ch: ch} }

// run answers requests until one names the command, and runs that.
func (s *session) run(ctx context.Context, requests <-chan *ssh.Request) {
	defer s.ch.Close()
	wait := time.AfterFunc(s.peer.server.parts.Limits.Wait, s.peer.hang)
	defer wait.Stop()
	count := 0
	for r := range requests {
		if count++; count > maxRequests {
			return
		}
		ok, start := s.request(r)
		if r.WantReply {
			if err := r.Reply(ok, nil); err != nil {
				return // The client has left.
			}
		}
		if start == nil {
			continue
		}
		wait.Stop()
		go ssh.DiscardRequests(requests)
		s.exit(start(ctx))
		return
	}
}

// request judges one request; start is what to run when it names a command.
func (s *session) request(r *ssh.Request) (ok bool, start func(context.Context) int) {
	switch r.Type {
	case "env":
		var e struct{ Name, Value string }
		if ssh.Unmarshal(r.Payload, &e) == nil && e.Name == "GIT_PROTOCOL" && source.ProtocolOK(e.Value) {
			s.protocol = e.Value
			return true, nil
		}
	case "pty-req":
		return true, nil // None is made: it only keeps the client from complaining before our words.
	case "shell":
		return true, s.greet
	case "exec":
		var e struct{ Command string }
		if ssh.Unmarshal(r.Payload, &e) == nil {
			return true, func(ctx context.Context) int { return s.exec(ctx, e.Command) }
		}
	}
	return false, nil
}

// exit tells the status. When the client has left there is nobody to tell.
func (s *session) exit(status int) {
	_ = s.ch.CloseWrite()
	_, _ = s.ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
}

// say tells the person at the other end one line.
func (s *session) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.ch.Stderr(), "Towpath: "+format+"\r\n", args...) // The client may have left.
}

func (s *session) actor(ctx context.Context) (identity.Actor, error) {
	return s.peer.server.parts.Keys.ActorForKey(ctx, s.peer.key)
}

// greet answers "ssh host" without a command.
func (s *session) greet(ctx context.Context) int {
	actor, err := s.actor(ctx)
	if err != nil {
		return s.refuse(err)
	}
	who := actor.Name
	if actor.Kind == identity.KindKey {
		who = "deploy key of " + actor.Key.Repo
	}
	s.say("hello %s, your key works; there is no shell here, only Git: git clone %s", who, URL(s.peer.server.parts.Address, "project/repo"))
	return 1
}

// exec runs the command that a Git client asks for.
func (s *session) exec(ctx context.Context, command string) int {
	address, ok := ParseCommand(command)
	if !ok {
		s.say("only git clone, fetch and push are served here, of an address like %s", URL(s.peer.server.parts.Address, "project/repo"))
		return 1
	}
	actor, err := s.actor(ctx)
	if err != nil {
		return s.refuse(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pipe := s.watch(cancel)
	defer pipe.timer.Stop()
	call := source.Call{Actor: actor, Door: source.DoorSSH, Address: address, Protocol: s.protocol}
	err = s.peer.server.parts.Git.Talk(ctx, call, pipe, pipe)
	if err == nil {
		return 0
	}
	if fault.KindOf(err) == fault.Internal && ctx.Err() == nil {
		s.peer.server.parts.Logger.Warn("a Git transfer over SSH ended early", "repo", address.Project+"/"+address.Repo, "service", address.Action, "actor", actor.String(), "error", err)
		if pipe.wrote() { // git has told the client itself.
			return 1
		}
	}
	return s.refuse(err)
}

// refuse tells why, and what to do next.
func (s *session) refuse(err error) int {
	message, next := fault.Public(err)
	s.say("%s", strings.ReplaceAll(message, "\n", "\r\n"))
	if next != "" {
		s.say("next: %s", next)
	}
	return 1
}

// pipe is a session's channel; when it stands still the connection is ended.
type pipe struct {
	ch    ssh.Channel
	timer *time.Timer
	idle  time.Duration
	bytes chan struct{} // closed at the first byte to the client
}

// watch returns the channel with its timer running; expired is called when it stands still.
func (s *session) watch(expired func()) *pipe {
	p := &pipe{ch: s.ch, idle: s.peer.server.parts.Limits.Idle, bytes: make(chan struct{})}
	p.timer = time.AfterFunc(p.idle, func() {
		s.peer.hang()
		expired()
	})
	return p
}

// wrote reports whether anything was written to the client.
func (p *pipe) wrote() bool {
	select {
	case <-p.bytes:
		return true
	default:
		return false
	}
}

// Read reads from the client.
func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.ch.Read(b)
	if n > 0 {
		p.timer.Reset(p.idle)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("reading from the client: %w", err)
	}
	return n, err
}

// Write writes to the client. Only one goroutine writes.
func (p *pipe) Write(b []byte) (int, error) {
	n, err := p.ch.Write(b)
	if n > 0 {
		p.timer.Reset(p.idle)
		if !p.wrote() {
			close(p.bytes)
		}
	}
	if err != nil {
		return n, fmt.Errorf("writing to the client: %w", err)
	}
	return n, nil
}
