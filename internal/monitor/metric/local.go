package metric

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Gatherer collects metrics, e.g. a prometheus.Registry.
type Gatherer = prometheus.Gatherer

func exposition(from []Gatherer) http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers(from), promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	})
}

// Process returns the metrics of this process: memory, goroutines, garbage collection,
// processor time and open files.
func Process() Gatherer {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// Counts makes metrics of counters that somebody else keeps. read is called at every scrape
// and returns their values; a name that ends in _total is a counter, another one a gauge.
func Counts(read func() []Count) Gatherer {
	reg := prometheus.NewRegistry()
	reg.MustRegister(counts(read))
	return reg
}

// Count is the value of a counter or gauge. Counts of one name have the same label names.
type Count struct {
	Name   string // "towpath_ingest_rows_total"
	Help   string
	Labels map[string]string
	Value  float64
}

type counts func() []Count

// Describe describes nothing: what there is shows at each scrape.
func (counts) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counters.
func (c counts) Collect(out chan<- prometheus.Metric) {
	for _, n := range c() {
		kind := prometheus.GaugeValue
		if len(n.Name) > 6 && n.Name[len(n.Name)-6:] == "_total" {
			kind = prometheus.CounterValue
		}
		desc := prometheus.NewDesc(n.Name, n.Help, nil, n.Labels)
		m, err := prometheus.NewConstMetric(desc, kind, n.Value)
		if err != nil {
			m = prometheus.NewInvalidMetric(desc, err)
		}
		out <- m
	}
}

// local connects the scraper with handlers of this process through pipes, so that what they
// can do (ask the cluster with the platform's rights) has no port that others could reach.
type local struct {
	listeners map[string]*pipes
	servers   []*http.Server
	outside   net.Dialer
}

func listenLocal(handlers map[string]http.Handler) *local {
	l := &local{listeners: map[string]*pipes{}, outside: net.Dialer{Timeout: 5 * time.Second}}
	for name, h := range handlers {
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
		l.listeners[name], l.servers = p, append(l.servers, srv)
		go func() { _ = srv.Serve(p) }() // ends with close
	}
	return l
}

// dial connects to a handler by its name, to everything else by the network.
func (l *local) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	p := l.listeners[host]
	if p == nil {
		return l.outside.DialContext(ctx, network, addr)
	}
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *local) close() {
	for _, s := range l.servers {
		_ = s.Close() // nothing of a pipe can be lost
	}
}

// pipes is a listener whose connections are handed to it.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

// Accept waits for a connection.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close ends the listener.
func (p *pipes) Close() error {
	err := errors.New("the listener is closed already")
	p.once.Do(func() { close(p.done); err = nil })
	return err
}

// Addr returns the address of a pipe.
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

// Network returns "pipe".
func (pipeAddr) Network() string { return "pipe" }

// String returns "pipe".
func (pipeAddr) String() string { return "pipe" }
