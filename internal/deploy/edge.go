package deploy

import (
	"maps"
	"slices"

	"towpath.dev/towpath/internal/deploy/route"
)

// edge is how requests from outside of the cluster reach a Service.
type edge struct {
	Hosts []string `json:"hosts,omitempty"` // by these hosts only; none: by any
}

// and joins two ways to reach a Service.
func (e edge) and(o edge) edge {
	if len(e.Hosts) == 0 || len(o.Hosts) == 0 {
		return edge{}
	}
	all := slices.Concat(e.Hosts, o.Hosts)
	slices.Sort(all)
	return edge{Hosts: slices.Compact(all)}
}

// edges are the Services that requests from outside reach.
type edges map[string]edge

func (e edges) add(service string, more edge) {
	if service == "" {
		return
	}
	if was, ok := e[service]; ok {
		more = was.and(more)
	}
	e[service] = more
}

// edgesOf finds the Services that requests from outside reach: those with a port of the node
// or an address of their own, and those that an Ingress or a route of the Gateway API leads
// to. Of an Ingress its hosts are known, if each of its rules has one.
func edgesOf(objects []map[string]any) edges {
	out := edges{}
	for _, o := range objects {
		spec := mapOf(o, "spec")
		switch kindOf(o) {
		case "Service":
			if kind, _ := spec["type"].(string); kind == "NodePort" || kind == "LoadBalancer" || len(listOf(spec, "externalIPs")) > 0 {
				out.add(nameOf(o), edge{})
			}
		case "Ingress":
			out.ingress(spec)
		case "HTTPRoute", "GRPCRoute":
			out.gatewayRoute(spec)
		}
	}
	return out
}

func (e edges) ingress(spec map[string]any) {
	backend := func(b map[string]any, by edge) {
		name, _ := mapOf(b, "service")["name"].(string)
		if name == "" {
			name, _ = b["serviceName"].(string) // before networking.k8s.io/v1
		}
		e.add(name, by)
	}
	backend(mapOf(spec, "defaultBackend"), edge{})
	for _, r := range listOf(spec, "rules") {
		rule, _ := r.(map[string]any)
		var by edge
		if host, _ := rule["host"].(string); host != "" {
			by.Hosts = []string{host}
		}
		for _, p := range listOf(mapOf(rule, "http"), "paths") {
			path, _ := p.(map[string]any)
			backend(mapOf(path, "backend"), by)
		}
	}
}

func (e edges) gatewayRoute(spec map[string]any) {
	var by edge
	for _, v := range listOf(spec, "hostnames") {
		if host, _ := v.(string); host != "" {
			by.Hosts = append(by.Hosts, host)
		}
	}
	for _, r := range listOf(spec, "rules") {
		rule, _ := r.(map[string]any)
		for _, b := range listOf(rule, "backendRefs") {
			ref, _ := b.(map[string]any)
			if kind, _ := ref["kind"].(string); kind == "" || kind == "Service" {
				name, _ := ref["name"].(string)
				e.add(name, by)
			}
		}
	}
}

// keepEdges notes the edges of a Helm release in the table, beside those that it had when
// these still live, and marks the services of all releases.
func (t *table) keepEdges(release string, now edges, still bool) {
	if t.Edges == nil {
		t.Edges = map[string]edges{}
	}
	if still {
		joined := maps.Clone(now)
		if joined == nil {
			joined = edges{}
		}
		for service, e := range t.Edges[release] {
			joined.add(service, e)
		}
		now = joined
	}
	t.Edges[release] = now
	if len(now) == 0 {
		delete(t.Edges, release)
	}
	all := edges{}
	for _, of := range t.Edges {
		for service, e := range of {
			all.add(service, e)
		}
	}
	for i := range t.Services {
		v := &t.Services[i]
		e, is := all[v.Name]
		v.Edge, v.EdgeHosts = is, e.Hosts
		if len(v.EdgeHosts) > route.MaxHosts {
			v.EdgeHosts = nil // who has so many is asked by any
		}
	}
}
