// Package client is the Go client of the HTTP API, which the command line uses. It
// turns problem documents back into faults, so that the exit code of a command is that
// of the rule that refused it.
//
// It imports fault and the standard library; the shapes of answers are api's.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// maxAnswer bounds an answer in bytes.
const maxAnswer = 64 << 20

// Client talks to one server. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New returns a client of the server at base ("http://localhost:7080") that bears
// token; "" is nobody.
func New(base, token string) *Client {
	return &Client{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{}}
}

// Get reads path, which begins with "/" and is below /api/v1, into out.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.Do(ctx, http.MethodGet, path, nil, out)
}

// Do makes a request with a JSON body (nil for none) and decodes the answer into out
// (nil to drop it). A refusal is a fault with the server's words.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.send(ctx, method, path, "application/json", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil || resp.StatusCode == http.StatusNoContent || resp.ContentLength == 0 {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fault.Wrap(fault.Internal, err, "The server's answer cannot be read.")
	}
	return nil
}

// Raw makes a request and returns the answer's body, which the caller closes.
func (c *Client) Raw(ctx context.Context, method, path, contentType string, body io.Reader) (io.ReadCloser, error) {
	resp, err := c.send(ctx, method, path, contentType, body)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func (c *Client) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/api/v1"+path, body)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%q is no address of a server.", c.base)
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("User-Agent", "towpath")
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fault.Wrap(fault.Unavailable, err, "The server at %s does not answer.", c.base).
			WithNext("start it with `towpath up`, or choose another with `towpath context use NAME`")
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp, nil
}

func refusal(resp *http.Response) error {
	var p struct {
		Detail string `json:"detail"`
		Next   string `json:"next"`
		ID     string `json:"id"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || json.Unmarshal(b, &p) != nil || p.Detail == "" {
		return fault.New(fault.OfStatus(resp.StatusCode), "The server answered %s.", resp.Status)
	}
	for _, e := range p.Errors {
		p.Detail += fmt.Sprintf(" %s: %s.", e.Location, e.Message)
	}
	if fault.OfStatus(resp.StatusCode) == fault.Internal {
		p.Detail += " Error id " + p.ID + "."
	}
	return &fault.Error{Kind: fault.OfStatus(resp.StatusCode), Message: p.Detail, Next: p.Next}
}

// Event is one server-sent event.
type Event struct {
	ID   string
	Type string
	Data []byte
}

// Stream reads server-sent events from path and gives each to handle until ctx ends,
// handle returns an error (io.EOF ends it well), or the server closes the stream and
// does not take it up again within a few tries. After a break it continues with the
// last id seen.
func (c *Client) Stream(ctx context.Context, path string, handle func(Event) error) error {
	last, tries := "", 0
	for {
		seen, err := c.stream(ctx, path, last, handle)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !fault.Is(err, fault.Unavailable):
			return err
		}
		if seen != "" {
			last, tries = seen, 0
		}
		if tries++; tries > 20 {
			return fault.Wrap(fault.Unavailable, err, "The server at %s closed the stream.", c.base)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (c *Client) stream(ctx context.Context, path, last string, handle func(Event) error) (seen string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v1"+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Authorization", "Bearer "+c.token)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", fault.Wrap(fault.Unavailable, err, "The server at %s does not answer.", c.base)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return "", refusal(resp)
	}
	var e Event
	r := bufio.NewReader(resp.Body)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return seen, nil // The connection broke: the caller takes it up again.
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			if e.Data != nil {
				if err := handle(e); err != nil {
					return seen, err
				}
				seen = e.ID
			}
			e = Event{}
		case bytes.HasPrefix(line, []byte("id: ")):
			e.ID = string(line[4:])
		case bytes.HasPrefix(line, []byte("event: ")):
			e.Type = string(line[7:])
		case bytes.HasPrefix(line, []byte("data: ")):
			if e.Data != nil {
				e.Data = append(e.Data, '\n')
			}
			e.Data = append(e.Data, line[6:]...)
		}
	}
}
