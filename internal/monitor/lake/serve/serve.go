package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/table"
)

// Engine is what answers. Package lake's Client says what each call promises.
type Engine interface {
	Append(ctx context.Context, batches []lake.Sent) error
	Query(ctx context.Context, q lake.Query) (*lake.Answer, error)
	Stats(ctx context.Context) (*lake.Usage, error)
	Seal(ctx context.Context) error
}

// maxQuery is the largest body of a query in bytes.
const maxQuery = 4 << 20

// Run answers on a socket until ctx ends, then finishes the calls at hand.
func Run(ctx context.Context, socket string, e Engine, logger *slog.Logger) error {
	l, err := listen(ctx, socket)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: Handler(e, logger), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving the lake: %w", err)
	case <-ctx.Done():
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return s.Shutdown(after)
}

// listen makes the socket, in the place of one that a lake before left behind.
func listen(ctx context.Context, socket string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return nil, fmt.Errorf("making the lake's socket: %w", err)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("making the lake's socket: %w", err)
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("making the lake's socket: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("making the lake's socket: %w", err), l.Close())
	}
	return &checked{l}, nil
}

// checked lets in peers of the same user only.
type checked struct{ net.Listener }

// Accept returns the next connection of the same user.
func (c *checked) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil || samePeer(conn) {
			return conn, err
		}
		_ = conn.Close()
	}
}

// Handler answers the lake's protocol.
func Handler(e Engine, logger *slog.Logger) http.Handler {
	h := &handler{e, logger}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+lake.PathAppend, h.append)
	mux.HandleFunc("POST "+lake.PathQuery, h.query)
	mux.HandleFunc("POST "+lake.PathSeal, func(w http.ResponseWriter, r *http.Request) { h.end(w, e.Seal(r.Context())) })
	mux.HandleFunc("GET "+lake.PathStats, h.stats)
	mux.HandleFunc("GET "+lake.PathReady, func(http.ResponseWriter, *http.Request) {})
	return mux
}

type handler struct {
	engine Engine
	logger *slog.Logger
}

func (h *handler) append(w http.ResponseWriter, r *http.Request) {
	body, ok := h.body(w, r, lake.MaxAppend)
	if !ok {
		return
	}
	batches, err := lake.DecodeAppend(body)
	switch {
	case errors.Is(err, table.ErrTooLarge):
		err = fault.Wrap(fault.TooLarge, err, "A batch is larger than allowed.")
	case err != nil:
		err = fault.Wrap(fault.Invalid, err, "The bytes are no batches of telemetry.")
	default:
		err = h.engine.Append(r.Context(), batches)
	}
	h.end(w, err)
}

func (h *handler) query(w http.ResponseWriter, r *http.Request) {
	body, ok := h.body(w, r, maxQuery)
	if !ok {
		return
	}
	var q lake.Query
	if err := json.Unmarshal(body, &q); err != nil {
		h.end(w, fault.Wrap(fault.Invalid, err, "The body is no query."))
		return
	}
	a, err := h.engine.Query(r.Context(), q)
	if err != nil {
		h.end(w, err)
		return
	}
	out, err := lake.EncodeAnswer(a)
	if err != nil {
		h.end(w, err)
		return
	}
	h.write(w, out)
}

func (h *handler) stats(w http.ResponseWriter, r *http.Request) {
	u, err := h.engine.Stats(r.Context())
	if err != nil {
		h.end(w, err)
		return
	}
	out, err := json.Marshal(u)
	if err != nil {
		h.end(w, err)
		return
	}
	h.write(w, out)
}

// body reads a bounded body, or answers with the error.
func (h *handler) body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	if r.ContentLength > limit {
		h.end(w, fault.New(fault.TooLarge, "The request has %d bytes; at most %d are allowed.", r.ContentLength, limit))
		return nil, false
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		h.end(w, fault.Wrap(fault.Invalid, err, "The request broke off, or has more than %d bytes.", limit))
		return nil, false
	}
	return b, true
}

func (h *handler) write(w http.ResponseWriter, b []byte) {
	if _, err := w.Write(b); err != nil {
		h.logger.Debug("the asker went away", "error", err)
	}
}

// end answers a call that has no result, or failed.
func (h *handler) end(w http.ResponseWriter, err error) {
	if err == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	var f *fault.Error
	if !errors.As(err, &f) {
		f = fault.Wrap(fault.Internal, err, "The log engine met an error of its own.")
	}
	r := lake.Refusal{Kind: f.Kind, Message: f.Message, Next: f.Next}
	if f.Cause != nil {
		r.Cause = f.Cause.Error()
	}
	if after, again := fault.RetryAfter(err); again {
		w.Header().Set("Retry-After", fault.Seconds(after))
	}
	if f.Kind == fault.Internal {
		h.logger.Error("a call met an error", "error", err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		http.Error(w, "encoding a refusal", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Kind.Status())
	h.write(w, b)
}
