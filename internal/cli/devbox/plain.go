package devbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Plain is the box without isolation: programs share the host's network, and reach the
// cluster by listeners on loopback whose addresses stand in their environment.
type Plain struct {
	place   Place
	cluster Cluster
	out     Output
	ports   map[string]map[int]int // service → its port → the listener's
	cancel  context.CancelFunc
	close   []net.Listener
	wg      sync.WaitGroup
}

var _ Box = (*Plain)(nil)

// NewPlain opens the listeners of a plain box.
func NewPlain(place Place, cluster Cluster, out Output) (*Plain, error) {
	ctx, cancel := context.WithCancel(context.Background()) // Ends with Close.
	p := &Plain{place: place, cluster: cluster, out: out, ports: map[string]map[int]int{}, cancel: cancel}
	for _, s := range place.Services {
		for _, port := range s.Ports {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, errors.Join(fmt.Errorf("listening for service %s: %w", s.Name, err), p.Close())
			}
			p.close = append(p.close, l)
			if p.ports[s.Name] == nil {
				p.ports[s.Name] = map[int]int{}
			}
			p.ports[s.Name][port.Port] = l.Addr().(*net.TCPAddr).Port
			p.wg.Go(func() { p.serve(ctx, l, p.host(s.Name), port.Port) })
		}
	}
	return p, nil
}

// host is the name of a service that leaves nothing to search.
func (p *Plain) host(service string) string {
	return service + "." + p.place.Namespace + ".svc." + p.place.Domain
}

func (p *Plain) serve(ctx context.Context, l net.Listener, host string, port int) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			far, err := p.cluster.Dial(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err != nil {
				_ = conn.Close()
				return
			}
			pipe(conn, far)
		}()
	}
}

// Start starts a program on the host.
func (p *Plain) Start(c Command) (Process, error) { return start(c, p.out, ownGroup()) }

// Dial connects to a port of loopback.
func (p *Plain) Dial(ctx context.Context, port int) (net.Conn, error) { return DialLoopback(ctx, port) }

// DialLoopback connects to a port of this machine, by IPv4 first.
func DialLoopback(ctx context.Context, port int) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		return conn, nil
	}
	if six, again := d.DialContext(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(port))); again == nil {
		return six, nil
	}
	return nil, err
}

// Close closes the listeners.
func (p *Plain) Close() error {
	p.cancel()
	var errs []error
	for _, l := range p.close {
		errs = append(errs, l.Close())
	}
	p.wg.Wait()
	return errors.Join(errs...)
}

// Env returns the workload's values with the addresses of services in them rewritten to
// listeners, and the variables that Kubernetes gives a container for each service.
func (p *Plain) Env(workload []string) []string {
	var out []string
	for _, e := range workload {
		name, value, _ := strings.Cut(e, "=")
		out = append(out, name+"="+p.rewrite(value))
	}
	return append(out, ServiceEnv(p.place.Services, func(s Service, port int) (string, int, bool) {
		local, ok := p.ports[s.Name][port]
		return "127.0.0.1", local, ok
	})...)
}

// address finds host names with or without a port behind the beginning of a value, "//",
// "@" or a separator of lists.
var address = regexp.MustCompile(`(^|//|@|[,; ])([a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*)(:([0-9]{1,5}))?($|[/?#,; ])`)

// rewrite replaces the services' addresses in a value: "http://catalog:8080/v1",
// "catalog.shop.svc:8080", "http://catalog". A bare word is an address only with a port:
// most of them are something else.
func (p *Plain) rewrite(value string) string {
	for at := 0; at < len(value); {
		m := address.FindStringSubmatchIndex(value[at:])
		if m == nil {
			break
		}
		before, host, port := value[at+m[2]:at+m[3]], value[at+m[4]:at+m[5]], ""
		if m[8] >= 0 {
			port = value[at+m[8] : at+m[9]]
		}
		next := at + m[10] // What ends one address may begin the next.
		if local, ok := p.listener(host, port, before == "//" || before == "@", value[:at+m[4]]); ok {
			to := "127.0.0.1:" + strconv.Itoa(local)
			end := at + m[5]
			if m[7] >= 0 {
				end = at + m[7]
			}
			value = value[:at+m[4]] + to + value[end:]
			next = at + m[4] + len(to)
		}
		at = max(next, at+1)
	}
	return value
}

// listener finds the listener for an address; url says that it stands in one, whose scheme
// ends what is before it.
func (p *Plain) listener(host, port string, url bool, before string) (int, bool) {
	name, rest, _ := strings.Cut(host, ".")
	full := []string{"", p.place.Namespace, p.place.Namespace + ".svc", p.place.Namespace + ".svc." + p.place.Domain}
	ports := p.ports[name]
	if ports == nil || !slices.Contains(full, rest) {
		return 0, false
	}
	n, err := strconv.Atoi(port)
	switch {
	case port == "" && !url:
		return 0, false
	case port == "" && strings.HasSuffix(before, "https://"):
		n = 443
	case port == "":
		n = 80
	case err != nil:
		return 0, false
	}
	local, ok := ports[n]
	return local, ok
}

// ServiceEnv is what Kubernetes tells a container of the services of its namespace
// (<NAME>_SERVICE_HOST, _SERVICE_PORT, _SERVICE_PORT_<PORT>), with the addresses that at
// gives.
func ServiceEnv(services []Service, at func(s Service, port int) (host string, local int, ok bool)) []string {
	var out []string
	for _, s := range services {
		prefix := strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_")) + "_SERVICE_"
		for i, port := range s.Ports {
			host, local, ok := at(s, port.Port)
			if !ok {
				continue
			}
			if i == 0 {
				out = append(out, prefix+"HOST="+host, prefix+"PORT="+strconv.Itoa(local))
			}
			if port.Name != "" {
				out = append(out, prefix+"PORT_"+strings.ToUpper(strings.ReplaceAll(port.Name, "-", "_"))+"="+strconv.Itoa(local))
			}
		}
	}
	return out
}
