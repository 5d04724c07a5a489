package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
)

// Git runs Git services. source.Service does.
type Git interface {
	// Talk runs a Git service between in and out until git ends; a refusal before that is a
	// fault, and nothing was written to out.
	Talk(ctx context.Context, c source.Call, in io.Reader, out io.Writer) error
}

// Keys knows who holds which key. identity.Service does.
type Keys interface {
	// ActorForKey says who holds the key with this blob (RFC 4253); an unknown one is
	// fault.Unauthentic.
	ActorForKey(ctx context.Context, blob []byte) (identity.Actor, error)
}

// Limits bound what clients may ask for; zero fields get the defaults.
type Limits struct {
	Connections int           // at a time; 200
	PerAddress  int           // connections of one IP address at a time; 40
	Sessions    int           // of one connection at a time; 10
	Handshake   time.Duration // from accepting to authenticated; 20 s
	Wait        time.Duration // without a session, and of a session without a command; 1 min
	Idle        time.Duration // of a transfer without a byte in either direction; 3 min
}

// Parts are what a Server is made of.
type Parts struct {
	Git     Git
	Keys    Keys
	HostKey ssh.Signer
	// Address is what clients connect to, for messages: "localhost:7022".
	Address string
	Limits  Limits
	// Logger takes what an operator should know; nil means the default logger.
	Logger *slog.Logger
}

// Server serves Git over SSH. It is safe for concurrent use.
type Server struct {
	parts Parts

	mu      sync.Mutex
	open    map[net.Conn]string // connection → IP address
	running sync.WaitGroup
}

// New returns a server; Serve lets clients in.
func New(p Parts) *Server {
	l := &p.Limits
	l.Connections, l.PerAddress, l.Sessions = orInt(l.Connections, 200), orInt(l.PerAddress, 40), orInt(l.Sessions, 10)
	l.Handshake, l.Wait, l.Idle = orTime(l.Handshake, 20*time.Second), orTime(l.Wait, time.Minute), orTime(l.Idle, 3*time.Minute)
	if p.Logger == nil {
		p.Logger = slog.Default()
	}
	return &Server{parts: p, open: map[net.Conn]string{}}
}

func orInt(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func orTime(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Serve answers connections until ctx ends or the listener fails; it closes both the
// listener and the connections, waits for pushes that are being finished, and returns nil
// when ctx ended it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.running.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		_ = l.Close() // It may be closed already.
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.open {
			_ = c.Close() // The client may have left.
		}
	})
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close() // Too late.
			}
			return nil
		}
		if err != nil {
			var temporary net.Error
			if errors.As(err, &temporary) && temporary.Timeout() {
				continue
			}
			return fmt.Errorf("accepting an SSH connection: %w", err)
		}
		if !s.enter(ctx, c) {
			_ = c.Close() // There is nothing to say before the handshake.
			continue
		}
		s.running.Go(func() {
			defer s.leave(c)
			s.serve(ctx, c)
		})
	}
}

// enter counts a connection in, unless there are too many.
func (s *Server) enter(ctx context.Context, c net.Conn) bool {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		host = c.RemoteAddr().String()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	same := 0
	for _, h := range s.open {
		if h == host {
			same++
		}
	}
	if len(s.open) >= s.parts.Limits.Connections || same >= s.parts.Limits.PerAddress || ctx.Err() != nil {
		s.parts.Logger.Warn("an SSH connection is one too many", "address", host, "open", len(s.open), "of_address", same)
		return false
	}
	s.open[c] = host
	return true
}

func (s *Server) leave(c net.Conn) {
	_ = c.Close() // The client may have left.
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// keyExtension is where the permissions of a connection hold the key's blob.
const keyExtension = "towpath-key"

// config lets in who holds a known key.
func (s *Server) config(ctx context.Context) *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-Towpath",
		PublicKeyAuthAlgorithms: []string{
			ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512,
		},
		// A client asks here about keys that it may not hold: nothing is concluded from it.
		PublicKeyCallback: func(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if conn.User() != "git" {
				return nil, errors.New("the user is not git")
			}
			if _, err := s.parts.Keys.ActorForKey(ctx, key.Marshal()); err != nil {
				return nil, err
			}
			return &ssh.Permissions{}, nil
		},
		// The signature was verified: this key is who the connection is.
		VerifiedPublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey, _ *ssh.Permissions, _ string) (*ssh.Permissions, error) {
			return &ssh.Permissions{Extensions: map[string]string{keyExtension: string(key.Marshal())}}, nil
		},
		BannerCallback: func(conn ssh.ConnMetadata) string {
			if conn.User() == "git" {
				return ""
			}
			return "Towpath: connect as the user git, as in " + URL(s.parts.Address, "project/repo") + "\n"
		},
	}
	c.AddHostKey(s.parts.HostKey)
	return c
}

// serve runs one connection to its end.
func (s *Server) serve(ctx context.Context, c net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := c.SetDeadline(time.Now().Add(s.parts.Limits.Handshake)); err != nil {
		return
	}
	conn, channels, requests, err := ssh.NewServerConn(c, s.config(ctx))
	if err != nil {
		s.parts.Logger.Debug("an SSH client was not let in", "address", c.RemoteAddr().String(), "error", err)
		return
	}
	defer conn.Close()
	if err := c.SetDeadline(time.Time{}); err != nil {
		return
	}
	go ssh.DiscardRequests(requests) // Among them every wish to forward ports.
	p := &peer{server: s, conn: c, key: []byte(conn.Permissions.Extensions[keyExtension])}
	p.idle = time.AfterFunc(s.parts.Limits.Wait, p.hang)
	defer p.idle.Stop()
	for n := range channels {
		p.channel(ctx, n)
	}
	cancel() // Ends fetches; a push that is being finished goes on.
	p.sessions.Wait()
}

// peer is the other side of one connection.
type peer struct {
	server   *Server
	conn     net.Conn
	key      []byte // that completed authentication
	idle     *time.Timer
	sessions sync.WaitGroup

	mu    sync.Mutex
	open  int // sessions now
	total int // sessions since the connection began
}

// maxTotal is how many sessions one connection may have one after the other: a client that
// never lets go of the ended ones makes each of them cost memory.
const maxTotal = 1000

// hang ends the connection. Closing a channel alone would wait for the client to agree.
func (p *peer) hang() { _ = p.conn.Close() } // The client may have left.

// channel opens a session, when it is one and there are not too many.
func (p *peer) channel(ctx context.Context, n ssh.NewChannel) {
	if n.ChannelType() != "session" {
		_ = n.Reject(ssh.Prohibited, "Towpath serves Git here, and forwards nothing") // The client may have left.
		return
	}
	p.mu.Lock()
	full := p.open >= p.server.parts.Limits.Sessions || p.total >= maxTotal
	if !full {
		p.open++
		p.total++
		p.idle.Stop()
	}
	p.mu.Unlock()
	if full {
		_ = n.Reject(ssh.ResourceShortage, "too many sessions of one connection") // The client may have left.
		return
	}
	p.sessions.Go(func() {
		defer p.done()
		ch, requests, err := n.Accept()
		if err != nil {
			return // The client has left.
		}
		newSession(p, ch).run(ctx, requests)
	})
}

func (p *peer) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open--; p.open == 0 {
		p.idle.Reset(p.server.parts.Limits.Wait)
	}
}
