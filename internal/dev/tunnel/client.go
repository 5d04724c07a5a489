package tunnel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/yamux"
)

// Local is the developer's program as the tunnel sees it.
type Local interface {
	// Dial returns a connection to the program for one that the session pod accepted at a
	// port. An error means that the program is down; its words reach whoever called.
	Dial(ctx context.Context, port int) (net.Conn, error)
}

// Client is the developer's end of a tunnel. It is safe for concurrent use.
type Client struct {
	end
	local Local
}

// Connect begins a tunnel on a connection to a session pod, with the session's token. It
// takes the connection over, and closes it when it returns an error. Connections that the
// pod accepts go to local until the tunnel ends; ctx bounds the greeting only.
func Connect(ctx context.Context, conn net.Conn, token string, local Local) (*Client, error) {
	if err := greet(ctx, conn, token); err != nil {
		_ = conn.Close()
		return nil, err
	}
	mux, err := yamux.Client(conn, config())
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("beginning the tunnel: %w", err)
	}
	c := &Client{end: end{mux: mux}, local: local}
	go c.serve(context.WithoutCancel(ctx), c.answer)
	return c, nil
}

func (c *Client) answer(ctx context.Context, h Header, s *stream) error {
	if h.Kind != HTTP {
		return Errorf(Unsupported, "a developer's end takes no stream of kind %s", h.Kind)
	}
	conn, err := c.local.Dial(ctx, h.Port)
	if err != nil {
		return Errorf(Refused, "the local program does not answer: %v", err)
	}
	if err := s.accept(Answer{}); err != nil {
		_ = conn.Close()
		return err
	}
	Pipe(conn, s)
	return nil
}

// Dial connects to "host:port" in the cluster; network is tcp or udp. Of a udp connection
// each Write is a datagram and each Read returns one. An Error with the code Forbidden
// means that the session may not reach the address.
func (c *Client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	s, _, err := c.open(ctx, Header{Kind: Dial, Network: network, Address: address})
	if err != nil {
		return nil, err
	}
	if network == "udp" {
		return &packets{stream: s}, nil
	}
	return s, nil
}

// Exchange asks the cluster's resolver one DNS message and returns its answer.
func (c *Client) Exchange(ctx context.Context, message []byte) ([]byte, error) {
	s, _, err := c.open(ctx, Header{Kind: DNS})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	stop := bound(ctx, s, 0)
	defer stop()
	if err := writePacket(s, message); err != nil {
		return nil, fmt.Errorf("asking the cluster's resolver: %w", err)
	}
	answer, err := readPacket(s)
	if err != nil {
		return nil, fmt.Errorf("waiting for the cluster's resolver: %w", err)
	}
	return answer, nil
}

// Lookup returns the addresses of a name in the cluster. A name without a dot is searched
// as a pod searches it.
func (c *Client) Lookup(ctx context.Context, name string) ([]string, error) {
	a, err := c.ask(ctx, Header{Kind: Lookup, Name: name})
	return a.Addresses, err
}

// Ping returns how long a way there and back takes.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	_, err := c.ask(ctx, Header{Kind: Ping})
	return time.Since(start), err
}

// Status returns how the session pod is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	a, err := c.ask(ctx, Header{Kind: State})
	if err != nil || a.Status == nil {
		return Status{}, err
	}
	return *a.Status, nil
}

// Renew asks the session pod to live until a time and returns until when it does, which is
// no later than its greatest age allows.
func (c *Client) Renew(ctx context.Context, until time.Time) (time.Time, error) {
	a, err := c.ask(ctx, Header{Kind: Renew, Expires: until})
	return a.Expires, err
}

// Logs returns what the program in the session pod has written of late and, with follow,
// what it writes from now on. The caller closes it; ctx bounds the request only.
func (c *Client) Logs(ctx context.Context, follow bool) (io.ReadCloser, error) {
	s, _, err := c.open(ctx, Header{Kind: Logs, Follow: follow})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Sync sends a program's binary up, which runs in place of the one before, and returns how
// the pod is when the program was started. Size and Sum of the build are set here. With a
// base, the binary that went up before, only what differs from it goes; when the pod does
// not have the base, all goes.
func (c *Client) Sync(ctx context.Context, b Build, binary, base []byte) (Status, error) {
	b.Size, b.Sum, b.Base = int64(len(binary)), digest(binary), ""
	if len(base) > 0 {
		b.Base = digest(base)
	}
	s, _, err := c.open(ctx, Header{Kind: Sync, Build: &b})
	if len(base) > 0 && CodeOf(err) == NotFound {
		return c.Sync(ctx, b, binary, nil)
	}
	if err != nil {
		return Status{}, err
	}
	defer s.Close()
	stop := bound(ctx, s, 0)
	defer stop()
	// An answer before the end means that the pod refused: then writing fails, and the
	// answer says why.
	packing := pack(s, binary, base)
	if packing == nil {
		packing = s.CloseWrite()
	}
	a, err := s.answer()
	switch {
	case err != nil && packing != nil && CodeOf(err) == Failed:
		return Status{}, fmt.Errorf("sending the binary: %w", packing)
	case err != nil:
		return Status{}, err
	case a.Status == nil:
		return Status{}, Errorf(Failed, "the session pod did not say how its program is")
	}
	return *a.Status, nil
}

// ask opens a stream whose answer is all of it.
func (c *Client) ask(ctx context.Context, h Header) (Answer, error) {
	s, a, err := c.open(ctx, h)
	if err != nil {
		return Answer{}, err
	}
	return a, s.Close()
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
