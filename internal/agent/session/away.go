package session

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// headerReason tells the router, and whoever reads the answer, why there is none.
const headerReason = "X-Towpath-Reason"

// away answers requests when there is no program that could: 502 with the reason, in the
// protocol in which the connection begins.
type away struct {
	server *http.Server
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
}

// reasoned is a connection with the reason why nobody else serves it.
type reasoned struct {
	net.Conn
	reason string
}

type reasonKey struct{}

func newAway() *away {
	a := &away{conns: make(chan net.Conn), done: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	a.server = &http.Server{
		Handler: http.HandlerFunc(refuse), Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0),
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if r, ok := c.(*reasoned); ok {
				ctx = context.WithValue(ctx, reasonKey{}, r.reason)
			}
			return ctx
		},
	}
	return a
}

func (a *away) run() { _ = a.server.Serve(a) }

func (a *away) close() { _ = a.server.Close() }

// answer takes a connection over.
func (a *away) answer(conn net.Conn, reason string) {
	select {
	case a.conns <- &reasoned{conn, reason}:
	case <-a.done:
		_ = conn.Close()
	}
}

// Accept, Close and Addr make it the server's listener.
func (a *away) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (a *away) Close() error {
	a.once.Do(func() { close(a.done) })
	return nil
}

// Addr is not used.
func (a *away) Addr() net.Addr { return &net.TCPAddr{} }

func refuse(w http.ResponseWriter, r *http.Request) {
	reason, _ := r.Context().Value(reasonKey{}).(string)
	h := w.Header()
	h.Set(headerReason, plain(reason))
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close") // the next connection may find the program there
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", "14") // UNAVAILABLE
		h.Set("Grpc-Message", url.PathEscape(plain(reason)))
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusBadGateway)
	fmt.Fprintf(w, "502 Bad Gateway\n\n%s\n", reason)
}

// plain makes a reason fit into a header.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s)
}
