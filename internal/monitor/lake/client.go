package lake

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"towpath.dev/towpath/internal/monitor/table"
)

// Client talks to one lake. It is safe for concurrent use.
type Client struct {
	http *http.Client
	keep *keeper // of the child process, nil for a client of Dial
}

// startPatience is how long Start waits for a lake, which may have a long log to read.
const startPatience = 30 * time.Second

// Start runs towpath-lake as a child process, keeps it running until ctx ends or Close is
// called, and returns once it answers, or after half a minute without one that does. While
// the child is away (it crashed and is started again) calls return fault.Unavailable.
func Start(ctx context.Context, o Options, logger *slog.Logger) (*Client, error) {
	c := Dial(o.Socket)
	c.keep = keep(ctx, o, logger)
	first, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := c.ready(first); err != nil && (first.Err() == nil || ctx.Err() != nil) {
		c.Close()
		return nil, err
	} else if err != nil {
		logger.Error("the log engine does not answer yet; it is kept trying", "error", err)
	}
	return c, nil
}

// Dial returns a client of a lake that somebody else runs. No connection is made yet.
func Dial(socket string) *Client { return &Client{http: &http.Client{Transport: Transport(socket)}} }

// Transport makes requests to a socket, whatever host their URL names.
func Transport(socket string) *http.Transport {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &http.Transport{DialContext: dial, MaxIdleConns: 16, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, DisableCompression: true}
}

// Close ends the child process, after what it is storing, and waits for it.
func (c *Client) Close() {
	if c.keep != nil {
		c.keep.close()
	}
	c.http.CloseIdleConnections()
}

// Append stores batches. When it returns nil they are on disk and every later Query sees
// them. A batch with an ID that was stored before counts as stored. fault.Invalid: a table
// or a column that the catalogue does not have; the same call fails again. Unavailable:
// nothing can be stored now; send the same batches, with their IDs, again after the pause of
// fault.RetryAfter. After an error it is not known which of the batches were stored.
func (c *Client) Append(ctx context.Context, batches []*table.Batch) error {
	return c.append(ctx, batches)
}

// Query answers. fault.TooLarge: it would need more memory, time or result than it is
// given. fault.Invalid: the SQL is wrong, or names what no scan gives it.
func (c *Client) Query(ctx context.Context, q Query) (*Answer, error) { return c.query(ctx, q) }

// Stats returns what the lake holds.
func (c *Client) Stats(ctx context.Context) (*Usage, error) { return c.stats(ctx) }

// Seal makes segments of all hot rows and returns when they are durable.
func (c *Client) Seal(ctx context.Context) error { return c.seal(ctx) }
