package router

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of connections to backends.
const (
	dialTime = 3 * time.Second
	// idleOut is below the time after which common servers end an idle connection, so that
	// a request seldom meets one that is just being closed.
	idleOut = 30 * time.Second
	maxIdle = 512 // to one backend
	// lanes is the number of HTTP/2 connections to one backend, among which requests
	// rotate: behind a Service each may end at another pod.
	lanes = 4
)

// backends holds the pools of connections.
type backends struct {
	one   *http.Transport        // HTTP/1.1
	two   [lanes]*http.Transport // HTTP/2 without TLS
	count atomic.Uint64
	// buffers are those through which bodies of responses flow.
	buffers buffers
}

// buffers lends what a response's body is copied through.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get returns a buffer.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

// Put takes a buffer back.
func (b *buffers) Put(p []byte) {
	if cap(p) >= bufferSize {
		b.pool.Put((*[bufferSize]byte)(p[:bufferSize]))
	}
}

func newBackends() *backends {
	b := &backends{one: transport()}
	b.one.Protocols.SetHTTP1(true)
	for i := range b.two {
		b.two[i] = transport()
		b.two[i].Protocols.SetUnencryptedHTTP2(true)
		// A pod that vanished without a word is found by a ping.
		b.two[i].HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second, MaxReceiveBufferPerStream: 512 << 10, MaxReceiveBufferPerConnection: 2 << 20}
	}
	return b
}

func transport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Protocols: new(http.Protocols), DialContext: dialer.DialContext,
		MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleOut,
		DisableCompression: true, ExpectContinueTimeout: time.Second,
		WriteBufferSize: 16 << 10, ReadBufferSize: 16 << 10,
	}
}

// pick returns the pool for a request.
func (b *backends) pick(http2 bool) http.RoundTripper {
	if !http2 {
		return b.one
	}
	return b.two[b.count.Add(1)%lanes]
}

func (b *backends) close() {
	b.one.CloseIdleConnections()
	for _, t := range b.two {
		t.CloseIdleConnections()
	}
}

// unreached reports whether an error of a round trip means that there was no connection to
// the backend, so that nothing of the request was sent.
func unreached(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && !errors.Is(err, context.Canceled)
}
