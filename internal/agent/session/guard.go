package session

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"towpath.dev/towpath/internal/deploy/route"
)

// maxLearned bounds how many addresses of allowed names are remembered.
const maxLearned = 10000

// guard says which addresses a developer's program may reach: those of the namespace's
// services, which are known by their names and by what the cluster's resolver answered for
// them here, and those on the list of allowed ones.
type guard struct {
	suffix   string // ".shop-dev.svc.cluster.local"
	short    string // the namespace
	names    []nameRule
	prefixes []prefixRule
	server   netip.Addr // of the API server, never reached
	loopback bool       // for tests: the pod itself may be reached

	mu      sync.Mutex
	learned map[netip.Addr]bool
}

type nameRule struct {
	name string // "db.example.com", or ".example.com" for all below
	port int    // 0 for any
}

type prefixRule struct {
	prefix netip.Prefix
	port   int
}

// never lists what is not reached although it is no link-local address: the metadata and
// host services of clouds.
func never() []netip.Addr {
	return []netip.Addr{
		netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192"),
		netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"),
	}
}

// newGuard parses the list of allowed ones: a name, "*.suffix", an address or a prefix,
// each with ":port" or without.
func newGuard(namespace, domain string, allow []string, server string) (*guard, error) {
	g := &guard{suffix: "." + namespace + ".svc." + domain, short: namespace, learned: map[netip.Addr]bool{}}
	if a, err := netip.ParseAddr(server); err == nil {
		g.server = a.Unmap()
	}
	for _, rule := range allow {
		host, port, err := splitRule(rule)
		if err != nil {
			return nil, err
		}
		if p, err := netip.ParsePrefix(host); err == nil {
			g.prefixes = append(g.prefixes, prefixRule{p.Masked(), port})
			continue
		}
		if a, err := netip.ParseAddr(host); err == nil {
			g.prefixes = append(g.prefixes, prefixRule{netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), port})
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(host, "."))
		name = strings.TrimPrefix(name, "*")
		if strings.Trim(name, ".") == "" || strings.ContainsAny(name, "*/: ") {
			return nil, fmt.Errorf("%q cannot be allowed: give a name, *.suffix, an address or a prefix, and perhaps :port", rule)
		}
		g.names = append(g.names, nameRule{name, port})
	}
	return g, nil
}

func splitRule(rule string) (host string, port int, err error) {
	host, text, e := net.SplitHostPort(rule)
	if e != nil {
		return strings.Trim(rule, "[]"), 0, nil
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("%q cannot be allowed: %q is no port", rule, text)
	}
	return host, port, nil
}

// full returns the full name of a service of the namespace, however it is called: "cart",
// "cart.shop-dev", "cart.shop-dev.svc" or in full. ok is false for any other name.
func (g *guard) full(name string) (string, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, tail := range [...]string{g.suffix, "." + g.short + ".svc", "." + g.short} {
		if head, ok := strings.CutSuffix(name, tail); ok && head != "" {
			return head + g.suffix, true
		}
	}
	if name != "" && name != "localhost" && !strings.Contains(name, ".") && net.ParseIP(name) == nil {
		return name + g.suffix, true
	}
	return "", false
}

// allows reports whether a name may be reached at a port; 0 is any port.
func (g *guard) allows(name string, port int) bool {
	if _, ok := g.full(name); ok {
		return true
	}
	return g.allowsFull(name, port)
}

// allowsFull is allows for a name that the resolver is asked as it is, without a search.
func (g *guard) allowsFull(name string, port int) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if strings.HasSuffix(name, g.suffix) {
		return true
	}
	for _, r := range g.names {
		match := name == r.name || strings.HasPrefix(r.name, ".") && strings.HasSuffix(name, r.name)
		if match && (r.port == 0 || port == 0 || r.port == port) {
			return true
		}
	}
	return false
}

// reaches reports whether an address that was given as such may be reached.
func (g *guard) reaches(a netip.Addr, port int) bool {
	a = a.Unmap()
	if g.barred(a, port) {
		return false
	}
	for _, r := range g.prefixes {
		if r.prefix.Contains(a) && (r.port == 0 || r.port == port) {
			return true
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.learned[a]
}

// barred reports whether an address is never reached, by whatever name.
func (g *guard) barred(a netip.Addr, port int) bool {
	a = a.Unmap()
	switch {
	case !a.IsValid(), a.Zone() != "", a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast():
		return true
	case a == g.server:
		return true
	case port == route.AdminPort || port == route.ControlPort:
		// Of routers and of other sessions' pods.
		return true
	case a.IsLoopback():
		return !g.loopback
	}
	for _, n := range never() {
		if a == n {
			return true
		}
	}
	return false
}

// learn remembers an address of an allowed name, so that it can be reached as such.
func (g *guard) learn(a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.learned) < maxLearned {
		g.learned[a.Unmap()] = true
	}
}

// learnEnvironment learns the services' addresses that the kubelet put into the pod's
// environment ("CART_SERVICE_HOST"), which programs use without asking the resolver.
func (g *guard) learnEnvironment(environ []string) {
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if a, err := netip.ParseAddr(value); err == nil && strings.HasSuffix(name, "_SERVICE_HOST") && name != "KUBERNETES_SERVICE_HOST" {
			g.learn(a)
		}
	}
}
