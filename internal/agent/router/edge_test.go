package router_test

import (
	"net/http"
	"testing"

	"towpath.dev/towpath/internal/deploy/route"
)

// TestEdge holds whose keys count at a service that requests from outside reach: a key from
// outside never does, and one from inside does where the two can be told apart.
func TestEdge(t *testing.T) {
	byHost := []string{"shop.example", "*.shop.example"}
	for _, c := range []struct {
		name    string
		edge    bool
		hosts   []string
		host    string
		headers []string
		keyed   bool
	}{
		{name: "no edge", host: "web", keyed: true},
		{name: "no edge, forwarded by somebody", host: "web", headers: []string{"X-Forwarded-For", "10.0.0.9"}, keyed: true},
		{name: "a port of the node", edge: true, host: "192.0.2.1:30080"},
		{name: "a port of the node, with the host of the inside", edge: true, host: "web"},
		{name: "an Ingress", edge: true, hosts: byHost, host: "shop.example"},
		{name: "an Ingress, in capitals and with a port", edge: true, hosts: byHost, host: "SHOP.example:8443"},
		{name: "a wildcard", edge: true, hosts: byHost, host: "a.shop.example"},
		{name: "a proxy that writes another host", edge: true, hosts: byHost, host: "web", headers: []string{"X-Forwarded-Host", "shop.example"}},
		{name: "from inside, beside an Ingress", edge: true, hosts: byHost, host: "web:8080", keyed: true},
		{name: "from inside, by the address", edge: true, hosts: byHost, host: "10.96.0.12:80", keyed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			web := one(t, "web", route.HTTP)
			web.Edge, web.EdgeHosts = c.edge, c.hosts
			_, _ = start(t, route.Table{Version: 1, Services: []route.Service{web}, Sessions: []route.Session{session("s1", "anna-1a2b", "web", hostAnna)}})
			backend(t, hostStable, web.Ports[0].Port, says("stable"))
			backend(t, hostAnna, web.Ports[0].Port, says("anna"))
			want := "stable"
			if c.keyed {
				want = "anna"
			}
			for _, carrier := range [][]string{{"Baggage", "a=b,route-as=anna-1a2b"}, {"Kubernetes-Route-As", "anna-1a2b"}, {"Azds-Route-As", "anna-1a2b"}} {
				headers := append(append([]string{"Host", c.host}, c.headers...), carrier...)
				resp, got := fetch(t, client(t, false), "http://"+front(web)+"/", headers...)
				if resp.StatusCode != http.StatusOK || got != want {
					t.Errorf("%v is answered %d %q, want %q", carrier, resp.StatusCode, got, want)
				}
			}
		})
	}
}
