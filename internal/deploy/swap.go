package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/deploy/route"
)

// protocolAnnotation on a Service names the protocol of ports that say nothing themselves:
// "http", or "8080=http,9090=h2c".
const protocolAnnotation = "towpath.dev/protocol"

// swapper turns the rendered objects of a release into those of a routed one: what Helm
// applies is then what lives, and nothing is patched when routes change. It is a step of
// the post-renderer, after pinner.
type swapper struct {
	listen func(service string, port int) (int, error) // the router's port for a port of a service
	// prepare leaves the Services as they are and adds only what the swap needs: the
	// Services of the stable track and the label of its pods.
	prepare bool

	services []route.Service
	unrouted []Unrouted
	edges    edges
}

// routed is a Service that is swapped with its Deployments.
type routed struct {
	object map[string]any
	ports  []route.Port
}

// run swaps the objects of one release in place and returns them with those that were added.
func (w *swapper) run(objects []map[string]any) ([]map[string]any, error) {
	w.services, w.unrouted, w.edges = nil, nil, edgesOf(objects)
	labelled := map[int]bool{} // of objects: Deployments that a routed Service selects
	var swap []routed
	for _, o := range objects {
		if kindOf(o) != "Service" {
			continue
		}
		ports, why := routable(o)
		chosen := selected(objects, o)
		if why == "" && len(chosen) == 0 {
			why = "it selects no Deployment of the release"
		}
		if why != "" {
			w.unrouted = append(w.unrouted, Unrouted{Service: nameOf(o), Why: why})
			continue
		}
		for _, i := range chosen {
			labelled[i] = true
		}
		swap = append(swap, routed{object: o, ports: ports})
	}
	var added []map[string]any
	for _, r := range swap {
		more, err := w.swap(r)
		if err != nil {
			return nil, err
		}
		added = append(added, more)
	}
	if !w.prepare {
		narrow(objects, labelled)
	}
	for i := range labelled {
		label(objects[i], route.Stable)
	}
	sortServices(w.services)
	return append(objects, added...), nil
}

// swap turns one Service to the router and returns the Service of its stable track.
func (w *swapper) swap(r routed) (map[string]any, error) {
	name := nameOf(r.object)
	stable := trackOf(r.object, route.Stable)
	service := route.Service{Name: name, Tracks: tracks(name, 0)}
	spec := mapOf(r.object, "spec")
	ports := listOf(spec, "ports")
	for i := range r.ports {
		listen, err := w.listen(name, r.ports[i].Port)
		if err != nil {
			return nil, err
		}
		r.ports[i].Listen = listen
		if !w.prepare {
			ports[i].(map[string]any)["targetPort"] = listen
		}
	}
	service.Ports = r.ports
	if !w.prepare {
		spec["selector"] = maps.Clone(routerSelector)
		delete(spec, "publishNotReadyAddresses")
	}
	w.services = append(w.services, service)
	return stable, nil
}

// trackOf returns the Service of a track: ClusterIP, the same ports, the pods of the track.
func trackOf(service map[string]any, track string) map[string]any {
	meta, spec := mapOf(service, "metadata"), mapOf(service, "spec")
	labels := maps.Clone(mapOf(meta, "labels"))
	if labels == nil {
		labels = map[string]any{}
	}
	labels[route.Label] = track
	selector := maps.Clone(mapOf(spec, "selector"))
	selector[route.Label] = track
	var ports []any
	for _, p := range listOf(spec, "ports") {
		port := maps.Clone(p.(map[string]any))
		delete(port, "nodePort")
		ports = append(ports, port)
	}
	out := map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": trackService(nameOf(service), track), "labels": labels},
		"spec":     map[string]any{"type": "ClusterIP", "selector": selector, "ports": ports},
	}
	if ns, ok := meta["namespace"]; ok {
		mapOf(out, "metadata")["namespace"] = ns
	}
	if notes := mapOf(meta, "annotations"); notes["helm.sh/resource-policy"] != nil {
		mapOf(out, "metadata")["annotations"] = map[string]any{"helm.sh/resource-policy": notes["helm.sh/resource-policy"]}
	}
	return out
}

// narrow keeps Services that pass no router at the stable track: canary pods carry the
// labels of stable ones, and would get traffic that nobody weighs.
func narrow(objects []map[string]any, labelled map[int]bool) {
	for _, o := range objects {
		if kindOf(o) != "Service" || mapOf(mapOf(o, "spec"), "selector")[routerApp] == routerName {
			continue
		}
		for _, i := range selected(objects, o) {
			if labelled[i] {
				mapOf(mapOf(o, "spec"), "selector")[route.Label] = route.Stable
				break
			}
		}
	}
}

// label gives the pods of a Deployment their track. The Deployment's own selector stays:
// it cannot be changed.
func label(deployment map[string]any, track string) {
	meta := child(child(child(deployment, "spec"), "template"), "metadata")
	child(meta, "labels")[route.Label] = track
}

// selected lists the Deployments whose pods a Service selects, as indexes.
func selected(objects []map[string]any, service map[string]any) []int {
	selector := mapOf(mapOf(service, "spec"), "selector")
	if len(selector) == 0 {
		return nil
	}
	var out []int
	for i, o := range objects {
		if kindOf(o) != "Deployment" {
			continue
		}
		labels := mapOf(mapOf(mapOf(mapOf(o, "spec"), "template"), "metadata"), "labels")
		all := true
		for k, v := range selector {
			all = all && fmt.Sprint(labels[k]) == fmt.Sprint(v) && labels[k] != nil
		}
		if all {
			out = append(out, i)
		}
	}
	return out
}

// routable returns the ports of a Service when every one of them is known to speak HTTP,
// and else why it cannot be routed: the selector of a Service holds for all of its ports.
func routable(service map[string]any) (ports []route.Port, why string) {
	spec, meta := mapOf(service, "spec"), mapOf(service, "metadata")
	kind, _ := spec["type"].(string)
	switch {
	case mapOf(meta, "annotations")["helm.sh/hook"] != nil:
		return nil, "it belongs to a hook"
	case spec["clusterIP"] == "None":
		return nil, "it is headless: its clients choose the pods"
	case kind == "ExternalName" || spec["externalName"] != nil:
		return nil, "it is a name of something outside"
	case len(mapOf(spec, "selector")) == 0:
		return nil, "it has no selector"
	case len(nameOf(service)) > maxServiceName:
		return nil, fmt.Sprintf("its name is longer than %d characters", maxServiceName)
	}
	notes, _ := mapOf(meta, "annotations")[protocolAnnotation].(string)
	for _, v := range listOf(spec, "ports") {
		p, _ := v.(map[string]any)
		port := route.Port{Port: number(p["port"]), Protocol: protocolOf(p, notes)}
		port.Name, _ = p["name"].(string)
		if port.Protocol == "" {
			return nil, fmt.Sprintf("port %d does not say that it speaks HTTP", port.Port)
		}
		ports = append(ports, port)
	}
	if len(ports) == 0 {
		return nil, "it has no ports"
	}
	return ports, ""
}

// protocolOf tells what a port speaks: by its appProtocol, else by its name, else by the
// Service's annotation; "" when nothing says HTTP.
func protocolOf(port map[string]any, notes string) string {
	if transport, _ := port["protocol"].(string); transport != "" && transport != "TCP" {
		return ""
	}
	if app, _ := port["appProtocol"].(string); app != "" {
		switch strings.ToLower(app) {
		case "http", "kubernetes.io/ws":
			return route.HTTP
		case "kubernetes.io/h2c", "h2c", "http2", "grpc":
			return route.H2C
		}
		return "" // https and the like: a router cannot look into it
	}
	name, _ := port["name"].(string)
	prefix, _, _ := strings.Cut(name, "-")
	switch {
	case prefix == "h2c" || prefix == "http2" || strings.HasPrefix(name, "grpc") && prefix != "grpcs":
		return route.H2C
	case prefix == "https":
		return ""
	case strings.HasPrefix(name, "http"):
		return route.HTTP
	}
	for _, part := range strings.Split(notes, ",") {
		which, protocol, some := strings.Cut(strings.TrimSpace(part), "=")
		if !some {
			which, protocol = fmt.Sprint(number(port["port"])), which
		}
		if which == fmt.Sprint(number(port["port"])) && slices.Contains([]string{route.HTTP, route.H2C}, protocol) {
			return protocol
		}
	}
	return ""
}

func kindOf(o map[string]any) string { s, _ := o["kind"].(string); return s }

func nameOf(o map[string]any) string { s, _ := mapOf(o, "metadata")["name"].(string); return s }

// mapOf returns a child that is a map, nil when there is none.
func mapOf(o map[string]any, key string) map[string]any { m, _ := o[key].(map[string]any); return m }

func listOf(o map[string]any, key string) []any { l, _ := o[key].([]any); return l }

// child returns a child that is a map, making it when missing.
func child(o map[string]any, key string) map[string]any {
	m, ok := o[key].(map[string]any)
	if !ok {
		m = map[string]any{}
		o[key] = m
	}
	return m
}

// number reads a number of a manifest, whatever type its decoder gave it.
func number(v any) int {
	switch v := v.(type) {
	case int:
		return v
	case int64:
		return int(v)
	case float64:
		return int(v)
	}
	return 0
}
