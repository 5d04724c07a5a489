package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// upgradeTime bounds how long the server may take to open the way.
const upgradeTime = 30 * time.Second

// Upgrade asks for another protocol at path and returns the connection when the server
// speaks it. It goes straight to the server: a proxy of the environment is not used.
func (c *Client) Upgrade(ctx context.Context, path, protocol string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, upgradeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v1"+path, nil)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%q is no address of a server.", c.base)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", protocol)
	req.Header.Set("User-Agent", "towpath")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	away := func(err error) error {
		return fault.Wrap(fault.Unavailable, err, "The server at %s does not answer.", c.base).WithNext("check the network; `towpath status` asks it too")
	}
	conn, err := dial(ctx, req.URL)
	if err != nil {
		return nil, away(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	r := bufio.NewReader(conn)
	err = req.Write(conn)
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(r, req)
	}
	if err != nil {
		_ = conn.Close()
		return nil, away(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer conn.Close()
		return nil, refusal(resp)
	}
	if !stop() {
		_ = conn.Close()
		return nil, away(ctx.Err())
	}
	return &upgraded{Conn: conn, r: r}, nil
}

func dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	address := net.JoinHostPort(u.Hostname(), port)
	d := &net.Dialer{KeepAlive: 15 * time.Second}
	if u.Scheme == "https" {
		return (&tls.Dialer{NetDialer: d, Config: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}}).DialContext(ctx, "tcp", address)
	}
	return d.DialContext(ctx, "tcp", address)
}

// upgraded is a connection whose first bytes may have been read already.
type upgraded struct {
	net.Conn
	r *bufio.Reader
}

// Read reads what was buffered first.
func (u *upgraded) Read(p []byte) (int, error) { return u.r.Read(p) }
