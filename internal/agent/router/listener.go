package router

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Limits of a client's connection.
const (
	headerTime = 30 * time.Second
	idleTime   = 5 * time.Minute // longer than clients keep theirs, so that they end it
	maxStreams = 1000            // of one HTTP/2 connection
)

// listener serves one routed port.
type listener struct {
	number int
	server *http.Server
	last   atomic.Pointer[port] // what the port was when it left the table
	timer  *time.Timer          // set while the port lingers; guarded by the router's mu
}

func (r *Router) listen(number int, p *port) (*listener, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(r.cfg.Host, strconv.Itoa(number)))
	if err != nil {
		return nil, fmt.Errorf("binding port %d of %s: %w", number, p.service.Name, err)
	}
	l := &listener{number: number}
	l.last.Store(p)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	l.server = &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.serve(l, w, req) }),
		Protocols: protocols, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, ErrorLog: discard(),
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: 512 << 10, MaxReceiveBufferPerConnection: 2 << 20},
		DisableGeneralOptionsHandler: true,
	}
	go func() { _ = l.server.Serve(ln) }()
	return l, nil
}

// keep says that the port is in the table.
func (l *listener) keep(p *port) {
	l.last.Store(p)
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// lingers calls gone after the grace, unless the port is kept before.
func (l *listener) lingers(grace time.Duration, gone func()) {
	if l.timer == nil {
		l.timer = time.AfterFunc(grace, gone)
	}
}

func (l *listener) shut(drain time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if l.server.Shutdown(ctx) != nil {
		_ = l.server.Close()
	}
}

// discard is the log of what goes wrong on clients' connections: nothing that an operator
// could mend.
func discard() *log.Logger { return log.New(io.Discard, "", 0) }
