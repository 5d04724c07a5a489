package tail

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Path is where the server takes parcels, below its base URL.
const Path = "/agent/v1/telemetry"

// The headers of a parcel.
const (
	HeaderBatch = "X-Towpath-Batch" // the ID, 32 hexadecimal digits
	HeaderNode  = "X-Towpath-Node"  // the node's name
	HeaderTail  = "X-Towpath-Tail"  // Stats as JSON
)

// Client is the Sender that speaks to a Towpath server: POST of the body to Path, with
// Content-Encoding zstd and the agent's token. It is safe for concurrent use.
type Client struct {
	url   string
	node  string
	token func() (string, error)
	http  *http.Client
}

// NewClient returns a client for the server with this base URL ("http://127.0.0.1:7080").
// token is asked for every parcel, so that a new token is taken up. timeout bounds one try.
func NewClient(server, node string, token func() (string, error), timeout time.Duration) (*Client, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("the server %q is no URL; use one such as http://127.0.0.1:7080", server)
	}
	return &Client{
		url: strings.TrimRight(server, "/") + Path, node: node, token: token,
		http: &http.Client{
			Transport: http.DefaultTransport.(*http.Transport).Clone(), Timeout: timeout,
			// A token goes to the server that was named and to no other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Send posts one parcel.
func (c *Client) Send(ctx context.Context, p Parcel) error {
	token, err := c.token()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(p.Body))
	if err != nil {
		return err
	}
	stats, err := json.Marshal(p.Stats)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/vnd.towpath.batch")
	req.Header.Set("Content-Encoding", "zstd")
	req.Header.Set(HeaderBatch, hex.EncodeToString(p.ID[:]))
	req.Header.Set(HeaderNode, c.node)
	req.Header.Set(HeaderTail, string(stats))
	res, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL says nothing that helps
		}
		return fmt.Errorf("sending logs to the server: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection is used again
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return nil
	}
	if err != nil || len(text) == 0 {
		text = []byte(http.StatusText(res.StatusCode))
	}
	return &Refusal{Status: res.StatusCode, After: retryAfter(res.Header.Get("Retry-After"), time.Now()), Message: strings.TrimSpace(string(text))}
}

// retryAfter reads the header's two forms, seconds and a date (RFC 9110, section 10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return time.Duration(min(n, 3600)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return min(at.Sub(now), time.Hour)
	}
	return 0
}
