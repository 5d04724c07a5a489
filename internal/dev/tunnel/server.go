package tunnel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net"
	"time"

	"github.com/hashicorp/yamux"
)

// Pod is the session pod as the tunnel sees it: what a developer's end may ask of it. An
// Error that a method returns reaches the developer with its code, any other error with
// the code Failed.
type Pod interface {
	// Dial connects to "host:port" in the cluster (tcp or udp), or returns Forbidden.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	// Exchange asks the cluster's resolver one DNS message.
	Exchange(ctx context.Context, message []byte) ([]byte, error)
	// Lookup returns the addresses of a name, or NotFound.
	Lookup(ctx context.Context, name string) ([]string, error)
	// Status returns how the pod is.
	Status() Status
	// Renew extends the lease and returns when it ends.
	Renew(until time.Time) (time.Time, error)
	// Base returns the binary with the SHA-256, or NotFound.
	Base(sum string) ([]byte, error)
	// Sync runs a binary in place of the one before. It reads the reader to its end, which
	// is an error unless size and digest are the build's, before it runs anything.
	Sync(ctx context.Context, b Build, binary io.Reader) error
	// Logs writes what the program has written, and with follow goes on until ctx ends.
	Logs(ctx context.Context, w io.Writer, follow bool) error
}

// Server is the session pod's end of a tunnel. It is safe for concurrent use.
type Server struct {
	end
	pod Pod
}

// Accept begins a tunnel on a connection that a developer's end made, when its token is
// the session's. It takes the connection over, and closes it when it returns an error. It
// answers the developer's streams until the tunnel or ctx ends.
func Accept(ctx context.Context, conn net.Conn, token string, pod Pod) (*Server, error) {
	if err := admit(ctx, conn, token); err != nil {
		_ = conn.Close()
		return nil, err
	}
	mux, err := yamux.Server(conn, config())
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("beginning the tunnel: %w", err)
	}
	s := &Server{end: end{mux: mux}, pod: pod}
	stop := context.AfterFunc(ctx, func() { _ = mux.Close() })
	go func() {
		defer stop()
		s.serve(ctx, s.answer)
	}()
	return s, nil
}

// Forward opens a stream for a connection that the pod accepted at a port from peer, and
// returns it when the developer's program has taken it. An Error with the code Refused
// means that the program is down.
func (s *Server) Forward(ctx context.Context, port int, peer string) (net.Conn, error) {
	flow, _, err := s.open(ctx, Header{Kind: HTTP, Port: port, Peer: peer})
	if err != nil {
		return nil, err
	}
	return flow, nil
}

func (s *Server) answer(ctx context.Context, h Header, flow *stream) error {
	switch h.Kind {
	case Ping:
		return flow.accept(Answer{})
	case State:
		status := s.pod.Status()
		return flow.accept(Answer{Status: &status})
	case Renew:
		until, err := s.pod.Renew(h.Expires)
		if err != nil {
			return err
		}
		return flow.accept(Answer{Expires: until})
	case Lookup:
		addresses, err := s.pod.Lookup(ctx, h.Name)
		if err != nil {
			return err
		}
		return flow.accept(Answer{Addresses: addresses})
	case DNS:
		return s.exchange(ctx, flow)
	case Dial:
		return s.dial(ctx, h, flow)
	case Logs:
		return s.logs(ctx, h, flow)
	case Sync:
		return s.sync(ctx, *h.Build, flow)
	}
	return Errorf(Unsupported, "a session pod takes no stream of kind %s", h.Kind)
}

func (s *Server) exchange(ctx context.Context, flow *stream) error {
	if err := flow.accept(Answer{}); err != nil {
		return err
	}
	_ = flow.SetReadDeadline(time.Now().Add(helloTime))
	message, err := readPacket(flow)
	if err != nil {
		return err
	}
	answer, err := s.pod.Exchange(ctx, message)
	if err != nil {
		return err
	}
	return writePacket(flow, answer)
}

func (s *Server) dial(ctx context.Context, h Header, flow *stream) error {
	conn, err := s.pod.Dial(ctx, h.Network, h.Address)
	if err != nil {
		return err
	}
	if err := flow.accept(Answer{}); err != nil {
		_ = conn.Close()
		return err
	}
	if h.Network == "udp" {
		relay(conn, &packets{stream: flow})
		return nil
	}
	Pipe(conn, flow)
	return nil
}

func (s *Server) logs(ctx context.Context, h Header, flow *stream) error {
	if err := flow.accept(Answer{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		// The developer's end sends nothing: the end of its direction is the end.
		_, _ = io.Copy(io.Discard, flow)
		cancel()
	}()
	return s.pod.Logs(ctx, flow, h.Follow)
}

func (s *Server) sync(ctx context.Context, b Build, flow *stream) error {
	var base []byte
	if b.Base != "" {
		var err error
		if base, err = s.pod.Base(b.Base); err != nil {
			return err
		}
	}
	if err := flow.accept(Answer{}); err != nil {
		return err
	}
	binary, err := unpack(flow, base)
	if err != nil {
		return flow.refuse(Errorf(Invalid, "unpacking the binary: %v", err))
	}
	defer binary.Close()
	if err := s.pod.Sync(ctx, b, &proven{r: binary, left: b.Size, want: b.Sum, sum: sha256.New()}); err != nil {
		return flow.refuse(err)
	}
	status := s.pod.Status()
	return flow.accept(Answer{Status: &status})
}

// proven reads a binary and ends with an error when it is not the one that was announced.
type proven struct {
	r    io.Reader
	left int64
	want string
	sum  hash.Hash
}

func (p *proven) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if p.left -= int64(n); p.left < 0 {
		return 0, Errorf(Invalid, "the binary is longer than was said")
	}
	p.sum.Write(b[:n])
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		return n, Errorf(Invalid, "unpacking the binary: %v", err)
	}
	if p.left > 0 || hex.EncodeToString(p.sum.Sum(nil)) != p.want {
		return n, Errorf(Invalid, "the binary that came is not the one that was said: it was cut off or changed on its way")
	}
	return n, io.EOF
}
