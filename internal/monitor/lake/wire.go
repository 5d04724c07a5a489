package lake

import (
	"context"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/table"
)

var errAway = fault.New(fault.Unavailable, "The log engine does not run at the moment.")

func (c *Client) ready(context.Context) error                   { return errAway }
func (c *Client) append(context.Context, []*table.Batch) error  { return errAway }
func (c *Client) query(context.Context, Query) (*Answer, error) { return nil, errAway }
func (c *Client) stats(context.Context) (*Usage, error)         { return nil, errAway }
func (c *Client) seal(context.Context) error                    { return errAway }
