package node

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"
)

// The limits of the relay. The server has limits of its own, below these; these keep the
// node's memory.
const (
	maxBody     = 32 << 20         // of one export
	maxExports  = 128              // under way at a time; more are asked to come again
	exportTime  = 30 * time.Second // that one may take
	maxHeader   = 64 << 10
	retryAfter  = "1" // seconds
	closingTime = 5 * time.Second
)

// httpPaths and grpcPaths are the exports of OTLP (opentelemetry-proto, docs/specification.md,
// and its services); nothing else is passed on.
var (
	httpPaths = []string{"/v1/traces", "/v1/metrics", "/v1/logs"}
	grpcPaths = []string{
		"/opentelemetry.proto.collector.trace.v1.TraceService/Export",
		"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
		"/opentelemetry.proto.collector.logs.v1.LogsService/Export",
	}
)

// relay passes OTLP on to the server.
type relay struct {
	token   func() (string, error)
	log     *slog.Logger
	slots   chan struct{}
	servers []*http.Server
	lis     []net.Listener
	http    []string // the addresses it listens on
	grpc    []string
}

// newRelay opens the listeners.
func newRelay(ctx context.Context, cfg RelayConfig, token func() (string, error), log *slog.Logger) (*relay, error) {
	r := &relay{token: token, log: log, slots: make(chan struct{}, maxExports)}
	plain := &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, DisableCompression: true, ResponseHeaderTimeout: exportTime}
	h2c := &http.Transport{IdleConnTimeout: time.Minute, DisableCompression: true, Protocols: new(http.Protocols), ResponseHeaderTimeout: exportTime}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	h2c.Protocols.SetHTTP2(true)
	for _, side := range []struct {
		listen  []string
		handler http.Handler
		addrs   *[]string
	}{
		{cfg.HTTP, r.handler(httpPaths, cfg.ToHTTP, plain, httpForm{}), &r.http},
		{cfg.GRPC, r.handler(grpcPaths, cfg.ToGRPC, h2c, grpcForm{}), &r.grpc},
	} {
		for _, address := range side.listen {
			var lc net.ListenConfig
			lis, err := lc.Listen(ctx, "tcp", address)
			if err != nil {
				r.shut()
				return nil, fmt.Errorf("listening for OTLP of pods on %s: %w; another program has the port, or it is no address of this node", address, err)
			}
			r.lis = append(r.lis, lis)
			r.servers = append(r.servers, r.server(side.handler))
			*side.addrs = append(*side.addrs, lis.Addr().String())
		}
	}
	return r, nil
}

func (r *relay) server(h http.Handler) *http.Server {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: exportTime, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
		Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 64},
		ErrorLog: log.New(quiet{r.log}, "", 0),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// quiet logs what net/http says of connections that pods break off where it does not disturb.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(b []byte) (int, error) {
	q.log.Debug(strings.TrimSpace(string(b)))
	return len(b), nil
}

// run serves until ctx ends, then lets the exports that are under way finish.
func (r *relay) run(ctx context.Context) error {
	failed := make(chan error, len(r.servers))
	for i, s := range r.servers {
		go func() { failed <- s.Serve(r.lis[i]) }()
	}
	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("relaying OTLP: %w", err)
	case <-ctx.Done():
	}
	r.shut()
	return err
}

func (r *relay) shut() {
	ctx, cancel := context.WithTimeout(context.Background(), closingTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range r.servers {
		wg.Go(func() {
			if s.Shutdown(ctx) != nil {
				_ = s.Close() // what did not end in time is cut off; its sender tries again
			}
		})
	}
	wg.Wait()
	for _, l := range r.lis {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			r.log.Warn("closing a listener", "error", err)
		}
	}
}

// handler passes the exports with these paths on to an address.
func (r *relay) handler(paths []string, to string, transport http.RoundTripper, form form) http.Handler {
	scheme := "http"
	if rest, ok := strings.CutPrefix(to, "https://"); ok {
		scheme, to = "https", rest
	}
	to = strings.TrimPrefix(to, "http://")
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			rewrite(p, scheme, to)
		},
		Transport: authorised{transport, r.token},
		ModifyResponse: func(res *http.Response) error {
			lateStatus(res)
			return nil
		},
		FlushInterval: -1,
		ErrorLog:      log.New(quiet{r.log}, "", 0),
		ErrorHandler: func(w http.ResponseWriter, req *http.Request, err error) {
			if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
				form.refuse(w, req, tooBig, fmt.Sprintf("the export is larger than %d MiB; make the batches of the exporter smaller", maxBody>>20))
				return
			}
			r.log.Debug("an export did not reach the server", "peer", req.RemoteAddr, "error", err)
			form.refuse(w, req, away, "the Towpath server does not answer; the export is to be sent again")
		},
	}
	allowed := map[string]bool{}
	for _, p := range paths {
		allowed[p] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case !allowed[req.URL.Path] || req.URL.RawPath != "":
			form.refuse(w, req, unknown, "this is the OTLP relay of the node; it takes exports of traces, metrics and logs only")
		case req.Method != http.MethodPost:
			w.Header().Set("Allow", http.MethodPost)
			form.refuse(w, req, method, "an export is a POST")
		default:
			r.admit(w, req, form, proxy)
		}
	})
}

// lateStatus moves the status of a gRPC answer that has nothing but headers behind them. The
// proxy may send the headers before it knows that no body follows, and a client takes a
// status in headers only from an answer that ends with them.
func lateStatus(res *http.Response) {
	for _, name := range []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"} {
		if values := res.Header.Values(name); len(values) > 0 {
			if res.Trailer == nil {
				res.Trailer = http.Header{}
			}
			res.Trailer[name] = values
			res.Header.Del(name)
		}
	}
}

// admit passes an export on when there is a slot for it.
func (r *relay) admit(w http.ResponseWriter, req *http.Request, form form, next http.Handler) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	default:
		form.refuse(w, req, busy, "the node relays as many exports as it can; the export is to be sent again")
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), exportTime)
	defer cancel()
	req.Body = http.MaxBytesReader(w, req.Body, maxBody)
	next.ServeHTTP(w, req.WithContext(ctx))
}

// authorised adds the agent's token to requests.
type authorised struct {
	next  http.RoundTripper
	token func() (string, error)
}

func (a authorised) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	own := *req // a transport may not change what it is given
	own.Header = req.Header.Clone()
	own.Header.Set("Authorization", "Bearer "+token)
	return a.next.RoundTrip(&own)
}

// rewrite makes our request of a pod's: to the server, with the address that the request
// came from. Hop-by-hop headers are gone by then, so that a pod cannot have one of ours
// removed by naming it in Connection.
func rewrite(p *httputil.ProxyRequest, scheme, to string) {
	p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = scheme, to, to
	p.Out.URL.RawQuery = ""
	for name := range p.Out.Header {
		if foreign(name) {
			delete(p.Out.Header, name)
		}
	}
	p.Out.Trailer = nil
	peer, _, err := net.SplitHostPort(p.In.RemoteAddr)
	if err != nil {
		peer = p.In.RemoteAddr
	}
	p.Out.Header.Set(HeaderPeer, peer)
}

// foreign reports whether a header of a pod stays behind: what could pass as a statement of
// ours or of a proxy, and credentials that are for somebody else.
func foreign(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "authorization", "proxy-authorization", "cookie", "forwarded", "x-real-ip":
		return true
	}
	return strings.HasPrefix(name, "x-towpath-") || strings.HasPrefix(name, "x_towpath_") || strings.HasPrefix(name, "x-forwarded-")
}
