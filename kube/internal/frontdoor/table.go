package frontdoor

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Route leads requests to the endpoints of one port of one Service.
type Route struct {
	// Path is the prefix or the whole path, as Exact says.
	Path  string
	Exact bool
	// Namespace, Service and Port name the backend as the Ingress does; Ingress is the object that says so.
	Namespace, Service, Port, Ingress string
	// Endpoints are the addresses (host:port) of the pods that take requests. Empty when there is none, or no such Service.
	Endpoints []string
	// Missing is true when the Service or its port does not exist.
	Missing bool
	// HTTP2 is true when the Service port says that its pods speak HTTP/2 without TLS (gRPC).
	HTTP2 bool
}

// Table is the routes of one moment. It is never changed after it was made.
type Table struct {
	// exact and wildcard hosts lead to routes, the most specific first. A wildcard is kept without its "*".
	exact, wildcard map[string][]Route
	// anyHost holds the routes of rules without a host, and default backends.
	anyHost []Route
}

// Sources is what a Table is made from. Services are found by "namespace/name", slices by the same of their Service.
type Sources struct {
	Ingresses []*networkingv1.Ingress
	Services  map[string]*corev1.Service
	Slices    map[string][]*discoveryv1.EndpointSlice
}

// NewTable makes the routes of all Ingresses. Where two claim the same host and path, the older Ingress wins, so that a new
// object cannot take another's traffic away.
func NewTable(sources Sources) *Table {
	ingresses := slices.Clone(sources.Ingresses)
	slices.SortStableFunc(ingresses, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name))
	})
	table := &Table{exact: map[string][]Route{}, wildcard: map[string][]Route{}}
	for _, ingress := range ingresses {
		for _, rule := range ingress.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for _, path := range rule.HTTP.Paths {
				table.add(strings.ToLower(rule.Host), sources.route(ingress, path.Path, path.PathType, path.Backend))
			}
		}
		if ingress.Spec.DefaultBackend != nil {
			table.add("", sources.route(ingress, "/", nil, *ingress.Spec.DefaultBackend))
		}
	}
	for _, routes := range table.exact {
		sortRoutes(routes)
	}
	for _, routes := range table.wildcard {
		sortRoutes(routes)
	}
	sortRoutes(table.anyHost)
	return table
}

func (t *Table) add(host string, route Route) {
	switch {
	case host == "":
		t.anyHost = append(t.anyHost, route)
	case strings.HasPrefix(host, "*."):
		t.wildcard[host[1:]] = append(t.wildcard[host[1:]], route)
	default:
		t.exact[host] = append(t.exact[host], route)
	}
}

// sortRoutes puts exact paths first, since one that matches is the most specific there can be, and then the longest prefix. It
// keeps the order of equals.
func sortRoutes(routes []Route) {
	slices.SortStableFunc(routes, func(a, b Route) int {
		switch {
		case a.Exact && !b.Exact:
			return -1
		case b.Exact && !a.Exact:
			return 1
		}
		return cmp.Compare(len(strings.TrimSuffix(b.Path, "/")), len(strings.TrimSuffix(a.Path, "/")))
	})
}

// Find returns the route of a request: that of the exact host, else of the wildcard that covers it, else of the host below
// which it lies by one label, else of rules without a host. The host may carry a port, which is ignored. A host below another
// is a preview ("ada-1f3a9c.shop.localhost"): the router behind the Service decides whether it is one that it lets in.
func (t *Table) Find(host, path string) (Route, bool) {
	host = hostOnly(host)
	if route, found := match(t.exact[host], path); found {
		return route, true
	}
	if dot := strings.IndexByte(host, '.'); dot > 0 {
		if route, found := match(t.wildcard[host[dot:]], path); found {
			return route, true
		}
		if route, found := match(t.exact[host[dot+1:]], path); found {
			return route, true
		}
	}
	return match(t.anyHost, path)
}

func hostOnly(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

func match(routes []Route, path string) (Route, bool) {
	for _, route := range routes {
		if route.Exact && path == route.Path || !route.Exact && hasPathPrefix(path, route.Path) {
			return route, true
		}
	}
	return Route{}, false
}

// hasPathPrefix compares whole path elements, as the Ingress specification wants: /shop covers /shop and /shop/x, not /shopping.
func hasPathPrefix(path, prefix string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	rest, found := strings.CutPrefix(path, prefix)
	return found && (rest == "" || rest[0] == '/')
}

// Hosts lists the hosts that routes exist for, sorted; a wildcard begins with "*".
func (t *Table) Hosts() []string {
	var hosts []string
	for host := range t.exact {
		hosts = append(hosts, host)
	}
	for host := range t.wildcard {
		hosts = append(hosts, "*"+host)
	}
	slices.Sort(hosts)
	return hosts
}

// route resolves a backend to the addresses of its pods.
func (s Sources) route(ingress *networkingv1.Ingress, path string, pathType *networkingv1.PathType, backend networkingv1.IngressBackend) Route {
	route := Route{
		Path:      cmp.Or(path, "/"),
		Exact:     pathType != nil && *pathType == networkingv1.PathTypeExact,
		Namespace: ingress.Namespace,
		Ingress:   ingress.Name,
		Missing:   true,
	}
	if backend.Service == nil {
		return route
	}
	route.Service = backend.Service.Name
	route.Port = cmp.Or(backend.Service.Port.Name, strconv.Itoa(int(backend.Service.Port.Number)))
	key := ingress.Namespace + "/" + route.Service
	service := s.Services[key]
	if service == nil {
		return route
	}
	for _, port := range service.Spec.Ports {
		if port.Name == backend.Service.Port.Name && port.Name != "" || port.Port == backend.Service.Port.Number {
			route.Missing = false
			route.HTTP2 = port.AppProtocol != nil && slices.Contains([]string{"kubernetes.io/h2c", "grpc"}, *port.AppProtocol)
			route.Endpoints = endpoints(s.Slices[key], port.Name)
			break
		}
	}
	return route
}

// endpoints collects the addresses that serve the named port. Pods that are ending but still serve are used only when there
// is no other, as the Kubernetes service proxy does it.
func endpoints(slicesOf []*discoveryv1.EndpointSlice, portName string) []string {
	var ready, ending []string
	for _, slice := range slicesOf {
		number := portNumber(slice, portName)
		if number == "" || slice.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			conditions := endpoint.Conditions
			for _, address := range endpoint.Addresses {
				switch place := net.JoinHostPort(address, number); {
				case conditions.Ready == nil || *conditions.Ready:
					ready = append(ready, place)
				case conditions.Serving != nil && *conditions.Serving && conditions.Terminating != nil && *conditions.Terminating:
					ending = append(ending, place)
				}
			}
		}
	}
	if len(ready) == 0 {
		ready = ending
	}
	slices.Sort(ready)
	return slices.Compact(ready)
}

func portNumber(slice *discoveryv1.EndpointSlice, name string) string {
	for _, port := range slice.Ports {
		if port.Port != nil && (port.Name == nil && name == "" || port.Name != nil && *port.Name == name) {
			return strconv.Itoa(int(*port.Port))
		}
	}
	return ""
}
