package devbox

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"towpath.dev/towpath/internal/dev/tunnel"
	"towpath.dev/towpath/internal/fault"
)

// Back-off between two tries to join the tunnel.
const (
	firstPause = 200 * time.Millisecond
	mostPause  = 5 * time.Second
)

// Link is a tunnel that is joined again whenever it breaks. It is safe for concurrent use.
type Link struct {
	open  func(ctx context.Context) (net.Conn, error)
	token string
	local tunnel.Local

	mu     sync.Mutex
	client *tunnel.Client
	joined chan struct{} // closed while client is there
}

var _ Cluster = (*Link)(nil)

// NewLink returns a link whose tunnel runs over the connections that open gives. Streams
// from the cluster go to local. Nothing happens until Keep.
func NewLink(open func(ctx context.Context) (net.Conn, error), token string, local tunnel.Local) *Link {
	return &Link{open: open, token: token, local: local, joined: make(chan struct{})}
}

// Keep joins the tunnel, and joins it again when it breaks, until ctx ends or the other end
// says that there is no session to join any more: that error is returned. up is called with
// true when the tunnel stands and with false when it broke.
func (l *Link) Keep(ctx context.Context, up func(bool)) error {
	pause := firstPause
	for {
		client, err := l.join(ctx)
		switch {
		case ctx.Err() != nil:
			if client != nil {
				_ = client.Close()
			}
			return ctx.Err()
		case err == nil:
			pause = firstPause
			l.set(client)
			up(true)
			select {
			case <-client.Done():
			case <-ctx.Done():
			}
			l.set(nil)
			_ = client.Close()
			if ctx.Err() == nil {
				up(false)
			}
		case final(err):
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, mostPause)
	}
}

func (l *Link) join(ctx context.Context) (*tunnel.Client, error) {
	conn, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	return tunnel.Connect(ctx, conn, l.token, l.local)
}

// final reports an error that another try does not mend: a refusal of the server or of the
// session's pod, not a broken way.
func final(err error) bool {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Kind != fault.Unavailable && f.Kind != fault.Internal && f.Kind != fault.Throttled
	}
	var t *tunnel.Error
	return errors.As(err, &t) && (t.Code == tunnel.Forbidden || t.Code == tunnel.Unsupported)
}

func (l *Link) set(c *tunnel.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client = c; c != nil {
		close(l.joined)
		return
	}
	l.joined = make(chan struct{})
}

// Tunnel returns the tunnel, waiting for it while it is broken.
func (l *Link) Tunnel(ctx context.Context) (*tunnel.Client, error) {
	for {
		l.mu.Lock()
		c, joined := l.client, l.joined
		l.mu.Unlock()
		if c != nil {
			return c, nil
		}
		select {
		case <-joined:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// waitForTunnel bounds how long a connection of the program waits for a broken tunnel.
const waitForTunnel = 10 * time.Second

// Dial connects to an address in the cluster.
func (l *Link) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, waitForTunnel)
	defer cancel()
	c, err := l.Tunnel(ctx)
	if err != nil {
		return nil, err
	}
	return c.Dial(ctx, network, address)
}

// Exchange asks the cluster's resolver one DNS message.
func (l *Link) Exchange(ctx context.Context, message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, waitForTunnel)
	defer cancel()
	c, err := l.Tunnel(ctx)
	if err != nil {
		return nil, err
	}
	return c.Exchange(ctx, message)
}

// pipe copies both ways until both directions have ended.
func pipe(a, b net.Conn) { tunnel.Pipe(a, b) }
