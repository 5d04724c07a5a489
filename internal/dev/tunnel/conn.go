package tunnel

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/hashicorp/yamux"
)

// Times of a connection.
const (
	helloTime = 10 * time.Second // to say who one is
	keepalive = 10 * time.Second
	writeTime = 10 * time.Second // a write that takes longer means the other end is gone
	// closeTime bounds a stream of which one half is closed: a long answer to a short
	// request is such a stream.
	closeTime = time.Hour
	// drainTime bounds how long what comes on a closed stream is thrown away.
	drainTime = 30 * time.Second
)

// window is how many bytes of a stream may be under way. A pipe of 100 Mbit/s and 80 ms
// holds a MiB.
const window = 1 << 20

// maxStreams bounds the streams that the other end has open at a time.
const maxStreams = 4096

// hello is the first frame of a connection, by the developer's end.
type hello struct {
	Version int    `json:"v"`
	Token   string `json:"token"`
}

func config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.KeepAliveInterval = keepalive
	c.ConnectionWriteTimeout = writeTime
	c.MaxStreamWindowSize = window
	c.StreamCloseTimeout = closeTime
	c.LogOutput, c.Logger = nil, log.New(io.Discard, "", 0)
	return c
}

// greet sends the token and waits for the answer.
func greet(ctx context.Context, conn net.Conn, token string) error {
	stop := bound(ctx, conn, helloTime)
	defer stop()
	if err := WriteFrame(conn, hello{Version: Version, Token: token}); err != nil {
		return fmt.Errorf("greeting the session pod: %w", err)
	}
	var a Answer
	if err := ReadFrame(conn, &a); err != nil {
		return fmt.Errorf("waiting for the session pod's answer: %w", err)
	}
	if a.Code != "" {
		return &Error{Code: a.Code, Message: a.Message}
	}
	return nil
}

// admit reads the other end's token and answers it.
func admit(ctx context.Context, conn net.Conn, token string) error {
	stop := bound(ctx, conn, helloTime)
	defer stop()
	var h hello
	if err := ReadFrame(conn, &h); err != nil {
		return fmt.Errorf("reading the greeting of a developer's end: %w", err)
	}
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(h.Token))
	var refused *Error
	switch {
	case token == "" || subtle.ConstantTimeCompare(want[:], got[:]) != 1:
		refused = Errorf(Forbidden, "the token is not this session's")
	case h.Version != Version:
		refused = Errorf(Unsupported, "the session pod speaks version %d of the tunnel, the developer's end %d: bring both to one version", Version, h.Version)
	default:
		return WriteFrame(conn, Answer{})
	}
	if err := WriteFrame(conn, Answer{Code: refused.Code, Message: refused.Message}); err != nil {
		return errors.Join(refused, err)
	}
	return refused
}

// bound ends what waits on a connection when ctx ends or after d. The function that it
// returns lifts the bound.
func bound(ctx context.Context, conn net.Conn, d time.Duration) func() {
	if d > 0 {
		_ = conn.SetDeadline(time.Now().Add(d))
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if stop() {
			_ = conn.SetDeadline(time.Time{})
		}
	}
}

// end is what both ends of a tunnel have in common.
type end struct {
	mux *yamux.Session
}

// Done is closed when the tunnel has ended, whoever ended it.
func (e *end) Done() <-chan struct{} { return e.mux.CloseChan() }

// Close ends the tunnel and all its streams.
func (e *end) Close() error { return e.mux.Close() }

// serve answers the streams that the other end opens until the tunnel ends.
func (e *end) serve(ctx context.Context, answer func(context.Context, Header, *stream) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	free := make(chan struct{}, maxStreams)
	for {
		raw, err := e.mux.AcceptStream()
		if err != nil {
			return
		}
		free <- struct{}{}
		go func() {
			defer func() { <-free }()
			s := &stream{Stream: raw}
			defer s.Close()
			_ = s.SetDeadline(time.Now().Add(helloTime))
			h, err := ReadHeader(s)
			_ = s.SetDeadline(time.Time{})
			if err == nil {
				err = answer(ctx, h, s)
			}
			if err != nil && !s.answered {
				_ = s.refuse(err)
			}
		}()
	}
}

// open opens a stream and returns it with the other end's first answer. An answer with a
// code is returned as an Error.
func (e *end) open(ctx context.Context, h Header) (*stream, Answer, error) {
	raw, err := e.mux.OpenStream()
	if err != nil {
		return nil, Answer{}, fmt.Errorf("opening a stream of the tunnel: %w", err)
	}
	s := &stream{Stream: raw}
	h.Version = Version
	stop := bound(ctx, s, 0)
	defer stop()
	if err := WriteFrame(s, h); err != nil {
		_ = s.Close()
		return nil, Answer{}, fmt.Errorf("asking the tunnel's other end: %w", err)
	}
	a, err := s.answer()
	if err != nil {
		_ = s.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, Answer{}, err
	}
	return s, a, nil
}

// stream is one flow. Close ends both directions, CloseWrite only ours.
type stream struct {
	*yamux.Stream
	answered bool // our answer is out; only the goroutine that serves the stream uses it
}

// CloseWrite says that nothing follows; the other direction goes on.
func (s *stream) CloseWrite() error { return s.Stream.Close() }

// Close ends the stream. What still comes is thrown away for a while, so that the other
// end is not held up by a full window before it sees the end.
func (s *stream) Close() error {
	err := s.Stream.Close()
	_ = s.SetReadDeadline(time.Now().Add(drainTime))
	go func() { _, _ = io.Copy(io.Discard, s.Stream) }()
	return err
}

func (s *stream) answer() (Answer, error) {
	var a Answer
	if err := ReadFrame(s, &a); err != nil {
		return a, fmt.Errorf("waiting for the tunnel's other end: %w", err)
	}
	if a.Code != "" {
		return a, &Error{Code: a.Code, Message: a.Message}
	}
	return a, nil
}

func (s *stream) accept(a Answer) error {
	s.answered = true
	return WriteFrame(s, a)
}

func (s *stream) refuse(err error) error {
	message := err.Error()
	if len(message) > 1000 {
		message = message[:1000]
	}
	return s.accept(Answer{Code: CodeOf(err), Message: message})
}

// Pipe copies both ways between two connections until both directions have ended, and
// closes both. The end of one direction is passed on; a failure ends both.
func Pipe(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		half(a, b)
	}()
	half(b, a)
	<-done
	_ = a.Close()
	_ = b.Close()
}

func half(dst, src net.Conn) {
	if _, err := io.Copy(dst, src); err != nil {
		_ = dst.Close()
		_ = src.Close()
		return
	}
	if w, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
		return
	}
	_ = dst.Close()
}
