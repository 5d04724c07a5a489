package lake

import (
	"context"
	"os"
)

// Process returns the child that was started last and how many were started.
func Process(c *Client) (p *os.Process, starts int) {
	k := c.keep
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cmd == nil {
		return nil, 0
	}
	return k.cmd.Process, k.starts
}

// Ready waits until the lake answers.
func Ready(c *Client, ctx context.Context) error { return c.ready(ctx) }
