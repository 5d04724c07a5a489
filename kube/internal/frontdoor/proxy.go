package frontdoor

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"time"
)

// HealthHost is the host name under which the front door answers for itself. It cannot be an Ingress host that somebody
// reaches by mistake: the top-level domain "internal" is reserved for private use.
const HealthHost = "front-door.towpath.internal"

const (
	dialTimeout = 2 * time.Second
	// patience is how long a request waits for the first endpoint of a Service that has none: long enough for a pod that is
	// being replaced, short enough that a person sees the page that explains it.
	patience  = 5 * time.Second
	recheck   = 50 * time.Millisecond
	idleKept  = 60 * time.Second
	perHost   = 64
	headLimit = 64 << 10
)

// Door is the HTTP handler of the ingress.
type Door struct {
	table atomic.Pointer[Table]
	next  atomic.Uint64 // whose turn it is, over all routes
	log   *slog.Logger
	http1 *http.Transport
	http2 *http.Transport
}

// NewDoor returns a Door without routes: until Replace was called it answers that it is not ready.
func NewDoor(log *slog.Logger) *Door {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	http1 := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: perHost, IdleConnTimeout: idleKept, DisableCompression: true, MaxResponseHeaderBytes: 1 << 20}
	http2 := http1.Clone()
	http2.Protocols = new(http.Protocols)
	http2.Protocols.SetUnencryptedHTTP2(true)
	return &Door{log: log, http1: http1, http2: http2}
}

// Replace makes table the one that later requests are served by.
func (d *Door) Replace(table *Table) { d.table.Store(table) }

// ServeHTTP forwards the request to a pod, or explains why it cannot.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	table := d.table.Load()
	if hostOnly(r.Host) == HealthHost {
		d.health(w, table)
		return
	}
	if table == nil {
		explain(w, r, http.StatusServiceUnavailable, "The front door has just started", "It does not know the cluster's routes yet. Try again in a moment.", nil)
		return
	}
	route, found := d.findWithEndpoints(r, table)
	switch {
	case !found:
		explain(w, r, http.StatusNotFound, "Nothing is served at "+r.Host+r.URL.Path, "No Ingress of the class towpath has this host and path. To list all: towpath kubectl get ingress -A", d.table.Load().Hosts())
	case route.Missing:
		explain(w, r, http.StatusServiceUnavailable, "Service "+route.Service+" is missing", "Ingress "+route.Namespace+"/"+route.Ingress+" sends this path to port "+route.Port+" of Service "+route.Service+", which does not exist. Look with: towpath kubectl -n "+route.Namespace+" get service", nil)
	case len(route.Endpoints) == 0:
		explain(w, r, http.StatusServiceUnavailable, "No pod of Service "+route.Service+" is ready", "Ingress "+route.Namespace+"/"+route.Ingress+" leads here, but no pod behind the Service takes requests. Look with: towpath kubectl -n "+route.Namespace+" get pods", nil)
	default:
		d.forward(w, r, route)
	}
}

func (d *Door) health(w http.ResponseWriter, table *Table) {
	if table == nil {
		http.Error(w, "no routes yet", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// findWithEndpoints finds the route, and waits a moment when its Service exists but has no endpoint just now: while the only
// pod of a Service is replaced, requests are late instead of lost.
func (d *Door) findWithEndpoints(r *http.Request, table *Table) (Route, bool) {
	route, found := table.Find(r.Host, r.URL.Path)
	deadline := time.Now().Add(patience)
	for found && !route.Missing && len(route.Endpoints) == 0 && time.Now().Before(deadline) {
		select {
		case <-r.Context().Done():
			return route, found
		case <-time.After(recheck):
		}
		route, found = d.table.Load().Find(r.Host, r.URL.Path)
	}
	return route, found
}

func (d *Door) forward(w http.ResponseWriter, r *http.Request, route Route) {
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme = "http"
			p.Out.URL.Host = route.Endpoints[0]
			p.Out.Host = p.In.Host
			p.SetXForwarded()
			p.Out.Header.Set("X-Forwarded-Port", portOf(p.In))
			strip(p.Out.Header)
		},
		Transport:     &attempts{door: d, route: route, first: d.next.Add(1)},
		FlushInterval: -1, // whatever a pod writes is passed on at once: logs, events, downloads
		ErrorLog:      slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(err, context.Canceled) {
				return // the client has gone
			}
			d.log.Warn("request failed", "host", r.Host, "service", route.Namespace+"/"+route.Service, "error", err)
			explain(w, r, http.StatusBadGateway, "Service "+route.Service+" did not answer", "Each pod was asked and none answered: "+err.Error()+". Look with: towpath kubectl -n "+route.Namespace+" get pods, and logs", nil)
		},
	}
	proxy.ServeHTTP(w, r)
}

// portOf is the port at which the client reached the front door.
func portOf(r *http.Request) string {
	if address, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if _, port, err := net.SplitHostPort(address.String()); err == nil {
			return port
		}
	}
	return ""
}

// attempts sends a request to one endpoint after the other until one answers.
type attempts struct {
	door  *Door
	route Route
	first uint64
}

// RoundTrip implements http.RoundTripper.
func (a *attempts) RoundTrip(r *http.Request) (*http.Response, error) {
	transport := a.door.http1
	if a.route.HTTP2 {
		transport = a.door.http2
	}
	// A transport closes the body also when it could not connect; it must stay open for the next endpoint.
	if body := r.Body; body != nil && body != http.NoBody {
		r.Body = io.NopCloser(body)
		defer func() { r.Body = body }()
	}
	var last error
	count := uint64(len(a.route.Endpoints))
	for i := range count {
		r.URL.Host = a.route.Endpoints[(a.first+i)%count]
		response, err := transport.RoundTrip(r)
		if err == nil {
			return response, nil
		}
		last = err
		if r.Context().Err() != nil || !mayRepeat(r, err) {
			break
		}
	}
	return nil, last
}

// mayRepeat reports whether the request can be sent to another endpoint: no connection came about, so no pod has seen it, or
// it changes nothing and has no body that would be gone.
func mayRepeat(r *http.Request, err error) bool {
	var failure *net.OpError
	if errors.As(err, &failure) && failure.Op == "dial" {
		return true
	}
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	return safe && (r.Body == nil || r.Body == http.NoBody) && r.Header.Get("Upgrade") == ""
}
