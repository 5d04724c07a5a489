package session

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"towpath.dev/towpath/internal/dev/tunnel"
)

// dialTime bounds a connection into the cluster.
const dialTime = 5 * time.Second

// pod is what a developer's end may ask of the session pod.
type pod struct{ s *Session }

// Dial connects to an allowed address.
func (p pod) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, text, err := net.SplitHostPort(address)
	port, numeric := strconv.Atoi(text)
	if err != nil || numeric != nil || port < 1 || port > 65535 {
		return nil, tunnel.Errorf(tunnel.Invalid, "%.100q is not host:port", address)
	}
	to, err := p.resolve(ctx, host, port)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: dialTime}
	var last error
	for _, a := range to {
		conn, err := dialer.DialContext(ctx, network, netip.AddrPortFrom(a, uint16(port)).String())
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, tunnel.Errorf(tunnel.Refused, "%s does not answer in the cluster: %v", address, last)
}

// resolve returns the addresses of a host that may be reached.
func (p pod) resolve(ctx context.Context, host string, port int) ([]netip.Addr, error) {
	g := p.s.guard
	if a, err := netip.ParseAddr(host); err == nil {
		if !g.reaches(a, port) {
			return nil, forbidden(net.JoinHostPort(host, strconv.Itoa(port)), p.s.cfg.Namespace)
		}
		return []netip.Addr{a}, nil
	}
	if !g.allows(host, port) {
		return nil, forbidden(net.JoinHostPort(host, strconv.Itoa(port)), p.s.cfg.Namespace)
	}
	all, err := p.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	var open []netip.Addr
	for _, a := range all {
		if !g.barred(a, port) {
			open = append(open, a)
		}
	}
	if len(open) == 0 {
		return nil, forbidden(host, p.s.cfg.Namespace)
	}
	return open, nil
}

func forbidden(what, namespace string) error {
	return tunnel.Errorf(tunnel.Forbidden, "the session may not reach %s: only the services of %s, and what its environment allows", what, namespace)
}

// addresses asks the resolver for a name. A service of the namespace is asked by its full
// name, so that no search domain can stand in for it.
func (p pod) addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	if full, ok := p.s.guard.full(name); ok {
		name = full + "."
	}
	r := net.Resolver{PreferGo: true}
	if len(p.s.dns.servers) > 0 {
		r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dnsTime}).DialContext(ctx, network, p.s.dns.servers[0])
		}
	}
	all, err := r.LookupNetIP(ctx, "ip", name)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return nil, tunnel.Errorf(tunnel.NotFound, "the cluster does not know the name %s", name)
	}
	for i := range all {
		all[i] = all[i].Unmap()
	}
	return all, err
}

// Lookup returns the addresses of a name. Those of an allowed name can be dialled from
// then on.
func (p pod) Lookup(ctx context.Context, name string) ([]string, error) {
	all, err := p.addresses(ctx, name)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(all))
	for _, a := range all {
		if p.s.guard.allows(name, 0) {
			p.s.guard.learn(a)
		}
		out = append(out, a.String())
	}
	return out, nil
}

// Exchange asks the cluster's resolver. The addresses of an allowed name can be dialled
// from then on.
func (p pod) Exchange(ctx context.Context, message []byte) ([]byte, error) {
	name, err := question(message)
	if err != nil {
		return nil, err
	}
	answer, err := p.s.dns.exchange(ctx, message)
	if err != nil {
		return nil, err
	}
	if p.s.guard.allowsFull(name, 0) {
		for _, a := range addresses(answer) {
			p.s.guard.learn(a)
		}
	}
	return answer, nil
}

// Status returns how the pod is.
func (p pod) Status() tunnel.Status {
	st := tunnel.Status{Session: p.s.cfg.ID, Ports: p.s.cfg.Ports, Expires: p.s.lease.until(), Search: p.s.dns.search}
	if p.s.super != nil {
		st.Program = p.s.super.status()
	}
	return st
}

// Renew extends the lease.
func (p pod) Renew(until time.Time) (time.Time, error) { return p.s.lease.renew(until) }

// Base returns a binary that came before.
func (p pod) Base(sum string) ([]byte, error) {
	if p.s.super == nil {
		return nil, noSync()
	}
	return p.s.super.base(sum)
}

// Sync runs a binary in the pod.
func (p pod) Sync(_ context.Context, b tunnel.Build, binary io.Reader) error {
	if p.s.super == nil {
		return noSync()
	}
	return p.s.super.swap(b, binary)
}

// Logs writes what the program writes.
func (p pod) Logs(ctx context.Context, w io.Writer, follow bool) error {
	if p.s.super == nil {
		return noSync()
	}
	return p.s.super.logs.copy(ctx, w, follow)
}

func noSync() error {
	return tunnel.Errorf(tunnel.Unsupported, "this session runs its program on the developer's machine: start it with towpath dev SERVICE --sync")
}
