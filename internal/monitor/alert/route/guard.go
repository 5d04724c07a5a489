package route

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// Guard decides to which addresses notifications may go. A name is judged by what it
// resolves to, at the moment of connecting.
type Guard struct {
	hosts map[string]bool // "hooks.example.com", "127.0.0.1:9000"
	nets  []netip.Prefix
}

// NewGuard returns a Guard that allows public addresses, the hosts (with a port or without)
// and the networks ("10.0.0.0/8") of the list.
func NewGuard(allow []string) (*Guard, error) {
	g := &Guard{hosts: map[string]bool{}}
	for _, a := range allow {
		if !strings.Contains(a, "/") {
			g.hosts[strings.ToLower(a)] = true
			continue
		}
		p, err := netip.ParsePrefix(a)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%q is not a network.", a).WithNext("write it as 10.0.0.0/8")
		}
		g.nets = append(g.nets, p)
	}
	return g, nil
}

// Named reports whether a host:port is on the list by its name or address.
func (g *Guard) Named(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return false
	}
	if g.hosts[strings.ToLower(host)] || g.hosts[strings.ToLower(hostport)] {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && g.within(a)
}

func (g *Guard) within(a netip.Addr) bool {
	for _, p := range g.nets {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// shared are networks that are not public although netip does not say so: carrier-grade
// NAT, benchmarks, documentation, reserved (RFC 6890), and the ways in which IPv6 carries
// IPv4 addresses (RFC 6052, 3056, 4380).
func shared() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "2001:db8::/32", "100::/64", "::/96", "fec0::/10", "5f00::/16",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func (g *Guard) allows(a netip.Addr) bool {
	a = a.Unmap()
	if g.within(a) {
		return true
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range shared() {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Dial connects as a net.Dialer does, if the address is allowed.
func (g *Guard) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if !g.Named(address) {
		d.Control = func(_, resolved string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(resolved)
			if err != nil || !g.allows(ap.Addr()) {
				return refused(address)
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, address)
}

// Resolved returns the host:port to connect to for a name, where the connecting is not ours:
// the first allowed address of those that the name has now, or what is on the list as it is.
func (g *Guard) Resolved(ctx context.Context, hostport string) (string, error) {
	if g.Named(hostport) {
		return hostport, nil
	}
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", fault.New(fault.Invalid, "%q is not host:port.", hostport)
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", err
	}
	for _, a := range all {
		if g.allows(a) {
			return net.JoinHostPort(a.Unmap().String(), port), nil
		}
	}
	return "", refused(hostport)
}

func refused(address string) error {
	return fault.New(fault.Denied, "%s is not a public address, and notifications may not go there.", address).
		WithNext("an operator may allow the host with --notify-allow")
}
