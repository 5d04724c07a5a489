package lake

import (
	"context"
	"os"
)

// Process returns the child that was started last and how many were started.
func Process(c *Client) (*os.Process, int) { return c.keep.process() }

// Ready waits until the lake answers.
func Ready(c *Client, ctx context.Context) error { return c.ready(ctx) }
