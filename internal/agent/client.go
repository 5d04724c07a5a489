package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"towpath.dev/towpath/internal/pipeline/protocol"
)

// client speaks the protocol. It is safe for concurrent use.
type client struct {
	base  string
	token string
	http  *http.Client
}

func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.ResponseHeaderTimeout = 2 * time.Minute
	return t
}

// upgrade is the client for requests that change the protocol of their connection, which
// HTTP/2 does not know.
func (c *client) upgrade() *client {
	out := *c
	if t, ok := c.http.Transport.(*http.Transport); ok {
		t = t.Clone()
		t.ForceAttemptHTTP2, t.TLSNextProto = false, map[string]func(string, *tls.Conn) http.RoundTripper{}
		if t.TLSClientConfig != nil {
			t.TLSClientConfig.NextProtos = []string{"http/1.1"}
		}
		out.http = &http.Client{Transport: t}
	}
	return &out
}

// refusal is an answer of the server that is not a success.
type refusal struct {
	status int
	body   []byte
	said   protocol.Error
}

func (r *refusal) Error() string {
	if r.said.Next != "" {
		return r.said.Message + " (" + r.said.Next + ")"
	}
	return r.said.Message
}

// ended reports whether the server has ended the job, or does not know it.
func ended(err error) bool {
	var r *refusal
	return errors.As(err, &r) && (r.status == http.StatusConflict || r.status == http.StatusNotFound || r.status == http.StatusForbidden)
}

// permanent reports whether repeating a call is useless.
func permanent(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status < 500 && r.status != http.StatusTooManyRequests && r.status != http.StatusRequestTimeout
}

// retry repeats a call with growing pauses until it succeeds, is refused for good, or
// ctx ends.
func retry(ctx context.Context, call func() error) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 3*time.Second) {
		err := call()
		if err == nil || permanent(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// call posts in as JSON and decodes the answer into out, which may be nil.
func (c *client) call(ctx context.Context, path, lease string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	res, err := c.send(ctx, http.MethodPost, path, lease, bytes.NewReader(body), nil)
	if err != nil {
		return err
	}
	defer drain(res.Body)
	if out == nil || res.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, protocol.MaxJSON)).Decode(out); err != nil {
		return fmt.Errorf("reading the server's answer to %s: %w", path, err)
	}
	return nil
}

// send sends a request and returns the answer when it is a success; the caller closes
// its body.
func (c *client) send(ctx context.Context, method, path, lease string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/"+path, body)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if lease != "" {
		req.Header.Set(protocol.HeaderLease, lease)
	}
	res, err := c.http.Do(req)
	if err != nil {
		// The URL holds nothing that helps; the cause does.
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer drain(res.Body)
	r := &refusal{status: res.StatusCode}
	raw, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil || json.Unmarshal(raw, &r.said) != nil || r.said.Message == "" {
		r.said.Message = fmt.Sprintf("the server answered %s", res.Status)
	}
	if len(raw) > 0 {
		r.body = raw
	}
	return nil, r
}

// drain reads the rest of a body, so that the connection can be used again.
func drain(body io.ReadCloser) {
	_, _ = io.Copy(io.Discard, io.LimitReader(body, 64<<10))
	_ = body.Close()
}
